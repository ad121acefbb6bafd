/**
 * Files that take the place of others, or of what they were, and that nobody has synced. A log that
 * has the new name, or the empty file, has the data too: nobody finds neither the old nor the new.
 */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { lookup } from '../../src/volume/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { TapeDevice } from '../store/tape.ts';
import { volumeOn } from './tape-volume.ts';

function fileLeft(tape: TapeDevice, path: string): string {
  using volume = Volume.openSync(MemoryDevice.from(tape.image()), COMMON);
  return volume.fs.readFileSync(path, 'utf8');
}

const REPLACE: Record<string, (fs: Volume['fs'], text: string) => void> = {
  'by a rename': (fs, text) => {
    fs.writeFileSync('/new', text);
    fs.renameSync('/new', '/f');
  },
  'by a rename, and written to afterwards': (fs, text) => {
    const fd = fs.openSync('/new', 'w');
    fs.renameSync('/new', '/f');
    fs.writeSync(fd, text);
    fs.closeSync(fd);
  },
  'where it is': (fs, text) => fs.writeFileSync('/f', text),
};

describe.each(Object.entries(REPLACE))('a file that is replaced %s', (_, replace) => {
  it.each([3, 700, 5000, 300_000])('is durable with what is synced next, all %i bytes', (size) => {
    const { tape, volume } = volumeOn({ logBlocks: 128 });
    const { fs } = volume;
    const old = 'o'.repeat(size);
    fs.writeFileSync('/f', old);
    volume.syncSync();
    const text = 'n'.repeat(size);
    replace(fs, text);
    expect(fileLeft(tape, '/f')).toBe(old);
    const fd = fs.openSync('/other', 'w');
    fs.fsyncSync(fd);
    expect(fileLeft(tape, '/f')).toBe(text);
    // A fsync that finds nothing of the kind has the one file to write.
    tape.rewind();
    fs.writeFileSync('/mere', Buffer.alloc(300_000));
    fs.writeSync(fd, 'x');
    fs.fsyncSync(fd);
    expect(tape.calls.map(({ kind }) => kind)).toEqual(['write', 'flush']);
  });
});

it('what replaces a file is durable with what is synced next, though out of memory', async () => {
  const tape = new TapeDevice(new Uint8Array(8 * MIB));
  const driver = new Driver(tape, { pause: () => Promise.resolve() });
  const volume = await OpenVolume.on(tape, driver, { ...COMMON, create: true, logBlocks: 128 });
  const { fs, inside: engine } = volume;
  fs.writeFileSync('/f', 'o'.repeat(300_000));
  volume.syncSync();
  const text = 'n'.repeat(300_000);
  fs.writeFileSync('/f', text);
  while (engine.pool.dirtyBlocks > 0) driver.run(engine.pool.relief());
  const vnode = driver.run(lookup(engine, engine.live, 'f'));
  vnode.holds--;
  engine.inodes.push();
  engine.table.drop(vnode);
  fs.fsyncSync(fs.openSync('/other', 'w'));
  expect(fileLeft(tape, '/f')).toBe(text);
});
