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
import { FilesystemError } from '../../base/index.ts';
import { BACKGROUND } from '../negotiate.ts';
import type { Notifier } from '../notify.ts';
import { reasonIn, runProgram } from '../programs.ts';
import { ANY_FILE, ASKED, REQUESTS } from '../upkeep.ts';
import type { Stale } from './stale.ts';

/** Marks after which it is given up: the requests that were served in between are a million. */
const MARKS_MAX = 16_384;

export class KernelSide {
  readonly #notifier: Notifier;
  readonly #directory: string;
  readonly #shared: Int32Array;
  /** Device number of the mount, once it is known. */
  #device: number | undefined;
  #ended = false;

  constructor(notifier: Notifier, directory: string, shared: Int32Array) {
    this.#notifier = notifier;
    this.#directory = directory;
    this.#shared = shared;
  }

  /** Resolves when the mount answers: the number of its device. */
  async begin(): Promise<number> {
    await statfs(this.#directory);
    const { dev } = await stat(this.#directory);
    this.#device = dev;
    return dev;
  }

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
   * by a look at the mount.
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
    void statfs(this.#directory).catch(() => {});
  }

  /**
   * Makes the kernel hand over what programs have written by now.
   *
   * @throws {FilesystemError} `EIO` if it cannot, `EBUSY` if there is no end of what it sends
   */
  readonly settle = async (): Promise<void> => {
    if ((await stat(this.#directory)).dev !== this.#device) {
      throw unsettled('EIO', `${this.#directory} is not where it is mounted any more`);
    }
    const { status, output } = await runProgram('sync', ['-f', '--', this.#directory]);
    if (status !== 0) throw unsettled('EIO', reasonIn(output, 'sync'));
    let before = await this.#mark();
    for (let i = 0; i < MARKS_MAX; i++) {
      const now = await this.#mark();
      if ((now - before) >>> 0 < BACKGROUND) return;
      before = now;
    }
    throw unsettled('EBUSY', 'there is no end of it');
  };

  /** Tells the kernel what it knows wrong. Names first: what they lead to may be gone. */
  readonly invalidate = async ({ names, nodes }: Stale): Promise<void> => {
    for (const { parent, name } of names) await this.#notifier.staleName(parent, name);
    for (const node of nodes) await this.#notifier.staleNode(node);
  };

  /** The number of requests served, once all that wait by now are. */
  async #mark(): Promise<number> {
    await statfs(this.#directory);
    return Atomics.load(this.#shared, REQUESTS);
  }
}

function unsettled(code: 'EIO' | 'EBUSY', finding: string): FilesystemError {
  return new FilesystemError(code, `Cannot have the kernel write back: ${finding}`);
}
