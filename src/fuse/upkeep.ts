/**
 * Upkeep: what has to be done beside requests by a thread that does nothing but wait for them.
 *
 * U1. What was changed becomes durable once nothing was asked for half a second, and every five
 *     seconds while more is asked. The kernel tells a server nothing of sync(2), so this is all
 *     that such data has.
 * U2. What removing has left is worked off after that, in slices, so that requests wait little.
 * U3. The kernel would remember every inode that it has ever seen while it has memory, and so would
 *     the node table, at about 2 KiB each. Above a limit it is asked to forget some.
 *
 * A thread that blocks cannot look at a clock while it waits. Another one does: as long as
 * {@link PENDING} is set it wakes this one now and then, and after each request this one looks. A
 * thread that does not block looks by itself, and goes on while the device is at work.
 */
import { type Procedure, run, runAsync, runSync } from '../api/node/index.ts';
import type { Driver } from '../drive/index.ts';
import type { Engine } from '../volume/index.ts';
import { MINOR_PRUNE } from './constants.ts';
import type { Served } from './served.ts';

/** Not 0 while there is something to do, and nothing is being done. */
export const PENDING = 0;
/** Number of a regular file that the kernel knows, or 0. */
export const ANY_FILE = 1;
/** How many nodes the kernel is to be asked to forget, and where their numbers begin. */
export const PRUNE_COUNT = 2;
/** Not 0 if clients of the socket have something for this thread. */
export const ASKED = 3;
/** How many requests were served, modulo 2^32. */
export const REQUESTS = 4;
/** Not 0 if nothing is to be served any more. */
export const STOP = 5;
export const PRUNE_AT = 6;
const PRUNE_MAX = 16_384;
/** Words of the memory that both threads see. */
export const SHARED_WORDS: number = PRUNE_AT + PRUNE_MAX;

const IDLE_MS = 500;
const BUSY_MS = 5000;
const SLICE_MS = 10;
/** Requests between two looks at the clock. */
const LOOK_EVERY = 16;

export interface UpkeepOptions {
  readonly engine: Engine;
  readonly driver: Driver;
  readonly served: Served;
  /** Inodes that the kernel may know before it is asked to forget some. */
  readonly nodeLimit: number;
  readonly shared: Int32Array;
  /** Milliseconds since some moment; it does not go back. */
  readonly now: () => number;
  /** Operations of the device may take their time. */
  readonly async?: boolean;
}

export class Upkeep {
  readonly #engine: Engine;
  readonly #driver: Driver;
  readonly #served: Served;
  readonly #nodeLimit: number;
  readonly #shared: Int32Array;
  readonly #now: () => number;
  /** When the first change was seen that is not durable, and the last one. */
  #first = -1;
  #last = 0;
  #requests = 0;
  /** How many requests there had been at the last look. */
  #seen = -1;
  #reclaims = false;
  readonly #async: boolean;
  #atWork: Promise<void> | undefined;

  constructor(options: UpkeepOptions) {
    const { engine, driver, served, nodeLimit, shared, now, async = false } = options;
    this.#async = async;
    this.#served = served;
    this.#nodeLimit = nodeLimit;
    this.#engine = engine;
    this.#driver = driver;
    this.#shared = shared;
    this.#now = now;
  }

  /** After a request; `quiet` if it was only to wake this thread. */
  after(quiet: boolean): void {
    if (!quiet && ++this.#requests % LOOK_EVERY !== 0 && this.#first >= 0) return;
    const engine = this.#engine;
    const { nodes, minor } = this.#served;
    if (nodes.size > this.#nodeLimit && minor >= MINOR_PRUNE) this.#prune();
    if (engine.store.readOnly || this.#atWork !== undefined) return;
    if (engine.store.failure !== undefined) {
      Atomics.store(this.#shared, PENDING, 0);
      return;
    }
    const now = this.#now();
    if (this.#requests !== this.#seen) {
      this.#seen = this.#requests;
      this.#last = now;
    }
    if (!engine.hasChanges) this.#first = -1;
    else if (this.#first < 0) this.#first = now;
    Atomics.store(this.#shared, PENDING, 0);
    const due = now - this.#last >= IDLE_MS || now - this.#first >= BUSY_MS;
    if (this.#first >= 0 && due) {
      this.#first = -1;
      this.#reclaims = true;
      this.#work(run(engine.commit()));
    } else if (quiet && this.#reclaims && this.#first < 0) this.#work(this.#reclaim(now));
    // What was worked off is to be durable too.
    if (this.#first < 0 && engine.hasChanges) this.#first = now;
    Atomics.store(this.#shared, ANY_FILE, this.#served.nodes.anyFile);
    Atomics.store(this.#shared, PENDING, this.#first >= 0 || this.#reclaims ? 1 : 0);
  }

  /** Somebody else than the kernel had a turn: as if it had been a request. */
  worked(): void {
    this.#requests++;
    this.after(true);
  }

  /** Names nodes to the other thread: it asks the kernel, since this one must never wait for it. */
  #prune(): void {
    if (Atomics.load(this.#shared, PRUNE_COUNT) !== 0) return;
    const { nodes } = this.#served;
    const most = Math.min(PRUNE_MAX, nodes.size - this.#nodeLimit);
    Atomics.store(this.#shared, PRUNE_COUNT, nodes.some(this.#shared, PRUNE_AT, most));
  }

  /** Resolves when nothing is being done. */
  async settled(): Promise<void> {
    await this.#atWork;
  }

  /** What fails is latched by the store: the next change tells it. */
  #work(procedure: Procedure<unknown>): void {
    if (this.#async) {
      const ended = (): void => {
        this.#atWork = undefined;
      };
      this.#atWork = runAsync(this.#driver, procedure, {}).then(ended, () => {
        this.#reclaims = false;
        ended();
      });
      return;
    }
    try {
      runSync(this.#driver, procedure);
    } catch {
      this.#reclaims = false;
    }
  }

  *#reclaim(start: number): Procedure<void> {
    while (this.#now() - start < SLICE_MS) {
      const work = this.#engine.reclaim();
      this.#reclaims = work !== undefined;
      if (work === undefined) return;
      yield* run(work);
    }
  }
}
