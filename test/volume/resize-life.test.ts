/**
 * Sizes that change on a slow device, beside writers and readers, while the power may go off: what
 * was durable is there, and the size is one that was asked for.
 */
import { describe, expect, it, vi } from 'vitest';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { Random } from '../../src/testing/index.ts';
import { Trim } from '../../src/volume/index.ts';
import type { OpenVolume } from '../api/bench.ts';
import { ResizeLife, type ResizeLifeOptions } from './resize-life.ts';
import { seeded } from './seeds.ts';

/** Seeds within which a guard that is missing has to be noticed. */
const SEEDS = 20;

async function grow(random: Random, harm?: ResizeLifeOptions['harm']): Promise<void> {
  const life = new ResizeLife(random, { size: MIB, cuts: 1 / 80, harm });
  await life.run(async () => {
    for (let i = 0; i < 3; i++) {
      await life.wait(random.between(1, 60));
      await life.resize(life.size + random.pick([64, 130, 256, 400]) * BLOCK_SIZE);
    }
    await life.wait(40);
  });
}

async function noticed(body: (random: Random) => Promise<void>): Promise<Error | undefined> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      await body(new Random(seed));
    } catch (error) {
      return error as Error;
    }
  }
  return undefined;
}

describe('a volume that grows beside its users', () => {
  seeded('loses nothing, whenever the power goes off', { count: 2 }, async (random) => {
    await grow(random);
  });

  it('comes to harm if what is new is handed out at once (E2)', { timeout: 60_000 }, async () => {
    const error = await noticed((random) =>
      grow(random, ({ inside: { store } }) => {
        const resize = store.resize.bind(store);
        store.resize = (geometry) => {
          resize(geometry);
          store.written(geometry.blockCount);
        };
      }),
    );
    expect(error?.message).toMatch(/log|outside|corrupt|checksum|names/iu);
  });
});

describe('a volume that shrinks and grows beside its users', () => {
  seeded('loses nothing, whenever the power goes off', { count: 2 }, async (random) => {
    const life = new ResizeLife(random, { size: 2 * MIB, cuts: 1 / 80 });
    await life.run(async () => {
      for (let i = 0; i < 3; i++) {
        await life.wait(random.between(1, 60));
        await life.shrink();
        await life.resize(life.size + random.pick([130, 256, 400]) * BLOCK_SIZE);
      }
    });
  });
});

/** Gives space back again and again. */
async function trimAgain(random: Random, harm?: ResizeLifeOptions['harm']): Promise<void> {
  const life = new ResizeLife(random, { size: MIB, cuts: 1 / 80, harm });
  await life.run(async () => {
    for (let i = 0; i < 6; i++) {
      await life.wait(random.between(1, 30));
      await life.volume.trim({ minimum: random.pick([1, 4]) * BLOCK_SIZE });
      if (i === 3) await life.resize(life.size + 256 * BLOCK_SIZE);
    }
  });
}

/** Blocks that a trim hands to nobody stay idle meanwhile. */
function idleWhileDiscarded({ inside: { store } }: OpenVolume): void {
  const { groups, space } = store;
  const [handOut, takeBack] = [groups.handOut.bind(groups), space.takeBack.bind(space)];
  let trimming = false;
  groups.handOut = (block) => {
    if (!trimming) handOut(block);
  };
  space.takeBack = (block, count) => {
    if (!trimming) takeBack(block, count);
  };
  const { step } = Trim.prototype;
  vi.spyOn(Trim.prototype, 'step').mockImplementation(function (this: Trim) {
    trimming = true;
    try {
      return step.call(this);
    } finally {
      trimming = false;
    }
  });
}

describe('a volume that gives space back beside its users', () => {
  seeded('loses nothing, whenever the power goes off', { count: 2 }, async (random) => {
    await trimAgain(random);
  });

  it('does, if others get what is being discarded (A4)', { timeout: 60_000 }, async () => {
    try {
      expect(await noticed((random) => trimAgain(random, idleWhileDiscarded))).toBeDefined();
    } finally {
      vi.restoreAllMocks();
    }
  });
});
