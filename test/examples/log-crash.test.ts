/**
 * Power cuts under the log-structured filesystem of the examples: whatever is left mounts, and
 * shows exactly what was there at the last sync that somebody was told of, or at one that had
 * closed after it; and it can be lived on in. Without a guard it does not.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sync } from '../../examples/log-structured/sync.ts';
import { BLOCK_SIZE, errorCode } from '../../src/base/index.ts';
import { type Completion, MemoryDevice } from '../../src/device/index.ts';
import { CrashDevice, crashChoices, Random, Schedule } from '../../src/testing/index.ts';
import { holds } from '../iomap/property.ts';
import { emptyImage, LogWorld, mounted, SPECIAL } from './log-world.ts';
import { type Action, histories, startTogether } from './oracle.ts';

const ROOMY = emptyImage(256);
/** So tight that every write has to sync, and the log goes through holes. */
const TIGHT = emptyImage(72);
/** Places where each history is cut. */
const CUTS = 5;

interface Setting {
  readonly image: Uint8Array;
  readonly device?: typeof CrashDevice;
  /** Takes a guard away. */
  readonly tamper?: (world: LogWorld) => void;
}

/** Runs a history until the power goes, at several places, and looks at what is left. */
function crash(history: readonly Action[], seed: number, setting: Setting): void {
  const random = new Random(seed);
  const { counters } = live(history, setting).device as CrashDevice;
  for (let i = 0; i < CUTS; i++) {
    const world = live(history, setting, random.between(1, counters.operations));
    inspect(world, random);
  }
}

/** A world in which a history has happened, up to where the device lost its power. */
function live(history: readonly Action[], setting: Setting, operation = Infinity): LogWorld {
  const { image, device: Device = CrashDevice } = setting;
  const device = new Device({ image, cutAt: { operation } });
  const world = new LogWorld(device, mounted(MemoryDevice.from(image)));
  setting.tamper?.(world);
  for (const action of history) {
    try {
      const operation = world.operation(action);
      if (operation !== undefined) world.driver.run(operation);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EIO' && !device.powered) break;
      if (code !== 'ENOSPC') throw error;
    }
  }
  return world;
}

/** Every image that may be left shows one of the states that it may, and nothing in between. */
function inspect(world: LogWorld, random: Random): void {
  const device = world.device as CrashDevice;
  const plan = { random, exhaustiveMax: 3, samples: 4 };
  let last: LogWorld | undefined;
  for (const choice of crashChoices(device.pending.length, plan)) {
    const left = LogWorld.on(device.restart(choice));
    for (const [generation, state] of world.states) left.states.set(generation, state);
    expect(left.acknowledged).toBeGreaterThanOrEqual(world.acknowledged);
    left.hold(left.acknowledged);
    left.compare();
    last = left;
  }
  last?.audit();
  if (last !== undefined) goOn(last);
}

/** What is left takes changes, and keeps them. */
function goOn(world: LogWorld): void {
  const action = { name: 'new', other: '', at: 100, length: 2 * BLOCK_SIZE, seed: 5 };
  const start = [
    { ...action, do: 'create' },
    { ...action, do: 'write' },
  ] as Action[];
  try {
    for (const step of start) {
      const operation = world.operation(step);
      if (operation !== undefined) world.driver.run(operation);
    }
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC') throw error;
  }
  world.driver.run(new Sync(world.fs));
  world.remount();
  world.compare();
}

/** The same with operations side by side. */
async function crashTogether(history: readonly Action[], seed: number, image: Uint8Array) {
  const random = new Random(seed);
  const schedule = new Schedule(random);
  const device = new CrashDevice({ image, schedule });
  const pause = () => schedule.submit(() => {});
  const world = new LogWorld(device, mounted(MemoryDevice.from(image)), pause);
  const { work, failures } = await startTogether(world, history, { schedule, random });
  inspect(world, random);
  device.cutPower();
  await schedule.run(Promise.all(work));
  const expected = ['EIO', 'ENOENT', 'EEXIST', 'ENOSPC'];
  for (const error of failures) if (!expected.includes(errorCode(error) ?? '')) throw error;
}

describe('crash: the log is what it was at one of its syncs', { timeout: 60_000 }, () => {
  const check = (setting: Setting) =>
    holds(
      fc.property(histories(20, [...SPECIAL, 'sync']), fc.nat(), (history, seed) =>
        crash(history, seed, setting),
      ),
      { numRuns: 20 },
    );

  it('wherever the power goes', () => check({ image: ROOMY }));

  it('where blocks are used again as soon as they may be', () => check({ image: TIGHT }));

  it('with operations side by side', () =>
    holds(
      fc.asyncProperty(histories(12, SPECIAL), fc.nat(), (history, seed) =>
        crashTogether(history, seed, ROOMY),
      ),
      { numRuns: 50 },
    ));
});

/** Its every first flush does nothing: that is the one before the checkpoint. */
class CarelessDevice extends CrashDevice {
  #flushes = 0;

  override flush(): Completion {
    return this.#flushes++ % 2 === 0 ? undefined : super.flush();
  }
}

describe('without its guard the log comes to harm', { timeout: 60_000 }, () => {
  const harmed = (setting: Setting): boolean =>
    fc.sample(histories(20, SPECIAL), { seed: 1, numRuns: 15 }).some((history, seed) => {
      try {
        crash(history, seed, setting);
        return false;
      } catch {
        return true;
      }
    });

  it('nothing taken away: none', () => expect(harmed({ image: TIGHT })).toBe(false));

  it('no flush before the checkpoint (L1)', () =>
    expect(harmed({ image: ROOMY, device: CarelessDevice })).toBe(true));

  it('what was freed is idle at once (S2)', () => {
    const tamper = ({ fs: { space } }: LogWorld) => {
      const free = space.free.bind(space);
      space.free = (block) => {
        free(block);
        space.release(space.freed.splice(0), () => false);
      };
    };
    expect(harmed({ image: TIGHT, tamper })).toBe(true);
  });
});

it('crash: a checkpoint that is damaged leaves the one before it', () => {
  const device = MemoryDevice.from(ROOMY);
  const world = LogWorld.on(device);
  const action = { name: 'a', other: '', at: 0, length: 3 * BLOCK_SIZE, seed: 5 };
  const steps = ['create', 'write', 'sync', 'truncate', 'sync'];
  for (const step of steps) world.driver.run(world.operation({ ...action, do: step }) as Sync);
  const newest = world.fs.generation - 1;
  device.write((newest % 2) * BLOCK_SIZE + 20, new Uint8Array([1]));
  world.remount();
  expect(world.fs.generation).toBe(newest);
  expect(world.fs.open('a').size).toBe(3 * BLOCK_SIZE);
  world.compare();
});
