/** What is not known to be durable: nothing is built on it, whoever has written it. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, DeviceError, MIB, type PlainIo } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { SUPERBLOCKS } from '../../src/format/index.ts';
import { CrashDevice, FaultDevice, type PendingWrite, Random } from '../../src/testing/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { TapeDevice } from '../store/tape.ts';
import { turn } from './tape-volume.ts';

const SIZE = 8 * MIB;

function isSuperblock({ position }: PendingWrite): boolean {
  const block = position / BLOCK_SIZE;
  return block < SUPERBLOCKS || block >= SIZE / BLOCK_SIZE - SUPERBLOCKS;
}

describe('a root that a process wrote before it was killed', () => {
  // Blocks that the root before it uses were written over before it was durable.
  it('is durable before anything is written that counts on it', () => {
    const device = new CrashDevice({ size: SIZE });
    const faults = new FaultDevice(device, new Random(1));
    const options = { ...COMMON, cacheBytes: 4 * MIB };
    const first = Volume.openSync(faults, { ...options, create: true });
    const old = Buffer.from(new Random(2).bytes(3 * MIB));
    first.fs.writeFileSync('/old', old);
    for (let i = 0; i < 3; i++) first.syncSync();
    first.fs.unlinkSync('/old');
    first.reclaimSync();
    faults.inject({ on: 'flush', effect: 'fail', skip: 1 });
    expect(() => first.syncSync()).toThrow();
    const { fs } = Volume.openSync(device, options);
    expect(fs.readdirSync('/')).toEqual([]);
    const fd = fs.openSync('/new', 'w');
    for (let at = 0; at < 6 * MIB; at += MIB / 2) fs.writeSync(fd, Buffer.alloc(MIB / 2, 7));
    const after = device.restart((pending) => pending.filter((write) => !isSuperblock(write)));
    using volume = Volume.openSync(after, options);
    const left = volume.fs.readdirSync('/') as string[];
    if (left.includes('old')) expect(old.equals(volume.fs.readFileSync('/old'))).toBe(true);
    expect(checkSync(after).issues).toEqual([]);
  });
});

describe('a commit that has closed', () => {
  // A device that has told one flush of a loss does not tell the next one again.
  it('writes no superblock once the flush of a frame has failed', async () => {
    const tape = new TapeDevice(new Uint8Array(SIZE));
    const driver = new Driver(tape, { pause: async () => {} });
    const volume = await OpenVolume.on(tape, driver, { ...COMMON, create: true });
    const { store } = volume.inside;
    volume.fs.mkdirSync('/d');
    tape.rewind();
    const commit = store.commit();
    while (!commit.closed) turn(commit, tape);
    volume.fs.mkdirSync('/e');
    const flush = store.flushLog();
    while ((flush.plan.io[0] as PlainIo | undefined)?.kind !== 'flush') {
      if (flush.plan.io.length > 0) turn(flush, tape);
      else flush.step();
    }
    const where = { operation: 'flush', position: 0, length: 0, finding: 'test' } as const;
    expect(() => flush.fail(new DeviceError('EIO', where))).toThrow();
    expect(store.failure).toBeDefined();
    expect(() => {
      while (!turn(commit, tape));
    }).toThrow();
    expect(tape.superblocks).toBe(0);
  });
});
