/**
 * The log-structured filesystem of the examples, against a map of byte arrays: alone and side by
 * side, mounted again and again, full, and on a device that fails.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clean } from '../../examples/log-structured/clean.ts';
import type { LogFilesystem } from '../../examples/log-structured/filesystem.ts';
import { Create, Remove } from '../../examples/log-structured/names.ts';
import { Use } from '../../examples/log-structured/space.ts';
import { Sync } from '../../examples/log-structured/sync.ts';
import { BLOCK_SIZE, type Block } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { BufferedRead, BufferedWrite, Truncate } from '../../src/iomap/index.ts';
import { FaultDevice, Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { holds } from '../iomap/property.ts';
import { emptyImage, imageOf, LogWorld, mounted, mounting, SPECIAL } from './log-world.ts';
import { type Action, histories, runAtOnce, runTogether } from './oracle.ts';

/** Large enough for any history. */
const LARGE = emptyImage(512);
/** Four segments and a half. */
const SMALL = emptyImage(72);

function world(image: Uint8Array): LogWorld {
  return LogWorld.on(MemoryDevice.from(image));
}

async function together(image: Uint8Array, history: Action[], seed: number, mayFail: string[]) {
  const random = new Random(seed);
  const schedule = new Schedule(random);
  const memory = MemoryDevice.from(image);
  const slow = new SlowDevice(memory, { schedule });
  const pause = () => schedule.submit(() => {});
  const fs = await schedule.run(new Driver(slow, { pause }).start(mounting(slow)));
  const subject = new LogWorld(slow, fs, pause);
  await runTogether(subject, history, { schedule, random, mayFail });
  await schedule.run(subject.driver.start(new Sync(fs)));
  subject.auditPool();
  const again = LogWorld.on(memory);
  again.states.set(again.acknowledged, subject.snapshot());
  again.hold(fs.generation - 1);
  again.compare();
  expect(again.fs.space.idle).toBe(fs.space.idle);
}

describe('the log-structured filesystem', { timeout: 60_000 }, () => {
  it('holds what was written, and what was synced after a mount', () =>
    holds(
      fc.property(histories(20, [...SPECIAL, 'remount']), (history) => {
        const subject = world(LARGE);
        runAtOnce(subject, history);
        subject.audit();
      }),
    ));

  it('is full when it is, and not before', () =>
    holds(
      fc.property(histories(24, [...SPECIAL, 'clean', 'remount']), (history) => {
        const subject = world(SMALL);
        runAtOnce(subject, history, ['ENOSPC']);
        subject.audit();
        const { fs, driver } = subject;
        for (const name of [...fs.names.keys()]) driver.run(new Remove(fs, name));
        driver.run(new Sync(fs));
        // Two checkpoints, and a table with nothing in it.
        expect(fs.available).toBeGreaterThanOrEqual(72 - 3);
      }),
    ));

  it('does what each operation alone would do', () =>
    holds(
      fc.asyncProperty(histories(12, SPECIAL), fc.nat(), (history, seed) =>
        together(LARGE, history, seed, ['ENOENT', 'EEXIST']),
      ),
    ));

  it('does so where there is hardly room', () =>
    holds(
      fc.asyncProperty(histories(20, SPECIAL), fc.nat(), (history, seed) =>
        together(SMALL, history, seed, ['ENOENT', 'EEXIST', 'ENOSPC']),
      ),
    ));
});

describe('the log', () => {
  it('is full to the last block, and can be emptied and filled again', () => {
    const { fs, driver } = world(SMALL);
    const block = new Uint8Array(BLOCK_SIZE).fill(7);
    const filled: number[] = [];
    for (let round = 0; round < 5; round++) {
      const file = driver.run(new Create(fs, `file ${round}`));
      expect(() => {
        for (;;) driver.run(new BufferedWrite().begin(file, file.size, block));
      }).toThrow('blocks are free, wanted');
      filled.push(file.size / BLOCK_SIZE);
      driver.run(new Remove(fs, `file ${round}`));
    }
    // Two checkpoints, a table, an inode, a map block, and eight that are kept.
    expect(Math.min(...filled)).toBeGreaterThan(72 - 5 - 8 - 4);
  });

  it('is emptied a segment at a time', () => {
    const { fs, driver } = world(LARGE);
    const keep = driver.run(new Create(fs, 'keep'));
    const drop = driver.run(new Create(fs, 'drop'));
    // The blocks of both lie side by side.
    for (let i = 0; i < 200; i++) {
      for (const file of [keep, drop]) {
        driver.run(new BufferedWrite().begin(file, file.size, new Uint8Array(BLOCK_SIZE).fill(i)));
      }
      driver.run(new Sync(fs));
    }
    driver.run(new Remove(fs, 'drop'));
    driver.run(new Sync(fs));
    const empty = () =>
      Array.from({ length: fs.space.segments }, (_, i) => fs.space.usedIn(i)).filter(
        (n) => n === 0,
      );
    const before = empty().length;
    for (let i = 0; i < 5; i++) expect(driver.run(new Clean(fs))).toBe(true);
    expect(empty().length).toBeGreaterThanOrEqual(before + 2);
    fs.pool.blocks.evictAll();
    const found = new Uint8Array(keep.size);
    driver.run(new BufferedRead().begin(keep, 0, found.length, found));
    expect(found.every((byte, i) => byte === Math.floor(i / BLOCK_SIZE))).toBe(true);
  });
});

it('a reader on his way to a block that is let go finds no other data there (S1)', async () => {
  const gate = new GatedDevice(MemoryDevice.from(SMALL));
  const driver = new Driver(gate, { pause: () => Promise.resolve() });
  const fs = await driver.start(mounting(gate));
  const file = await driver.start(new Create(fs, 'a'));
  const version = (n: number) => new Uint8Array(BLOCK_SIZE).fill(n);
  const store = async (n: number) => {
    await driver.start(new BufferedWrite().begin(file, 0, version(n)));
    let synced = false;
    const sync = driver.start(new Sync(fs)).then(() => {
      synced = true;
    });
    // Whatever comes after the reader passes him.
    while (!synced) await (gate.waiting.length > 1 ? gate.passOne('last') : gate.pass('flush'));
    await sync;
  };
  // The log comes back to any segment but the first, which is never empty.
  for (let i = 0; i < 6; i++) await store(0);
  const found = new Uint8Array(BLOCK_SIZE);
  const read = new BufferedRead().begin(file, 0, BLOCK_SIZE, found);
  await driver.start(read);
  fs.pool.blocks.forget(blockWithData(fs));
  gate.shut();
  const reading = driver.start(read.begin(file, 0, BLOCK_SIZE, found));
  // The log goes around more than once.
  for (let n = 1; n <= 40; n++) await store(n);
  await Promise.all([reading, gate.open()]);
  expect(found).toEqual(version(40));
});

it('what changes while a sync is being written belongs to the next (A5, M1)', async () => {
  const device = MemoryDevice.from(LARGE);
  const gate = new GatedDevice(device);
  const driver = new Driver(gate, { pause: () => Promise.resolve() });
  const fs = await driver.start(mounting(gate));
  const file = await driver.start(new Create(fs, 'a'));
  await driver.start(new BufferedWrite().begin(file, 0, new Uint8Array(3 * BLOCK_SIZE).fill(7)));
  const sizes = () => {
    const again = mounted(MemoryDevice.from(imageOf(device)));
    return [again.open('a').size / BLOCK_SIZE, again.space.idle];
  };
  gate.shut();
  const sync = driver.start(new Sync(fs));
  // The data; then maps, inodes and tables wait.
  await gate.pass('write');
  expect([gate.waiting, fs.syncing?.closed]).toEqual([['write'], true]);
  driver.run(new Truncate(file, BLOCK_SIZE));
  await Promise.all([sync, gate.open()]);
  const used = 2 + 3 + 3;
  expect(sizes()).toEqual([3, 512 - used]);
  await driver.start(new Sync(fs));
  expect(sizes()).toEqual([1, 512 - used + 2]);
});

/** The only block with data. */
function blockWithData({ space }: LogFilesystem): Block {
  const blocks = Array.from({ length: space.blocks }, (_, block) => block as Block);
  return blocks.find((block) => space.purposeOf(block).use === Use.DATA) as Block;
}

describe('errors', () => {
  it('a device without an image is not mounted', () => {
    const device = new MemoryDevice({ size: 72 * BLOCK_SIZE });
    expect(() => LogWorld.on(device)).toThrow('Cannot mount: neither checkpoint is valid');
    expect(() => LogWorld.on(MemoryDevice.from(SMALL.slice(0, 40 * BLOCK_SIZE)))).toThrow(
      'Cannot mount 0x28000 bytes: the image has 0x48000 bytes',
    );
  });

  it('a sync that failed after it had closed ends all changes, and reading goes on', () => {
    const device = new FaultDevice(MemoryDevice.from(LARGE));
    const subject = LogWorld.on(device);
    const { fs, driver } = subject;
    const start = { other: 'b', at: 0, length: 3 * BLOCK_SIZE, seed: 1 };
    runAtOnce(subject, [
      { ...start, do: 'create', name: 'a' },
      { ...start, do: 'write', name: 'a' },
    ]);
    device.inject({ on: 'flush', effect: 'fail' });
    expect(() => driver.run(new Sync(fs))).toThrow(/flush/);
    device.heal();
    subject.pool.blocks.evictAll();
    subject.compare();
    expect(() => driver.run(new Create(fs, 'b'))).toThrow('it has to be mounted again');
    expect(() => driver.run(new Sync(fs))).toThrow('it has to be mounted again');
    subject.remount();
    subject.compare();
  });

  it('a damaged block is an error that says where, and nothing is made up', () => {
    const device = new MemoryDevice({ size: LARGE.length });
    device.write(0, LARGE);
    const subject = LogWorld.on(device);
    const start = { name: 'a', other: 'b', at: 0, length: 3 * BLOCK_SIZE, seed: 1 };
    runAtOnce(subject, [
      { ...start, do: 'create' },
      { ...start, do: 'write' },
      { ...start, do: 'sync' },
    ]);
    subject.pool.blocks.evictAll();
    device.write(3 * BLOCK_SIZE + 100, new Uint8Array([1, 2, 3]));
    expect(() => subject.compare()).toThrow('Cannot read data block at 0x3000: checksum is');
    device.write(5 * BLOCK_SIZE, new Uint8Array([1, 2, 3]));
    expect(() => LogWorld.on(device)).toThrow('Cannot read map block at 0x5000: checksum is');
  });
});
