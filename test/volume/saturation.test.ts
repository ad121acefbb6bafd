/**
 * Saturated counts (T5): with counts of 2 bits a block is copied instead of being shared a fourth
 * time. Nobody sees a difference; but slots in records may name the copy then, and what is in
 * memory of those inodes has to follow.
 */
import { expect, it } from 'vitest';
import { readEntries } from '../../src/volume/index.ts';
import type { ModelInode } from './model.ts';
import { Scene } from './scene.ts';

const OPTIONS = { countCap: 1 } as const;
/** Blocks of a file whose map is a node. */
const SIX = 6 * 4096;

/** Two clones of a file beside it, each with its own map: the blocks have three references. */
function saturateBlocks(scene: Scene, directory: ModelInode, name: string): void {
  const copies = [`${name} x`, `${name} y`];
  for (const copy of copies) scene.world.clone({ directory, name }, { directory, name: copy });
  scene.world.commit();
  for (const copy of copies) scene.write({ directory, name: copy }, 0, 1);
  scene.world.commit();
}

/** Two clones at the root: what hangs from the inode itself has three references. */
function saturateRoot({ world, root }: Scene, directory: ModelInode, name: string): void {
  for (const copy of [`${name} x`, `${name} y`]) {
    world.clone({ directory, name }, { directory: root, name: copy });
  }
}

// Two ways down, in one operation, shared the same node: for the first its count had room, for the
// second it had none any more, and the node that was to be copied had not been asked for.
it('a child that two copied leaves share is planned for twice', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const directory = scene.makeDirectory(root, 'd');
  scene.makeFile(directory, 'f', 10);
  scene.makeFile(directory, 'g', SIX);
  world.clone({ directory, name: 'g' }, { directory: root, name: 'g too' });
  for (const name of ['a', 'b']) {
    world.clone({ directory: root, name: 'd' }, { directory: root, name });
  }
  scene.cool();
  const [from, to] = [scene.at(root, 'a'), scene.at(root, 'b')];
  world.rename({ directory: from, name: 'f' }, { directory: to, name: 'h' });
  scene.check();
});

// Blocks that a truncate copied were taken for a change of records: the file's map was read again
// from its record, which still had the map of before.
it('a truncate that copies saturated blocks keeps its own map', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const file = scene.makeFile(root, 'f', SIX);
  saturateBlocks(scene, root, 'f');
  world.clone({ directory: root, name: 'f' }, { directory: root, name: 'g' });
  world.commit();
  world.truncate(file, { directory: root, name: 'f' }, SIX - 4096);
  scene.check();
});

// The record of the file was in a leaf that was shared, its map was not: that the leaf would be
// copied, and the blocks of the map be shared then, had been forgotten.
it('a truncate plans for blocks that its record will share', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const directory = scene.makeDirectory(root, 'd');
  const file = scene.makeFile(directory, 'f', SIX);
  saturateBlocks(scene, directory, 'f');
  world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
  scene.cool();
  world.truncate(file, { directory, name: 'f' }, SIX - 4096);
  scene.check();
});

// Copying a leaf copied a saturated directory below it, and that a saturated file map. The file was
// open and kept the map that its record did not name any more.
it('an open file follows when a directory above it is copied with its records', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const top = scene.makeDirectory(root, 'top');
  const below = scene.makeDirectory(top, 'below');
  const file = scene.makeFile(below, 'f', SIX);
  saturateRoot(scene, below, 'f');
  saturateRoot(scene, top, 'below');
  world.clone({ directory: root, name: 'top' }, { directory: root, name: 'top too' });
  world.commit();
  world.open({ directory: below, name: 'f' });
  scene.makeFile(top, 'new');
  scene.check();
  world.write(file, undefined, 5000, Uint8Array.of(1, 2, 3));
  scene.check();
});

// The last name of a linked file went. What it had was looked for among its parent's children, but
// it had been taken out of there already when its record was copied.
it('a linked file follows its record until it is removed', () => {
  const scene = new Scene(OPTIONS);
  const { world, root: directory } = scene;
  scene.makeFile(directory, 'a', SIX);
  world.link({ directory, name: 'a' }, { directory, name: 'b' });
  world.unlink({ directory, name: 'a' }, 'file');
  saturateRoot(scene, directory, 'b');
  world.clone('root', { directory: scene.snapshots, name: 's' });
  world.commit();
  world.unlink({ directory, name: 'b' }, 'file');
  scene.check();
});

/** A shared directory of several leaves, in which every file's block has three references. */
function crowd(scene: Scene): ModelInode {
  const { world, root } = scene;
  const full = scene.makeDirectory(root, 'full');
  scene.makeDirectory(full, 'inner');
  for (let i = 0; i < 60; i++) scene.makeFile(full, `f${i}`, 2000);
  const from = { directory: root, name: 'full' };
  for (const name of ['x', 'y']) world.clone(from, { directory: root, name });
  world.commit();
  // Every leaf of both clones is copied, so that each has its own reference to each block.
  for (const directory of [scene.at(root, 'x'), scene.at(root, 'y')]) {
    for (const [name, inode] of directory.entries) {
      world.setAttributes(inode, { directory, name }, { mode: 1, uid: 1 });
    }
  }
  world.clone(from, { directory: root, name: 'z' });
  world.commit();
  return full;
}

// A file moved up from a directory to the one around it. The leaf that took its record was copied,
// blocks were too, so all that was in memory below was read again: the directory the file came from
// too, whose tree had just been changed and whose record did not say so yet.
it('a directory that was changed is not read again by the same rename', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const full = crowd(scene);
  const inner = scene.at(full, 'inner');
  for (let i = 0; i < 8; i++) scene.makeFile(inner, `x${i}`, 100);
  world.commit();
  for (let i = 0; i < 8; i++) {
    world.rename({ directory: inner, name: `x${i}` }, { directory: full, name: `moved ${i}` });
    world.clone({ directory: root, name: 'full' }, { directory: root, name: `again ${i}` });
  }
  scene.check();
});

// A leaf grew sparse and was joined with its neighbour, which was shared and so was copied, its
// blocks too. Nobody told the inodes in memory whose records had been there.
it('open files follow when leaves are joined', () => {
  const scene = new Scene(OPTIONS);
  const { world, root } = scene;
  const full = crowd(scene);
  const held = world.hold(full);
  const listed = world.run(readEntries(world.rig.engine, held, 0)).map(({ name }) => name);
  held.holds--;
  const first = listed.filter((name) => name !== 'inner');
  const others = [...full.entries.keys()].filter((name) => !listed.includes(name));
  expect(others.length).toBeGreaterThan(0);
  // The first leaf is emptied while nobody has touched the second.
  for (const name of others) if (name !== 'inner') world.open({ directory: full, name });
  for (const name of first) {
    world.unlink({ directory: full, name }, 'file');
    scene.makeFile(root, name);
  }
  scene.check();
  for (const inode of world.openInodes) world.write(inode, undefined, 100, Uint8Array.of(1));
  scene.check();
});
