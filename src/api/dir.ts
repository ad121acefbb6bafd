/**
 * Dir: an open directory, read entry by entry, as `node:fs` has it.
 *
 * Entries come in the order of the tree and its leaves are read as they are needed, so a directory
 * of any size takes little memory. An entry that is there all the time is seen exactly once,
 * whatever comes and goes meanwhile.
 */
import type { OpenDirectory } from './calls/directories.ts';
import type { CallSite } from './errors.ts';
import type { Caller } from './fs.ts';
import type { Dirent } from './stats.ts';

type Callback<Value> = (error: unknown, value?: Value) => void;

/** What a directory is read by, wherever it is. */
export interface Entries {
  readonly path: string;
  read(): Promise<Dirent | null>;
  readSync(): Dirent | null;
  close(): void;
}

/** Those of an engine in this thread. */
export class OwnEntries implements Entries {
  readonly #caller: Caller;
  readonly #directory: OpenDirectory;

  constructor(caller: Caller, directory: OpenDirectory) {
    this.#caller = caller;
    this.#directory = directory;
  }

  get path(): string {
    return this.#directory.path;
  }

  async read(): Promise<Dirent | null> {
    return await this.#caller.start(this.#directory.next(), this.#site);
  }

  readSync(): Dirent | null {
    return this.#caller.finish(this.#directory.next(), this.#site);
  }

  close(): void {
    this.#directory.close();
  }

  get #site(): CallSite {
    return { syscall: 'scandir', path: this.path };
  }
}

export class Dir {
  readonly #entries: Entries;
  #closed = false;
  /** Reads come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  get path(): string {
    return this.#entries.path;
  }

  /** The next entry; null at the end. */
  read(): Promise<Dirent | null>;
  read(callback: Callback<Dirent | null>): void;
  read(callback?: Callback<Dirent | null>): Promise<Dirent | null> | undefined {
    this.#check();
    const turn = this.#last.then(() => this.#entries.read());
    this.#last = turn.catch(() => {});
    if (callback === undefined) return turn;
    turn.then((entry) => callback(null, entry), callback);
    return undefined;
  }

  readSync(): Dirent | null {
    this.#check();
    return this.#entries.readSync();
  }

  close(): Promise<void>;
  close(callback: Callback<void>): void;
  close(callback?: Callback<void>): Promise<void> | undefined {
    const end = this.#close();
    if (callback === undefined) return end;
    end.then(() => callback(null), callback);
    return undefined;
  }

  closeSync(): void {
    this.#check();
    this.#closed = true;
    this.#entries.close();
  }

  /** Every entry that is left; then, or when the loop is left, it is closed. */
  async *entries(): AsyncGenerator<Dirent> {
    try {
      for (let entry = await this.read(); entry !== null; entry = await this.read()) yield entry;
    } finally {
      await this.close();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Dirent> {
    return this.entries();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) await this.close();
  }

  async #close(): Promise<void> {
    this.#check();
    this.#closed = true;
    await this.#last;
    this.#entries.close();
  }

  #check(): void {
    if (!this.#closed) return;
    throw Object.assign(new Error('Directory handle was closed'), { code: 'ERR_DIR_CLOSED' });
  }
}
