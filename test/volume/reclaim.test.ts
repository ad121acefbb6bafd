/** Reclaim: what a deleted tree used comes back, whatever interrupts the work. */
import { describe, expect, it } from 'vitest';
import { MIB, type Operation, type Plan, PlannedOperation } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { compare } from './compare.ts';
import { recount } from './recount.ts';
import { makeDriver, mount } from './rig.ts';
import { Scene } from './scene.ts';
import { World } from './world.ts';

const OPTIONS = { groupBlocks: 1024, logBlocks: 8 } as const;

/** Something that holds everybody up until the queue is empty, as a clone without room does. */
class Gatekeeper extends PlannedOperation<void> {
  readonly #world: World;

  constructor(world: World) {
    super();
    this.#world = world;
  }

  protected override prepare(plan: Plan): void {
    const { engine } = this.#world.rig;
    engine.store.gate = this;
    const work = engine.reclaim();
    if (work !== undefined) plan.follow(work);
  }

  protected override apply(): boolean {
    this.#world.rig.engine.store.gate = undefined;
    return this.finish(undefined);
  }
}

/** Directories in directories, with files of all depths. */
function plant(scene: Scene, name = 'top'): void {
  let directory = scene.makeDirectory(scene.root, name);
  for (let depth = 0; depth < 4; depth++) {
    for (const [i, offset] of [0, 30_000, 3_000_000, 300_000_000].entries()) {
      scene.makeFile(directory, `f${i}`);
      scene.write({ directory, name: `f${i}` }, offset, 20_000);
    }
    for (let i = 0; i < 30; i++) scene.makeFile(directory, `small ${i}`, 900);
    directory = scene.makeDirectory(directory, 'd');
  }
}

describe('reclaiming', () => {
  // Whoever holds up all changes may wait for space, and so for the reclaim, which waited for him.
  it('is not held up by whoever waits for it', () => {
    const scene = new Scene();
    const { world } = scene;
    plant(scene);
    world.unlink({ directory: scene.root, name: 'top' }, 'tree');
    world.run(new Gatekeeper(world));
    expect(world.rig.engine.reclaimer.isEmpty).toBe(true);
    scene.check();
  });

  it('does not wait for itself when there is no room', () => {
    const scene = new Scene();
    const { world } = scene;
    plant(scene);
    world.unlink({ directory: scene.root, name: 'top' }, 'tree');
    world.settle();
    plant(scene);
    world.commit();
    world.unlink({ directory: scene.root, name: 'top' }, 'tree');
    const { space, groups } = world.rig.engine.store;
    space.reserved = groups.idle;
    expect(() => world.run(world.rig.engine.reclaim() as Gatekeeper)).toThrow('Cannot find room');
    space.reserved = 0;
    world.settle();
    scene.check();
  });

  // A node that waits for its children named those that had gone, and the commit looked for them.
  it('may be half done when a group closes in which the tree was made', () => {
    const scene = new Scene({ cacheBytes: 64 * MIB });
    const { world } = scene;
    let directory = scene.makeDirectory(scene.root, 'top');
    for (let depth = 0; depth < 300; depth++) directory = scene.makeDirectory(directory, 'd');
    world.unlink({ directory: scene.root, name: 'top' }, 'tree');
    const { engine } = world.rig;
    for (let slice = 0; slice < 2; slice++) world.run(engine.reclaim() as Gatekeeper);
    expect(engine.reclaimer.isEmpty).toBe(false);
    world.commit();
    world.settle();
    scene.check();
  });

  it('goes on after a commit with what was made in the same transaction group', () => {
    for (const times of [1, 2, 3]) {
      const scene = new Scene();
      const { world } = scene;
      const { engine } = world.rig;
      const top = scene.makeDirectory(scene.root, 'top');
      for (let i = 0; i < 150; i++) scene.makeFile(scene.makeDirectory(top, `d${i}`), 'f', 100);
      const large = { directory: scene.root, name: 'large' };
      scene.makeFile(large.directory, large.name);
      for (let i = 0; i < 300; i++) scene.write(large, i * MIB, 4096);
      // The map gets its nodes when the data has its place, which takes no commit.
      const { txg } = engine.store;
      while (engine.pool.dirtyBlocks > 0) world.run(engine.pool.relief());
      expect(engine.store.txg).toBe(txg);
      world.unlink({ directory: scene.root, name: 'top' }, 'tree');
      world.unlink(large, 'file');
      for (let i = 0; i < times; i++) {
        expect(engine.reclaimer.isEmpty).toBe(false);
        world.run(engine.reclaim() as Operation<unknown>);
      }
      scene.check();
      world.settle();
      scene.checkTwice();
    }
  });

  it('gives back nothing that another tree still uses', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    plant(scene);
    world.clone({ directory, name: 'top' }, { directory, name: 'clone' });
    world.unlink({ directory, name: 'top' }, 'tree');
    world.settle();
    scene.checkTwice();
    world.unlink({ directory, name: 'clone' }, 'tree');
    world.settle();
    scene.checkTwice();
  });

  it('crash: goes on where the last commit has seen it', async () => {
    const random = new Random(3);
    const memory = new MemoryDevice({ size: 8 * MIB });
    const world = new World(memory, OPTIONS);
    const scene = Object.assign(Object.create(Scene.prototype) as Scene, { world });
    const free = world.freeBlocks();
    const trees = ['one', 'two', 'three', 'four', 'five', 'six'];
    for (const name of trees) plant(scene, name);
    for (const name of trees) world.unlink({ directory: world.model.root, name }, 'tree');
    world.commit();
    const tape = new TapeDevice(imageOfDevice(memory));
    const schedule = new Schedule(random.fork());
    const driver = makeDriver(new SlowDevice(tape, { schedule }), { schedule });
    const { engine } = mount(tape, OPTIONS);
    let busy = true;
    const committing = async (): Promise<void> => {
      while (busy) {
        await driver.start(engine.commit());
        engine.store.blocks.evictAll();
        await schedule.submit(() => {}, { minUs: 10, maxUs: 50 });
      }
    };
    const reclaiming = async (): Promise<void> => {
      for (let work = engine.reclaim(); work !== undefined; work = engine.reclaim()) {
        await driver.start(work);
      }
      busy = false;
    };
    await schedule.run(Promise.all([committing(), reclaiming()]));
    expect(tape.flushes, 'commits while the queue was worked off').toBeGreaterThan(10);
    for (let count = 0; count < tape.calls.length; count += random.between(1, 20)) {
      for (const image of crashImages(tape, count, { random, exhaustiveMax: 0, samples: 1 })) {
        expect(recount(image)).toEqual([]);
        const again = new World(MemoryDevice.from(image), OPTIONS, world.model.copy());
        compare(again);
        expect(again.freeBlocks()).toBe(free);
      }
    }
  });
});

function imageOfDevice(device: MemoryDevice): Uint8Array {
  const image = new Uint8Array(device.size);
  device.read(0, image);
  return image;
}
