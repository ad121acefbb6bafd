/**
 * Units: the sizes every room agrees on, and numbers that must not mix.
 *
 * Three storage units, three words: a **block** is 4 KiB of the device, a **node** is a block of a
 * tree, a **folio** is a cached range of a file. Offsets and lengths without a unit in their name
 * are bytes.
 */

declare const unit: unique symbol;

/** Index of a 4 KiB block of the device. Images stop at 2^32 blocks (16 TiB), so it fits a u32. */
export type Block = number & { readonly [unit]: 'block' };

/** Index of a 4 KiB frame of the cache's memory. */
export type Frame = number & { readonly [unit]: 'frame' };

/** Number of a transaction group, 48 bits on disk. 0 means none. */
export type Txg = number & { readonly [unit]: 'txg' };

/** Number of an inode, 40 bits, never reused within an image. */
export type InodeNumber = number & { readonly [unit]: 'ino' };

/** Number of a realm: the scope in which an inode number is unique. 53 bits, never reused. */
export type RealmId = number & { readonly [unit]: 'realm' };

export const BLOCK_SHIFT = 12;
export const BLOCK_SIZE = 4096;
/** 32-bit words in a block. */
export const BLOCK_WORDS = 1024;

export const KIB = 1024;
export const MIB = 1024 * 1024;
export const GIB = 1024 * 1024 * 1024;

/** Largest file, and the largest offset a caller may name. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

/** "No frame": what a lookup answers on a miss. */
export const NO_FRAME = -1 as Frame;

/** Smallest multiple of `unit` that is not below `value`. Exact for every safe integer. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Largest multiple of `unit` that is not above `value`. Exact for every safe integer. */
export function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

/** Blocks that hold `length` bytes. */
export function blocksFor(length: number): number {
  return Math.ceil(length / BLOCK_SIZE);
}
