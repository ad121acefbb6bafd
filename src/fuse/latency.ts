/**
 * Latency: how long requests took, counted in buckets that are finer where times are shorter.
 *
 * Times are whole sixteenths of a microsecond. Below 8 of them each has a bucket of its own; from
 * there on a power of two is cut into 8 buckets, so that the ends of a bucket differ by an eighth
 * at the most. The last bucket takes whatever is longer than 268 seconds.
 */

/** Times to a millisecond. */
const UNITS = 16_000;
const UNITS_MAX = 0xffffffff;
/** A power of two has 2 to this many buckets. */
const FINE_BITS = 3;
const FINE = 1 << FINE_BITS;

/** From the first, of times below a unit, to that which ends at 2 to the 32. */
export const BUCKETS: number = (32 - FINE_BITS + 1) * FINE;

/** The bucket of a time. */
export function bucketOf(ms: number): number {
  const units = Math.min(ms * UNITS, UNITS_MAX) >>> 0;
  if (units < FINE) return units;
  const shift = 31 - Math.clz32(units) - FINE_BITS;
  return (shift + 1) * FINE + ((units >>> shift) & (FINE - 1));
}

/** Where a bucket ends: every time in it is shorter, in milliseconds. */
export function bucketEnd(bucket: number): number {
  if (bucket < FINE) return (bucket + 1) / UNITS;
  const shift = Math.floor(bucket / FINE) - 1;
  return ((FINE + (bucket % FINE) + 1) * 2 ** shift) / UNITS;
}

/**
 * The time, in milliseconds, that a share of all that were counted did not exceed; 0 if there were
 * none. It is not less than the one that a sorted list would have at that place, and more by an
 * eighth and a unit at the most.
 */
export function percentile(counts: ArrayLike<number>, share: number): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i] as number;
  const rank = Math.max(1, Math.ceil(share * total));
  let passed = 0;
  for (let i = 0; i < counts.length; i++) {
    passed += counts[i] as number;
    if (passed >= rank) return bucketEnd(i);
  }
  return 0;
}
