/**
 * Power cuts of a whole volume: whatever is left mounts, is whole, and has all that was
 * acknowledged; and a mount that is cut off changes nothing of that.
 */
import { afterAll } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { seeded } from '../volume/seeds.ts';
import { cut } from './cut.ts';
import { Life, type LifeOptions } from './life.ts';

const SMALL: LifeOptions = { size: 2 * MIB, groupBlocks: 256, logBlocks: 16 };

let images = 0;

afterAll(() => process.stdout.write(`${images} power cuts\n`));

seeded('a power cut loses nothing that was acknowledged', { count: 14 }, (random) => {
  const life = new Life(random, SMALL);
  life.run(60);
  const calls = Array.from({ length: 12 }, () => random.between(0, life.tape.calls.length));
  images += cut(life, random, calls);
});

seeded('nor does it whatever the layout', { count: 6 }, (random) => {
  const options: LifeOptions = {
    size: random.pick([2, 3, 5]) * MIB,
    groupBlocks: random.pick([256, 512, 1024]),
    logBlocks: random.pick([3, 8, 40, 100]),
    countCap: random.pick([1, 2, 4] as const),
    extentSize: random.pick([0, 8192, 65_536]),
    cacheBytes: 16 * MIB,
  };
  const life = new Life(random, options);
  life.run(60);
  const calls = Array.from({ length: 8 }, () => random.between(0, life.tape.calls.length));
  images += cut(life, random, calls);
});

seeded('nor does it on a volume that is often full', { count: 5 }, (random) => {
  const options = { ...SMALL, size: MIB, logBlocks: 4, mayBeFull: true };
  const life = new Life(random, options);
  life.run(80);
  const calls = Array.from({ length: 12 }, () => random.between(0, life.tape.calls.length));
  images += cut(life, random, calls);
});
