/**
 * Controls: without its guard each rule is broken, and the tests of this directory notice.
 *
 * A control takes one guard away, by hand and for one rig, and looks for the harm. If none is found
 * the tests look at the wrong place.
 */
import { expect } from 'vitest';
import type { Plan } from '../../src/base/index.ts';
import { control } from './control.ts';
import { audit, B, expectSame, noise, Rig, type RigOptions, reading, writing } from './rig.ts';
import type { ToyFile } from './toy-filesystem.ts';

const OLD = noise(40 * B);

async function stored(options: RigOptions): Promise<{ rig: Rig; file: ToyFile }> {
  const rig = new Rig(options);
  return { rig, file: await rig.stored(OLD) };
}

async function expectContents(rig: Rig, file: ToyFile, wanted: Uint8Array): Promise<void> {
  await rig.do(rig.syncing());
  rig.forget();
  expectSame(await rig.contents(file), wanted);
  audit(rig);
}

control(
  'F2, a write changes a frame that is being written',
  async (takeAway) => {
    const { rig, file } = await stored({ seed: 1 });
    await rig.do(writing(file, 0, noise(B, 2)));
    takeAway(rig, file);
    const sync = rig.start(rig.syncing());
    rig.run(writing(file, 5, noise(5, 3)));
    await rig.schedule.run(sync);
  },
  // Nothing is marked as being written: the device sees its buffer change.
  ({ toy }) => {
    const { folios } = toy.pool;
    const { frame } = folios;
    folios.frame = (folio, i) => {
      folios.writeback.fill(0);
      return frame.call(folios, folio, i);
    };
  },
  /D3: a buffer was changed while being written/,
);

control(
  'B1, an older version is mapped over a newer one',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true });
    await rig.do(writing(file, 0, noise(B, 2)));
    takeAway(rig, file);
    rig.gate.shut();
    const older = rig.start(rig.syncing());
    rig.run(writing(file, 0, noise(B, 3)));
    const newer = rig.start(rig.syncing());
    if (rig.gate.waiting.length === 2) await rig.gate.passOne('last');
    await rig.open(older, newer);
    const wanted = OLD.slice();
    wanted.set(noise(B, 3));
    await expectContents(rig, file, wanted);
  },
  (_, { cowLock }) => {
    cowLock.free = () => true;
    cowLock.acquire = () => true;
  },
  /bytes at 0/,
);

control(
  'W1, writes of several turns mix',
  async (takeAway) => {
    const { rig, file } = await stored({ seed: 1, dirtyLimit: 8 });
    takeAway(rig, file);
    // Their chunks, of four blocks, overlap by one.
    const writes = [rig.start(writing(file, 5, noise(20 * B, 2)))];
    writes.push(rig.start(writing(file, 3 * B + 5, noise(20 * B, 3))));
    await rig.schedule.run(Promise.all(writes));
    const wanted = OLD.slice();
    wanted.set(noise(20 * B, 2), 5);
    wanted.set(noise(20 * B, 3), 3 * B + 5);
    await expectContents(rig, file, wanted);
  },
  (_, { lock }) => {
    lock.free = () => true;
    lock.acquire = () => true;
  },
  /bytes at/,
);

control(
  'C3, what was loaded is evicted before it is used',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true });
    takeAway(rig, file);
    rig.gate.shut();
    // The head comes, then memory is short, then the tail comes.
    const write = rig.start(writing(file, 5, noise(30 * B, 2)));
    await rig.gate.passOne('first');
    rig.cache.evictAll();
    await rig.open(write);
    expect(rig.cache.loads, 'loads').toBe(2);
  },
  ({ cache }) => {
    const plans = new Set<Plan>();
    const want = cache.want.bind(cache);
    const evictAll = cache.evictAll.bind(cache);
    cache.want = (plan, ...what) => {
      plans.add(plan);
      return want(plan, ...what);
    };
    cache.evictAll = () => {
      for (const plan of plans) cache.unpin(plan);
      evictAll();
    };
  },
  /loads: expected 3 to be 2/,
);

control(
  'S3, a hole reads as what was in memory before',
  async (takeAway) => {
    const { rig, file } = await stored({});
    takeAway(rig, file);
    await rig.do(writing(file, 50 * B + 5, noise(10, 2)));
    const wanted = new Uint8Array(50 * B + 15);
    wanted.set(OLD);
    wanted.set(noise(10, 2), 50 * B + 5);
    await expectContents(rig, file, wanted);
  },
  ({ cache }) => {
    cache.bytes.fill = () => cache.bytes;
  },
  /bytes at 204800 .*found 238, wanted 0/,
);

control(
  'K3, a block is given away while a reader is on his way to it',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true, deviceBlocks: 42 });
    takeAway(rig, file);
    rig.gate.shut();
    const target = new Uint8Array(B);
    const read = rig.start(reading(file, 0, target));
    // While the reader waits his block has no owner; the last version could go there.
    for (const version of [2, 3]) {
      rig.run(writing(file, 0, noise(B, version)));
      const sync = rig.start(rig.syncing());
      await Promise.all([sync, rig.gate.pass('write')]);
    }
    await rig.open(read);
    expectSame(target, noise(B, 3));
  },
  ({ cache }) => {
    cache.isLoading = () => false;
  },
  /is forgotten while it is loaded/,
);
