/**
 * Bench: a volume that can be watched and harmed, on a device in memory; by promises, a slow one.
 */

import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { mountVolume } from '../../src/api/mount.ts';
import { runAsync } from '../../src/api/procedure.ts';
import type { Operation } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { type Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import type { Engine } from '../../src/volume/index.ts';
import { dump, type Face } from './dump.ts';
import { type Outcome, type Step, VolumeRunner } from './steps.ts';

/** A volume whose engine can be reached. */
export class OpenVolume extends Volume {
  static async on(device: Device, driver: Driver, options: VolumeOptions): Promise<OpenVolume> {
    const engine = await runAsync(driver, mountVolume(device, options), {});
    return new OpenVolume(device, driver, engine, options);
  }

  get inside(): Engine {
    return this.engine;
  }

  /** Runs an operation of the engine. */
  runInside<Result>(operation: Operation<Result>): Result {
    return this.driver.run(operation);
  }

  get idle(): boolean {
    return this.driver.idle;
  }
}

/** Options with which a volume does what a model does: nothing by itself, and all as one user. */
export const COMMON = { commitIntervalMs: 0, uid: 0, gid: 0, umask: 0o022 } as const;

export interface BenchOptions extends VolumeOptions {
  readonly size: number;
  /** All files that are made are overwritten in place. */
  readonly inplace?: boolean | undefined;
  /** Takes a guard of the engine away, after each mount. */
  readonly harm?: ((engine: Engine) => void) | undefined;
}

export class Bench {
  readonly face: Face;
  /** What is on the device. */
  readonly image: Uint8Array;
  readonly #options: BenchOptions;
  readonly #schedule: Schedule;
  readonly #device: MemoryDevice | SlowDevice;
  #runner!: VolumeRunner;
  #volume!: OpenVolume;

  private constructor(face: Face, options: BenchOptions, random: Random, image: Uint8Array) {
    this.face = face;
    this.#options = options;
    this.#schedule = new Schedule(random);
    this.image = image;
    const memory = new MemoryDevice({ buffer: this.image.buffer });
    this.#device = face === 'sync' ? memory : new SlowDevice(memory, { schedule: this.#schedule });
  }

  /** A new volume. */
  static async make(face: Face, options: BenchOptions, random: Random): Promise<Bench> {
    const bench = new Bench(face, options, random, new Uint8Array(options.size));
    await bench.#mount({ ...options, create: true });
    if (options.inplace && face === 'sync') bench.volume.setInplaceSync('/', true);
    else if (options.inplace) await bench.run(bench.volume.setInplace('/', true));
    return bench;
  }

  /** A copy of a volume. */
  static async from(
    image: Uint8Array,
    face: Face,
    options: BenchOptions,
    random: Random,
  ): Promise<Bench> {
    const bench = new Bench(face, options, random, image.slice());
    await bench.#mount(options);
    return bench;
  }

  get volume(): OpenVolume {
    return this.#volume;
  }

  /** Waits for something, with simulated time where there is any. */
  async run<Result>(work: Result | Promise<Result>): Promise<Result> {
    return work instanceof Promise ? await this.#schedule.run(work) : work;
  }

  /** One turn: a slow device completes one thing. */
  async turn(): Promise<void> {
    this.#schedule.step();
    await Promise.resolve();
  }

  async step(step: Step): Promise<Outcome> {
    return await this.run(this.#runner.run(step));
  }

  async dump(): Promise<string[]> {
    return await this.run(dump(this.#volume, this.face));
  }

  async close(): Promise<void> {
    if (this.face === 'sync') this.#volume.closeSync();
    else await this.run(this.#volume.close());
  }

  async remount(): Promise<void> {
    await this.close();
    await this.#mount(this.#options);
  }

  async reclaim(): Promise<void> {
    if (this.face === 'sync') this.#volume.reclaimSync();
    else await this.run(this.#volume.reclaim());
  }

  /** What is clean leaves memory. */
  evict(): void {
    this.#volume.inside.store.blocks.evictAll();
  }

  async #mount(options: BenchOptions): Promise<void> {
    const driver = new Driver(this.#device, {
      pause: () => (this.face === 'sync' ? Promise.resolve() : this.#schedule.submit(() => {})),
    });
    this.#volume = await this.run(OpenVolume.on(this.#device, driver, options));
    options.harm?.(this.#volume.inside);
    this.#runner = new VolumeRunner(this.#volume, this.face);
  }
}
