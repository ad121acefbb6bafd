/**
 * Diff: where two directories differ.
 *
 * Both are walked in the order of their keys. Whenever the ways to a key meet in a node that both
 * share, everything below it is equal and is passed over unread: the cost is that of the
 * difference, not of the directories. Entries whose records are equal to the byte are passed over
 * too, with everything below them.
 */
import { equalBytes, type Plan, PlannedOperation } from '../base/index.ts';
import { InodeKind, recordKind } from '../format/index.ts';
import { KeyedPosition, sharedBound } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import { recordName } from './inode-record.ts';
import type { Vnode } from './vnode.ts';

/** An entry that is not the same on both sides; the vnodes are held for the caller. */
export interface EntryPair {
  /** Binary string. */
  readonly name: string;
  readonly left: Vnode | undefined;
  readonly right: Vnode | undefined;
}

export interface EntryPairs {
  readonly pairs: EntryPair[];
  /** Where to go on; infinity at the end. */
  readonly next: number;
}

/** Pairs that one operation comes to at the most, and entries that it looks at. */
const PAIRS_MAX = 64;
const LOOKS_MAX = 1024;

/** Compares two directories from a key on. Dirty data of the volume is written back first. */
export class CompareDirectories extends PlannedOperation<EntryPairs> {
  readonly #engine: Engine;
  readonly #left: Vnode;
  readonly #right: Vnode;
  readonly #a = new KeyedPosition();
  readonly #b = new KeyedPosition();
  readonly #pairs: EntryPair[] = [];
  #key: number;

  constructor(engine: Engine, left: Vnode, right: Vnode, key: number) {
    super();
    this.#engine = engine;
    this.#left = left;
    this.#right = right;
    this.#key = key;
  }

  protected override prepare(plan: Plan): void {
    const engine = this.#engine;
    if (!engine.store.readOnly) {
      if (!engine.pool.settled(plan) || !engine.pool.drained(plan)) return;
      engine.inodes.push();
    }
    for (let looks = 0; looks < LOOKS_MAX && this.#more; looks++) {
      if (!this.#advance(plan)) return;
    }
  }

  protected override apply(): boolean {
    return this.finish({ pairs: this.#pairs, next: this.#key });
  }

  override fail(error: Error): void {
    for (const { left, right } of this.#pairs) {
      if (left !== undefined) left.holds--;
      if (right !== undefined) right.holds--;
    }
    super.fail(error);
  }

  protected override release(): void {
    this.#engine.store.blocks.unpin(this.plan);
  }

  get #more(): boolean {
    return this.#key !== Number.POSITIVE_INFINITY && this.#pairs.length < PAIRS_MAX;
  }

  /** One step; what it has found stays found, whatever a later step misses. */
  #advance(plan: Plan): boolean {
    const { store, trees } = this.#engine;
    const left = this.#left.entries;
    const right = this.#right.entries;
    const bound = sharedBound(store, left, right, this.#key, plan);
    if (bound === undefined) return false;
    if (bound > this.#key) {
      this.#key = bound;
      return true;
    }
    const foundLeft = trees.seek(left, this.#key, this.#a, plan);
    const foundRight = trees.seek(right, this.#key, this.#b, plan);
    if (foundLeft === 'missing' || foundRight === 'missing') return false;
    const a = foundLeft === 'found' ? this.#a.key : Number.POSITIVE_INFINITY;
    const b = foundRight === 'found' ? this.#b.key : Number.POSITIVE_INFINITY;
    const first = Math.min(a, b);
    const next = first === Number.POSITIVE_INFINITY ? first : first + 1;
    if (a === b && (a === Number.POSITIVE_INFINITY || this.#sameRecord())) {
      this.#key = next;
      return true;
    }
    if (!this.#addPairs(a === first, b === first, plan)) return false;
    this.#key = next;
    return true;
  }

  /** Equal to the byte; of a name with several, the inode has to be asked. */
  #sameRecord(): boolean {
    const { bytes } = this.#engine.store.blocks;
    const a = this.#a;
    const b = this.#b;
    if (recordKind(bytes, a.at) === InodeKind.LINK) return false;
    return equalBytes(bytes.subarray(a.at, a.at + a.length), bytes.subarray(b.at, b.at + b.length));
  }

  #addPairs(hasLeft: boolean, hasRight: boolean, plan: Plan): boolean {
    const { inodes, store } = this.#engine;
    const leftName = hasLeft ? recordName(store.blocks, this.#a) : undefined;
    const rightName = hasRight ? recordName(store.blocks, this.#b) : undefined;
    const left =
      leftName === undefined ? undefined : inodes.load(this.#left, leftName, this.#a, plan);
    const right =
      rightName === undefined ? undefined : inodes.load(this.#right, rightName, this.#b, plan);
    if ((hasLeft && left === undefined) || (hasRight && right === undefined)) return false;
    if (leftName === rightName) this.#add(leftName as string, left, right);
    else {
      if (leftName !== undefined) this.#add(leftName, left, undefined);
      if (rightName !== undefined) this.#add(rightName, undefined, right);
    }
    return true;
  }

  #add(name: string, left: Vnode | undefined, right: Vnode | undefined): void {
    if (left !== undefined) left.holds++;
    if (right !== undefined) right.holds++;
    this.#pairs.push({ name, left, right });
  }
}

/** What of an inode is different. */
export interface InodeDifference {
  readonly data: boolean;
  readonly attributes: boolean;
}

/** Compares two inodes of the same kind by what they say and name, not by the bytes behind. */
export function compareInodes(left: Vnode, right: Vnode): InodeDifference {
  const sameMap =
    left.depth === right.depth &&
    sameWords(left.slots, right.slots, 0, 16) &&
    equalBytes(left.inline, right.inline);
  const attributes =
    left.mode !== right.mode ||
    left.uid !== right.uid ||
    left.gid !== right.gid ||
    left.rdev !== right.rdev ||
    left.mtime.sec !== right.mtime.sec ||
    left.mtime.nsec !== right.mtime.nsec ||
    !equalBytes(left.attributes, right.attributes) ||
    !sameWords(left.slots, right.slots, 16, 20);
  const data = !left.isDirectory && (left.size !== right.size || !sameMap);
  return { data, attributes };
}

/** Slots that name the same blocks. What else is in a slot follows from the block. */
function sameWords(left: Uint32Array, right: Uint32Array, from: number, to: number): boolean {
  for (let at = from; at < to; at += 4) if (left[at] !== right[at]) return false;
  return true;
}
