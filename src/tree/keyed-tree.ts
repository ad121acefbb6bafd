/**
 * Keyed tree: a B+tree of variable-size records under 53-bit keys.
 *
 * K3. An interior node has at least one child; a leaf that would be empty is taken out, and a tree
 *     without records has no node at all.
 * K4. A node that is less than a quarter full is joined with a neighbour if both fit in three
 *     quarters, so that a tree that was emptied at random is small again. A neighbour that is not
 *     at hand, or that another tree uses too, is left alone.
 * K5. The key of an interior node's first child is not above any key below it either, so that it
 *     can stand between both when the node is joined with the one before it.
 *
 * The root slot belongs to somebody else, an inode or the superblock, and is changeable whenever
 * the tree is changed. Splits choose the middle by bytes with the new record in place; since a
 * record is at most a third of a leaf, both halves always fit. Keys that only ever grow fill their
 * leaves.
 */
import {
  assert,
  BLOCK_SIZE,
  CorruptionError,
  type Frame,
  NO_FRAME,
  type Plan,
} from '../base/index.ts';
import {
  clearSlot,
  copySlot,
  INTERIOR_FANOUT,
  initNode,
  interiorKey,
  interiorSearch,
  interiorSlot,
  LEAF_ENTRY_SIZE,
  leafKey,
  leafRoom,
  leafSearch,
  leafUsed,
  NODE_HEADER_SIZE,
  nodeCount,
  nodeLevel,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  setInteriorKey,
  setNodeCount,
  slotBlock,
  slotHasBlock,
  type TreeKind,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import type { Cow, Target } from './cow.ts';
import { insertEntry, moveEntries, removeEntry } from './leaf.ts';
import { KEYED_NODE, LEVEL_MAX } from './nodes.ts';

/** Where a tree hangs, and for whom its nodes are made. */
export interface TreeRoot {
  readonly tree: TreeKind;
  readonly slots: Uint32Array;
  /** Word of the root slot in `slots`. */
  readonly rootAt: number;
  readonly ownerRealm: number;
  readonly ownerInode: number;
}

/** A place in a leaf. */
export class KeyedPosition {
  frame: Frame = NO_FRAME;
  /** Entry in the leaf. */
  index = 0;
  key = 0;
  /** Byte of the record in the cache's memory, and its length. */
  at = 0;
  length = 0;
}

const LEAF_SPACE = BLOCK_SIZE - NODE_HEADER_SIZE;
const SPARSE = LEAF_SPACE / 4;
const JOINED = (LEAF_SPACE * 3) / 4;

export class KeyedTrees {
  readonly #store: Store;
  readonly #cow: Cow;
  /** The way from the root to the leaf of the last descent, root first. */
  readonly #frames: Frame[] = [];
  readonly #children: number[] = [];
  #levels = 0;
  /** Told when slots in records of a tree were changed by sharing (T5). */
  onMoved: (root: TreeRoot) => void = () => {};

  constructor(store: Store, cow: Cow) {
    this.#store = store;
    this.#cow = cow;
  }

  /** Finds the first record whose key is not below `key`. */
  seek(root: TreeRoot, key: number, position: KeyedPosition, plan: Plan): SeekResult {
    let wanted = key;
    for (;;) {
      const bound = this.#descend(root, wanted, plan);
      if (bound === MISSING) return 'missing';
      if (bound === EMPTY) return 'none';
      const frame = this.#frames[this.#levels - 1] as Frame;
      const base = this.#store.base(frame);
      const { words } = this.#store.blocks;
      const index = leafSearch(words, base, wanted);
      if (index < nodeCount(words, base)) {
        this.#fill(position, frame, index);
        return 'found';
      }
      if (bound === Number.POSITIVE_INFINITY) return 'none';
      wanted = bound;
    }
  }

  /** The record with exactly this key. */
  find(root: TreeRoot, key: number, position: KeyedPosition, plan: Plan): SeekResult {
    const result = this.seek(root, key, position, plan);
    return result === 'found' && position.key !== key ? 'none' : result;
  }

  /** Moves to the next record of the same leaf. False at the end of the leaf. */
  nextInLeaf(position: KeyedPosition): boolean {
    const base = this.#store.base(position.frame);
    if (position.index + 1 >= nodeCount(this.#store.blocks.words, base)) return false;
    this.#fill(position, position.frame, position.index + 1);
    return true;
  }

  /** The greatest key, or -1 if there is none; undefined if the plan has needs. */
  lastKey(root: TreeRoot, plan: Plan): number | undefined {
    const bound = this.#descend(root, Number.MAX_SAFE_INTEGER, plan);
    if (bound === MISSING) return undefined;
    if (bound === EMPTY) return -1;
    const base = this.#store.base(this.#frames[this.#levels - 1] as Frame);
    const { words } = this.#store.blocks;
    return leafKey(words, base, nodeCount(words, base) - 1);
  }

  /** Makes sure that {@link update} of the record with `key` cannot miss. */
  planUpdate(root: TreeRoot, key: number, above: boolean, plan: Plan): boolean {
    return this.#planPath(root, key, above, plan) !== NO_FRAME;
  }

  /** Makes the record with `key` changeable in place. Its length stays. */
  update(root: TreeRoot, key: number, position: KeyedPosition): void {
    const frame = this.#writablePath(root, key);
    const base = this.#store.base(frame);
    const { words } = this.#store.blocks;
    const index = leafSearch(words, base, key);
    assert(
      index < nodeCount(words, base) && leafKey(words, base, index) === key,
      () => `there is no record with key ${key} to update`,
    );
    this.#fill(position, frame, index);
  }

  /** Makes sure that {@link insert}, or {@link resize} to a longer record, cannot miss. */
  planInsert(root: TreeRoot, key: number, above: boolean, plan: Plan): boolean {
    if (!slotHasBlock(root.slots, root.rootAt)) {
      plan.blocks += 2;
      return true;
    }
    const leaf = this.#planPath(root, key, above, plan);
    plan.blocks += 2 * (this.#levels + 1);
    return leaf !== NO_FRAME;
  }

  /** Makes room for a record; its bytes are undefined. There is none with this key. */
  insert(root: TreeRoot, key: number, length: number, position: KeyedPosition): void {
    const { words } = this.#store.blocks;
    if (!slotHasBlock(root.slots, root.rootAt)) this.#newRoot(root, 0);
    let frame = this.#writablePath(root, key);
    let base = this.#store.base(frame);
    this.#lowerKeys(key);
    if (leafRoom(words, base) < length + LEAF_ENTRY_SIZE) {
      frame = this.#splitLeaf(root, frame, key, length);
      base = this.#store.base(frame);
    }
    const index = leafSearch(words, base, key);
    insertEntry(this.#store.blocks, frame, index, key, length);
    this.#fill(position, frame, index);
  }

  /** Makes sure that {@link remove} cannot miss. */
  planRemove(root: TreeRoot, key: number, above: boolean, plan: Plan): boolean {
    return this.#planPath(root, key, above, plan, true) !== NO_FRAME;
  }

  /** Takes a record out. What its slots name is the caller's concern. */
  remove(root: TreeRoot, key: number): void {
    const frame = this.#writablePath(root, key);
    const base = this.#store.base(frame);
    const { words } = this.#store.blocks;
    const index = leafSearch(words, base, key);
    assert(
      leafKey(words, base, index) === key,
      () => `there is no record with key ${key} to remove`,
    );
    removeEntry(this.#store.blocks, frame, index);
    this.#repair(root);
  }

  /** Gives the record with `key` another length; its bytes are undefined. */
  resize(root: TreeRoot, key: number, length: number, position: KeyedPosition): void {
    this.update(root, key, position);
    if (position.length === length) return;
    removeEntry(this.#store.blocks, position.frame, position.index);
    this.insert(root, key, length, position);
  }

  /** Like {@link find}, but only in memory: false too if the record is not there. */
  peek(root: TreeRoot, key: number, position: KeyedPosition): boolean {
    let { slots: words, rootAt: at } = root;
    while (slotHasBlock(words, at)) {
      const frame = this.#store.blocks.find(slotBlock(words, at));
      if (frame === NO_FRAME) return false;
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      if (nodeLevel(words, base) === 0) {
        const index = leafSearch(words, base, key);
        if (index === nodeCount(words, base) || leafKey(words, base, index) !== key) return false;
        this.#fill(position, frame, index);
        return true;
      }
      at = interiorSlot(base, interiorSearch(words, base, key));
    }
    return false;
  }

  #fill(position: KeyedPosition, frame: Frame, index: number): void {
    const { words } = this.#store.blocks;
    const base = this.#store.base(frame);
    position.frame = frame;
    position.index = index;
    position.key = leafKey(words, base, index);
    position.at = base * 4 + recordOffset(words, base, index);
    position.length = recordLength(words, base, index);
  }

  /**
   * Goes down to the leaf for `key`. Returns the lowest key of the leaf after it, infinity if there
   * is none, or MISSING or EMPTY.
   */
  #descend(root: TreeRoot, key: number, plan: Plan): number {
    this.#levels = 0;
    let { slots: words, rootAt: at } = root;
    if (!slotHasBlock(words, at)) return EMPTY;
    let bound = Number.POSITIVE_INFINITY;
    for (;;) {
      const frame = this.#store.want(words, at, KEYED_NODE[root.tree], plan);
      if (frame === NO_FRAME) return MISSING;
      this.#checkLevel(frame);
      this.#frames[this.#levels] = frame;
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      if (nodeLevel(words, base) === 0) {
        this.#levels++;
        this.#checkKeys(frame, bound);
        return bound;
      }
      const child = interiorSearch(words, base, key);
      this.#children[this.#levels++] = child;
      if (child + 1 < nodeCount(words, base)) bound = interiorKey(words, base, child + 1);
      at = interiorSlot(base, child);
    }
  }

  /** A child is one level below its parent, or the image was made to lead us in circles. */
  #checkLevel(frame: Frame): void {
    if (this.#levels === 0) return;
    const { words } = this.#store.blocks;
    const level = nodeLevel(words, this.#store.base(frame));
    const parent = nodeLevel(words, this.#store.base(this.#frames[this.#levels - 1] as Frame));
    if (level === parent - 1 && this.#levels <= LEVEL_MAX) return;
    const address = this.#store.blocks.blockOf(frame) * BLOCK_SIZE;
    throw new CorruptionError('directory node', address, `its level is ${level} under ${parent}`);
  }

  /** A key that does not belong under its separators would be listed, and never be found. */
  #checkKeys(frame: Frame, bound: number): void {
    const { words } = this.#store.blocks;
    const base = this.#store.base(frame);
    const count = nodeCount(words, base);
    if (count === 0 || leafKey(words, base, count - 1) < bound) return;
    const address = this.#store.blocks.blockOf(frame) * BLOCK_SIZE;
    throw new CorruptionError('leaf', address, `its last key is not below ${bound}`);
  }

  /** Plans the way to the leaf for `key`; for removing, the neighbours of sparse nodes too. */
  #planPath(root: TreeRoot, key: number, above: boolean, plan: Plan, removing = false): Frame {
    this.#levels = 0;
    let { slots: words, rootAt: at } = root;
    let shared = above;
    for (;;) {
      const frame = this.#cow.planWritable(words, at, target(root), shared, plan);
      if (frame === NO_FRAME) return NO_FRAME;
      shared = this.#cow.shared;
      this.#checkLevel(frame);
      this.#frames[this.#levels] = frame;
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      if (nodeLevel(words, base) === 0) {
        this.#levels++;
        return frame;
      }
      const child = interiorSearch(words, base, key);
      this.#children[this.#levels++] = child;
      if (removing && !this.#planNeighbour(root, base, child, plan)) return NO_FRAME;
      at = interiorSlot(base, child);
    }
  }

  /** Brings in the neighbour with which child `i` may be joined. */
  #planNeighbour(root: TreeRoot, base: number, i: number, plan: Plan): boolean {
    const { words } = this.#store.blocks;
    plan.blocks += 2;
    const neighbour = i + 1 < nodeCount(words, base) ? i + 1 : i - 1;
    if (neighbour < 0) return true;
    const frame = this.#store.want(words, interiorSlot(base, i), KEYED_NODE[root.tree], plan);
    if (frame === NO_FRAME) return false;
    if (!isSparse(words, this.#store.base(frame), true)) return true;
    const at = interiorSlot(base, neighbour);
    const counted = this.#store.wantCounts(words, at, plan);
    return this.#store.want(words, at, KEYED_NODE[root.tree], plan) !== NO_FRAME && counted;
  }

  /** Makes the way to the leaf for `key` changeable. */
  #writablePath(root: TreeRoot, key: number): Frame {
    this.#levels = 0;
    let { slots: words, rootAt: at } = root;
    for (;;) {
      const frame = this.#cow.writable(words, at, target(root), this.#levels < 2);
      this.#frames[this.#levels] = frame;
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      const child = nodeLevel(words, base) === 0 ? 0 : interiorSearch(words, base, key);
      this.#children[this.#levels++] = child;
      if (nodeLevel(words, base) === 0) break;
      at = interiorSlot(base, child);
    }
    if (this.#cow.moved) {
      this.#cow.moved = false;
      this.onMoved(root);
    }
    return this.#frames[this.#levels - 1] as Frame;
  }

  /** A record before all others may lie below the keys of the first children (K5). */
  #lowerKeys(key: number): void {
    const { words } = this.#store.blocks;
    for (let depth = 0; depth < this.#levels - 1; depth++) {
      const base = this.#store.base(this.#frames[depth] as Frame);
      if (key < interiorKey(words, base, 0)) setInteriorKey(words, base, 0, key);
    }
  }

  #allocate(root: TreeRoot, slots: Uint32Array, at: number, level: number, depth: number): Frame {
    const frame = this.#store.allocate(slots, at, SlotKind.NODE, depth < 2);
    initNode(this.#store.blocks.words, this.#store.base(frame), {
      level,
      tree: root.tree,
      realm: root.ownerRealm,
      inode: root.ownerInode,
      birth: this.#store.txg,
      image: this.#store.blocks.seed,
    });
    return frame;
  }

  /** An empty root; at a level above 0 the old root becomes its only child. */
  #newRoot(root: TreeRoot, level: number): Frame {
    const old = root.slots.slice(root.rootAt, root.rootAt + SLOT_WORDS);
    const frame = this.#allocate(root, root.slots, root.rootAt, level, 0);
    if (level > 0) {
      const base = this.#store.base(frame);
      const { words } = this.#store.blocks;
      copySlot(old, 0, words, interiorSlot(base, 0));
      setInteriorKey(words, base, 0, 0);
      setNodeCount(words, base, 1);
    }
    return frame;
  }

  /** Splits the leaf at the end of the path; returns the half that takes the new record. */
  #splitLeaf(root: TreeRoot, frame: Frame, key: number, length: number): Frame {
    const { words } = this.#store.blocks;
    const base = this.#store.base(frame);
    const at = leafSearch(words, base, key);
    const grows = this.#isLast(this.#levels - 1);
    const split = splitPoint(words, base, { at, size: length + LEAF_ENTRY_SIZE, grows });
    const count = nodeCount(words, base);
    const firstRight = split.index < count ? leafKey(words, base, split.index) : key;
    const separator = split.newGoesRight && split.index === at ? key : firstRight;
    const right = this.#addSibling(root, this.#levels - 1, 0, separator);
    moveEntries(this.#store.blocks, frame, split.index, right);
    return split.newGoesRight ? right : frame;
  }

  /**
   * A new node after the one at `depth` of the path, in its parent, which is split if it is full.
   */
  #addSibling(root: TreeRoot, depth: number, level: number, separator: number): Frame {
    if (depth === 0) {
      this.#newRoot(root, level + 1);
      this.#frames.unshift(this.#store.resident(root.slots, root.rootAt));
      this.#children.unshift(0);
      this.#levels++;
      return this.#addSibling(root, 1, level, separator);
    }
    const { words } = this.#store.blocks;
    let parent = this.#frames[depth - 1] as Frame;
    let child = this.#children[depth - 1] as number;
    if (nodeCount(words, this.#store.base(parent)) === INTERIOR_FANOUT) {
      const levels = this.#levels;
      [parent, child] = this.#splitInterior(root, depth - 1, child);
      depth += this.#levels - levels;
    }
    const base = this.#store.base(parent);
    const count = nodeCount(words, base);
    openInterior(words, base, child + 1, count);
    setInteriorKey(words, base, child + 1, separator);
    return this.#allocate(root, words, interiorSlot(base, child + 1), level, depth);
  }

  /** Splits an interior node of the path in half; returns where its child `child` is now. */
  #splitInterior(root: TreeRoot, depth: number, child: number): [Frame, number] {
    const { words } = this.#store.blocks;
    const left = this.#frames[depth] as Frame;
    const base = this.#store.base(left);
    const level = nodeLevel(words, base);
    const count = nodeCount(words, base);
    const half = child === count - 1 && this.#isLast(depth) ? count - 1 : count >>> 1;
    const right = this.#addSibling(root, depth, level, interiorKey(words, base, half));
    moveInterior(words, base, half, this.#store.base(right));
    return child >= half ? [right, child - half] : [left, child];
  }

  /** True if no node of its level comes after the one at `depth` of the path. */
  #isLast(depth: number): boolean {
    const { words } = this.#store.blocks;
    for (let above = 0; above < depth; above++) {
      const base = this.#store.base(this.#frames[above] as Frame);
      if (this.#children[above] !== nodeCount(words, base) - 1) return false;
    }
    return true;
  }

  /** After a record was taken out: empty nodes go, sparse ones are joined, the root sinks. */
  #repair(root: TreeRoot): void {
    const { words } = this.#store.blocks;
    for (let depth = this.#levels - 1; depth > 0; depth--) {
      const base = this.#store.base(this.#frames[depth] as Frame);
      const parent = this.#store.base(this.#frames[depth - 1] as Frame);
      const child = this.#children[depth - 1] as number;
      if (nodeCount(words, base) === 0) this.#dropChild(parent, child);
      else if (isSparse(words, base, false)) this.#join(root, parent, child, depth);
      else break;
    }
    this.#sinkRoot(root);
  }

  #dropChild(parent: number, child: number): void {
    const { words } = this.#store.blocks;
    this.#store.release(words, interiorSlot(parent, child));
    closeInterior(words, parent, child);
  }

  /** Joins a sparse child with its neighbour if both fit. The right one of the two goes. */
  #join(root: TreeRoot, parent: number, child: number, depth: number): void {
    const { words } = this.#store.blocks;
    const neighbour = child + 1 < nodeCount(words, parent) ? child + 1 : child - 1;
    if (neighbour < 0) return;
    const at = interiorSlot(parent, neighbour);
    if (!this.#cow.isAlone(words, at)) return;
    const known = this.#store.base(this.#store.resident(words, at));
    const self = this.#store.base(this.#frames[depth] as Frame);
    if (!fitTogether(words, self, known)) return;
    const other = this.#cow.writable(words, at, target(root), depth < 2);
    const mine = this.#frames[depth] as Frame;
    const [left, right] = neighbour > child ? [mine, other] : [other, mine];
    if (nodeLevel(words, self) === 0) moveEntries(this.#store.blocks, right, 0, left);
    else moveInterior(words, this.#store.base(right), 0, this.#store.base(left));
    this.#dropChild(parent, Math.max(child, neighbour));
  }

  /** A root without records goes; one with a single child gives way to it. It is changeable. */
  #sinkRoot(root: TreeRoot): void {
    const { words } = this.#store.blocks;
    for (;;) {
      const base = this.#store.base(this.#store.resident(root.slots, root.rootAt));
      const count = nodeCount(words, base);
      if (count > 1 || (count === 1 && nodeLevel(words, base) === 0)) return;
      const child = words.slice(interiorSlot(base, 0), interiorSlot(base, 0) + SLOT_WORDS);
      this.#store.release(root.slots, root.rootAt);
      clearSlot(root.slots, root.rootAt);
      if (count === 0) return;
      copySlot(child, 0, root.slots, root.rootAt);
      // What another tree uses too keeps its only child: that is one reference, not two.
      if (!this.#cow.isAlone(root.slots, root.rootAt)) return;
    }
  }
}

export type SeekResult = 'found' | 'none' | 'missing';

const MISSING = -1;
const EMPTY = -2;

function target(root: TreeRoot): Target {
  return { role: SlotRole.KEYED, detail: root.tree };
}

/** Less than a quarter full; `soon`: or it will be when one record goes. */
function isSparse(words: Uint32Array, base: number, soon: boolean): boolean {
  const count = nodeCount(words, base);
  if (nodeLevel(words, base) > 0) return count - (soon ? 1 : 0) < INTERIOR_FANOUT / 4;
  return leafUsed(words, base) < SPARSE + (soon ? LEAF_SPACE / 3 : 0);
}

function fitTogether(words: Uint32Array, left: number, right: number): boolean {
  if (nodeLevel(words, left) > 0) {
    return nodeCount(words, left) + nodeCount(words, right) <= (INTERIOR_FANOUT * 3) / 4;
  }
  return leafUsed(words, left) + leafUsed(words, right) <= JOINED;
}

/**
 * Where to split a leaf so that both halves fit once a record of `size` stands before `at`. If the
 * tree `grows` at its end, the left half stays full.
 */
function splitPoint(
  words: Uint32Array,
  base: number,
  { at, size, grows }: { at: number; size: number; grows: boolean },
): { index: number; newGoesRight: boolean } {
  const count = nodeCount(words, base);
  if (at === count && grows) return { index: count, newGoesRight: true };
  const half = (leafUsed(words, base) + size) / 2;
  let left = 0;
  for (let i = 0; i < count; i++) {
    if (i === at) {
      if (left >= half) return { index: i, newGoesRight: true };
      left += size;
    }
    if (left >= half) return { index: i, newGoesRight: i < at };
    left += recordLength(words, base, i) + LEAF_ENTRY_SIZE;
  }
  return { index: count - 1, newGoesRight: at === count };
}

/** Makes room for a child at `i` of an interior node with `count` children. */
function openInterior(words: Uint32Array, base: number, i: number, count: number): void {
  for (let j = count; j > i; j--) {
    setInteriorKey(words, base, j, interiorKey(words, base, j - 1));
    copySlot(words, interiorSlot(base, j - 1), words, interiorSlot(base, j));
  }
  clearSlot(words, interiorSlot(base, i));
  setNodeCount(words, base, count + 1);
}

function closeInterior(words: Uint32Array, base: number, i: number): void {
  const count = nodeCount(words, base);
  for (let j = i; j < count - 1; j++) {
    setInteriorKey(words, base, j, interiorKey(words, base, j + 1));
    copySlot(words, interiorSlot(base, j + 1), words, interiorSlot(base, j));
  }
  clearSlot(words, interiorSlot(base, count - 1));
  setInteriorKey(words, base, count - 1, 0);
  setNodeCount(words, base, count - 1);
}

/** Moves the children from `from` on to the end of another interior node. */
function moveInterior(words: Uint32Array, source: number, from: number, to: number): void {
  const count = nodeCount(words, source);
  let end = nodeCount(words, to);
  for (let i = from; i < count; i++, end++) {
    setInteriorKey(words, to, end, interiorKey(words, source, i));
    copySlot(words, interiorSlot(source, i), words, interiorSlot(to, end));
    clearSlot(words, interiorSlot(source, i));
    setInteriorKey(words, source, i, 0);
  }
  setNodeCount(words, to, end);
  setNodeCount(words, source, from);
}
