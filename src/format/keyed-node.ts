/**
 * Keyed node: a node of a B+tree whose keys are 53-bit integers. Directories, link tables and the
 * reclaim queue are such trees.
 *
 *   offset  size  field
 *        0     4  magic     "RTKN"
 *        4     1  level     0: leaf
 *        5     1  tree      what the tree is for, see {@link TreeKind}
 *        6     2  count     entries
 *        8     2  heap      leaf: offset of the lowest byte that a record uses; 4096 when empty
 *       10     2  dead      leaf: bytes above `heap` that no record uses
 *       12     4  (zero)
 *       16     8  inode     of the directory the node was first written for
 *       24     8  birth     txg that wrote the node
 *       32     8  image     first 8 bytes of the image's uuid
 *       40     8  realm     of the directory the node was first written for
 *       48    16  (zero)
 *
 *   leaf      64 + 12 i   entry i: u64 key, u16 offset, u16 length of its record, keys ascending
 *             heap..4095  records, each starting on a multiple of 4
 *   interior  64 + 8 i    key i: not above any key of child i, above every key of child i - 1
 *             1408 + 16 i slot of child i; 168 of each fill the node exactly
 *
 * K1. Keys strictly increase within a node and across the leaves of a tree.
 * K2. heap + dead and the entries describe every byte of a leaf: used = 4096 - heap - dead.
 *
 * A search does not look at key 0 of an interior node: what is below key 1 can only be in child 0.
 *
 * There are no sibling pointers: a copied node would have to change its neighbours. `realm`,
 * `inode` and `birth` serve whoever has to rebuild a tree whose root is lost.
 */
import { BLOCK_SIZE, high32, join64, low32, TWO_32, type Txg } from '../base/index.ts';
import { SlotKind, slotKind } from './slot.ts';

export const NODE_MAGIC = 0x4e4b5452;
export const NODE_HEADER_SIZE = 64;
export const LEAF_ENTRY_SIZE = 12;
export const INTERIOR_FANOUT = 168;
/** Highest level of a keyed node: 168^7 leaves are more than an image has blocks. */
export const KEYED_LEVEL_MAX = 8;
/** A third of a leaf, so that splitting it always makes room. */
export const RECORD_MAX = 1328;

export const TreeKind = {
  DIRECTORY: 1,
  LINKS: 2,
  RECLAIM: 3,
} as const;
export type TreeKind = (typeof TreeKind)[keyof typeof TreeKind];

/** Word offsets from the start of the node. */
const KEYS = NODE_HEADER_SIZE / 4;
const SLOTS = (NODE_HEADER_SIZE + 8 * INTERIOR_FANOUT) / 4;

export interface NodeHeader {
  level: number;
  tree: TreeKind;
  realm: number;
  inode: number;
  birth: Txg;
  image: bigint;
}

/** Makes `words` (from word `base`) an empty node. */
export function initNode(words: Uint32Array, base: number, header: NodeHeader): void {
  words.fill(0, base, base + BLOCK_SIZE / 4);
  words[base] = NODE_MAGIC;
  words[base + 1] = header.level | (header.tree << 8);
  words[base + 2] = BLOCK_SIZE;
  words[base + 4] = header.inode >>> 0;
  words[base + 5] = Math.floor(header.inode / TWO_32);
  setNodeBirth(words, base, header.birth);
  words[base + 10] = low32(header.realm);
  words[base + 11] = high32(header.realm);
  words[base + 8] = Number(BigInt.asUintN(32, header.image));
  words[base + 9] = Number(BigInt.asUintN(32, header.image >> 32n));
}

export function setNodeBirth(words: Uint32Array, base: number, birth: Txg): void {
  words[base + 6] = birth >>> 0;
  words[base + 7] = Math.floor(birth / TWO_32);
}

export function nodeLevel(words: Uint32Array, base: number): number {
  return (words[base + 1] as number) & 0xff;
}

export function nodeTree(words: Uint32Array, base: number): TreeKind {
  return (((words[base + 1] as number) >>> 8) & 0xff) as TreeKind;
}

export function nodeCount(words: Uint32Array, base: number): number {
  return (words[base + 1] as number) >>> 16;
}

export function setNodeCount(words: Uint32Array, base: number, count: number): void {
  words[base + 1] = ((words[base + 1] as number) & 0xffff) | (count << 16);
}

export function leafHeap(words: Uint32Array, base: number): number {
  return (words[base + 2] as number) & 0xffff;
}

export function leafDead(words: Uint32Array, base: number): number {
  return (words[base + 2] as number) >>> 16;
}

export function setLeafHeap(words: Uint32Array, base: number, heap: number, dead: number): void {
  words[base + 2] = heap | (dead << 16);
}

/** Bytes a leaf could still take in one record and its entry, after compaction. */
export function leafRoom(words: Uint32Array, base: number): number {
  const entriesEnd = NODE_HEADER_SIZE + LEAF_ENTRY_SIZE * nodeCount(words, base);
  return leafHeap(words, base) + leafDead(words, base) - entriesEnd;
}

/** Bytes of entries and records in a leaf. */
export function leafUsed(words: Uint32Array, base: number): number {
  return BLOCK_SIZE - NODE_HEADER_SIZE - leafRoom(words, base);
}

/** Word of entry `i` of a leaf. */
export function leafEntry(base: number, i: number): number {
  return base + KEYS + 3 * i;
}

export function leafKey(words: Uint32Array, base: number, i: number): number {
  const at = base + KEYS + 3 * i;
  return (words[at + 1] as number) * TWO_32 + (words[at] as number);
}

/** Byte offset, within the node, of the record of entry `i`. */
export function recordOffset(words: Uint32Array, base: number, i: number): number {
  return (words[base + KEYS + 3 * i + 2] as number) & 0xffff;
}

export function recordLength(words: Uint32Array, base: number, i: number): number {
  return (words[base + KEYS + 3 * i + 2] as number) >>> 16;
}

export function setLeafEntry(
  words: Uint32Array,
  base: number,
  i: number,
  entry: { key: number; offset: number; length: number },
): void {
  const at = base + KEYS + 3 * i;
  words[at] = entry.key >>> 0;
  words[at + 1] = Math.floor(entry.key / TWO_32);
  words[at + 2] = entry.offset | (entry.length << 16);
}

export function interiorKey(words: Uint32Array, base: number, i: number): number {
  const at = base + KEYS + 2 * i;
  return (words[at + 1] as number) * TWO_32 + (words[at] as number);
}

export function setInteriorKey(words: Uint32Array, base: number, i: number, key: number): void {
  const at = base + KEYS + 2 * i;
  words[at] = key >>> 0;
  words[at + 1] = Math.floor(key / TWO_32);
}

/** Word of the slot of child `i`. */
export function interiorSlot(base: number, i: number): number {
  return base + SLOTS + 4 * i;
}

/** Index of the first entry of a leaf whose key is not below `key`; `count` if there is none. */
export function leafSearch(words: Uint32Array, base: number, key: number): number {
  let low = 0;
  let high = nodeCount(words, base);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (leafKey(words, base, middle) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the child of an interior node under which `key` belongs. */
export function interiorSearch(words: Uint32Array, base: number, key: number): number {
  let low = 1;
  let high = nodeCount(words, base);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (interiorKey(words, base, middle) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Says what makes a block unfit to be a keyed node of `tree` at `level` (any level if undefined),
 * or undefined if it is fit. Checksums protect against damage; this protects against images made
 * to harm: after it, no access through the node leaves the node.
 */
export function nodeFault(
  words: Uint32Array,
  base: number,
  expected: { tree: TreeKind; level: number | undefined; levelMax: number },
): string | undefined {
  if (words[base] !== NODE_MAGIC) return 'it does not begin with the magic "RTKN"';
  const tree = nodeTree(words, base);
  if (tree !== expected.tree) return `it belongs to a tree of kind ${tree}, not ${expected.tree}`;
  const level = nodeLevel(words, base);
  if (expected.level !== undefined && level !== expected.level) {
    return `its level is ${level}, not ${expected.level}`;
  }
  if (level > expected.levelMax) return `its level is ${level}, above ${expected.levelMax}`;
  return level === 0 ? leafFault(words, base) : interiorFault(words, base);
}

function interiorFault(words: Uint32Array, base: number): string | undefined {
  const count = nodeCount(words, base);
  if (count < 1 || count > INTERIOR_FANOUT) return `it has ${count} children`;
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const key = interiorKey(words, base, i);
    if (key <= previous || key > Number.MAX_SAFE_INTEGER) {
      return `key ${i} is not above the key before it`;
    }
    previous = key;
    const kind = slotKind(words, interiorSlot(base, i));
    if (kind !== SlotKind.NODE) return `child ${i} is of kind ${kind}, not a node`;
  }
  return undefined;
}

function leafFault(words: Uint32Array, base: number): string | undefined {
  const count = nodeCount(words, base);
  const heap = leafHeap(words, base);
  if (NODE_HEADER_SIZE + LEAF_ENTRY_SIZE * count > heap || heap > BLOCK_SIZE) {
    return `its ${count} entries and its heap at ${heap} overlap`;
  }
  let used = 0;
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const key = leafKey(words, base, i);
    if (key <= previous || key > Number.MAX_SAFE_INTEGER) {
      return `key ${i} is not above the key before it`;
    }
    previous = key;
    const offset = recordOffset(words, base, i);
    const length = recordLength(words, base, i);
    if (
      offset < heap ||
      (offset & 3) !== 0 ||
      length < 4 ||
      length > RECORD_MAX ||
      (length & 3) !== 0 ||
      offset + length > BLOCK_SIZE
    ) {
      return `record ${i} has ${length} bytes at ${offset}`;
    }
    used += length;
  }
  if (used + heap + leafDead(words, base) !== BLOCK_SIZE) return 'its records overlap';
  return undefined;
}

/** Image seed as a node keeps it, for whoever scans for lost nodes. */
export function nodeImage(words: Uint32Array, base: number): bigint {
  return BigInt(words[base + 8] as number) | (BigInt(words[base + 9] as number) << 32n);
}

export function nodeOwner(words: Uint32Array, base: number): { realm: number; inode: number } {
  return {
    realm: join64(words[base + 10] as number, words[base + 11] as number),
    inode: join64(words[base + 4] as number, words[base + 5] as number),
  };
}

export function nodeBirth(words: Uint32Array, base: number): Txg {
  return join64(words[base + 6] as number, words[base + 7] as number) as Txg;
}
