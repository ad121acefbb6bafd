/**
 * No space, at every point: each change of the API fails whole wherever room runs out in it, or is
 * done as where there is room; what was accepted before stays; and deleting always works.
 *
 * Room runs out in two ways: the k-th question for space and all after it are answered with no, for
 * every k; and volumes are filled so far that n blocks are left, for every n.
 */
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Space } from '../../src/store/space.ts';
import { Random } from '../../src/testing/index.ts';
import { ReadExtended } from '../../src/volume/attributes.ts';
import { lookup } from '../../src/volume/index.ts';
import { Bench, type OpenVolume } from '../api/bench.ts';
import { namesOf } from '../crash/shown.ts';
import { textOf } from '../crash/states.ts';
import { bytes, CHANGES, type Change, OPTIONS, scene } from './changes.ts';

/** Everything that is to be seen of a volume, but for space. */
function seen(volume: OpenVolume): string[] {
  const { inside } = volume;
  const vnode = volume.runInside(lookup(inside, inside.live, 'sparse'));
  const attributes = [...volume.runInside(new ReadExtended(inside, vnode))];
  vnode.holds--;
  return [
    ...textOf(namesOf(volume)),
    ...attributes.map(([name, value]) => `${name} ${value.length} ${value}`),
  ].sort();
}

/** The space that each file has, once all data has its place. */
function sectorsOf(volume: OpenVolume): string[] {
  volume.syncSync();
  const live = [...namesOf(volume).keys()].filter((path) => path !== '' && !path.startsWith('@'));
  return live.map((path) => `${path} ${volume.fs.lstatSync(path).blocks}`).sort();
}

/** Free blocks once all that was freed can be used again. */
function freeOf(volume: OpenVolume): number {
  volume.reclaimSync();
  for (let i = 0; i < 4; i++) volume.syncSync();
  return volume.fs.statfsSync('/').bfree;
}

/** Runs a change. `ok`, or the code of its error. */
function outcome({ run }: Change, volume: OpenVolume): string {
  try {
    run(volume);
    return 'ok';
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return code;
  }
}

/** What a volume shows. */
interface State {
  readonly seen: string[];
  readonly sectors: string[];
}

interface Reference {
  readonly before: State;
  readonly after: State;
}

function stateOf(volume: OpenVolume): State {
  return { seen: seen(volume), sectors: sectorsOf(volume) };
}

/** What there is before a change and after it, where there is room. */
async function referenceOf(change: Change, image: Uint8Array): Promise<Reference> {
  const { volume } = await Bench.from(image, 'sync', OPTIONS, new Random(1));
  const before = stateOf(volume);
  expect(outcome(change, volume)).toBe('ok');
  return { before, after: stateOf(volume) };
}

/**
 * Fails unless a change has left all or nothing of itself, and what there is is sound, can be made
 * durable, and is there after a mount.
 */
async function expectWhole(
  bench: Bench,
  change: Change,
  { before, after }: Reference,
  { code, free }: { code: string; free: number },
): Promise<void> {
  expect(change.deletes ? ['ok'] : ['ok', 'ENOSPC']).toContain(code);
  const done = code === 'ok';
  const wanted = done ? after : before;
  const { seen: names, sectors } = stateOf(bench.volume);
  if (done || !change.steps) expect(names).toEqual(wanted.seen);
  if (done || !(change.steps || change.reserves)) {
    expect(sectors).toEqual(wanted.sectors);
    if (!done) expect(freeOf(bench.volume)).toBe(free);
  }
  expect(checkSync(MemoryDevice.from(bench.image)).issues).toEqual([]);
  await bench.remount();
  expect(stateOf(bench.volume)).toEqual({ seen: names, sectors });
  await bench.close();
}

/** Answers the `k`-th question of ordinary work for space, and all after it, with no. */
function refuseFrom(k: number): { readonly asked: () => number; readonly end: () => void } {
  let asked = 0;
  for (const name of ['has', 'couldHave'] as const) {
    const answer = Space.prototype[name];
    vi.spyOn(Space.prototype, name).mockImplementation(function (this: Space, blocks, use) {
      if (use === 'normal' && asked++ >= k) return false;
      return answer.call(this, blocks, use);
    });
  }
  return { asked: () => asked, end: () => vi.restoreAllMocks() };
}

afterEach(() => vi.restoreAllMocks());

const long = process.env['RAMET_LONG'] === '1';
/** All of them, if there is time. */
const each = Object.entries(CHANGES).filter((_, i) => long || i % 6 === 1);

describe('where the k-th question for space is answered with no', { timeout: 120_000 }, () => {
  it.each(each)('%s', async (_, change) => {
    const image = (await scene()).image;
    const reference = await referenceOf(change, image);
    for (let k = 0; ; k++) {
      const bench = await Bench.from(image, 'sync', OPTIONS, new Random(1));
      const free = freeOf(bench.volume);
      const refusal = refuseFrom(k);
      const code = outcome(change, bench.volume);
      const asked = refusal.asked();
      refusal.end();
      await expectWhole(bench, change, reference, { code, free });
      if (asked <= k) break;
    }
  });
});

/** Leaves so many blocks for ordinary work, or as few more as there can be. */
function leaveFree(volume: OpenVolume, wanted: number): void {
  const { fs, inside } = volume;
  const { space } = inside.store;
  const fd = fs.openSync('/filler', 'w');
  let size = 0;
  for (let step = 64; step >= 1; ) {
    const spare = space.groups.idle - space.reserved - space.unwritten - space.kept;
    if (spare - step < wanted) {
      step = Math.floor(step / 2);
      continue;
    }
    try {
      fs.writeSync(fd, bytes(size, step * 4096), 0, step * 4096, size);
      size += step * 4096;
      freeOf(volume);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      step = Math.floor(step / 2);
    }
  }
  // A write is promised more than it will need; space that is reserved is what it is.
  for (let at = size; space.available > wanted && at < size + 64 * 4096; at += 4096) {
    try {
      volume.allocateSync(fd, at, 4096);
      freeOf(volume);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      break;
    }
  }
  fs.closeSync(fd);
  freeOf(volume);
}

/** What a change makes of a volume with the file that fills it. */
function withFiller({ after }: Reference, before: State): Reference {
  const filled = (lines: readonly string[], full: readonly string[]): string[] => {
    const filler = full.find((line) => line.startsWith('/filler ')) as string;
    // The snapshot of the scene has it as it was.
    return lines.map((line) => line.replace(/^(@t:)?\/filler .*/u, `$1${filler}`)).sort();
  };
  return {
    before,
    after: {
      seen: filled(after.seen, before.seen),
      sectors: filled(after.sectors, before.sectors),
    },
  };
}

describe('where n blocks are left', { timeout: 300_000 }, () => {
  const most = 48;
  const images: Uint8Array[] = [];

  const left = new Set<number>();

  beforeAll(async () => {
    for (let n = 0; n <= most; n += long ? 6 : 16) {
      const { volume, image } = await scene();
      leaveFree(volume, n);
      left.add(volume.inside.store.space.available);
      volume.closeSync();
      images.push(image);
    }
  }, 300_000);

  it('they are many different numbers', () => {
    expect(Math.min(...left)).toBeLessThan(16);
    expect(left.size).toBeGreaterThan(images.length / 2);
  });

  it.each(each)('%s', async (_, change) => {
    const codes = new Set<string>();
    const roomy = await referenceOf(change, (await scene()).image);
    for (const image of images) {
      const bench = await Bench.from(image, 'sync', OPTIONS, new Random(1));
      const reference = withFiller(roomy, stateOf(bench.volume));
      const free = freeOf(bench.volume);
      const code = outcome(change, bench.volume);
      codes.add(code);
      await expectWhole(bench, change, reference, { code, free });
    }
    expect(codes.size).toBeGreaterThan(0);
  });
});

/** Writes here and there until there is no room, and looks at it after a sync and a mount. */
async function fillDirty(): Promise<void> {
  const bench = await scene();
  const { fs } = bench.volume;
  const fd = fs.openSync('/sparse', 'r+');
  const accepted: number[] = [];
  try {
    for (let i = 0; i < 400; i++) {
      fs.writeSync(fd, bytes(i, 4096), 0, 4096, 4096 * 37 * i);
      accepted.push(i);
    }
  } catch (error) {
    expect(errorCode(error)).toBe('ENOSPC');
  }
  expect(accepted.length).toBeGreaterThan(10);
  expect(accepted.length).toBeLessThan(400);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  await bench.remount();
  const file = bench.volume.fs.readFileSync('/sparse') as Uint8Array;
  for (const i of accepted) {
    const block = file.subarray(4096 * 37 * i, 4096 * (37 * i + 1));
    expect(Buffer.from(block).equals(bytes(i, 4096))).toBe(true);
  }
}

describe('what was accepted on a volume that is full then', () => {
  it('is made durable', fillDirty);

  it('would not be without its promise', async () => {
    vi.spyOn(Space.prototype, 'promise').mockImplementation(() => {});
    await expect(fillDirty()).rejects.toThrow();
  });
});
