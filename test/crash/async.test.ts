/**
 * Power cuts while several use a volume at once, on a device that answers in any order: what was
 * acknowledged is there, and nothing is what it has never been.
 */
import { afterAll } from 'vitest';
import { seeded } from '../volume/seeds.ts';
import { AsyncLife, SMALL } from './async-life.ts';

/** Of all actors of a life together. */
const STEPS = 300;

let images = 0;
let acks = 0;
let turns = 0;

afterAll(() => process.stdout.write(`${images} images, ${acks} acknowledged, ${turns} turns\n`));

seeded('what was acknowledged to several at once is there', { count: 4 }, async (random) => {
  const actors = random.pick([3, 5, 8]);
  const steps = Math.ceil(STEPS / actors);
  const logBlocks = random.pick([3, 8, 32]);
  const life = new AsyncLife(random, { ...SMALL, actors, steps, logBlocks });
  await life.run();
  images += life.counts.images;
  acks += life.counts.acks;
  turns += life.counts.turns;
});
