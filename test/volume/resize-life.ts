/**
 * Resize life: writers that make files durable, readers, and a volume whose size changes, on a slow
 * device that may lose its power at any moment.
 */
import { expect } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, errorCode, KIB, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { resizedGeometry } from '../../src/format/index.ts';
import {
  CrashDevice,
  dropAll,
  keepAll,
  type Random,
  randomCrash,
  Schedule,
} from '../../src/testing/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';

const OPTIONS = { ...COMMON, groupBlocks: 256, logBlocks: 40, cacheBytes: 4 * MIB } as const;
const WRITERS = 3;
const FILE_MAX = 60 * KIB;
const FILES_MAX = 12;

export interface ResizeLifeOptions {
  /** Bytes of the volume at first. */
  readonly size: number;
  /** How often the power goes off between two completions. */
  readonly cuts: number;
  /** Takes a guard away. */
  readonly harm?: ((volume: OpenVolume) => void) | undefined;
}

export class ResizeLife {
  /** Images that were judged. */
  images = 0;
  readonly #random: Random;
  readonly #options: ResizeLifeOptions;
  readonly #schedule: Schedule;
  readonly #device: CrashDevice;
  volume!: OpenVolume;
  /** Files that were made durable and not touched since. */
  readonly #files = new Map<string, Uint8Array>();
  /** Sizes that the volume may have. */
  #sizes: number[];
  #living = true;
  #made = 0;

  constructor(random: Random, options: ResizeLifeOptions) {
    this.#random = random;
    this.#options = options;
    this.#schedule = new Schedule(random.fork());
    this.#device = new CrashDevice({ size: options.size, schedule: this.#schedule });
    this.#sizes = [options.size];
  }

  get size(): number {
    return this.volume.inside.store.superblock.geometry.blockCount * BLOCK_SIZE;
  }

  /** Lives while `change` goes on. */
  async run(change: (life: ResizeLife) => Promise<void>): Promise<void> {
    const driver = new Driver(this.#device, { pause: () => this.#schedule.submit(() => {}) });
    const opening = OpenVolume.on(this.#device, driver, { ...OPTIONS, create: true });
    this.volume = await this.#schedule.run(opening);
    this.#options.harm?.(this.volume);
    const writers = Array.from({ length: WRITERS }, () => this.#write());
    const work = Promise.all([change(this).finally(() => this.#end()), ...writers, this.#read()]);
    let over = false;
    void work.then(
      () => {
        over = true;
      },
      () => {
        over = true;
      },
    );
    while (!over) await this.#turn();
    await work;
    await this.#schedule.run(this.volume.close());
    for (let i = 0; i < 2; i++) this.#cut();
  }

  /** Changes the size; meanwhile a cut may show either. */
  async resize(size: number): Promise<void> {
    const { geometry } = this.volume.inside.store.superblock;
    const planned = resizedGeometry(geometry, size / BLOCK_SIZE);
    const wanted = (planned as typeof geometry).blockCount * BLOCK_SIZE;
    this.#sizes.push(wanted);
    expect(await this.volume.resize(size)).toBe(wanted);
    this.#sizes = [wanted];
  }

  /** Makes the volume smaller, by some part of what is possible; a cut may show any size. */
  async shrink(): Promise<void> {
    const old = this.size;
    const isKnown = this.#sizes.includes.bind(this.#sizes);
    this.#sizes = Array.from({ length: old / BLOCK_SIZE }, (_, i) => (i + 1) * BLOCK_SIZE);
    const found = await this.volume.shorten();
    expect(isKnown(old) && found <= old).toBe(true);
    this.#sizes = [found];
  }

  /** Lets others live for a while. */
  async wait(turns: number): Promise<void> {
    for (let i = 0; i < turns; i++) await this.#schedule.submit(() => {});
  }

  #end(): void {
    this.#living = false;
  }

  async #write(): Promise<void> {
    const random = this.#random.fork();
    const { promises } = this.volume.fs;
    while (this.#living) {
      const path = `/${this.#made++}`;
      const bytes = random.bytes(random.between(1, FILE_MAX));
      try {
        await promises.writeFile(path, bytes, { flush: true });
        this.#files.set(path, bytes);
      } catch (error) {
        if (errorCode(error) !== 'ENOSPC') throw error;
        await this.#remove(random);
      }
      if (this.#files.size > FILES_MAX) await this.#remove(random);
    }
  }

  async #remove(random: Random): Promise<void> {
    const paths = [...this.#files.keys()];
    if (paths.length === 0) return await this.wait(1);
    const path = random.pick(paths);
    this.#files.delete(path);
    await this.volume.fs.promises.unlink(path);
  }

  async #read(): Promise<void> {
    const random = this.#random.fork();
    while (this.#living) {
      await this.wait(2);
      const files = [...this.#files];
      if (files.length === 0) continue;
      const [path, bytes] = random.pick(files);
      if (random.chance(1 / 4)) this.volume.inside.store.blocks.evictAll();
      try {
        const found = await this.volume.fs.promises.readFile(path);
        expect(found.equals(bytes), path).toBe(true);
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
  }

  async #turn(): Promise<void> {
    if (this.#random.chance(this.#options.cuts)) this.#cut();
    this.#schedule.step();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** What a power cut leaves now has all that was made durable, and is sound. */
  #cut(): void {
    const random = this.#random;
    const choice = random.pick([dropAll, keepAll, randomCrash(random), randomCrash(random)]);
    const image = this.#device.crash(choice);
    this.images++;
    const device = MemoryDevice.from(image);
    const volume = Volume.openSync(device, OPTIONS);
    for (const [path, bytes] of this.#files) {
      expect(Buffer.from(bytes).equals(volume.fs.readFileSync(path)), path).toBe(true);
    }
    const { blocks, bsize } = volume.fs.statfsSync('/');
    expect(this.#sizes).toContain(blocks * bsize);
    volume.closeSync();
    const { issues } = checkSync(device);
    expect(issues.filter(({ code }) => !code.startsWith('superblock-'))).toEqual([]);
  }
}
