/**
 * An image that somebody made to do harm: every checksum is right, and what it says cannot be.
 */
import { it } from 'vitest';
import { tryMutations } from './runs.ts';

const long = process.env['RAMET_LONG'] === '1';
const COUNT = long ? 85_000 : 350;

it(`${COUNT} images that contradict themselves are used, without a crash`, {
  timeout: long ? 14_400_000 : 180_000,
}, () => {
  tryMutations('sealed', { first: 1, count: COUNT }, () => undefined);
});
