/**
 * Kernel side: what the socket's server needs of the kernel that the volume is mounted in.
 *
 * Settling: syncfs(2) makes the kernel send all that it holds dirty; not every kernel waits until a
 * FUSE server has that. On its way it may be held back: no more than {@link BACKGROUND} requests
 * of this kind wait for the server at once, others are queued behind them. What waits for the
 * server is served in order. So a question is sent there, and another one when that was answered:
 * if fewer requests than {@link BACKGROUND} were served in between, none was held back when the
 * second one was sent, and whatever the kernel had sent by then was served before it.
 *
 * What this does not see is data of a file that is being synced or cut at the same moment: the
 * kernel keeps that to itself until it is done with the other.
 */
import { stat, statfs } from 'node:fs/promises';
import { errorCode, FilesystemError } from '../../base/index.ts';
import { syncFilesystem } from '../../ffi/index.ts';
import { BACKGROUND } from '../negotiate.ts';
import type { Notifier } from '../notify.ts';
import { reasonIn, runProgram } from '../programs.ts';
import { ANY_FILE, ASKED, REQUESTS, STOP } from '../upkeep.ts';
import type { Stale } from './stale.ts';

/** Marks after which it is given up: the requests that were served in between are a million. */
const MARKS_MAX = 16_384;

export class KernelSide {
  readonly #notifier: Notifier;
  readonly #place: () => string | undefined;
  readonly #shared: Int32Array;
  /** Device number of the mount, once it is known. */
  #device: number | undefined;
  #ended = false;

  /** `place` says where it is mounted, if that is known. */
  constructor(notifier: Notifier, place: () => string | undefined, shared: Int32Array) {
    this.#notifier = notifier;
    this.#place = place;
    this.#shared = shared;
  }

  /** Resolves when the mount answers, if it is to be seen: the number of its device. */
  async begin(): Promise<number | undefined> {
    const directory = this.#place();
    if (directory === undefined) return undefined;
    await statfs(directory);
    this.#device = (await stat(directory)).dev;
    return this.#device;
  }

  /** The serving thread stops, though the connection has not ended. */
  readonly stop = (): void => {
    Atomics.store(this.#shared, STOP, 1);
    this.wake();
  };

  /** The connection has ended. */
  end(): void {
    this.#ended = true;
  }

  /** Has the serving thread look up from its waiting, when it has served what waits there. */
  readonly ask = (): void => {
    if (this.#ended) return;
    Atomics.store(this.#shared, ASKED, 1);
    this.wake();
  };

  /**
   * The same, if there is nothing for it: by what the kernel has of a file, or if no file is known,
   * by a look at the mount. Of one that is out of sight the next request has to do.
   */
  readonly wake = (): void => {
    const node = Atomics.load(this.#shared, ANY_FILE);
    try {
      if (node !== 0) this.#notifier.ask(node);
    } catch {
      this.#look();
    }
    if (node === 0) this.#look();
  };

  #look(): void {
    const directory = this.#place();
    if (directory !== undefined) void statfs(directory).catch(() => {});
  }

  /**
   * Makes the kernel hand over what programs have written by now.
   *
   * @throws {FilesystemError} `EIO` if it cannot, `EBUSY` if there is no end of what it sends
   */
  readonly settle = async (): Promise<void> => {
    const directory = this.#place();
    if (directory === undefined) throw unsettled('EIO', 'it is mounted where nobody sees it here');
    const { dev } = await stat(directory);
    this.#device ??= dev;
    if (dev !== this.#device) {
      throw unsettled('EIO', `${directory} is not where it is mounted any more`);
    }
    await writeBack(directory);
    let before = await this.#mark(directory);
    for (let i = 0; i < MARKS_MAX; i++) {
      const now = await this.#mark(directory);
      if ((now - before) >>> 0 < BACKGROUND) return;
      before = now;
    }
    throw unsettled('EBUSY', 'there is no end of it');
  };

  /** Tells the kernel what it knows wrong. Names first: what they lead to may be gone. */
  readonly invalidate = async ({ names, nodes }: Stale): Promise<void> => {
    for (const { parent, name, gone } of names) {
      const told = gone !== undefined && (await this.#notifier.goneName(parent, name, gone));
      if (!told) await this.#notifier.staleName(parent, name);
    }
    for (const node of nodes) await this.#notifier.staleNode(node);
  };

  /** The same, and sends the reply of whoever has made it wrong. */
  readonly tellFirst = (stale: Stale, reply: Uint8Array<ArrayBuffer>): void => {
    const told = this.invalidate(stale).catch(() => {});
    void told.then(() => this.#notifier.reply(reply)).catch(() => {});
  };

  /** The number of requests served, once all that wait by now are. */
  async #mark(directory: string): Promise<number> {
    await statfs(directory);
    return Atomics.load(this.#shared, REQUESTS);
  }
}

/** By syncfs(2), or where nobody can call that by the program that does: ten times as slow. */
async function writeBack(directory: string): Promise<void> {
  try {
    return await syncFilesystem(directory);
  } catch (error) {
    if (errorCode(error) !== 'ENOTSUP') throw error;
  }
  const { status, output } = await runProgram('sync', ['-f', '--', directory]);
  if (status !== 0) throw unsettled('EIO', reasonIn(output, 'sync'));
}

function unsettled(code: 'EIO' | 'EBUSY', finding: string): FilesystemError {
  return new FilesystemError(code, `Cannot have the kernel write back: ${finding}`);
}
