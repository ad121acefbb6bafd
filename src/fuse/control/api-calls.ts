/**
 * API calls: every call of a volume, its `fs` and what they make, by name, for a client who has the
 * API in another thread of this process.
 *
 * What such a call makes that cannot be sent, an open directory, a view, a pin, stays here and is
 * known by its handle. Functions among the arguments are asked for their answers: calls with such
 * are made by their promises.
 */
import { PinnedFile, SnapshotView } from '../../api/index.ts';
import type { Caller, CallName, Entries, ServedVolume } from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import { type Made, METHODS, promisedName } from './calls.ts';

/** An answer that stands for something that stays here. */
export class Kept {
  readonly made: Made;

  constructor(made: Made) {
    this.made = made;
  }
}

type AnyCall = (...args: unknown[]) => unknown;
type Names = Readonly<Record<string, AnyCall | undefined>>;

/** Bytes that one call reads at the most; the client asks again. */
export const READ_MAX: number = 16 << 20;

/** Calls whose second argument comes piece by piece: a function that answers the next one. */
const IN_PIECES: ReadonlySet<string> = new Set(['writePieces', 'appendPieces']);

export class ApiCalls {
  readonly #volume: ServedVolume;
  readonly #views: Map<number, SnapshotView>;
  readonly #files: Set<number>;
  readonly #handle: () => number;
  readonly #entries = new Map<number, Entries>();
  readonly #pins = new Map<number, PinnedFile>();

  /** Open files and views are those of the client, who may have others. */
  constructor(
    volume: ServedVolume,
    kept: { views: Map<number, SnapshotView>; files: Set<number>; handle: () => number },
  ) {
    this.#volume = volume;
    this.#views = kept.views;
    this.#files = kept.files;
    this.#handle = kept.handle;
  }

  /**
   * Makes a call; a promise if it takes its time. `asks`: functions are among its arguments.
   * Undefined if there is no call of this name; what it answers is in a list otherwise.
   */
  make(
    call: string,
    args: readonly unknown[],
    { signal, asks }: { signal: AbortSignal; asks: boolean },
  ): { readonly answer: unknown } | undefined {
    switch (call) {
      case 'caller':
        return { answer: this.#callerCall(args, signal, asks) };
      case 'volume':
        return { answer: this.#method(args, asks) };
      case 'readEntry':
        return { answer: this.#of(this.#entries, args[0]).read() };
      case 'readEntrySync':
        return { answer: this.#of(this.#entries, args[0]).readSync() };
      case 'closeEntries':
        this.#of(this.#entries, args[0]).close();
        return { answer: this.#entries.delete(args[0] as number) };
      case 'releasePin':
        return { answer: this.#releasePin(args[0]) };
      case 'inUse':
        return { answer: this.#inUse };
      default:
        return undefined;
    }
  }

  get #inUse(): string | null {
    if (this.#files.size > 0) return `${this.#files.size} of its files are open`;
    if (this.#views.size > 0) return 'a view of a snapshot is open';
    if (this.#entries.size > 0) return 'a directory is open';
    return this.#pins.size > 0 ? 'files are pinned' : null;
  }

  /** The client has gone: what he had open is closed. */
  close(): void {
    for (const entries of this.#entries.values()) entries.close();
    this.#entries.clear();
    for (const pin of this.#pins.values()) {
      try {
        pin.releaseSync();
      } catch {
        // What could not be told to the disk is told by the next call that changes something.
      }
    }
    this.#pins.clear();
  }

  #callerCall([view, face, name, given]: readonly unknown[], signal: AbortSignal, asks: boolean) {
    if (typeof name !== 'string' || !Array.isArray(given)) throw unknownCall(name);
    const seen = view === undefined ? undefined : this.#of(this.#views, view);
    const caller = this.#volume.calls(seen);
    const args = IN_PIECES.has(name) ? inPieces(given) : given;
    if (name === 'close') this.#files.delete(args[0] as number);
    const promised = face !== 'sync' || asks || promisedName(`${name}Sync`) !== undefined;
    if (name === 'read') return this.#read(caller, args, promised ? signal : undefined);
    const called = name as CallName;
    const result = promised ? caller.async(called, args, signal) : caller.sync(called, args);
    return result instanceof Promise
      ? result.then((value) => this.#fsResult(caller, name, value))
      : this.#fsResult(caller, name, result);
  }

  /** The bytes that were read. */
  #read(caller: Caller, args: readonly unknown[], signal: AbortSignal | undefined): unknown {
    const [fd, length, position] = args as [number, number, number | undefined];
    const buffer = Buffer.allocUnsafe(Math.min(Math.max(Number(length) || 0, 0), READ_MAX));
    const all = [fd, buffer, 0, buffer.length, position];
    const bytes = (count: unknown) => buffer.subarray(0, count as number);
    if (signal === undefined) return bytes(caller.sync('read', all));
    return caller.async('read', all, signal).then(bytes);
  }

  #fsResult(caller: Caller, name: string, value: unknown): unknown {
    if (name === 'open') this.#files.add(value as number);
    if (name !== 'opendir') return value;
    const entries = caller.entriesOf(value);
    const handle = this.#handle();
    this.#entries.set(handle, entries);
    return new Kept({ kind: 'entries', handle, path: entries.path });
  }

  #method([name, given]: readonly unknown[], asks: boolean): unknown {
    if (typeof name !== 'string' || !METHODS.has(name) || !Array.isArray(given)) {
      throw unknownCall(name);
    }
    const promised = asks && name.endsWith('Sync') ? name.slice(0, -4) : promisedName(name);
    const method = (this.#volume as unknown as Names)[promised ?? name] as AnyCall;
    const result = method.apply(this.#volume, given);
    return result instanceof Promise
      ? result.then((value: unknown) => this.#methodResult(value))
      : this.#methodResult(result);
  }

  #methodResult(value: unknown): unknown {
    const handle = this.#handle();
    if (value instanceof SnapshotView) {
      this.#views.set(handle, value);
      return new Kept({ kind: 'view', handle, name: value.name });
    }
    if (!(value instanceof PinnedFile)) return value;
    this.#pins.set(handle, value);
    return new Kept({ kind: 'pin', handle, extents: value.extents });
  }

  async #releasePin(handle: unknown): Promise<void> {
    const pin = this.#of(this.#pins, handle);
    this.#pins.delete(handle as number);
    await pin.release();
  }

  #of<Value>(map: ReadonlyMap<number, Value>, handle: unknown): Value {
    const found = map.get(handle as number);
    if (found !== undefined) return found;
    throw new FilesystemError('EBADF', 'Cannot use what is closed');
  }
}

/** With what comes piece by piece as something to be walked. */
function inPieces([file, next, ...rest]: readonly unknown[]): unknown[] {
  return [file, { [Symbol.asyncIterator]: () => ({ next }) }, ...rest];
}

function unknownCall(name: unknown): FilesystemError {
  return new FilesystemError('ENOSYS', `Cannot do "${String(name)}": there is no such call`);
}
