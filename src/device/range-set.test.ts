import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeSet } from './range-set.ts';

const SPACE = 60;

describe('RangeSet', () => {
  it('gaps() of an empty set is the range itself', () => {
    expect(new RangeSet(8).gaps(3, 9)).toEqual([{ start: 3, end: 9 }]);
    expect(new RangeSet(8).gaps(3, 3)).toEqual([]);
  });

  it('add() joins ranges that touch', () => {
    const set = new RangeSet(8);
    set.add(0, 4);
    set.add(8, 12);
    expect(set.count).toBe(2);
    set.add(4, 8);
    expect(set.count).toBe(1);
    expect(set.gaps(0, 13)).toEqual([{ start: 12, end: 13 }]);
  });

  it('forgets all but the newest range at its limit', () => {
    const set = new RangeSet(2);
    set.add(0, 1);
    set.add(10, 11);
    set.add(20, 21);
    expect(set.count).toBe(1);
    expect(set.gaps(0, 22)).toEqual([
      { start: 0, end: 20 },
      { start: 21, end: 22 },
    ]);
  });

  it('remove() at its limit forgets all', () => {
    const set = new RangeSet(1);
    set.add(0, 10);
    set.remove(4, 5);
    expect(set.count).toBe(0);
  });

  it('gaps() agrees with a bitmap, whatever was added and removed', () => {
    const range = fc.tuple(fc.nat(SPACE), fc.nat(SPACE)).map(([a, b]) => ({
      start: Math.min(a, b),
      end: Math.max(a, b),
    }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), range)), range, (changes, asked) => {
        const set = new RangeSet(1000);
        const bits = new Array<boolean>(SPACE + 1).fill(false);
        for (const [adds, { start, end }] of changes) {
          if (adds) set.add(start, end);
          else set.remove(start, end);
          bits.fill(adds, start, end);
        }
        const missing: number[] = [];
        for (let i = asked.start; i < asked.end; i++) if (!bits[i]) missing.push(i);
        const gaps = set.gaps(asked.start, asked.end);
        const found = gaps.flatMap(({ start, end }) =>
          Array.from({ length: end - start }, (_, i) => start + i),
        );
        expect(found).toEqual(missing);
        for (const [i, gap] of gaps.entries()) {
          expect(gap.start).toBeLessThan(gap.end);
          expect(gap.start).toBeGreaterThan(gaps[i - 1]?.end ?? -1);
        }
      }),
    );
  });
});
