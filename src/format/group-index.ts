/**
 * Group index: one entry per allocation group, 16 bytes, in group order, no header.
 *
 *   word  bits    field
 *      0  31:0    checksum   low 32 bits of XXH64 of the group's count table
 *      1  31:0    free       blocks with count 0
 *      2   7:0    width      log2 of the bits of a count: 1 to 4
 *         15:8    current    which of the two count slots holds the table: 0 or 1
 *         31:16   txg high   bits 47:32 of the txg that wrote the table
 *      3  31:0    txg low
 *
 * The index is written whole to one of its two places in turn, twice in each; its 64-bit checksum
 * is in the superblock that names the place.
 */
import { TWO_32, type Txg } from '../base/index.ts';
import type { CountWidth } from './counts.ts';

export const INDEX_ENTRY_SIZE = 16;
export const INDEX_ENTRY_WORDS = 4;

export interface GroupEntry {
  checksum: number;
  free: number;
  width: CountWidth;
  current: 0 | 1;
  txg: Txg;
}

export function readGroupEntry(words: Uint32Array, group: number): GroupEntry {
  const at = group * INDEX_ENTRY_WORDS;
  const packed = words[at + 2] as number;
  return {
    checksum: words[at] as number,
    free: words[at + 1] as number,
    width: (packed & 0xff) as CountWidth,
    current: ((packed >>> 8) & 0xff) as 0 | 1,
    txg: ((packed >>> 16) * TWO_32 + (words[at + 3] as number)) as Txg,
  };
}

export function writeGroupEntry(words: Uint32Array, group: number, entry: GroupEntry): void {
  const at = group * INDEX_ENTRY_WORDS;
  words[at] = entry.checksum;
  words[at + 1] = entry.free;
  words[at + 2] = entry.width | (entry.current << 8) | (Math.floor(entry.txg / TWO_32) << 16);
  words[at + 3] = entry.txg >>> 0;
}
