/**
 * Dirty data, clones and holes: every short history of one file and its clone.
 *
 * This is where other systems lost data: a clone that was made while data was not yet written, or
 * whose source had a hole, and the first write to either side afterwards.
 */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { ModelVolume, Random } from '../../src/testing/index.ts';
import { recount } from '../volume/recount.ts';
import { Bench, COMMON } from './bench.ts';
import type { Face } from './dump.ts';
import { ModelRunner, type Step, show } from './steps.ts';

const BLOCK = 4096;

/** What can be done in a directory with a file and its clone. */
const ACTS: Readonly<Record<string, (top: string) => readonly Step[]>> = {
  first: (top) => writing(`${top}/f`, 0, BLOCK),
  border: (top) => writing(`${top}/f`, BLOCK - 100, 200),
  behind: (top) => writing(`${top}/f`, 5 * BLOCK + 10, 100),
  shorter: (top) => [{ call: 'truncate', args: [`${top}/f`, 700] }],
  longer: (top) => [{ call: 'truncate', args: [`${top}/f`, 4 * BLOCK] }],
  clone: (top) => [{ call: 'clone', args: [`${top}/f`, `${top}/g`] }],
  back: (top) => [{ call: 'copyFile', args: [`${top}/g`, `${top}/f`] }],
  other: (top) => writing(`${top}/g`, BLOCK - 100, 200),
  empty: (top) => [{ call: 'truncate', args: [`${top}/g`, 0] }],
  sync: () => [{ call: 'sync', args: [] }],
};

/** Acts on the clone, which has to be there. */
const LATER = new Set(['back', 'other', 'empty']);

/** What the file is when a history begins. */
const STARTS: readonly ((top: string) => readonly Step[])[] = [
  (top) => [{ call: 'writeFile', args: [`${top}/f`, 1, 3 * BLOCK] }],
  (top) => [
    { call: 'writeFile', args: [`${top}/f`, 2, 0] },
    ...writing(`${top}/f`, 2 * BLOCK - 50, 100),
  ],
];

function writing(path: string, position: number, length: number): readonly Step[] {
  return [
    { call: 'open', args: [0, path, 'r+'] },
    { call: 'write', args: [0, position + length, length, position] },
    { call: 'close', args: [0] },
  ];
}

/** All sequences of acts of a length that have a clone in them. */
function histories(length: number): string[][] {
  let all: string[][] = [[]];
  for (let i = 0; i < length; i++) {
    all = all.flatMap((acts) =>
      Object.keys(ACTS)
        .filter((act) => (acts.includes('clone') ? act !== 'clone' : !LATER.has(act)))
        .map((act) => [...acts, act]),
    );
  }
  return all.filter((acts) => acts.includes('clone'));
}

/** Histories that share one volume, each in a directory of its own. */
const BATCH = 400;

async function everyHistory(face: Face, length: number): Promise<void> {
  const all = histories(length).flatMap((acts) => STARTS.map((start) => ({ acts, start })));
  for (let from = 0; from < all.length; from += BATCH) {
    let ms = 1e12;
    const now = (): number => ms;
    const options = { size: 32 * MIB, cacheBytes: 4 * MIB, countCap: 1 as const, now };
    const bench = await Bench.make(face, { ...COMMON, ...options }, new Random(from));
    const runner = new ModelRunner(new ModelVolume(now));
    const act = async (title: string, step: Step): Promise<void> => {
      ms += 1000;
      const wanted = runner.run(step);
      expect(await bench.step(step), `${title}: ${show(step)}`).toBe(wanted);
      // What comes next finds nothing in memory.
      if (step.call === 'sync') bench.evict();
    };
    for (const [i, { acts, start }] of all.slice(from, from + BATCH).entries()) {
      const top = `/${i} ${acts.join(' ')}`;
      await act(top, { call: 'mkdir', args: [top] });
      for (const step of start(top)) await act(top, step);
      for (const name of acts) for (const step of ACTS[name]?.(top) ?? []) await act(top, step);
    }
    await compareTwice(bench, runner);
  }
}

async function compareTwice(bench: Bench, { model }: ModelRunner): Promise<void> {
  expect(await bench.dump()).toEqual(model.dump());
  await bench.remount();
  expect(await bench.dump()).toEqual(model.dump());
  expect(recount(bench.image)).toEqual([]);
  await bench.close();
}

describe('dirty data x clone x hole', { timeout: 120_000 }, () => {
  it('in every history of four acts', async () => {
    await everyHistory('sync', 4);
  });

  it('in every history of three acts, by promises', async () => {
    await everyHistory('promises', 3);
  });
});
