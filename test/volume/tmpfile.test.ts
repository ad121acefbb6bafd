/** Files without names: made so, given a name, or gone. */
import { describe, expect, it } from 'vitest';
import { constants, Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { COMMON } from '../api/bench.ts';
import { afterCrash, volumeOn } from '../crash/tape-volume.ts';
import { Scene } from './scene.ts';

const { O_TMPFILE, O_RDWR, O_RDONLY, O_EXCL, O_CREAT } = constants;
const BYTES = Buffer.alloc(5 * BLOCK_SIZE + 100, 7);

describe('a file without a name', () => {
  it('gets its first name by a link, and its second', () => {
    const scene = new Scene();
    const { world, root } = scene;
    const directory = scene.makeDirectory(root, 'd');
    world.tmpfile(root);
    const [file] = world.openInodes;
    if (file === undefined) throw new Error('Nothing is open');
    world.write(file, undefined, 0, BYTES);
    scene.check();
    world.name(file, undefined, { directory, name: 'first' });
    expect(file.nlink).toBe(1);
    scene.check();
    world.name(file, undefined, { directory: root, name: 'second' });
    world.close(file);
    scene.checkTwice();
  });

  it('does not get one again when its last name has gone', () => {
    const scene = new Scene();
    const { world, root: directory } = scene;
    world.tmpfile(directory);
    const [file] = world.openInodes;
    if (file === undefined) throw new Error('Nothing is open');
    const place = { directory, name: 'f' };
    world.name(file, undefined, place);
    world.unlink(place, 'file');
    // The model knows that this is ENOENT.
    world.name(file, undefined, place);
    expect(directory.entries.size).toBe(0);
    world.close(file);
    scene.checkTwice();
  });

  it('stays in the clone in which it was made, whatever is in memory', () => {
    const scene = new Scene({ vnodeLimit: 1 });
    const { world, root } = scene;
    scene.makeFile(scene.makeDirectory(root, 'd'), 'below');
    world.clone({ directory: root, name: 'd' }, { directory: root, name: 'e' });
    const clone = scene.at(root, 'e');
    for (let i = 0; i < 2; i++) world.tmpfile(clone);
    scene.cool();
    for (let i = 0; i < 40; i++) scene.makeFile(root, `other ${i}`);
    const [one, other] = world.openInodes;
    if (one === undefined || other === undefined) throw new Error('Nothing is open');
    world.name(one, undefined, { directory: root, name: 'one' });
    expect(root.entries.has('one')).toBe(false);
    world.name(other, undefined, { directory: clone, name: 'other' });
    expect(clone.entries.has('other')).toBe(true);
    world.close(one);
    scene.checkTwice();
  });
});

describe('O_TMPFILE', () => {
  it('asks for a file that is written, in a directory', () => {
    const { volume } = volumeOn();
    volume.fs.writeFileSync('/f', '');
    const code = (path: string, flags: number): string => {
      try {
        volume.fs.closeSync(volume.fs.openSync(path, flags));
        return 'ok';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect([
      code('/', O_TMPFILE | O_RDWR),
      code('/', O_TMPFILE | O_RDONLY),
      code('/', O_TMPFILE | O_RDWR | O_CREAT),
      code('/f', O_TMPFILE | O_RDWR),
      code('/none', O_TMPFILE | O_RDWR),
    ]).toEqual(['ok', 'EINVAL', 'EINVAL', 'ENOTDIR', 'ENOENT']);
    expect(volume.fs.readdirSync('/')).toEqual(['f']);
  });

  it('with O_EXCL makes one that never gets a name', () => {
    const { volume } = volumeOn();
    const fd = volume.fs.openSync('/', O_TMPFILE | O_RDWR | O_EXCL);
    expect(volume.fs.fstatSync(fd).nlink).toBe(0);
    expect(() => volume.linkFileSync(fd, '/f')).toThrow('ENOENT: no such file or directory, link');
    volume.fs.closeSync(fd);
  });

  it('gives its space back when it is closed, and after a crash', () => {
    const { tape, volume } = volumeOn({ size: 8 * MIB });
    const free = (of: Volume): number => {
      of.reclaimSync();
      for (let i = 0; i < 4; i++) of.syncSync();
      return of.fs.statfsSync('/').bfree;
    };
    const before = free(volume);
    const closed = volume.fs.openSync('/', O_TMPFILE | O_RDWR);
    volume.fs.writeSync(closed, Buffer.alloc(MIB, 1));
    volume.fs.closeSync(closed);
    expect(free(volume)).toBe(before);
    const left = volume.fs.openSync('/', O_TMPFILE | O_RDWR);
    volume.fs.writeSync(left, Buffer.alloc(MIB, 1));
    volume.fs.fsyncSync(left);
    expect(afterCrash(tape, free)).toBe(before);
    volume.syncSync();
    expect(free(volume)).toBeLessThan(before - 200);
    expect(afterCrash(tape, free)).toBe(before);
  });

  it('is whole after a crash if it was named and both were made durable, by the log', () => {
    const { tape, volume } = volumeOn({ logBlocks: 64 });
    volume.fs.mkdirSync('/d');
    volume.syncSync();
    const directory = volume.fs.openSync('/d', 'r');
    const fd = volume.fs.openSync('/d', O_TMPFILE | O_RDWR);
    volume.fs.writeSync(fd, BYTES);
    tape.rewind();
    volume.fs.fsyncSync(fd);
    volume.linkFileSync(fd, '/d/whole');
    expect(afterCrash(tape, ({ fs }) => fs.readdirSync('/d'))).toEqual([]);
    volume.fs.fsyncSync(directory);
    expect([tape.flushes, tape.superblocks]).toEqual([2, 0]);
    const found = afterCrash(tape, ({ fs }) => fs.readFileSync('/d/whole') as Buffer);
    expect(BYTES.equals(found)).toBe(true);
  });

  // The log of this group has not introduced it: only a commit can tell whose name it is.
  it('is whole too if it was made before the last commit', () => {
    const { tape, volume } = volumeOn({ logBlocks: 64 });
    const fd = volume.fs.openSync('/', O_TMPFILE | O_RDWR);
    volume.fs.writeSync(fd, BYTES);
    volume.syncSync();
    tape.rewind();
    volume.linkFileSync(fd, '/whole');
    volume.fs.writeSync(fd, 'more');
    volume.fs.fsyncSync(fd);
    const found = afterCrash(tape, ({ fs }) => fs.readFileSync('/whole') as Buffer);
    expect(found.equals(Buffer.concat([BYTES, Buffer.from('more')]))).toBe(true);
  });

  it('leaves nothing for the verifier while it is open', () => {
    const { tape, volume } = volumeOn();
    volume.fs.openSync('/', O_TMPFILE | O_RDWR);
    volume.syncSync();
    const device = MemoryDevice.from(tape.image());
    expect(checkSync(device).issues).toEqual([]);
    using later = Volume.openSync(device, COMMON);
    later.syncSync();
    expect(checkSync(device).issues).toEqual([]);
  });
});
