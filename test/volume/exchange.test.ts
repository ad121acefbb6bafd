/** Names that change places, and renames that leave a whiteout. */
import { describe, expect, it } from 'vitest';
import { InodeKind, type Mutation, RenameFlag } from '../../src/format/index.ts';
import { Fsync, lookup } from '../../src/volume/index.ts';
import { compare } from './compare.ts';
import { mount } from './rig.ts';
import { Scene } from './scene.ts';
import { seeded } from './seeds.ts';
import { World } from './world.ts';

describe('exchange', () => {
  it('of a file and a directory moves the link count from one parent to the other', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const [left, right] = [scene.makeDirectory(root, 'left'), scene.makeDirectory(root, 'right')];
    scene.makeFile(left, 'a', 20_000);
    scene.makeFile(scene.makeDirectory(right, 'b'), 'below', 5000);
    world.exchange({ directory: left, name: 'a' }, { directory: right, name: 'b' });
    expect([left.nlink, right.nlink]).toEqual([3, 2]);
    scene.checkTwice();
    world.exchange({ directory: left, name: 'a' }, { directory: left, name: 'a' });
    world.exchange({ directory: right, name: 'b' }, { directory: left, name: 'a' });
    expect([left.nlink, right.nlink]).toEqual([2, 3]);
    scene.checkTwice();
  });

  it('needs both names, and no directory goes into itself', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const outer = scene.makeDirectory(root, 'outer');
    scene.makeFile(outer, 'f');
    const [f, missing] = [
      { directory: outer, name: 'f' },
      { directory: root, name: 'missing' },
    ];
    const top = { directory: root, name: 'outer' };
    // The model knows which of them fail, and how.
    for (const [left, right] of [
      [f, missing],
      [missing, f],
      [f, top],
      [top, f],
    ] as const) {
      world.exchange(left, right);
    }
    expect([...root.entries.keys(), ...outer.entries.keys()]).toEqual(['outer', 'f']);
    scene.checkTwice();
  });

  it('between clones takes realms along, and linked files nowhere', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const d = scene.makeDirectory(root, 'd');
    scene.makeFile(scene.makeDirectory(d, 'sub'), 'f', 9000);
    scene.makeFile(d, 'g', 300);
    world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    const e = scene.at(root, 'e');
    world.exchange({ directory: d, name: 'sub' }, { directory: e, name: 'sub' });
    world.exchange({ directory: d, name: 'g' }, { directory: e, name: 'sub' });
    scene.checkTwice();
    world.link({ directory: d, name: 'sub' }, { directory: d, name: 'other' });
    world.link({ directory: e, name: 'g' }, { directory: e, name: 'other' });
    world.exchange({ directory: d, name: 'other' }, { directory: e, name: 'other' });
    world.exchange({ directory: d, name: 'other' }, { directory: d, name: 'g' });
    scene.checkTwice();
  });

  it('keeps what is open open, and what is dirty', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const files = ['a', 'b'].map((name) => scene.makeFile(directory, name, 70_000));
    for (const name of ['a', 'b']) world.open({ directory, name });
    world.exchange({ directory, name: 'a' }, { directory, name: 'b' });
    for (const file of files) world.write(file, undefined, 4000, Uint8Array.of(9));
    scene.check();
    for (const file of files) world.close(file);
    scene.checkTwice();
  });

  it('is refused with flags that contradict it', () => {
    const { world, root } = new Scene();
    const parent = world.hold(root);
    const flags = RenameFlag.EXCHANGE | RenameFlag.NO_REPLACE;
    const names = { parent: parent.id, name: 'a', newParent: parent.id, newName: 'b' };
    const record: Mutation = { type: 'rename', ...names, flags, time: { sec: 1, nsec: 0 } };
    expect(() => world.rig.engine.apply(record)).toThrow('flags 3 contradict it');
  });

  // What a leaf names may be copied with the leaf (T5): so leaves are made changeable first.
  it('between clones whose counts are at their limit moves the blocks of its own side', () => {
    const scene = new Scene({ countCap: 1 });
    const { world, root } = scene;
    const d = scene.makeDirectory(root, 'd');
    scene.makeFile(d, 'a', 9000);
    scene.makeFile(scene.makeDirectory(d, 'b'), 'below', 9000);
    for (const name of ['k', 'l', 'm', 'n']) {
      world.clone({ directory: root, name: 'd' }, { directory: root, name });
    }
    for (const [one, other] of ['kl', 'ml', 'nd', 'kk'] as const) {
      scene.cool();
      const [left, right] = [scene.at(root, one as string), scene.at(root, other as string)];
      world.exchange({ directory: left, name: 'a' }, { directory: right, name: 'b' });
      scene.check();
    }
    scene.checkTwice();
  });

  // With long names a leaf has two or three records: nearly every change splits or joins some.
  seeded('finds everything it needs in small leaves', { count: 10 }, (random) => {
    const scene = new Scene({ countCap: random.pick([1, 4]), vnodeLimit: random.pick([1, 256]) });
    const { world, root } = scene;
    world.before = () => scene.cool();
    const directories = [root, scene.makeDirectory(root, 'd'), scene.makeDirectory(root, 'e')];
    const names = Array.from({ length: 40 }, (_, i) => `n${i}`.padEnd(random.pick([3, 250]), '.'));
    for (let i = 0; i < 150; i++) {
      const place = { directory: random.pick(directories), name: random.pick(names) };
      const other = { directory: random.pick(directories), name: random.pick(names) };
      const draw = random.below(5);
      const target = 't'.repeat(random.pick([1, 700, 768]));
      if (draw === 0) world.create(place, random.pick(['symlink', 'directory']), { target });
      else if (draw === 1 && i > 60) world.unlink(place, 'file');
      else if (draw === 2) world.whiteout(place, other);
      else world.exchange(place, other);
      if (i === 70) world.clone({ directory: root, name: 'd' }, { directory: root, name: 'k' });
    }
    scene.checkTwice();
  });
});

describe('a whiteout', () => {
  it('is left by a rename, in place of a file, a directory, one of two names', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    for (const name of ['a', 'b', 'c']) scene.makeFile(directory, name, 20_000);
    scene.makeDirectory(directory, 'd');
    world.link({ directory, name: 'c' }, { directory, name: 'e' });
    world.whiteout({ directory, name: 'a' }, { directory, name: 'b' });
    world.whiteout({ directory, name: 'd' }, { directory, name: 'moved' });
    world.whiteout({ directory, name: 'c' }, { directory, name: 'f' });
    const kinds = [...directory.entries].map(([name, { kind }]) => `${name} ${kind}`).sort();
    expect(kinds).toEqual([
      'a device',
      'b file',
      'c device',
      'd device',
      'e file',
      'f file',
      'moved directory',
    ]);
    scene.checkTwice();
  });

  it('comes back after a crash with the number that it had', () => {
    const scene = new Scene({ logBlocks: 8 });
    const { world, root: directory } = scene;
    scene.makeFile(directory, 'a', 5000);
    scene.makeFile(directory, 'b');
    world.link({ directory, name: 'b' }, { directory, name: 'c' });
    world.commit();
    const { engine } = world.rig;
    const { txg } = engine.store;
    world.whiteout({ directory, name: 'a' }, { directory, name: 'moved' });
    // Two names of one inode: nothing is done, and the log says so.
    world.whiteout({ directory, name: 'b' }, { directory, name: 'c' });
    world.run(new Fsync(engine, engine.live));
    expect(engine.store.txg).toBe(txg);
    const inodeOf = (rig: typeof world.rig): string => {
      const vnode = rig.driver.run(lookup(rig.engine, rig.engine.live, 'a'));
      vnode.holds--;
      expect([vnode.kind, vnode.rdev, vnode.mode]).toEqual([InodeKind.CHARACTER, 0, 0]);
      return `${vnode.realm.id}:${vnode.ino}`;
    };
    const before = inodeOf(world.rig);
    const again = mount(scene.device, scene.options);
    expect(inodeOf(again)).toBe(before);
    compare(new World(scene.device, scene.options, world.model.copy()));
  });
});
