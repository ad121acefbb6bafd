/**
 * Build tree: new nodes, in blocks that nothing uses, from records and from nodes that are there.
 *
 * B1. A new node goes to a block that is in use by no slot and no stored count, and to none twice.
 *     So the root that is there stays whole until a superblock names another one, and what
 *     may still be found is not written over.
 * B2. A new node is born in the root's own txg. None is open later, so none changes it in place.
 *
 * Nodes of a tree that replace each other come as {@link Child | children}: slots under the lowest
 * key that may be below them, in ascending order.
 */
import { assert, BLOCK_SIZE, type Block, checksum32, type Txg } from '../base/index.ts';
import {
  type Geometry,
  INTERIOR_FANOUT,
  initNode,
  interiorSlot,
  isFixedBlock,
  KEYED_LEVEL_MAX,
  LEAF_ENTRY_SIZE,
  leafRoom,
  NODE_HEADER_SIZE,
  SLOT_WORDS,
  SlotKind,
  setInteriorKey,
  setLeafEntry,
  setLeafHeap,
  setNodeCount,
  setSlot,
  type TreeKind,
  TWIN,
} from '../format/index.ts';
import type { BlockTable } from './block-table.ts';
import type { PlannedDevice } from './planned.ts';
import type { CountsOfRoot } from './stored-counts.ts';

/** There are not enough free blocks for what is to be written. Never leaves this room. */
export class NoRoom extends Error {}

/** Whose nodes they are. */
export interface TreeName {
  readonly tree: TreeKind;
  readonly realm: number;
  readonly inode: number;
}

/** A node and where it belongs. */
export interface Child {
  /** Not above any key below it, and above all of the child before. */
  readonly key: number;
  /** Four words. */
  readonly slot: Uint32Array;
}

/** A node of any level. */
export interface LevelChild extends Child {
  readonly level: number;
}

/** A record of a leaf. */
export interface Entry {
  readonly key: number;
  readonly bytes: Uint8Array;
}

/** Blocks that may be written to (B1), in ascending order. */
export class FreeBlocks {
  readonly #geometry: Geometry;
  readonly #stored: CountsOfRoot;
  readonly #table: BlockTable;
  readonly #pairs: boolean;
  #next = 0;

  /** `table`: what is in use by now. `pairs`: there may be second copies. */
  constructor(geometry: Geometry, stored: CountsOfRoot, table: BlockTable, pairs: boolean) {
    this.#geometry = geometry;
    this.#stored = stored;
    this.#table = table;
    this.#pairs = pairs;
  }

  /** A block, with the one after it if there is such a pair. @throws {NoRoom} */
  take(): { block: number; pair: boolean } {
    let block = this.#next;
    while (!this.#isFree(block)) {
      if (++block >= this.#geometry.blockCount) throw new NoRoom();
    }
    const paired = this.#pairs && this.#isFree(block + 1);
    this.#next = block + (paired ? 2 : 1);
    return { block, pair: paired };
  }

  #isFree(block: number): boolean {
    if (block >= this.#geometry.blockCount || isFixedBlock(this.#geometry, block as Block)) {
      return false;
    }
    return this.#stored.of(block) === 0 && this.#table.count(block) === 0;
  }
}

export class NodeWriter {
  /** Nodes that were planned. */
  written = 0;
  readonly #planned: PlannedDevice;
  readonly #free: FreeBlocks;
  readonly #seed: bigint;
  readonly #txg: Txg;

  constructor(planned: PlannedDevice, free: FreeBlocks, image: { seed: bigint; txg: Txg }) {
    this.#planned = planned;
    this.#free = free;
    this.#seed = image.seed;
    this.#txg = image.txg;
  }

  get txg(): Txg {
    return this.#txg;
  }

  get seed(): bigint {
    return this.#seed;
  }

  /** A node of any kind, as it is to be. Returns its slot. */
  node(words: Uint32Array): Uint32Array {
    const bytes = new Uint8Array(words.slice().buffer);
    assert(bytes.length === BLOCK_SIZE, () => `a node of ${bytes.length} bytes`);
    const { block, pair } = this.#free.take();
    this.#planned.plan(block, bytes);
    if (pair) this.#planned.plan(block + 1, bytes);
    this.written++;
    const checksum = checksum32(bytes, this.#seed);
    return nodeSlot({ block, twin: pair, birth: this.#txg, checksum });
  }

  /** Leaves for records in ascending order; none for none. */
  leaves(name: TreeName, entries: readonly Entry[]): Child[] {
    const leaves: Child[] = [];
    for (let from = 0; from < entries.length; ) {
      const words = this.#empty(name, 0);
      const first = (entries[from] as Entry).key;
      from = fillLeaf(words, entries, from);
      leaves.push({ key: first, slot: this.node(words) });
    }
    return leaves;
  }

  /** Nodes of `level` over nodes of the level below. */
  interior(name: TreeName, level: number, children: readonly Child[]): Child[] {
    assert(level <= KEYED_LEVEL_MAX, () => `a tree of level ${level} is too high`);
    const nodes: Child[] = [];
    const count = Math.ceil(children.length / INTERIOR_FANOUT);
    const each = Math.ceil(children.length / Math.max(1, count));
    for (let from = 0; from < children.length; from += each) {
      const part = children.slice(from, from + each);
      const words = this.#empty(name, level);
      setNodeCount(words, 0, part.length);
      part.forEach(({ key, slot }, i) => {
        setInteriorKey(words, 0, i, key);
        words.set(slot, interiorSlot(0, i));
      });
      nodes.push({ key: (part[0] as Child).key, slot: this.node(words) });
    }
    return nodes;
  }

  /** The same nodes with as many levels above them as are asked for. */
  raise(name: TreeName, children: readonly Child[], from: number, to: number): readonly Child[] {
    let nodes = children;
    for (let level = from + 1; level <= to; level++) nodes = this.interior(name, level, nodes);
    return nodes;
  }

  /** Nodes of different levels, in ascending order, all brought to one level. */
  gather(name: TreeName, nodes: readonly LevelChild[], to: number): Child[] {
    const gathered: Child[] = [];
    for (let from = 0; from < nodes.length; ) {
      const { level } = nodes[from] as LevelChild;
      let end = from;
      while (nodes[end]?.level === level) end++;
      gathered.push(...this.raise(name, nodes.slice(from, end), level, to));
      from = end;
    }
    return gathered;
  }

  /** One node above nodes of `level`; a hole if there are none. */
  root(name: TreeName, children: readonly Child[], level: number): Uint32Array {
    let nodes = children;
    for (let above = level + 1; nodes.length > 1; above++)
      nodes = this.interior(name, above, nodes);
    return nodes[0]?.slot ?? new Uint32Array(SLOT_WORDS);
  }

  #empty({ tree, realm, inode }: TreeName, level: number): Uint32Array {
    const words = new Uint32Array(BLOCK_SIZE / 4);
    const header = { level, tree, realm, inode };
    initNode(words, 0, { ...header, birth: this.#txg, image: this.#seed });
    return words;
  }
}

/** Puts records into an empty leaf as long as there is room. Returns the first one left out. */
function fillLeaf(words: Uint32Array, entries: readonly Entry[], from: number): number {
  const bytes = new Uint8Array(words.buffer);
  let heap = BLOCK_SIZE;
  let i = from;
  for (; i < entries.length; i++) {
    const { key, bytes: record } = entries[i] as Entry;
    const count = i - from;
    if (leafRoom(words, 0) < record.length + LEAF_ENTRY_SIZE) break;
    heap -= record.length;
    assert(heap >= NODE_HEADER_SIZE, 'a record lies behind the header of its leaf');
    bytes.set(record, heap);
    setLeafEntry(words, 0, count, { key, offset: heap, length: record.length });
    setLeafHeap(words, 0, heap, 0);
    setNodeCount(words, 0, count + 1);
  }
  assert(i > from, 'a leaf has room for any record');
  return i;
}

/** A slot that names a node. */
export function nodeSlot(node: {
  readonly block: number;
  readonly twin: boolean;
  readonly birth: number;
  readonly checksum: number;
}): Uint32Array {
  const { block, twin, birth, checksum } = node;
  const slot = new Uint32Array(SLOT_WORDS);
  const flags = SlotKind.NODE | (twin ? TWIN : 0);
  setSlot(slot, 0, { block: block as Block, flags, birth: birth as Txg, checksum });
  return slot;
}
