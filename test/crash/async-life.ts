/**
 * Asynchronous life: several actors at once on a device that answers in an order drawn from a seed,
 * and power cuts between any two answers.
 *
 * What a cut leaves is judged by {@link States}. An fsync that has ended has acknowledged all that
 * was done when it was called, and a synchronous write itself. A life that cannot go on, nothing in
 * flight and an actor waiting, is an error that says who waits for what.
 */
import type { VolumeOptions } from '../../src/api/index.ts';
import { mountVolume } from '../../src/api/mount.ts';
import { runAsync } from '../../src/api/procedure.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import {
  type CrashChoice,
  CrashDevice,
  dropAll,
  keepAll,
  type ModelVolume,
  type Random,
  randomCrash,
  Schedule,
} from '../../src/testing/index.ts';
import type { ModelNode } from '../../src/testing/model-node.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { recycle, recycling } from '../hostile/recycled.ts';
import { imageOf } from '../volume/recount.ts';
import { create } from '../volume/rig.ts';
import { Actor, drawHabits, type Stage } from './async-actor.ts';
import { STEPS, settle } from './async-steps.ts';
import type { Stores } from './async-stores.ts';
import { type Case, judge } from './cut.ts';
import { Mirror } from './mirror.ts';
import { namesOf } from './shown.ts';
import type { Ack } from './states.ts';

/** The cache of a mount that is judged is used for the next one. */
const { Memory } = WebAssembly;
const START = 1_000_000_000_000;
/** Completions after which a life is taken to be endless. */
const TURNS_MAX = 50_000;
/** How often the next completion comes in the same turn. */
const SAME_TURN = 1 / 4;
/** How many of the images are judged in full: verified, mounted again, and read-only. */
const FULL = 1 / 8;

export interface AsyncOptions extends VolumeOptions {
  readonly size: number;
  readonly actors: number;
  /** Steps of each actor. */
  readonly steps: number;
  /** How often the power goes between two completions. */
  readonly cuts: number;
  /** How often it goes just when something was acknowledged, with all that no flush has covered. */
  readonly cutsAcknowledged: number;
  /** How often what is clean leaves memory. */
  readonly evictions: number;
}

/** A life of a second or two. */
export const SMALL: AsyncOptions = {
  size: 4 * MIB,
  groupBlocks: 256,
  logBlocks: 32,
  actors: 5,
  steps: 60,
  cuts: 0.04,
  cutsAcknowledged: 0.3,
  evictions: 0.01,
};

export interface Counts {
  images: number;
  acks: number;
  turns: number;
}

/** A volume whose open files can be looked at. */
export class WatchedVolume extends OpenVolume {
  static override async on(
    device: CrashDevice,
    driver: Driver,
    options: VolumeOptions,
  ): Promise<WatchedVolume> {
    const engine = await runAsync(driver, mountVolume(device, options), {});
    return new WatchedVolume(device, driver, engine, options);
  }

  vnodeOf(fd: number): Vnode {
    return this.caller.context.files.get(fd).vnode;
  }
}

export class AsyncLife implements Stage {
  readonly mirror: Mirror = new Mirror(START);
  readonly log: string[] = [];
  readonly counts: Counts = { images: 0, acks: 0, turns: 0 };
  volume!: WatchedVolume;
  readonly #random: Random;
  readonly #asked: AsyncOptions;
  readonly #options: VolumeOptions;
  readonly #schedule: Schedule;
  readonly #device: CrashDevice;
  readonly #acks: Ack[] = [];
  #actors: Actor[] = [];
  #now = START;
  #stamps = 0;
  /** Set once the volume is there: from then on each look at the clock is another time. */
  #ticks = false;

  constructor(random: Random, asked: AsyncOptions) {
    this.#random = random;
    this.#asked = asked;
    this.#schedule = new Schedule(random.fork());
    this.#device = new CrashDevice({ image: newImage(asked), schedule: this.#schedule });
    this.#options = { cacheBytes: 4 * MIB, ...COMMON, umask: 0, now: () => this.#tick() };
  }

  async run(): Promise<void> {
    try {
      await this.#begin();
      await this.#goOn(settle(this.#actors[0] as Actor));
      await this.#goOn(Promise.all(this.#actors.map((actor) => actor.run(this.#asked.steps))));
      await this.#goOn(this.#end());
    } catch (error) {
      (error as Error).message += `\nThe last steps were:\n  ${this.log.slice(-60).join('\n  ')}`;
      throw error;
    }
  }

  /** A number that no write has had, in none of its bytes mostly. */
  nextStamp(): number {
    return Math.imul(++this.#stamps, 0x9e3779b1) >>> 0;
  }

  /** The state that there is now. */
  get state(): number {
    return this.mirror.states.last;
  }

  get model(): ModelVolume {
    return this.mirror.model;
  }

  get stores(): Stores {
    return this.mirror.stores;
  }

  landed({ buffer }: Uint8Array): number | undefined {
    return this.mirror.landed.get(buffer);
  }

  nodeOf(fd: number): ModelNode {
    return this.mirror.nodeOf(this.volume.vnodeOf(fd));
  }

  /** All that was done by `state` is durable, or of files only `file`. */
  acknowledge(state: number, file: ModelNode | undefined): void {
    this.#acks.push({ state, file });
    this.counts.acks++;
    if (this.#random.chance(this.#asked.cutsAcknowledged)) this.#cut(dropAll);
  }

  /** Lets simulated time pass. */
  async rest(): Promise<void> {
    await this.#schedule.submit(() => {});
  }

  note(line: string): void {
    this.log.push(`${String(this.#schedule.nowUs).padStart(7)} ${line} (state ${this.state})`);
  }

  async #begin(): Promise<void> {
    const driver = new Driver(this.#device, { pause: () => this.rest() });
    this.volume = await this.#schedule.run(WatchedVolume.on(this.#device, driver, this.#options));
    this.#ticks = true;
    this.volume.inside.records.journal = (record) => this.mirror.tell(record);
    this.acknowledge(0, undefined);
    const habits = drawHabits(this.#random, STEPS);
    for (let i = 0; i < this.#asked.actors; i++) {
      this.#actors.push(new Actor(`actor ${i}`, this, habits, this.#random.fork()));
    }
  }

  /** Whatever was done is there at the end, and nothing else. */
  async #end(): Promise<void> {
    for (const actor of this.#actors) await actor.close();
    const { state } = this;
    await this.volume.sync();
    this.acknowledge(state, undefined);
    this.#cut();
    await this.volume.close();
  }

  /** Lets the device answer, and cuts the power now and then, until `work` has ended. */
  async #goOn(work: Promise<unknown>): Promise<void> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    work.then(end, end);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (ended) break;
      if (this.#random.chance(this.#asked.cuts)) this.#cut();
      if (this.#random.chance(this.#asked.evictions)) this.volume.inside.store.blocks.evictAll();
      if (!this.#schedule.step()) throw new Error(`nothing is in flight: ${this.#waiting()}`);
      if (this.#random.chance(SAME_TURN)) this.#schedule.step();
      if (++this.counts.turns > TURNS_MAX) throw new Error(`it does not end: ${this.#waiting()}`);
    }
    await work;
  }

  #tick(): number {
    if (this.#ticks) this.#now += 1000;
    return this.#now;
  }

  #waiting(): string {
    return this.#actors
      .filter(({ doing }) => doing !== undefined)
      .map(({ name, doing }) => `${name} waits for ${doing}`)
      .join(', ');
  }

  #cut(choice = this.#choice()): void {
    const random = this.#random;
    const image = this.#device.crash(choice);
    this.counts.images++;
    const { states } = this.mirror;
    const found = { states, acks: this.#acks, upper: states.last };
    recycling();
    try {
      if (random.chance(FULL)) judge(image, { ...found, random, options: this.#options });
      else glance(image, found, this.#options);
    } finally {
      recycle();
      WebAssembly.Memory = Memory;
    }
  }

  #choice(): CrashChoice {
    return this.#random.pick([
      dropAll,
      keepAll,
      randomCrash(this.#random),
      randomCrash(this.#random),
    ]);
  }
}

/** A new volume, whose names are hashed with the same seed each time. */
function newImage({ size, groupBlocks, logBlocks }: AsyncOptions): Uint8Array {
  const device = new MemoryDevice({ size });
  create(device, { groupBlocks, logBlocks, cacheBytes: 4 * MIB });
  return imageOf(device);
}

/** Judges what one mount shows. */
function glance(
  image: Uint8Array,
  { states, acks, upper }: Pick<Case, 'states' | 'acks' | 'upper'>,
  options: VolumeOptions,
): void {
  using volume = OpenVolume.openSync(MemoryDevice.from(image), options);
  states.match(namesOf(volume), acks, upper);
}
