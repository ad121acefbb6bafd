/**
 * Slot: a pointer with the checksum of what it points to. 16 bytes, four words.
 *
 *   word  bits    field
 *      0  31:0    block         low 32 bits of the block's index on the device
 *      1   7:0    block high    bits 39:32, zero in this version
 *         15:8    flags         kind in the low four bits, then NOCSUM, TWIN, -, DIRTY
 *         31:16   birth high    bits 47:32 of the txg that wrote the block
 *      2  31:0    birth low
 *      3  31:0    checksum      low 32 bits of XXH64 of the 4 KiB block, seeded with the image id
 *
 * A slot of zeros is a hole. TWIN says that the block after `block` holds a second copy. DIRTY
 * lives in memory only: the target was written in the open transaction group and its checksum is
 * not known yet.
 *
 * Slots are read and written where they lie, in any `Uint32Array`: `at` is the index of word 0.
 */
import { type Block, TWO_32, type Txg } from '../base/index.ts';

export const SLOT_SIZE = 16;
export const SLOT_WORDS = 4;

export const SlotKind = {
  HOLE: 0,
  DATA: 1,
  NODE: 2,
  /** Space is promised but no block is assigned; reads as zeros. Legal at every map depth. */
  UNWRITTEN: 3,
  /** Reserved: reads as zeros. */
  ZERO: 4,
  /** Reserved for compressed extents. */
  COMPRESSED_HEAD: 5,
  COMPRESSED_TAIL: 6,
} as const;
export type SlotKind = (typeof SlotKind)[keyof typeof SlotKind];

export const KIND_MASK = 0x0f;
/** The target has no checksum (files under the `inplace` policy). */
export const NOCSUM = 0x10;
/** The block after the target holds a second copy of it. */
export const TWIN = 0x20;
/** Memory only: the checksum is not known yet. Never on a device. */
export const DIRTY = 0x80;
/** Bits that the flags of a slot on a device may have. */
const SLOT_FLAGS = KIND_MASK | NOCSUM | TWIN;

export function slotKind(words: Uint32Array, at: number): SlotKind {
  return (((words[at + 1] as number) >>> 8) & KIND_MASK) as SlotKind;
}

export function slotFlags(words: Uint32Array, at: number): number {
  return ((words[at + 1] as number) >>> 8) & 0xff;
}

export function slotBlock(words: Uint32Array, at: number): Block {
  return words[at] as Block;
}

export function slotBirth(words: Uint32Array, at: number): Txg {
  return (((words[at + 1] as number) >>> 16) * TWO_32 + (words[at + 2] as number)) as Txg;
}

export function slotChecksum(words: Uint32Array, at: number): number {
  return words[at + 3] as number;
}

/** True if the slot names a block: data or node. */
export function slotHasBlock(words: Uint32Array, at: number): boolean {
  const kind = slotKind(words, at);
  return kind === SlotKind.DATA || kind === SlotKind.NODE;
}

/** True if two slots name the same block, or are both without one and of the same kind. */
export function sameSlot(left: Uint32Array, i: number, right: Uint32Array, j: number): boolean {
  return (
    left[i] === right[j] &&
    (((left[i + 1] as number) ^ (right[j + 1] as number)) & 0xff) === 0 &&
    slotKind(left, i) === slotKind(right, j)
  );
}

export interface SlotFields {
  block: Block;
  /** Kind and flags together. */
  flags: number;
  birth: Txg;
  checksum: number;
}

export function setSlot(words: Uint32Array, at: number, fields: SlotFields): void {
  words[at] = fields.block;
  words[at + 1] = (fields.flags << 8) | (Math.floor(fields.birth / TWO_32) << 16);
  words[at + 2] = fields.birth >>> 0;
  words[at + 3] = fields.checksum;
}

export function clearSlot(words: Uint32Array, at: number): void {
  words[at] = 0;
  words[at + 1] = 0;
  words[at + 2] = 0;
  words[at + 3] = 0;
}

export function copySlot(from: Uint32Array, i: number, to: Uint32Array, j: number): void {
  to[j] = from[i] as number;
  to[j + 1] = from[i + 1] as number;
  to[j + 2] = from[i + 2] as number;
  to[j + 3] = from[i + 3] as number;
}

/**
 * What makes the slot at byte `at` one that no volume has, or undefined. Its block is still to be
 * compared with the size of the volume.
 */
export function slotFault(bytes: Uint8Array, at: number): string | undefined {
  const flags = bytes[at + 5] as number;
  if ((flags & KIND_MASK) > SlotKind.UNWRITTEN || (flags & ~SLOT_FLAGS) !== 0) {
    return `its flags are 0x${flags.toString(16)}`;
  }
  return bytes[at + 4] === 0 ? undefined : 'its block has more than 32 bits';
}

/** The checksum is known now: stores it and takes DIRTY away. */
export function sealSlot(words: Uint32Array, at: number, checksum: number): void {
  words[at + 1] = (words[at + 1] as number) & ~(DIRTY << 8);
  words[at + 3] = checksum;
}
