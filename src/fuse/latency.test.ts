import { describe, expect, it } from 'vitest';
import { seeded } from '../../test/volume/seeds.ts';
import { BUCKETS, bucketEnd, bucketOf, percentile } from './latency.ts';

/** A sixteenth of a microsecond, in milliseconds. */
const UNIT = 1 / 16_000;

describe('buckets', () => {
  it('follow each other without gaps, and none is wider than an eighth', () => {
    let start = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const end = bucketEnd(bucket);
      expect([bucketOf(start), bucketOf(end - UNIT / 2)]).toEqual([bucket, bucket]);
      expect(end - start).toBeLessThanOrEqual(Math.max(UNIT, start / 8) * 1.000001);
      start = end;
    }
    expect(bucketEnd(BUCKETS - 1) * 16_000).toBe(2 ** 32);
  });

  it('take whatever a clock may say', () => {
    expect([0, 1e9, Number.POSITIVE_INFINITY].map(bucketOf)).toEqual([0, BUCKETS - 1, BUCKETS - 1]);
  });
});

describe('percentile()', () => {
  it('is 0 of nothing, and the only one of one', () => {
    const counts = new Uint32Array(BUCKETS);
    expect(percentile(counts, 0.99)).toBe(0);
    counts[bucketOf(0.5)] = 1;
    for (const share of [0.01, 0.5, 0.99, 1]) expect(percentile(counts, share)).toBeCloseTo(0.5, 1);
  });

  seeded(
    'is what a sorted list has at that place, or more by an eighth',
    { count: 60 },
    (random) => {
      const counts = new Uint32Array(BUCKETS);
      const times: number[] = [];
      const octaves = random.below(24) + 1;
      for (let i = random.below(2000) + 1; i > 0; i--) {
        const ms = UNIT * 2 ** random.below(octaves) * (1 + random.below(1000) / 1000);
        times.push(ms);
        const bucket = bucketOf(ms);
        counts[bucket] = (counts[bucket] as number) + 1;
      }
      times.sort((a, b) => a - b);
      for (const share of [0.5, 0.95, 0.99, 1]) {
        const exact = times[Math.ceil(share * times.length) - 1] as number;
        const said = percentile(counts, share);
        expect(said).toBeGreaterThan(exact);
        expect(said).toBeLessThanOrEqual((exact * 9) / 8 + UNIT);
      }
    },
  );
});
