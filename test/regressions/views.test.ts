/** Views: what happens to the memory of a file while others change the file. */
import { expect } from 'vitest';
import { errorCode, MIB } from '../../src/base/index.ts';
import { RequestFlag } from '../../src/iomap/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { regression } from './regression.ts';
import { patched, sharedVolume, type VolumeRig } from './rig.ts';
import { forgetSources } from './stale.ts';

const OLD = noise(12 * B + 100);

/** All bytes that a view shows. */
function shown(view: { offset: number; length: number; at(at: number): Uint8Array }): Uint8Array {
  const bytes = new Uint8Array(view.length);
  for (let done = 0; done < view.length; ) {
    const part = view.at(view.offset + done);
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}

const opened = async (rig: VolumeRig) => await rig.fs.promises.open('/file', 'r+');

/**
 * Linux until 6.2: a write that failed took back what it had reserved by truncating the cache of
 * its range, and with it what others had stored there meanwhile, through mmap.
 */
regression('T3 a write that fails drops what was stored in a view', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await opened(rig);
    const view = await rig.volume.map(file, 0, 4 * B, { write: true });
    view.bytes.set(noise(100, 2), 2 * B);
    rig.evict();
    rig.device.inject({ on: 'read', effect: 'fail', times: 1000 });
    const write = file.write(noise(10, 3), 0, 10, 2 * B + 50).catch(errorCode);
    expect(await write, 'the write').toBe('EIO');
    rig.device.heal();
    await view.sync();
    const wanted = patched(OLD, [2 * B, noise(100, 2)]);
    expectSame(await rig.read(await rig.file('/file')), wanted, 'the file');
    await view.release();
    await file.close();
    await rig.audit();
  },
  controls: {
    'leaving the view alone': {
      takeAway: ({ engine: { iomapOps, pool } }, patch) =>
        patch(iomapOps, 'end', (end) => (file, request, answer, result) => {
          end(file, request, answer, result);
          if (result.written > 0 || request.flag !== RequestFlag.WRITE) return;
          for (const view of pool.views) view.forget(request.offset, request.offset + B);
        }),
      harm: /the file at 8192 /,
    },
  },
});

/**
 * Linux until 6.12: through DAX a range that is not aligned was copied from the wrong address, and
 * a source that was a hole left what was there.
 */
regression('T8 unshare on a device that is memory copies something else', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    await rig.volume.punch('/file', 4 * B, B);
    const wanted = patched(OLD, [4 * B, new Uint8Array(B)]);
    const file = await opened(rig);
    const before = await rig.volume.map(file, 0, OLD.length);
    await rig.volume.unshareRange('/file', 1, 2 * B);
    await rig.volume.unshareRange('/file', 3 * B + 7, 3 * B);
    await rig.volume.sync();
    const after = await rig.volume.map(file, 0, OLD.length);
    expectSame(shown(before), wanted, 'the view from before');
    expectSame(shown(after), wanted, 'the view from afterwards');
    const own = [0, 1, 2, 3, 5, 6].map((block) => before.at(block * B).byteOffset);
    const now = [0, 1, 2, 3, 5, 6].map((block) => after.at(block * B).byteOffset);
    expect(own.filter((at, i) => at === now[i])).toEqual([]);
    before.release();
    after.release();
    await file.close();
    await rig.audit();
  },
  controls: {
    'the sources of the blocks': {
      takeAway: ({ engine: { iomapOps } }, patch) => forgetSources(iomapOps, patch),
      harm: /the view from afterwards at /,
    },
  },
});

/**
 * Linux 5.19 to 6.2: when a write through DAX had copied, whoever had the old block mapped went on
 * with it, and with marks that said it was dirty: the old block was written and read as if it were
 * the new one, also when it had become another file's.
 */
regression('T9 a view goes on with blocks that are not the file any more', {
  rig: () => sharedVolume(OLD, { size: 4 * MIB }),
  body: async (rig) => {
    await rig.volume.punch('/file', B, B);
    await rig.volume.allocate('/file', 3 * B, B);
    await rig.volume.punch('/donor', 0, OLD.length);
    await rig.volume.sync();
    const before = (await rig.fs.promises.readFile('/file')) as Uint8Array;
    const file = await opened(rig);
    const old = await rig.volume.map(file, 0, OLD.length);
    await file.write(noise(OLD.length, 2), 0, OLD.length, 0);
    for (let i = 0; i < 3; i++) {
      await rig.fs.promises.writeFile('/tick', String(i));
      await rig.volume.sync();
    }
    // Whoever gets blocks now gets all there are.
    const fill = await rig.fs.promises.open('/fill', 'w');
    for (let at = 0; rig.engine.store.space.available > 60; at += 16 * B) {
      await fill.write(noise(16 * B, at), 0, 16 * B, at);
      await rig.volume.sync();
    }
    expect(old.stale, 'it is stale').toBe(true);
    expectSame(shown(old), before, 'the old view');
    const now = await rig.volume.map(file, 0, OLD.length);
    expectSame(shown(now), noise(OLD.length, 2), 'a new view');
    old.release();
    now.release();
    await file.close();
    await fill.close();
    await rig.audit();
  },
  controls: {
    'holding what is viewed': {
      takeAway: ({ engine: { store } }, patch) => patch(store.blocks.held, 'hold', () => () => {}),
      harm: /the old view at /,
    },
  },
});

/** Making a view to be stored to kept the nodes that were looked up for it in memory, for ever. */
regression('a view that is made keeps the nodes that it looked up', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await opened(rig);
    for (let i = 0; i < 3; i++) {
      rig.evict();
      const view = await rig.volume.map(file, i * B + 10, 2 * B, { write: true });
      await view.release();
    }
    await rig.volume.sync();
    expect(rig.engine.store.blocks.busy, 'frames that stay').toBe(0);
    await file.close();
  },
  controls: {
    'unpinning when it is made': {
      takeAway: ({ engine: { store } }, patch) =>
        patch(store.blocks, 'unpin', (unpin) => (plan) => {
          if (store.blocks.busy > 0 && plan.io.length === 0) return;
          unpin(plan);
        }),
      harm: /frames that stay/,
    },
  },
});
