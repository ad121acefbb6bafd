/** More of sealed.test.ts, for another worker. */
import { it } from 'vitest';
import { tryMutations } from './runs.ts';

it('375 more images that contradict themselves are used', { timeout: 180_000 }, () => {
  tryMutations('sealed', { first: 376, count: 375 }, () => undefined);
});
