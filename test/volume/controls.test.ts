/**
 * Negative controls: with one guard taken away, the properties of the other tests have to fail. A
 * property that still holds then would prove nothing.
 */
import { describe, expect, it } from 'vitest';
import { type Block, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { slotBirth } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Engine } from '../../src/volume/index.ts';
import { CUT_OPTIONS, cutEverywhere } from '../store/cuts.ts';
import { overwritten } from '../store/overwrites.ts';
import { TapeDevice } from '../store/tape.ts';
import { compare } from './compare.ts';
import { History } from './history.ts';
import { imageOf, recount } from './recount.ts';
import { World } from './world.ts';

/** Seeds that are tried until the property fails. */
const SEEDS = 20;

/** Takes a guard of an engine away. */
type Break = (engine: Engine) => void;

/** Histories that end in a comparison and a recount. Throws if anything is not as it should be. */
function shortHistory(random: Random, harm: Break): void {
  const device = new MemoryDevice({ size: 8 * MIB });
  const world = new World(device);
  harm(world.rig.engine);
  const weights = { clone: 12, write: 20, remount: 0 };
  const history = new History(world, { random, weights });
  for (let i = 0; i < 4; i++) {
    history.run(30);
    compare(world);
    world.commit();
    expect(recount(imageOf(device))).toEqual([]);
  }
}

/** True if the property fails for one of the seeds. */
function fails(property: (random: Random) => void): boolean {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      property(new Random(seed));
    } catch {
      return true;
    }
  }
  return false;
}

/** A clone does not make claims void: inodes are changed in nodes that the clone shares. */
const noEpoch: Break = ({ inodes }) => {
  Object.defineProperty(inodes, 'epoch', { get: () => 0, set: () => {} });
};

/** The children of a node that is copied do not get a reference each. */
const noPushDown: Break = ({ cow }) => {
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
};

/** A node of the open txg is changed where it is, though somebody else shares it. */
const inPlace: Break = ({ cow, store }) => {
  const writable = cow.writable.bind(cow);
  cow.writable = (words, at, target, twin) => {
    if (slotBirth(words, at) === store.txg) return store.resident(words, at);
    return writable(words, at, target, twin);
  };
};

/** What a txg has freed is handed out again as soon as that txg is durable. */
const earlyRelease: Break = ({ store: { space } }) => {
  const committed = space.committed.bind(space);
  space.committed = (closed: Block[]) => {
    committed(closed);
    committed([]);
  };
};

describe('the properties notice', () => {
  it('nothing while nothing is broken', () => {
    for (const seed of [1, 2]) shortHistory(new Random(seed), () => {});
  });

  it('a clone that does not end claims', () => {
    expect(fails((random) => shortHistory(random, noEpoch))).toBe(true);
  });

  it('counts that are not pushed down', () => {
    expect(fails((random) => shortHistory(random, noPushDown))).toBe(true);
  });

  it('a shared node of the open txg that is changed in place', () => {
    expect(fails((random) => shortHistory(random, inPlace))).toBe(true);
  });

  it('frees that are released one commit early', () => {
    expect(fails((random) => expect(overwritten(random, 10, earlyRelease)).toEqual([]))).toBe(true);
  });

  it('a superblock that does not wait for the first flush', () => {
    const property = (random: Random): void => {
      const tape = new TapeDevice(new Uint8Array(MIB));
      const world = new World(tape, CUT_OPTIONS);
      const history = new History(world, { random, weights: { commit: 0, remount: 0, crowd: 0 } });
      world.mayBeFull = true;
      tape.rewind();
      const before = world.model.copy();
      history.run(8);
      world.commit();
      const first = tape.calls.findIndex(({ kind }) => kind === 'flush');
      tape.calls.splice(first, 1);
      cutEverywhere(tape, { before, after: world.model.copy() }, random);
    };
    expect(fails(property)).toBe(true);
  });
});
