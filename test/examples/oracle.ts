/**
 * Oracle: what the files of an example hold, as plain bytes, changed in the very turn in which the
 * filesystem changes. So a read is right or wrong however operations overlap.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import { BLOCK_SIZE, blocksFor, errorCode, type Operation } from '../../src/base/index.ts';
import type { Driver } from '../../src/drive/index.ts';
import { type BufferPool, Punch, Truncate, ZeroRange } from '../../src/iomap/index.ts';
import { Random, type Schedule } from '../../src/testing/index.ts';
import { type Pair, resize, TrackedRead, TrackedWrite } from '../iomap/tracked.ts';

const NAMES = ['a', 'b', 'c', 'd'] as const;
/** What every filesystem has; those that are named twice come twice as often. */
const KINDS = ['read', 'truncate', 'punch', 'zero', 'create', 'create', 'remove'] as const;
const WRITES = ['write', 'write', 'write', 'write', 'write', 'write', 'write'] as const;

export interface Action {
  readonly do: string;
  readonly name: string;
  readonly other: string;
  readonly at: number;
  readonly length: number;
  readonly seed: number;
}

/** Histories of what every file has, and of actions that only this filesystem knows. */
export function histories(blocks: number, special: readonly string[]): fc.Arbitrary<Action[]> {
  const near = fc.constantFrom(0, 0, 1, 100, BLOCK_SIZE / 2, BLOCK_SIZE - 1);
  const at = fc.tuple(fc.nat(blocks - 1), near).map(([block, byte]) => block * BLOCK_SIZE + byte);
  const action = fc.record({
    do: fc.constantFrom(...KINDS, ...WRITES, ...special),
    name: fc.constantFrom(...NAMES),
    other: fc.constantFrom(...NAMES),
    at,
    length: fc.oneof(
      fc.integer({ min: 1, max: 200 }),
      at.map((length) => length + 1),
    ),
    seed: fc.nat(1000),
  });
  const create = { do: 'create', other: 'c', at: 0, length: 1, seed: 0 };
  const start = NAMES.slice(0, 3).map((name): Action => ({ ...create, name }));
  return fc.array(action, { maxLength: 50, size: 'max' }).map((actions) => [...start, ...actions]);
}

/** A filesystem, and what it should hold. */
export abstract class World {
  readonly pairs: Map<string, Pair> = new Map();
  abstract readonly pool: BufferPool;
  abstract readonly driver: Driver;

  /** What creates, removes, and is this filesystem's alone. */
  protected abstract special(action: Action): Operation<unknown> | undefined;
  /** Names in the filesystem. */
  protected abstract names(): string[];

  /** Called when an action failed as it may: it had better be right. */
  refused(_action: Action, _code: string): void {}

  /** The operation that does it to both; undefined if there is nothing to do. */
  operation(action: Action): Operation<unknown> | undefined {
    const { name, at, length } = action;
    const pair = this.pairs.get(name);
    if (action.do === 'evict') this.pool.blocks.evictAll();
    if (action.do === 'create') return pair === undefined ? this.special(action) : undefined;
    if (pair === undefined) return undefined;
    switch (action.do) {
      case 'write':
        return new TrackedWrite(pair, at, new Random(action.seed).bytes(length));
      case 'read':
        return new TrackedRead(pair, at, length);
      case 'truncate':
        return new Truncate(pair.file, at, () => resize(pair, at));
      case 'punch':
        return new Punch(pair.file, at, length, () => clear(pair, at, length));
      case 'zero':
        return new ZeroRange(pair.file, at, length, () => {
          resize(pair, Math.max(pair.bytes.length, at + length));
          clear(pair, at, length);
        });
      default:
        return this.special(action);
    }
  }

  /** Reads of everything, each compared in the turn in which it ends. */
  *comparisons(): Generator<TrackedRead> {
    const names = (all: Iterable<string>) => [...all].sort().join();
    if (names(this.names()) !== names(this.pairs.keys())) {
      expect(names(this.names())).toBe(names(this.pairs.keys()));
    }
    for (const pair of this.pairs.values()) {
      for (let at = 0; at <= pair.bytes.length; at += this.pool.chunkSize) {
        yield new TrackedRead(pair, at, this.pool.chunkSize);
      }
    }
  }

  compare(): void {
    for (const read of this.comparisons()) this.driver.run(read);
  }

  /** A file is gone; who is reading it finds it empty. */
  drop(name: string): void {
    const pair = this.pairs.get(name);
    if (pair !== undefined) resize(pair, 0);
    this.pairs.delete(name);
  }

  /** All bytes as they should be now. */
  snapshot(): Map<string, Uint8Array> {
    return new Map([...this.pairs].map(([name, { bytes }]) => [name, bytes.slice()]));
  }

  /** Nothing is left over where nothing is under way. */
  auditPool(): void {
    const { pool } = this;
    expect(this.driver.idle, 'driver').toBe(true);
    expect(pool.active.size, 'writebacks').toBe(0);
    expect(pool.blocks.busy, 'busy frames').toBe(pool.dirtyBlocks);
    for (const { file } of this.pairs.values()) {
      expect(file.lock.idle && file.cowLock.idle, 'locks').toBe(true);
    }
  }
}

/** Does it all in this turn, and compares everything after some of the steps and at the end. */
export function runAtOnce(world: World, history: readonly Action[], mayFail: string[] = []): void {
  for (const action of history) {
    try {
      const operation = world.operation(action);
      if (operation !== undefined) world.driver.run(operation);
    } catch (error) {
      const code = errorCode(error) ?? '';
      if (!mayFail.includes(code)) throw error;
      world.refused(action, code);
    }
    if (action.seed % 4 === 0) world.compare();
  }
  world.compare();
}

/** Starts one action after the other, with a few completions in between. */
export async function startTogether(
  world: World,
  history: readonly Action[],
  { schedule, random }: { schedule: Schedule; random: Random },
): Promise<{ work: Promise<unknown>[]; failures: unknown[] }> {
  const work: Promise<unknown>[] = [];
  const failures: unknown[] = [];
  for (const action of history) {
    const operation = world.operation(action);
    if (operation !== undefined) {
      work.push(world.driver.start(operation).catch((error) => failures.push(error)));
    }
    for (let n = random.below(5); n > 0 && schedule.step(); n--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return { work, failures };
}

/** The same, and lets all end. */
export async function runTogether(
  world: World,
  history: readonly Action[],
  { schedule, random, mayFail = [] }: { schedule: Schedule; random: Random; mayFail?: string[] },
): Promise<void> {
  const { work, failures } = await startTogether(world, history, { schedule, random });
  await schedule.run(Promise.all(work));
  for (const error of failures) if (!mayFail.includes(errorCode(error) ?? '')) throw error;
  for (const read of world.comparisons()) await schedule.run(world.driver.start(read));
}

/** Blocks that a write of these bytes touches. */
export function blocksOf({ at, length }: Action): number {
  return blocksFor(at + length) - Math.floor(at / BLOCK_SIZE);
}

function clear(pair: Pair, at: number, length: number): void {
  pair.bytes.fill(0, at, at + length);
}
