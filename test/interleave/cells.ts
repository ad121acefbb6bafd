/**
 * Cells: what the matrix is made of. An operation, what lies where it works, how its range is
 * aligned, and whether there is dirty data in it.
 *
 * `f` is the file, `c` its clone, `d` a donor that has nothing to do with them. Where it makes a
 * difference an operation is there twice: onto `f` from the donor, and from `f` onto the clone.
 */
import type { Bench } from './bench.ts';
import { B } from './files.ts';
import type { FileOperation } from './operations.ts';
import * as operations from './operations.ts';

export interface ByteRange {
  readonly at: number;
  readonly length: number;
}

export const ALIGNMENTS = {
  aligned: ({ at, length }: ByteRange) => ({ at, length }),
  head: ({ at, length }: ByteRange) => ({ at: at + 100, length: length - 100 }),
  tail: ({ at, length }: ByteRange) => ({ at, length: length - 300 }),
  both: ({ at, length }: ByteRange) => ({ at: at + 100, length: length - 400 }),
  inside: ({ at }: ByteRange) => ({ at: at + 100, length: 300 }),
} as const;
export type Alignment = keyof typeof ALIGNMENTS;

/** What an operation does with a range. */
type Maker = (range: ByteRange) => FileOperation;

/** The donor has data, a hole, unwritten space, data. */
export const DONOR: readonly FileOperation[] = [
  operations.writing('d', 0, 2 * B, 50),
  operations.truncating('d', 5 * B),
  operations.allocating('d', 3 * B, B, false),
  operations.writing('d', 4 * B, 5 * B + 700, 51),
];

/** From the donor, or to the clone, with the same place within a block. */
const alike = ({ at, length }: ByteRange, block: number) => ({
  sourceAt: block * B + (at % B),
  at,
  length,
});

/** An odd way from where it is aligned in any way. */
const unlike = ({ at, length }: ByteRange) => ({ sourceAt: B + 77, at, length });

/** One line for each operation. */
export const OPERATIONS: Readonly<Record<string, Maker>> = {
  read: ({ at, length }) => operations.reading('f', at, length),
  'read the clone': ({ at, length }) => operations.reading('c', at, length),
  write: ({ at, length }) => operations.writing('f', at, length, 60),
  'write the clone': ({ at, length }) => operations.writing('c', at, length, 60),
  'read directly': ({ at, length }) => operations.reading('f', at, length, 'direct'),
  'read the clone directly': ({ at, length }) => operations.reading('c', at, length, 'direct'),
  'write directly': ({ at, length }) => operations.writing('f', at, length, 60, 'direct'),
  'write the clone directly': ({ at, length }) => operations.writing('c', at, length, 60, 'direct'),
  view: ({ at, length }) => operations.viewing('f', at, length),
  'view the clone': ({ at, length }) => operations.viewing('c', at, length),
  'store in a view': ({ at, length }) => operations.storing('f', at, length, 60),
  'store in a view of the clone': ({ at, length }) => operations.storing('c', at, length, 60),
  append: ({ length }) => operations.appending('f', length, 60),
  'truncate to the start': ({ at }) => operations.truncating('f', at),
  'truncate to the end': ({ at, length }) => operations.truncating('f', at + length),
  punch: ({ at, length }) => operations.punching('f', at, length),
  'punch to the end': ({ at }) => operations.punching('f', at, 100 * B),
  'zero range': ({ at, length }) => operations.zeroing('f', at, length),
  allocate: ({ at, length }) => operations.allocating('f', at, length, false),
  'allocate, size kept': ({ at, length }) => operations.allocating('f', at, length, true),
  collapse: ({ at, length }) => operations.collapsing('f', at, length),
  insert: ({ at, length }) => operations.inserting('f', at, length),
  unshare: ({ at, length }) => operations.unsharing('f', at, length),
  defragment: () => operations.defragmenting('f'),
  'make writable': ({ at, length }) => operations.makingWritable('f', at, length),
  'clone range onto': (range) => operations.cloningRange('d', 'f', alike(range, 1)),
  'clone range from': ({ at, length }) =>
    operations.cloningRange('f', 'c', { sourceAt: at, at: B, length }),
  'clone range inside': ({ at, length }) =>
    operations.cloningRange('f', 'f', { sourceAt: at, at: at + 8 * B, length }),
  'clone all onto': () => operations.cloningRange('d', 'f', { sourceAt: 0, at: 0, length: 0 }),
  'clone all from': () => operations.cloningRange('f', 'c', { sourceAt: 0, at: 0, length: 0 }),
  'dedupe onto': ({ at, length }) => operations.deduping('c', 'f', { sourceAt: at, at, length }),
  'dedupe from': ({ at, length }) => operations.deduping('f', 'c', { sourceAt: at, at, length }),
  'dedupe with the donor': (range) => operations.deduping('d', 'f', alike(range, 2)),
  'dedupe all': () => operations.deduping('c', 'f', { sourceAt: 0, at: 0, length: 0 }),
  'copy range onto': (range) => operations.copyingRange('d', 'f', alike(range, 1)),
  'copy range from': ({ at, length }) =>
    operations.copyingRange('f', 'c', { sourceAt: at, at: B + (at % B), length }),
  'copy bytes onto': (range) => operations.copyingRange('d', 'f', unlike(range)),
  'clone file': () => operations.cloningFile('f', 'n'),
  'write back': () => operations.writingBack('f'),
  fsync: () => operations.syncing('f'),
  'seek data': ({ at }) => operations.seeking('f', at, 'data'),
  'seek hole': ({ at }) => operations.seeking('f', at, 'hole'),
};

/** What lies where the operation works. */
export interface Source {
  /** Three blocks from here on. */
  readonly at: number;
  /** Makes `f` before it is cloned; everything is durable then. */
  readonly before: readonly FileOperation[];
  /** Changes `f` after that. */
  readonly after: readonly FileOperation[];
  /** What comes last: it makes data dirty within the range, or elsewhere if there it may not be. */
  readonly dirties: FileOperation | undefined;
  /** Whether it is what `at` names, by the extents that the file has. */
  readonly type: string;
}

const AT = 2 * B;
const SIZE = 7 * B + 500;
const RANGE = 3 * B;
const written = operations.writing('f', 0, SIZE, 1);
const around = [operations.writing('f', 0, AT, 1), operations.writing('f', 5 * B, 2 * B + 500, 2)];
const inside = operations.writing('f', AT + B + 50, 100, 3);
const base = { at: AT, after: [], dirties: inside };

/** One line for each source. */
export const SOURCES: Readonly<Record<string, Source>> = {
  none: { at: 0, before: [], after: [], dirties: undefined, type: 'end' },
  hole: { ...base, before: around, type: 'hole' },
  unwritten: {
    ...base,
    before: [...around, operations.allocating('f', AT, RANGE, false)],
    type: 'unwritten',
  },
  delalloc: {
    ...base,
    before: around,
    after: [operations.writing('f', AT, RANGE, 4)],
    type: 'delalloc',
  },
  mapped: {
    ...base,
    before: [written],
    after: [operations.writing('f', AT, RANGE, 4), operations.syncing('f')],
    type: 'data',
  },
  shared: { ...base, before: [written], after: [], type: 'shared' },
  inline: {
    at: 0,
    before: [operations.writing('f', 0, 600, 1)],
    after: [],
    dirties: operations.writing('f', 30, 40, 3),
    type: 'inline',
  },
  'beyond the end': {
    at: 4 * B,
    before: [operations.writing('f', 0, 2 * B + 200, 1)],
    after: [],
    dirties: operations.writing('f', B + 50, 100, 3),
    type: 'end',
  },
};

export const CACHES = ['clean', 'dirty'] as const;

export interface Cell {
  readonly operation: string;
  readonly source: string;
  readonly alignment: Alignment;
  readonly cache: (typeof CACHES)[number];
}

export const cellTitle = ({ operation, source, alignment, cache }: Cell): string =>
  `${operation}/${source}/${alignment}/${cache}`;

function rangeOf({ source, alignment }: Cell): ByteRange {
  return ALIGNMENTS[alignment]({ at: (SOURCES[source] as Source).at, length: RANGE });
}

export function operationOf(cell: Cell): FileOperation {
  return (OPERATIONS[cell.operation] as Maker)(rangeOf(cell));
}

/** All cells of one operation. */
export function cellsOf(operation: string): Cell[] {
  return Object.keys(SOURCES).flatMap((source) =>
    (Object.keys(ALIGNMENTS) as Alignment[]).flatMap((alignment) =>
      CACHES.map((cache) => ({ operation, source, alignment, cache })),
    ),
  );
}

type Condition = (cell: Cell) => boolean;

/** Cells that cannot be made: what there is at the range instead, and why. */
export const IMPOSSIBLE: readonly { when: Condition; instead: string; reason: string }[] = [
  {
    when: ({ source, cache }) => source === 'delalloc' && cache === 'clean',
    instead: 'data',
    reason: 'what is not dirty any more has its place',
  },
  {
    when: ({ source, cache }) => source === 'none' && cache === 'dirty',
    instead: 'delalloc',
    reason: 'a file with dirty data is not empty',
  },
];

const unaligned: Condition = ({ alignment }) => alignment !== 'aligned';
const outside: Condition = ({ source }) => source === 'none' || source === 'beyond the end';
const tooShort: Condition = (cell) => outside(cell) || cell.source === 'inline';

/** Cells that are refused, with what and why. All others succeed. */
export const REFUSED: readonly {
  operations: readonly string[];
  when: Condition;
  code: string;
  reason: string;
}[] = [
  {
    operations: [
      'collapse',
      'insert',
      'clone range onto',
      'clone range from',
      'clone range inside',
      'dedupe onto',
      'dedupe from',
      'dedupe with the donor',
    ],
    when: unaligned,
    code: 'EINVAL',
    reason: 'a part of a block is neither shared nor moved',
  },
  {
    operations: [
      'collapse',
      'clone range from',
      'clone range inside',
      'dedupe onto',
      'dedupe from',
      'dedupe with the donor',
    ],
    when: tooShort,
    code: 'EINVAL',
    reason: 'the file ends before the range does',
  },
  {
    operations: ['insert'],
    when: outside,
    code: 'EINVAL',
    reason: 'there is nothing that would move',
  },
  {
    operations: ['make writable'],
    when: (cell) => outside(cell) || (cell.source === 'inline' && cell.alignment !== 'inside'),
    code: 'EINVAL',
    reason: 'the file has no such block',
  },
  {
    operations: ['view', 'view the clone', 'store in a view', 'store in a view of the clone'],
    when: (cell) => outside(cell) || (cell.source === 'inline' && cell.alignment !== 'inside'),
    code: 'EINVAL',
    reason: 'there is no such byte to be viewed',
  },
  {
    operations: ['dedupe all'],
    when: ({ source }) => source === 'inline',
    code: 'ENOTSUP',
    reason: 'bytes in an inode have no block that could be shared',
  },
  {
    operations: ['seek data', 'seek hole'],
    when: outside,
    code: 'ENXIO',
    reason: 'the file ends before',
  },
];

// --- What bytes do not show -------------------------------------------------------------------

/** The range as whole blocks. */
function blocksOf({ at, length }: ByteRange): { start: number; end: number } {
  return { start: Math.floor(at / B) * B, end: Math.ceil((at + length) / B) * B };
}

/** Extents of `f` in a range, with holes between them. */
function typesIn(bench: Bench, range: ByteRange): string[] {
  const { start, end } = blocksOf(range);
  return Array.from({ length: (end - start) / B }, (_, i) => typeAt(bench, start + i * B));
}

/** What a file has at a place. */
export function typeAt(bench: Bench, at: number): string {
  const extents = bench.volume.extentsSync('/f');
  const found = extents.find(({ offset, length }) => at >= offset && at < offset + length);
  if (found?.shared) return 'shared';
  if (found !== undefined) return found.type;
  return at < bench.vnode('f').size ? 'hole' : 'end';
}

/** What must be true beside the bytes: at once, or after a commit. */
export const MOREOVER: Readonly<
  Record<string, { when: 'at once' | 'committed'; not: readonly string[] }>
> = {
  write: { when: 'at once', not: ['hole', 'unwritten', 'data', 'shared', 'inline', 'end'] },
  'write directly': { when: 'at once', not: ['hole', 'unwritten', 'shared', 'end'] },
  'store in a view': { when: 'at once', not: ['hole', 'unwritten', 'data', 'shared', 'end'] },
  'make writable': { when: 'at once', not: ['hole', 'unwritten', 'data', 'shared', 'inline'] },
  unshare: { when: 'committed', not: ['shared'] },
  allocate: { when: 'at once', not: ['hole', 'end'] },
  'allocate, size kept': { when: 'at once', not: ['hole', 'end'] },
  'clone range onto': { when: 'at once', not: ['data', 'delalloc', 'inline'] },
  'dedupe from': { when: 'at once', not: ['delalloc', 'inline'] },
};

/** Types in the range of a cell that should not be there. */
export function wrongTypes(bench: Bench, cell: Cell, when: 'at once' | 'committed'): string[] {
  const rule = MOREOVER[cell.operation];
  if (rule?.when !== when) return [];
  return typesIn(bench, rangeOf(cell)).filter((type) => rule.not.includes(type));
}
