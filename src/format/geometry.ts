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
  const indexBlocks = Math.ceil((groupCount * INDEX_ENTRY_SIZE) / BLOCK_SIZE);
  const logBlocks = request.logBlocks ?? defaultLogBlocks(blockCount, groupBlocks);
  const indexStart = (SUPERBLOCKS + 2 * countSlotBlocks) as Block;
  const logStart = (indexStart + 4 * indexBlocks) as Block;
  const fixed = logStart + logBlocks + SUPERBLOCKS;
  if (
    !Number.isInteger(logBlocks) ||
    logBlocks < 2 ||
    fixed + 16 > Math.min(blockCount, groupBlocks)
  ) {
    throw argumentError(
      `Cannot lay out the volume: a log of ${logBlocks} blocks leaves no room in a first group ` +
        `of ${Math.min(blockCount, groupBlocks)} blocks, ${fixed + 16} are needed`,
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

/** True if everything with a fixed place lies where it belongs, and nothing on anything else. */
export function isSound(geometry: Geometry): boolean {
  const { indexStart, indexBlocks, logStart, groupCount, countSlotBlocks } = geometry;
  const last = groupCount - 1;
  return (
    indexStart === SUPERBLOCKS + 2 * countSlotBlocks &&
    indexBlocks * BLOCK_SIZE >= groupCount * INDEX_ENTRY_SIZE &&
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
  const rest = blocks % groupBlocks;
  const least = 2 * countSlotBlocks + SUPERBLOCKS + 16;
  return blocks > groupBlocks && rest > 0 && rest < least ? blocks - rest : blocks;
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
