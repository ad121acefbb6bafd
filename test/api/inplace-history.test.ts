/**
 * Files that are overwritten in place, against the plain model: whatever else is cloned, kept in
 * snapshots and deleted, no write to one file is ever seen in another.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { Groups } from '../../src/store/groups.ts';
import { LogRecords } from '../../src/volume/log-records.ts';
import { holds } from '../iomap/property.ts';
import { type Life, live, turnsOf } from './history.ts';
import { drawOverwrite, SCENE, WEIGHTS } from './overwrites.ts';

const LIFE: Life = {
  size: 16 * MIB,
  logBlocks: 8,
  cacheBytes: 4 * MIB,
  inplace: true,
  before: SCENE,
  draw: drawOverwrite,
};
const ODD: Life = { ...LIFE, groupBlocks: 1024, countCap: 1 };
const KINDS = { ...WEIGHTS, compare: 2, defrag: 1, evict: 4, read: 4, reclaim: 6 };

const long = process.env['RAMET_LONG'] === '1';

afterEach(() => vi.restoreAllMocks());

/** Runs of data that went over what was there. */
function countOverwrites(): () => number {
  const { overwritten } = LogRecords.prototype;
  const spy = vi.spyOn(LogRecords.prototype, 'overwritten').mockImplementation(function (
    this: LogRecords,
    vnode,
  ) {
    overwritten.call(this, vnode);
  });
  return () => spy.mock.calls.length;
}

function history(life: Life, runs: number): Promise<void> {
  return holds(
    fc.asyncProperty(turnsOf(120, KINDS), fc.noShrink(fc.nat()), (steps, seed) =>
      live(steps, seed, life),
    ),
    { numRuns: long ? runs * 80 : runs },
  );
}

describe('overwriting in place does as the model', { timeout: long ? 3_600_000 : 300_000 }, () => {
  it('on a volume of one group', async () => {
    const overwrites = countOverwrites();
    await history(LIFE, 4);
    expect(overwrites()).toBeGreaterThan(0);
  });

  it('on four groups with counts of two bits', async () => {
    const overwrites = countOverwrites();
    await history(ODD, 4);
    expect(overwrites()).toBeGreaterThan(0);
  });
});

describe('the histories notice', { timeout: 300_000 }, () => {
  /** Whether a history fails, of those that a fixed seed draws. */
  async function fails(): Promise<boolean> {
    const property = fc.asyncProperty(turnsOf(120, KINDS), fc.nat(), (steps, seed) =>
      live(steps, seed, { ...LIFE, faces: ['sync'] }),
    );
    const { failed } = await fc.check(property, { seed: 1, numRuns: 12, endOnFailure: true });
    return failed;
  }

  it('that others may use a block now', async () => {
    vi.spyOn(Groups.prototype, 'isExclusive').mockReturnValue(true);
    expect(await fails()).toBe(true);
  });
});
