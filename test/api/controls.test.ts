/**
 * Negative controls: with one rule of the model broken, or one guard of the engine taken away, the
 * histories have to fail. If they still held, they would prove nothing.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { ModelVolume } from '../../src/testing/index.ts';
import type { Engine } from '../../src/volume/index.ts';
import { type Life, live, turns } from './history.ts';

const LIFE: Life = { size: 8 * MIB, logBlocks: 8, cacheBytes: 4 * MIB, faces: ['sync'] };
const RUNS = 40;

/** Whether a history fails, of those that a fixed seed draws. */
async function fails(change: Partial<Life>): Promise<boolean> {
  const property = fc.asyncProperty(turns(80, { clone: 14 }), fc.nat(), (history, seed) =>
    live(history, seed, { ...LIFE, ...change }),
  );
  const { failed } = await fc.check(property, { seed: 1, numRuns: RUNS, endOnFailure: true });
  return failed;
}

/** A clone of a file shares its bytes, as a second name would. */
function sharingModel(now: () => number): ModelVolume {
  const model = new ModelVolume(now);
  const { live } = model;
  const cloneTo = live.cloneTo.bind(live);
  live.cloneTo = (node, destination) => {
    cloneTo(node, destination);
    if (!node.isDirectory) live.find(destination, false).bytes = node.bytes;
  };
  return model;
}

/** A file that is cut off keeps its bytes for when it gets longer again. */
function rememberingModel(now: () => number): ModelVolume {
  const model = new ModelVolume(now);
  const { live } = model;
  const truncate = live.truncate.bind(live);
  live.truncate = (path, size) => {
    const { bytes } = live.find(path, true);
    const before = bytes.read(0, bytes.size);
    truncate(path, size);
    if (size < before.length) bytes.write(0, before);
    bytes.size = size;
  };
  return model;
}

/** A name may be made over one that is there. */
function carelessModel(now: () => number): ModelVolume {
  const model = new ModelVolume(now);
  const { live } = model;
  const mkdir = live.mkdir.bind(live);
  live.mkdir = (path, options) => {
    try {
      mkdir(path, options);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    }
  };
  return model;
}

/** A clone does not wait for the dirty data of what it clones. */
function noDrain({ pool }: Engine): void {
  pool.drained = () => true;
}

/** A clone does not make claims void: inodes are changed in nodes that the clone shares. */
function noEpoch({ inodes }: Engine): void {
  Object.defineProperty(inodes, 'epoch', { get: () => 0, set: () => {} });
}

/** The children of a node that is copied do not get a reference each. */
function noPushDown({ cow }: Engine): void {
  const writable = cow.writable.bind(cow);
  const share = cow.share.bind(cow);
  let copying = false;
  cow.writable = (...args) => {
    copying = true;
    const frame = writable(...args);
    copying = false;
    return frame;
  };
  cow.share = (...args) => {
    if (!copying) share(...args);
  };
}

describe('the histories notice', () => {
  it('nothing while nothing is broken', async () => {
    expect(await fails({})).toBe(false);
  });

  it.each([
    ['a clone that shares', sharingModel],
    ['a hole with old bytes', rememberingModel],
    ['a name made twice', carelessModel],
  ])('a model with %s', async (_, model) => {
    expect(await fails({ model })).toBe(true);
  });

  it.each([
    ['no draining before a clone', noDrain],
    ['no end of claims at a clone', noEpoch],
    ['no counts pushed down', noPushDown],
  ])('an engine with %s', async (_, harm) => {
    expect(await fails({ harm })).toBe(true);
  });
});
