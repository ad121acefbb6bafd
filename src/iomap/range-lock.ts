/**
 * Range lock: who may work on which bytes of a file while others wait.
 *
 * Only operations that span several turns take it: what happens within one turn needs no lock, it
 * only has to see that no lock is in its way.
 *
 * W1. Entries stand in the order in which they came. An entry holds its range exactly if no
 *     earlier entry conflicts with it. So nobody is overtaken by a conflicting newcomer, and
 *     nobody waits for ranges that do not touch.
 * W2. Two entries conflict if they overlap and one of them is exclusive.
 * W3. A waiter follows the operation in its way; when that ends, it plans anew and asks again.
 */
import {
  BLOCK_SIZE,
  FilesystemError,
  type Operation,
  type Plan,
  roundDown,
  roundUp,
} from '../base/index.ts';

interface Entry {
  readonly owner: Operation<unknown>;
  readonly start: number;
  readonly end: number;
  readonly exclusive: boolean;
}

export interface LockRange {
  /** First byte. */
  readonly start: number;
  /** Byte after the last; `Infinity` for "to the end, wherever that is". */
  readonly end: number;
  readonly exclusive: boolean;
}

/** The blocks that bytes `start` to `end` touch, for nobody else. */
export function blocksOf(start: number, end: number): LockRange {
  return { start: roundDown(start, BLOCK_SIZE), end: roundUp(end, BLOCK_SIZE), exclusive: true };
}

/** All of a file, wherever it ends, for nobody else. */
export const EVERYTHING: LockRange = {
  start: 0,
  end: Number.POSITIVE_INFINITY,
  exclusive: true,
};

/** Of locks that nobody uses: most of them, and every file has two. */
const NOBODY: readonly Entry[] = [];

export class RangeLock {
  #entries: readonly Entry[] = NOBODY;

  /** True if nobody holds or wants any range. */
  get idle(): boolean {
    return this.#entries.length === 0;
  }

  /**
   * Asks for a range, or asks again. True if it is held; otherwise `plan` follows whoever is in the
   * way. Whoever asks must call {@link release} in the end, held or not.
   *
   * @throws {FilesystemError} `EDEADLK` if `owner` has asked for another, overlapping range
   */
  acquire(owner: Operation<unknown>, range: LockRange, plan: Plan): boolean {
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries[i] as Entry;
      if (entry.owner !== owner) continue;
      if (entry.start === range.start && entry.end === range.end) return this.#held(i, plan);
      if (conflict(entry, range)) {
        throw new FilesystemError(
          'EDEADLK',
          `Cannot lock bytes ${range.start} to ${range.end}: the same operation has locked ` +
            `${entry.start} to ${entry.end}`,
        );
      }
    }
    const entry = { owner, start: range.start, end: range.end, exclusive: range.exclusive };
    this.#entries = this.idle ? [entry] : [...this.#entries, entry];
    return this.#held(this.#entries.length - 1, plan);
  }

  /**
   * Takes a range if it can be held at once, and asks for nothing otherwise. Whoever got it must
   * call {@link release}.
   */
  tryAcquire(owner: Operation<unknown>, range: LockRange): boolean {
    for (const entry of this.#entries) if (conflict(entry, range)) return false;
    this.#entries = [...this.#entries, { owner, ...range }];
    return true;
  }

  /** True if a range could be held at once by somebody who asks for it in one turn only. */
  free(owner: Operation<unknown>, range: LockRange, plan: Plan): boolean {
    for (const entry of this.#entries) {
      if (entry.owner === owner || !conflict(entry, range)) continue;
      plan.follow(entry.owner);
      return false;
    }
    return true;
  }

  /** Takes back everything `owner` holds or waits for. */
  release(owner: Operation<unknown>): void {
    if (this.idle) return;
    if (this.#entries.length === 1 && this.#entries[0]?.owner === owner) {
      this.#entries = NOBODY;
      return;
    }
    const others = this.#entries.filter((entry) => entry.owner !== owner);
    this.#entries = others.length === 0 ? NOBODY : others;
  }

  #held(index: number, plan: Plan): boolean {
    const entry = this.#entries[index] as Entry;
    for (let i = 0; i < index; i++) {
      const earlier = this.#entries[i] as Entry;
      if (earlier.owner === entry.owner || !conflict(earlier, entry)) continue;
      plan.follow(earlier.owner);
      return false;
    }
    return true;
  }
}

function conflict(left: LockRange, right: LockRange): boolean {
  return left.start < right.end && right.start < left.end && (left.exclusive || right.exclusive);
}
