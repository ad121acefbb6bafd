/** O_DIRECT, by every call that reads or writes an open file. */
import { beforeAll, describe, expect, it } from 'vitest';
import { constants, MemoryDevice, type SyncFs, Volume } from '../../src/index.ts';
import { FaultDevice } from '../../src/testing/index.ts';

const B = 4096;
const MIB = 2 ** 20;
const { O_RDWR, O_DIRECT } = constants;
const data = Buffer.alloc(2 * B, 7);

const WRITES: Readonly<Record<string, (fs: SyncFs, fd: number) => unknown>> = {
  'writeSync with all arguments': (fs, fd) => fs.writeSync(fd, data, 0, 2 * B, B),
  'writeSync with options': (fs, fd) => fs.writeSync(fd, data, { position: B } as never),
  'writeSync where the file stands': (fs, fd) => fs.writeSync(fd, data),
  'writeSync of a string': (fs, fd) => fs.writeSync(fd, 'x'.repeat(2 * B), B),
  writevSync: (fs, fd) => fs.writevSync(fd, [data], B),
};

const READS: Readonly<Record<string, (fs: SyncFs, fd: number) => unknown>> = {
  'readSync with all arguments': (fs, fd) => fs.readSync(fd, Buffer.alloc(2 * B), 0, 2 * B, B),
  'readSync with options': (fs, fd) => fs.readSync(fd, Buffer.alloc(2 * B), { position: B }),
  readvSync: (fs, fd) => fs.readvSync(fd, [Buffer.alloc(2 * B)], B),
};

describe('O_DIRECT', () => {
  let device: FaultDevice;
  let fs: SyncFs;

  beforeAll(() => {
    device = new FaultDevice(new MemoryDevice({ size: 8 * MIB }));
    const volume = Volume.openSync(device, { create: true, commitIntervalMs: 0 });
    ({ fs } = volume);
    fs.writeFileSync('/f', Buffer.alloc(20 * B, 1));
    volume.syncSync();
  });

  /** Bytes that a call moves at once, on a file that is open past the cache or not. */
  function moved(flags: number, call: (fs: SyncFs, fd: number) => unknown): number[] {
    const fd = fs.openSync('/f', flags);
    const { bytesRead, bytesWritten } = device.counters;
    call(fs, fd);
    fs.closeSync(fd);
    return [device.counters.bytesRead - bytesRead, device.counters.bytesWritten - bytesWritten];
  }

  it.each(Object.keys(WRITES))('%s writes to the device', (name) => {
    const call = WRITES[name] as (fs: SyncFs, fd: number) => unknown;
    expect(moved(O_RDWR, call)).toEqual([0, 0]);
    expect(moved(O_RDWR | O_DIRECT, call)).toEqual([0, 2 * B]);
  });

  it.each(Object.keys(READS))('%s reads from the device, each time', (name) => {
    const call = READS[name] as (fs: SyncFs, fd: number) => unknown;
    expect(moved(O_RDWR | O_DIRECT, call)).toEqual([2 * B, 0]);
    expect(moved(O_RDWR | O_DIRECT, call)).toEqual([2 * B, 0]);
    moved(O_RDWR, call);
    expect(moved(O_RDWR, call)).toEqual([0, 0]);
    // What the cache has need not be read.
    expect(moved(O_RDWR | O_DIRECT, call)).toEqual([0, 0]);
    moved(O_RDWR | O_DIRECT, (files, fd) => files.writeSync(fd, data, 0, 2 * B, B));
  });

  it('writes to the end of a file by way of the cache', () => {
    const call = (files: SyncFs, fd: number): unknown => files.writeSync(fd, data);
    expect(moved(O_RDWR | O_DIRECT | constants.O_APPEND, call)).toEqual([0, 0]);
  });
});
