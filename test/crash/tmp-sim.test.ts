import { MIB } from '../../src/base/index.ts';
import { seeded } from '../volume/seeds.ts';
import type { Weights } from './life.ts';
import { SimulatedLife } from './simulated-life.ts';

const CHURN: Weights = {
  appendFile: 4,
  clone: 8,
  close: 6,
  copyFile: 4,
  defrag: 4,
  deleteSnapshot: 4,
  fsync: 22,
  ftruncate: 6,
  link: 3,
  mkdir: 4,
  open: 10,
  range: 24,
  rename: 6,
  rm: 3,
  snapshot: 5,
  truncate: 5,
  unlink: 6,
  write: 24,
  writeFile: 6,
  sync: 1,
};
seeded('sim', { count: 4 }, async (random) => {
  const life = new SimulatedLife(random, {
    size: random.pick([5, 8]) * MIB,
    groupBlocks: 256,
    logBlocks: random.pick([8, 40, 200]),
    cuts: 0.02,
    extentSize: random.pick([0, 16384]),
    weights: CHURN,
    faults: random.pick([0, 0, 0, 0.002]),
    countCap: random.pick([2, 4] as const),
  } as never);
  await life.run(80);
});
