/** Lives: what the history tests let a volume go through, from new to empty again. */
import { expect } from 'vitest';
import { KIB, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import { imageOf, recount } from './recount.ts';
import type { RigOptions } from './rig.ts';
import { World } from './world.ts';

export interface Life extends RigOptions {
  readonly size: number;
  /** Steps, and after how many of them everything is compared. */
  readonly steps: number;
  readonly pace: number;
  /** Everything leaves memory before each step, so that each has to be planned from the device. */
  readonly cold?: boolean;
}

/** A volume of a single group. */
export const PLAIN: Life = { size: 24 * MIB, steps: 200, pace: 50, logBlocks: 8 };
/** Many small groups, whose counts leave memory at every commit. */
export const ODD: Life = {
  size: 12 * MIB,
  steps: 150,
  pace: 50,
  logBlocks: 8,
  groupBlocks: 256,
  countCapacity: 1,
  vnodeLimit: 8,
};
/** So few frames that most looks miss. */
export const TIGHT: Life = { ...PLAIN, steps: 120, pace: 40, cacheBytes: 800 * KIB, vnodeLimit: 1 };

/** One life. Throws if anything is not as it should be. */
export function live(random: Random, life: Life): void {
  const device = new MemoryDevice({ size: life.size });
  const world = new World(device, life);
  const free = world.freeBlocks();
  world.mayBeFull = true;
  if (life.cold === true) world.before = ({ rig }) => rig.engine.store.blocks.evictAll();
  const history = new History(world, { random, sparse: random.chance(0.5) });
  try {
    for (let done = 0; done < life.steps; done += life.pace) {
      history.run(life.pace);
      compare(world);
      world.commit();
      expect(world.rig.engine.store.space.reserved).toBe(0);
      expect(recount(imageOf(device))).toEqual([]);
    }
    history.deleteAll();
    expect(world.freeBlocks()).toBe(free);
    expect(recount(imageOf(device))).toEqual([]);
  } catch (error) {
    (error as Error).message += `\nThe last steps were: ${history.log.slice(-5).join(', ')}`;
    throw error;
  }
}
