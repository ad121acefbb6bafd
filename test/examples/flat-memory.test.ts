/**
 * The flat filesystem of the examples, against a map of byte arrays: alone and side by side, with
 * room and without. Every answer passes the validator, and at the end every count is right.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FlatFile, FlatFilesystem } from '../../examples/flat-memory/filesystem.ts';
import { Clone, Remove } from '../../examples/flat-memory/operations.ts';
import { BLOCK_SIZE, type Operation } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { BufferedRead, BufferedWrite, validated, Writeback } from '../../src/iomap/index.ts';
import { FaultDevice, Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { holds } from '../iomap/property.ts';
import { type Action, blocksOf, histories, runAtOnce, runTogether, World } from './oracle.ts';

const SPECIAL = ['clone', 'clone', 'sync', 'evict'];
/** The least that a cache may be: 64 frames, of which 32 may be dirty. */
const CACHE = 64 * BLOCK_SIZE;

class FlatWorld extends World {
  readonly fs: FlatFilesystem;
  readonly driver: Driver;

  constructor(device: Device, pause: () => Promise<void> = () => Promise.resolve()) {
    super();
    const blocks = device.size / BLOCK_SIZE;
    this.fs = new FlatFilesystem({ blocks, cacheBytes: CACHE, wrap: validated });
    this.driver = new Driver(device, { pause, concurrency: this.pool.operationsMax });
  }

  get pool() {
    return this.fs.pool;
  }

  protected override names(): string[] {
    return this.fs.names;
  }

  protected override special(action: Action): Operation<unknown> | undefined {
    const { fs, pairs } = this;
    const { name, other } = action;
    switch (action.do) {
      case 'create':
        pairs.set(name, { file: fs.create(name), bytes: new Uint8Array(0) });
        return undefined;
      case 'remove':
        return new TrackedRemove(this, name);
      case 'clone':
        return pairs.has(other) ? undefined : new TrackedClone(this, name, other);
      case 'sync':
        return new Writeback(fs.pool);
      default:
        return undefined;
    }
  }

  override refused(action: Action, code: string): void {
    if (code !== 'ENOSPC') return;
    expect(this.pool.dirtyBlocks).toBe(0);
    expect(this.fs.available).toBeLessThan(blocksOf(action));
  }

  /** For a world in which nothing is under way: every promise and every count is accounted for. */
  audit(): void {
    const { fs, pool } = this;
    this.auditPool();
    expect(fs.promised, 'promised blocks').toBe(pool.dirtyBlocks);
    const counts = new Uint32Array(fs.counts.length);
    for (const { file } of this.pairs.values()) {
      for (const block of (file as FlatFile).map.values()) counts[block] = (counts[block] ?? 0) + 1;
    }
    expect(fs.counts, 'counts').toEqual(counts);
  }
}

class TrackedClone extends Clone {
  readonly #cloned: (file: FlatFile) => void;

  constructor({ fs, pairs }: FlatWorld, from: string, to: string) {
    super(fs, from, to);
    this.#cloned = (file) =>
      pairs.set(to, { file, bytes: pairs.get(from)?.bytes.slice() as Uint8Array });
  }

  protected override finish(file: FlatFile): true {
    this.#cloned(file);
    return super.finish(file);
  }
}

class TrackedRemove extends Remove {
  readonly #removed: () => void;

  constructor(world: FlatWorld, name: string) {
    super(world.fs, name);
    this.#removed = () => world.drop(name);
  }

  protected override finish(): true {
    this.#removed();
    return super.finish(undefined);
  }
}

function memory(blocks: number): MemoryDevice {
  return new MemoryDevice({ size: blocks * BLOCK_SIZE });
}

function together(history: Action[], seed: number, blocks: number, mayFail: string[]) {
  const random = new Random(seed);
  const schedule = new Schedule(random);
  const slow = new SlowDevice(memory(blocks), { schedule });
  const world = new FlatWorld(slow, () => schedule.submit(() => {}));
  return runTogether(world, history, { schedule, random, mayFail }).then(() => world.audit());
}

describe('the flat filesystem', { timeout: 60_000 }, () => {
  it('holds what was written, clones and all', () =>
    holds(
      fc.property(histories(20, SPECIAL), (history) => {
        const world = new FlatWorld(memory(512));
        runAtOnce(world, history);
        world.audit();
      }),
    ));

  it('is full when it is, and not before', () =>
    holds(
      fc.property(histories(24, SPECIAL), (history) => {
        const world = new FlatWorld(memory(40));
        runAtOnce(world, history, ['ENOSPC']);
        world.audit();
        // Whatever it was full of comes back.
        for (const name of world.fs.names) world.driver.run(new Remove(world.fs, name));
        expect(world.fs.available).toBe(40);
      }),
    ));

  it('does what each operation alone would do', () =>
    holds(
      fc.asyncProperty(histories(12, SPECIAL), fc.nat(), (history, seed) =>
        together(history, seed, 512, ['ENOENT', 'EEXIST']),
      ),
    ));

  it('does so where there is hardly room', () =>
    holds(
      fc.asyncProperty(histories(20, SPECIAL), fc.nat(), (history, seed) =>
        together(history, seed, 40, ['ENOENT', 'EEXIST', 'ENOSPC']),
      ),
    ));

  it('keeps both versions if a write fails', () =>
    holds(
      fc.property(histories(20, SPECIAL), fc.nat(), (history, seed) => {
        const device = new FaultDevice(memory(512), new Random(seed));
        device.inject({ on: 'write', effect: 'fail', probability: 1 / 4 });
        const world = new FlatWorld(device);
        runAtOnce(world, history, ['EIO']);
        device.heal();
        world.driver.run(new Writeback(world.pool));
        world.pool.blocks.evictAll();
        world.compare();
        world.audit();
      }),
    ));
});

it('a reader on his way to a block that is let go finds no other data there (F3)', async () => {
  const gate = new GatedDevice(memory(64));
  const { fs, driver } = new FlatWorld(gate);
  const file = fs.create('a');
  const version = (n: number) => new Uint8Array(BLOCK_SIZE).fill(n);
  const store = async (n: number) => {
    await driver.start(new BufferedWrite().begin(file, 0, version(n)));
    await Promise.all([driver.start(new Writeback(fs.pool)), gate.pass('write')]);
  };
  await store(1);
  fs.pool.blocks.evictAll();
  gate.shut();
  const found = new Uint8Array(BLOCK_SIZE);
  const read = driver.start(new BufferedRead().begin(file, 0, BLOCK_SIZE, found));
  await store(2);
  await store(3);
  await Promise.all([read, gate.open()]);
  expect(found).toEqual(version(3));
});

it('a write into a clone has a source that is shared and a destination of its own', () => {
  const world = new FlatWorld(memory(64));
  const { fs, driver } = world;
  runAtOnce(world, [
    { do: 'create', name: 'a', other: 'b', at: 0, length: 1, seed: 1 },
    { do: 'write', name: 'a', other: 'b', at: 0, length: 3 * BLOCK_SIZE, seed: 1 },
    { do: 'clone', name: 'a', other: 'b', at: 0, length: 1, seed: 1 },
    { do: 'write', name: 'b', other: 'a', at: BLOCK_SIZE + 10, length: 10, seed: 2 },
    { do: 'sync', name: 'b', other: 'a', at: 0, length: 1, seed: 1 },
  ]);
  const [a, b] = [fs.open('a').map, fs.open('b').map];
  expect([0, 1, 2].map((i) => a.get(i) === b.get(i))).toEqual([true, false, true]);
  expect([...fs.counts.filter((count) => count > 0)].sort()).toEqual([1, 1, 2, 2]);
  expect(driver.idle).toBe(true);
  expect(() => fs.create('a')).toThrow('Cannot create a: the name is taken');
  expect(() => fs.open('c')).toThrow('Cannot open c: there is no such file');
});
