/** What a journal has seen makes the same volume again (M1, M2): names, data, identities. */
import { expect, it } from 'vitest';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import type { ModelInode } from './model.ts';
import { imageOf, recount } from './recount.ts';
import { Recording, Translator } from './replay.ts';
import { seeded } from './seeds.ts';
import { World } from './world.ts';

const OPTIONS = { groupBlocks: 1024, logBlocks: 8 } as const;

/** A random history, and what a journal has seen of it, mount by mount. */
function recorded(random: Random): { world: World; recordings: Recording[] } {
  const device = new MemoryDevice({ size: 24 * MIB });
  const world = new World(device, { ...OPTIONS, vnodeLimit: random.pick([1, 8, 256]) });
  const recordings = [new Recording(world.rig.engine)];
  world.mounted = ({ engine }) => recordings.push(new Recording(engine));
  new History(world, { random, weights: { open: 6, close: 3 } }).run(250);
  return { world, recordings };
}

seeded('a replayed history makes the same volume', { count: 8 }, (random) => {
  const { world, recordings } = recorded(random);
  compare(world);
  const device = new MemoryDevice({ size: 24 * MIB });
  const again = new World(device, OPTIONS);
  for (const recording of recordings) {
    new Translator(again.rig).replay(recording.mutations);
    again.commit();
  }
  compare(new World(device, OPTIONS, world.model.copy()));
  again.settle();
  expect(recount(imageOf(device))).toEqual([]);
});

// The records of the later turns named an end of the source that the first turn had moved.
it('a clone within a file, of several turns, is replayed', () => {
  const world = new World(new MemoryDevice({ size: 24 * MIB }), OPTIONS);
  const recording = new Recording(world.rig.engine);
  const place = { directory: world.model.root, name: 'f' };
  world.create(place, 'file');
  const inode = world.model.root.entries.get('f') as ModelInode;
  const size = 300 * BLOCK_SIZE + 100;
  world.write(inode, place, 0, new Random(1).bytes(size));
  const range = { sourceOffset: BLOCK_SIZE, offset: 400 * BLOCK_SIZE, length: size - BLOCK_SIZE };
  world.cloneRange({ inode, place }, { inode, place }, range);
  const { mutations } = recording;
  expect(mutations.filter(({ type }) => type === 'clone-range').length).toBeGreaterThan(2);

  const device = new MemoryDevice({ size: 24 * MIB });
  const again = new World(device, OPTIONS);
  new Translator(again.rig).replay(mutations);
  again.commit();
  compare(new World(device, OPTIONS, world.model.copy()));
});
