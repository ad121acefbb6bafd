/** Data that the log itself has: each test names what a replay would get wrong. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, KIB, MIB, type Operation } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { Writeback } from '../../src/iomap/index.ts';
import { Random } from '../../src/testing/index.ts';
import { Fsync } from '../../src/volume/fsync.ts';
import type { Vnode } from '../../src/volume/vnode.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { afterCrash, turn } from './tape-volume.ts';

/** A file of `blocks` blocks of ones, committed, on a volume of which the tape has seen nothing. */
async function fileOn(blocks: number, size = 16 * MIB, logBlocks = 256) {
  const tape = new TapeDevice(new Uint8Array(size));
  const driver = new Driver(tape, { pause: async () => {} });
  const volume = await OpenVolume.on(tape, driver, { ...COMMON, logBlocks, create: true });
  const fd = volume.fs.openSync('/f', 'w+');
  volume.fs.writeSync(fd, Buffer.alloc(blocks * BLOCK_SIZE, 1));
  for (let i = 0; i < 3; i++) volume.syncSync();
  tape.rewind();
  const vnode = [...volume.inside.table.all].find(({ name }) => name === 'f') as Vnode;
  const put = (block: number, byte: number, length = BLOCK_SIZE): number =>
    volume.fs.writeSync(fd, Buffer.alloc(length, byte), 0, length, block * BLOCK_SIZE);
  return { tape, volume, fd, vnode, put };
}

/** First byte of each block. */
function firsts(data: Uint8Array): number[] {
  return Array.from({ length: data.length / BLOCK_SIZE }, (_, i) => data[i * BLOCK_SIZE] as number);
}

const read = (volume: Volume): Uint8Array => volume.fs.readFileSync('/f');

describe('data in the log', () => {
  it('is told once, and again when it has changed', async () => {
    const { tape, volume, fd, put } = await fileOn(4);
    put(1, 2);
    volume.fs.fsyncSync(fd);
    volume.fs.fsyncSync(fd);
    expect(tape.flushes).toBe(1);
    put(1, 3, 10);
    volume.fs.fsyncSync(fd);
    put(2, 4);
    volume.fs.fsyncSync(fd);
    const writes = tape.calls.filter(({ kind }) => kind === 'write');
    expect([tape.flushes, writes.length, tape.superblocks]).toEqual([3, 3, 0]);
    const wanted = Buffer.alloc(4 * BLOCK_SIZE, 1);
    wanted.fill(2, BLOCK_SIZE, 2 * BLOCK_SIZE).fill(3, BLOCK_SIZE, BLOCK_SIZE + 10);
    wanted.fill(4, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE);
    expect(afterCrash(tape, (later) => wanted.equals(read(later)))).toBe(true);
  });

  it('gives way to newer data that has its place, and comes over older', async () => {
    const { tape, volume, fd, put } = await fileOn(4);
    put(0, 2);
    volume.fs.fsyncSync(fd);
    put(0, 3);
    put(1, 3);
    volume.runInside(new Writeback(volume.inside.pool));
    put(1, 4);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    expect(firsts(afterCrash(tape, read))).toEqual([3, 4, 1, 1]);
  });

  // The older data was told last, when it had its place.
  it('is not told while older data of the file is in flight', async () => {
    const { tape, volume, vnode, put } = await fileOn(4);
    put(0, 2);
    const older = new Writeback(volume.inside.pool);
    expect(older.step()).toBe(false);
    put(0, 3);
    const sync = new Fsync(volume.inside, vnode);
    expect(sync.step()).toBe(false);
    expect(sync.plan.after[0]).toBeInstanceOf(Writeback);
    finish(older, tape);
    finish(sync, tape);
    expect(firsts(afterCrash(tape, read))).toEqual([3, 1, 1, 1]);
  });

  // Data behind the end that the log knew had its place, and was cleared as if it were a hole.
  it('clears nothing before it in a file that has grown', async () => {
    const { tape, volume, fd, put } = await fileOn(0);
    put(0, 2, 100);
    volume.syncSync();
    tape.rewind();
    put(0, 3);
    put(32, 4, 10);
    volume.runInside(new Writeback(volume.inside.pool, { blocks: 1 }));
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    const data = afterCrash(tape, read);
    expect(data.length).toBe(32 * BLOCK_SIZE + 10);
    expect([data[BLOCK_SIZE - 1], data[BLOCK_SIZE], data.at(-1)]).toEqual([3, 0, 4]);
  });

  it('goes with a file that is cut, and does not come back when it grows', async () => {
    const { tape, volume, fd, put } = await fileOn(4);
    put(3, 2);
    volume.fs.fsyncSync(fd);
    volume.fs.ftruncateSync(fd, 3 * BLOCK_SIZE);
    volume.fs.ftruncateSync(fd, 4 * BLOCK_SIZE);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    expect(firsts(afterCrash(tape, read))).toEqual([1, 1, 1, 0]);
  });

  it('is in a clone that was made of it, and not what came after', async () => {
    const { tape, volume, fd, put } = await fileOn(4);
    put(0, 2);
    volume.fs.fsyncSync(fd);
    volume.cloneSync('/f', '/g');
    put(0, 3);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    const seen = afterCrash(tape, ({ fs }) => [fs.readFileSync('/f')[0], fs.readFileSync('/g')[0]]);
    expect(seen).toEqual([3, 2]);
  });

  it('is on the device, in its place, after a commit', async () => {
    const { tape, volume, fd, put } = await fileOn(4);
    put(0, 2);
    volume.fs.fsyncSync(fd);
    volume.syncSync();
    const image = tape.image();
    const { logStart, logBlocks } = volume.inside.store.superblock.geometry;
    image.fill(0, logStart * BLOCK_SIZE, (logStart + logBlocks) * BLOCK_SIZE);
    using later = Volume.openSync(MemoryDevice.from(image), COMMON);
    expect(firsts(read(later))).toEqual([2, 1, 1, 1]);
  });
});

// A replay promises blocks to data that was told, and the same data has been given its place since.
it('a replay has room for data that has its place since, on a volume that is full', async () => {
  const { tape, volume, fd, put } = await fileOn(256, 4 * MIB, 200);
  const fill = volume.fs.openSync('/fill', 'w');
  for (let i = 0; i < 3; i++) volume.syncSync();
  tape.rewind();
  for (let folio = 0; folio < 16; folio++) {
    put(folio * 16, 2);
    volume.fs.fsyncSync(fd);
  }
  volume.runInside(new Writeback(volume.inside.pool));
  expect(tape.superblocks).toBe(0);
  for (let rounds = 0; ; rounds++) {
    volume.fs.writeSync(fill, Buffer.alloc(32 * KIB, 9));
    volume.runInside(new Writeback(volume.inside.pool));
    volume.fs.fsyncSync(fill);
    const data = firsts(afterCrash(tape, read));
    expect(data.filter((_, i) => i % 16 === 0)).toEqual(Array(16).fill(2));
    if (tape.superblocks === 0) continue;
    expect(rounds).toBeGreaterThan(10);
    return;
  }
});

// The replay wrote the data that was missing, and the next mount took the frame.
it('a frame that was left out is left out again, whatever the replay writes', async () => {
  const { tape, volume, fd, put } = await fileOn(4, 2 * MIB, 64);
  put(0, 2);
  volume.fs.fsyncSync(fd);
  volume.snapshotSync('s');
  volume.fs.fsyncSync(fd);
  const [, data] = tape.calls.flatMap((call) => (call.kind === 'write' ? [call.position] : []));
  const image = tape.image();
  image.fill(0, data, (data as number) + BLOCK_SIZE);
  const mounted = new TapeDevice(image);
  const seen = (device: TapeDevice | MemoryDevice): string[] =>
    Volume.openSync(device, COMMON)
      .snapshotsSync()
      .map(({ name }) => name);
  expect(seen(mounted)).toEqual([]);
  const random = new Random(1);
  for (let count = 0; count <= mounted.calls.length; count++) {
    for (const again of crashImages(mounted, count, { random, exhaustiveMax: 4, samples: 4 })) {
      expect(seen(MemoryDevice.from(again))).toEqual([]);
    }
  }
});

function finish(operation: Operation<unknown>, tape: TapeDevice): void {
  while (!turn(operation, tape));
}
