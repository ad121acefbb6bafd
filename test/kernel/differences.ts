/** Differences: all that the two sides may disagree on, each with a case that shows it. */
import { BLOCK_SIZE as B } from '../../src/base/index.ts';
import type { Step } from './steps.ts';

export interface Difference {
  /** The exerciser and the generator name it by this. */
  readonly name: string;
  readonly why: string;
  /** The outcome of the last one is compared, and the data of its file. */
  readonly steps: readonly Partial<Step>[];
  /** The outcome, then where data begins and ends in the file. */
  readonly ramet: string;
  readonly kernel: string;
}

const write = (file: Step['file'], offset: number, length: number, fill = 1): Partial<Step> => ({
  operation: 'write',
  file,
  offset,
  length,
  fill,
});

const zeroLength = (operation: Step['operation']): Difference => ({
  name: `D5, ${operation}`,
  why: 'an empty range is an error of the caller, before anything is looked at',
  steps: [write('a', 0, 5 * B), { operation, file: 'a', offset: B, length: 0 }],
  ramet: `ERR_OUT_OF_RANGE 0-${5 * B}`,
  kernel: `EINVAL 0-${5 * B}`,
});

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'D1',
    why: 'which part of a copy is shared and which is written is nobody’s promise: holes may stay',
    steps: [
      { operation: 'truncate', file: 'b', offset: 8 * B },
      { operation: 'copy', source: 'b', sourceOffset: 100, file: 'a', offset: 100, length: 4 * B },
    ],
    ramet: `${4 * B} 0-${B} ${4 * B}-${4 * B + 100}`,
    kernel: `${4 * B} 0-${4 * B + 100}`,
  },
  {
    name: 'D2',
    why: 'what is equal before the first difference is shared; the kernel shares all or nothing',
    steps: [
      { operation: 'truncate', file: 'b', offset: 3 * B },
      write('a', 0, 2 * B, 0),
      write('a', 2 * B, B, 1),
      { operation: 'dedupe', source: 'b', file: 'a', length: 3 * B },
    ],
    ramet: `differs ${2 * B}-${3 * B}`,
    kernel: `differs 0-${3 * B}`,
  },
  {
    name: 'D3',
    why: 'there are no blocks to share while the bytes are in the inode',
    steps: [
      write('a', 0, 100),
      write('b', 0, 100),
      { operation: 'dedupe', source: 'b', file: 'a', length: 100 },
    ],
    ramet: 'ENOTSUP 0-100',
    kernel: '100 0-100',
  },
  {
    name: 'D4',
    why: 'zeros up to the end make a hole of the last block too; the kernel wants all of the block',
    steps: [write('a', 0, B + 100), { operation: 'punch', offset: B, length: 200 }],
    ramet: `ok 0-${B}`,
    kernel: `ok 0-${B + 100}`,
  },
  ...(['punch', 'zero', 'collapse', 'insert', 'allocate', 'unshare'] as const).map(zeroLength),
  {
    ...zeroLength('dedupe'),
    kernel: `0 0-${5 * B}`,
  },
  {
    name: 'D6',
    why: 'a part of a block that does not end both files is refused; the kernel passes over it',
    steps: [
      write('a', 0, 2 * B),
      write('b', 0, 2 * B, 2),
      { operation: 'dedupe', source: 'b', file: 'a', length: 100 },
    ],
    ramet: `EINVAL 0-${2 * B}`,
    kernel: `100 0-${2 * B}`,
  },
];
