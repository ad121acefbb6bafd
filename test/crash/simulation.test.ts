/**
 * The whole system from one seed: steps, the order of completions, failures, and power cuts at any
 * moment, while fsyncs and commits are on their way.
 */
import { afterAll } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { seeded } from '../volume/seeds.ts';
import { WEIGHTS } from './life.ts';
import { SimulatedLife } from './simulated-life.ts';

const SMALL = { size: 2 * MIB, groupBlocks: 256, logBlocks: 16, cuts: 0.04 } as const;
const MANY = { fsync: 30, sync: 6 } as const;

let images = 0;

afterAll(() => process.stdout.write(`${images} power cuts of slow devices\n`));

seeded('a power cut on a slow device loses nothing', { count: 10 }, async (random) => {
  const life = new SimulatedLife(random, SMALL);
  await life.run(60);
  images += life.images;
});

seeded('nor does it where much is made durable', { count: 8 }, async (random) => {
  const life = new SimulatedLife(random, { ...SMALL, weights: { ...WEIGHTS, ...MANY } });
  await life.run(80);
  images += life.images;
});

seeded('nor on one that fails', { count: 12 }, async (random) => {
  const faults = random.pick([0.003, 0.01, 0.03]);
  const life = new SimulatedLife(random, { ...SMALL, faults });
  await life.run(60);
  images += life.images;
});
