/**
 * A million power cuts: at every call of random lives, and between completions of slow devices, in
 * very many ways. RAMET_LONG=1 judges more than a million points, by default some thousands.
 */
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { Store } from '../../src/store/store.ts';
import { CrashDevice, Random } from '../../src/testing/index.ts';
import type { Step } from '../api/steps.ts';
import { seeded } from '../volume/seeds.ts';
import { Life, type LifeOptions, WEIGHTS, type Weights } from './life.ts';
import { noPoints, Points } from './points.ts';
import { SimulatedLife } from './simulated-life.ts';
import { OPERATIONS, SAVES, SCENE, WORKLOAD_OPTIONS } from './workloads.ts';

const long = process.env['RAMET_LONG'] === '1';
const asked = process.env['RAMET_SEED'] !== undefined;

/** Points that all seeds together must come to. */
const WANTED = long ? 1_000_000 : 5000;
const SAMPLES = 300;
const SMALL: LifeOptions = { size: MIB, groupBlocks: 256, logBlocks: 16, mayBeFull: true };
/** Commits are frequent, and so the logs short that a mount replays. */
const COMMITTING: Weights = { ...WEIGHTS, fsync: 20, range: 3, rm: 5, sync: 8, unlink: 8 };

const counts = noPoints();

afterAll(() => process.stdout.write(`points: ${JSON.stringify(counts)}\n`));
afterEach(() => vi.restoreAllMocks());

/** So many seeds; ten times the first number with RAMET_LONG=1. A seed does the same in both. */
const seeds = (tenth: number, few: number) => ({
  count: long ? tenth : few,
  timeoutMs: 360_000,
});

/** Cuts the power after each call of the device. */
function cutAlways(life: Life, random: Random, judged = counts): void {
  const { states, tape, options } = life;
  const points = new Points({ states, options, random, counts: judged, samples: SAMPLES });
  const device = new CrashDevice({ image: tape.base });
  for (let count = 0; count <= tape.calls.length; count++) {
    try {
      points.judge({ device, ...life.promises(count) });
    } catch (error) {
      (error as Error).message += `\n${life.story(count)}`;
      throw error;
    }
    const call = tape.calls[count];
    if (call?.kind === 'flush') void device.flush();
    else if (call?.kind === 'write') void device.write(call.position, call.bytes);
  }
}

seeded('points of random lives', seeds(18, 1), (random) => {
  const life = new Life(random, { ...SMALL, weights: COMMITTING });
  life.run(100);
  cutAlways(life, random);
});

seeded('points of volumes of any layout', seeds(6, 1), (random) => {
  const life = new Life(random, {
    size: random.pick([2, 3, 5]) * MIB,
    groupBlocks: random.pick([256, 512, 1024]),
    logBlocks: random.pick([3, 8, 40, 100]),
    countCap: random.pick([1, 2, 4] as const),
    extentSize: random.pick([0, 8192, 65_536]),
    cacheBytes: 16 * MIB,
    weights: random.pick([WEIGHTS, COMMITTING]),
  });
  life.run(60);
  cutAlways(life, random);
});

seeded('points of volumes that are often full', seeds(12, 1), (random) => {
  const options = { size: 0.75 * MIB, logBlocks: 4, weights: COMMITTING };
  const life = new Life(random, { ...SMALL, ...options });
  life.run(80);
  cutAlways(life, random);
});

seeded('points of workloads', seeds(20, 2), (random) => {
  const steps: Step[] = [];
  for (let i = 0; i < 3; i++) steps.push(random.pick(OPERATIONS), ...random.pick(SAVES));
  const life = new Life(random, WORKLOAD_OPTIONS);
  for (const step of [...SCENE, ...steps, ...random.pick(SAVES.slice(1))]) life.step(step);
  cutAlways(life, random);
});

seeded('points of slow devices', seeds(10, 1), async (random) => {
  const points = { counts, samples: SAMPLES };
  const options = { ...SMALL, size: 2 * MIB, cuts: 0.1, weights: COMMITTING, points };
  await new SimulatedLife(random, options).run(60);
});

it.skipIf(asked)(`the points are more than ${WANTED}`, () => {
  expect(counts.points).toBeGreaterThan(WANTED);
  if (long) expect(counts.doubted).toBeGreaterThan(100);
  expect(counts.again).toBeGreaterThan(counts.mounts / 40);
});

describe('points notice', () => {
  it('that nobody waits for the flush', () => {
    const { flushLog } = Store.prototype;
    vi.spyOn(Store.prototype, 'flushLog').mockImplementation(function (this: Store) {
      this.log.durable = this.log.operation;
      return flushLog.call(this);
    });
    const random = new Random(1);
    const life = new Life(random, { ...SMALL, weights: COMMITTING });
    life.run(60);
    expect(() => cutAlways(life, random, noPoints())).toThrow(/Found none of the states/u);
  });
});
