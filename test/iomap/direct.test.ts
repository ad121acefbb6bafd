/**
 * Direct reads and writes, stopped at the device while others pass them; and what comes of them
 * without one of their guards.
 */
import { describe, expect, it } from 'vitest';
import { type Mapping, MappingType } from '../../src/iomap/index.ts';
import { control } from './control.ts';
import { StingyToy } from './difficult-toys.ts';
import {
  audit,
  B,
  cloning,
  expectSame,
  noise,
  Rig,
  type RigOptions,
  reading,
  readingDirectly,
  truncating,
  writing,
  writingDirectly,
} from './rig.ts';
import { ToyFile } from './toy-filesystem.ts';

const OLD = noise(40 * B);

async function stored(options: RigOptions = {}): Promise<{ rig: Rig; file: ToyFile }> {
  const rig = new Rig(options);
  return { rig, file: await rig.stored(OLD) };
}

function patched(...patches: (readonly [at: number, bytes: Uint8Array])[]): Uint8Array {
  const end = Math.max(OLD.length, ...patches.map(([at, { length }]) => at + length));
  const bytes = new Uint8Array(end);
  bytes.set(OLD);
  for (const [at, patch] of patches) bytes.set(patch, at);
  return bytes;
}

async function expectContents(rig: Rig, file: ToyFile, wanted: Uint8Array): Promise<void> {
  await rig.gate.open();
  expectSame(await rig.contents(file), wanted);
  await rig.do(rig.syncing());
  rig.forget();
  expectSame(await rig.contents(file), wanted);
  audit(rig);
}

describe('a direct read', () => {
  it('fills the memory of its caller, and no frame', async () => {
    const { rig, file } = await stored();
    const target = new Uint8Array(20 * B + 200);
    await rig.do(readingDirectly(file, 100, target));
    expectSame(target, OLD.subarray(100, 20 * B + 300));
    // The two edges.
    expect(rig.cache.loads).toBe(2);
    audit(rig);
  });

  it('of more than a small cache holds finds room for an edge', async () => {
    const rig = new Rig({ frames: 64 });
    const bytes = noise(65 * B - 100);
    const file = await rig.stored(bytes);
    const blocks = Array.from({ length: 64 }, (_, i) => 63 - i);
    for (const block of blocks) await rig.do(reading(file, block * B, new Uint8Array(B)));
    const target = new Uint8Array(bytes.length);
    await rig.do(readingDirectly(file, 0, target));
    expectSame(target, bytes);
    audit(rig);
  });

  it('shows one moment of the file: what was there when it was looked up', async () => {
    const { rig, file } = await stored({ gated: true });
    await rig.do(writing(file, B, noise(B, 2)));
    const wanted = patched([B, noise(B, 2)]);
    rig.gate.shut();
    const target = new Uint8Array(100 * B);
    const read = rig.start(readingDirectly(file, 0, target));
    rig.run(writing(file, 0, noise(3 * B, 3)));
    rig.run(writing(file, 40 * B, noise(B, 4)));
    rig.run(truncating(file, 39 * B));
    rig.run(writing(file, 39 * B, noise(9 * B, 5)));
    const [count] = await rig.open(read);
    expectSame(target.subarray(0, count), wanted);
    await rig.do(rig.syncing());
    audit(rig);
  });

  // The bytes that were added, beside those from before.
  it('ends where the file ended, if that gets longer meanwhile', async () => {
    const { rig, file } = await stored({ gated: true });
    rig.gate.shut();
    const target = new Uint8Array(100 * B);
    const read = rig.start(readingDirectly(file, 0, target));
    rig.run(writing(file, 0, noise(50 * B, 3)));
    expect(await rig.open(read)).toEqual([40 * B]);
    expectSame(target.subarray(0, 40 * B), OLD);
    await rig.do(rig.syncing());
    audit(rig);
  });

  // It said EIO, of a device that was right.
  it('does not take for rot what others do to the memory of its caller', async () => {
    const { rig, file } = await stored();
    const target = new Uint8Array(40 * B);
    const { readv } = rig.memory;
    rig.memory.readv = (position, buffers) => {
      rig.memory.readv = readv;
      readv.call(rig.memory, position, buffers);
      target.fill(7, B + 5, 30 * B);
      return undefined;
    };
    await rig.do(readingDirectly(file, 0, target));
    expectSame(target, OLD);
    audit(rig);
  });

  it('tells rot, and what it has read before', async () => {
    const rig = new Rig({ deviceBlocks: 3000 });
    const bytes = noise(1100 * B);
    const file = await rig.stored(bytes);
    rig.memory.write((file.map.get(1050) as number) * B, noise(1, 2));
    const target = new Uint8Array(1100 * B);
    expect(await rig.do(readingDirectly(file, 0, target))).toBe(1024 * B);
    expectSame(target.subarray(0, 1024 * B), bytes.subarray(0, 1024 * B));
    const rest = rig.do(readingDirectly(file, 1024 * B, target));
    await expect(rest).rejects.toThrow(/data block at .*checksum/);
    audit(rig);
  });
});

describe('a direct write', () => {
  it('changes nothing if the device fails', async () => {
    const { rig, file } = await stored();
    await rig.do(writing(file, B, noise(B, 2)));
    const map = new Map(file.map);
    rig.device.inject({ on: 'write', effect: 'fail' });
    const write = rig.do(writingDirectly(file, 100, noise(50 * B, 3)));
    await expect(write).rejects.toMatchObject({ code: 'EIO' });
    rig.device.heal();
    expect(file.map).toEqual(map);
    await expectContents(rig, file, patched([B, noise(B, 2)]));
  });

  it('changes nothing if one run of many fails', async () => {
    const { rig, file } = await stored({ deviceBlocks: 200 });
    for (let block = 41; block < 200; block += 3) rig.toy.counts[block] = 1;
    rig.device.inject({ on: 'write', effect: 'fail', within: { position: 60 * B, length: B } });
    const write = rig.do(writingDirectly(file, 100, noise(30 * B, 3)));
    await expect(write).rejects.toMatchObject({ code: 'EIO' });
    rig.device.heal();
    for (let block = 41; block < 200; block += 3) rig.toy.counts[block] = 0;
    await expectContents(rig, file, OLD);
  });

  it('can be given up before the device was asked, and not later', async () => {
    const { rig, file } = await stored({ gated: true });
    const controller = new AbortController();
    controller.abort(new Error('no longer wanted'));
    const { signal } = controller;
    const early = rig.driver.start(writingDirectly(file, 0, noise(B, 2)), { signal });
    await expect(early).rejects.toThrow('no longer wanted');
    rig.gate.shut();
    const late = new AbortController();
    const write = rig.driver.start(writingDirectly(file, 0, noise(B, 3)), { signal: late.signal });
    late.abort(new Error('no longer wanted'));
    expect(await rig.open(write)).toEqual([B]);
    await expectContents(rig, file, patched([0, noise(B, 3)]));
  });

  // The refusal ended the write; its places were given away while the device wrote there.
  it('goes on if a call in this turn would have to wait for it', async () => {
    const { rig, file } = await stored({ gated: true });
    rig.gate.shut();
    const write = rig.start(writingDirectly(file, 0, noise(4 * B, 3)));
    expect(() => rig.run(truncating(file, B))).toThrow(/asynchronous/);
    expect(await rig.open(write)).toEqual([4 * B]);
    await expectContents(rig, file, patched([0, noise(4 * B, 3)]));
  });

  it('takes the places of what is written back in its range', async () => {
    const { rig, file } = await stored({ gated: true });
    rig.run(writing(file, B, noise(2 * B, 2)));
    rig.gate.shut();
    const sync = rig.start(rig.syncing());
    const write = rig.start(writingDirectly(file, 2 * B + 5, noise(B, 3)));
    await rig.gate.pass('read');
    expect(rig.gate.waiting, 'it waits for the writeback').toEqual(['write']);
    await rig.open(sync, write);
    await expectContents(rig, file, patched([B, noise(2 * B, 2)], [2 * B + 5, noise(B, 3)]));
  });

  it('is done in part if the space runs out', async () => {
    const rig = new Rig({ deviceBlocks: 10, toy: StingyToy });
    const file = new ToyFile(rig.toy);
    expect(await rig.do(writingDirectly(file, 0, OLD))).toBe(10 * B);
    await expect(rig.do(writingDirectly(file, 10 * B, OLD))).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    await expectContents(rig, file, OLD.subarray(0, 10 * B));
  });

  it('is in a clone that was asked for while it was on its way', async () => {
    const { rig, file } = await stored({ gated: true });
    rig.gate.shut();
    const write = rig.start(writingDirectly(file, B, noise(30 * B, 2)));
    const clone = rig.start(cloning(file));
    const [, made] = await rig.open<unknown>(write, clone);
    expectSame(await rig.contents(made as ToyFile), patched([B, noise(30 * B, 2)]), 'clone');
    await expectContents(rig, file, patched([B, noise(30 * B, 2)]));
  });
});

control(
  'D1, what a direct reader is on his way to is given away',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true, deviceBlocks: 42 });
    takeAway(rig, file);
    rig.gate.shut();
    const target = new Uint8Array(B);
    const read = rig.start(readingDirectly(file, 0, target));
    for (const version of [2, 3]) {
      rig.run(writing(file, 0, noise(B, version)));
      const sync = rig.start(rig.syncing());
      await Promise.all([sync, rig.gate.pass('write')]);
    }
    await rig.open(read);
    expectSame(target, OLD.subarray(0, B));
    await expectContents(rig, file, patched([0, noise(B, 3)]));
  },
  ({ cache }) => {
    cache.held.has = () => false;
  },
  /bytes at 0/,
);

control(
  'E1, older data is mapped over that of a direct write',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true });
    rig.run(writing(file, 0, noise(B, 2)));
    takeAway(rig, file);
    rig.gate.shut();
    const write = rig.start(writingDirectly(file, 0, noise(B, 3)));
    const sync = rig.start(rig.syncing());
    await rig.gate.passOne('first');
    await rig.open<unknown>(write, sync);
    await expectContents(rig, file, patched([0, noise(B, 3)]));
  },
  (_, { cowLock }) => {
    cowLock.free = () => true;
    cowLock.acquire = () => true;
  },
  /bytes at 0|a held frame|frame/,
);

control(
  'E1, what was written meanwhile is dropped',
  async (takeAway) => {
    const { rig, file } = await stored({ gated: true });
    takeAway(rig, file);
    rig.gate.shut();
    const direct = rig.start(writingDirectly(file, 0, noise(4 * B, 2)));
    const buffered = rig.start(writing(file, B, noise(B, 3)));
    await rig.open(direct, buffered);
    await expectContents(rig, file, patched([0, noise(4 * B, 2)], [B, noise(B, 3)]));
  },
  (_, { lock }) => {
    lock.free = () => true;
  },
  /bytes at 4096/,
);

for (const memory of ['of its own', 'shared'] as const) {
  control(
    `E2, memory ${memory} is changed while it is being written`,
    async (takeAway) => {
      const shared = memory === 'shared';
      const { rig, file } = await stored({ gated: !shared, immediate: shared });
      takeAway(rig, file);
      const data = new Uint8Array(shared ? new SharedArrayBuffer(4 * B) : new ArrayBuffer(4 * B));
      data.set(noise(4 * B, 2));
      if (shared) {
        const { writev } = rig.memory;
        rig.memory.writev = (position, written) => {
          data.fill(9, B, 2 * B);
          return writev.call(rig.memory, position, written);
        };
      }
      rig.gate.shut();
      const started = rig.start(writingDirectly(file, B, data));
      data.fill(9, B, 2 * B);
      await rig.open(started);
      await expectContents(rig, file, patched([B, noise(4 * B, 2)]));
    },
    ({ toy: { pool } }) => {
      pool.isStable = () => true;
    },
    /data block at .*checksum/,
  );
}

it('E2: memory that nobody can change is not copied', async () => {
  const { rig, file } = await stored({ immediate: true });
  const data = noise(4 * B, 2);
  let copies = 0;
  const { writev } = rig.memory;
  rig.memory.writev = (position, written) => {
    copies += written.filter(({ buffer }) => buffer !== data.buffer).length;
    return writev.call(rig.memory, position, written);
  };
  await rig.do(writingDirectly(file, B, data));
  expect(copies).toBe(0);
  await rig.do(writingDirectly(file, B + 1, data));
  expect(copies, 'the edges').toBe(2);
});

control(
  'an edge does not keep its bytes',
  async (takeAway) => {
    const { rig, file } = await stored();
    takeAway(rig, file);
    await rig.do(writingDirectly(file, 100, noise(3 * B, 2)));
    await expectContents(rig, file, patched([100, noise(3 * B, 2)]));
  },
  ({ toy }) => {
    const { begin } = toy;
    toy.begin = (file, request, answer, plan) => {
      const done = begin(file, request, answer, plan);
      if (request.whole) {
        for (let i = 0; i < answer.sourceCount; i++) {
          (answer.sources[i] as Mapping).type = MappingType.HOLE;
        }
      }
      return done;
    };
  },
  /bytes at 0/,
);

control(
  'what was dirty hides a direct write',
  async (takeAway) => {
    const { rig, file } = await stored();
    await rig.do(writing(file, 0, noise(2 * B, 2)));
    takeAway(rig, file);
    await rig.do(writingDirectly(file, 100, noise(B, 3)));
    const [older, newer] = [noise(2 * B, 2), noise(B, 3)];
    await expectContents(rig, file, patched([0, older], [100, newer]));
  },
  (_, file) => {
    file.dropDirty = () => ({ blocks: 0, folios: 0 });
  },
  /bytes at 100/,
);
