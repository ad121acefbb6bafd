/** Cuts: what the power cuts of a life leave, mounted and judged. */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { errorCode } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import type { Life } from './life.ts';
import { namesOf } from './shown.ts';
import { type Ack, type Names, type States, textOf } from './states.ts';

/**
 * Cuts the power after each of some calls, in several ways. Throws unless every image that may be
 * left shows what it must. Returns how many there were.
 */
export function cut(life: Life, random: Random, calls: Iterable<number>): number {
  let images = 0;
  for (const count of calls) {
    const { acks, upper } = life.promises(count);
    for (const image of crashImages(life.tape, count, { random, exhaustiveMax: 2, samples: 2 })) {
      images++;
      try {
        const { states, options } = life;
        judge(image, { states, options, acks, upper, random });
      } catch (error) {
        (error as Error).message += `\n${life.story(count)}`;
        throw error;
      }
    }
  }
  return images;
}

export interface Case {
  readonly states: States;
  readonly acks: readonly Ack[];
  /** The last state that the image may show. */
  readonly upper: number;
  readonly options: VolumeOptions;
  readonly random: Random;
}

/** Throws unless what a power cut has left shows what it must, however often it is mounted. */
export function judge(image: Uint8Array, { states, acks, upper, options, random }: Case): void {
  const { names, after } = shown(image, options);
  states.match(names, acks, upper);
  cutAgain(image, after, names, { random, options });
}

/** What a mount of an image shows. The image is as it was; `after` is what the mount has left. */
function shown(image: Uint8Array, options: VolumeOptions): { names: Names; after: TapeDevice } {
  const after = new TapeDevice(image);
  const volume = Volume.openSync(after, options);
  const names = namesOf(volume);
  const { calls } = after;
  volume.closeSync();
  after.calls = calls;
  return { names, after };
}

/** The mount after a cut is cut off too: the next one shows the same, and its image is whole. */
function cutAgain(
  image: Uint8Array,
  mounted: TapeDevice,
  names: Names,
  { random, options }: { random: Random; options: VolumeOptions },
): void {
  const { issues } = checkSync(MemoryDevice.from(mounted.image()));
  // A superblock that was being written when the power went stays so until its place comes again.
  expect(issues.filter(({ code }) => !code.startsWith('superblock-'))).toEqual([]);
  const wanted = textOf(names);
  const count = random.between(0, mounted.calls.length);
  for (const again of crashImages(mounted, count, { random, exhaustiveMax: 0, samples: 1 })) {
    expect(textOf(shown(again, options).names)).toEqual(wanted);
  }
  expectReadOnly(image, wanted, options);
}

/** A mount that may not write shows the same, or says that it would have to. */
function expectReadOnly(image: Uint8Array, wanted: string[], options: VolumeOptions): void {
  try {
    const { names, after } = shown(image, { ...options, readOnly: true });
    expect(textOf(names)).toEqual(wanted);
    expect(after.calls).toEqual([]);
  } catch (error) {
    if (errorCode(error) !== 'EROFS') throw error;
  }
}
