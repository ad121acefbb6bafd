import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, type Block } from '../base/index.ts';
import type { CountWidth } from './counts.ts';
import {
  blocksMax,
  countSlotStart,
  type Geometry,
  type GeometryRequest,
  groupLength,
  groupReserved,
  indexPlace,
  isFixedBlock,
  isSound,
  planGeometry,
  resizedGeometry,
  SUPERBLOCKS,
  superblockPlace,
} from './geometry.ts';

const request: fc.Arbitrary<GeometryRequest> = fc.record({
  size: fc.integer({ min: 64 * BLOCK_SIZE, max: 5000 * BLOCK_SIZE }),
  groupBlocks: fc.constantFrom(undefined, 256, 512, 1024, 4096),
  countCap: fc.constantFrom<CountWidth | undefined>(undefined, 1, 2, 3, 4),
  logBlocks: fc.constantFrom(undefined, 2, 9, 20),
});

/** The layout, or undefined where the request is refused. */
function plan(asked: GeometryRequest): Geometry | undefined {
  try {
    return planGeometry(asked);
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return undefined;
  }
}

/** Every block with a fixed place, as often as something lies there. */
function fixedPlaces(geometry: Geometry): number[] {
  const { groupCount, countSlotBlocks, indexBlocks, logStart, logBlocks, blockCount } = geometry;
  const blocks: number[] = [];
  const add = (first: number, count: number): void => {
    for (let i = 0; i < count; i++) blocks.push(first + i);
  };
  for (const copy of [0, 1] as const) {
    for (let ring = 0; ring < SUPERBLOCKS; ring++) {
      add(superblockPlace(blockCount, ring, copy), 1);
    }
    for (const place of [0, 1] as const) add(indexPlace(geometry, place, copy), indexBlocks);
    for (let g = 0; g < groupCount; g++) add(countSlotStart(geometry, g, copy), countSlotBlocks);
  }
  add(logStart, logBlocks);
  return blocks.sort((a, b) => a - b);
}

describe('planGeometry()', () => {
  it('gives everything a place of its own, inside the volume', () => {
    fc.assert(
      fc.property(request, (asked) => {
        const geometry = plan(asked);
        if (geometry === undefined) return;
        const { blockCount, groupCount } = geometry;
        const fixed = fixedPlaces(geometry);
        expect(new Set(fixed).size).toBe(fixed.length);
        expect(fixed.at(-1)).toBe(blockCount - 1);
        expect(blockCount * BLOCK_SIZE).toBeLessThanOrEqual(asked.size);
        const all = Array.from({ length: blockCount }, (_, block) => block as Block);
        expect(all.filter((block) => isFixedBlock(geometry, block))).toEqual(fixed);
        let reserved = SUPERBLOCKS;
        for (let g = 0; g < groupCount; g++) {
          reserved += groupReserved(geometry, g);
          expect(groupLength(geometry, g)).toBeGreaterThan(groupReserved(geometry, g));
        }
        expect(reserved).toBe(fixed.length);
        expect(isSound(geometry)).toBe(true);
      }),
    );
  });

  it.each<[string, GeometryRequest]>([
    ['a size below 256 KiB', { size: 63 * BLOCK_SIZE }],
    ['a size beyond 16 TiB', { size: 2 ** 44 + BLOCK_SIZE }],
    ['groups of 300 blocks', { size: 2 ** 30, groupBlocks: 300 }],
    ['groups of 65536 blocks', { size: 2 ** 30, groupBlocks: 65536 }],
    ['a log of one block', { size: 2 ** 30, logBlocks: 1 }],
    ['a log that fills the first group', { size: 2 ** 30, groupBlocks: 256, logBlocks: 240 }],
    ['half a block of log', { size: 2 ** 30, logBlocks: 8.5 }],
    ['counts of 32 bits', { size: 2 ** 30, countCap: 5 as CountWidth }],
    ['a size that is not a number', { size: Number.NaN }],
  ])('refuses %s', (_, asked) => {
    expect(() => planGeometry(asked)).toThrow(RangeError);
  });

  it('reaches from 256 KiB to 16 TiB', () => {
    expect(planGeometry({ size: 2 ** 18 }).blockCount).toBe(64);
    expect(planGeometry({ size: 2 ** 44 }).blockCount).toBe(2 ** 32);
  });

  it('leaves a last group alone that could not hold its own counts', () => {
    const { blockCount } = planGeometry({ size: (512 + 5) * BLOCK_SIZE, groupBlocks: 256 });
    expect(blockCount).toBe(512);
  });
});

describe('resizedGeometry()', () => {
  it('moves the end and nothing else, as far as the index goes', () => {
    fc.assert(
      fc.property(request, fc.integer({ min: 0, max: 80_000 }), (asked, blocks) => {
        const geometry = plan(asked);
        if (geometry === undefined) return;
        const resized = resizedGeometry(geometry, blocks);
        if (resized === undefined) {
          const { blockCount } = geometry;
          expect(blocks < blockCount || blocks > blocksMax(geometry)).toBe(true);
          return;
        }
        expect(isSound(resized)).toBe(true);
        expect(resized.blockCount).toBeLessThanOrEqual(blocks);
        const { blockCount, groupCount } = resized;
        expect(resized).toEqual({ ...geometry, blockCount, groupCount });
        const fixed = fixedPlaces(resized);
        expect(new Set(fixed).size).toBe(fixed.length);
        expect(fixed.at(-1)).toBe(blockCount - 1);
      }),
    );
  });

  it.each([2 ** 18, 2 ** 30, 2 ** 34, 2 ** 40])('has room for 16 times %d bytes', (size) => {
    const geometry = planGeometry({ size });
    expect(resizedGeometry(geometry, (16 * size) / BLOCK_SIZE)?.blockCount).toBe(
      (16 * size) / BLOCK_SIZE,
    );
  });
});

describe('isSound()', () => {
  const good = planGeometry({ size: 2 ** 24, groupBlocks: 256 });

  it.each<[string, Partial<Geometry>]>([
    ['an index on top of the counts', { indexStart: (good.indexStart - 1) as Block }],
    ['an index too short for the groups', { indexBlocks: 0 }],
    ['a log on top of the index', { logStart: (good.logStart - 1) as Block }],
    ['a log longer than the first group', { logBlocks: 256 }],
    ['a last group without room for its counts', { blockCount: 256 + 3, groupCount: 2 }],
  ])('refuses %s', (_, change) => {
    expect(isSound(good)).toBe(true);
    expect(isSound({ ...good, ...change })).toBe(false);
  });
});
