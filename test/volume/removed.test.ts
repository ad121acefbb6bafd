/** Inodes whose last name is gone: gone themselves, or if they are open, with the last close. */
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { AttributeMask, type Mutation } from '../../src/format/index.ts';
import type { ModelInode } from './model.ts';
import { Scene } from './scene.ts';

const TIME = { sec: 9, nsec: 0 };
const BYTES = Uint8Array.of(1, 2, 3);

/** A directory with a file of some blocks. */
function scene(): Scene & { readonly directory: ModelInode; readonly file: ModelInode } {
  const made = new Scene();
  const directory = made.makeDirectory(made.root, 'd');
  const file = made.makeFile(directory, 'f', 30000);
  return Object.assign(made, { directory, file });
}

type Change = (target: number, parent: number) => Mutation;

/** Every way to change an inode, or to make more of it. */
const CHANGES: Readonly<Record<string, Change>> = {
  'a write': (target) => ({
    type: 'write-inline',
    target,
    offset: 0,
    data: new Uint8Array(9000),
    time: TIME,
  }),
  'a cut': (target) => ({ type: 'truncate', target, size: 5, time: TIME }),
  growth: (target) => ({ type: 'truncate', target, size: 50000, time: TIME }),
  'an attribute': (target) => ({
    type: 'setxattr',
    target,
    name: 'a',
    value: BYTES,
    flags: 0,
    time: TIME,
  }),
  'a mode': (target) => ({
    type: 'setattr',
    target,
    mask: AttributeMask.MODE,
    mode: 0,
    uid: 0,
    gid: 0,
    atime: TIME,
    mtime: TIME,
    time: TIME,
  }),
  'a link': (target, parent) => ({ type: 'link', target, parent, name: 'again', time: TIME }),
  'a clone': (source, parent) => ({
    type: 'clone',
    source,
    parent,
    name: 'again',
    readOnly: false,
    time: TIME,
    ino: 0,
    realm: 0,
    handle: 0,
  }),
};

describe('an inode that was removed while somebody held it', () => {
  // A write went into blocks that nothing named; an extended attribute found no record to go into.
  it.each(Object.keys(CHANGES))('refuses %s', (what) => {
    const it = scene();
    const { world, directory, file } = it;
    const held = world.hold(file, { directory, name: 'f' });
    world.unlink({ directory, name: 'f' }, 'file');
    const { engine } = world.rig;
    const mutation = (CHANGES[what] as Change)(held.id, engine.live.id);
    let code: string | undefined;
    try {
      world.run(engine.apply(mutation));
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe('ENOENT');
    held.holds--;
    it.check();
  });
});

describe('an inode that was removed while it was open', () => {
  it('can be read and written until it is closed, then its space comes back', () => {
    const it = scene();
    const { world, directory, file } = it;
    world.settle();
    world.unlink({ directory, name: 'f' }, 'file');
    world.settle();
    const { free } = world.rig.engine.store.groups;
    const again = it.makeFile(directory, 'f', 30000);
    world.open({ directory, name: 'f' });
    world.unlink({ directory, name: 'f' }, 'file');
    world.write(again, undefined, 20000, new Uint8Array(40000).fill(3));
    it.check();
    world.truncate(again, undefined, 100);
    it.check();
    world.close(again);
    world.settle();
    expect(world.rig.engine.store.groups.free).toBe(free);
    expect(file.opens).toBe(0);
  });

  it('is freed by the next mount if the close never comes', () => {
    const it = scene();
    const { world, directory } = it;
    world.open({ directory, name: 'f' });
    world.unlink({ directory, name: 'f' }, 'file');
    world.commit();
    expect(world.rig.engine.orphans.size).toBe(1);
    it.checkTwice();
    expect(world.rig.engine.orphans.size).toBe(0);
  });

  // A file that was open in a read-only snapshot kept the snapshot from being removed: its name
  // would have had to go first, and no name may go there.
  it('survives the removal of a tree around it, a read-only one too', () => {
    const it = scene();
    const { world, root, snapshots, directory } = it;
    world.clone('root', { directory: snapshots, name: 's' }, true);
    const inside = it.at(it.at(snapshots, 's'), 'd');
    world.open({ directory: inside, name: 'f' });
    world.open({ directory, name: 'f' });
    const open = [it.at(inside, 'f'), it.at(directory, 'f')];
    world.unlink({ directory: snapshots, name: 's' }, 'tree');
    world.unlink({ directory: root, name: 'd' }, 'tree');
    it.check();
    for (const inode of open) world.close(inode);
    it.checkTwice();
  });

  it('keeps what no commit has seen when its tree goes, open directories and all', () => {
    const it = scene();
    const { world, root, directory, file } = it;
    world.open({ directory, name: 'f' });
    world.open({ directory: root, name: 'd' });
    it.write({ directory, name: 'f' }, 0, 12345);
    world.unlink({ directory: root, name: 'd' }, 'tree');
    world.write(file, undefined, 5000, BYTES);
    it.check();
    world.close(file);
    world.close(directory);
    it.checkTwice();
  });

  it('has one name less at a time if it has several', () => {
    const it = scene();
    const { world, root, directory, file } = it;
    world.link({ directory, name: 'f' }, { directory: root, name: 'g' });
    world.open({ directory, name: 'f' });
    world.unlink({ directory, name: 'f' }, 'file');
    world.write(file, undefined, 0, BYTES);
    it.check();
    world.unlink({ directory: root, name: 'g' }, 'file');
    world.write(file, undefined, 100, BYTES);
    it.check();
    world.close(file);
    it.checkTwice();
  });
});
