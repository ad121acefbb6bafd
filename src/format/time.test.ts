import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { getTime, setTime, timeFromMs, timeToMs } from './time.ts';

function stored(sec: number, nsec: number): { sec: number; nsec: number } {
  const words = new Uint32Array(3);
  setTime(words, 1, { sec, nsec });
  return getTime(words, 1);
}

describe('setTime()', () => {
  it('stores what is read back, from 1698 to 2242', () => {
    const seconds = fc.integer({ min: -(2 ** 33), max: 2 ** 33 - 1 });
    fc.assert(
      fc.property(seconds, fc.nat(999_999_999), (sec, nsec) => {
        expect(stored(sec, nsec)).toEqual({ sec, nsec });
      }),
    );
  });

  it('moves what is outside to the nearest end', () => {
    expect(stored(2 ** 33, 5)).toEqual({ sec: 2 ** 33 - 1, nsec: 5 });
    expect(stored(-(2 ** 33) - 1, 5)).toEqual({ sec: -(2 ** 33), nsec: 5 });
    expect(stored(Number.MAX_SAFE_INTEGER, 0).sec).toBe(2 ** 33 - 1);
  });

  it('tells the seconds around 1970 apart', () => {
    for (const sec of [-5, -4, -1, 0, 1, 3, 4]) expect(stored(sec, 1)).toEqual({ sec, nsec: 1 });
  });
});

describe('timeFromMs()', () => {
  it('keeps nanoseconds within a second, and the time to the precision of the clock', () => {
    const ms = fc.double({ min: -1e13, max: 1e13, noNaN: true });
    fc.assert(
      fc.property(ms, (value) => {
        const time = timeFromMs(value);
        expect(time.nsec).toBeGreaterThanOrEqual(0);
        expect(time.nsec).toBeLessThan(1e9);
        expect(Math.abs(timeToMs(time) - value)).toBeLessThan(0.01);
      }),
    );
  });
});
