/** What a replay once had no room for, though it had been done: each test names the fault. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, KIB, MIB, type Operation, type PlainIo } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { slotBlock } from '../../src/format/index.ts';
import { Writeback } from '../../src/iomap/index.ts';
import { Fsync } from '../../src/volume/fsync.ts';
import type { Vnode } from '../../src/volume/vnode.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { TapeDevice } from '../store/tape.ts';
import { afterCrash, volumeOn } from './tape-volume.ts';

function countNames({ fs }: Volume): number {
  return fs.readdirSync('/').length;
}

describe('a replay needs no more room than there was', () => {
  // Each was dirty till the end of the replay, with blocks promised to it.
  it('for files that are kept in their inodes', () => {
    const { tape, volume } = volumeOn({ size: 4 * MIB, logBlocks: 300 });
    for (let i = 0; i < 240; i++) {
      const fd = volume.fs.openSync(`/${i}`, 'w');
      volume.fs.writeSync(fd, 'few');
      volume.fs.fsyncSync(fd);
      volume.fs.closeSync(fd);
    }
    expect(tape.superblocks).toBe(0);
    expect(afterCrash(tape, countNames)).toBe(240);
  });

  // Their nodes waited in the queue, where a volume in use had given them back.
  it('for trees that were made and removed', () => {
    const { tape, volume } = volumeOn({ size: 2 * MIB, logBlocks: 200 });
    const fd = volume.fs.openSync('/f', 'w');
    volume.syncSync();
    tape.rewind();
    for (let round = 0; round < 14; round++) {
      volume.fs.mkdirSync('/d');
      for (let i = 0; i < 200; i++) volume.fs.mkdirSync(`/d/${i}`.padEnd(140, '-'));
      volume.fs.fsyncSync(fd);
      volume.fs.rmSync('/d', { recursive: true });
      volume.reclaimSync();
    }
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    expect(afterCrash(tape, countNames)).toBe(1);
  });

  // Data that came when the nodes were gone had its blocks taken before they were made.
  it('for names that were gone before data took their place', () => {
    const { tape, volume } = volumeOn({ size: 4 * MIB, logBlocks: 200 });
    const { fs } = volume;
    fs.writeFileSync('/full', Buffer.alloc(1_300_000, 1));
    const fd = fs.openSync('/f', 'w');
    for (let i = 0; i < 4; i++) volume.syncSync();
    tape.rewind();
    fs.mkdirSync('/d');
    for (let i = 0; i < 2100; i++) {
      fs.mkdirSync(`/d/${i}`.padEnd(140, '-'));
      if (i % 500 === 0) fs.fsyncSync(fd);
    }
    fs.fsyncSync(fd);
    fs.rmSync('/d', { recursive: true });
    volume.reclaimSync();
    for (let i = 0; i < 200; i++) fs.writeSync(fd, Buffer.alloc(BLOCK_SIZE, 2));
    const before = tape.superblocks;
    fs.fsyncSync(fd);
    expect([before, tape.superblocks]).toEqual([0, 2]);
    expect(afterCrash(tape, (later) => later.fs.statSync('/f').size)).toBe(200 * BLOCK_SIZE);
  });

  // 8: nothing could be written or removed any more; 9: the superblock was none that mounts.
  it.each([8, 9])('for %i MiB of 16, reserved again after they were deleted', (megabytes) => {
    const { tape, volume } = volumeOn({ size: 16 * MIB, logBlocks: 64 });
    const [first, again] = ['/a', '/b'].map((path) => volume.fs.openSync(path, 'w'));
    volume.allocateSync(first as number, 0, megabytes * MIB);
    volume.fs.closeSync(first as number);
    for (let i = 0; i < 4; i++) volume.syncSync();
    tape.rewind();
    volume.fs.unlinkSync('/a');
    volume.allocateSync(again as number, 0, megabytes * MIB);
    volume.fs.fsyncSync(again as number);
    expect(tape.superblocks).toBe(0);
    afterCrash(tape, (later) => {
      later.fs.writeFileSync('/c', Buffer.alloc(MIB));
      later.fs.unlinkSync('/b');
      expect(countNames(later)).toBe(1);
    });
  });
});

// The file had only been so long with data that the log does not know: nothing was cut in a replay.
it('a replay gives back what was reserved behind the end that a file was cut to', async () => {
  const tape = new TapeDevice(new Uint8Array(16 * MIB));
  const volume = await openOn(tape, true);
  const { fs } = volume;
  const [f, g] = ['/f', '/g'].map((path) => fs.openSync(path, 'w')) as [number, number];
  volume.allocateSync(f, 0, 8 * MIB, { keepSize: true });
  for (let i = 0; i < 3; i++) volume.syncSync();
  tape.rewind();
  fs.writeSync(f, Buffer.alloc(64 * KIB, 2));
  fs.ftruncateSync(f, 32 * KIB);
  volume.reclaimSync();
  for (let at = 0; at < 9 * MIB; at += MIB) fs.writeSync(g, Buffer.alloc(MIB, 3));
  fs.fsyncSync(g);
  expect(tape.superblocks).toBe(0);
  afterCrash(tape, (later) => {
    later.fs.writeFileSync('/h', Buffer.alloc(MIB, 4));
    later.fs.unlinkSync('/g');
    expect(countNames(later)).toBe(2);
  });
});

/** Does what an operation needs, on a device that does everything at once. */
function satisfy({ plan }: Operation<unknown>, tape: TapeDevice): void {
  for (const io of plan.io as PlainIo[]) {
    if (io.submitted) continue;
    io.submitted = true;
    if (io.kind === 'write') tape.writev(io.position, io.buffers);
    else if (io.kind === 'flush') tape.flush();
    io.finish(undefined);
  }
  for (const other of plan.after) while (!other.step()) satisfy(other, tape);
}

// The size that the first fsync has told cut off, in a replay, what was behind it already.
it('a replay keeps data that has its place before an fsync tells a smaller size', async () => {
  const tape = new TapeDevice(new Uint8Array(16 * MIB));
  const volume = await openOn(tape, true);
  const { fs, inside } = volume;
  const fd = fs.openSync('/f', 'w');
  volume.syncSync();
  tape.rewind();
  const length = 64 * KIB;
  const append = (byte: number): number => fs.writeSync(fd, Buffer.alloc(length, byte));
  append(1);
  const vnode = [...inside.table.all].find(({ name }) => name === 'f') as Vnode;
  const sync = new Fsync(inside, vnode);
  expect(sync.step()).toBe(false);
  while (sync.plan.after.length === 0) sync.step();
  const first = sync.plan.after[0] as Operation<unknown>;
  expect(first.step()).toBe(false);
  append(2);
  satisfy(first, tape);
  while (!first.step()) satisfy(first, tape);
  const second = new Writeback(inside.pool);
  expect(second.step()).toBe(false);
  append(3);
  satisfy(second, tape);
  while (!second.step()) satisfy(second, tape);
  while (!sync.step()) satisfy(sync, tape);
  fs.fsyncSync(fd);
  expect(tape.superblocks).toBe(0);
  const wanted = Buffer.concat([1, 2, 3].map((byte) => Buffer.alloc(length, byte)));
  expect(afterCrash(tape, (later) => wanted.equals(later.fs.readFileSync('/f')))).toBe(true);
});

// What was behind the end of the file in the log was not counted.
it('a replay counts the blocks of a file with a hole before its end is told', async () => {
  const tape = new TapeDevice(new Uint8Array(16 * MIB));
  const volume = await openOn(tape, true);
  const { fs, inside } = volume;
  const fd = fs.openSync('/f', 'w');
  volume.syncSync();
  tape.rewind();
  fs.writeSync(fd, Buffer.alloc(192 * KIB, 1));
  const part = new Writeback(inside.pool, { blocks: 32 });
  while (!part.step()) satisfy(part, tape);
  volume.punchSync(fd, 0, 32 * KIB);
  fs.fsyncSync(fd);
  expect(tape.superblocks).toBe(0);
  const { blocks } = fs.fstatSync(fd);
  expect(afterCrash(tape, (later) => later.fs.statSync('/f').blocks)).toBe(blocks);
});

// Frames between the two roots were passed over, and those after the newer one replayed.
it('a replay from the root before a damaged one begins with the frames that came after it', () => {
  const { tape, volume } = volumeOn();
  const fd = volume.fs.openSync('/', 'r');
  volume.fs.mkdirSync('/a');
  for (const path of ['/b', '/b/c']) {
    volume.syncSync();
    volume.fs.mkdirSync(path);
    volume.fs.fsyncSync(fd);
  }
  const editor = new ImageEditor(tape.image());
  const newest = slotBlock(editor.words, editor.metaRoot);
  for (const block of [newest, newest + 1]) editor.block(block).fill(0);
  const { fs } = Volume.openSync(editor.device(), COMMON);
  expect((fs.readdirSync('/') as string[]).sort()).toEqual(['a', 'b']);
  expect(fs.readdirSync('/b')).toEqual(['c']);
});

async function openOn(device: Device, create: boolean): Promise<OpenVolume> {
  const driver = new Driver(device, { pause: async () => {} });
  return await OpenVolume.on(device, driver, { ...COMMON, cacheBytes: 4 * MIB, create });
}

// What was behind the end of the file was cut off, reserved or not.
it('a replay keeps what was reserved behind data that it takes away', async () => {
  const tape = new TapeDevice(new Uint8Array(32 * MIB));
  const volume = await openOn(tape, true);
  const { fs } = volume;
  const [f, g] = ['/f', '/g'].map((path) => fs.openSync(path, 'w')) as [number, number];
  volume.allocateSync(f, 0, 12 * MIB, { keepSize: true });
  for (let i = 0; i < 3; i++) volume.syncSync();
  tape.rewind();
  for (let i = 0; i < 5; i++) fs.writeSync(f, Buffer.alloc(MIB / 2, 2));
  const { space } = volume.inside.store;
  const reserved = space.unwritten;
  fs.fsyncSync(g);
  expect(tape.superblocks).toBe(0);
  const device = MemoryDevice.from(tape.image());
  const later = await openOn(device, false);
  later.reclaimSync();
  expect(later.fs.statSync('/f').size).toBe(0);
  expect(later.inside.store.space.unwritten).toBeGreaterThan(0.9 * reserved);
  later.fs.writeFileSync('/f', Buffer.alloc(12 * MIB, 3), { flag: 'r+' });
  later.closeSync();
  expect(checkSync(device).issues).toEqual([]);
});

describe('a replay needs no more memory than it gets', () => {
  it.each([15, 30])('for a long list of attributes that was changed %i times', async (times) => {
    const tape = new TapeDevice(new Uint8Array(64 * MIB));
    const driver = new Driver(tape, { pause: async () => {} });
    const options = { ...COMMON, create: true, logBlocks: 64 };
    const volume = await OpenVolume.on(tape, driver, options);
    const { inside } = volume;
    const fd = volume.fs.openSync('/f', 'w');
    const target = [...inside.table.all].find(({ name }) => name === 'f')?.id as number;
    const set = (name: string, value: Uint8Array): void => {
      const time = { sec: 1, nsec: 0 };
      driver.run(inside.apply({ type: 'setxattr', target, name, value, flags: 0, time }));
    };
    for (let i = 0; i < 15; i++) set(`user.${i}`, new Uint8Array(65_000));
    for (let i = 0; i < 3; i++) volume.syncSync();
    tape.rewind();
    for (let i = 0; i < times; i++) set('user.short', Uint8Array.of(i));
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks > 0).toBe(times > 20);
    expect(afterCrash(tape, countNames)).toBe(1);
  });
});
