/** Power cuts of lives in which much is made and removed, and given back at once. */
import { afterAll, vi } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { cut } from './cut.ts';
import { Life, type LifeOptions, type Weights } from './life.ts';

const CHURN: Weights = {
  appendFile: 4,
  clone: 6,
  close: 6,
  copyFile: 3,
  defrag: 2,
  deleteSnapshot: 3,
  fsync: 16,
  ftruncate: 5,
  link: 3,
  mkdir: 8,
  open: 10,
  range: 16,
  rename: 6,
  rm: 6,
  snapshot: 3,
  truncate: 4,
  unlink: 8,
  utimes: 1,
  write: 12,
  writeFile: 12,
};

let images = 0;

afterAll(() => process.stdout.write(`${images} power cuts\n`));

/** A life whose reclaim queue is worked off now and then. */
function live(random: Random, options: LifeOptions, steps: number): void {
  const opening = vi.spyOn(Volume, 'openSync');
  const life = new Life(random, { ...options, weights: CHURN, mayBeFull: true });
  const volume = opening.mock.results[0]?.value as Volume;
  opening.mockRestore();
  const reclaiming = random.pick([0, 0.1, 0.5]);
  for (let i = 0; i < steps; i++) {
    life.run(1);
    if (random.chance(reclaiming)) volume.reclaimSync();
  }
  const { length } = life.tape.calls;
  const calls = [length, ...Array.from({ length: 5 }, () => random.between(0, length))];
  images += cut(life, random, calls);
}

seeded('what is removed and given back is no more than that', { count: 6 }, (random) => {
  const options: LifeOptions = {
    size: random.pick([1, 1.5, 3]) * MIB,
    groupBlocks: 256,
    logBlocks: random.pick([16, 60, 120]),
    countCap: random.pick([1, 2, 4, 4] as const),
    extentSize: random.pick([0, 0, 16_384]),
    cacheBytes: random.pick([4, 16]) * MIB,
  };
  live(random, options, random.pick([60, 150]));
});
