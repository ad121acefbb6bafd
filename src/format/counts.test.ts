import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CountWidth,
  countLimit,
  countTableSize,
  getCount,
  repackCounts,
  setCount,
} from './counts.ts';

const WIDTHS: readonly CountWidth[] = [1, 2, 3, 4];

describe('countLimit()', () => {
  it('is what 2, 4, 8 and 16 bits can hold', () => {
    expect(WIDTHS.map(countLimit)).toEqual([3, 15, 255, 65535]);
  });
});

describe('countTableSize()', () => {
  it('rounds up to whole bytes', () => {
    expect(WIDTHS.map((width) => countTableSize(32768, width))).toEqual([
      8192, 16384, 32768, 65536,
    ]);
    expect(WIDTHS.map((width) => countTableSize(5, width))).toEqual([2, 3, 5, 10]);
  });
});

describe.each(WIDTHS)('counts of width %i', (width) => {
  const limit = countLimit(width);
  const changes = fc.array(fc.tuple(fc.nat(99), fc.nat(limit)), { maxLength: 200 });

  it('are an array of numbers', () => {
    fc.assert(
      fc.property(changes, (steps) => {
        const table = new Uint8Array(countTableSize(100, width));
        const model = new Array<number>(100).fill(0);
        for (const [index, count] of steps) {
          setCount(table, width, index, count);
          model[index] = count;
        }
        expect(model.map((_, i) => getCount(table, width, i))).toEqual(model);
      }),
    );
  });

  it('lie with the lower block in the lower bits', () => {
    const table = new Uint8Array(countTableSize(16, width));
    setCount(table, width, 1, 1);
    const bits = 1 << width;
    expect(table[Math.floor(bits / 8)]).toBe(1 << (bits % 8));
  });

  it('are repacked to every width that can hold them', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(limit), { minLength: 1, maxLength: 70 }), (counts) => {
        const table = new Uint8Array(countTableSize(counts.length, width));
        counts.forEach((count, i) => {
          setCount(table, width, i, count);
        });
        for (const to of WIDTHS.filter((wider) => wider >= width)) {
          const wider = repackCounts(table, width, to, counts.length);
          expect(counts.map((_, i) => getCount(wider, to, i))).toEqual(counts);
        }
      }),
    );
  });
});
