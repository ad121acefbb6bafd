/**
 * Controls: with one guard taken away, some interleaving, fault or cell comes to harm. A suite that
 * finds nothing then would prove nothing.
 */
import { describe, expect, it } from 'vitest';
import { type Mapping, MappingType, RequestFlag } from '../../src/iomap/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Cell } from './cells.ts';
import { everyPath, Path } from './choices.ts';
import { type FileState, type State, write } from './files.ts';
import { type Event, isExplained } from './judge.ts';
import { runCell } from './matrix.ts';
import { inkOf, outcomeOf, reading, syncing, writing } from './operations.ts';
import type { Harm } from './play.ts';
import { type Pair, runSchedule } from './schedules.ts';

/** Paths of one pair. */
const MOST = 40;

const nothing: Harm = () => {};

/** Nobody waits for who holds a range. */
const noRangeLock: Harm = (bench) => {
  for (const name of ['f', 'c'] as const) {
    const { lock } = bench.vnode(name);
    lock.acquire = () => true;
    lock.free = () => true;
  }
};

/** Nobody waits for a range that is being written back. */
const noCowLock: Harm = (bench) => {
  for (const name of ['f', 'c'] as const) {
    const { cowLock } = bench.vnode(name);
    cowLock.acquire = () => true;
    cowLock.free = () => true;
  }
};

/** A write takes what it does not replace for zeros. */
const noSource: Harm = (bench) => {
  const { iomapOps } = bench.volume.inside;
  const begin = iomapOps.begin.bind(iomapOps);
  iomapOps.begin = (file, request, answer, plan) => {
    const known = begin(file, request, answer, plan);
    if (request.flag !== RequestFlag.WRITE) return known;
    for (let i = 0; i < answer.sourceCount; i++) {
      (answer.sources[i] as Mapping).type = MappingType.HOLE;
    }
    return known;
  };
};

/** Space is promised, and nothing says for which blocks. */
const noMark: Harm = (bench) => {
  bench.volume.inside.maps.mark = () => {};
};

/** A block that gets one more owner is not counted once more. */
const noCount: Harm = (bench) => {
  bench.volume.inside.cow.share = () => {};
};

/** A commit closes without what is dirty. */
const noDrain: Harm = (bench) => {
  bench.volume.inside.drained = () => true;
};

/** What a write that failed had been given is not given back. */
const noCancel: Harm = (bench) => {
  bench.volume.inside.iomapOps.cancel = () => {};
};

/** Data that is written back is forgotten before the map knows of it. */
const noData: Harm = (bench) => {
  const { maps } = bench.volume.inside;
  maps.setRun = () => 0;
};

/** What comes to harm of a pair; undefined if nothing does. */
async function harmed(pair: Omit<Pair, 'scene'>, harm: Harm): Promise<string | undefined> {
  try {
    await everyPath(MOST, new Random(1), async (path) => {
      await runSchedule({ pair: { scene: 'dirty', ...pair }, path }, harm);
    });
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

/** With each: a pair that comes to harm, of which nothing happens while nothing is taken away. */
const INTERLEAVINGS: readonly (readonly [title: string, pair: Omit<Pair, 'scene'>, harm: Harm])[] =
  [
    ['that nobody holds a range', { first: 'collapse', second: 'punch', on: 'f' }, noRangeLock],
    [
      'that nobody waits for writeback',
      { first: 'writeback', second: 'punch', on: 'f' },
      noCowLock,
    ],
    [
      'that a write ignores its sources',
      { first: 'write unaligned', second: 'read', on: 'c' },
      noSource,
    ],
    [
      'that blocks are shared and not counted',
      { first: 'clone range', second: 'read', on: 'c' },
      noCount,
    ],
    [
      'that a commit leaves out what is dirty',
      { first: 'fsync', second: 'seek data', on: 'f' },
      noDrain,
    ],
    [
      'that the map is not told of data',
      { first: 'writeback', second: 'seek data', on: 'f' },
      noData,
    ],
  ];

describe('an interleaving notices', () => {
  it.each(INTERLEAVINGS)('%s', { timeout: 60_000 }, async (_, pair, harm) => {
    expect(await harmed(pair, nothing)).toBeUndefined();
    expect(await harmed(pair, harm)).toBeDefined();
  });
});

/** A kind of cell that comes to harm. */
const CELLS: readonly (readonly [title: string, cell: Cell, harm: Harm])[] = [
  [
    'that a write ignores its sources',
    { operation: 'write', source: 'shared', alignment: 'both', cache: 'clean' },
    noSource,
  ],
  [
    'that blocks are shared and not counted',
    { operation: 'clone range onto', source: 'hole', alignment: 'aligned', cache: 'clean' },
    noCount,
  ],
  [
    'that no block is marked for which space is promised',
    { operation: 'allocate', source: 'hole', alignment: 'inside', cache: 'clean' },
    noMark,
  ],
  [
    'that the map is not told of data',
    { operation: 'append', source: 'inline', alignment: 'aligned', cache: 'dirty' },
    noData,
  ],
];

describe('a cell notices', () => {
  it.each(CELLS)('%s', async (_, cell, harm) => {
    await expect(runCell(cell)).resolves.toEqual({ kind: 'done' });
    await expect(runCell(cell, harm)).rejects.toThrow();
  });
});

describe('a fault notices', () => {
  it.each([
    ['nothing while nothing is taken away', nothing, false],
    ['that the space of a failed write is lost', noCancel, true],
  ] as const)('%s', async (_, harm, wanted) => {
    const pair = { scene: 'dirty', first: 'writeback', second: 'read', on: 'c' } as const;
    let found = false;
    for (let fault = 0; fault < 3; fault++) {
      const run = runSchedule({ pair, path: Path.parse('0'), fault }, harm);
      found ||= await run.then(
        () => false,
        () => true,
      );
    }
    expect(found).toBe(wanted);
  });
});

// --- The judge --------------------------------------------------------------------------------

const OLD: FileState = { bytes: inkOf(1, 8), data: [true], cuts: [] };
const NEW: FileState = write(OLD, 2, inkOf(2, 4));
const TORN: FileState = write(OLD, 2, inkOf(2, 2));
const stateOf = (file: FileState): State => new Map([['f', file]]);

/** Turns in which an operation began and ended, and what it came to. */
type Time = readonly [began: number, ended: number];

const wrote = ([began, ended]: Time, outcome = '4'): Event => ({
  operation: writing('f', 2, 4, 2),
  began,
  ended,
  outcome,
});

const read = ([began, ended]: Time, { bytes }: FileState): Event => ({
  operation: reading('f', 0, 8),
  began,
  ended,
  outcome: outcomeOf(bytes),
});

const synced = ([began, ended]: Time): Event => ({
  operation: syncing('f'),
  began,
  ended,
  outcome: 'ok',
});

describe('the judge', () => {
  it.each<[string, boolean, Event[], FileState, FileState]>([
    ['a read before a write beside it', true, [wrote([1, 4]), read([2, 3], OLD)], NEW, OLD],
    ['a read after a write beside it', true, [wrote([1, 4]), read([2, 3], NEW)], NEW, OLD],
    ['a read of half a write', false, [wrote([1, 4]), read([2, 3], TORN)], NEW, OLD],
    ['a read without a write that had ended', false, [wrote([1, 2]), read([3, 4], OLD)], NEW, OLD],
    ['a read with a write to come', false, [read([1, 2], NEW), wrote([3, 4])], NEW, OLD],
    ['a write that is lost', false, [wrote([1, 2])], OLD, OLD],
    ['a write that failed', true, [wrote([1, 2], 'EIO')], OLD, OLD],
    ['a write that failed and is there', false, [wrote([1, 2], 'EIO')], NEW, OLD],
    ['a write that is half there', false, [wrote([1, 2])], TORN, OLD],
    ['a write that is durable', true, [wrote([1, 2]), synced([3, 4])], NEW, NEW],
    ['a write that should be durable', false, [wrote([1, 2]), synced([3, 4])], NEW, OLD],
    ['a write beside a commit', true, [synced([1, 4]), wrote([2, 3])], NEW, OLD],
    ['something durable that nobody made so', false, [wrote([1, 2])], NEW, NEW],
  ])('judges %s: %s', (_, wanted, events, after, durable) => {
    const before = stateOf(OLD);
    const seen = {
      before,
      durableBefore: before,
      after: stateOf(after),
      durable: stateOf(durable),
    };
    expect(isExplained(events, seen)).toBe(wanted);
  });
});
