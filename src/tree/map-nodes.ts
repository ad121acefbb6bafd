/**
 * Map nodes: the nodes of a file's map, found, made and counted.
 *
 * The root slots belong to the inode; whoever changes a map has made the inode changeable before.
 *
 * U1. `space.unwritten` is the sum, over the unwritten slots of all map nodes that are in use, of
 *     the blocks that each promises (`unwrittenBlocks`). A node counts once, however many files
 *     share it.
 * U2. Only map nodes have unwritten slots, an inode has none: so a map with promises has a node.
 * U3. A copy of a shared node promises nothing: its unwritten slots are holes (cow.ts).
 */
import { type Block, type Frame, NO_FRAME, type Plan } from '../base/index.ts';
import {
  clearSlot,
  EMBEDDED_SLOTS,
  MAP_FANOUT,
  mapCapacity,
  mapIndex,
  mapSlot,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  slotBlock,
  slotHasBlock,
  slotKind,
  unwrittenBlocks,
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
export interface RangeBelow extends BlockRange {
  readonly level: number;
  readonly base: number;
}

export interface PlannedBelow extends RangeBelow {
  readonly above: boolean;
}

export interface AppliedBelow extends RangeBelow {
  readonly twin: boolean;
}

export class MapNodes {
  protected readonly store: Store;
  protected readonly cow: Cow;

  constructor(store: Store, cow: Cow) {
    this.store = store;
    this.cow = cow;
  }

  /** Finds the slot of a file block. False if the plan got a load. */
  locate(map: MapRoot, fileBlock: number, position: MapPosition, plan: Plan): boolean {
    const { depth, slots } = map;
    const capacity = mapCapacity(depth, EMBEDDED_SLOTS);
    if (fileBlock >= capacity) return nothing(position, Number.MAX_SAFE_INTEGER);
    if (depth === 0)
      return found(position, slots, fileBlock * SLOT_WORDS, EMBEDDED_SLOTS - fileBlock);
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
      const frame = this.store.want(words, at, MAP_NODE, plan);
      if (frame === NO_FRAME) return false;
      words = this.store.blocks.words;
      at = this.store.base(frame) + mapSlot(fileBlock, level);
    }
    return found(position, words, at, MAP_FANOUT - mapIndex(fileBlock, 0));
  }

  /**
   * Finds the slot that names the lowest node over a file block: `words` and `at` of the position
   * say where, `hasSlot` whether there is such a node. False if the plan got a load.
   */
  locateNode(map: MapRoot, fileBlock: number, position: MapPosition, plan: Plan): boolean {
    position.hasSlot = false;
    if (map.depth === 0 || fileBlock >= mapCapacity(map.depth, 0)) return true;
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level > 0 && slotHasBlock(words, at); level--) {
      const frame = this.store.want(words, at, MAP_NODE, plan);
      if (frame === NO_FRAME) return false;
      words = this.store.blocks.words;
      at = this.store.base(frame) + mapSlot(fileBlock, level);
    }
    position.hasSlot = slotHasBlock(words, at);
    position.words = words;
    position.at = at;
    return true;
  }

  /**
   * Whether a node on the way to a file block is named more than once; undefined: plan has needs.
   */
  isShared(map: MapRoot, fileBlock: number, plan: Plan): boolean | undefined {
    return this.#someOnWay(map, fileBlock, (block) => this.store.groups.count(block) > 1, plan);
  }

  /** The same, or was in a root that a mount may still take. */
  wasShared(map: MapRoot, fileBlock: number, plan: Plan): boolean | undefined {
    const { groups } = this.store;
    const was = (block: Block): boolean => !groups.isExclusive(block) || groups.unshared.has(block);
    return this.#someOnWay(map, fileBlock, was, plan);
  }

  /** Whether a test holds for a node on the way to a file block; undefined: the plan has needs. */
  #someOnWay(
    map: MapRoot,
    fileBlock: number,
    test: (block: Block) => boolean,
    plan: Plan,
  ): boolean | undefined {
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level >= 0 && slotHasBlock(words, at); level--) {
      const block = slotBlock(words, at);
      if (!this.store.groups.wantNamed(block, plan)) return undefined;
      if (test(block)) return true;
      const frame = this.store.want(words, at, MAP_NODE, plan);
      if (frame === NO_FRAME) return undefined;
      words = this.store.blocks.words;
      at = this.store.base(frame) + mapSlot(fileBlock, level);
    }
    return false;
  }

  /** Plans a slot that will be overwritten: the counts of what it names are needed. */
  protected planReplace(words: Uint32Array, at: number, plan: Plan): void {
    if (slotHasBlock(words, at)) this.cow.planRelease(words, at, plan);
  }

  /** The changeable slot of a file block; nodes on the way are made if they are missing. */
  protected leafSlot(
    map: MapRoot,
    fileBlock: number,
  ): { words: Uint32Array; at: number; left: number } {
    if (map.depth === 0) {
      return { words: map.slots, at: fileBlock * SLOT_WORDS, left: EMBEDDED_SLOTS - fileBlock };
    }
    let words = map.slots;
    let at = 0;
    for (let level = map.depth - 1; level >= 0; level--) {
      const frame = this.child(words, at, level, map.depth - level <= 2);
      words = this.store.blocks.words;
      at = this.store.base(frame) + mapSlot(fileBlock, level);
    }
    return { words, at, left: MAP_FANOUT - mapIndex(fileBlock, 0) };
  }

  /** The changeable node that a slot names; it is made if it is missing. */
  protected child(words: Uint32Array, at: number, level: number, twin: boolean): Frame {
    if (slotHasBlock(words, at)) {
      return this.cow.writable(words, at, { role: SlotRole.MAP, detail: level }, twin);
    }
    const unwritten = slotKind(words, at) === SlotKind.UNWRITTEN;
    const frame = this.store.allocate(words, at, SlotKind.NODE, twin);
    const base = this.store.base(frame);
    const nodes = this.store.blocks.words;
    nodes.fill(0, base, base + MAP_FANOUT * SLOT_WORDS);
    if (unwritten) {
      for (let i = 0; i < MAP_FANOUT; i++) {
        nodes[base + i * SLOT_WORDS + 1] = SlotKind.UNWRITTEN << 8;
      }
      this.store.space.setAside(MAP_FANOUT * unwrittenBlocks(level) - unwrittenBlocks(level + 1));
    }
    return frame;
  }

  /** Empties a slot of the lowest level, whatever is in it. */
  protected drop(words: Uint32Array, at: number): void {
    if (slotHasBlock(words, at)) this.cow.release(words, at);
    else this.empty(words, at, 0);
  }

  /** Empties a slot that names no block, of a node of `level`. */
  protected empty(words: Uint32Array, at: number, level: number): void {
    if (slotKind(words, at) === SlotKind.UNWRITTEN) {
      this.store.space.setAside(-unwrittenBlocks(level));
    }
    clearSlot(words, at);
  }
}

function nothing(position: MapPosition, left: number): true {
  position.kind = SlotKind.HOLE;
  position.hasSlot = false;
  position.left = left;
  return true;
}

function found(position: MapPosition, words: Uint32Array, at: number, left: number): true {
  position.kind = slotKind(words, at);
  position.hasSlot = true;
  position.words = words;
  position.at = at;
  position.left = left;
  return true;
}

/** Blocks that the unwritten slots of a map node promise (U1). */
export function unwrittenIn(words: Uint32Array, base: number, level: number): number {
  let slots = 0;
  for (let i = 0; i < MAP_FANOUT; i++) {
    if (slotKind(words, base + i * SLOT_WORDS) === SlotKind.UNWRITTEN) slots++;
  }
  return slots * unwrittenBlocks(level);
}

/** The children of a node that a range touches, each of which covers `span` blocks. */
export function childrenIn({ first, end, base }: RangeBelow, span: number): [number, number] {
  const from = Math.max(0, Math.floor((first - base) / span));
  const to = Math.min(MAP_FANOUT, Math.ceil((end - base) / span));
  return [from, Math.max(from, to)];
}
