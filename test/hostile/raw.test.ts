/**
 * An image that a disk has damaged: everything that is read is what was written, or an error.
 */
import { expect, it } from 'vitest';
import { BASES, type BaseName } from './bases.ts';
import { lie, truths, tryMutations } from './runs.ts';
import type { Seen } from './use.ts';

const long = process.env['RAMET_LONG'] === '1';
const COUNT = long ? 20_000 : 100;

it(`${COUNT} images with damage are used: never wrong data, no crash, no end`, {
  timeout: long ? 14_400_000 : 180_000,
}, () => {
  const all = new Map<BaseName, Seen[]>();
  for (const base of Object.keys(BASES) as BaseName[]) {
    const each = truths(BASES[base]());
    expect(each.length, base).toBeGreaterThan(0);
    all.set(base, each);
  }
  tryMutations('raw', { first: 1, count: COUNT }, (seen, base) => {
    return lie(seen, all.get(base) as Seen[]);
  });
});
