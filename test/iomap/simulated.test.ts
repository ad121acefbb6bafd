/**
 * Random histories on a slow device: operations begin while others are under way and end in an
 * order that follows from a seed. The model changes in the turn in which a file does, so every
 * read is checked against what was true when it ended.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ForgetfulToy } from './difficult-toys.ts';
import { type Action, type Bounds, histories, Model } from './model.ts';
import { type Cases, holds } from './property.ts';
import { audit, expectSame, Rig, type RigOptions } from './rig.ts';

interface Setting extends Bounds, RigOptions, Cases {
  readonly prepare?: (rig: Rig) => void;
  readonly mayFail?: readonly string[];
  /** Truncates begin while other operations are under way. */
  readonly crowded?: boolean;
}

function check(setting: Setting): Promise<void> {
  return holds(
    fc.asyncProperty(histories(setting), fc.nat(), (history, seed) =>
      simulate(history, { ...setting, seed }).then(() => {}),
    ),
    setting,
  );
}

/** Starts one action after the other, with a few completions in between, and lets all end. */
async function simulate(history: readonly Action[], setting: Setting): Promise<Rig> {
  const rig = new Rig(setting);
  const model = new Model(rig);
  const random = new Random(setting.seed ?? 0);
  const work: Promise<unknown>[] = [];
  const failures: unknown[] = [];
  const settle = () => rig.schedule.run(Promise.all(work));
  setting.prepare?.(rig);
  for (const action of history) {
    if (action.do === 'truncate' && !setting.crowded) await settle();
    const operation = model.operation(action);
    if (operation !== undefined) {
      work.push(rig.start(operation).catch((error) => failures.push(error)));
    }
    for (let n = random.below(4); n > 0 && rig.schedule.step(); n--) await turn();
  }
  await settle();
  for (const error of failures) tolerate(error, setting);
  rig.device.heal();
  await rig.do(rig.syncing());
  rig.cache.evictAll();
  await model.compareSlowly();
  audit(rig);
  return rig;
}

function tolerate(error: unknown, { mayFail = [] }: Setting): void {
  if (!mayFail.includes(errorCode(error) ?? '')) throw error;
}

/** What follows from a completion happens before the next one. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function plantFaults(rig: Rig): void {
  rig.device.inject({ on: 'read', effect: 'fail', probability: 1 / 10 });
  rig.device.inject({ on: 'write', effect: 'fail', probability: 1 / 4 });
}

describe('operations side by side on a slow device', { timeout: 120_000 }, () => {
  it('do what each alone would do', () => check({ blocks: 12, length: 4 }));

  it('do so over several folios', () => check({ blocks: 60, length: 20 }));

  it('do so three at a time', () => check({ blocks: 12, length: 6, concurrency: 3 }));

  it('do so if every question may have to be asked again', () =>
    check({ blocks: 20, length: 6, toy: ForgetfulToy }));

  it('do so on a device that is full now and then', () =>
    check({ blocks: 20, length: 9, deviceBlocks: 48, mayFail: ['ENOSPC'] }));

  it('do so on a device that fails now and then', () =>
    check({ blocks: 12, length: 6, mayFail: ['EIO'], prepare: plantFaults }));

  it('do so with truncates among them', () =>
    check({ blocks: 12, length: 6, crowded: true, casesFrom: 11 }));

  it('do so in chunks of two blocks, with writeback in every write', () =>
    check({ blocks: 12, length: 6, dirtyLimit: 5, casesFrom: 4 }));

  it('do so in a cache smaller than the files', () =>
    check({
      blocks: 60,
      length: 20,
      frames: 64,
      concurrency: 3,
      casesFrom: 4,
    }));

  it('do so with all of this at once', () =>
    check({
      ...{ blocks: 30, length: 10, dirtyLimit: 10, deviceBlocks: 90, frames: 64, concurrency: 3 },
      ...{ toy: ForgetfulToy, mayFail: ['EIO', 'ENOSPC'], prepare: plantFaults, crowded: true },
      casesFrom: 4,
    }));
});

describe('a simulated history', () => {
  it('is the same for the same seed, and another for another', async () => {
    const [history] = fc.sample(histories({ blocks: 12, length: 6 }), { seed: 9 });
    const trace = async (seed: number) => {
      const { schedule, memory } = await simulate(history ?? [], { ...setting, seed });
      const image = new Uint8Array(memory.size);
      memory.read(0, image);
      return { us: schedule.nowUs, read: memory.blocksRead.join(), image };
    };
    const setting = { blocks: 12, length: 6, dirtyLimit: 10 };
    const [first, again, other] = [await trace(1), await trace(1), await trace(2)];
    expect([again.us, again.read]).toEqual([first.us, first.read]);
    expectSame(again.image, first.image);
    expect(other.us).not.toBe(first.us);
  });
});
