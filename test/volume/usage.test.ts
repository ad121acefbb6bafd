/** Usage: what a tree takes and what of that is its own, against a walk of every block below it. */
import { expect, it } from 'vitest';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { imageSeed, rootDetail, rootRole, SLOT_WORDS } from '../../src/format/index.ts';
import { MeasureUsage, type Usage } from '../../src/volume/index.ts';
import { blockReader, imageOf, Walk } from './recount.ts';
import { Scene } from './scene.ts';

interface Measured extends Usage {
  /** Bytes of all blocks below the tree, by a walk of the image. */
  readonly walked: number;
}

function measure({ world, root, at, device }: Scene, name: string): Measured {
  const vnode = world.hold(at(root, name), { directory: root, name });
  return world.holding([vnode], () => {
    const usage = world.run(new MeasureUsage(world.rig.engine, vnode));
    const { geometry, uuid } = world.rig.engine.store.superblock;
    const walk = new Walk({ read: blockReader(imageOf(device)), geometry, seed: imageSeed(uuid) });
    for (let slot = 0; slot < 4 * SLOT_WORDS; slot += SLOT_WORDS) {
      const { kind, depth, slots } = vnode;
      walk.follow(slots, slot, rootRole(kind, depth), rootDetail(kind, depth));
    }
    expect(walk.findings).toEqual([]);
    return { ...usage, walked: walk.counts.size * BLOCK_SIZE };
  });
}

function planted(): Scene {
  const scene = new Scene();
  const base = scene.makeDirectory(scene.root, 'base');
  for (let i = 0; i < 100; i++) scene.makeFile(base, `file ${i}`, 20_000);
  return scene;
}

it('counts a tree of its own as exclusive, all of it', () => {
  const { allocated, exclusive, walked } = measure(planted(), 'base');
  expect(walked).toBeGreaterThan(100 * 20_000);
  expect({ allocated, exclusive }).toEqual({ allocated: walked, exclusive: walked });
});

// Once a clone had changed, what hangs from a shared node was met for the first time after all that
// is exclusive, and was left out: a tree of 5.8 MB was said to take 16 KiB.
it('counts what a tree shares, below nodes that it shares', () => {
  const scene = planted();
  const { world, root: directory } = scene;
  for (const name of ['one', 'two']) {
    world.clone({ directory, name: 'base' }, { directory, name });
  }
  scene.makeFile(scene.at(directory, 'two'), 'new', 9000);
  for (const name of ['base', 'one', 'two']) {
    const { allocated, exclusive, walked } = measure(scene, name);
    expect(allocated, name).toBe(walked);
    expect(exclusive, name).toBeLessThan(walked / 10);
  }
  expect(measure(scene, 'two').exclusive).toBeGreaterThanOrEqual(12_288);
  expect(measure(scene, 'one').exclusive).toBe(0);
});
