/** Code of the caller, which runs in the middle of a call and may call back. */
import { expect, it } from 'vitest';
import { errorCode, type Plan, PlannedOperation } from '../../src/base/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { B, expectSame, noise } from '../iomap/rig.ts';
import { regression } from './regression.ts';
import { patched, VolumeRig } from './rig.ts';

const OLD = noise(8 * B);

/** Ends with the work, or fails if that is not done after so many turns of the event loop. */
async function ending<Result>(
  rig: VolumeRig,
  what: string,
  work: Promise<Result>,
): Promise<Result> {
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  work.then(end, end);
  for (let turns = 0; !ended; turns++) {
    if (turns > 2000) throw new Error(`${what} does not end`);
    await rig.driver.pause();
  }
  return work;
}

/** Holds a file for a while, as an operation does that is in the middle of its work. */
class Holding extends PlannedOperation<void> {
  readonly #file: Vnode;
  #turns = 0;

  constructor(file: Vnode) {
    super();
    this.#file = file;
  }

  protected override prepare(plan: Plan): void {
    this.#file.lock.acquire(this, { start: 0, end: Infinity, exclusive: true }, plan);
  }

  protected override apply(): boolean {
    if (++this.#turns > 2500) return this.finish(undefined);
    this.plan.pause = true;
    return false;
  }

  protected override release(): void {
    this.#file.lock.release(this);
  }
}

interface Calls {
  readonly rig: VolumeRig;
  /** Runs before the caller's own code does. */
  before: () => void;
}

/**
 * Linux until 6.9: btrfs copied the extents that it found to the caller's memory while it had the
 * range of the file locked. A page fault there wanted the same lock, and waited for ever.
 */
regression('T28 a callback finds locked what it was called about', {
  rig: async (): Promise<Calls> => {
    const rig = await VolumeRig.make();
    for (const path of ['/a', '/b']) await rig.fs.promises.mkdir(path);
    for (const path of ['/a/f', '/a/g', '/b/f', '/one', '/two']) {
      await rig.fs.promises.writeFile(path, OLD);
    }
    await rig.volume.sync();
    rig.evict();
    return { rig, before: () => {} };
  },
  body: async ({ rig, before }) => {
    const { volume } = rig;
    const fs = rig.fs.promises;
    // What a caller may do with a file: write, cut, clone, and have it all durable.
    const use = async (path: string): Promise<void> => {
      before();
      const file = await fs.open(path, 'r+');
      await file.write(noise(100, 2), 0, 100, 50);
      await file.truncate(5 * B);
      await file.sync();
      await file.close();
      await volume.cloneRange(path, '/one');
    };
    const diff = async (): Promise<string[]> => {
      const paths: string[] = [];
      for await (const { path } of volume.diff('/a', '/b')) {
        paths.push(path);
        await use('/a/f');
      }
      return paths.sort();
    };
    expect(await ending(rig, 'diff', diff())).toEqual(['f', 'g']);
    const filter = async (path: string): Promise<boolean> => {
      if (path.endsWith('f')) await use(path);
      return true;
    };
    await ending(rig, 'cp', fs.cp('/a', '/c', { recursive: true, filter }));
    async function* pieces(): AsyncGenerator<Uint8Array> {
      await use('/two');
      yield noise(B, 3);
      await use('/two');
      yield noise(B, 4);
    }
    await ending(rig, 'writeFile', fs.writeFile('/two', pieces()));
    const cut = patched(OLD, [50, noise(100, 2)]).subarray(0, 5 * B);
    for (const path of ['/a/f', '/c/f']) {
      expectSame((await fs.readFile(path)) as Uint8Array, cut, path);
    }
    await rig.audit();
  },
  controls: {
    'letting go before the caller is called': {
      takeAway: (calls) => {
        const { rig } = calls;
        calls.before = () => {
          calls.before = () => {};
          for (const vnode of rig.engine.table.all) {
            if (!vnode.isDirectory) void rig.start(new Holding(vnode));
          }
        };
      },
      harm: /diff does not end/,
    },
  },
});

/**
 * T28, where the caller compares bytes for a deduplication. Fails: it is called in the middle of a
 * turn, with the target locked. A write to the target waits for the deduplication, is to take that
 * to its end, and so comes to the comparison again: here once, else until the stack is full.
 */
it('T28 a comparison that writes to what it compares', async () => {
  const rig = await VolumeRig.make();
  for (const path of ['/one', '/two']) await rig.stored(path, OLD);
  for (const path of ['/one', '/two']) await rig.read(await rig.file(path));
  const fd = rig.fs.openSync('/two', 'r+');
  let inside = 0;
  let again = false;
  const compare = (): boolean => {
    again ||= inside > 0;
    if (inside++ === 0) rig.fs.writeSync(fd, noise(B, 2), 0, B, 0);
    inside--;
    return true;
  };
  const dedupe = rig.volume.dedupeRange('/one', '/two', { compare });
  const code = await dedupe.catch(errorCode);
  expect.soft(again, 'comparing within a comparison').toBe(false);
  expect(code).toBe('EDEADLK');
});
