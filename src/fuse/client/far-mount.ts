/**
 * Far mount: the mount of an image whose volume is in this thread, served by others: one has the
 * engine, one looks after it. Here is what both are told, and what comes of it.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import { FilesystemError } from '../../base/index.ts';
import { detachNow, unmount } from '../attach.ts';
import { type MountOptions, programFile } from '../mount.ts';
import { errorOf, type FromMountThread, type ThreadOptions } from '../protocol.ts';
import { SHARED_WORDS, STOP } from '../upkeep.ts';
import { LOOK_MS, LOOKS_MAX, PortLine } from './port-line.ts';
import { ANSWERS, BEATS, MountState, STATE, WORDS } from './words.ts';

export interface FarOptions extends MountOptions {
  /** The clock of the volume, if it has one of its own. */
  readonly now: (() => number) | undefined;
}

/** How long the end of the process waits until everything is durable. */
const EXIT_MS = 10_000;

export class FarMount {
  readonly line: PortLine;
  readonly directory: string;
  /** Resolves when nothing is served any more, and the image can be used here. */
  readonly ended: Promise<void>;
  readonly #words: Int32Array;
  readonly #shared: Int32Array;

  private constructor(options: FarOptions, worker: Worker, threads: Threads) {
    const { line, words, shared } = threads;
    this.directory = options.directory;
    this.line = line;
    this.#words = words;
    this.#shared = shared;
    process.on('exit', this.#leave);
    const watch = this.#watch();
    this.ended = Promise.race([endOf(worker, options), watch.dead])
      .catch((error: unknown) => {
        this.#fail();
        throw error;
      })
      .finally(() => {
        watch.stop();
        process.off('exit', this.#leave);
        line.end();
      });
    this.ended.catch(() => {});
  }

  /** Rejects when the thread of the mount gives no sign of life any more. */
  #watch(): { readonly dead: Promise<never>; readonly stop: () => void } {
    let [beats, looks] = [0, 0];
    let timer: NodeJS.Timeout | undefined;
    const dead = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        const now = Atomics.load(this.#words, BEATS);
        looks = now === beats ? looks + 1 : 0;
        beats = now;
        if (looks > LOOKS_MAX) {
          reject(new FilesystemError('EIO', 'Cannot go on: the thread of the mount is dead'));
        }
      }, LOOK_MS);
    });
    return { dead, stop: () => clearInterval(timer) };
  }

  /** Whoever uses the mount is told, and the thread that serves it, if it is there, ends. */
  #fail(): void {
    Atomics.compareExchange(this.#words, STATE, MountState.SERVING, MountState.FAILED);
    Atomics.store(this.#shared, STOP, 1);
    unmount(this.directory, true).catch(() => {});
  }

  /** Mounts; what fails has left the image to this thread. */
  static async start({ onBroken, onWarning, now, ...options }: FarOptions): Promise<FarMount> {
    const { port1, port2 } = new MessageChannel();
    const words = new SharedArrayBuffer(4 * WORDS);
    const shared = new SharedArrayBuffer(4 * SHARED_WORDS);
    const workerData: ThreadOptions = { options: { ...options, shared }, port: port2, words };
    const worker = new Worker(programFile('fuse-mount-thread'), {
      workerData,
      transferList: [port2],
      argv: process.argv.slice(2),
      // Those of the program are about its own source.
      execArgv: [],
    });
    const line = new PortLine(port1, new Int32Array(words), now);
    const threads = { line, words: new Int32Array(words), shared: new Int32Array(shared) };
    const mount = new FarMount({ ...options, onBroken, onWarning, now }, worker, threads);
    await Promise.race([isMounted(worker), mount.ended]);
    return mount;
  }

  /** @throws {FilesystemError} `EBUSY` if it is in use and `lazy` is not set */
  async unmount(lazy: boolean): Promise<void> {
    await unmount(this.directory, lazy);
  }

  /** False once the image can be used here, or the other threads have failed. */
  get isServing(): boolean {
    return Atomics.load(this.#words, STATE) === MountState.SERVING;
  }

  get hasFailed(): boolean {
    return Atomics.load(this.#words, STATE) === MountState.FAILED;
  }

  /** Waits in this turn for the end that has begun. */
  waitForEnd(ms = Infinity): void {
    for (let left = ms; this.isServing && left > 0; left -= WAIT_MS) {
      Atomics.wait(this.#words, ANSWERS, Atomics.load(this.#words, ANSWERS), WAIT_MS);
    }
  }

  /**
   * The process ends. It would wait for the thread that serves, and that for requests: it is told
   * to stop, and the mount is taken away.
   */
  readonly #leave = (): void => {
    if (!this.isServing) return;
    Atomics.store(this.#shared, STOP, 1);
    detachNow(this.directory);
    this.waitForEnd(EXIT_MS);
  };
}

const WAIT_MS = 100;

interface Threads {
  readonly line: PortLine;
  readonly words: Int32Array;
  readonly shared: Int32Array;
}

function isMounted(worker: Worker): Promise<void> {
  return new Promise((mounted) => {
    worker.on('message', ({ type }: FromMountThread) => {
      if (type === 'mounted') mounted();
    });
  });
}

function endOf(worker: Worker, { onBroken, onWarning }: FarOptions): Promise<void> {
  return new Promise((end, reject) => {
    let ended = false;
    worker.on('message', (message: FromMountThread) => {
      if (message.type === 'broken') onBroken?.(message.message);
      else if (message.type === 'warning') onWarning?.(message.message);
      else if (message.type === 'ended') ended = true;
      else if (message.type === 'failed') reject(errorOf(message));
    });
    worker.once('error', reject);
    worker.once('exit', () => {
      if (ended) end();
      else reject(new FilesystemError('EIO', 'Cannot go on: the thread of the mount has ended'));
    });
  });
}
