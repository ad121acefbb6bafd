/**
 * Bench: a volume with a file and its clone, on a device that completes what it is told to.
 */
import { expect } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { errorCode, type Operation } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { type Engine, lookup, type Vnode } from '../../src/volume/index.ts';
import { recount } from '../volume/recount.ts';
import { create, mountWith, type RigOptions } from '../volume/rig.ts';
import { ChoiceDevice } from './choice-device.ts';
import { B, type FileState, type State } from './files.ts';
import { Needs } from './needs.ts';
import type { Name } from './operations.ts';

/** A volume that is made in no time, with memory for everything. */
const OPTIONS: RigOptions = { groupBlocks: 256, logBlocks: 8, cacheBytes: 384 * 1024 };
const IMAGE_SIZE = 640 * 1024;
const API_OPTIONS: VolumeOptions = { commitIntervalMs: 0, now: () => 1e12 };
/** Operations under way at once. */
const CONCURRENCY = 16;

/** A volume whose engine can be reached. */
export class OpenVolume extends Volume {
  static over(device: ChoiceDevice, driver: Driver, engine: Engine): OpenVolume {
    const volume = new OpenVolume(device, driver, engine, API_OPTIONS);
    driver.concurrency = CONCURRENCY;
    return volume;
  }

  get inside(): Engine {
    return this.engine;
  }

  get idle(): boolean {
    return this.driver.idle;
  }

  /** An operation that the API has no call for. */
  start<Result>(operation: Operation<Result>): Promise<Result> {
    return this.driver.start(operation);
  }

  run<Result>(operation: Operation<Result>): Result {
    return this.driver.run(operation);
  }
}

/** What `fs.promises.open` comes to. */
type FileHandle = Awaited<ReturnType<Volume['fs']['promises']['open']>>;

interface Open {
  readonly handle: FileHandle;
  readonly appender: FileHandle;
  /** Past the cache. */
  readonly direct: FileHandle;
  readonly vnode: Vnode;
}

/** The image of a new volume, on which `plant` has left something. */
export async function plantImage(plant: (volume: OpenVolume) => void): Promise<Uint8Array> {
  const image = new Uint8Array(IMAGE_SIZE);
  const memory = new MemoryDevice({ buffer: image.buffer });
  create(memory, OPTIONS);
  const bench = new Bench(image);
  plant(bench.volume);
  bench.volume.syncSync();
  return bench.image;
}

export class Bench {
  /** What is on the device. */
  readonly image: Uint8Array;
  readonly device: ChoiceDevice;
  readonly needs = new Needs();
  volume: OpenVolume;
  readonly #open = new Map<Name, Open>();

  /** On a copy of an image. */
  constructor(image: Uint8Array) {
    this.image = image.slice();
    this.device = new ChoiceDevice(new MemoryDevice({ buffer: this.image.buffer }));
    this.volume = this.#mount();
  }

  /** Opens files. */
  async open(...names: readonly Name[]): Promise<void> {
    const { fs, inside } = this.volume;
    for (const name of names) {
      const vnode = this.volume.run(lookup(inside, inside.live, name));
      const handle = await fs.promises.open(name, 'r+');
      const appender = await fs.promises.open(name, 'a');
      const direct = await fs.promises.open(name, constants.O_RDWR | constants.O_DIRECT);
      this.#open.set(name, { handle, appender, direct, vnode });
    }
  }

  handle = (name: Name): FileHandle => this.#opened(name).handle;

  appender = (name: Name): FileHandle => this.#opened(name).appender;

  direct = (name: Name): FileHandle => this.#opened(name).direct;

  vnode = (name: Name): Vnode => this.#opened(name).vnode;

  /** A write or a flush of a commit has failed: nothing changes any more. */
  get latched(): boolean {
    return this.volume.inside.store.failure !== undefined;
  }

  /** Takes out of memory what is clean: all of it, or of the files only their data. */
  cool(how: 'all' | 'data'): void {
    this.volume.inside.store.blocks.evictAll();
    if (how === 'all') return;
    for (const name of ['f', 'c']) {
      this.volume.extentsSync(`/${name}`);
      this.volume.fs.statSync(`/${name}`);
    }
  }

  /** All files, as a reader sees them now. For a device that is `sync`. */
  state(): State {
    const { fs } = this.volume;
    const names = fs.readdirSync('/') as string[];
    return new Map(names.sort().map((name) => [name, this.#fileState(name)]));
  }

  /** What would be found after a power cut now. */
  durable(): State {
    return new Bench(this.image).state();
  }

  /** Makes every file end with a block; whether there is nothing behind where it ended. */
  endsClean(state: State): boolean {
    return [...state].every(([name, { bytes }]) => {
      const end = bytes.length;
      const whole = Math.ceil(end / B) * B;
      this.volume.fs.truncateSync(name, whole);
      const grown = this.volume.fs.readFileSync(name) as Uint8Array;
      return grown.length === whole && grown.subarray(end).every((byte) => byte === 0);
    });
  }

  remount(): void {
    this.#open.clear();
    this.volume = this.#mount();
  }

  /** Nothing is under way, promised, locked, or counted wrong. The volume is committed. */
  audit(): void {
    const { pool, store } = this.volume.inside;
    const locks = [...this.#open.values()].every(
      ({ vnode: { lock, cowLock } }) => lock.idle && cowLock.idle,
    );
    expect({
      idle: this.volume.idle,
      writebacks: pool.active.size,
      dirty: pool.dirtyBlocks,
      busy: store.blocks.busy,
      gate: store.gate,
      reserved: store.space.reserved,
      lost: store.groups.free - store.groups.idle - store.space.pending,
      locks,
    }).toEqual({
      idle: true,
      writebacks: 0,
      dirty: 0,
      busy: 0,
      gate: undefined,
      reserved: 0,
      lost: 0,
      locks: true,
    });
    expect(recount(this.image)).toEqual([]);
  }

  #mount(): OpenVolume {
    const { device } = this;
    const driver = new Driver(device, { pause: () => device.pause() });
    const engine = mountWith(driver, device, OPTIONS);
    this.needs.watch(driver);
    return OpenVolume.over(device, driver, engine);
  }

  #opened(name: Name): Open {
    const open = this.#open.get(name);
    if (open === undefined) throw new Error(`${name} is not open`);
    return open;
  }

  #fileState(name: string): FileState {
    const { fs } = this.volume;
    const bytes = Uint8Array.from(fs.readFileSync(name) as Uint8Array);
    const length = Math.ceil(bytes.length / B);
    const data = Array.from({ length }, (_, i) => this.#nextData(name, i * B) === i * B);
    return { bytes, data, cuts: [] };
  }

  #nextData(name: string, from: number): number | undefined {
    try {
      return this.volume.seekSync(`/${name}`, from, 'data');
    } catch (error) {
      if (errorCode(error) !== 'ENXIO') throw error;
      return undefined;
    }
  }
}
