/**
 * File map: where the blocks of a file are, as a radix tree of slots.
 *
 * The root slots belong to the inode; whoever changes a map has made the inode changeable before.
 * Depth grows when a block beyond the capacity is mapped, and shrinks when a file is cut.
 */
import { assert, type Block, type Frame, NO_FRAME, type Plan } from '../base/index.ts';
import {
  clearSlot,
  copySlot,
  DIRTY,
  depthFor,
  EMBEDDED_SLOTS,
  MAP_FANOUT,
  mapCapacity,
  mapIndex,
  mapSlot,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type SlotVisitor,
  setSlot,
  slotBlock,
  slotFlags,
  slotHasBlock,
  slotKind,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import type { Cow } from './cow.ts';
import { MAP_NODE } from './nodes.ts';

/** The root of a file's map, as the inode keeps it. */
export interface MapRoot {
  /** Room for four slots; only the first is used at a depth above 0. */
  readonly slots: Uint32Array;
  depth: number;
}

/** Where the slot of a file block is, and for how many blocks from there on it can be said. */
export class MapPosition {
  /** SlotKind of what is there; HOLE too where no node reaches. */
  kind: SlotKind = SlotKind.HOLE;
  /** True if there is a slot for this very block: then `words` and `at` say where. */
  hasSlot = false;
  words: Uint32Array = new Uint32Array(0);
  at = 0;
  /** Blocks from here on whose slots follow in the same node; without slots, all are alike. */
  left = 0;
}

/** Blocks of a file, the last one excluded. */
export interface BlockRange {
  readonly first: number;
  readonly end: number;
}

/** A range as the children of one node see it: they begin at file block `base`. */
interface RangeBelow extends BlockRange {
  readonly level: number;
  readonly base: number;
}

interface PunchPlan extends RangeBelow {
  readonly above: boolean;
}

interface PunchRange extends RangeBelow {
  readonly twin: boolean;
}

/** A run of blocks that is to be mapped. */
export interface MapRun {
  /** File block. */
  readonly first: number;
  readonly block: Block;
  readonly checksums: Uint32Array;
}

export class FileMaps {
  readonly #store: Store;
  readonly #cow: Cow;
  readonly #slotPosition = new MapPosition();

  constructor(store: Store, cow: Cow) {
    this.#store = store;
    this.#cow = cow;
  }

  /** Finds the slot of a file block. False if the plan got a load. */
  locate(map: MapRoot, fileBlock: number, position: MapPosition, plan: Plan): boolean {
    const { depth, slots } = map;
    const capacity = mapCapacity(depth, EMBEDDED_SLOTS);
    if (fileBlock >= capacity) return this.#nothing(position, Number.MAX_SAFE_INTEGER);
    if (depth === 0)
      return this.#found(position, slots, fileBlock * SLOT_WORDS, EMBEDDED_SLOTS - fileBlock);
    let words = slots;
    let at = 0;
    for (let level = depth - 1; level >= 0; level--) {
      if (!slotHasBlock(words, at)) {
        const span = 256 ** (level + 1);
        position.kind = slotKind(words, at);
        position.hasSlot = false;
        position.left = span - (fileBlock % span);
        return true;
      }
      const frame = this.#store.want(words, at, MAP_NODE, plan);
      if (frame === NO_FRAME) return false;
      words = this.#store.blocks.words;
      at = this.#store.base(frame) + mapSlot(fileBlock, level);
    }
    return this.#found(position, words, at, MAP_FANOUT - mapIndex(fileBlock, 0));
  }

  /**
   * Whether a node on the way to a file block is named more than once; undefined: plan has needs.
   */
  isShared(map: MapRoot, fileBlock: number, plan: Plan): boolean | undefined {
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level >= 0 && slotHasBlock(words, at); level--) {
      const block = slotBlock(words, at);
      if (!this.#store.groups.wantNamed(block, plan)) return undefined;
      if (this.#store.groups.count(block) > 1) return true;
      const frame = this.#store.want(words, at, MAP_NODE, plan);
      if (frame === NO_FRAME) return undefined;
      words = this.#store.blocks.words;
      at = this.#store.base(frame) + mapSlot(fileBlock, level);
    }
    return false;
  }

  /**
   * Makes sure that {@link setRun} of these file blocks cannot miss. `above`: the slots of the root
   * count as shared.
   */
  planSet(
    map: MapRoot,
    { first, count }: { first: number; count: number },
    above: boolean,
    plan: Plan,
  ): void {
    const last = first + count - 1;
    const depth = Math.max(map.depth, depthFor(last + 1));
    plan.blocks += 2 * (depth - map.depth);
    if (map.depth === 0) {
      for (let b = first; b <= last && b < EMBEDDED_SLOTS; b++) {
        this.#planReplace(map.slots, b * SLOT_WORDS, plan);
      }
      plan.blocks +=
        2 * depth * (Math.floor(last / MAP_FANOUT) - Math.floor(first / MAP_FANOUT) + 1);
      return;
    }
    this.#planRange(map.slots, 0, { level: map.depth - 1, first, last, base: 0, above }, plan);
    if (depth > map.depth) {
      plan.blocks +=
        2 * depth * (Math.floor(last / MAP_FANOUT) - Math.floor(first / MAP_FANOUT) + 1);
    }
  }

  /** Maps a run; what was there is given back. Returns how many blocks were not mapped before. */
  setRun(map: MapRoot, run: MapRun): number {
    const count = run.checksums.length;
    this.#grow(map, depthFor(run.first + count));
    let added = 0;
    for (let done = 0; done < count; ) {
      const fileBlock = run.first + done;
      const { words, at, left } = this.#leafSlot(map, fileBlock);
      const part = Math.min(left, count - done);
      for (let i = 0; i < part; i++) {
        if (this.#replace(words, at + i * SLOT_WORDS, run, done + i)) added++;
      }
      done += part;
    }
    return added;
  }

  /**
   * Copies out the slots of file blocks that have a block, the others as holes: what
   * {@link setSlots} takes. False if the plan got a load.
   */
  getSlots(map: MapRoot, first: number, into: Uint32Array, count: number, plan: Plan): boolean {
    const position = this.#slotPosition;
    into.fill(0);
    for (let i = 0; i < count; ) {
      if (!this.locate(map, first + i, position, plan)) return false;
      const part = Math.min(position.left, count - i);
      for (let k = 0; position.hasSlot && k < part; k++) {
        const at = position.at + k * SLOT_WORDS;
        if (slotHasBlock(position.words, at)) {
          copySlot(position.words, at, into, (i + k) * SLOT_WORDS);
        }
      }
      i += part;
    }
    return true;
  }

  /**
   * Maps blocks by slots that are given, holes among them; each owns the reference it names. It is
   * planned for as {@link setRun} is. Returns how many blocks are mapped more than before.
   */
  setSlots(map: MapRoot, first: number, slots: Uint32Array, count: number): number {
    this.#grow(map, depthFor(first + count));
    let added = 0;
    for (let done = 0; done < count; ) {
      const { words, at, left } = this.#leafSlot(map, first + done);
      const part = Math.min(left, count - done);
      for (let i = 0; i < part; i++, done++) {
        const to = at + i * SLOT_WORDS;
        if (slotHasBlock(words, to)) added--;
        if (slotHasBlock(slots, done * SLOT_WORDS)) added++;
        this.#drop(words, to);
        copySlot(slots, done * SLOT_WORDS, words, to);
      }
    }
    return added;
  }

  /** Makes sure that {@link cut} at this file block cannot miss; `above` as in {@link planSet}. */
  planCut(map: MapRoot, from: number, above: boolean, plan: Plan): void {
    if (map.depth === 0) {
      for (let b = from; b < EMBEDDED_SLOTS; b++) {
        if (slotHasBlock(map.slots, b * SLOT_WORDS)) {
          this.#cow.planRelease(map.slots, b * SLOT_WORDS, plan);
        }
      }
      return;
    }
    if (from === 0 || from >= mapCapacity(map.depth, 0)) return;
    this.#planCutPath(map, from, above, plan);
  }

  /**
   * Takes everything from file block `from` on out of the map. Whole subtrees are handed to
   * `discard`, which owns the reference in the slot it is shown from then on.
   */
  cut(map: MapRoot, from: number, discard: SlotVisitor): void {
    if (map.depth === 0) {
      for (let b = from; b < EMBEDDED_SLOTS; b++) this.#drop(map.slots, b * SLOT_WORDS);
      return;
    }
    if (from === 0) {
      if (slotHasBlock(map.slots, 0)) discard(map.slots, 0, SlotRole.MAP, map.depth - 1);
      clearSlot(map.slots, 0);
      map.depth = 0;
      return;
    }
    if (from >= mapCapacity(map.depth, 0)) return;
    this.#cutPath(map, from, discard);
    this.#shrink(map, from);
  }

  /** Makes sure that {@link punch} of these file blocks cannot miss; `above` as in planSet. */
  planPunch(map: MapRoot, { first, end }: BlockRange, above: boolean, plan: Plan): void {
    if (map.depth === 0) {
      for (let b = first; b < Math.min(end, EMBEDDED_SLOTS); b++) {
        this.#planReplace(map.slots, b * SLOT_WORDS, plan);
      }
      return;
    }
    const whole = { level: map.depth - 1, base: 0 };
    this.#planPunch(map.slots, 0, { ...whole, first, end, above }, plan);
  }

  /**
   * Makes holes of these file blocks. Whole subtrees are handed to `discard`, at most two of each
   * level and the root, however many blocks there are. Returns how many blocks it has given back
   * itself.
   */
  punch(map: MapRoot, { first, end }: BlockRange, discard: SlotVisitor): number {
    if (map.depth > 0) {
      const whole = { level: map.depth - 1, base: 0 };
      return this.#punch(map.slots, 0, { ...whole, first, end, twin: true }, discard);
    }
    let dropped = 0;
    for (let b = first; b < Math.min(end, EMBEDDED_SLOTS); b++) {
      if (slotHasBlock(map.slots, b * SLOT_WORDS)) dropped++;
      this.#drop(map.slots, b * SLOT_WORDS);
    }
    return dropped;
  }

  #nothing(position: MapPosition, left: number): true {
    position.kind = SlotKind.HOLE;
    position.hasSlot = false;
    position.left = left;
    return true;
  }

  #found(position: MapPosition, words: Uint32Array, at: number, left: number): true {
    position.kind = slotKind(words, at);
    position.hasSlot = true;
    position.words = words;
    position.at = at;
    position.left = left;
    return true;
  }

  /** Plans a slot that will be overwritten: the counts of what it names are needed. */
  #planReplace(words: Uint32Array, at: number, plan: Plan): void {
    if (slotHasBlock(words, at)) this.#cow.planRelease(words, at, plan);
  }

  #planRange(
    words: Uint32Array,
    at: number,
    range: { level: number; first: number; last: number; base: number; above: boolean },
    plan: Plan,
  ): void {
    const { level, first, last, base } = range;
    if (!slotHasBlock(words, at)) {
      const leaves = Math.floor(last / MAP_FANOUT) - Math.floor(first / MAP_FANOUT) + 1;
      plan.blocks += 2 * (level + 1) * leaves;
      return;
    }
    const target = { role: SlotRole.MAP, detail: level };
    const frame = this.#cow.planWritable(words, at, target, range.above, plan);
    if (frame === NO_FRAME) return;
    const above = this.#cow.shared;
    const node = this.#store.base(frame);
    const { words: nodes } = this.#store.blocks;
    const span = 256 ** level;
    const from = Math.max(0, Math.floor((first - base) / span));
    const to = Math.min(MAP_FANOUT - 1, Math.floor((last - base) / span));
    for (let i = from; i <= to; i++) {
      const child = node + i * SLOT_WORDS;
      if (level === 0) this.#planReplace(nodes, child, plan);
      else {
        const below = { level: level - 1, first, last, base: base + i * span, above };
        this.#planRange(nodes, child, below, plan);
      }
    }
  }

  /** The root gets parents until the map has `depth`. */
  #grow(map: MapRoot, depth: number): void {
    while (map.depth < depth) {
      const store = this.#store;
      const old = map.slots.slice(0, EMBEDDED_SLOTS * SLOT_WORDS);
      const empty = old.every((word) => word === 0);
      clearSlots(map.slots);
      if (empty) {
        map.depth = depth;
        return;
      }
      const frame = store.allocate(map.slots, 0, SlotKind.NODE, true);
      const base = store.base(frame);
      store.blocks.words.fill(0, base, base + MAP_FANOUT * SLOT_WORDS);
      store.blocks.words.set(map.depth === 0 ? old : old.subarray(0, SLOT_WORDS), base);
      map.depth++;
    }
  }

  /** The changeable slot of a file block; nodes on the way are made if they are missing. */
  #leafSlot(map: MapRoot, fileBlock: number): { words: Uint32Array; at: number; left: number } {
    if (map.depth === 0) {
      return { words: map.slots, at: fileBlock * SLOT_WORDS, left: EMBEDDED_SLOTS - fileBlock };
    }
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level >= 0; level--) {
      const frame = this.#child(words, at, level, map.depth - level <= 2);
      words = this.#store.blocks.words;
      at = this.#store.base(frame) + mapSlot(fileBlock, level);
    }
    return { words, at, left: MAP_FANOUT - mapIndex(fileBlock, 0) };
  }

  #child(words: Uint32Array, at: number, level: number, twin: boolean): Frame {
    if (slotHasBlock(words, at)) {
      return this.#cow.writable(words, at, { role: SlotRole.MAP, detail: level }, twin);
    }
    const unwritten = slotKind(words, at) === SlotKind.UNWRITTEN;
    const frame = this.#store.allocate(words, at, SlotKind.NODE, twin);
    const base = this.#store.base(frame);
    const nodes = this.#store.blocks.words;
    nodes.fill(0, base, base + MAP_FANOUT * SLOT_WORDS);
    for (let i = 0; unwritten && i < MAP_FANOUT; i++) {
      nodes[base + i * SLOT_WORDS + 1] = SlotKind.UNWRITTEN << 8;
    }
    return frame;
  }

  /** Puts block `i` of the run into a slot. True if the slot was empty. */
  #replace(words: Uint32Array, at: number, run: MapRun, i: number): boolean {
    const empty = !slotHasBlock(words, at);
    if (!empty) this.#store.release(words, at);
    const block = (run.block + i) as Block;
    this.#store.groups.increment(block);
    const checksum = run.checksums[i] as number;
    setSlot(words, at, { block, flags: SlotKind.DATA, birth: this.#store.txg, checksum });
    return empty;
  }

  #drop(words: Uint32Array, at: number): void {
    if (slotHasBlock(words, at)) this.#cow.release(words, at);
    else clearSlot(words, at);
  }

  #planCutPath(map: MapRoot, from: number, above: boolean, plan: Plan): void {
    let words = map.slots;
    let at = 0;
    let shared = above;
    for (let level = map.depth - 1; level >= 0; level--) {
      if (!slotHasBlock(words, at)) return;
      const target = { role: SlotRole.MAP, detail: level };
      const frame = this.#cow.planWritable(words, at, target, shared, plan);
      if (frame === NO_FRAME) return;
      shared = this.#cow.shared;
      plan.blocks += 1;
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      const index = mapIndex(from - 1, level);
      for (let i = index + 1; level === 0 && i < MAP_FANOUT; i++) {
        this.#planReplace(words, base + i * SLOT_WORDS, plan);
      }
      at = base + index * SLOT_WORDS;
    }
  }

  /**
   * What lies to the right of the path to the last block that stays is cut off: single blocks at
   * the lowest level, and above it all subtrees of a node together, in a node of their own.
   */
  #cutPath(map: MapRoot, from: number, discard: SlotVisitor): void {
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level >= 0; level--) {
      if (!slotHasBlock(words, at)) return;
      const target = { role: SlotRole.MAP, detail: level };
      const frame = this.#cow.writable(words, at, target, map.depth - level <= 2);
      const base = this.#store.base(frame);
      words = this.#store.blocks.words;
      const index = mapIndex(from - 1, level);
      if (level > 0) this.#moveOut(base, { from: index + 1, to: MAP_FANOUT }, level, discard);
      for (let i = index + 1; level === 0 && i < MAP_FANOUT; i++) {
        this.#drop(words, base + i * SLOT_WORDS);
      }
      at = base + index * SLOT_WORDS;
    }
  }

  /** Children of a node go, all together, as the children of a node of their own. */
  #moveOut(
    base: number,
    { from, to }: { from: number; to: number },
    level: number,
    discard: SlotVisitor,
  ): void {
    const { words } = this.#store.blocks;
    const start = base + from * SLOT_WORDS;
    const end = base + to * SLOT_WORDS;
    let any = false;
    for (let at = start; at < end; at += SLOT_WORDS) any ||= slotHasBlock(words, at);
    if (!any) {
      words.fill(0, start, end);
      return;
    }
    const slot = new Uint32Array(SLOT_WORDS);
    const frame = this.#store.allocate(slot, 0, SlotKind.NODE, false);
    const apart = this.#store.base(frame);
    words.fill(0, apart, apart + MAP_FANOUT * SLOT_WORDS);
    words.copyWithin(apart + from * SLOT_WORDS, start, end);
    words.fill(0, start, end);
    discard(slot, 0, SlotRole.MAP, level);
  }

  #planPunch(words: Uint32Array, at: number, range: PunchPlan, plan: Plan): void {
    const { level, first, end, base } = range;
    const span = 256 ** level;
    if (first <= base && end >= base + span * MAP_FANOUT) return;
    if (!slotHasBlock(words, at)) {
      if (slotKind(words, at) === SlotKind.UNWRITTEN) plan.blocks += 4 * (level + 1);
      return;
    }
    const target = { role: SlotRole.MAP, detail: level };
    const frame = this.#cow.planWritable(words, at, target, range.above, plan);
    if (frame === NO_FRAME) return;
    const above = this.#cow.shared;
    // A node for the subtrees that go.
    plan.blocks += 1;
    const node = this.#store.base(frame);
    const { words: nodes } = this.#store.blocks;
    const [from, to] = childrenIn(range, span);
    for (let i = from; i < to; i++) {
      if (level === 0) this.#planReplace(nodes, node + i * SLOT_WORDS, plan);
      else if (i === from || i === to - 1) {
        const below = { level: level - 1, first, end, base: base + i * span, above };
        this.#planPunch(nodes, node + i * SLOT_WORDS, below, plan);
      }
    }
  }

  #punch(words: Uint32Array, at: number, range: PunchRange, discard: SlotVisitor): number {
    const { level, first, end, base, twin } = range;
    const span = 256 ** level;
    const whole = first <= base && end >= base + span * MAP_FANOUT;
    if (whole) {
      if (slotHasBlock(words, at)) discard(words, at, SlotRole.MAP, level);
      clearSlot(words, at);
      return 0;
    }
    if (slotKind(words, at) === SlotKind.HOLE) return 0;
    const node = this.#store.base(this.#child(words, at, level, twin));
    const { words: nodes } = this.#store.blocks;
    const [from, to] = childrenIn(range, span);
    let dropped = 0;
    if (level === 0) {
      for (let i = from; i < to; i++) {
        if (slotHasBlock(nodes, node + i * SLOT_WORDS)) dropped++;
        this.#drop(nodes, node + i * SLOT_WORDS);
      }
      return dropped;
    }
    const below = { level: level - 1, first, end, twin: false };
    const inner = { from, to };
    if (first > base + from * span || end < base + (from + 1) * span) inner.from++;
    if (to > inner.from && end < base + to * span) inner.to--;
    this.#moveOut(node, inner, level, discard);
    for (let i = from; i < to; i++) {
      if (i >= inner.from && i < inner.to) continue;
      const child = { ...below, base: base + i * span };
      dropped += this.#punch(nodes, node + i * SLOT_WORDS, child, discard);
    }
    return dropped;
  }

  /** Takes away levels that a shorter file does not need. Their nodes were made changeable. */
  #shrink(map: MapRoot, blocks: number): void {
    const store = this.#store;
    while (map.depth > 1 && blocks <= mapCapacity(map.depth - 1, 0)) {
      if (!slotHasBlock(map.slots, 0)) {
        map.depth--;
        continue;
      }
      const base = store.base(store.resident(map.slots, 0));
      const child = store.blocks.words.slice(base, base + SLOT_WORDS);
      assert((slotFlags(map.slots, 0) & DIRTY) !== 0, 'the root was made changeable');
      store.release(map.slots, 0);
      copySlot(child, 0, map.slots, 0);
      map.depth--;
    }
    if (map.depth === 1 && blocks <= EMBEDDED_SLOTS) this.#embed(map);
  }

  /** The last few blocks of a file move into the inode. */
  #embed(map: MapRoot): void {
    const store = this.#store;
    if (slotHasBlock(map.slots, 0)) {
      const base = store.base(store.resident(map.slots, 0));
      const slots = store.blocks.words.slice(base, base + EMBEDDED_SLOTS * SLOT_WORDS);
      store.release(map.slots, 0);
      map.slots.set(slots);
    }
    map.depth = 0;
  }
}

function clearSlots(slots: Uint32Array): void {
  slots.fill(0, 0, EMBEDDED_SLOTS * SLOT_WORDS);
}

/** The children of a node that a range touches, each of which covers `span` blocks. */
function childrenIn({ first, end, base }: RangeBelow, span: number): [number, number] {
  const from = Math.max(0, Math.floor((first - base) / span));
  const to = Math.min(MAP_FANOUT, Math.ceil((end - base) / span));
  return [from, Math.max(from, to)];
}
