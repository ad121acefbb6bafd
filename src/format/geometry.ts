/**
 * Geometry: where everything with a fixed place lies. All numbers are blocks of 4 KiB.
 *
 *   group g starts at block g * groupBlocks:
 *
 *   group 0   | superblocks 0-3 | counts A | counts B | index A A' B B' | log ring | blocks ...
 *   group g   |                   counts A | counts B | blocks ...
 *   last      |                   counts A | counts B | blocks ...        | superblocks 0'-3' |
 *
 * Everything drawn here has count 1 for ever. Only it is overwritten in place: the superblock
 * ring, the two places of the index, the two count slots of a group, and the log ring.
 */
import { argumentError, BLOCK_SIZE, type Block } from '../base/index.ts';
import { type CountWidth, countTableSize } from './counts.ts';
import { INDEX_ENTRY_SIZE } from './group-index.ts';

/** Superblocks in the ring; each is written at the start and at the end of the image. */
export const SUPERBLOCKS = 4;
export const GROUP_BLOCKS_MIN = 256;
export const GROUP_BLOCKS_MAX = 32768;
/** 256 KiB. */
export const VOLUME_BLOCKS_MIN = 64;
/** 16 TiB, so that a block's index fits 32 bits. */
export const VOLUME_BLOCKS_MAX = 2 ** 32;

/** Blocks without a fixed place that the first group and the last one have at least. */
const ROOM_MIN = 16;
/** How many times its size a volume may grow to, if the first group has room for the index. */
const GROWTH = 16;

export interface Geometry {
  readonly blockCount: number;
  readonly groupBlocks: number;
  readonly groupCount: number;
  /** Widest count: log2 of its bits. */
  readonly countCap: CountWidth;
  /** Blocks of one count slot, wide enough for the cap. */
  readonly countSlotBlocks: number;
  readonly indexBlocks: number;
  /**
   * First block of index place A; A' follows it, then B and B'. Four times `indexBlocks` in all.
   */
  readonly indexStart: Block;
  readonly logStart: Block;
  readonly logBlocks: number;
}

export interface GeometryRequest {
  /** Bytes the image may take; what does not fill a block is left alone. */
  readonly size: number;
  readonly groupBlocks?: number | undefined;
  readonly logBlocks?: number | undefined;
  readonly countCap?: CountWidth | undefined;
}

/** Lays out a new volume. @throws {RangeError} if a parameter is outside its limits */
export function planGeometry(request: GeometryRequest): Geometry {
  const groupBlocks = request.groupBlocks ?? defaultGroupBlocks(request.size);
  const countCap = request.countCap ?? 4;
  checkPowerOfTwo('groupBlocks', groupBlocks, GROUP_BLOCKS_MIN, GROUP_BLOCKS_MAX);
  if (![1, 2, 3, 4].includes(countCap)) {
    throw argumentError(`Cannot use countCap ${countCap}: wanted 1 to 4`);
  }
  const countSlotBlocks = countSlotSize(groupBlocks, countCap);
  const blockCount = usableBlocks(
    Math.floor(request.size / BLOCK_SIZE),
    groupBlocks,
    countSlotBlocks,
  );
  const groupCount = Math.ceil(blockCount / groupBlocks);
  const indexBlocks = plannedIndexBlocks(groupCount, groupBlocks);
  const logBlocks = request.logBlocks ?? defaultLogBlocks(blockCount, groupBlocks);
  const indexStart = (SUPERBLOCKS + 2 * countSlotBlocks) as Block;
  const logStart = (indexStart + 4 * indexBlocks) as Block;
  const needed = logStart + logBlocks + SUPERBLOCKS + ROOM_MIN;
  if (!Number.isInteger(logBlocks) || logBlocks < 2 || needed > Math.min(blockCount, groupBlocks)) {
    throw argumentError(
      `Cannot lay out the volume: a log of ${logBlocks} blocks leaves no room in a first group ` +
        `of ${Math.min(blockCount, groupBlocks)} blocks, ${needed} are needed`,
    );
  }
  return {
    blockCount,
    groupBlocks,
    groupCount,
    countCap,
    countSlotBlocks,
    indexBlocks,
    indexStart,
    logStart,
    logBlocks,
  };
}

/**
 * The largest layout of at most `blocks` blocks for a volume that is laid out: only its end moves.
 * Undefined if there is none.
 */
export function resizedGeometry(geometry: Geometry, blocks: number): Geometry | undefined {
  const { groupBlocks, countSlotBlocks } = geometry;
  const blockCount = withoutShortGroup(blocks, groupBlocks, countSlotBlocks);
  const groupCount = Math.ceil(blockCount / groupBlocks);
  const least = Math.max(VOLUME_BLOCKS_MIN, groupReserved(geometry, 0) + SUPERBLOCKS + ROOM_MIN);
  if (blockCount < least || blockCount > blocksMax(geometry)) return undefined;
  return { ...geometry, blockCount, groupCount };
}

/** Blocks that the volume may have at the most: its group index holds no more groups. */
export function blocksMax({ indexBlocks, groupBlocks }: Geometry): number {
  return Math.min(VOLUME_BLOCKS_MAX, indexEntries(indexBlocks) * groupBlocks);
}

/** True if everything with a fixed place lies where it belongs, and nothing on anything else. */
export function isSound(geometry: Geometry): boolean {
  const { indexStart, indexBlocks, logStart, groupCount, countSlotBlocks } = geometry;
  const last = groupCount - 1;
  return (
    indexStart === SUPERBLOCKS + 2 * countSlotBlocks &&
    indexEntries(indexBlocks) >= groupCount &&
    logStart === indexStart + 4 * indexBlocks &&
    groupReserved(geometry, 0) <= groupLength(geometry, 0) &&
    groupReserved(geometry, last) + SUPERBLOCKS <= groupLength(geometry, last)
  );
}

export function countSlotSize(groupBlocks: number, cap: CountWidth): number {
  return Math.ceil(countTableSize(groupBlocks, cap) / BLOCK_SIZE);
}

/** First block of the slot (0 or 1) that holds the counts of `group`. */
export function countSlotStart(geometry: Geometry, group: number, slot: 0 | 1): Block {
  const base = group === 0 ? SUPERBLOCKS : group * geometry.groupBlocks;
  return (base + slot * geometry.countSlotBlocks) as Block;
}

/** Blocks of a copy of the index that hold entries; what follows them is room to grow. */
export function indexLength({ groupCount }: Geometry): number {
  return Math.ceil(groupCount / indexEntries(1));
}

/** First block of a place of the index: place 0 or 1, copy 0 or 1. */
export function indexPlace(geometry: Geometry, place: 0 | 1, copy: 0 | 1): Block {
  return (geometry.indexStart + (place * 2 + copy) * geometry.indexBlocks) as Block;
}

/** Block of superblock `slot` at the start of the image (copy 0) or at its end (copy 1). */
export function superblockPlace(blockCount: number, slot: number, copy: 0 | 1): Block {
  return (copy === 0 ? slot : blockCount - SUPERBLOCKS + slot) as Block;
}

/** Blocks of `group`: all but the last have `groupBlocks`. */
export function groupLength(geometry: Geometry, group: number): number {
  const start = group * geometry.groupBlocks;
  return Math.min(geometry.groupBlocks, geometry.blockCount - start);
}

/** The index within its group of the first block that is not at a fixed place. */
export function groupReserved(geometry: Geometry, group: number): number {
  if (group === 0) return geometry.logStart + geometry.logBlocks;
  return 2 * geometry.countSlotBlocks;
}

/** True if `block` has a fixed place and so count 1 for ever. */
export function isFixedBlock(geometry: Geometry, block: Block): boolean {
  if (block >= geometry.blockCount - SUPERBLOCKS) return true;
  const group = Math.floor(block / geometry.groupBlocks);
  return block - group * geometry.groupBlocks < groupReserved(geometry, group);
}

/** A last group too short to hold its own counts and the end superblocks is not used. */
function usableBlocks(blocks: number, groupBlocks: number, countSlotBlocks: number): number {
  if (!(blocks >= VOLUME_BLOCKS_MIN)) {
    throw argumentError(
      `Cannot lay out the volume: its size is ${blocks * BLOCK_SIZE} bytes, ` +
        `at least ${VOLUME_BLOCKS_MIN * BLOCK_SIZE} are needed`,
    );
  }
  if (blocks > VOLUME_BLOCKS_MAX) {
    throw argumentError(
      `Cannot lay out the volume: its size is ${blocks * BLOCK_SIZE} bytes, ` +
        `at most ${VOLUME_BLOCKS_MAX * BLOCK_SIZE} are supported`,
    );
  }
  return withoutShortGroup(blocks, groupBlocks, countSlotBlocks);
}

function withoutShortGroup(blocks: number, groupBlocks: number, countSlotBlocks: number): number {
  const rest = blocks % groupBlocks;
  const least = 2 * countSlotBlocks + SUPERBLOCKS + ROOM_MIN;
  return blocks > groupBlocks && rest > 0 && rest < least ? blocks - rest : blocks;
}

/**
 * The index is as long for ever as it is made, so it is made for a volume of 16 times the size; but
 * of the first group all of it takes no more than a sixteenth, unless it has to.
 */
function plannedIndexBlocks(groupCount: number, groupBlocks: number): number {
  const groupsMax = Math.min(GROWTH * groupCount, VOLUME_BLOCKS_MAX / groupBlocks);
  const [least, wanted] = [groupCount, groupsMax].map((n) => Math.ceil(n / indexEntries(1)));
  return Math.max(least as number, Math.min(wanted as number, groupBlocks / 64));
}

function indexEntries(blocks: number): number {
  return (blocks * BLOCK_SIZE) / INDEX_ENTRY_SIZE;
}

/** Small volumes get small groups, so that their counts do not eat them. */
function defaultGroupBlocks(size: number): number {
  const blocks = size / BLOCK_SIZE;
  let groupBlocks = GROUP_BLOCKS_MIN;
  while (groupBlocks < GROUP_BLOCKS_MAX && groupBlocks < blocks) groupBlocks *= 2;
  return groupBlocks;
}

/** 1/64 of the image: at least 8 blocks, at most half of the first group. */
function defaultLogBlocks(blockCount: number, groupBlocks: number): number {
  return Math.max(8, Math.min(Math.floor(blockCount / 64), groupBlocks / 2));
}

function checkPowerOfTwo(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high || (value & (value - 1)) !== 0) {
    throw argumentError(
      `Cannot use ${name} ${value}: wanted a power of two from ${low} to ${high}`,
    );
  }
}
