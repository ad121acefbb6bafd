/**
 * Map node: 256 slots, no header. A file's map is a radix tree of them.
 *
 * At depth 0 the slots are in the inode's record (one, or four with EMBED4) and name data blocks.
 * At depth d > 0 the record holds one slot, of a node whose level is d - 1; the slots of a node of
 * level 0 name data blocks. File block b is found by the digits of b in base 256, most significant
 * first: a depth of 1 reaches 1 MiB, 2 256 MiB, 3 64 GiB, 4 16 TiB, 5 4 PiB, 6 1 EiB.
 */
import { assert, BLOCK_SIZE } from '../base/index.ts';
import { SLOT_WORDS } from './slot.ts';

/** Slots of a map node. */
export const MAP_FANOUT = 256;
export const MAP_DEPTH_MAX = 6;
/** Slots a record can embed. */
export const EMBEDDED_SLOTS = 4;

/** File blocks that one slot of a node of each level spans. A power would be computed each time. */
const SPANS = [1, 256, 256 ** 2, 256 ** 3, 256 ** 4, 256 ** 5, 256 ** 6] as const;

/** File blocks that a subtree of `level` spans: 256 at level 0. */
export function levelSpan(level: number): number {
  return SPANS[level + 1] as number;
}

/** File blocks that a map of `depth` can name; `embedded` slots if the depth is 0. */
export function mapCapacity(depth: number, embedded: number): number {
  return depth === 0 ? embedded : (SPANS[depth] as number);
}

/** The smallest depth that can name `blocks` blocks; 0 while they fit the embedded slots. */
export function depthFor(blocks: number): number {
  if (blocks <= EMBEDDED_SLOTS) return 0;
  let depth = 1;
  while (256 ** depth < blocks) depth++;
  assert(depth <= MAP_DEPTH_MAX, () => `a file of ${blocks * BLOCK_SIZE} bytes has depth ${depth}`);
  return depth;
}

/**
 * Blocks that an unwritten slot of a node of `level` promises: all that it spans, and the nodes
 * that will map them.
 */
export function unwrittenBlocks(level: number): number {
  let blocks = 1;
  for (let i = 0; i < level; i++) blocks = blocks * MAP_FANOUT + 1;
  return blocks;
}

/** Index of the slot for file block `block` in a node of `level`. */
export function mapIndex(block: number, level: number): number {
  return level === 0 ? block % 256 : Math.floor(block / (SPANS[level] as number)) % 256;
}

/** The same as an offset in words from the start of the node. */
export function mapSlot(block: number, level: number): number {
  return mapIndex(block, level) * SLOT_WORDS;
}
