/**
 * Words: memory that a volume's own thread and the thread of its mount both see, so that the first
 * can wait for the second without its event loop.
 */

/** Counts answers, and changes of the state. */
export const ANSWERS = 0;
/** Counts up as long as the thread of the mount is well. */
export const BEATS = 1;
/** One of {@link MountState}. */
export const STATE = 2;
export const WORDS = 3;

export const MountState = {
  SERVING: 0,
  /** Unmounted, and the volume is closed. */
  ENDED: 1,
  FAILED: 2,
} as const;

export const BEAT_MS = 200;

/** Whoever waits looks up. */
export function bump(words: Int32Array): void {
  Atomics.add(words, ANSWERS, 1);
  Atomics.notify(words, ANSWERS);
}
