/** Renames: over other names, between directories and realms, and inside one crowded leaf. */
import { describe, expect, it } from 'vitest';
import { Scene } from './scene.ts';
import { seeded } from './seeds.ts';

describe('rename', () => {
  it('replaces what had the name: a file, an empty directory, one of two names', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    for (const name of ['a', 'b', 'c']) scene.makeFile(directory, name, 20000);
    world.link({ directory, name: 'c' }, { directory, name: 'd' });
    for (const name of ['x', 'y']) scene.makeDirectory(directory, name);
    world.rename({ directory, name: 'a' }, { directory, name: 'b' });
    world.rename({ directory, name: 'b' }, { directory, name: 'c' });
    world.rename({ directory, name: 'x' }, { directory, name: 'y' });
    expect([...directory.entries.keys()].sort()).toEqual(['c', 'd', 'y']);
    scene.checkTwice();
  });

  it('does nothing if both names are one inode', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    scene.makeFile(directory, 'a', 10);
    world.link({ directory, name: 'a' }, { directory, name: 'b' });
    world.rename({ directory, name: 'a' }, { directory, name: 'b' });
    expect(directory.entries.size).toBe(2);
    scene.checkTwice();
  });

  it('keeps what is open open, under its new name and without one', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const moved = scene.makeFile(directory, 'a', 5000);
    const replaced = scene.makeFile(directory, 'b', 6000);
    for (const name of ['a', 'b']) world.open({ directory, name });
    world.rename({ directory, name: 'a' }, { directory, name: 'b' });
    for (const inode of [moved, replaced]) world.write(inode, undefined, 4000, Uint8Array.of(9));
    scene.check();
    for (const inode of [moved, replaced]) world.close(inode);
    scene.checkTwice();
  });

  it('moves data that no commit has seen', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const [from, to] = [scene.makeDirectory(root, 'from'), scene.makeDirectory(root, 'to')];
    scene.makeFile(from, 'f', 70000);
    world.clone({ directory: root, name: 'to' }, { directory: root, name: 'other realm' });
    world.rename({ directory: from, name: 'f' }, { directory: to, name: 'f' });
    const other = scene.at(root, 'other realm');
    world.rename({ directory: to, name: 'f' }, { directory: other, name: 'f' });
    scene.checkTwice();
  });

  // The old name was taken out first. If its leaf went with it, the new name belonged into a leaf
  // that nobody had planned for. And two names taken out of one leaf left it sparse enough to be
  // joined with a neighbour that nobody had planned for either.
  seeded('finds everything it needs in leaves of two or three records', { count: 12 }, (random) => {
    const scene = new Scene({ countCap: random.pick([1, 4]) });
    const { world, root: directory } = scene;
    world.before = () => scene.cool();
    const names = Array.from({ length: 60 }, (_, i) => `n${i}`.padEnd(random.pick([3, 250]), '.'));
    for (let i = 0; i < 200; i++) {
      const name = random.pick(names);
      const taken = [...directory.entries.keys()];
      const draw = random.below(4);
      if (draw === 0 && !directory.entries.has(name)) {
        const target = 't'.repeat(random.pick([1, 700, 768]));
        world.create({ directory, name }, 'symlink', { target });
      } else if (draw === 1 && taken.length > 10) {
        world.unlink({ directory, name: random.pick(taken) }, 'file');
      } else if (taken.length > 0) {
        world.rename({ directory, name: random.pick(taken) }, { directory, name });
      }
    }
    scene.check();
  });
});
