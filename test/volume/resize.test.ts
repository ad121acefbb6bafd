/**
 * Volumes that change their size while they are lived in: what is in them stays, every count is
 * right afterwards, and the verifier has nothing to say.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, errorCode, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { groupReserved, planGeometry, SUPERBLOCKS } from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { Resize } from '../../src/volume/index.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import { imageOf, recount } from './recount.ts';
import { seeded } from './seeds.ts';
import { World } from './world.ts';

const OPTIONS = { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB } as const;

/** Fails unless the image is sound: by our own count, and as the verifier sees it. */
function expectSound(image: Uint8Array): void {
  expect(recount(image)).toEqual([]);
  const { issues, verdict } = checkSync(MemoryDevice.from(image));
  expect({ issues, verdict }).toEqual({ issues: [], verdict: 'clean' });
}

function sizeOf(world: World): number {
  return world.rig.engine.store.superblock.geometry.blockCount * BLOCK_SIZE;
}

/** The size there is afterwards, or why there is none. */
function attempt(world: World, size: number): number | string {
  try {
    return resize(world, size);
  } catch (error) {
    const least = /(\d+) bytes are the least/u.exec((error as Error).message)?.[1];
    expect(Number(least)).toBeGreaterThan(size - BLOCK_SIZE);
    return errorCode(error) as string;
  }
}

function resize(world: World, size: number | undefined): number {
  return world.run(new Resize(world.rig.engine.store, size));
}

function newWorld(size: number, random?: Random): World {
  const world = new World(new MemoryDevice({ size }), {
    ...OPTIONS,
    countCap: random?.pick([1, 2, 4]) ?? 4,
    extentBlocks: random?.pick([0, 4]) ?? 0,
  });
  world.mayBeFull = true;
  return world;
}

describe('resize()', () => {
  seeded('a life that grows', { count: 3 }, (random) => {
    const world = newWorld(random.between(200, 600) * BLOCK_SIZE, random);
    const history = new History(world, { random, sizeMax: 60_000 });
    for (let i = 0; i < 6; i++) {
      history.run(random.between(1, 25));
      const before = sizeOf(world);
      const wanted = before + random.pick([1, 3, 4, 5, 60, 256, 300, 900]) * BLOCK_SIZE;
      const size = resize(world, wanted);
      expect(size).toBe(sizeOf(world));
      expect(size).toBeGreaterThanOrEqual(before);
      expect(size).toBeLessThanOrEqual(wanted);
      expect(world.device.size).toBeGreaterThanOrEqual(size);
      if (random.chance(1 / 3)) world.remount();
      compare(world);
      world.commit();
      expectSound(imageOf(world.device));
    }
    history.deleteAll();
    const { geometry } = world.rig.engine.store.superblock;
    const fresh = newWorld(sizeOf(world));
    // A volume that was made in this size has a longer index, and maybe another log.
    const fixed = groupReserved(fresh.rig.engine.store.superblock.geometry, 0);
    expect(world.freeBlocks() + groupReserved(geometry, 0)).toBe(fresh.freeBlocks() + fixed);
  });

  seeded('a life that grows and shrinks', { count: 4 }, (random) => {
    const world = newWorld(random.between(300, 900) * BLOCK_SIZE, random);
    const history = new History(world, { random, sizeMax: 60_000 });
    for (let i = 0; i < 8; i++) {
      history.run(random.between(1, 20));
      const before = sizeOf(world);
      if (random.chance(1 / 3)) {
        resize(world, before + random.pick([60, 256, 300, 900]) * BLOCK_SIZE);
      } else if (random.chance(1 / 2)) {
        expect(resize(world, undefined)).toBeLessThanOrEqual(before);
      } else {
        const wanted = random.between(BLOCK_SIZE, before);
        const found = attempt(world, wanted);
        if (found === 'EBUSY')
          expect(resize(world, undefined)).toBeGreaterThan(wanted - BLOCK_SIZE);
        else expect(found).toBeLessThanOrEqual(wanted);
      }
      if (random.chance(1 / 3)) world.remount();
      compare(world);
      world.commit();
      expectSound(imageOf(world.device).subarray(0, sizeOf(world)));
      expect(checkSync(world.device).issues).toEqual([]);
    }
    history.deleteAll();
    world.freeBlocks();
  });

  it('cuts an empty volume down to the little that is in it, and lets it grow again', () => {
    const world = newWorld(8 * MIB);
    world.settle();
    const least = resize(world, undefined);
    expect(least).toBeLessThan(MIB);
    expect(world.device.size).toBe(least);
    expect(resize(world, undefined)).toBe(least);
    expect(attempt(world, least - 100 * BLOCK_SIZE)).toBe('EBUSY');
    expect(resize(world, 8 * MIB)).toBe(8 * MIB);
    expect(world.freeBlocks()).toBe(newWorld(8 * MIB).freeBlocks());
    expectSound(imageOf(world.device));
  });

  it('hands out all that is new, the old second copies too', () => {
    const world = newWorld(MIB);
    const { groups } = world.rig.engine.store;
    const before = world.freeBlocks();
    resize(world, 3 * MIB);
    const added = (2 * MIB) / BLOCK_SIZE - 2 * 2 * groups.geometry.countSlotBlocks;
    expect(world.freeBlocks()).toBe(before + added);
    expect(groups.idle).toBe(groups.free);
  });

  it('does nothing for the size there is, or one a little larger', () => {
    const world = newWorld(MIB);
    const { txg } = world.rig.engine.store;
    expect(resize(world, MIB)).toBe(MIB);
    expect(resize(world, MIB + SUPERBLOCKS * BLOCK_SIZE - 1)).toBe(MIB);
    expect(world.rig.engine.store.txg).toBe(txg);
    expect(world.device.size).toBe(MIB);
  });

  it('leaves a last group alone that could not hold its own counts', () => {
    const world = newWorld(MIB);
    expect(resize(world, 2 * MIB + 10 * BLOCK_SIZE)).toBe(2 * MIB);
  });

  it('says how far a volume can grow', () => {
    const world = newWorld(MIB);
    const most = (BLOCK_SIZE / 16) * 256 * BLOCK_SIZE;
    let error: unknown;
    try {
      resize(world, most + BLOCK_SIZE);
    } catch (thrown) {
      error = thrown;
    }
    expect(errorCode(error)).toBe('EFBIG');
    expect((error as Error).message).toContain(`room for ${most}`);
    expect(resize(world, most)).toBe(most);
    expect(planGeometry({ size: most, groupBlocks: 256 }).groupCount).toBe(256);
    world.commit();
  });
});
