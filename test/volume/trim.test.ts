/**
 * Volumes that give free space back while they are lived in. The device makes garbage of what it is
 * given, so whatever somebody still needs is missed at once.
 */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, type Block, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { CrashDevice, Random } from '../../src/testing/index.ts';
import { Trim, type Trimmed } from '../../src/volume/index.ts';
import { COMMON } from '../api/bench.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import { imageOf, recount, rootsOf } from './recount.ts';
import { seeded } from './seeds.ts';
import { World } from './world.ts';

const OPTIONS = { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB } as const;

/** Bytes that were given back. */
function trim(world: World, minimum = 1): number {
  let bytes = 0;
  for (let at: Block | undefined = 0 as Block; at !== undefined; ) {
    const trimmed: Trimmed = world.run(new Trim(world.rig.engine.store, at, minimum));
    bytes += trimmed.bytes;
    at = trimmed.next;
  }
  return bytes;
}

/** A life in which space is given back at any time. `harm` takes a guard away. */
function live(random: Random, harm: (world: World) => void = () => {}): void {
  const device = new CrashDevice({ size: random.between(256, 700) * BLOCK_SIZE });
  const world = new World(device, {
    ...OPTIONS,
    countCap: random.pick([1, 2, 4]),
    extentBlocks: random.pick([0, 4]),
  });
  world.mayBeFull = true;
  world.mounted = () => harm(world);
  harm(world);
  const history = new History(world, { random, sizeMax: 60_000 });
  for (let i = 0; i < 8; i++) {
    history.run(random.between(1, 20));
    trim(world, random.pick([1, 1, 4, 16]));
    world.rig.engine.store.blocks.evictAll();
    compare(world);
    if (random.chance(1 / 2)) world.commit();
    else world.remount();
    const image = imageOf(device);
    expect(checkSync(MemoryDevice.from(image)).issues).toEqual([]);
    // The root before the newest is whole, too.
    for (const root of rootsOf(image).slice(0, 2)) expect(recount(image, root)).toEqual([]);
    trim(world);
    const after = imageOf(device);
    for (const root of rootsOf(after).slice(0, 2)) expect(recount(after, root)).toEqual([]);
  }
}

describe('trim', () => {
  seeded('a life in which free space is given back', { count: 5 }, (random) => live(random));

  it('gives all that is free back, once', () => {
    const device = new CrashDevice({ size: 3 * MIB });
    const world = new World(device, OPTIONS);
    world.settle();
    const { groups } = world.rig.engine.store;
    const { idle } = groups;
    expect(trim(world)).toBe(idle * BLOCK_SIZE);
    expect(trim(world)).toBe(idle * BLOCK_SIZE);
    expect(groups.idle).toBe(idle);
    expect(device.counters.discards).toBeLessThanOrEqual(2 * groups.geometry.groupCount);
    expect(trim(world, 300)).toBe(0);
  });

  it('is refused on a read-only volume', async () => {
    const device = new MemoryDevice({ size: MIB });
    Volume.openSync(device, { ...COMMON, create: true }).closeSync();
    const volume = Volume.openSync(device, { ...COMMON, readOnly: true });
    const refused = { code: 'EROFS', syscall: 'trim' };
    expect(() => volume.trimSync()).toThrow(expect.objectContaining(refused));
    await expect(volume.trim()).rejects.toMatchObject(refused);
    expect(() => volume.resizeSync(2 * MIB)).toThrow(expect.objectContaining({ code: 'EROFS' }));
    expect(() => volume.trimSync({ minimum: 1 })).toThrow(RangeError);
    volume.closeSync();
  });

  it('counts what was removed just now', () => {
    const device = new CrashDevice({ size: 4 * MIB });
    const volume = Volume.openSync(device, { ...COMMON, create: true });
    const empty = volume.trimSync({ minimum: BLOCK_SIZE });
    volume.fs.writeFileSync('/large', new Uint8Array(2 * MIB).fill(1));
    volume.cloneSync('/large', '/clone');
    expect(volume.trimSync()).toBeLessThan(empty - MIB);
    volume.fs.rmSync('/large');
    expect(volume.trimSync()).toBeLessThan(empty - MIB);
    volume.fs.rmSync('/clone');
    expect(volume.trimSync()).toBeGreaterThan(empty - 64 * BLOCK_SIZE);
    volume.closeSync();
  });
});

describe('without its guard', () => {
  /** Fails unless one of a few lives comes to harm. */
  function comesToHarm(harm: (world: World) => void): void {
    const lives = Array.from({ length: 10 }, (_, seed) => () => live(new Random(seed + 1), harm));
    const harmed = lives.some((life) => {
      try {
        life();
        return false;
      } catch {
        return true;
      }
    });
    expect(harmed).toBe(true);
  }

  it('a root loses blocks that were freed after it (A2)', () => {
    comesToHarm((world) => {
      const { space, groups } = world.rig.engine.store;
      space.free = (block) => groups.makeIdle(block);
    });
  });
});
