/** The log: one flush for whoever asks, a ring that is written over, and what is left out of it. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';
import { volumeOn } from './tape-volume.ts';

/** What a mount of the image shows: the names in its root. */
function namesLeft(tape: TapeDevice): string[] {
  using volume = Volume.openSync(MemoryDevice.from(tape.image()), COMMON);
  return (volume.fs.readdirSync('/') as string[]).sort();
}

describe('fsync', () => {
  // 9 blocks: more than the log takes.
  it.each([
    { blocks: 1, kinds: ['write', 'flush'] },
    { blocks: 8, kinds: ['write', 'flush'] },
    { blocks: 9, kinds: ['write', 'write', 'flush'] },
  ])('is one flush, and one write if the log takes its $blocks blocks', ({ blocks, kinds }) => {
    const { tape, volume } = volumeOn({ logBlocks: 128 });
    const fd = volume.fs.openSync('/f', 'w');
    volume.fs.writeSync(fd, Buffer.alloc(blocks * BLOCK_SIZE, 7));
    volume.fs.writeFileSync('/other', Buffer.alloc(MIB));
    volume.fs.fsyncSync(fd);
    expect(tape.calls.map(({ kind }) => kind)).toEqual(kinds);
    expect(namesLeft(tape)).toEqual(['f', 'other']);
  });

  it('has nothing to do where nothing was done', () => {
    const { tape, volume } = volumeOn();
    const fd = volume.fs.openSync('/f', 'w');
    volume.fs.fsyncSync(fd);
    tape.rewind();
    volume.fs.fsyncSync(fd);
    volume.fs.fdatasyncSync(fd);
    expect(tape.calls).toEqual([]);
  });

  it('of a directory makes its names durable', () => {
    const { tape, volume } = volumeOn();
    volume.fs.mkdirSync('/d');
    const fd = volume.fs.openSync('/', 'r');
    volume.fs.fsyncSync(fd);
    expect(tape.flushes).toBe(1);
    expect(namesLeft(tape)).toEqual(['d']);
  });

  it('of many at once shares the flush', async () => {
    const { tape, volume } = volumeOn();
    const { promises } = volume.fs;
    const handles = await Promise.all(
      [...'abcdefgh'].map((name) => promises.open(`/${name}`, 'w')),
    );
    await Promise.all(handles.map((handle) => handle.write('data')));
    await Promise.all(handles.map((handle) => handle.sync()));
    expect(tape.flushes).toBe(1);
    expect(namesLeft(tape)).toHaveLength(8);
  });

  it('O_SYNC and O_DSYNC: each write is durable when it returns', () => {
    for (const flags of ['as', 'rs+'] as const) {
      const { tape, volume } = volumeOn();
      volume.fs.writeFileSync('/f', '');
      volume.syncSync();
      tape.rewind();
      const fd = volume.fs.openSync('/f', flags);
      volume.fs.writeSync(fd, 'one');
      volume.fs.writeSync(fd, ' two');
      expect([tape.flushes, tape.superblocks]).toEqual([2, 0]);
      using later = Volume.openSync(MemoryDevice.from(tape.image()), COMMON);
      expect(later.fs.readFileSync('/f', 'utf8')).toBe('one two');
    }
  });

  it('is a commit where the log has lost track', () => {
    const { tape, volume } = volumeOn({ size: 32 * MIB });
    const fd = volume.fs.openSync('/f', 'w');
    for (let i = 0; i < 12_000; i++) volume.fs.mkdirSync(`/${i}`);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBeGreaterThan(0);
    expect(namesLeft(tape)).toHaveLength(12_001);
    tape.rewind();
    volume.fs.mkdirSync('/next');
    volume.fs.fsyncSync(fd);
    expect([tape.flushes, tape.superblocks]).toEqual([1, 0]);
    expect(namesLeft(tape)).toHaveLength(12_002);
  });

  // What came after the log was lost was not counted, and took itself for durable.
  it('is a commit too if the log was lost before anything else was done', () => {
    const { tape, volume } = volumeOn();
    const fd = volume.fs.openSync('/f', 'w');
    volume.syncSync();
    volume.fs.writeSync(fd, Buffer.alloc(3 * BLOCK_SIZE, 5));
    volume.fs.ftruncateSync(fd, 5 * BLOCK_SIZE);
    volume.fs.renameSync('/f', '/g');
    volume.fs.fsyncSync(fd);
    using later = Volume.openSync(MemoryDevice.from(tape.image()), COMMON);
    const bytes = later.fs.readFileSync('/g') as Uint8Array;
    expect([bytes.length, bytes[0], bytes.at(-1)]).toEqual([5 * BLOCK_SIZE, 5, 0]);
  });

  it('makes durable what was cloned from a file without names', () => {
    const { tape, volume } = volumeOn();
    volume.fs.writeFileSync('/a', Buffer.alloc(8192, 1));
    const gone = volume.fs.openSync('/a', 'r+');
    volume.fs.unlinkSync('/a');
    volume.syncSync();
    const fd = volume.fs.openSync('/b', 'w');
    volume.fs.writeSync(gone, Buffer.alloc(8192, 2));
    volume.cloneRangeSync(gone, fd);
    volume.fs.fsyncSync(fd);
    using later = Volume.openSync(MemoryDevice.from(tape.image()), COMMON);
    expect((later.fs.readFileSync('/b') as Uint8Array).every((byte) => byte === 2)).toBe(true);
  });
});

describe('a mount after a crash', () => {
  // Data in inodes, replayed, was dirty on a volume that nobody may write to.
  it('that is read-only shows what the log has, and writes nothing, whatever it is asked', () => {
    const { tape, volume } = volumeOn();
    volume.fs.writeFileSync('/small', 'in the inode');
    volume.fs.writeFileSync('/large', Buffer.alloc(3 * MIB, 9));
    for (const name of ['/small', '/large']) {
      const fd = volume.fs.openSync(name, 'r+');
      volume.fs.fsyncSync(fd);
    }
    volume.fs.truncateSync('/large', 2 * MIB);
    volume.fs.fsyncSync(volume.fs.openSync('/large', 'r'));
    const after = new TapeDevice(tape.image());
    const options = { ...COMMON, cacheBytes: 4 * MIB, readOnly: true };
    const readOnly = Volume.openSync(after, options);
    const fd = readOnly.fs.openSync('/small', 'r');
    readOnly.fs.fsyncSync(fd);
    readOnly.syncSync();
    expect(readOnly.fs.readFileSync('/small', 'utf8')).toBe('in the inode');
    expect((readOnly.fs.readFileSync('/large') as Uint8Array).length).toBe(2 * MIB);
    expect(() => readOnly.fs.mkdirSync('/d')).toThrow(expect.objectContaining({ code: 'EROFS' }));
    readOnly.syncSync();
    const found = readOnly.spaceSync('/');
    const written = Volume.openSync(MemoryDevice.from(tape.image()), COMMON).spaceSync('/');
    expect(found).toEqual(written);
    expect(readOnly.extentsSync('/large')[0]).toMatchObject({ offset: 0, type: 'data' });
    readOnly.closeSync();
    expect(after.calls).toEqual([]);
  });

  it('ends on a device that keeps nothing, and says so', () => {
    const { tape, volume } = volumeOn();
    const fd = volume.fs.openSync('/f', 'w');
    volume.fs.fsyncSync(fd);
    const image = tape.image();
    const liar = MemoryDevice.from(image);
    liar.write = liar.writev = () => undefined;
    expect(() => Volume.openSync(liar, COMMON)).toThrow(
      expect.objectContaining({ code: 'EIO', message: expect.stringContaining('has not kept') }),
    );
    using whole = Volume.openSync(MemoryDevice.from(image), COMMON);
    expect(whole.fs.readdirSync('/')).toEqual(['f']);
  });
});

/** Does something, so that frames are of all sizes; everything is durable afterwards. */
function work(volume: Volume, random: Random, count: number): void {
  const { fs } = volume;
  const made = random.below(random.pick([2, 20, 300]));
  for (let i = 0; i < made; i++) {
    const name = `${count} ${i}`.padEnd(random.between(8, 250), '-');
    if (random.chance(1 / 2)) fs.mkdirSync(`/${name}`);
    else fs.writeFileSync(`/${name}`, random.bytes(random.between(0, 9000)));
  }
  if (random.chance(1 / 20)) volume.syncSync();
  const fd = fs.openSync(`/${count}`, 'w');
  fs.writeSync(fd, random.bytes(random.between(1, 9000)));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

seeded(
  'a ring of any size is written over, and read from anywhere in it',
  { count: 6 },
  (random) => {
    const logBlocks = random.pick([2, 3, 5, 16, 40, 300, 700]);
    const tape = new TapeDevice(new Uint8Array(24 * MIB));
    const volume = Volume.openSync(tape, { ...COMMON, create: true, logBlocks });
    for (let count = 0; count < 25; count++) {
      work(volume, random, count);
      const wanted = (volume.fs.readdirSync('/') as string[]).sort();
      tape.calls = [];
      expect(namesLeft(tape), `after ${count}, ${logBlocks} blocks`).toEqual(wanted);
    }
  },
);
