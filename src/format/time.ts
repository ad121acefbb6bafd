/**
 * Time: seconds and nanoseconds since 1970 in 8 bytes.
 *
 *   word  bits   field
 *      0  29:0   nanoseconds, 0 to 999,999,999
 *         31:30  bits 1:0 of the seconds
 *      1  31:0   bits 33:2 of the seconds, signed
 *
 * 34 bits of seconds reach from the year 1698 to 2242. A pair of words and no bigint: times are
 * read on every `stat`.
 */

export interface Time {
  /** Seconds since 1970, may be negative. */
  sec: number;
  /** 0 to 999,999,999. */
  nsec: number;
}

const SECONDS_MAX = 2 ** 33 - 1;
const SECONDS_MIN = -(2 ** 33);

/** A time outside the range is moved to its nearest end. */
export function setTime(words: Uint32Array, at: number, time: Time): void {
  const sec = Math.min(SECONDS_MAX, Math.max(SECONDS_MIN, time.sec));
  words[at] = ((sec & 3) << 30) | time.nsec;
  words[at + 1] = Math.floor(sec / 4);
}

export function getTime(words: Uint32Array, at: number): Time {
  const low = words[at] as number;
  return { sec: ((words[at + 1] as number) | 0) * 4 + (low >>> 30), nsec: low & 0x3fffffff };
}

/** Milliseconds since 1970, with a fraction, as clocks give them. */
export function timeFromMs(ms: number): Time {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.min(999_999_999, Math.max(0, Math.round((ms - sec * 1000) * 1e6))) };
}

export function timeToMs(time: Time): number {
  return time.sec * 1000 + time.nsec / 1e6;
}
