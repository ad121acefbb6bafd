/**
 * Counts: how many slots name each block of an allocation group, packed.
 *
 * A count table holds one count per block of its group, in index order, 2, 4, 8 or 16 bits wide;
 * within a byte the lower bits belong to the lower block. It has no header: its width and its
 * checksum are in the group index. A table is repacked to the next width when a count no longer
 * fits; the width never exceeds the volume's cap, and a count at the cap is *saturated*: the block
 * is copied instead of being shared once more.
 *
 * Widths are passed as log2 of the bits: 1 (2 bits) to 4 (16 bits).
 */

/** log2 of the bits of a count. */
export type CountWidth = 1 | 2 | 3 | 4;

export const NARROWEST: CountWidth = 1;
export const WIDEST: CountWidth = 4;

/** Largest count a width can hold. */
export function countLimit(width: CountWidth): number {
  return 2 ** (1 << width) - 1;
}

/** Bytes of a count table for `blocks` blocks. */
export function countTableSize(blocks: number, width: CountWidth): number {
  return Math.ceil((blocks * (1 << width)) / 8);
}

export function getCount(table: Uint8Array, width: CountWidth, index: number): number {
  if (width === 4) return (table[index * 2] as number) | ((table[index * 2 + 1] as number) << 8);
  const bit = index << width;
  return ((table[bit >>> 3] as number) >>> (bit & 7)) & ((1 << (1 << width)) - 1);
}

/** The caller has checked that `count` fits the width. */
export function setCount(table: Uint8Array, width: CountWidth, index: number, count: number): void {
  if (width === 4) {
    table[index * 2] = count & 0xff;
    table[index * 2 + 1] = count >>> 8;
    return;
  }
  const bit = index << width;
  const mask = ((1 << (1 << width)) - 1) << (bit & 7);
  table[bit >>> 3] = ((table[bit >>> 3] as number) & ~mask) | (count << (bit & 7));
}

/** The same counts in a table of another width. Every count must fit. */
export function repackCounts(
  table: Uint8Array,
  from: CountWidth,
  to: CountWidth,
  blocks: number,
): Uint8Array<ArrayBuffer> {
  const wider = new Uint8Array(countTableSize(blocks, to));
  for (let i = 0; i < blocks; i++) setCount(wider, to, i, getCount(table, from, i));
  return wider;
}
