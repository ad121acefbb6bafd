/**
 * Crash choices: what a power cut leaves of the writes that no flush covered (D2).
 *
 * A choice is a function from the writes at stake to those that reached the medium, in the order in
 * which they did. It may leave writes out, reorder them, and cut them at sectors.
 */
import { roundDown } from '../base/index.ts';
import type { Random } from './random.ts';

/** Bytes that a power cut never tears. */
export const SECTOR_SIZE = 512;

/** A change of the device that is not durable yet. */
export interface PendingWrite {
  /** `discard`, `prepare`: `bytes` are what they leave. `grow`, `shrink`: none, at the new end. */
  readonly kind: 'write' | 'discard' | 'prepare' | 'grow' | 'shrink';
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** `pending` is in the order of issue. */
export type CrashChoice = (pending: readonly PendingWrite[]) => readonly PendingWrite[];

export const keepAll: CrashChoice = (pending) => pending;

export const dropAll: CrashChoice = () => [];

/** Keeps write `i` if bit `i` of `mask` is set; for at most 31 writes. */
export function keepSubset(mask: number): CrashChoice {
  return (pending) => pending.filter((_, i) => (mask & (1 << i)) !== 0);
}

/**
 * Keeps, drops or tears each write, and has them arrive in another order half of the time. How
 * likely each fate is differs from call to call, so that nearly all and nearly none survive too.
 */
export function randomCrash(random: Random): CrashChoice {
  return (pending) => {
    const keep = random.fraction();
    const tear = random.fraction();
    const survivors: PendingWrite[] = [];
    for (const write of pending) {
      if (random.chance(keep)) survivors.push(write);
      else if (random.chance(tear)) survivors.push(...tearAtSectors(write, random));
    }
    return random.chance(1 / 2) ? random.shuffle(survivors) : survivors;
  };
}

/** The sectors of a write, each kept or lost by chance. */
export function tearAtSectors(write: PendingWrite, random: Random): PendingWrite[] {
  return sectorsOf(write).filter(() => random.chance(1 / 2));
}

/** A write cut at the device's sector boundaries. */
export function sectorsOf({ kind, position, bytes }: PendingWrite): PendingWrite[] {
  const sectors: PendingWrite[] = [];
  const end = position + bytes.length;
  for (let start = position; start < end; ) {
    const stop = Math.min(end, roundDown(start, SECTOR_SIZE) + SECTOR_SIZE);
    sectors.push({
      kind,
      position: start,
      bytes: bytes.subarray(start - position, stop - position),
    });
    start = stop;
  }
  return sectors;
}

export interface CrashPlan {
  readonly random: Random;
  /** Up to so many writes every subset is tried. Default 6, which makes 64. */
  readonly exhaustiveMax?: number;
  /** Random crashes to try in addition. Default 16. */
  readonly samples?: number;
}

/** The choices worth trying after a cut with `count` pending writes. */
export function* crashChoices(count: number, plan: CrashPlan): Generator<CrashChoice> {
  const { random, exhaustiveMax = 6, samples = 16 } = plan;
  if (count <= exhaustiveMax) {
    for (let mask = 0; mask < 1 << count; mask++) yield keepSubset(mask);
  } else {
    yield dropAll;
    yield keepAll;
  }
  if (count === 0) return;
  for (let i = 0; i < samples; i++) yield randomCrash(random);
}
