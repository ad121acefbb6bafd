/** Controls: what keeps a volume safe from power cuts is taken away, and the cuts show it. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import type { Mutation } from '../../src/format/index.ts';
import { IntentLog } from '../../src/store/log.ts';
import { Store } from '../../src/store/store.ts';
import { Random } from '../../src/testing/index.ts';
import { LogRecords } from '../../src/volume/log-records.ts';
import type { Step } from '../api/steps.ts';
import { cut } from './cut.ts';
import { Life, type LifeOptions } from './life.ts';

const SMALL: LifeOptions = { size: 2 * MIB, groupBlocks: 256, logBlocks: 16 };
const SEEDS = 6;

/** What goes wrong in some lives, if anything does. */
function harmed(): string | undefined {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    try {
      const life = new Life(random, SMALL);
      life.run(60);
      const calls = Array.from({ length: 12 }, () => random.between(0, life.tape.calls.length));
      cut(life, random, calls);
    } catch (error) {
      return (error as Error).message;
    }
  }
  return undefined;
}

/** A file becomes longer over data that the log does not know; another one is made durable. */
const LONGER: readonly Step[] = [
  { call: 'open', args: [0, '/f', 'w'] },
  { call: 'open', args: [1, '/g', 'w'] },
  { call: 'sync', args: [] },
  { call: 'write', args: [0, 1, 12_288, 0] },
  { call: 'ftruncate', args: [0, 20_000] },
  { call: 'fsync', args: [1] },
];

/** What goes wrong if the power goes off in the end. */
function harmedAfter(steps: readonly Step[]): string | undefined {
  const random = new Random(1);
  const life = new Life(random, SMALL);
  for (const step of steps) life.step(step);
  try {
    cut(life, random, [life.tape.calls.length]);
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

type Method = (this: never, ...args: never[]) => unknown;

function replace(target: object, name: string, make: (original: Method) => Method): void {
  const methods = target as Record<string, Method>;
  const original = methods[name] as Method;
  vi.spyOn(methods, name).mockImplementation(make(original));
}

const nothing = (): Method => () => {};

const HARMS: readonly (readonly [title: string, harm: () => void])[] = [
  [
    'that nobody waits for the flush',
    () =>
      replace(Store.prototype, 'flushLog', (flushLog) => {
        return function (this: Store) {
          this.log.durable = this.log.operation;
          return flushLog.call(this as never);
        };
      }),
  ],
  ['that data is not told', () => replace(LogRecords.prototype, 'written', nothing)],
  [
    'that data is thought to be told',
    () => replace(LogRecords.prototype, 'tellData', () => () => true),
  ],
  ['that sizes are not told', () => replace(LogRecords.prototype, 'sized', nothing)],
  [
    'that a record is left out',
    () =>
      replace(LogRecords.prototype, 'add', (add) => {
        return function (this: LogRecords, record: Mutation) {
          if (record.type !== 'rename') add.call(this as never, record as never);
        } as Method;
      }),
  ],
];

afterEach(() => {
  vi.restoreAllMocks();
});

describe('power cuts notice', { timeout: 120_000 }, () => {
  it('nothing while nothing is taken away', () => {
    expect(harmed()).toBeUndefined();
    expect(harmedAfter(LONGER)).toBeUndefined();
  });

  it.each(HARMS)('%s', (_, harm) => {
    harm();
    expect(harmed()).toBeDefined();
  });

  it('that the log is kept where a file becomes longer over data it does not know', () => {
    replace(IntentLog.prototype, 'lose', nothing);
    expect(harmedAfter(LONGER)).toMatch(/block 0 is none of its/u);
  });
});
