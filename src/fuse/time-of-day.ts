/**
 * Time of day: in milliseconds with a fraction, for the times of inodes.
 *
 * The clock of the host may be set, and stands while the host sleeps, but tells whole milliseconds
 * only. A counter has fractions, and knows nothing of that. So the counter tells the time as long
 * as the two agree, and begins anew from the clock when they do not.
 */

/** One tells whole milliseconds, and they are asked one after the other. */
const TOLERANCE_MS = 2;

export interface ClockParts {
  /** Milliseconds since some moment, as fine as can be. */
  readonly counter: () => number;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
  /** When the counter was 0, in milliseconds since 1970. */
  readonly origin: number;
}

export function clockOf({ counter, wall, origin }: ClockParts): () => number {
  let start = origin;
  return () => {
    const time = start + counter();
    const told = wall();
    if (Math.abs(time - told) <= TOLERANCE_MS) return time;
    start = wall() - counter();
    return told;
  };
}
