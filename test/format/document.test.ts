/**
 * docs/FORMAT.md and the code say the same.
 *
 * Each field of a structure is changed by itself: the bytes that change have to be those that the
 * document gives it.
 */
import { describe, expect, it } from 'vitest';
import { HASH_BITS } from '../../src/base/index.ts';
import { CATALOGUE } from '../../src/check/index.ts';
import * as format from '../../src/format/index.ts';
import { type Field, FORMAT, fieldsOf, tableOf } from './document.ts';
import * as sample from './samples.ts';

interface Structure {
  readonly title: string;
  readonly heading: string;
  /** Name of the first field, where a section has several structures. */
  readonly first?: string;
  readonly encode: (values: sample.Values) => Uint8Array;
  /** Another value for each field that can have one. */
  readonly changes: sample.Values;
  /** Fields that have one value only in this version, or follow from all others. */
  readonly fixed: readonly string[];
}

const node = (leaf: boolean) => (values: sample.Values) => sample.nodeSample(values, leaf);

const STRUCTURES: readonly Structure[] = [
  {
    title: 'superblock',
    heading: '3. Superblock',
    first: 'magic',
    encode: sample.superblockSample,
    changes: {
      major: 0x1122,
      minor: 0x1122,
      'group blocks': 0x11223344,
      compatible: 0x1f222324252627,
      'read-only': 0x1f222324252627,
      incompatible: 0x1f222324252627,
      uuid: 5,
      'block count': 0x1f222324252627,
      txg: 0x112233445566,
      committed: 1,
      created: 1,
      'index start': 0x11223344,
      'index blocks': 0x11223344,
      'index place': 0,
      'count cap': 2,
      'log start': 0x11223344,
      'log blocks': 0x11223344,
      'log tail': 0x11223344,
      'log sequence': 0x1f222324252627,
      'index checksum': 0x11223344,
      'meta root': 0x11223344,
      'next inode': 0x1f222324252627,
      'hash seed': 0x11223344,
      'free blocks': 0x1f222324252627,
      reserved: 0x1f222324252627,
      'next realm': 0x1f222324252627,
      label: 0x41,
    },
    fixed: ['magic', 'checksum', 'self'],
  },
  {
    title: 'time',
    heading: '3. Superblock',
    first: 'nanoseconds',
    encode: sample.timeSample,
    changes: { nanoseconds: 999_999_999, seconds: 0x71727374 },
    fixed: [],
  },
  {
    title: 'index entry',
    heading: '4.1 Index entry',
    encode: sample.entrySample,
    changes: {
      checksum: 0x11223344,
      free: 0x11223344,
      width: 1,
      current: 0,
      'txg high': 0x3344,
      'txg low': 0x11223344,
    },
    fixed: [],
  },
  {
    title: 'slot',
    heading: '5. Slots',
    encode: sample.slotSample,
    changes: {
      block: 0x11223344,
      flags: 0x12,
      'birth high': 0x3344,
      'birth low': 0x11223344,
      checksum: 0x11223344,
    },
    fixed: ['block high'],
  },
  {
    title: 'node header',
    heading: '7.1 Node header',
    encode: node(true),
    changes: {
      level: 3,
      tree: 1,
      count: 0x3344,
      heap: 0x1000,
      dead: 0x0fff,
      inode: 0x1f222324252627,
      birth: 0x112233445566,
      image: 0x11223344,
      realm: 0x1f222324252627,
    },
    fixed: ['magic'],
  },
  {
    title: 'leaf entry',
    heading: '7.2 Leaf',
    encode: node(true),
    changes: { key: 0x1f222324252627, offset: 0x0a00, length: 0x0400 },
    fixed: [],
  },
  {
    title: 'interior node',
    heading: '7.3 Interior node',
    encode: node(false),
    changes: { key: 0x1f222324252627, slot: 0x11223344 },
    fixed: [],
  },
  {
    title: 'record',
    heading: '8.1 Fixed part',
    encode: sample.recordSample,
    changes: {
      'name length': 6,
      kind: format.InodeKind.FIFO,
      flags: format.InodeFlag.HAS_LINKS_BELOW | format.InodeFlag.READ_ONLY,
      inode: 0x2122232425,
      depth: 3,
      mode: 0o7077,
      uid: 0x11223344,
      gid: 0x11223344,
      nlink: 0x11223344,
      generation: 0x11223344,
      size: 0x1f222324252627,
      blocks: 0x1f222324252627,
      atime: 1,
      mtime: 1,
      ctime: 1,
      btime: 1,
      change: 0x1f222324252627,
      project: 0x11223344,
      rdev: 0x11223344,
      inline: 11,
      attributes: 15,
    },
    fixed: ['length'],
  },
  {
    title: 'LINK record',
    heading: '8.3 LINK record',
    encode: sample.linkSample,
    changes: { 'name length': 6, inode: 0x2122232425, name: 0x41 },
    fixed: ['length', 'kind'],
  },
  {
    title: 'extended attribute',
    heading: '8.4 Extended attributes',
    encode: sample.attributesSample,
    changes: { 'name length': 8, 'value length': 16, name: 0x41 },
    fixed: [],
  },
  {
    title: 'log frame',
    heading: '11.1 Frame',
    encode: sample.frameSample,
    changes: {
      sequence: 0x1f222324252627,
      epoch: 0x112233445566,
      operation: 0x1f222324252627,
      previous: 0x11223344,
      records: 1,
    },
    fixed: ['magic', 'blocks', 'length', 'checksum'],
  },
];

/** Offsets at which two encodings differ, one past the end of the shorter if they differ there. */
function differences(left: Uint8Array, right: Uint8Array): number[] {
  const found: number[] = [];
  for (let i = 0; i < Math.max(left.length, right.length); i++)
    if (left[i] !== right[i]) found.push(i);
  return found;
}

/** What else changes when a field does, because it is a length, or covers it. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  superblock: ['self'],
  'record:name length': ['length'],
  'LINK record:name length': ['name'],
  'extended attribute:name length': ['name'],
  'extended attribute:value length': ['name'],
  'log frame:records': ['length', 'checksum'],
  'log frame': ['checksum'],
};

/** Where a structure's fields end and its parts begin. */
const VARIABLE: Readonly<Record<string, number>> = { record: 100, 'log frame': 64 };

describe.each(STRUCTURES)('the table of the $title', (structure) => {
  const { title, heading, first, encode, changes, fixed } = structure;
  const fields = fieldsOf(heading, first);

  it('has its fields in order, apart from each other', () => {
    let end = 0;
    for (const { name, offset, size } of fields) {
      expect(offset, name).toBeGreaterThanOrEqual(end);
      end = offset + size;
    }
  });

  it('names every field that is tried here, and no other', () => {
    expect([...Object.keys(changes), ...fixed].sort()).toEqual(
      fields.map(({ name }) => name).sort(),
    );
  });

  it.each(Object.keys(changes))('tells where %s is', (name) => {
    const before = encode({});
    const after = encode({ [name]: changes[name] as number });
    const changed = differences(before, after);
    const follows = [...(FOLLOWS[title] ?? []), ...(FOLLOWS[`${title}:${name}`] ?? [])];
    const inside = (at: number, { offset, size }: Field): boolean =>
      at >= offset && at < offset + size;
    const field = fields.find((one) => one.name === name) as Field;
    const allowed = fields.filter((one) => follows.includes(one.name));
    const stray = changed.filter(
      (at) => at < (VARIABLE[title] ?? Infinity) && ![field, ...allowed].some((f) => inside(at, f)),
    );
    expect(stray).toEqual([]);
    expect(changed.filter((at) => inside(at, field))).not.toEqual([]);
  });
});

describe('the tables of numbers', () => {
  it('have the constants of the code', () => {
    const known: Record<string, unknown> = { ...format, HASH_BITS, BLOCK_SIZE: 4096 };
    const { rows } = tableOf('1. The image', 'constant', 'value');
    expect(rows.length).toBeGreaterThan(20);
    for (const [name, value] of rows) expect(known[name as string], name).toBe(Number(value));
  });

  it('have the kinds and flags of the code', () => {
    const numbers = (heading: string, column: string): Record<string, number> =>
      Object.fromEntries(
        tableOf(heading, column, 'name').rows.map(([value, name]) => [name, Number(value)]),
      );
    expect(numbers('8.1 Fixed part', 'kind')).toEqual(format.InodeKind);
    expect(numbers('8.1 Fixed part', 'flag')).toEqual(format.InodeFlag);
    expect(numbers('5. Slots', 'kind')).toEqual(format.SlotKind);
    const { NOCSUM, TWIN, DIRTY } = format;
    expect(numbers('5. Slots', 'flag')).toEqual({ NOCSUM, TWIN, DIRTY });
  });

  it('have the depths of maps', () => {
    const { rows } = tableOf('6. File maps', 'depth', 'blocks');
    expect(rows).toHaveLength(format.MAP_DEPTH_MAX + 1);
    rows.forEach(([depth, blocks], i) => {
      expect(Number(depth)).toBe(i);
      expect(Number(blocks)).toBe(format.mapCapacity(i, format.EMBEDDED_SLOTS));
    });
  });

  it('have the mutations of the code, field by field', () => {
    const { rows } = tableOf('11.2 Mutation', 'type', 'name');
    const documented = Object.fromEntries(
      rows.map(([type, name, fields]) => [name, [Number(type), fields]]),
    );
    const coded = Object.fromEntries(
      Object.entries(format.SCHEMAS).map(([name, [type, fields]]) => [
        name,
        [
          type,
          Object.entries(fields)
            .map((field) => field.join(' '))
            .join(', '),
        ],
      ]),
    );
    expect(documented).toEqual(coded);
  });

  it('have the reclaim queue’s record', () => {
    const fields = fieldsOf('10. The volume');
    const offset = (name: string): number | undefined =>
      fields.find((field) => field.name === name)?.offset;
    expect(offset('resume')).toBe(format.RECLAIM_RESUME);
    expect(offset('slot')).toBe(format.RECLAIM_SLOT);
    const { offset: start, size } = fields.at(-1) as Field;
    expect(start + size).toBe(format.RECLAIM_RECORD_SIZE);
  });

  it('have the entries of the meta root', () => {
    const { rows } = tableOf('10. The volume', 'name', 'kind');
    const { LIVE, SNAPSHOTS, ORPHANS, RECLAIM } = format.MetaName;
    const { MetaInode } = format;
    expect(rows.map(([name, , inode]) => [name, Number(inode)])).toEqual([
      [LIVE, MetaInode.LIVE],
      [SNAPSHOTS, MetaInode.SNAPSHOTS],
      [ORPHANS, MetaInode.ORPHANS],
      [RECLAIM, MetaInode.RECLAIM],
    ]);
  });
});

describe('the document', () => {
  it('has the version of the code', () => {
    const { VERSION_MAJOR, VERSION_MINOR } = format;
    expect(FORMAT).toContain(`# The format, version ${VERSION_MAJOR}.${VERSION_MINOR}\n`);
  });

  it('names an issue of the verifier for every invariant, and no other', () => {
    const invariants = FORMAT.slice(FORMAT.indexOf('## 13.'), FORMAT.indexOf('## 14.'));
    const named = [...invariants.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code as string);
    const known = Object.entries(CATALOGUE)
      .filter(([, { severity }]) => severity !== 'fatal')
      .map(([code]) => code);
    const others = ['check', 'unknown-feature', 'names-skipped'];
    expect([...new Set([...named, ...others])].sort()).toEqual([...known, 'check'].sort());
  });
});
