/**
 * Power cuts of a whole volume: whatever is left mounts, is whole, and has all that was
 * acknowledged; and a mount that is cut off changes nothing of that.
 */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';
import { Life, type LifeOptions } from './life.ts';
import { namesOf } from './shown.ts';
import { type Names, textOf } from './states.ts';

const SMALL: LifeOptions = { size: 2 * MIB, groupBlocks: 256, logBlocks: 16 };

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

function cut(life: Life, random: Random, cuts: number): void {
  const { tape, states, options } = life;
  for (let i = 0; i < cuts; i++) {
    const count = random.between(0, tape.calls.length);
    const { acks, upper } = life.promises(count);
    for (const image of crashImages(tape, count, { random, exhaustiveMax: 2, samples: 2 })) {
      try {
        const { names, after } = shown(image, options);
        states.match(names, acks, upper);
        cutAgain(image, after, names, { random, options });
      } catch (error) {
        (error as Error).message += `\n${life.story(count)}`;
        throw error;
      }
    }
  }
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
  const count = random.between(0, mounted.calls.length);
  for (const again of crashImages(mounted, count, { random, exhaustiveMax: 0, samples: 1 })) {
    expect(textOf(shown(again, options).names)).toEqual(textOf(names));
  }
  const readOnly = shown(image, { ...options, readOnly: true });
  expect(textOf(readOnly.names)).toEqual(textOf(names));
  expect(readOnly.after.calls).toEqual([]);
}

seeded('a power cut loses nothing that was acknowledged', { count: 20 }, (random) => {
  const life = new Life(random, SMALL);
  life.run(60);
  cut(life, random, 12);
});
