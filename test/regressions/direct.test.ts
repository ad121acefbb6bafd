/** Direct writes: the same bugs past the cache, and some that only they could have. */
import { expect, it } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume } from '../../src/api/index.ts';
import { errorCode, MIB, type Operation, PlannedOperation } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { ATOMIC_WRITE_MAX, DirectWrite, type InFlight } from '../../src/iomap/index.ts';
import { CrashDevice, dropAll } from '../../src/testing/index.ts';
import { type Vnode, WriteFileDirect } from '../../src/volume/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { StingyToy } from '../iomap/difficult-toys.ts';
import { audit, B, expectSame, noise, Rig, writing, writingDirectly } from '../iomap/rig.ts';
import { ToyFile } from '../iomap/toy-filesystem.ts';
import { imageOf } from '../volume/recount.ts';
import { type Patch, regression } from './regression.ts';
import { expectFiles, NOW, patched, sharedVolume, VolumeRig } from './rig.ts';
import { rememberSources } from './stale.ts';

const OLD = noise(40 * B);

const expectAll = (rig: VolumeRig, wanted: Record<string, Uint8Array>): Promise<void> =>
  expectFiles(rig, wanted, true);

/** Fails if all of these have not ended after some turns of the event loop. */
async function ends<T>(rig: VolumeRig, ...started: Promise<T>[]): Promise<T[]> {
  let ended = false;
  const all = Promise.all(started).finally(() => {
    ended = true;
  });
  all.catch(() => {});
  await rig.gate.open();
  for (let i = 0; i < 200 && !ended; i++) await new Promise((resolve) => setImmediate(resolve));
  if (!ended) throw new Error('nothing goes on any more');
  return await all;
}

/** CVE-2026-64600 once more: what was sampled before the wait is not what is there after it. */
regression('T1 a direct write keeps what its edge was before it waited', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const [other, data] = [noise(B, 2), noise(B, 3)];
    await rig.read(file, 20 * B, 1);
    await rig.write(file, B, other);
    rig.gate.shut();
    const write = rig.writeDirectly(file, B + 100, data);
    const sync = rig.writeback(file);
    await rig.gate.pass('write');
    await sync;
    rig.evict();
    await rig.open(write);
    await expectAll(rig, { '/donor': OLD, '/file': patched(OLD, [B, other], [B + 100, data]) });
  },
  controls: {
    'asking for the sources anew after the wait': {
      takeAway: ({ engine }, patch) => rememberSources(engine.iomapOps, patch),
      harm: /\/file at 4096 /,
    },
  },
});

/**
 * Linux until 6.18: an atomic write over extents of several kinds was given a mapping that was not
 * cut to what it may write, and another range was converted than the one that was written.
 */
regression('T21 an atomic write over several kinds of space is seen in parts', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const { volume } = rig;
    const file = await rig.file('/file');
    await rig.write(file, 3 * B, noise(B, 2));
    await volume.sync();
    await volume.punch('/file', 5 * B, 2 * B);
    await rig.write(file, 8 * B + 7, noise(100, 3));
    await volume.allocate('/file', 40 * B, 8 * B);
    const before = await rig.read(file);
    const data = noise(44 * B, 4);
    rig.gate.shut();
    const write = rig.writeDirectly(file, B + 50, data);
    const looks: Promise<unknown>[] = [];
    // Whenever the device has done something, somebody makes a clone.
    for (let i = 0; i < 12; i++) {
      looks.push(volume.clone('/file', `/clone${i}`));
      await rig.gate.passOne('first');
    }
    await ends(rig, write, ...looks);
    const after = patched(before, [B + 50, data]);
    const seen = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const clone = await rig.read(await rig.file(`/clone${i}`));
      seen.add(
        Buffer.compare(clone, before) === 0 || Buffer.compare(clone, after) === 0
          ? 'old or new'
          : 'a part',
      );
    }
    expect([...seen], 'clones').toEqual(['old or new']);
    await expectAll(rig, { '/donor': OLD, '/file': after });
  },
  controls: {
    'a destination for all of it': {
      takeAway: ({ engine: { iomapOps } }, patch) =>
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          if (done && request.whole) {
            const { destination } = answer;
            destination.length = Math.min(destination.length, 4 * B);
          }
          return done;
        }),
      harm: /clones: .*a part|source|edge/,
    },
  },
});

/** Linux until 5.1, where it was found: an unaligned and an aligned direct write of one range. */
regression('T24 two direct writes of one range lose one of them', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const [part, whole] = [noise(100, 2), noise(2 * B, 3)];
    rig.gate.shut();
    const writes = [
      rig.writeDirectly(file, B - 50, part),
      rig.writeDirectly(file, B, whole),
      rig.write(file, 3 * B - 50, part),
      rig.writeDirectly(file, 3 * B - 20, part),
    ];
    await ends(rig, ...writes);
    const wanted = patched(OLD, [B - 50, part], [B, whole], [3 * B - 50, part], [3 * B - 20, part]);
    await expectAll(rig, { '/donor': OLD, '/file': wanted });
  },
  controls: {
    'the range lock of the file': {
      takeAway: (rig, patch) => {
        const { table } = rig.engine;
        const file = [...table.all].find(({ name }) => name === 'file');
        if (file === undefined) throw new Error('the file is not in memory');
        patch(file.lock, 'free', () => () => true);
        patch(file.lock, 'acquire', () => () => true);
      },
      harm: /\/file at \d+ /,
    },
  },
});

/** Linux until 6.5: a write that had written a part and then failed reported the error. */
regression('T27 a direct write that was done in part reports an error', {
  rig: async () => new Rig({ deviceBlocks: 10, toy: StingyToy }),
  body: async (rig) => {
    const file = new ToyFile(rig.toy);
    const outcome = (write: DirectWrite) =>
      rig.do(write).then((count) => `${count} bytes`, errorCode);
    expect(await outcome(writingDirectly(file, 0, OLD))).toBe(`${10 * B} bytes`);
    expect(await outcome(writingDirectly(file, 10 * B, OLD))).toBe('ENOSPC');
    expectSame(await rig.contents(file), OLD.subarray(0, 10 * B), 'the file');
    audit(rig);
  },
  controls: {
    'a result that counts more than the error after it': {
      takeAway: (_, patch) =>
        patch(DirectWrite.prototype, 'fail', () => PlannedOperation.prototype.fail),
      harm: /'ENOSPC'|already|promised|locks/,
    },
  },
});

/** Linux until 6.2, of buffered writes: by a mapping from before the wait, data was "unwritten". */
regression('T2 a direct write goes by a mapping from before it waited', {
  rig: async () => {
    const rig = new Rig({ gated: true });
    return { rig, file: await rig.stored(OLD.subarray(0, 8 * B)) };
  },
  body: async ({ rig, file }) => {
    const [tail, data] = [noise(B, 2), noise(2 * B, 3)];
    // The block under the tail is a hole, with dirty data over it: as things are, no source.
    rig.run(writing(file, 9 * B, tail));
    rig.gate.shut();
    const write = rig.start(writingDirectly(file, 7 * B + 100, data));
    const sync = rig.start(rig.syncing());
    await rig.gate.pass('write');
    await sync;
    rig.cache.evictAll();
    expect(rig.gate.waiting, 'the write waits for its head').toEqual(['read']);
    await rig.open(write);
    const wanted = patched(OLD.subarray(0, 8 * B), [9 * B, tail], [7 * B + 100, data]);
    expectSame(await rig.contents(file), wanted, 'the file');
    audit(rig);
  },
  controls: {
    'asking anew after the wait': {
      takeAway: ({ rig }, patch) => rememberSources(rig.toy, patch),
      harm: /the file at 36964 .*found 0/,
    },
  },
});

/** Linux until 6.7: completion mapped staged blocks beyond those that were written. */
regression('T10 more is mapped than was written directly', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const places = () => Promise.all([1, 2, 3].map((block) => rig.address(file, block)));
    const [, ...before] = await places();
    await rig.writeDirectly(file, B, noise(B, 2));
    const [, ...after] = await places();
    expect(after, 'what was not written').toEqual(before);
    await expectAll(rig, { '/donor': OLD, '/file': patched(OLD, [B, noise(B, 2)]) });
  },
  controls: {
    'mapping the blocks of the write': {
      takeAway: ({ engine: { iomapOps, store } }, patch) => {
        patch(iomapOps, 'place', () => (_file, _offset, blocks, placement) => {
          const run = store.space.allocateData(blocks + 1);
          Object.assign(placement, { block: run.block, count: run.length - 1 });
        });
        patch(iomapOps, 'complete', (complete) => (ioend) => {
          complete({ ...ioend, checksums: Uint32Array.of(...ioend.checksums, 0) });
        });
      },
      harm: /what was not written/,
    },
  },
});

/** Linux until 5.5: a synchronous direct write behind the end was there, and the size was not. */
regression('T18 a synchronous direct append is lost in a crash', {
  rig: async () => {
    const device = new CrashDevice({ size: 8 * MIB });
    const driver = new Driver(device, { pause: async () => {} });
    const volume = await OpenVolume.on(device, driver, { ...COMMON, create: true });
    volume.fs.writeFileSync('/file', OLD);
    volume.syncSync();
    return { device, volume };
  },
  body: async ({ device, volume: { fs } }) => {
    const { O_RDWR, O_DIRECT, O_DSYNC } = constants;
    const fd = fs.openSync('/file', O_RDWR | O_DIRECT | O_DSYNC);
    fs.writeSync(fd, noise(40_000, 2), 0, 40_000, OLD.length);
    using later = Volume.openSync(MemoryDevice.from(device.crash(dropAll)), COMMON);
    const wanted = patched(OLD, [OLD.length, noise(40_000, 2)]);
    expectSame(later.fs.readFileSync('/file') as Uint8Array, wanted, 'what a crash leaves');
  },
  controls: {
    'telling the log the size where it has changed': {
      takeAway: ({ volume: { inside } }, patch) => patch(inside.records, 'sized', () => () => {}),
      harm: /length of what a crash leaves/,
    },
  },
});

/** Linux until 6.13: completion set the size to the end of a block. */
regression('T19 after a crash a file that was written directly ends with zeros', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const whole = patched(OLD, [OLD.length, noise(1000, 2)]);
    const ends = [OLD.length, OLD.length + 100, whole.length];
    for (const [i, end] of ends.slice(1).entries()) {
      const start = ends[i] as number;
      await rig.writeDirectly(file, start, whole.subarray(start, end));
      rig.gate.shut();
      const sync = rig.start(rig.engine.commit());
      const images: Uint8Array[] = [];
      do {
        images.push(imageOf(rig.memory).slice());
        await rig.gate.passOne('first');
      } while (rig.gate.waiting.length > 0);
      await rig.open(sync);
      images.push(imageOf(rig.memory).slice());
      for (const image of images) {
        const left = await VolumeRig.from(image);
        const found = await left.read(await left.file('/file'));
        expect([start, end], 'bytes that a crash leaves').toContain(found.length);
        expectSame(found, whole.subarray(0, found.length), 'what a crash leaves');
      }
    }
    await expectAll(rig, { '/donor': OLD, '/file': whole });
  },
  controls: {
    'a size in bytes': {
      takeAway: ({ engine: { iomapOps } }, patch) =>
        patch(iomapOps, 'replaced', (replaced) => (file, size, dropped) => {
          replaced(file, Math.ceil(size / B) * B, dropped);
        }),
      harm: /bytes that a crash leaves/,
    },
  },
});

/** Makes everybody who waits for what is in flight wait for a whole write. */
function followAll(rig: VolumeRig, patch: Patch, write: () => Operation<unknown>): void {
  const { active } = rig.engine.pool;
  const whole = (): InFlight => Object.assign(write(), { touches: () => true, failed: false });
  patch(active, 'add', (add) => () => add(whole()));
  patch(active, 'delete', (remove) => (part) => (part.done ? remove(whole()) : true));
}

/**
 * A direct write of two parts and a commit that was asked for while the first was on its way: the
 * second part waited for the commit, and the commit for the write.
 */
regression('a direct write and a commit wait for each other', {
  rig: async () => {
    const rig = await VolumeRig.make({ size: 16 * MIB });
    const file = await rig.stored('/file', OLD);
    const write = rig.writingDirectly(file, ATOMIC_WRITE_MAX - 2 * B, noise(4 * B, 2));
    return { rig, write };
  },
  body: async ({ rig, write }) => {
    rig.gate.shut();
    const writing = rig.start(write);
    while (rig.gate.waiting.includes('read')) await rig.gate.pass('read');
    expect(rig.gate.waiting, 'the first part is on its way').toEqual(['write']);
    const commit = rig.start(rig.engine.commit());
    // With a node changed, whoever begins anything waits for that commit.
    Object.assign(rig.engine.store, { dirtyLimit: 0 });
    expect((await ends<unknown>(rig, writing, commit))[0]).toBe(4 * B);
    const wanted = patched(OLD, [ATOMIC_WRITE_MAX - 2 * B, noise(4 * B, 2)]);
    await expectAll(rig, { '/file': wanted });
  },
  controls: {
    'parts that can be waited for': {
      takeAway: ({ rig, write }, patch) => followAll(rig, patch, () => write),
      harm: /nothing goes on/,
    },
  },
});

/**
 * A direct write on its way found no frame for the nodes that it changes, with nothing dirty but
 * nodes: it asked for a commit, which waited for it.
 */
regression('a direct write waits for a commit that waits for it', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const { blocks } = rig.engine.store;
    await rig.fs.promises.mkdir('/changed');
    rig.gate.shut();
    const write = rig.writeDirectly(file, B, noise(4 * B, 2));
    await rig.gate.pass('read');
    expect(rig.gate.waiting, 'the part is on its way').toEqual(['write']);
    const taken = Array.from({ length: blocks.available - 2 }, () => blocks.take());
    const outcome = await ends(rig, write.catch(errorCode));
    expect(outcome).toEqual(['ENOMEM']);
    for (const frame of taken) blocks.give(frame);
    await expectAll(rig, { '/donor': OLD, '/file': OLD });
  },
  controls: {
    'asking nobody who would wait': {
      takeAway: ({ engine }, patch) =>
        patch(engine.store.blocks, 'relief', () => () => engine.store.commit()),
      harm: /nothing goes on/,
    },
  },
});

/** Fills a volume to its last block. */
async function fill({ fs }: VolumeRig): Promise<void> {
  for (const length of [64 * B, B]) {
    for (let full = false; !full; ) {
      full = await fs.promises.appendFile('/filler', noise(length)).then(
        () => false,
        () => true,
      );
    }
  }
}

/**
 * Where space is short, a direct write to reserved space was paid for by what had been promised
 * there, at once: after a failure nothing was reserved any more. And the map had changed and the
 * record of the inode was not written.
 */
regression('a direct write that fails gives away what was reserved', {
  rig: async () => {
    const rig = await VolumeRig.make();
    await rig.fs.promises.writeFile('/file', noise(B));
    await rig.volume.allocate('/file', B, 200 * B);
    await fill(rig);
    await rig.volume.sync();
    return rig;
  },
  body: async (rig) => {
    const file = await rig.file('/file');
    const { space } = rig.engine.store;
    const before = space.unwritten;
    const data = noise(190 * B, 2);
    rig.device.inject({ on: 'write', effect: 'fail', times: 1000 });
    expect(await rig.writeDirectly(file, 2 * B, data).catch(errorCode)).toBe('EIO');
    rig.device.heal();
    expect(space.unwritten, 'blocks set aside').toBe(before);
    expect(await rig.writeDirectly(file, 2 * B, data)).toBe(data.length);
    expect(space.unwritten, 'blocks set aside').toBeLessThan(before - 150);
    const wanted = patched(new Uint8Array(201 * B), [0, noise(B)], [2 * B, data]);
    await expectAll(rig, { '/file': wanted });
  },
  controls: {
    'leaving the promise where it is until the end': {
      takeAway: ({ engine: { iomapOps, maps } }, patch) =>
        patch(iomapOps, 'end', (end) => (file, request, answer, outcome) => {
          end(file, request, answer, outcome);
          if (answer.promise.drawn === 0 || outcome.newBlocks === 0) return;
          const { offset, length } = request;
          const range = { first: Math.floor(offset / B), end: Math.ceil((offset + length) / B) };
          maps.unmark(file as Vnode, range);
        }),
      harm: /blocks set aside/,
    },
  },
});

it('an unaligned direct write to shared blocks reads its edges, and flushes nothing', async () => {
  const rig = await sharedVolume(OLD);
  const file = await rig.file('/file');
  // Brings the nodes in.
  await rig.volume.extents('/file');
  const { counters } = rig.device;
  const { reads, bytesRead, writes, bytesWritten, flushes } = counters;
  await rig.writeDirectly(file, 2 * B + 100, noise(20 * B, 2));
  expect([counters.reads - reads, counters.bytesRead - bytesRead], 'reads').toEqual([2, 2 * B]);
  const written = [counters.writes - writes, counters.bytesWritten - bytesWritten];
  expect(written, 'writes').toEqual([1, 21 * B]);
  expect(counters.flushes).toBe(flushes);
  await expectAll(rig, { '/donor': OLD, '/file': patched(OLD, [2 * B + 100, noise(20 * B, 2)]) });
});

it('a direct write of 16 MiB is one part in the least of memory, and takes little', async () => {
  const rig = await VolumeRig.make({ size: 40 * MIB });
  const file = await rig.stored('/file', OLD);
  const parts: number[] = [];
  class Counted extends WriteFileDirect {
    protected override wrote(position: number, length: number): void {
      parts.push(length);
      super.wrote(position, length);
    }
  }
  const { space } = rig.engine.store;
  let promised = 0;
  const { promise } = space;
  space.promise = (blocks, nodes) => {
    promised = Math.max(promised, nodes);
    promise.call(space, blocks, nodes);
  };
  const data = noise(ATOMIC_WRITE_MAX, 2);
  const write = new Counted(rig.engine).write(file, 0, data, 0, data.length, NOW);
  await rig.start(write);
  expect(parts).toEqual([ATOMIC_WRITE_MAX]);
  expect(promised, 'blocks for nodes').toBeLessThan(256);
  expect(Buffer.compare(await rig.readDirectly(file), data)).toBe(0);
  await rig.audit();
});
