/**
 * An image that a disk has damaged: everything that is read is what was written, or an error.
 */
import { expect, it } from 'vitest';
import { lie, TARGET, truths, tryMutations } from './runs.ts';

it('250 images with damage are used: never wrong data, no crash, no end', {
  timeout: 180_000,
}, () => {
  const all = truths(TARGET.image);
  expect(all.length).toBeGreaterThan(1);
  expect(all[0]?.size).toBeGreaterThan(500);
  tryMutations('raw', { first: 1, count: 250 }, (seen) => lie(seen, all));
});
