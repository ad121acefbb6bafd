/**
 * Lock table: the advisory locks of fcntl(2), which have a range, and of flock(2), which have not.
 *
 * The two kinds do not see each other. Locks of one owner never conflict: the last one counts for
 * its range, and what it covers of others goes. Who has to wait stands in a queue per inode; when a
 * lock goes, those who can have theirs now get it, first come first served.
 */
import type { Opaque } from './layout.ts';

export const LockType = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

export interface Lock {
  readonly owner: Opaque;
  readonly flock: boolean;
  readonly type: number;
  /** First byte, and last. */
  readonly start: number;
  readonly end: number;
  readonly pid: number;
}

interface Waiter {
  readonly lock: Lock;
  /** Of the request that waits. */
  readonly unique: Opaque;
}

export class LockTable {
  readonly #held = new Map<number, Lock[]>();
  readonly #waiting = new Map<number, Waiter[]>();
  readonly #granted: (unique: Opaque) => void;

  /** `granted` is told whose turn has come. */
  constructor(granted: (unique: Opaque) => void) {
    this.#granted = granted;
  }

  /** A lock of somebody else that is in the way; undefined if there is none. */
  conflict(node: number, lock: Lock): Lock | undefined {
    return this.#held.get(node)?.find((held) => conflicts(held, lock));
  }

  /** Sets a lock, or takes one away. False if another one is in the way. */
  set(node: number, lock: Lock): boolean {
    if (lock.type !== LockType.UNLOCK && this.conflict(node, lock) !== undefined) return false;
    const before = this.#held.get(node) ?? [];
    const after = before.flatMap((held) => (isSame(held, lock) ? without(held, lock) : [held]));
    if (lock.type !== LockType.UNLOCK) after.push(lock);
    this.#keep(node, after);
    this.#wake(node);
    return true;
  }

  /** Lets a request wait until its lock can be set. */
  wait(node: number, lock: Lock, unique: Opaque): void {
    const queue = this.#waiting.get(node) ?? [];
    queue.push({ lock, unique });
    this.#waiting.set(node, queue);
  }

  /** Takes a request out that waits. False if it does not wait any more. */
  giveUp(unique: Opaque): boolean {
    for (const [node, queue] of this.#waiting) {
      const left = queue.filter((waiter) => !isEqual(waiter.unique, unique));
      if (left.length === queue.length) continue;
      this.#queue(node, left);
      return true;
    }
    return false;
  }

  /** Takes away all locks of one kind that an owner has on an inode. */
  drop(node: number, owner: Opaque, flock: boolean): void {
    const lock = { owner, flock, type: LockType.UNLOCK, start: 0, end: Infinity, pid: 0 };
    if (this.#held.has(node)) this.set(node, lock);
  }

  #keep(node: number, locks: Lock[]): void {
    if (locks.length > 0) this.#held.set(node, locks);
    else this.#held.delete(node);
  }

  #queue(node: number, queue: Waiter[]): void {
    if (queue.length > 0) this.#waiting.set(node, queue);
    else this.#waiting.delete(node);
  }

  #wake(node: number): void {
    const queue = this.#waiting.get(node);
    if (queue === undefined) return;
    const next = queue.find(({ lock }) => this.conflict(node, lock) === undefined);
    if (next === undefined) return;
    this.#queue(
      node,
      queue.filter((waiter) => waiter !== next),
    );
    this.#granted(next.unique);
    // Which may make room for the next: one that has become weaker does.
    this.set(node, next.lock);
  }
}

function isEqual(left: Opaque, right: Opaque): boolean {
  return left[0] === right[0] && left[1] === right[1];
}

/** True if two locks are of one owner and one kind. */
function isSame(left: Lock, right: Lock): boolean {
  return left.flock === right.flock && isEqual(left.owner, right.owner);
}

function conflicts(held: Lock, wanted: Lock): boolean {
  if (held.flock !== wanted.flock || isEqual(held.owner, wanted.owner)) return false;
  if (held.type !== LockType.WRITE && wanted.type !== LockType.WRITE) return false;
  return held.start <= wanted.end && wanted.start <= held.end;
}

/** What is left of a lock when another one of its owner has taken its range. */
function without(held: Lock, taken: Lock): Lock[] {
  if (held.end < taken.start || taken.end < held.start) return [held];
  const left: Lock[] = [];
  if (held.start < taken.start) left.push({ ...held, end: taken.start - 1 });
  if (held.end > taken.end) left.push({ ...held, start: taken.end + 1 });
  return left;
}
