/**
 * An image that somebody made to do harm: every checksum is right, and what it says cannot be.
 */
import { it } from 'vitest';
import { tryMutations } from './runs.ts';

it('375 images that contradict themselves are used, without a crash', { timeout: 180_000 }, () => {
  tryMutations('sealed', { first: 1, count: 375 }, () => undefined);
});
