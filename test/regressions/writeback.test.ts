/** Writeback: which blocks it takes, which it maps, and what is durable afterwards. */
import { expect } from 'vitest';
import { giveDevice } from '../../src/api/device-use.ts';
import { Volume } from '../../src/api/index.ts';
import { type Block, errorCode, MIB, PlainIo, Plan } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { InodeKind, type Mutation } from '../../src/format/index.ts';
import { Writeback } from '../../src/iomap/index.ts';
import type { Group } from '../../src/store/group.ts';
import { CrashDevice, dropAll } from '../../src/testing/index.ts';
import { lookup, type Vnode, WriteFile } from '../../src/volume/index.ts';
import { COMMON } from '../api/bench.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { create, mount } from '../volume/rig.ts';
import { regression } from './regression.ts';
import { NOW, OpenVolume, patched, VolumeRig } from './rig.ts';
import { sourcesOf } from './stale.ts';

const OLD = noise(40 * B);

/** A volume with `/file`, which shares all of its blocks, in memory as far as writing needs it. */
async function withFile(): Promise<VolumeRig> {
  const rig = await VolumeRig.make();
  await rig.stored('/donor', OLD);
  await rig.volume.clone('/donor', '/file');
  await rig.volume.sync();
  await rig.read(await rig.file('/file'), 0, 3 * B);
  return rig;
}

/** The file and its donor hold these bytes, whatever is in memory. */
async function expectFile(rig: VolumeRig, wanted: Uint8Array): Promise<void> {
  await rig.gate.open();
  const [file, donor] = [await rig.file('/file'), await rig.file('/donor')];
  expectSame(await rig.read(file), wanted, 'the file');
  await rig.audit();
  rig.evict();
  expectSame(await rig.read(file), wanted, 'the file on the device');
  expectSame(await rig.read(donor), OLD, 'the donor');
}

/**
 * Linux until 6.7: what was reserved for copying is longer than one write, and when that was done,
 * XFS mapped all of it: blocks that had not been written yet, with whatever was in them.
 */
regression('T10 more is mapped than was written', {
  rig: withFile,
  body: async (rig) => {
    const file = await rig.file('/file');
    const mapped = () => sourcesOf(rig.engine.iomapOps, file, { offset: 0, length: 3 * B });
    const before = mapped().map(({ address, length }) => [address, length]);
    expect(before).toEqual([[expect.any(Number), 3 * B]]);
    const address = before[0]?.[0] as number;
    rig.writeNow(file, 0, noise(B, 2));
    rig.gate.shut();
    const sync = rig.writeback(file);
    rig.writeNow(file, B, noise(B, 3));
    await rig.open(sync);
    const after = mapped().map((mapping) => [mapping.offset, mapping.address]);
    expect(after.slice(1), 'what is not complete').toEqual([[B, address + B]]);
    await expectFile(rig, patched(OLD, [0, noise(B, 2)], [B, noise(B, 3)]));
  },
  controls: {
    'mapping the blocks of the write': {
      takeAway: ({ engine }, patch) => {
        const { iomapOps, store } = engine;
        patch(iomapOps, 'place', () => (_file, _offset, blocks, placement) => {
          const run = store.space.allocateData(blocks + 1);
          Object.assign(placement, { block: run.block, count: run.length - 1 });
        });
        patch(iomapOps, 'complete', (complete) => (ioend) => {
          const frames = [...ioend.frames, ...ioend.frames.slice(0, 1)];
          complete({ ...ioend, frames, checksums: Uint32Array.of(...ioend.checksums, 0) });
        });
      },
      harm: /what is not complete/,
    },
  },
});

/**
 * Linux until 5.16: when the write of copied data failed, XFS gave back what it had in the CoW fork
 * and left the reservation in the data fork: a later clone came upon it, and stopped.
 */
regression('T11 a failed writeback leaves something behind', {
  rig: withFile,
  body: async (rig) => {
    const file = await rig.file('/file');
    const { store, pool } = rig.engine;
    rig.writeNow(file, 100, noise(B, 2));
    const [{ idle }, { reserved }] = [store.groups, store.space];
    rig.device.inject({ on: 'write', effect: 'fail' });
    for (let i = 0; i < 2; i++) {
      const clone = rig.volume.clone('/file', '/clone');
      expect(await clone.catch(errorCode), 'a clone of what cannot be written').toBe('EIO');
    }
    expect([store.groups.idle, store.space.reserved], 'blocks').toEqual([idle, reserved]);
    expect(pool.dirtyBlocks, 'dirty blocks').toBe(2);
    expect(await rig.fs.promises.readdir('/')).not.toContain('clone');
    rig.device.heal();
    await rig.volume.clone('/file', '/clone');
    const wanted = patched(OLD, [100, noise(B, 2)]);
    expectSame(await rig.read(await rig.file('/clone')), wanted, 'the clone');
    await expectFile(rig, wanted);
  },
  controls: {
    'taking back where it was to go': {
      takeAway: ({ engine: { store } }, patch) => patch(store.space, 'takeBack', () => () => {}),
      harm: /blocks: expected/,
    },
    'data that is dirty again': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool.folios, 'markDirty', (markDirty) => (folio, i) => {
          return pool.folios.frame(folio, i) >= 0 && pool.active.size === 0 && markDirty(folio, i);
        }),
      harm: /a clone of what cannot be written/,
    },
  },
});

/**
 * Linux 5.16 to 5.17: mounting for writing gives back blocks that copies in flight had before a
 * crash. It was done too when a mount became writable, while files were open and used them.
 */
regression('T13 a second mount gives back what open files use', {
  rig: async () => {
    const device = new MemoryDevice({ size: 10 * MIB });
    const options = { ...COMMON, cacheBytes: 4 * MIB };
    create(device, { logBlocks: 8 });
    const volume = await Volume.open(device, options);
    return { device, options, volume };
  },
  body: async ({ device, options, volume }) => {
    const bytes = noise(6 * MIB);
    const file = await volume.fs.promises.open('/file', 'w+');
    await file.write(bytes, 0, bytes.length, 0);
    await volume.fs.promises.unlink('/file');
    await volume.sync();
    const second = await Volume.open(device, options).catch(errorCode);
    if (second instanceof Volume) {
      for (let i = 0; i < 3; i++) await second.sync();
      await second.reclaim();
      for (let i = 0; i < 3; i++) await second.sync();
      await second.fs.promises.writeFile('/other', noise(6 * MIB, 2));
      await second.sync();
    }
    const found = new Uint8Array(bytes.length);
    await file.read(found, 0, bytes.length, 0);
    expectSame(found, bytes, 'the open file');
    expect(second).toBe('EBUSY');
    await file.close();
    await volume.close();
  },
  controls: {
    'one owner of a device': {
      takeAway: ({ device }) => giveDevice(device),
      harm: /EIO/,
    },
  },
});

/**
 * The same bug without a mount: the counts of blocks leave memory, and when they come back, blocks
 * that were handed out and that no map names yet must not be idle.
 */
regression('T13 blocks in flight are handed out again', {
  rig: async () => {
    const memory = new MemoryDevice({ size: 8 * MIB });
    // What nodes need and what data needs is in groups of its own.
    const first = create(memory, { groupBlocks: 256, logBlocks: 8 });
    const bytes = noise(300 * B);
    first.driver.run(first.engine.apply(creating(first.engine.live, 'file')));
    first.driver.run(first.engine.commit());
    const { engine, driver } = mount(memory, { countCapacity: 1 });
    const gate = new GatedDevice(memory);
    const slow = new Driver(gate, { pause: later });
    const file = driver.run(lookup(engine, engine.live, 'file'));
    driver.run(new WriteFile(engine).write(file, 0, bytes, 0, bytes.length, NOW));
    driver.run(engine.commit());
    return { memory, engine, gate, driver: slow, file };
  },
  body: async ({ memory, engine, gate, driver, file }) => {
    const { groups } = engine.store;
    const blocks: number[] = [];
    const place = engine.iomapOps.place.bind(engine.iomapOps);
    engine.iomapOps.place = (of, offset, count, placement) => {
      place(of, offset, count, placement);
      for (let i = 0; i < placement.count; i++) blocks.push(placement.block + i);
    };
    await driver.start(engine.apply(creating(engine.live, 'other')));
    gate.shut();
    // A commit that has closed: what is written now is not its concern. When it ends it trims.
    const closed = engine.store.commit();
    const commit = driver.start(closed);
    expect(closed.closed, 'the commit has closed').toBe(true);
    const own = gate.waiting.length;
    const write = new WriteFile(engine).write(file, 0, noise(B, 2), 0, B, NOW);
    expect(driver.run(write)).toBe(B);
    const sync = driver.start(new Writeback(engine.pool));
    expect(blocks, 'blocks in flight').toHaveLength(1);
    for (let i = 0; i < own; i++) await gate.passOne('first');
    await gate.pass('flush');
    for (let i = 0; i < 2; i++) await gate.passOne('last');
    await gate.pass('flush');
    await commit;
    expect(gate.waiting, 'what is left in flight').toEqual(['write']);
    for (const block of blocks) {
      const number = groups.groupOf(block as Block);
      const load = new Plan();
      load.restart();
      groups.want(number, load);
      for (const io of load.io) {
        memory.readv(io.position, io.buffers);
        io.finish(undefined);
      }
      const group = groups.loaded(number) as Group;
      expect(group.isIdle(block - group.start), `block ${block} is idle`).toBe(false);
    }
    await gate.open();
    await sync;
    await driver.start(engine.commit());
    expect(recount(imageOf(memory))).toEqual([]);
  },
  controls: {
    'keeping the counts of what is in flight': {
      takeAway: ({ engine: { store } }, patch) =>
        patch(store.groups, 'trim', (trim) => () => {
          for (let g = 0; g < store.groups.geometry.groupCount; g++) {
            const group = store.groups.loaded(g);
            if (group !== undefined) group.idleCount = group.free;
          }
          trim();
        }),
      harm: /block \d+ is idle: expected true to be false/,
    },
  },
});

/** The record of a new file. */
function creating(parent: Vnode, name: string): Mutation {
  const inode = { kind: InodeKind.FILE, mode: 0o600, uid: 0, gid: 0, rdev: 0, target: '' };
  return { type: 'create', parent: parent.id, name, ...inode, time: NOW, ino: 0, handle: 0 };
}

/** Lets others run. */
function later(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/**
 * Linux until 5.10: writeback that had to begin anew, since space could not be had, kept its choice
 * between the forks from before; the other fork had changed meanwhile, and the data was dropped.
 */
regression('T15 writeback goes by a choice that is no longer right', {
  rig: withFile,
  body: async (rig) => {
    const { iomapOps } = rig.engine;
    const data = patched(noise(100, 2), [2 * B, noise(B, 3)]);
    await rig.fs.promises.writeFile('/small', data.subarray(0, 100));
    const file = await rig.file('/small');
    // It is small enough for its inode; then something is missing, and it grows meanwhile.
    const planComplete = iomapOps.planComplete.bind(iomapOps);
    const missing = new PlainIo('read', 0, [new Uint8Array(B)]);
    iomapOps.planComplete = (ioend, plan) => {
      if (missing.finished) return planComplete(ioend, plan);
      plan.need(missing);
      return false;
    };
    rig.gate.shut();
    const sync = rig.writeback(file);
    expect(rig.gate.waiting).toEqual(['read']);
    rig.writeNow(file, 2 * B, data.subarray(2 * B));
    await rig.open(sync);
    expectSame(await rig.read(file), data, 'the small file');
    await rig.audit();
    rig.evict();
    expectSame(await rig.read(file), data, 'the small file on the device');
  },
  controls: {
    'choosing anew': {
      takeAway: ({ engine }, patch) => {
        // When blocks are counted, when they are placed, and when they are complete.
        let asked = 0;
        patch(engine.iomapOps, 'isInline', (isInline) => (file) => asked++ < 3 || isInline(file));
      },
      harm: /the small file on the device at 0 .*found 0/,
    },
  },
});

/** A volume on a device that forgets what no flush has covered. */
async function onCrashDevice(): Promise<{ device: CrashDevice; volume: OpenVolume }> {
  const device = new CrashDevice({ size: 8 * MIB });
  create(device, { logBlocks: 8 });
  const volume = await OpenVolume.on(device, new Driver(device, { pause: later }), COMMON);
  volume.fs.writeFileSync('/file', OLD);
  volume.syncSync();
  return { device, volume };
}

/**
 * Linux until 5.5: a synchronous write behind the end of a file took the short way, one write that
 * goes past the cache of the disk, though the new size was not on the disk. After a crash the bytes
 * were there and the file ended before them.
 */
regression('T18 a synchronous append is lost in a crash', {
  rig: onCrashDevice,
  body: async ({ device, volume }) => {
    const { fs } = volume;
    const fd = fs.openSync('/file', 'as');
    fs.writeSync(fd, noise(40_000, 2));
    const left = MemoryDevice.from(device.crash(dropAll));
    const wanted = patched(OLD, [OLD.length, noise(40_000, 2)]);
    using later = Volume.openSync(left, COMMON);
    expectSame(later.fs.readFileSync('/file') as Uint8Array, wanted, 'what a crash leaves');
  },
  controls: {
    'telling the log the size where it has changed': {
      takeAway: ({ volume: { inside } }, patch) => patch(inside.records, 'sized', () => () => {}),
      harm: /length of what a crash leaves/,
    },
  },
});

/**
 * Linux until 6.13: when an append was complete, the size was set to the end of its last block
 * rather than to its last byte. After a crash a file ended with zeros that nobody had written.
 */
regression('T19 after a crash a file ends with zeros', {
  rig: withFile,
  body: async (rig) => {
    const file = await rig.file('/file');
    const whole = patched(OLD, [OLD.length, noise(1000, 2)]);
    const ends = [OLD.length, OLD.length + 100, whole.length];
    for (const [i, end] of ends.entries()) {
      const start = ends[i - 1] ?? end;
      rig.writeNow(file, start, whole.subarray(start, end));
      rig.gate.shut();
      const sync = rig.start(rig.engine.commit());
      const images: Uint8Array[] = [];
      do {
        images.push(imageOf(rig.memory));
        await rig.gate.passOne('first');
      } while (rig.gate.waiting.length > 0);
      await rig.open(sync);
      images.push(imageOf(rig.memory));
      for (const image of images) {
        const left = await VolumeRig.from(image);
        const found = await left.read(await left.file('/file'));
        expect([start, end], 'bytes that a crash leaves').toContain(found.length);
        expectSame(found, whole.subarray(0, found.length), 'what a crash leaves');
      }
    }
    await expectFile(rig, whole);
  },
  controls: {
    'a size in bytes': {
      takeAway: ({ engine }, patch) =>
        patch(engine.iomapOps, 'complete', (complete) => (ioend) => {
          const end = ioend.offset + ioend.frames.length * B;
          Object.assign(ioend.file, { size: Math.max(ioend.file.size, end) });
          complete(ioend);
        }),
      harm: /bytes that a crash leaves/,
    },
  },
});
