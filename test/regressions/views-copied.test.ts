/** Bugs of ours: what was stored in a view, and whoever waits for it to be copied out. */
import { expect } from 'vitest';
import { MIB, Plan } from '../../src/base/index.ts';
import type { CopyOut } from '../../src/iomap/copy-out.ts';
import { StagedView } from '../../src/iomap/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { type Patch, regression } from './regression.ts';
import { patched, sharedVolume, type VolumeRig } from './rig.ts';

const OLD = noise(12 * B + 100);
const [FIRST, SECOND, LATE] = [noise(50, 2), noise(50, 3), noise(50, 4)];
const STORED = patched(OLD, [20, LATE], [B + 10, FIRST], [4 * B + 10, SECOND]);

/** A view that is being copied out, and has been stored to where the copy out was already. */
async function copying(rig: VolumeRig) {
  const file = await rig.fs.promises.open('/file', 'r+');
  const view = await rig.volume.map(file, 0, 8 * B, { write: true });
  rig.evict();
  view.bytes.set(FIRST, B + 10);
  view.bytes.set(SECOND, 4 * B + 10);
  rig.gate.shut();
  const syncing = view.sync();
  const { pool } = rig.engine;
  for (let i = 0; i < 20 && pool.dirtyBlocks === 0; i++) await rig.gate.pass();
  expect(pool.dirtyBlocks, 'blocks that the copy out has written').toBe(1);
  view.bytes.set(LATE, 20);
  return { file, view, syncing };
}

/** A copy out that is under way is taken for one that has everything. */
function takeAnyCopyOut(patch: Patch): void {
  let last: CopyOut | undefined;
  patch(StagedView.prototype, 'copyOut', (copyOut) => {
    return function (this: StagedView) {
      if (last === undefined || last.done) last = copyOut.call(this);
      return last;
    };
  });
}

regression('a clone misses what was stored where a copy out had been already', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const { file, view, syncing } = await copying(rig);
    const cloning = rig.volume.clone('/file', '/clone');
    await rig.open(syncing, cloning);
    expectSame(await rig.read(await rig.file('/clone')), STORED, 'the clone');
    await view.release();
    await file.close();
    await rig.audit();
  },
  controls: {
    'a copy out of its own': {
      takeAway: (_, patch) => takeAnyCopyOut(patch),
      harm: /the clone at 20 /,
    },
  },
});

regression('what was stored where a copy out had been already is lost on release', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const { file, view, syncing } = await copying(rig);
    const releasing = view.release();
    await rig.open(syncing, releasing);
    expectSame(await rig.read(await rig.file('/file')), STORED, 'the file');
    await file.close();
    await rig.audit();
  },
  controls: {
    'a copy out of its own, and a last look at what is revoked': {
      takeAway: (_, patch) => {
        takeAnyCopyOut(patch);
        patch(StagedView.prototype, 'nextChange', (nextChange) => {
          return function (this: StagedView, at: number) {
            return at === 0 && this.revoked !== undefined ? this.length : nextChange.call(this, at);
          };
        });
      },
      harm: /the file at 20 /,
    },
  },
});

regression('who asks again while something is copied out is told that it is', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const { file, syncing, view } = await copying(rig);
    const { pool } = rig.engine;
    const plan = new Plan();
    for (let i = 0; i < 3; i++) {
      plan.restart();
      expect(pool.settled(plan), `asked ${i + 1} times`).toBe(false);
      expect(plan.after.length).toBe(1);
    }
    await rig.open(syncing, ...plan.after.map((copy) => rig.start(copy)));
    plan.restart();
    expect(pool.settled(plan)).toBe(true);
    expectSame(await rig.read(await rig.file('/file')), STORED, 'the file');
    view.bytes[0] = 1;
    expect(pool.settled(plan), 'asked after a later store').toBe(true);
    await view.release();
    await file.close();
    await rig.audit();
  },
  controls: {
    'waiting for it each time': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool, 'settled', (settled) => {
          const asked = new WeakSet<Plan>();
          return (plan, only) => {
            if (asked.has(plan)) return true;
            asked.add(plan);
            return settled(plan, only);
          };
        }),
      harm: /asked 2 times/,
    },
  },
});

/**
 * Whoever has a range locked, and finds no space, waits for a commit. That waited for what was
 * stored in a view of the range, and the copy out of it for the range.
 */
regression('a commit waits for a copy out that waits for who waits for the commit', {
  rig: () => sharedVolume(OLD, { size: 4 * MIB, dirtyLimit: 8 }),
  body: async (rig) => {
    const file = await rig.fs.promises.open('/file', 'r+');
    const view = await rig.volume.map(file, 0, 4 * B, { write: true });
    await rig.fs.promises.writeFile('/gone', noise(MIB));
    await rig.fs.promises.writeFile('/fill', noise(B));
    await rig.volume.sync();
    await rig.fs.promises.unlink('/gone');
    await rig.volume.reclaim();
    view.bytes.set(FIRST, B + 10);
    let ended = false;
    const size = rig.engine.store.space.available * B + 8 * B;
    const data = noise(size, 5);
    const writing = file.write(data, 0, size, 2 * B);
    writing.finally(() => (ended = true)).catch(() => {});
    for (let i = 0; i < 20000 && !ended; i++) await new Promise((next) => setImmediate(next));
    expect(ended, 'the write ends').toBe(true);
    await view.release();
    const { bytesWritten } = await writing;
    const wanted = patched(OLD, [B + 10, FIRST], [2 * B, data.subarray(0, bytesWritten)]);
    expectSame(await rig.read(await rig.file('/file')), wanted, 'the file');
    await file.close();
    await rig.audit();
  },
  controls: {
    'a commit that leaves views alone': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool, 'drained', (drained) => (plan, only) => {
          if (!pool.settled(plan, only)) return false;
          return drained(plan, only);
        }),
      harm: /the write ends/,
    },
  },
});

regression('of two views of the same bytes one does not show what the other has stored', {
  rig: () => sharedVolume(OLD),
  body: async (rig) => {
    const file = await rig.fs.promises.open('/file', 'r+');
    const views = [
      await rig.volume.map(file, 0, 4 * B, { write: true }),
      await rig.volume.map(file, 2 * B, 4 * B, { write: true }),
    ] as const;
    views[0].bytes.set(FIRST, 3 * B);
    views[1].bytes.set(SECOND, B + 1000);
    await file.sync();
    const wanted = patched(OLD, [3 * B, FIRST], [3 * B + 1000, SECOND]);
    expectSame(views[0].bytes, wanted.subarray(0, 4 * B), 'the first view');
    expectSame(views[1].bytes, wanted.subarray(2 * B, 6 * B), 'the second view');
    for (const view of views) await view.release();
    await file.close();
    await rig.audit();
  },
  controls: {
    'bringing them up to date when all is stored': {
      takeAway: ({ engine: { pool } }, patch) =>
        patch(pool, 'settled', (settled) => (plan, only) => {
          if (settled(plan, only)) return true;
          if ([...pool.views].some(({ hasStores }) => hasStores)) return false;
          plan.after.length = 0;
          return true;
        }),
      harm: /the first view at /,
    },
  },
});
