/**
 * The same as raw.test.ts and sealed.test.ts, with other numbers and more of them: RAMET_ROUNDS,
 * or 5,000 of each kind.
 */
import { it } from 'vitest';
import { lie, TARGET, truths, tryMutations } from './runs.ts';

const count = Number(process.env['RAMET_ROUNDS'] ?? 5000);

it('is used whatever the damage', { timeout: 3_600_000 }, () => {
  const all = truths(TARGET.image);
  tryMutations('raw', { first: 1_000_000, count }, (seen) => lie(seen, all));
});

it('is used whatever it says', { timeout: 3_600_000 }, () => {
  tryMutations('sealed', { first: 1_000_000, count }, () => undefined);
});
