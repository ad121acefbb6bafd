/** What a keyed tree should hold: records by key, each told by its length and one byte. */
import { roundUp } from '../../src/base/index.ts';
import { InodeFlag, InodeKind, LINK_NAME, RECORD_FIXED } from '../../src/format/index.ts';

export interface ModelRecord {
  readonly length: number;
  readonly fill: number;
}

/** The shortest record, and the longest that a leaf's record of kind LINK can be. */
export const SHORTEST = LINK_NAME;
const LINK_LONGEST = LINK_NAME + 252;

/** Writes a record that the format accepts, of any length a multiple of 4 up to the largest. */
export function writeModelRecord(bytes: Uint8Array, at: number, record: ModelRecord): void {
  const { length, fill } = record;
  const isLink = length <= LINK_LONGEST;
  const start = isLink ? LINK_NAME : RECORD_FIXED;
  bytes.fill(0, at, at + start);
  bytes.fill(fill, at + start, at + length);
  bytes[at] = length & 0xff;
  bytes[at + 1] = length >>> 8;
  bytes[at + 3] = isLink ? InodeKind.LINK : InodeKind.FILE;
  bytes[at + 12] = fill;
  if (isLink) {
    bytes[at + 2] = length - LINK_NAME;
    return;
  }
  bytes[at + 4] = InodeFlag.INLINE;
  bytes[at + 96] = (length - RECORD_FIXED) & 0xff;
  bytes[at + 97] = (length - RECORD_FIXED) >>> 8;
}

/** The record at `at`, if every byte of it is what was written. */
export function readModelRecord(
  bytes: Uint8Array,
  at: number,
  length: number,
): ModelRecord | undefined {
  const record = { length, fill: bytes[at + 12] as number };
  const wanted = new Uint8Array(roundUp(length, 4));
  writeModelRecord(wanted, 0, record);
  return wanted.every((byte, i) => bytes[at + i] === byte) ? record : undefined;
}
