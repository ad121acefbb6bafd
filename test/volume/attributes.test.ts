/** Attributes: modes, owners, times, and extended attributes in the record and in blocks. */
import { describe, expect, it } from 'vitest';
import { FilesystemError, KIB } from '../../src/base/index.ts';
import { ExtendedFlag } from '../../src/format/index.ts';
import { ReadExtended } from '../../src/volume/index.ts';
import { Scene } from './scene.ts';

const TIME = { sec: 5, nsec: 0 };

/** Sets an extended attribute of the root as the caller asks. */
function set(scene: Scene, name: string, value: Uint8Array | undefined, flags = 0): void {
  const { engine } = scene.world.rig;
  const target = engine.live.id;
  scene.world.run(engine.apply({ type: 'setxattr', target, name, value, flags, time: TIME }));
}

describe('extended attributes', () => {
  it.each([0, 1, 100, 113, 114, 5000, 64 * KIB])('keep %d bytes', (length) => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const file = scene.makeFile(directory, 'f', 9000);
    const place = { directory, name: 'f' };
    world.setExtended(file, place, 'user.a', new Uint8Array(length).fill(7));
    scene.checkTwice();
    world.setExtended(file, place, 'user.b', Uint8Array.of(1));
    world.clone(place, { directory, name: 'g' });
    world.setExtended(file, place, 'user.a', undefined);
    scene.checkTwice();
  });

  it('give back their blocks', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const file = scene.makeFile(directory, 'f');
    const place = { directory, name: 'f' };
    world.settle();
    const { free } = world.rig.engine.store.groups;
    world.setExtended(file, place, 'user.a', new Uint8Array(30000));
    world.settle();
    expect(world.rig.engine.store.groups.free).toBeLessThan(free);
    world.setExtended(file, place, 'user.a', undefined);
    world.settle();
    expect(world.rig.engine.store.groups.free).toBe(free);
  });

  // The slot of the attributes lies behind the slots of the data. A file that grew took it along
  // into its first map node, where it was the fifth block of the file.
  it('stay what they are when the file gets its first map node', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const file = scene.makeFile(directory, 'f', 4 * 4096);
    const place = { directory, name: 'f' };
    world.setExtended(file, place, 'user.a', new Uint8Array(5000).fill(3));
    scene.check();
    scene.write(place, 10 * 4096, 100);
    scene.checkTwice();
    scene.write(place, 4 * 4096, 4096);
    scene.checkTwice();
  });

  it.each([
    ['EEXIST', 'user.there', ExtendedFlag.CREATE, 1],
    ['ENODATA', 'user.missing', ExtendedFlag.REPLACE, 1],
    ['ERANGE', 'n'.repeat(256), 0, 1],
    ['ERANGE', 'user.there', 0, 64 * KIB + 1],
  ])('are refused with %s', (code, name, flags, length) => {
    const scene = new Scene();
    set(scene, 'user.there', Uint8Array.of(1));
    let error: unknown;
    try {
      set(scene, name, new Uint8Array(length), flags);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(FilesystemError);
    expect(error).toMatchObject({ code });
    const { engine } = scene.world.rig;
    expect(scene.world.run(new ReadExtended(engine, engine.live))).toEqual(
      new Map([['user.there', Uint8Array.of(1)]]),
    );
  });
});

describe('modes, owners and times', () => {
  it('change alone, and of a clone apart', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    const file = scene.makeFile(directory, 'f');
    world.clone({ directory, name: 'f' }, { directory, name: 'g' });
    world.setAttributes(file, { directory, name: 'f' }, { mode: 0o4711, uid: 12 });
    scene.checkTwice();
  });
});
