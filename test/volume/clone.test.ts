/** Clones: of files, directories and the volume, beside and inside each other. */
import { describe, expect, it } from 'vitest';
import type { ModelInode } from './model.ts';
import { Scene } from './scene.ts';
import { identityOf } from './world.ts';

function place(directory: ModelInode, name: string): { directory: ModelInode; name: string } {
  return { directory, name };
}

/** Realm and number of an inode, as the volume shows them. */
function identity(scene: Scene, directory: ModelInode, name: string): string {
  const vnode = scene.world.hold(scene.at(directory, name), place(directory, name));
  vnode.holds--;
  return identityOf(vnode);
}

describe('a clone of a file', () => {
  it.each([
    ['inline data', 0, 300],
    ['embedded blocks', 0, 15000],
    ['a map node', 0, 50000],
    ['a hole and then data', 2_000_000, 9000],
  ])('holds %s that no commit has seen, and parts with it', (_what, offset, length) => {
    const scene = new Scene();
    const { world, root } = scene;
    scene.makeFile(root, 'f');
    scene.write(place(root, 'f'), offset, length);
    world.clone(place(root, 'f'), place(root, 'g'));
    scene.write(place(root, 'f'), offset + 100, 50);
    scene.write(place(root, 'g'), offset / 2, 70);
    scene.checkTwice();
  });

  it('has a number of its own in the realm it is put into', () => {
    const scene = new Scene();
    const { world, root } = scene;
    scene.makeFile(root, 'f', 10);
    world.clone(place(root, 'f'), place(root, 'g'));
    expect(identity(scene, root, 'g')).not.toBe(identity(scene, root, 'f'));
    expect(identity(scene, root, 'g').split(':')[0]).toBe('1');
  });
});

describe('a clone of a directory', () => {
  it('can be made inside the directory itself, again and again', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const directory = scene.makeDirectory(root, 'd');
    scene.makeFile(directory, 'f', 20000);
    for (const name of ['x', 'y', 'z']) {
      world.clone(place(root, 'd'), place(directory, name));
      scene.write(place(directory, 'f'), 0, 1000);
    }
    scene.checkTwice();
  });

  it('can be made anywhere below itself', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const [a, b] = [scene.makeDirectory(root, 'a'), scene.makeDirectory(root, 'b')];
    const inner = scene.makeDirectory(a, 'inner');
    scene.makeFile(inner, 'f', 5000);
    world.clone('root', place(inner, 'all'));
    world.clone('root', place(b, 'all'));
    world.clone(place(inner, 'all'), place(scene.at(scene.at(b, 'all'), 'a'), 'again'));
    scene.checkTwice();
  });

  it('is independent in both directions, names and data', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const directory = scene.makeDirectory(root, 'd');
    for (let i = 0; i < 50; i++) scene.makeFile(directory, `f${i}`, 100 * i);
    world.clone(place(root, 'd'), place(root, 'e'));
    const clone = scene.at(root, 'e');
    for (let i = 0; i < 50; i += 2) world.unlink(place(directory, `f${i}`), 'file');
    for (let i = 1; i < 50; i += 2) world.rename(place(clone, `f${i}`), place(clone, `g${i}`));
    scene.makeFile(directory, 'new', 3000);
    scene.checkTwice();
  });

  it('refuses changes if it was cloned read-only, and to clones of it that are not', () => {
    const scene = new Scene();
    const { world, root, snapshots } = scene;
    const directory = scene.makeDirectory(root, 'd');
    scene.makeFile(directory, 'f', 9000);
    world.clone('root', place(snapshots, 's'), true);
    const copy = scene.at(scene.at(snapshots, 's'), 'd');
    // The model knows that these are EROFS.
    world.unlink(place(copy, 'f'), 'file');
    world.write(scene.at(copy, 'f'), place(copy, 'f'), 0, Uint8Array.of(1));
    world.truncate(scene.at(copy, 'f'), place(copy, 'f'), 0);
    expect(scene.at(copy, 'f').data.size).toBe(9000);
    world.clone(place(snapshots, 's'), place(root, 'writable'));
    scene.write(place(scene.at(scene.at(root, 'writable'), 'd'), 'f'), 0, 10);
    scene.checkTwice();
  });
});

describe('identities', () => {
  it('stay with what is renamed, across realms and back', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const directory = scene.makeDirectory(root, 'd');
    scene.makeFile(scene.makeDirectory(directory, 'inner'), 'f', 100);
    world.clone(place(root, 'd'), place(root, 'e'));
    const clone = scene.at(root, 'e');
    // compare() holds every identity against the one that was seen first.
    scene.check();
    world.rename(place(clone, 'inner'), place(root, 'out'));
    scene.checkTwice();
    world.rename(place(root, 'out'), place(directory, 'in'));
    scene.checkTwice();
    world.rename(place(directory, 'in'), place(clone, 'inner'));
    scene.checkTwice();
  });

  it('of clones inside a snapshot are the same at every mount', () => {
    const scene = new Scene();
    const { world, root, snapshots } = scene;
    const directory = scene.makeDirectory(root, 'd');
    scene.makeFile(directory, 'f', 100);
    world.clone(place(root, 'd'), place(root, 'e'));
    world.clone('root', place(snapshots, 's'), true);
    scene.checkTwice();
    scene.checkTwice();
  });

  // A file came into a clone from a realm, and a clone of that very realm was in it already. Both
  // stated the same realm; cloned once more, both were given the same one, and so one identity.
  it('of what came from a realm and of a clone of that realm are two', () => {
    const scene = new Scene();
    const { world, root, snapshots } = scene;
    const origin = scene.makeDirectory(root, 'origin');
    world.clone(place(root, 'origin'), place(root, 'realm'));
    const realm = scene.at(root, 'realm');
    scene.makeFile(realm, 'f', 10);
    world.clone('root', place(origin, 'all'));
    // In the clone of everything there is a clone of the realm, with a file of the same number.
    world.rename(place(realm, 'f'), place(scene.at(origin, 'all'), 'f'));
    scene.check();
    world.clone('root', place(snapshots, 's'));
    scene.checkTwice();
  });
});
