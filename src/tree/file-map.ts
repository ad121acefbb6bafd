/**
 * File map: where the blocks of a file are, as a radix tree of slots.
 *
 * Depth grows when a block beyond the capacity is mapped, and shrinks when a file is cut.
 */
import { type Block, NO_FRAME, type Plan } from '../base/index.ts';
import {
  copySlot,
  depthFor,
  EMBEDDED_SLOTS,
  MAP_FANOUT,
  mapSlot,
  NOCSUM,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  setSlot,
  slotHasBlock,
  slotKind,
  unwrittenBlocks,
} from '../format/index.ts';
import { MapCuts } from './map-cut.ts';
import {
  type AppliedBelow,
  type BlockRange,
  childrenIn,
  MapPosition,
  type MapRoot,
  type PlannedBelow,
} from './map-nodes.ts';

/** A run of blocks that is to be mapped. */
export interface MapRun {
  /** File block. */
  readonly first: number;
  readonly block: Block;
  readonly checksums: Uint32Array;
  /** The blocks have no checksum for whoever reads them. */
  readonly unchecked?: boolean | undefined;
}

export class FileMaps extends MapCuts {
  readonly #position = new MapPosition();

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
        this.planReplace(map.slots, b * SLOT_WORDS, plan);
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
      const { words, at, left } = this.leafSlot(map, fileBlock);
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
    const position = this.#position;
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
      const { words, at, left } = this.leafSlot(map, first + done);
      const part = Math.min(left, count - done);
      for (let i = 0; i < part; i++, done++) {
        const to = at + i * SLOT_WORDS;
        if (slotHasBlock(words, to)) added--;
        if (slotHasBlock(slots, done * SLOT_WORDS)) added++;
        this.drop(words, to);
        copySlot(slots, done * SLOT_WORDS, words, to);
      }
    }
    return added;
  }

  /**
   * Puts a lowest node in the place of the 256 file blocks from `first` on, of which the map has
   * nothing; its slot owns the reference. It is planned for as {@link setRun} of these blocks is.
   */
  setNode(map: MapRoot, first: number, slot: Uint32Array): void {
    this.#grow(map, Math.max(1, depthFor(first + MAP_FANOUT)));
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level > 0; level--) {
      const frame = this.child(words, at, level, map.depth - level <= 2);
      words = this.store.blocks.words;
      at = this.store.base(frame) + mapSlot(first, level);
    }
    copySlot(slot, 0, words, at);
  }

  /** Makes sure that {@link mark} of this range cannot miss. Returns the blocks it sets aside. */
  planMark(map: MapRoot, { first, end }: BlockRange, above: boolean, plan: Plan): number {
    const depth = Math.max(1, map.depth, depthFor(end));
    if (map.depth === 0) {
      plan.blocks += 4 * depth;
      return promiseOf(end - first);
    }
    const beyond = Math.max(0, end - Math.max(first, MAP_FANOUT ** map.depth));
    if (beyond > 0) plan.blocks += 4 * depth;
    const whole = { level: map.depth - 1, base: 0 };
    const below = this.#planMark(map.slots, 0, { ...whole, first, end, above }, plan);
    return below + promiseOf(beyond);
  }

  /**
   * Promises space to the holes among these file blocks: they become unwritten, at the highest
   * level that they fill.
   */
  mark(map: MapRoot, { first, end }: BlockRange): void {
    this.#grow(map, Math.max(1, depthFor(end)));
    const whole = { level: map.depth - 1, base: 0 };
    this.store.space.setAside(this.#mark(map.slots, 0, { ...whole, first, end, twin: true }));
  }

  /**
   * Unwritten blocks in a range that are this file's alone: what they promise, a write of them may
   * use. Undefined if the plan has needs.
   */
  countMarks(map: MapRoot, { first, end }: BlockRange, plan: Plan): number | undefined {
    const position = this.#position;
    let marks = 0;
    for (let at = first; at < end; ) {
      if (!this.locate(map, at, position, plan)) return undefined;
      const part = Math.min(position.left, end - at);
      let found = 0;
      if (!position.hasSlot) found = position.kind === SlotKind.UNWRITTEN ? part : 0;
      for (let i = 0; position.hasSlot && i < part; i++) {
        const kind = slotKind(position.words, position.at + i * SLOT_WORDS);
        if (kind === SlotKind.UNWRITTEN) found++;
      }
      const shared = found > 0 && this.isShared(map, at, plan);
      if (shared === undefined) return undefined;
      if (!shared) marks += found;
      at += part;
    }
    return marks;
  }

  /** Makes holes of the unwritten blocks in a range, planned for as {@link setRun} is. */
  unmark(map: MapRoot, { first, end }: BlockRange): void {
    for (let at = first; at < end; ) {
      const { words, at: slot, left } = this.leafSlot(map, at);
      const part = Math.min(left, end - at);
      for (let i = 0; i < part; i++) {
        const each = slot + i * SLOT_WORDS;
        if (!slotHasBlock(words, each)) this.empty(words, each, 0);
      }
      at += part;
    }
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
    const frame = this.cow.planWritable(words, at, target, range.above, plan);
    if (frame === NO_FRAME) return;
    const above = this.cow.shared;
    const node = this.store.base(frame);
    const { words: nodes } = this.store.blocks;
    const span = 256 ** level;
    const from = Math.max(0, Math.floor((first - base) / span));
    const to = Math.min(MAP_FANOUT - 1, Math.floor((last - base) / span));
    for (let i = from; i <= to; i++) {
      const child = node + i * SLOT_WORDS;
      if (level === 0) this.planReplace(nodes, child, plan);
      else {
        const below = { level: level - 1, first, last, base: base + i * span, above };
        this.#planRange(nodes, child, below, plan);
      }
    }
  }

  /** The root gets parents until the map has `depth`. */
  #grow(map: MapRoot, depth: number): void {
    while (map.depth < depth) {
      const store = this.store;
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

  /** Puts block `i` of the run into a slot. True if the slot was empty. */
  #replace(words: Uint32Array, at: number, run: MapRun, i: number): boolean {
    const empty = !slotHasBlock(words, at);
    if (empty) this.empty(words, at, 0);
    else this.store.release(words, at);
    const block = (run.block + i) as Block;
    this.store.groups.increment(block);
    const checksum = run.unchecked === true ? 0 : (run.checksums[i] as number);
    const flags = run.unchecked === true ? SlotKind.DATA | NOCSUM : SlotKind.DATA;
    setSlot(words, at, { block, flags, birth: this.store.txg, checksum });
    return empty;
  }

  #planMark(words: Uint32Array, at: number, range: PlannedBelow, plan: Plan): number {
    const { level, first, end, base } = range;
    const span = MAP_FANOUT ** level;
    if (!slotHasBlock(words, at)) {
      if (slotKind(words, at) === SlotKind.UNWRITTEN && !range.above) return 0;
      plan.blocks += 4 * (level + 1);
      return promiseOf(Math.min(end, base + span * MAP_FANOUT) - Math.max(first, base));
    }
    const target = { role: SlotRole.MAP, detail: level };
    const frame = this.cow.planWritable(words, at, target, range.above, plan);
    if (frame === NO_FRAME) return 0;
    const above = this.cow.shared;
    const node = this.store.base(frame);
    const { words: nodes } = this.store.blocks;
    const [from, to] = childrenIn(range, span);
    let promised = 0;
    for (let i = from; i < to; i++) {
      const child = node + i * SLOT_WORDS;
      const start = base + i * span;
      const whole = first <= start && end >= start + span;
      // The copy of a shared node has a hole wherever that one is unwritten (U3).
      const hole = above ? !slotHasBlock(nodes, child) : slotKind(nodes, child) === SlotKind.HOLE;
      if (hole && whole) promised += unwrittenBlocks(level);
      else if (level > 0) {
        const below = { level: level - 1, first, end, base: start, above };
        promised += this.#planMark(nodes, child, below, plan);
      }
    }
    return promised;
  }

  #mark(words: Uint32Array, at: number, range: AppliedBelow): number {
    const { level, first, end, base, twin } = range;
    if (slotKind(words, at) === SlotKind.UNWRITTEN) return 0;
    const node = this.store.base(this.child(words, at, level, twin));
    const { words: nodes } = this.store.blocks;
    const span = MAP_FANOUT ** level;
    const [from, to] = childrenIn(range, span);
    let promised = 0;
    for (let i = from; i < to; i++) {
      const child = node + i * SLOT_WORDS;
      const start = base + i * span;
      const whole = first <= start && end >= start + span;
      if (slotKind(nodes, child) === SlotKind.HOLE && whole) {
        nodes[child + 1] = SlotKind.UNWRITTEN << 8;
        promised += unwrittenBlocks(level);
      } else if (level > 0) {
        const below = { level: level - 1, first, end, base: start, twin: false };
        promised += this.#mark(nodes, child, below);
      }
    }
    return promised;
  }
}

function clearSlots(slots: Uint32Array): void {
  slots.fill(0, 0, EMBEDDED_SLOTS * SLOT_WORDS);
}

/** Blocks to be set aside for `count` unwritten ones, at the most: they and what will map them. */
function promiseOf(count: number): number {
  let blocks = count;
  for (let nodes = count; nodes > 1; ) {
    nodes = Math.ceil(nodes / MAP_FANOUT);
    blocks += nodes;
  }
  return blocks;
}
