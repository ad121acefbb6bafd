/** Blocks that several files use: a write to one of them is nobody else's. */
import { expect } from 'vitest';
import { type Block, MIB, PlainIo } from '../../src/base/index.ts';
import { RequestFlag } from '../../src/iomap/index.ts';
import type { Comparer } from '../../src/volume/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { imageOf } from '../volume/recount.ts';
import { regression } from './regression.ts';
import { expectFiles, NOW, patched, sharedVolume, VolumeRig } from './rig.ts';
import { rememberSources, sourcesOf } from './stale.ts';

const OLD = noise(40 * B);

/**
 * CVE-2026-64600, Linux 4.11 to 7.1: XFS let go of its lock to get space, looked at the CoW fork
 * anew and not at the data fork. The old address was not shared any more, since another write had
 * moved the file away from it, so it was written in place: into the file that it was cloned from.
 */
regression('T1 a write goes to the block that it was to copy', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const [other, data] = [noise(B, 2), noise(B, 3)];
    await rig.read(file, 20 * B, 1);
    await rig.write(file, B, other);
    rig.gate.shut();
    // Its first block is dirty, with an old one in the map that is shared; its second is not here.
    const write = rig.write(file, B + 100, data);
    const sync = rig.writeback(file);
    expect(rig.gate.waiting.sort()).toEqual(['read', 'write']);
    await rig.gate.pass('write');
    await sync;
    // Now the old one is the donor's alone.
    rig.evict();
    await rig.open(write);
    await expectFiles(rig, { '/donor': OLD, '/file': patched(OLD, [B, other], [B + 100, data]) });
  },
  controls: {
    'asking for the sources anew after the wait': {
      takeAway: ({ engine }, patch) => rememberSources(engine.iomapOps, patch),
      harm: /\/file at 4096 /,
    },
    'a destination that is never an old block': {
      takeAway: ({ engine }, patch) => {
        const { iomapOps, store } = engine;
        const old = new Map<number, number>();
        patch(iomapOps, 'begin', (begin) => (file, request, answer, plan) => {
          const done = begin(file, request, answer, plan);
          if (done && request.flag === RequestFlag.WRITE && old.size === 0) {
            for (const { offset, address } of sourcesOf({ begin }, file, request)) {
              old.set(offset, address / B);
            }
          }
          return done;
        });
        // The address from then, and what is known of it now.
        patch(iomapOps, 'place', (place) => (file, offset, blocks, placement) => {
          const block = old.get(offset) as Block | undefined;
          if (block === undefined || store.groups.count(block) !== 1) {
            place(file, offset, blocks, placement);
            return;
          }
          placement.block = block;
          placement.count = 1;
        });
      },
      harm: /\/donor at 4\d\d\d /,
    },
  },
});

/**
 * Linux until 6.12: a write to shared blocks that ended early gave back what it had reserved in the
 * data fork and not in the CoW fork: the file lost blocks, and the reservation stayed.
 */
regression('T5 a short write takes from the wrong fork', {
  rig: () => sharedVolume(OLD, { dirtyLimit: 32 }),
  body: async (rig) => {
    const file = await rig.file('/file');
    const { pool, store } = rig.engine;
    const data = noise(20 * B + 100, 2);
    const position = await rig.address(file, 20);
    rig.device.inject({
      on: 'read',
      effect: 'fail',
      within: { position: position ?? 0, length: B },
    });
    // The second of its chunks needs the rest of block 20.
    expect(await rig.write(file, 0, data)).toBe(16 * B);
    const { dirtyBlocks } = pool;
    expect(dirtyBlocks, 'dirty blocks').toBe(16);
    const nodes = file.promisedFolios * file.folioCost;
    expect(store.space.reserved - nodes, 'blocks promised').toBe(dirtyBlocks);
    rig.device.heal();
    expect(await rig.volume.extents('/file'), 'what the forks have').toMatchObject([
      { offset: 0, length: 16 * B, type: 'delalloc' },
      { offset: 16 * B, length: 24 * B, type: 'data', shared: true },
    ]);
    const wanted = patched(OLD, [0, data.subarray(0, 16 * B)]);
    await expectFiles(rig, { '/donor': OLD, '/file': wanted });
  },
  controls: {
    'leaving the data fork alone': {
      takeAway: ({ engine }, patch) =>
        patch(engine.iomapOps, 'end', (end) => (file, request, answer, outcome) => {
          end(file, request, answer, outcome);
          if (outcome.written > 0) return;
          const { offset, length } = answer.destination;
          const range = { start: offset, end: offset + length, size: file.size };
          engine.iomapOps.unmap(file, range, { blocks: 0, folios: 0 });
        }),
      harm: /what the forks have/,
    },
    'giving back what was promised in the CoW fork': {
      takeAway: ({ engine }, patch) =>
        patch(engine.iomapOps, 'end', (end) => (file, request, answer, outcome) => {
          if (outcome.written > 0) end(file, request, answer, outcome);
        }),
      harm: /blocks promised/,
    },
  },
});

interface DedupeRig {
  readonly rig: VolumeRig;
  compare: Comparer;
}

/**
 * Linux until 5.3: for a clone and for deduplication XFS held the locks of the source in a way that
 * let writers pass: what was compared was not what was shared in the end.
 */
regression('T17 deduplication shares what was changed after it was compared', {
  rig: async (): Promise<DedupeRig> => {
    const rig = await VolumeRig.make();
    await rig.stored('/one', OLD);
    await rig.stored('/two', OLD);
    return { rig, compare: (left, right) => Buffer.compare(left, right) === 0 };
  },
  body: async ({ rig, compare }) => {
    const { store } = rig.engine;
    const one = await rig.file('/one');
    await rig.read(one, 0, B);
    // Once the bytes are compared something is missing: it cannot share them in the same turn.
    const settle = store.settle.bind(store);
    const missing = new PlainIo('read', 0, [new Uint8Array(B)]);
    store.settle = (plan, use, data) => {
      if (missing.finished) return settle(plan, use, data);
      plan.need(missing);
      return false;
    };
    const dedupe = rig.volume.dedupeRange('/one', '/two', {
      compare: (left, right) => {
        if (!missing.submitted) rig.gate.shut();
        return compare(left, right);
      },
    });
    while (!missing.submitted) await rig.driver.pause();
    store.settle = settle;
    rig.writeNow(one, 3 * B, noise(B, 2));
    await rig.gate.open();
    expect(await dedupe).toEqual({ bytes: 3 * B, differs: true });
    await expectFiles(rig, { '/one': patched(OLD, [3 * B, noise(B, 2)]), '/two': OLD });
  },
  controls: {
    'comparing and sharing in one turn': {
      takeAway: (broken) => {
        const verdicts: boolean[] = [];
        const { compare } = broken;
        let count = 0;
        // Of the second time the first time's.
        broken.compare = (left, right) => {
          if (count < OLD.length / B) verdicts.push(compare(left, right));
          return verdicts[count++ % (OLD.length / B)] as boolean;
        };
      },
      harm: /bytes/,
    },
  },
});

/** The same bug where nothing is compared: the source was cloned without what was on its way. */
regression('T17 a clone misses what was written before it', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.file('/file');
    const [before, meanwhile] = [noise(B, 2), noise(B, 3)];
    await rig.read(file, 0, B);
    await rig.fs.promises.writeFile('/target', noise(50 * B, 4));
    rig.writeNow(file, B, before);
    rig.gate.shut();
    const clones = [
      rig.volume.cloneRange('/file', '/target', { length: 40 * B }),
      rig.volume.clone('/file', '/clone'),
    ];
    await rig.gate.pass('read');
    rig.writeNow(file, 2 * B, meanwhile);
    await rig.open<unknown>(...clones);
    const [without, after] = [patched(OLD, [B, before]), patched(OLD, [B, before])];
    after.set(meanwhile, 2 * B);
    for (const path of ['/clone', '/target']) {
      const found = (await rig.read(await rig.file(path))).subarray(0, 40 * B);
      const moment = Buffer.compare(found, without) === 0 ? without : after;
      expectSame(found, moment, path);
    }
    await expectFiles(rig, { '/donor': OLD, '/file': after });
  },
  controls: {
    'writing back first what is dirty': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool, 'drained', (drained) => (plan, only) => only !== undefined || drained(plan)),
      harm: /at 4096 /,
    },
  },
});

const LONG = noise(600 * B, 5);

/**
 * Linux until 6.10: a clone to behind the end of a file made the file as long as it was going to
 * be, then cloned. After a crash in between it had its new size, with zeros or old bytes in it.
 */
regression('T22 a clone makes the file longer than what is cloned', {
  rig: async () => {
    const rig = await VolumeRig.make({ size: 16 * MIB });
    await rig.stored('/source', LONG);
    await rig.stored('/target', OLD);
    return rig;
  },
  body: async (rig) => {
    const [source, target] = [await rig.file('/source'), await rig.file('/target')];
    // Its last block is dirty, and behind it is a hole up to where the clone begins.
    await rig.write(target, OLD.length, noise(100, 2));
    const [offset, { length }] = [50 * B, LONG];
    const whole = patched(OLD, [OLD.length, noise(100, 2)], [offset, LONG]);
    const images: Uint8Array[] = [];
    Object.assign(rig.driver, {
      pause: async () => {
        await rig.start(rig.engine.commit());
        images.push(imageOf(rig.memory));
      },
    });
    const range = { source: source.id, target: target.id, sourceOffset: 0, offset, length };
    const clone = rig.engine.apply({ type: 'clone-range', ...range, time: NOW });
    expect(await rig.start(clone)).toBe(length);
    expect(images.length, 'moments').toBeGreaterThan(1);
    for (const image of images) {
      const later = await VolumeRig.from(image);
      const found = await later.read(await later.file('/target'));
      const blocks = (found.length - offset) / B;
      // A turn is all there, or nothing of it.
      expect(blocks === 600 ? 0 : blocks % rig.engine.turnBlocks, 'blocks of the clone').toBe(0);
      expectSame(found, whole.subarray(0, found.length), 'what a crash leaves');
    }
    await expectFiles(rig, { '/source': LONG, '/target': whole });
  },
  controls: {
    'a size that grows with what is cloned': {
      takeAway: ({ engine }, patch) =>
        patch(engine, 'apply', (apply) => (record) => {
          if (record.type === 'clone-range') {
            engine.vnode(record.target).size = record.offset + record.length;
          }
          return apply(record);
        }),
      harm: /what a crash leaves at \d+ .*found 0/,
    },
  },
});

/**
 * Linux until 5.9: a clone reserved at once what it could need in the worst case, a block for each
 * extent and more, and was refused on a volume that was nearly full, though it needed nearly none.
 */
regression('T29 a clone is refused for want of space that it does not need', {
  rig: async () => {
    const rig = await VolumeRig.make({ size: 6 * MIB });
    await rig.stored('/source', LONG);
    await rig.stored('/target', OLD);
    const { space } = rig.engine.store;
    const fill = await rig.fs.promises.open('/fill', 'w');
    for (let at = 0; space.available > 40; at += B) {
      await fill.write(noise(B, at), 0, B, at);
      if (space.available <= 60) await rig.volume.sync();
    }
    await fill.close();
    await rig.volume.sync();
    return rig;
  },
  body: async (rig) => {
    const { space } = rig.engine.store;
    expect(space.available, 'blocks that are left').toBeLessThanOrEqual(40);
    await rig.volume.clone('/source', '/clone');
    expect(await rig.volume.cloneRange('/source', '/target', { offset: 8 * B })).toBe(LONG.length);
    const wanted = patched(OLD.subarray(0, 8 * B), [8 * B, LONG]);
    await expectFiles(rig, { '/source': LONG, '/clone': LONG, '/target': wanted });
  },
  controls: {
    'promising what a turn needs': {
      takeAway: ({ engine: { store } }, patch) =>
        patch(store, 'settle', (settle) => (plan, use, data = 0) => {
          return settle(plan, use, data + (use === 'normal' ? LONG.length / B : 0));
        }),
      harm: /ENOSPC/,
    },
  },
});
