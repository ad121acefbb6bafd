/** Views: files as memory, to be read in place, or to be stored to. */
import { describe, expect, it, vi } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, KIB, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Schedule, SlowDevice } from '../../src/testing/index.ts';
import { Random } from '../../src/testing/random.ts';
import { TapeDevice } from '../store/tape.ts';
import { COMMON } from './bench.ts';

const SIZE = 64 * KIB;

/** A file of `bytes`, open for reading and writing. */
function fileOn(device: Device = new MemoryDevice({ size: 16 * MIB }), bytes = patterned(SIZE)) {
  const volume = Volume.openSync(device, { ...COMMON, create: true });
  const fd = volume.fs.openSync('/f', 'w+');
  volume.fs.writeSync(fd, bytes);
  const read = (path = '/f'): Buffer => volume.fs.readFileSync(path) as Buffer;
  const sound = (): void => {
    volume.closeSync();
    expect(checkSync(device).issues).toEqual([]);
  };
  return { device, volume, fs: volume.fs, fd, read, sound, bytes };
}

function patterned(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + (i >>> 12)) & 255));
}

const coded = (code: string): unknown => expect.objectContaining({ code });

function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] as number) ^ 1;
}

/** All bytes of a view, from what it gives of them. */
function bytesOf(view: { offset: number; length: number; at(offset: number): Uint8Array }): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = view.offset; at < view.offset + view.length; ) {
    const part = view.at(at);
    expect(part.length).toBeGreaterThan(0);
    parts.push(part);
    at += part.length;
  }
  return Buffer.concat(parts);
}

describe('a view that is read', () => {
  it('is the store itself', () => {
    const buffer = new ArrayBuffer(16 * MIB);
    const { volume, fd, bytes } = fileOn(new MemoryDevice({ buffer }));
    using view = volume.mapSync(fd, 100, 50_000);
    expect(bytesOf(view).equals(bytes.subarray(100, 50_100))).toBe(true);
    expect(view.at(100).buffer).toBe(buffer);
    expect(view.at(5000, 10)).toHaveLength(10);
  });

  it('shows holes, reserved space and small files as reads do', () => {
    const { volume, fs, fd, read } = fileOn();
    fs.writeSync(fd, 'end', 3 * MIB);
    volume.allocateSync(fd, MIB, 64 * KIB);
    volume.punchSync(fd, 8192, 8192);
    using view = volume.mapSync(fd, 0, 3 * MIB + 3);
    expect(bytesOf(view).equals(read())).toBe(true);
    fs.writeFileSync('/small', 'few bytes');
    const small = fs.openSync('/small', 'r');
    using few = volume.mapSync(small, 4, 5);
    expect(Buffer.from(few.at(4)).toString()).toBe('bytes');
  });

  it('stays what it was, whatever becomes of the file, and of its blocks', () => {
    const { volume, fs, fd, bytes, sound } = fileOn(new MemoryDevice({ size: 4 * MIB }));
    const view = volume.mapSync(fd, 0, SIZE);
    expect(view.stale).toBe(false);
    fs.writeSync(fd, Buffer.alloc(SIZE, 1), 0, SIZE, 0);
    expect(view.stale).toBe(true);
    fs.ftruncateSync(fd, 10);
    fs.closeSync(fd);
    fs.unlinkSync('/f');
    // What was freed would be used again many times over.
    for (let round = 0; round < 12; round++) {
      fs.writeFileSync(`/${round % 3}`, Buffer.alloc(MIB / 2, round));
      volume.syncSync();
    }
    expect(bytesOf(view).equals(bytes)).toBe(true);
    view.release();
    expect(() => view.at(0)).toThrow(coded('EBADF'));
    sound();
  });

  it('gives its blocks back when it is released', () => {
    const { volume, fs, fd } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE);
    fs.closeSync(fd);
    fs.unlinkSync('/f');
    const free = (): number => {
      for (let i = 0; i < 4; i++) {
        volume.reclaimSync();
        fs.writeFileSync('/tick', String(i));
        volume.syncSync();
      }
      const engine = (volume as unknown as { engine: { store: { groups: { idle: number } } } })
        .engine;
      return engine.store.groups.idle;
    };
    const held = free();
    view.release();
    expect(free() - held).toBe(SIZE / BLOCK_SIZE);
  });

  it('of a damaged block is refused; one that was stored to is found out', () => {
    const buffer = new ArrayBuffer(16 * MIB);
    const { volume, fd, fs } = fileOn(new MemoryDevice({ buffer }));
    volume.syncSync();
    const { address } = volume.extentsSync('/f')[0] as { address: number };
    const store = new Uint8Array(buffer);
    flip(store, address + 5000);
    expect(() => volume.mapSync(fd, 0, SIZE)).toThrow(/EIO/u);
    flip(store, address + 5000);
    const view = volume.mapSync(fd, 0, SIZE, { checked: true });
    flip(view.at(0), 77);
    expect(() => view.release()).toThrow(coded('EIO'));
    view.release();
    fs.closeSync(fd);
  });

  it('is refused where the device is not memory, or the range is not in the file', () => {
    const { volume, fd, fs } = fileOn(new TapeDevice(new Uint8Array(16 * MIB)));
    expect(() => volume.mapSync(fd, 0, SIZE)).toThrow(/ENOTSUP/u);
    expect(() => volume.mapSync(fd, 0, SIZE + 1)).toThrow(/EINVAL/u);
    expect(() => volume.mapSync(fd, 0, 0)).toThrow(/EINVAL/u);
    expect(() => volume.mapSync('/f' as unknown as number, 0, 1)).toThrow(/file/u);
    const reader = fs.openSync('/f', 'r');
    expect(() => volume.mapSync(reader, 0, 1, { write: true })).toThrow(/EBADF/u);
  });

  it('over shared memory is read by another thread', async () => {
    const { Worker } = await import('node:worker_threads');
    const buffer = new SharedArrayBuffer(16 * MIB);
    const { volume, fd, bytes } = fileOn(new MemoryDevice({ buffer }));
    using view = volume.mapSync(fd, 4096, 8192);
    const part = view.at(4096, 8192);
    const code = `const { parentPort, workerData } = require('node:worker_threads');
      parentPort.postMessage(Uint8Array.from(workerData));`;
    const worker = new Worker(code, { eval: true, workerData: part });
    const seen = await new Promise<Uint8Array>((resolve) => worker.on('message', resolve));
    expect(Buffer.from(seen).equals(bytes.subarray(4096, 4096 + part.length))).toBe(true);
    await worker.terminate();
  });

  it('ends with the volume', () => {
    const { volume, fd, sound } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE);
    sound();
    expect(view.valid).toBe(false);
    expect(() => view.at(0)).toThrow(coded('EBADF'));
    void volume;
  });
});

describe('a view that is stored to', () => {
  it('is staged until it is copied out, and then goes on', () => {
    const { volume, fd, read, bytes, sound } = fileOn();
    const view = volume.mapSync(fd, 10, 20_000, { write: true });
    expect(Buffer.from(view.bytes).equals(bytes.subarray(10, 20_010))).toBe(true);
    view.bytes.fill(1, 0, 5);
    expect(read()[10]).toBe(bytes[10]);
    view.syncSync();
    view.bytes[19_999] = 2;
    view.syncSync();
    bytes.fill(1, 10, 15)[20_009] = 2;
    expect(read().equals(bytes)).toBe(true);
    sound();
  });

  it.each([
    ['a clone', (v: Volume) => v.cloneSync('/f', '/g'), '/g'],
    ['a clone of its directory', (v: Volume) => v.cloneSync('/d', '/e'), '/e/f'],
    ['a commit', (v: Volume) => v.syncSync(), '/f'],
    ['an fsync', (v: Volume, fd: number) => v.fs.fsyncSync(fd), '/f'],
    ['its release', () => {}, '/f'],
    ['the end of its file', (v: Volume, fd: number) => v.fs.closeSync(fd), '/f'],
  ] as const)('is copied out by %s', (what, act, path) => {
    const { volume, fs, fd, read } = fileOn();
    fs.mkdirSync('/d');
    fs.linkSync('/f', '/d/f');
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    view.bytes[5] = 99;
    act(volume, fd);
    if (what === 'its release') view.releaseSync();
    expect(read(path)[5]).toBe(99);
    if (path === '/g') {
      view.bytes[6] = 98;
      view.syncSync();
      expect([read()[6], read('/g')[6]]).toEqual([98, patterned(SIZE)[6]]);
    }
  });

  it('is in a snapshot as it was then', () => {
    const { volume, fd } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    view.bytes[5] = 99;
    volume.snapshotSync('s');
    view.bytes[5] = 100;
    volume.syncSync();
    using snapshot = volume.openSnapshotSync('s');
    expect((snapshot.fs.readFileSync('/f') as Buffer)[5]).toBe(99);
  });

  it('keeps what others write beside it, byte by byte, and shows it', () => {
    const { volume, fs, fd, read, bytes } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    for (let i = 0; i < SIZE; i += 3) view.bytes[i] = 1;
    const other = Buffer.from(bytes);
    for (let i = 1; i < SIZE; i += 3) other[i] = 2;
    fs.writeSync(fd, other, 0, SIZE, 0);
    view.syncSync();
    const wanted = bytes.map((byte, i) => (i % 3 === 0 ? 1 : i % 3 === 1 ? 2 : byte));
    expect(read().equals(wanted)).toBe(true);
    expect(Buffer.from(view.bytes).equals(wanted)).toBe(true);
  });

  it('forgets what is punched, and what was stored there', () => {
    const { volume, fd, read, bytes } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    view.bytes.fill(1, 4000, 12_000);
    volume.punchSync(fd, 4096, 4096);
    expect(view.valid).toBe(true);
    volume.syncSync();
    bytes.fill(1, 4000, 12_000).fill(0, 4096, 8192);
    expect(read().equals(bytes)).toBe(true);
    expect(volume.seekSync(fd, 0, 'hole')).toBe(4096);
    expect(Buffer.from(view.bytes).equals(bytes)).toBe(true);
  });

  it.each([
    ['truncated', (v: Volume, fd: number) => v.fs.ftruncateSync(fd, 10_000), 10_000],
    ['replaced', (v: Volume, fd: number) => v.collapseRangeSync(fd, 12_288, 4096), SIZE - 4096],
    ['closed', (v: Volume, fd: number) => v.fs.closeSync(fd), SIZE],
  ] as const)(
    'is detached when it is %s, and loses nothing of the rest',
    async (reason, act, size) => {
      const { volume, fd, read, bytes, sound } = fileOn();
      const view = volume.mapSync(fd, 0, SIZE, { write: true });
      const listener = vi.fn();
      view.onRevoke = listener;
      const array = view.bytes;
      array[5] = 99;
      act(volume, fd);
      expect([view.valid, view.revoked, array.length, view.bytes.length]).toEqual([
        false,
        reason,
        0,
        0,
      ]);
      volume.syncSync();
      bytes[5] = 99;
      expect(read()).toHaveLength(size);
      expect(read().subarray(0, 10_000).equals(bytes.subarray(0, 10_000))).toBe(true);
      await Promise.resolve();
      expect(listener.mock.calls).toEqual([[reason]]);
      expect(() => view.syncSync()).not.toThrow();
      sound();
    },
  );

  it('goes with a file that is removed', () => {
    const { volume, fs, fd, sound } = fileOn();
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    fs.unlinkSync('/f');
    view.bytes[1] = 2;
    view.syncSync();
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, 1);
    expect(byte[0]).toBe(2);
    view.bytes[1] = 3;
    fs.closeSync(fd);
    expect(view.valid).toBe(false);
    sound();
  });

  it('finds its space on a volume that is full, and says so when it does not', () => {
    const { volume, fs, fd, read, sound } = fileOn(new MemoryDevice({ size: 4 * MIB }));
    const view = volume.mapSync(fd, 0, SIZE, { write: true });
    const fill = fs.openSync('/fill', 'w');
    expect(() => {
      for (;;) fs.writeSync(fill, Buffer.alloc(BLOCK_SIZE, 1));
    }).toThrow(/ENOSPC/u);
    view.bytes.fill(7);
    view.syncSync();
    expect(read().every((byte) => byte === 7)).toBe(true);
    fs.closeSync(fill);
    sound();
  });

  it('has 64 MiB at the most, all together', () => {
    const { volume, fs, fd } = fileOn(new MemoryDevice({ size: 256 * MIB }));
    fs.ftruncateSync(fd, 128 * MIB);
    const view = volume.mapSync(fd, 0, 64 * MIB, { write: true });
    expect(() => volume.mapSync(fd, 64 * MIB, 1, { write: true })).toThrow(/ENOMEM/u);
    view.releaseSync();
    volume.mapSync(fd, 64 * MIB, 1, { write: true }).releaseSync();
  });

  it('keeps what is stored while it is copied out', async () => {
    const schedule = new Schedule(new Random(1));
    const device = new SlowDevice(new MemoryDevice({ size: 16 * MIB }), { schedule });
    const volume = await schedule.run(Volume.open(device, { ...COMMON, create: true }));
    const work = async (): Promise<void> => {
      const handle = await volume.fs.promises.open('/f', 'w+');
      await handle.write(patterned(SIZE));
      await volume.sync();
      const view = await volume.map(handle, 0, SIZE, { write: true });
      view.bytes[5000] = 1;
      const syncing = view.sync();
      for (let i = 0; i < 100; i++) {
        view.bytes[100 + i] = i + 1;
        await Promise.resolve();
      }
      await syncing;
      await view.sync();
      const data = (await volume.fs.promises.readFile('/f')) as Buffer;
      expect([data[5000], data[100], data[199]]).toEqual([1, 1, 100]);
      await volume.close();
    };
    await schedule.run(work());
  });

  it('is copied out once for whoever waits, and waits for nobody that waits', async () => {
    const schedule = new Schedule(new Random(3));
    const device = new SlowDevice(new MemoryDevice({ size: 16 * MIB }), { schedule });
    const volume = await schedule.run(Volume.open(device, { ...COMMON, create: true }));
    const work = async (): Promise<void> => {
      const handle = await volume.fs.promises.open('/f', 'w+');
      await handle.write(patterned(SIZE));
      const view = await volume.map(handle, 0, SIZE, { write: true });
      for (let round = 1; round < 4; round++) {
        view.bytes.fill(round, 0, 5000);
        await Promise.all([
          volume.clone('/f', `/g${round}`),
          volume.sync(),
          handle.sync(),
          volume.dedupeRange(handle, handle, { offset: 32 * KIB, length: 4096 }),
          volume.punch(handle, 60 * KIB, 4096),
          volume.insertRange(handle, 32 * KIB, 4096).catch(() => {}),
          handle.truncate(SIZE),
        ]);
        const clone = (await volume.fs.promises.readFile(`/g${round}`)) as Buffer;
        expect(clone[0]).toBe(round);
        if (!view.valid) break;
      }
      await volume.close();
    };
    await schedule.run(work());
  });
});
