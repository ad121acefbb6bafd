/** Names with the same hash: told apart by a number that never changes while the name exists. */
import { expect, it, vi } from 'vitest';
import { Scene } from './scene.ts';
import { seeded } from './seeds.ts';

// Hashes of 45 bits do not collide in a test; hashes of the first letter do.
vi.mock('../../src/base/index.ts', async (original) => ({
  ...(await original<typeof import('../../src/base/index.ts')>()),
  hashName: (name: string) => name.charCodeAt(0),
}));

it('256 names can have one hash, and the 257th is refused', () => {
  const scene = new Scene();
  const { world, root: directory } = scene;
  for (let i = 0; i < 256; i++) world.create({ directory, name: `a${i}` }, 'fifo');
  const refusal = 'Cannot add a name: 256 names have its hash';
  expect(() => world.create({ directory, name: 'a256' }, 'fifo')).toThrow(refusal);
  world.create({ directory, name: 'b' }, 'fifo');
  scene.check();
  world.unlink({ directory, name: 'a77' }, 'file');
  world.create({ directory, name: 'a256' }, 'fifo');
  scene.checkTwice();
});

seeded('names with few hashes come, go and are renamed', { count: 3 }, (random) => {
  const scene = new Scene({ vnodeLimit: 4 });
  const { world, root: directory } = scene;
  const draw = () => `${random.pick([...'abc'])}${random.below(60)}`;
  for (let i = 0; i < 300; i++) {
    const name = draw();
    if (!directory.entries.has(name)) world.create({ directory, name }, 'fifo');
    else if (random.chance(0.4)) world.unlink({ directory, name }, 'file');
    else world.rename({ directory, name }, { directory, name: draw() });
    if (i % 60 === 0) scene.checkTwice();
  }
  scene.checkTwice();
});
