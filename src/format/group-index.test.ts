import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Txg } from '../base/index.ts';
import type { CountWidth } from './counts.ts';
import { readGroupEntry, writeGroupEntry } from './group-index.ts';

const entry = fc.record({
  checksum: fc.nat(0xffffffff),
  free: fc.nat(0xffffffff),
  width: fc.constantFrom<CountWidth>(1, 2, 3, 4),
  current: fc.constantFrom<0 | 1>(0, 1),
  txg: fc.nat(2 ** 48 - 1).map((txg) => txg as Txg),
});

describe('writeGroupEntry()', () => {
  it('stores what is read back, of each group its own', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), (entries) => {
        const words = new Uint32Array(4 * entries.length);
        entries.forEach((each, group) => {
          writeGroupEntry(words, group, each);
        });
        expect(entries.map((_, group) => readGroupEntry(words, group))).toEqual(entries);
      }),
    );
  });
});
