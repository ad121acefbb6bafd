/**
 * Map cut: taking blocks out of a file's map, from somewhere to its end, or between two places.
 */
import { assert, NO_FRAME, type Plan } from '../base/index.ts';
import {
  clearSlot,
  copySlot,
  DIRTY,
  EMBEDDED_SLOTS,
  MAP_FANOUT,
  mapCapacity,
  mapIndex,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type SlotVisitor,
  slotFlags,
  slotHasBlock,
  slotKind,
} from '../format/index.ts';
import {
  type AppliedBelow,
  type BlockRange,
  childrenIn,
  MapNodes,
  type MapRoot,
  type PlannedBelow,
} from './map-nodes.ts';

export class MapCuts extends MapNodes {
  /** Makes sure that {@link cut} at this file block cannot miss; `above` as in {@link planSet}. */
  planCut(map: MapRoot, from: number, above: boolean, plan: Plan): void {
    if (map.depth === 0) {
      for (let b = from; b < EMBEDDED_SLOTS; b++) {
        if (slotHasBlock(map.slots, b * SLOT_WORDS)) {
          this.cow.planRelease(map.slots, b * SLOT_WORDS, plan);
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
      for (let b = from; b < EMBEDDED_SLOTS; b++) this.drop(map.slots, b * SLOT_WORDS);
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
        this.planReplace(map.slots, b * SLOT_WORDS, plan);
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
      this.drop(map.slots, b * SLOT_WORDS);
    }
    return dropped;
  }

  #planCutPath(map: MapRoot, from: number, above: boolean, plan: Plan): void {
    let words = map.slots;
    let at = 0;
    let shared = above;
    for (let level = map.depth - 1; level >= 0; level--) {
      if (!slotHasBlock(words, at)) return;
      const target = { role: SlotRole.MAP, detail: level };
      const frame = this.cow.planWritable(words, at, target, shared, plan);
      if (frame === NO_FRAME) return;
      shared = this.cow.shared;
      plan.blocks += 1;
      const base = this.store.base(frame);
      words = this.store.blocks.words;
      const index = mapIndex(from - 1, level);
      for (let i = index + 1; level === 0 && i < MAP_FANOUT; i++) {
        this.planReplace(words, base + i * SLOT_WORDS, plan);
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
      const frame = this.cow.writable(words, at, target, map.depth - level <= 2);
      const base = this.store.base(frame);
      words = this.store.blocks.words;
      const index = mapIndex(from - 1, level);
      if (level > 0) this.#moveOut(base, { from: index + 1, to: MAP_FANOUT }, level, discard);
      for (let i = index + 1; level === 0 && i < MAP_FANOUT; i++) {
        this.drop(words, base + i * SLOT_WORDS);
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
    const { words } = this.store.blocks;
    const start = base + from * SLOT_WORDS;
    const end = base + to * SLOT_WORDS;
    let any = false;
    for (let at = start; at < end; at += SLOT_WORDS) any ||= slotHasBlock(words, at);
    if (!any) {
      for (let at = start; at < end; at += SLOT_WORDS) this.empty(words, at, level);
      return;
    }
    const slot = new Uint32Array(SLOT_WORDS);
    const frame = this.store.allocate(slot, 0, SlotKind.NODE, false);
    const apart = this.store.base(frame);
    words.fill(0, apart, apart + MAP_FANOUT * SLOT_WORDS);
    words.copyWithin(apart + from * SLOT_WORDS, start, end);
    words.fill(0, start, end);
    discard(slot, 0, SlotRole.MAP, level);
  }

  #planPunch(words: Uint32Array, at: number, range: PlannedBelow, plan: Plan): void {
    const { level, first, end, base } = range;
    const span = 256 ** level;
    if (first <= base && end >= base + span * MAP_FANOUT) return;
    if (!slotHasBlock(words, at)) {
      if (slotKind(words, at) === SlotKind.UNWRITTEN) plan.blocks += 4 * (level + 1);
      return;
    }
    const target = { role: SlotRole.MAP, detail: level };
    const frame = this.cow.planWritable(words, at, target, range.above, plan);
    if (frame === NO_FRAME) return;
    const above = this.cow.shared;
    // A node for the subtrees that go.
    plan.blocks += 1;
    const node = this.store.base(frame);
    const { words: nodes } = this.store.blocks;
    const [from, to] = childrenIn(range, span);
    for (let i = from; i < to; i++) {
      if (level === 0) this.planReplace(nodes, node + i * SLOT_WORDS, plan);
      else if (i === from || i === to - 1) {
        const below = { level: level - 1, first, end, base: base + i * span, above };
        this.#planPunch(nodes, node + i * SLOT_WORDS, below, plan);
      }
    }
  }

  #punch(words: Uint32Array, at: number, range: AppliedBelow, discard: SlotVisitor): number {
    const { level, first, end, base, twin } = range;
    const span = 256 ** level;
    const whole = first <= base && end >= base + span * MAP_FANOUT;
    if (whole) {
      if (slotHasBlock(words, at)) {
        discard(words, at, SlotRole.MAP, level);
        clearSlot(words, at);
      } else this.empty(words, at, level + 1);
      return 0;
    }
    if (slotKind(words, at) === SlotKind.HOLE) return 0;
    const node = this.store.base(this.child(words, at, level, twin));
    const { words: nodes } = this.store.blocks;
    const [from, to] = childrenIn(range, span);
    let dropped = 0;
    if (level === 0) {
      for (let i = from; i < to; i++) {
        if (slotHasBlock(nodes, node + i * SLOT_WORDS)) dropped++;
        this.drop(nodes, node + i * SLOT_WORDS);
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

  /**
   * Takes away levels that a shorter file does not need, unless they promise space (U2). Their
   * nodes were made changeable.
   */
  #shrink(map: MapRoot, blocks: number): void {
    const store = this.store;
    while (map.depth > 1 && blocks <= mapCapacity(map.depth - 1, 0)) {
      if (!slotHasBlock(map.slots, 0)) {
        map.depth--;
        continue;
      }
      const base = store.base(store.resident(map.slots, 0));
      if (slotKind(store.blocks.words, base) === SlotKind.UNWRITTEN) return;
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
    const store = this.store;
    if (slotHasBlock(map.slots, 0)) {
      const base = store.base(store.resident(map.slots, 0));
      const slots = store.blocks.words.slice(base, base + EMBEDDED_SLOTS * SLOT_WORDS);
      for (let at = 0; at < slots.length; at += SLOT_WORDS) {
        if (slotKind(slots, at) === SlotKind.UNWRITTEN) return;
      }
      store.release(map.slots, 0);
      map.slots.set(slots);
    }
    map.depth = 0;
  }
}
