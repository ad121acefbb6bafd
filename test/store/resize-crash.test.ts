/**
 * Power cuts while a volume changes its size: what is left mounts with the old size or with the new
 * one, shows what was there, and can be lived on in.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, KIB, MIB, type Operation } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  decodeSuperblock,
  encodeSuperblock,
  isFault,
  SUPERBLOCKS,
  type Superblock,
  superblockPlace,
} from '../../src/format/index.ts';
import { Store } from '../../src/store/index.ts';
import { Ring } from '../../src/store/ring.ts';
import { Random } from '../../src/testing/index.ts';
import { Resize } from '../../src/volume/index.ts';
import { compare } from '../volume/compare.ts';
import { History } from '../volume/history.ts';
import type { Model } from '../volume/model.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { seeded } from '../volume/seeds.ts';
import { World } from '../volume/world.ts';
import { CUT_OPTIONS } from './cuts.ts';
import { crashImages, TapeDevice } from './tape.ts';

const WEIGHTS = { commit: 0, remount: 0, crowd: 0, snapshot: 2 };

interface Cut {
  readonly sizes: readonly number[];
  /** Calls from which on the size is the new one, and what was done before it durable. */
  readonly durable: number;
  readonly before: Model;
  readonly after: Model;
}

function sizeOf(world: World): number {
  return world.rig.engine.store.superblock.geometry.blockCount * BLOCK_SIZE;
}

/** Mounts what a cut has left. Fails unless it shows one of the models, with a size that may be. */
function mounted(image: Uint8Array, count: number, cut: Cut): World {
  const isDurable = count >= cut.durable;
  const failures: Error[] = [];
  for (const model of isDurable ? [cut.after] : [cut.before, cut.after]) {
    try {
      const world = new World(MemoryDevice.from(image), CUT_OPTIONS, model.copy());
      compare(world);
      const [, last] = cut.sizes as [number, number];
      expect(isDurable ? [last] : cut.sizes).toContain(sizeOf(world));
      return world;
    } catch (error) {
      failures.push(error as Error);
    }
  }
  const [first] = failures as [Error];
  first.message = `cut after ${count} calls: ${first.message}`;
  throw first;
}

/** What the verifier says of an image, apart from superblocks that were being written. */
function issuesOf(image: Uint8Array): unknown[] {
  const { issues } = checkSync(MemoryDevice.from(image));
  return issues.filter(({ code }) => !code.startsWith('superblock-'));
}

function goOn(world: World, random: Random): void {
  world.freeOrphans();
  world.mayBeFull = true;
  new History(world, { random, sizeMax: 40_000 }).run(5);
  world.settle();
  for (let i = 0; i < 4; i++) world.commit();
  compare(world);
  const image = imageOf(world.device);
  expect(recount(image.subarray(0, sizeOf(world)))).toEqual([]);
  expect(issuesOf(image)).toEqual([]);
}

/** Changes the size with something to commit beside it, and cuts at every call. */
function cutEverywhere(random: Random, run: (world: World) => Operation<unknown>): number {
  const tape = new TapeDevice(new Uint8Array(random.between(256, 520) * BLOCK_SIZE));
  const world = new World(tape, { ...CUT_OPTIONS, countCap: random.pick([1, 2, 4]) });
  world.mayBeFull = true;
  const history = new History(world, { random, sizeMax: 40_000, weights: WEIGHTS });
  history.run(random.between(5, 25));
  world.commit();
  tape.rewind();
  const before = world.model.copy();
  history.run(random.between(1, 8));
  const change = run(world);
  const first = sizeOf(world);
  const early = tape.calls.length;
  world.run(change);
  const after = world.model.copy();
  const superblock = tape.calls.findIndex(
    (call, i) => i >= early && call.kind === 'write' && call.position < 4 * BLOCK_SIZE,
  );
  const flush = tape.calls.findIndex((call, i) => i > superblock && call.kind === 'flush');
  const cut = { sizes: [first, sizeOf(world)], durable: flush + 1, before, after };
  let images = 0;
  for (let count = early; count <= tape.calls.length; count++) {
    for (const image of crashImages(tape, count, { random, exhaustiveMax: 2, samples: 2 })) {
      const left = mounted(image, count, cut);
      if (random.chance(1 / 3)) expect(issuesOf(image)).toEqual([]);
      if (random.chance(1 / 10)) goOn(left, random);
      images++;
    }
  }
  return images;
}

function grow(random: Random): (world: World) => Operation<unknown> {
  const more = random.pick([40 * BLOCK_SIZE, 300 * KIB, MIB]);
  return (world) => new Resize(world.rig.engine.store, sizeOf(world) + more);
}

/** To a size down to which there are free blocks only. */
function shrink(random: Random): (world: World) => Operation<unknown> {
  const part = random.fraction();
  return (world) => {
    world.settle();
    const least = world.run(new Resize(world.rig.engine.store, undefined));
    world.run(new Resize(world.rig.engine.store, least + MIB));
    const size = least + part * 0.8 * (sizeOf(world) - least);
    return new Resize(world.rig.engine.store, size);
  };
}

describe('crash: a volume that shrinks', () => {
  seeded('has the old size or the new one, and all that was in it', { count: 2 }, (random) => {
    expect(cutEverywhere(random, shrink(random))).toBeGreaterThan(50);
  });
});

describe('without waiting for the ring (E3, E4)', () => {
  it.each([
    ['grown', grow],
    ['shrunk', shrink],
  ])('what was %s is not there after a power cut', (_, way) => {
    const { get } = Object.getOwnPropertyDescriptor(Ring.prototype, 'isTurning') as {
      get(): boolean;
    };
    Object.defineProperty(Ring.prototype, 'isTurning', { get: () => false, configurable: true });
    try {
      const random = new Random(3);
      expect(() => cutEverywhere(random, way(random))).toThrow();
    } finally {
      Object.defineProperty(Ring.prototype, 'isTurning', { get, configurable: true });
    }
  });
});

describe('crash: a volume that grows', () => {
  seeded('has the old size or the new one, and all that was in it', { count: 2 }, (random) => {
    expect(cutEverywhere(random, grow(random))).toBeGreaterThan(50);
  });
});

/** A place of the ring, as a superblock that was written there has it. */
function ringOf(image: Uint8Array): (Superblock | undefined)[] {
  return Array.from({ length: SUPERBLOCKS }, (_, ring) => {
    const found = decodeSuperblock(image.slice(ring * BLOCK_SIZE, (ring + 1) * BLOCK_SIZE));
    return isFault(found) ? undefined : found;
  });
}

/** What is left when the power goes off after the first commit that has the new size. */
function halfGrown(): { image: Uint8Array; model: Model; end: number } {
  const tape = new TapeDevice(new Uint8Array(MIB));
  const world = new World(tape, CUT_OPTIONS);
  for (let i = 0; i < 5; i++) {
    world.create({ directory: world.model.root, name: `${i}` }, 'fifo');
    world.commit();
  }
  tape.rewind();
  world.run(new Resize(world.rig.engine.store, 2 * MIB));
  const first = tape.calls.findIndex(
    (call) => call.kind === 'write' && call.position < SUPERBLOCKS * BLOCK_SIZE,
  );
  const flush = tape.calls.findIndex(({ kind }, i) => i > first && kind === 'flush');
  const random = new Random(1);
  const plan = { random, exhaustiveMax: 0, samples: 0 };
  const [image] = crashImages(tape, flush + 1, plan);
  return { image: image as Uint8Array, model: world.model.copy(), end: MIB / BLOCK_SIZE };
}

/** Writes until there is no room, and fails if it is written where a superblock has its copy. */
function fillHalfGrown(): void {
  const { image, model, end } = halfGrown();
  expect(new Set(ringOf(image).map((found) => found?.geometry.blockCount)).size).toBe(2);
  const tape = new TapeDevice(image);
  const world = new World(tape, CUT_OPTIONS, model);
  world.mayBeFull = true;
  const { root } = world.model;
  world.create({ directory: root, name: 'large' }, 'file');
  const large = root.entries.get('large') as ReturnType<Model['at']> & object;
  const data = new Uint8Array(2 * MIB).fill(7);
  world.write(large, { directory: root, name: 'large' }, 0, data);
  const ring = ringOf(image);
  for (const call of tape.calls) {
    if (call.kind !== 'write') continue;
    const [first, last] = [call.position, call.position + call.bytes.length - 1].map((at) =>
      Math.floor(at / BLOCK_SIZE),
    ) as [number, number];
    if (last < SUPERBLOCKS) ring[first] = ringOf(call.bytes)[0] ?? ring[first];
    const isNamed = ring.some((found) => found?.geometry.blockCount === end);
    const harms = isNamed && first < end && last >= end - SUPERBLOCKS;
    expect(harms, `blocks ${first} to ${last} are written`).toBe(false);
  }
}

describe('a volume that had grown when the power went off', () => {
  it('is the new size to every reader, and turns the rest of its ring', () => {
    const { image, model } = halfGrown();
    const world = new World(MemoryDevice.from(image), CUT_OPTIONS, model);
    expect(sizeOf(world)).toBe(2 * MIB);
    expect(issuesOf(image)).toEqual([]);
    expect(recount(image)).toEqual([]);
    for (let i = 0; i < SUPERBLOCKS; i++) world.commit();
    const sizes = ringOf(imageOf(world.device)).map((found) => found?.geometry.blockCount);
    expect(new Set(sizes)).toEqual(new Set([(2 * MIB) / BLOCK_SIZE]));
    expect(checkSync(world.device).issues).toEqual([]);
    expect(world.freeBlocks()).toBe(world.rig.engine.store.groups.idle);
  });

  it('does not use what old superblocks call their copies (S4)', () => {
    fillHalfGrown();
  });

  it('would, if a mount did not hold them', () => {
    const { holdEnds } = Store.prototype;
    Store.prototype.holdEnds = () => true;
    try {
      expect(fillHalfGrown).toThrow(/are written/u);
    } finally {
      Store.prototype.holdEnds = holdEnds;
    }
  });

  it('is the old size again if its only superblock is lost, with all that was durable', () => {
    const { image, model } = halfGrown();
    // Of the four at the start, those of the new size cannot be read any more.
    ringOf(image).forEach((found, ring) => {
      if (found?.geometry.blockCount !== (2 * MIB) / BLOCK_SIZE) return;
      image.fill(0xee, ring * BLOCK_SIZE, (ring + 1) * BLOCK_SIZE);
    });
    const world = new World(MemoryDevice.from(image), CUT_OPTIONS, model);
    expect(sizeOf(world)).toBe(MIB);
    compare(world);
  });
});

describe('superblocks of another time at the new end (E1)', () => {
  /** A device that is longer than its volume, and has a superblock like the next ones behind it. */
  function grownOver(): void {
    const tape = new TapeDevice(new Uint8Array(2 * MIB));
    const world = new World(tape, { ...CUT_OPTIONS, size: MIB });
    world.commit();
    const old = ringOf(tape.image())[0] as Superblock;
    const blockCount = (2 * MIB) / BLOCK_SIZE;
    const geometry = { ...old.geometry, blockCount, groupCount: 2 };
    const state = { ...old.state, txg: (old.state.txg + 50) as typeof old.state.txg };
    const stale = encodeSuperblock({ ...old, geometry, state });
    tape.write(superblockPlace(blockCount, 2, 1) * BLOCK_SIZE, stale);
    world.create({ directory: world.model.root, name: 'new' }, 'fifo');
    tape.rewind();
    world.run(new Resize(world.rig.engine.store, 2 * MIB));
    const first = tape.calls.findIndex(
      (call) => call.kind === 'write' && call.position < SUPERBLOCKS * BLOCK_SIZE,
    );
    const random = new Random(1);
    const [image] = crashImages(tape, first + 3, { random, exhaustiveMax: 0, samples: 0 });
    compare(new World(MemoryDevice.from(image as Uint8Array), CUT_OPTIONS, world.model.copy()));
  }

  it('are cleared away before a mount looks there', () => {
    grownOver();
  });

  it('would be taken for roots', () => {
    const { write } = TapeDevice.prototype;
    TapeDevice.prototype.write = function (position, buffer) {
      const isClearing = buffer.length === SUPERBLOCKS * BLOCK_SIZE && buffer.every((b) => b === 0);
      if (!isClearing || position === 0) write.call(this, position, buffer);
    };
    try {
      expect(grownOver).toThrow(/size: 1/u);
    } finally {
      TapeDevice.prototype.write = write;
    }
  });
});
