/** What a replay once did wrong: each test is named by the fault that it was. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { indexPlace, superblockPlace } from '../../src/format/index.ts';
import { Writeback } from '../../src/iomap/index.ts';
import { Mount, type Mounted } from '../../src/store/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { TapeDevice } from '../store/tape.ts';
import { afterCrash as lookAfterCrash, turn, volumeOn } from './tape-volume.ts';

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A volume after a crash: of its superblocks some may be older than others. */
function afterCrash<T>(tape: TapeDevice, look: (volume: Volume) => T): T {
  return lookAfterCrash(tape, look, ({ code }) => !code.startsWith('superblock-'));
}

/** Writes a megabyte after the other, each made durable. */
function fill(volume: Volume, fd: number, start: number, end: number): void {
  for (let at = start; at < end; at += MIB) {
    const length = Math.min(MIB, end - at);
    volume.fs.writeSync(fd, Buffer.alloc(length, 7), 0, length, at);
    volume.fs.fsyncSync(fd);
  }
}

describe('a commit that has nothing to write', () => {
  it('keeps the inodes that the log has introduced', () => {
    const { tape, volume } = volumeOn({ size: 8 * MIB });
    volume.fs.mkdirSync('/d');
    volume.fs.writeFileSync('/d/a', 'x');
    for (let i = 0; i < 5; i++) volume.syncSync();
    volume.fs.renameSync('/d/a', '/d/a');
    volume.syncSync();
    volume.fs.writeFileSync('/d/b', 'hello');
    volume.fs.fsyncSync(volume.fs.openSync('/d/b', 'r+'));
    expect(afterCrash(tape, ({ fs }) => fs.readdirSync('/d')).sort()).toEqual(['a', 'b']);
  });

  it('leaves no gap in the numbers of the log', () => {
    const { tape, volume } = volumeOn({ size: 8 * MIB });
    volume.fs.writeFileSync('/a', 'x');
    for (let i = 0; i < 5; i++) volume.syncSync();
    const fd = volume.fs.openSync('/a', 'r+');
    volume.fs.renameSync('/a', '/a');
    volume.fs.fsyncSync(fd);
    volume.fs.renameSync('/a', '/a');
    volume.syncSync();
    volume.fs.mkdirSync('/b');
    volume.fs.fsyncSync(fd);
    expect(afterCrash(tape, ({ fs }) => fs.readdirSync('/')).sort()).toEqual(['a', 'b']);
  });
});

describe('a frame of a txg whose commit was on its way', () => {
  it('is not found before the frames of the next mount', async () => {
    const tape = new TapeDevice(new Uint8Array(8 * MIB));
    const driver = new Driver(tape, { pause });
    const options = { ...COMMON, create: true, logBlocks: 5 };
    const opened = await OpenVolume.on(tape, driver, options);
    const { fs, inside } = opened;
    const fd = fs.openSync('/f', 'w');
    for (let i = 0; i < 3; i++) {
      fs.mkdirSync(`/d${i}`);
      fs.fsyncSync(fd);
    }
    await opened.sync();
    fs.mkdirSync('/e');
    fs.fsyncSync(fd);
    fs.mkdirSync('/e2');
    const commit = inside.store.commit();
    while (!commit.closed) turn(commit, tape);
    const flush = inside.store.flushLog();
    while (!turn(flush, tape));
    while (!turn(commit, tape));
    const next = new TapeDevice(tape.image());
    const volume = Volume.openSync(next, COMMON);
    for (let i = 0; i < 22; i++) volume.fs.mkdirSync(`/long name ${i} `.padEnd(230, 'x'));
    volume.fs.fsyncSync(volume.fs.openSync('/f', 'r+'));
    const names = volume.fs.readdirSync('/');
    expect(afterCrash(next, (later) => later.fs.readdirSync('/'))).toEqual(names);
  });
});

describe('a replay needs no more room than there was', () => {
  for (const saved of [false, true]) {
    it(`for data in reserved space, ${saved ? 'that the root has' : 'in the log too'}`, () => {
      const { tape, volume } = volumeOn({ size: 16 * MIB, logBlocks: 64 });
      const fd = volume.fs.openSync('/f', 'w');
      const bytes = 9 * MIB;
      volume.allocateSync(fd, 0, bytes);
      if (saved) volume.syncSync();
      tape.rewind();
      fill(volume, fd, 0, bytes);
      expect(tape.superblocks).toBe(0);
      const wanted = Buffer.alloc(bytes, 7);
      expect(afterCrash(tape, ({ fs }) => wanted.equals(fs.readFileSync('/f')))).toBe(true);
    });
  }

  it('for blocks that were unshared', () => {
    const { tape, volume } = volumeOn({ size: 16 * MIB, logBlocks: 64 });
    volume.fs.writeFileSync('/a', Buffer.alloc(5 * MIB, 1));
    volume.cloneSync('/a', '/b');
    volume.syncSync();
    volume.syncSync();
    const fd = volume.fs.openSync('/b', 'r+');
    tape.rewind();
    volume.unshareRangeSync(fd, 0, 5 * MIB);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    const { mtimeMs } = volume.fs.statSync('/b');
    afterCrash(tape, (later) => {
      expect(Buffer.alloc(5 * MIB, 1).equals(later.fs.readFileSync('/b'))).toBe(true);
      expect(later.fs.statSync('/b').mtimeMs).toBe(mtimeMs);
    });
  });
});

describe('a replay needs no more memory than it gets', () => {
  function sparse(megabytes: number): { tape: TapeDevice; volume: Volume; fd: number } {
    const { tape, volume } = volumeOn({ size: 64 * MIB, logBlocks: 64 });
    const fd = volume.fs.openSync('/f', 'w');
    const block = Buffer.alloc(BLOCK_SIZE, 1);
    for (let i = 0; i < megabytes; i++) volume.fs.writeSync(fd, block, 0, BLOCK_SIZE, i * MIB);
    for (let i = 0; i < 3; i++) volume.syncSync();
    tape.rewind();
    return { tape, volume, fd };
  }

  it('for a file whose whole map has moved', () => {
    const { tape, volume, fd } = sparse(4000);
    volume.collapseRangeSync(fd, 0, BLOCK_SIZE);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBe(0);
    const size = volume.fs.statSync('/f').size;
    expect(afterCrash(tape, ({ fs }) => fs.statSync('/f').size)).toBe(size);
  });

  it('since what would need more is not in the log', () => {
    const { tape, volume, fd } = sparse(1500);
    for (let i = 0; i < 3; i++) volume.collapseRangeSync(fd, 0, BLOCK_SIZE);
    volume.fs.fsyncSync(fd);
    expect(tape.superblocks).toBeGreaterThan(0);
    const size = volume.fs.statSync('/f').size;
    expect(afterCrash(tape, ({ fs }) => fs.statSync('/f').size)).toBe(size);
  });
});

describe('the size of a file', () => {
  // Its last block was written back when the file was longer than it is in the log.
  it('has nothing behind it after a replay', () => {
    const tape = new TapeDevice(new Uint8Array(32 * MIB));
    const options = { ...COMMON, cacheBytes: 4 * MIB };
    const first = Volume.openSync(tape, { ...options, create: true });
    first.fs.writeFileSync('/f', Buffer.alloc(10_000, 1));
    first.closeSync();
    const { fs } = Volume.openSync(tape, options);
    const [g, f] = [fs.openSync('/g', 'w'), fs.openSync('/f', 'r+')];
    tape.rewind();
    const piece = Buffer.alloc(50_000, 2);
    for (let at = 10_000; at < 4 * MIB; at += piece.length) fs.writeSync(f, piece, 0, 50_000, at);
    fs.fsyncSync(g);
    expect(tape.superblocks).toBe(0);
    afterCrash(tape, (later) => {
      expect(later.fs.statSync('/f').size).toBe(10_000);
      later.fs.truncateSync('/f', 20_000);
      const wanted = Buffer.concat([Buffer.alloc(10_000, 1), Buffer.alloc(10_000)]);
      expect(later.fs.readFileSync('/f')).toEqual(wanted);
    });
  });

  it('is not that before a collapse that an fsync has met', async () => {
    const tape = new TapeDevice(new Uint8Array(64 * MIB));
    const device = new LateDevice(tape);
    const driver = new Driver(device, { pause });
    const options = { ...COMMON, create: true, cacheBytes: 64 * MIB };
    const volume = await OpenVolume.on(device, driver, options);
    const [f, g] = await Promise.all(
      ['/f', '/g'].map((path) => volume.fs.promises.open(path, 'w+')),
    );
    await volume.sync();
    await f?.write(Buffer.alloc(5 * BLOCK_SIZE, 1));
    await g?.write(Buffer.alloc(16 * MIB, 2));
    device.holding = true;
    const written = driver.start(new Writeback(volume.inside.pool));
    await pause();
    const synced = f?.sync();
    for (let i = 0; i < 300; i++) await pause();
    device.release();
    for (let i = 0; i < 300; i++) await pause();
    const collapsed = volume.collapseRange(f?.fd as number, 0, BLOCK_SIZE);
    for (let i = 0; i < 300; i++) await pause();
    device.holding = false;
    device.release();
    await Promise.all([written, synced, collapsed]);
    await f?.sync();
    expect(afterCrash(tape, ({ fs }) => fs.statSync('/f').size)).toBe(4 * BLOCK_SIZE);
  });
});

/** Writes that wait for the test. */
class LateDevice implements Device {
  readonly name = 'late';
  readonly sync = false;
  readonly readOnly = false;
  holding = false;
  readonly #tape: TapeDevice;
  readonly #held: (() => void)[] = [];

  constructor(tape: TapeDevice) {
    this.#tape = tape;
  }

  get size(): number {
    return this.#tape.size;
  }

  /** Those that wait now go on. */
  release(): void {
    for (const go of this.#held.splice(0)) go();
  }

  async #turn(): Promise<void> {
    if (this.holding) await new Promise<void>((resolve) => this.#held.push(resolve));
    else await pause();
  }

  async read(position: number, bytes: Uint8Array): Promise<void> {
    this.#tape.read(position, bytes);
  }

  async readv(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.#tape.readv(position, buffers);
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    await this.#turn();
    this.#tape.write(position, bytes);
  }

  async writev(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#turn();
    this.#tape.writev(position, buffers);
  }

  async flush(): Promise<void> {
    this.#tape.flush();
  }

  async discard(): Promise<void> {}
  async prepare(): Promise<void> {}
  async grow(): Promise<void> {}
  close(): undefined {}
}

/** Ways in which a device may lose the newest root, given an image of it. */
const LOST_ROOTS = {
  'both copies of its superblock': (image: Uint8Array) => {
    const { ring } = newestRoot(image);
    const { blockCount } = newestRoot(image).superblock.geometry;
    return ([0, 1] as const).map((copy) => superblockPlace(blockCount, ring, copy));
  },
  'both copies of its index': (image: Uint8Array) => {
    const { geometry, state } = newestRoot(image).superblock;
    return ([0, 1] as const).map((copy) => indexPlace(geometry, state.indexPlace, copy));
  },
} as const;

function newestRoot(image: Uint8Array): Mounted {
  const device = MemoryDevice.from(image);
  return new Driver(device, { pause }).run(new Mount(device.size));
}

// What had been done after the root that was lost was done again on the one before it: there was a
// name, and none of what had been there before it.
describe.each(Object.entries(LOST_ROOTS))('a device that lost %s', (_, places) => {
  function afterLoss(): TapeDevice {
    const { tape, volume } = volumeOn();
    volume.fs.mkdirSync('/earlier');
    volume.syncSync();
    const lost = places(tape.image());
    volume.fs.mkdirSync('/later');
    volume.fs.fsyncSync(volume.fs.openSync('/', 'r'));
    const image = tape.image();
    for (const block of lost) image.fill(0, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    return new TapeDevice(image);
  }

  it('has the state of the root before, and nothing that came later alone', () => {
    expect(afterCrash(afterLoss(), ({ fs }) => fs.readdirSync('/'))).toEqual([]);
  });

  it('keeps what is made durable from then on', () => {
    const tape = afterLoss();
    const volume = Volume.openSync(tape, COMMON);
    volume.fs.mkdirSync('/again');
    volume.fs.fsyncSync(volume.fs.openSync('/', 'r'));
    volume.fs.mkdirSync('/once more');
    volume.fs.fsyncSync(volume.fs.openSync('/', 'r'));
    const names = afterCrash(tape, ({ fs }) => fs.readdirSync('/') as string[]);
    expect(names.sort()).toEqual(['again', 'once more']);
  });
});
