/** Hard links: inodes that have several names, and what comes of their clones. */
import { describe, expect, it } from 'vitest';
import type { MemoryDevice } from '../../src/device/index.ts';
import { compare } from './compare.ts';
import type { ModelInode } from './model.ts';
import { Recording, Translator } from './replay.ts';
import { Scene } from './scene.ts';
import { World } from './world.ts';

/** Makes a file with two names, `a` and `b`. */
function makeLinked(scene: Scene, directory: ModelInode): ModelInode {
  const file = scene.makeFile(directory, 'a', 5000);
  scene.world.link({ directory, name: 'a' }, { directory, name: 'b' });
  return file;
}

describe('a linked inode', () => {
  it('is one file under all its names', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    makeLinked(scene, directory);
    scene.write({ directory, name: 'b' }, 100, 3);
    scene.checkTwice();
    world.unlink({ directory, name: 'a' }, 'file');
    scene.checkTwice();
  });

  it('keeps its data until its last name goes, and then its space comes back', () => {
    const scene = new Scene();
    const { world, root } = scene;
    makeLinked(scene, root);
    world.settle();
    const { free } = world.rig.engine.store.groups;
    const directory = scene.makeDirectory(root, 'd');
    makeLinked(scene, directory);
    scene.checkTwice();
    for (const name of ['b', 'a']) world.unlink({ directory, name }, 'file');
    world.unlink({ directory: root, name: 'd' }, 'directory');
    scene.checkTwice();
    world.settle();
    expect(world.rig.engine.store.groups.free).toBe(free);
  });

  it('is another inode in a clone, where names left outside still count', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const inside = scene.makeDirectory(root, 'inside');
    makeLinked(scene, inside);
    world.link({ directory: inside, name: 'a' }, { directory: root, name: 'outside' });
    world.clone({ directory: root, name: 'inside' }, { directory: root, name: 'clone' });
    const clone = scene.at(root, 'clone');
    expect(scene.at(clone, 'a').nlink).toBe(3);
    scene.write({ directory: clone, name: 'b' }, 0, 9000);
    scene.checkTwice();
    world.unlink({ directory: root, name: 'clone' }, 'tree');
    scene.checkTwice();
  });

  it('stays in its realm', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const directory = scene.makeDirectory(root, 'd');
    makeLinked(scene, directory);
    world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    const other = scene.at(root, 'e');
    // The model knows that both are EXDEV.
    world.link({ directory, name: 'a' }, { directory: other, name: 'c' });
    world.rename({ directory, name: 'a' }, { directory: other, name: 'c' });
    expect(other.entries.has('c')).toBe(false);
    scene.checkTwice();
  });

  // The realm of what hangs from the meta root has no record in which a link table could hang.
  it('cannot be beside the snapshots', () => {
    const scene = new Scene();
    const { world, snapshots: directory } = scene;
    scene.makeFile(directory, 'a');
    expect(() => world.link({ directory, name: 'a' }, { directory, name: 'b' })).toThrow(
      'Cannot link a file beside the snapshots',
    );
  });
});

describe('a directory with linked files below', () => {
  it('goes only name by name, unless its realm goes with it', () => {
    const scene = new Scene();
    const { world, root } = scene;
    makeLinked(scene, scene.makeDirectory(root, 'd'));
    // The model knows that this is ENOTSUP.
    world.unlink({ directory: root, name: 'd' }, 'tree');
    expect(root.entries.has('d')).toBe(true);
    world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    world.unlink({ directory: root, name: 'e' }, 'tree');
    scene.checkTwice();
  });

  // A clone with links that was moved into a directory marked that directory as one with linked
  // files below, though no link leads out of a clone: it could not be removed at once any more.
  it('does not bind the directory it is moved into if it is a clone', () => {
    const scene = new Scene();
    const { world, root } = scene;
    makeLinked(scene, scene.makeDirectory(root, 'd'));
    world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    const target = scene.makeDirectory(root, 'target');
    world.rename({ directory: root, name: 'e' }, { directory: target, name: 'e' });
    world.unlink({ directory: root, name: 'target' }, 'tree');
    expect(root.entries.has('target')).toBe(false);
    scene.checkTwice();
  });
});

describe('a journal', () => {
  /** Does what was recorded again, after `prepare`, and compares. */
  function expectSame(scene: Scene, recording: Recording, prepare: (again: Scene) => void): void {
    compare(scene.world);
    const again = new Scene();
    prepare(again);
    again.world.commit();
    new Translator(again.world.rig).replay(recording.mutations);
    again.world.commit();
    compare(new World(again.device as MemoryDevice, {}, scene.world.model.copy()));
  }

  // The directory in which a linked file was seen last left memory, was loaded again and renamed;
  // the file kept the vnode of before, and the journal was told a path that did not exist.
  it('names a linked file by where it is, not by where it was seen', () => {
    const scene = new Scene({ vnodeLimit: 1 });
    const { world, root } = scene;
    const prepare = (each: Scene) => makeLinked(each, each.makeDirectory(each.root, 'd'));
    prepare(scene);
    world.commit();
    const recording = new Recording(world.rig.engine);
    const directory = scene.at(root, 'd');
    world.open({ directory, name: 'a' });
    for (let i = 0; i < 40; i++) scene.makeFile(root, `other ${i}`);
    world.rename({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    world.write(scene.at(directory, 'a'), undefined, 0, Uint8Array.of(1));
    expectSame(scene, recording, prepare);
  });

  // Somebody held a linked file when the name went under which it was seen last. The journal was
  // told of later changes by a handle that nobody had introduced.
  it('can name a linked file that is held when one of its names goes', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const prepare = (each: Scene) => makeLinked(each, each.root);
    const file = prepare(scene);
    world.remount();
    const recording = new Recording(world.rig.engine);
    const held = world.hold(file, { directory, name: 'b' });
    world.unlink({ directory, name: 'b' }, 'file');
    world.setAttributes(file, undefined, { mode: 0o611, uid: 3 }, held);
    expectSame(scene, recording, prepare);
  });
});
