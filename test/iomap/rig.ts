/**
 * A toy filesystem on a device that tells what was read, and the audit that ends every test.
 */
import { expect } from 'vitest';
import { BLOCK_SIZE, type Operation, type Plan } from '../../src/base/index.ts';
import { BlockCache, NO_FOLIO } from '../../src/cache/index.ts';
import { MemoryDevice, totalLength } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import {
  BufferedRead,
  BufferedWrite,
  DirectRead,
  DirectWrite,
  type MappingOps,
  Truncate,
  validated,
  Writeback,
} from '../../src/iomap/index.ts';
import { FaultDevice, Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { GatedDevice } from './gated-device.ts';
import { Reflink, ToyFile, ToyFilesystem, UNWRITTEN } from './toy-filesystem.ts';

export const B = BLOCK_SIZE;

/** Memory that remembers which blocks were read. */
class LoggedMemory extends MemoryDevice {
  blocksRead: number[] = [];

  override read(position: number, buffer: Uint8Array): undefined {
    this.readv(position, [buffer]);
  }

  override readv(position: number, buffers: readonly Uint8Array[]): undefined {
    const end = position + totalLength(buffers);
    for (let at = position; at < end; at += B) this.blocksRead.push(at / B);
    let at = position;
    for (const buffer of buffers) {
      super.read(at, buffer);
      at += buffer.length;
    }
  }
}

/** Undefined content looks undefined here: it is never by luck zeros, or what was there before. */
class PoisonedCache extends BlockCache {
  override take(): ReturnType<BlockCache['take']> {
    const frame = super.take();
    this.view(frame).fill(0xee);
    return frame;
  }
}

export interface RigOptions {
  readonly deviceBlocks?: number;
  /** Frames of the cache. */
  readonly frames?: number;
  readonly dirtyLimit?: number;
  /** Says that no transfer outlives its turn; see `BufferPoolOptions`. */
  readonly immediate?: boolean;
  /** Makes the device slow: it answers in an order that follows from this seed. */
  readonly seed?: number;
  /** Makes the device slow: it answers when `rig.gate` lets it. */
  readonly gated?: boolean;
  readonly concurrency?: number;
  readonly toy?: typeof ToyFilesystem;
}

export class Rig {
  readonly memory: LoggedMemory;
  readonly device: FaultDevice;
  readonly schedule: Schedule;
  readonly gate: GatedDevice;
  readonly cache: BlockCache;
  readonly toy: ToyFilesystem;
  readonly driver: Driver;

  constructor(options: RigOptions = {}) {
    const { deviceBlocks = 512, frames = 1024, seed, concurrency } = options;
    this.schedule = new Schedule(new Random(seed ?? 0));
    this.memory = new LoggedMemory({ size: deviceBlocks * B });
    const { memory, schedule } = this;
    this.gate = new GatedDevice(memory);
    const slow = seed === undefined ? memory : new SlowDevice(memory, { schedule });
    this.device = new FaultDevice(options.gated ? this.gate : slow, new Random(seed ?? 0));
    this.cache = new PoisonedCache({ capacity: frames * B, seed: 7n });
    this.toy = new (options.toy ?? ToyFilesystem)(this.cache, deviceBlocks, options);
    this.toy.begin = validated(this.#bound()).begin;
    this.#watchRelief();
    this.driver = new Driver(this.device, {
      pause: () => schedule.submit(() => {}),
      concurrency: concurrency ?? this.toy.pool.operationsMax,
    });
  }

  /** The toy's own answers, for the validator to look at. */
  #bound(): MappingOps {
    const { toy } = this;
    return Object.assign(Object.create(toy), { begin: toy.begin.bind(toy) });
  }

  /** Who waits for memory waits for something: asking again and again is a hang in the making. */
  #watchRelief(): void {
    const { pool } = this.toy;
    const relief = pool.relief.bind(pool);
    let before = '';
    let asked = 0;
    pool.relief = (asker?: Plan): Operation<unknown> => {
      const now = `${this.schedule.nowUs} us, ${pool.dirtyBlocks} dirty blocks`;
      asked = now === before ? asked + 1 : 0;
      before = now;
      if (asked > 1000) throw new Error(`Relief does not help: ${now}`);
      return relief(asker as Plan) as Operation<unknown>;
    };
  }

  /** Starts an operation; it goes on as the schedule does. */
  start<Result>(operation: Operation<Result>): Promise<Result> {
    return this.driver.start(operation);
  }

  /** Runs an operation to its end, on a device of either kind. */
  async do<Result>(operation: Operation<Result>): Promise<Result> {
    return this.schedule.run(this.start(operation));
  }

  /** Opens the gate and waits for what was started while it was shut. */
  async open<Result>(...started: Promise<Result>[]): Promise<Result[]> {
    const [results] = await Promise.all([Promise.all(started), this.gate.open()]);
    return results;
  }

  /** Runs an operation in this turn. */
  run<Result>(operation: Operation<Result>): Result {
    return this.driver.run(operation);
  }

  /** A file with these bytes on the device and nowhere else; what was read so far is forgotten. */
  async stored(bytes: Uint8Array): Promise<ToyFile> {
    const file = new ToyFile(this.toy);
    await this.do(writing(file, 0, bytes));
    await this.do(this.syncing());
    this.forget();
    return file;
  }

  /** Writes all dirty data back. */
  syncing(): Writeback {
    return new Writeback(this.toy.pool);
  }

  /** Empties the cache, so that every read is seen. */
  forget(): void {
    this.cache.evictAll();
    this.memory.blocksRead = [];
  }

  async contents(file: ToyFile, position = 0, length = file.size - position): Promise<Uint8Array> {
    const target = new Uint8Array(length);
    return target.subarray(0, await this.do(reading(file, position, target)));
  }
}

export function writing(file: ToyFile, position: number, data: Uint8Array): BufferedWrite {
  return new BufferedWrite().begin(file, position, data);
}

export function reading(file: ToyFile, position: number, target: Uint8Array): BufferedRead {
  return new BufferedRead().begin(file, position, target.length, target);
}

export function writingDirectly(file: ToyFile, position: number, data: Uint8Array): DirectWrite {
  return new DirectWrite().begin(file, position, data);
}

export function readingDirectly(file: ToyFile, position: number, target: Uint8Array): DirectRead {
  return new DirectRead().begin(file, position, target.length, target);
}

export function truncating(file: ToyFile, size: number, done?: () => void): Truncate {
  return new Truncate(file, size, done);
}

export function cloning(file: ToyFile): Reflink {
  return new Reflink(file);
}

/** Bytes that differ from block to block, and from those of other seeds. */
export function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  return new Random(seed).bytes(length);
}

/** Fails with the first difference, not with all bytes. */
export function expectSame(found: Uint8Array, wanted: Uint8Array, what = 'bytes'): void {
  expect(found.length, `length of ${what}`).toBe(wanted.length);
  if (Buffer.compare(found, wanted) === 0) return;
  const at = found.findIndex((byte, i) => byte !== wanted[i]);
  const where = `${what} at ${at} (block ${Math.floor(at / B)} + ${at % B})`;
  expect.unreachable(`${where}: found ${found[at]}, wanted ${wanted[at]}`);
}

/** Whatever happened, nothing is left over. For a rig on which nothing is under way. */
export function audit({ toy, cache, driver }: Rig): void {
  const { pool } = toy;
  const { folios } = pool;
  expect(driver.idle, 'driver').toBe(true);
  expect(pool.active.size, 'writebacks').toBe(0);
  let dirty = 0;
  for (let folio = folios.oldest; folio !== NO_FOLIO; folio = folios.younger(folio)) {
    expect(folios.writeback[folio], 'blocks in flight').toBe(0);
    expect(folios.uptodate[folio], 'uptodate blocks').toBe(folios.dirty[folio]);
    for (let bits = folios.dirty[folio] as number; bits > 0; bits >>= 1) dirty += bits & 1;
  }
  expect(pool.dirtyBlocks, 'dirty blocks').toBe(dirty);
  expect(cache.busy, 'busy frames').toBe(dirty);
  expect(folios.count, 'folios').toBe(toy.files.reduce((sum, file) => sum + file.folioCount, 0));
  for (const { lock, cowLock } of toy.files) expect(lock.idle && cowLock.idle, 'locks').toBe(true);
  const entries = toy.files.flatMap((file) => [...file.map.values()]);
  const unwritten = entries.filter((entry) => entry === UNWRITTEN).length;
  expect(toy.promised, 'promised blocks').toBe(dirty + unwritten);
  const counts = new Uint16Array(toy.counts.length);
  for (const entry of entries) if (entry !== UNWRITTEN) counts[entry] = (counts[entry] ?? 0) + 1;
  expect(toy.counts, 'counts').toEqual(counts);
}
