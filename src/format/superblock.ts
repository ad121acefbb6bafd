/**
 * Superblock: the root of everything.
 *
 *   offset  size  field
 *        0     8  magic           "ramet\r\n\x1a"; the CR LF reveals a text-mode copy
 *        8     2  major           a reader must know it
 *       10     2  minor
 *       12     4  group blocks    blocks per allocation group, a power of two
 *       16     8  compatible      feature bits a reader and a writer may ignore
 *       24     8  read-only       feature bits a writer must know
 *       32     8  incompatible    feature bits a reader must know
 *       40    16  uuid            its first 8 bytes seed every checksum
 *       56     8  block count
 *       64     8  txg             transaction group this superblock ends; 1 is the first
 *       72     8  committed       time of the commit
 *       80     8  created
 *       88     4  index start     first block of the four copies of the group index
 *       92     4  index blocks    blocks of one copy
 *       96     1  index place     0 or 1
 *       97     1  count cap       log2 of the bits of the widest count: 1 to 4
 *       98     1  checksum        1: XXH64
 *       99     1  (zero)
 *      100     4  log start
 *      104     4  log blocks
 *      108     4  log tail        block of the log, from its start, of the oldest frame needed
 *      112     8  log sequence    of the frame at the tail
 *      120     8  index checksum  XXH64 of one copy of the index
 *      128    16  meta root       slot of the directory that holds everything
 *      144     8  next inode      lowest number never used
 *      152     8  hash seed       seeds the hash of names
 *      160     8  free blocks     sum of the free counts of the index
 *      168     8  reserved        blocks promised to unwritten slots
 *      176     8  next realm      lowest number never used
 *      184    64  label           UTF-8, padded with NUL
 *      248  3840  (zero)
 *     4088     8  self            XXH64 of the bytes before it
 *
 * S1. A superblock counts only if its magic and its own checksum match.
 * S2. The ring has four places, each written at the start and at the end of the image. A commit
 *     writes the place after the newest one, so it never harms the commit before it.
 * S3. Everything reachable from `meta root` was flushed before the superblock was written.
 *
 * This file enforces S1. S2 and S3 are promises of the commit.
 */
import {
  BLOCK_SIZE,
  type Block,
  checksum64,
  fromUtf8,
  getU64,
  setU64,
  type Txg,
  utf8,
  viewOf,
  wordsOf,
} from '../base/index.ts';
import type { CountWidth } from './counts.ts';
import { countSlotSize, type Geometry, isSound } from './geometry.ts';
import { DIRTY, SLOT_WORDS, slotFlags } from './slot.ts';
import { getTime, setTime, type Time } from './time.ts';

export const MAGIC: readonly number[] = [0x72, 0x61, 0x6d, 0x65, 0x74, 0x0d, 0x0a, 0x1a];
export const VERSION_MAJOR = 1;
export const VERSION_MINOR = 0;
export const LABEL_MAX = 64;

/** Features that a reader must know. */
export const Incompatible = {
  /** Files may be overwritten in place, and data may have no checksum. */
  INPLACE: 1,
} as const;

/** Feature bits this version knows. */
export const KNOWN_READ_ONLY = 0;
export const KNOWN_INCOMPATIBLE: number = Incompatible.INPLACE;

/** A birth has 48 bits, an inode number 40; half of the realms stand in for others. */
const TXG_MAX = 2 ** 48 - 1;
export const INODE_MAX = 2 ** 40;
export const REALM_MAX = 2 ** 52;
const CHECKSUM_XXH64 = 1;
const SELF = BLOCK_SIZE - 8;

export interface Superblock {
  readonly major: number;
  readonly minor: number;
  readonly compatible: number;
  readonly readOnlyCompatible: number;
  readonly incompatible: number;
  readonly uuid: Uint8Array;
  readonly created: Time;
  readonly hashSeed: bigint;
  readonly label: string;
  readonly geometry: Geometry;
  /** What a commit changes. */
  readonly state: VolumeState;
}

export interface VolumeState {
  txg: Txg;
  committed: Time;
  indexPlace: 0 | 1;
  indexChecksum: bigint;
  /** Four words: the slot of the meta root. */
  metaRoot: Uint32Array;
  nextInode: number;
  nextRealm: number;
  freeBlocks: number;
  reservedBlocks: number;
  logTail: number;
  logSequence: number;
}

/** The seed of every checksum of an image. */
export function imageSeed(uuid: Uint8Array): bigint {
  return viewOf(uuid).getBigUint64(0, true);
}

export function encodeSuperblock(superblock: Superblock): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(bytes);
  const { geometry, state } = superblock;
  bytes.set(MAGIC, 0);
  view.setUint16(8, superblock.major, true);
  view.setUint16(10, superblock.minor, true);
  view.setUint32(12, geometry.groupBlocks, true);
  setU64(view, 16, superblock.compatible);
  setU64(view, 24, superblock.readOnlyCompatible);
  setU64(view, 32, superblock.incompatible);
  bytes.set(superblock.uuid, 40);
  setU64(view, 56, geometry.blockCount);
  setU64(view, 64, state.txg);
  setTime(wordsOf(bytes), 72 / 4, state.committed);
  setTime(wordsOf(bytes), 80 / 4, superblock.created);
  view.setUint32(88, geometry.indexStart, true);
  view.setUint32(92, geometry.indexBlocks, true);
  bytes[96] = state.indexPlace;
  bytes[97] = geometry.countCap;
  bytes[98] = CHECKSUM_XXH64;
  view.setUint32(100, geometry.logStart, true);
  view.setUint32(104, geometry.logBlocks, true);
  view.setUint32(108, state.logTail, true);
  setU64(view, 112, state.logSequence);
  view.setBigUint64(120, state.indexChecksum, true);
  wordsOf(bytes).set(state.metaRoot, 128 / 4);
  setU64(view, 144, state.nextInode);
  view.setBigUint64(152, superblock.hashSeed, true);
  setU64(view, 160, state.freeBlocks);
  setU64(view, 168, state.reservedBlocks);
  setU64(view, 176, state.nextRealm);
  bytes.set(utf8(superblock.label).subarray(0, LABEL_MAX), 184);
  view.setBigUint64(SELF, checksum64(bytes.subarray(0, SELF), imageSeed(superblock.uuid)), true);
  return bytes;
}

/** Why a block is not a superblock; `newer` is one of another version, not damage. */
export interface SuperblockFault {
  readonly kind: 'foreign' | 'damaged' | 'newer';
  readonly finding: string;
}

/** Decodes a block. `bytes` must be 4-aligned. Never throws: what is wrong is the answer. */
export function decodeSuperblock(bytes: Uint8Array): Superblock | SuperblockFault {
  const view = viewOf(bytes);
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) {
    return { kind: 'foreign', finding: 'it does not begin with the magic "ramet"' };
  }
  const uuid = bytes.slice(40, 56);
  const self = checksum64(bytes.subarray(0, SELF), imageSeed(uuid));
  if (self !== view.getBigUint64(SELF, true)) {
    return { kind: 'damaged', finding: 'its own checksum does not match' };
  }
  const newer = unknownVersion(view, bytes);
  if (newer !== undefined) return { kind: 'newer', finding: newer };
  const geometry = decodeGeometry(view, bytes);
  if (geometry === undefined) {
    return { kind: 'damaged', finding: 'its geometry contradicts itself' };
  }
  const words = wordsOf(bytes);
  return {
    major: view.getUint16(8, true),
    minor: view.getUint16(10, true),
    compatible: getU64(view, 16),
    readOnlyCompatible: getU64(view, 24),
    incompatible: getU64(view, 32),
    uuid,
    created: getTime(words, 80 / 4),
    hashSeed: view.getBigUint64(152, true),
    label: fromUtf8(bytes.subarray(184, 184 + LABEL_MAX)).replace(/\0+$/u, ''),
    geometry,
    state: {
      txg: getU64(view, 64) as Txg,
      committed: getTime(words, 72 / 4),
      indexPlace: bytes[96] as number as 0 | 1,
      indexChecksum: view.getBigUint64(120, true),
      metaRoot: words.slice(128 / 4, 128 / 4 + SLOT_WORDS),
      nextInode: getU64(view, 144),
      nextRealm: getU64(view, 176),
      freeBlocks: getU64(view, 160),
      reservedBlocks: getU64(view, 168),
      logTail: view.getUint32(108, true),
      logSequence: getU64(view, 112),
    },
  };
}

function unknownVersion(view: DataView, bytes: Uint8Array): string | undefined {
  const major = view.getUint16(8, true);
  if (major !== VERSION_MAJOR) {
    const minor = view.getUint16(10, true);
    return `format version is ${major}.${minor}, supported is ${VERSION_MAJOR}.x`;
  }
  if (bytes[98] !== CHECKSUM_XXH64) {
    return `checksum kind is ${bytes[98]}, supported is ${CHECKSUM_XXH64}`;
  }
  const features = view.getBigUint64(32, true);
  if ((features & ~BigInt(KNOWN_INCOMPATIBLE)) !== 0n) {
    const [found, known] = [features, KNOWN_INCOMPATIBLE].map((bits) => bits.toString(16));
    return `incompatible features are 0x${found}, supported are 0x${known}`;
  }
  return undefined;
}

function decodeGeometry(view: DataView, bytes: Uint8Array): Geometry | undefined {
  const groupBlocks = view.getUint32(12, true);
  const blockCount = getU64(view, 56);
  const countCap = bytes[97] as CountWidth;
  const indexBlocks = view.getUint32(92, true);
  const sane =
    groupBlocks >= 256 &&
    groupBlocks <= 32768 &&
    (groupBlocks & (groupBlocks - 1)) === 0 &&
    blockCount >= 64 &&
    blockCount <= 2 ** 32 &&
    countCap >= 1 &&
    countCap <= 4 &&
    (bytes[96] as number) <= 1;
  if (!sane) return undefined;
  const geometry: Geometry = {
    blockCount,
    groupBlocks,
    groupCount: Math.ceil(blockCount / groupBlocks),
    countCap,
    countSlotBlocks: countSlotSize(groupBlocks, countCap),
    indexBlocks,
    indexStart: view.getUint32(88, true) as Block,
    logStart: view.getUint32(100, true) as Block,
    logBlocks: view.getUint32(104, true),
  };
  return isSound(geometry) ? geometry : undefined;
}

/** False for counters that no volume comes to: arithmetic with them would not be exact. */
export function hasSaneState({ geometry, state }: Superblock): boolean {
  return (
    state.txg < TXG_MAX &&
    state.nextInode <= INODE_MAX &&
    state.nextRealm < REALM_MAX &&
    state.freeBlocks <= geometry.blockCount &&
    state.reservedBlocks <= geometry.blockCount &&
    (slotFlags(state.metaRoot, 0) & DIRTY) === 0
  );
}

export function isFault(found: Superblock | SuperblockFault): found is SuperblockFault {
  return 'finding' in found;
}
