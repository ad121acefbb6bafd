/**
 * Full volumes: what does not fit fails whole, deleting works, and then all space is back.
 */
import { expect, it } from 'vitest';
import { KIB, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import { imageOf, recount } from './recount.ts';
import { seeded } from './seeds.ts';
import { World } from './world.ts';

function fillAndEmpty(random: Random): void {
  const device = new MemoryDevice({ size: random.pick([1, 2, 3]) * MIB });
  const world = new World(device, {
    groupBlocks: 256,
    logBlocks: 8,
    countCap: random.pick([1, 2, 4]),
    extentBlocks: random.pick([0, 8]),
  });
  const free = world.freeBlocks();
  world.mayBeFull = true;
  const weights = { write: 40, create: 30, unlink: 1, truncate: 2, remount: 0 };
  const history = new History(world, { random, sizeMax: 300 * KIB, weights });
  for (let round = 0; round < 2; round++) {
    const enough = world.refused + 20;
    while (world.refused < enough) {
      const { refused } = world;
      history.step();
      if (world.refused > refused && random.chance(0.2)) compare(world);
    }
    compare(world);
    if (round === 1) world.remount();
    history.deleteAll();
    expect(world.freeBlocks()).toBe(free);
    compare(world);
    expect(recount(imageOf(device))).toEqual([]);
  }
}

seeded('a full volume can be emptied and filled again', { count: 6 }, fillAndEmpty);

// An inode that a failed insert had left was taken for another one, and giving it back never ended.
it('what a failed operation leaves is kept in memory until it is given back', () => {
  fillAndEmpty(new Random(46));
});
