/** Steps: operations that both sides know, as plain values, so that they can be run again. */

import { BLOCK_SIZE } from '../../src/base/index.ts';

/** The files in play. All are there from the beginning, empty. */
export const FILES = ['a', 'b', 'c'] as const;
export type FileName = (typeof FILES)[number];

/** With a range of one file. */
export const RANGE_OPERATIONS = [
  'read',
  'write',
  'punch',
  'zero',
  'zero-keep',
  'collapse',
  'insert',
  'allocate',
  'allocate-keep',
  'unshare',
] as const;
/** With a range of a second file, which is read. */
export const PAIR_OPERATIONS = ['clone', 'dedupe', 'copy'] as const;
/** With a file and an offset. */
export const OFFSET_OPERATIONS = ['truncate', 'seek-data', 'seek-hole'] as const;
/** Nobody sees a difference. `compare` compares everything. */
export const CHORES = ['reopen', 'sync', 'remount', 'compare'] as const;

export type Operation =
  | (typeof RANGE_OPERATIONS)[number]
  | (typeof PAIR_OPERATIONS)[number]
  | (typeof OFFSET_OPERATIONS)[number]
  | (typeof CHORES)[number]
  | 'clone-file';

export interface Step {
  readonly operation: Operation;
  /** What is changed. */
  readonly file: FileName;
  /** The new size, to `truncate`. */
  readonly offset: number;
  /** 0 clones to the end of the source. */
  readonly length: number;
  readonly source: FileName;
  readonly sourceOffset: number;
  /** Which bytes are written. */
  readonly fill: number;
}

export const STEP: Step = {
  operation: 'compare',
  file: 'a',
  offset: 0,
  length: 0,
  source: 'a',
  sourceOffset: 0,
  fill: 0,
};

/** What a side says to a step. */
export interface Outcome {
  /** The errno of a refusal. */
  readonly code?: string;
  /** A number of bytes, or an offset. */
  readonly value?: number;
  /** What was read. */
  readonly bytes?: Uint8Array;
  /** Dedupe found a difference, after `value` bytes. */
  readonly differs?: boolean;
}

/** Fills below this are one byte over and over, so that blocks in many places are equal. */
export const PLAIN_FILLS = 4;

/** The bytes that a step writes; fill 0 is zeros. */
export function bytesOf({ fill, length }: Step): Uint8Array {
  if (fill < PLAIN_FILLS) return new Uint8Array(length).fill(fill);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(fill, 0x9e3779b1) + i;
  return new Uint8Array(words.buffer, 0, length);
}

const has = (list: readonly string[], item: string): boolean => list.includes(item);

/** As it is printed: `clone b 4096+8192 to a 0`. */
export function showStep(step: Step): string {
  const { operation, file, offset, length, source, sourceOffset, fill } = step;
  if (has(PAIR_OPERATIONS, operation)) {
    return `${operation} ${source} ${sourceOffset}+${length || 'rest'} to ${file} ${offset}`;
  }
  if (operation === 'write') return `write ${file} ${offset}+${length} fill ${fill}`;
  if (has(RANGE_OPERATIONS, operation)) return `${operation} ${file} ${offset}+${length}`;
  if (has(OFFSET_OPERATIONS, operation)) return `${operation} ${file} ${offset}`;
  if (operation === 'clone-file') return `clone-file ${source} ${file}`;
  return operation === 'reopen' ? `reopen ${file}` : operation;
}

/** As it is printed: `EINVAL`, `ok`, `8192`. */
export function showOutcome({ code, value, bytes, differs }: Outcome): string {
  if (code !== undefined) return code;
  if (differs === true) return 'differs';
  if (bytes !== undefined) return `${bytes.length} bytes`;
  return value === undefined ? 'ok' : String(value);
}

/** Two of five reads and writes, of any alignment, go past the cache. */
export function isDirect({ offset, length }: Step): boolean {
  return (Math.floor(offset / BLOCK_SIZE) + length) % 5 < 2;
}
