import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_OFFSET } from '../base/index.ts';
import { depthFor, levelSpan, MAP_DEPTH_MAX, mapCapacity, mapIndex, mapSlot } from './map-node.ts';

const block = fc.nat(Number.MAX_SAFE_INTEGER);

describe('depthFor()', () => {
  it('is the smallest depth that can name the blocks', () => {
    const blocks = fc.nat(256 ** MAP_DEPTH_MAX);
    fc.assert(
      fc.property(blocks, (count) => {
        const depth = depthFor(count);
        expect(mapCapacity(depth, 4)).toBeGreaterThanOrEqual(count);
        if (depth > 0) expect(mapCapacity(depth - 1, 4)).toBeLessThan(count);
      }),
    );
  });

  it.each([
    [0, 0],
    [4, 0],
    [5, 1],
    [256, 1],
    [257, 2],
    [65536, 2],
    [65537, 3],
  ])('of %i blocks is %i', (blocks, depth) => {
    expect(depthFor(blocks)).toBe(depth);
  });

  it('is enough for the largest file', () => {
    expect(depthFor(Math.ceil(MAX_OFFSET / 4096))).toBe(MAP_DEPTH_MAX);
  });
});

describe('mapIndex()', () => {
  it('is a digit in base 256', () => {
    fc.assert(
      fc.property(block, (number) => {
        let sum = 0n;
        for (let level = 6; level >= 0; level--) {
          const digit = mapIndex(number, level);
          expect(digit).toBeLessThan(256);
          expect(mapSlot(number, level)).toBe(digit * 4);
          sum = sum * 256n + BigInt(digit);
        }
        expect(sum).toBe(BigInt(number));
      }),
    );
  });
});

describe('levelSpan()', () => {
  it('is how many blocks share a digit and those above it', () => {
    expect([0, 1, 2].map(levelSpan)).toEqual([256, 65536, 16777216]);
  });
});
