/** Cuts: what a volume may show after the power went off somewhere in a commit. */
import { expect } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { compare } from '../volume/compare.ts';
import { History } from '../volume/history.ts';
import type { Model } from '../volume/model.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { World } from '../volume/world.ts';
import { crashImages, isSuperblock, type TapeDevice } from './tape.ts';

export const CUT_OPTIONS = { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB } as const;

/** What was durable before a commit, and what it made durable. */
export interface States {
  readonly before: Model;
  readonly after: Model;
}

/**
 * Cuts the power at every call of the one commit on a tape, in many ways. Throws unless every image
 * that may be left mounts to the state before or to the state after, and can be lived on in.
 */
export function cutEverywhere(tape: TapeDevice, states: States, random: Random): void {
  const { calls } = tape;
  const superblock = calls.findIndex((call) => isSuperblock(call, tape.size));
  const last = calls.findLastIndex(({ kind }) => kind === 'flush');
  for (let count = 0; count <= calls.length; count++) {
    const possible = [];
    if (count <= last) possible.push(states.before);
    if (count > superblock) possible.push(states.after);
    for (const image of crashImages(tape, count, { random, exhaustiveMax: 3, samples: 4 })) {
      expectOneOf(image, possible, `cut after ${count} of ${calls.length} calls`);
    }
  }
  const [left] = crashImages(tape, superblock, { random, exhaustiveMax: 0, samples: 0 });
  goOn(left as Uint8Array, states.before, random);
}

/** Fails unless a mount of the image shows one of these states. */
function expectOneOf(image: Uint8Array, states: readonly Model[], what: string): void {
  expect(recount(image), what).toEqual([]);
  const failures: Error[] = [];
  for (const state of states) {
    try {
      compare(new World(MemoryDevice.from(image), CUT_OPTIONS, state.copy()));
      return;
    } catch (error) {
      failures.push(error as Error);
    }
  }
  const [first] = failures as [Error];
  first.message = `${what}: ${first.message}`;
  throw first;
}

/** Mounts what a cut has left and lives on in it for a while. */
function goOn(image: Uint8Array, model: Model, random: Random): void {
  const device = MemoryDevice.from(image);
  const world = new World(device, CUT_OPTIONS, model.copy());
  world.freeOrphans();
  world.mayBeFull = true;
  new History(world, { random, sizeMax: 40_000 }).run(6);
  world.settle();
  compare(world);
  expect(recount(imageOf(device))).toEqual([]);
}
