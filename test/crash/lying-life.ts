/**
 * Lying life: a life on a slow device that lies now and then, and may lose power at any moment.
 *
 * A call that fails with EIO, or with EROFS after a failure that stops all changes, has done
 * nothing, or as many of its steps as the model can be cut at; anything else is as on an honest
 * device, to the byte. What is left on the medium is judged by `lies.ts`.
 */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { errorCode, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import {
  CrashDevice,
  dropAll,
  type Fault,
  FaultDevice,
  keepAll,
  ModelVolume,
  type Random,
  randomCrash,
  Schedule,
} from '../../src/testing/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { draw } from '../api/draw.ts';
import { ModelRunner, type Outcome, type Step, show, VolumeRunner } from '../api/steps.ts';
import { type LiedAck, Roots, Touched } from './lies.ts';
import type { LifeOptions } from './life.ts';
import { namesOf } from './shown.ts';
import { States } from './states.ts';

const START = 1_000_000_000_000;
const PENDING_MAX = 3;
const EVICT_CHANCE = 0.4;
const LIE_CHANCE = 0.08;
const CUT_CHANCE = 0.02;
/** Turns without anything that could complete, after which a call will never end. */
const STALLED_TURNS = 200;

export type Lie = Pick<Fault, 'on' | 'effect'>;

export const LIES: readonly Lie[] = [
  { on: 'write', effect: 'lose' },
  { on: 'write', effect: 'misdirect' },
  { on: 'write', effect: 'rot' },
  { on: 'write', effect: 'partial' },
  { on: 'read', effect: 'rot' },
  { on: 'read', effect: 'decay' },
  { on: 'read', effect: 'misdirect' },
  { on: 'read', effect: 'partial' },
  { on: 'read', effect: 'fail' },
  { on: 'flush', effect: 'lose' },
];

/** Calls that are one operation: failed, they have done nothing. */
const WHOLE: ReadonlySet<Step['call']> = new Set([
  'chmod',
  'clone',
  'deleteSnapshot',
  'exchange',
  'ftruncate',
  'link',
  'linkFile',
  'mkdir',
  'rename',
  'rmdir',
  'snapshot',
  'symlink',
  'tmpfile',
  'truncate',
  'unlink',
  'utimes',
  'write',
]);

/** An image that a cut has left, to be judged when the step that was cut off has ended. */
interface Left {
  readonly image: Uint8Array;
  readonly acks: readonly LiedAck[];
  readonly touched: Touched;
}

/** What was seen of all images. */
export interface LieCounts {
  lies: number;
  images: number;
  /** Calls that failed. */
  failed: number;
  /** Images that could not be mounted, and those of which something could not be read. */
  unmounted: number;
  lossy: number;
  /** Images that lack something that had been acknowledged. */
  older: number;
}

export interface LyingOptions extends LifeOptions {
  readonly lies: readonly Lie[];
  /** Lies of a life, at most. */
  readonly most: number;
  /** Of the steps before which one may come. Default 0.08. */
  readonly chance?: number;
  readonly counts: LieCounts;
}

export class LyingLife {
  readonly #random: Random;
  readonly #lying: LyingOptions;
  readonly #options: VolumeOptions;
  readonly #steps: [Step['call'], number][];
  readonly #schedule: Schedule;
  readonly #crash: CrashDevice;
  readonly #device: FaultDevice;
  readonly #model: ModelRunner;
  readonly #states = new States();
  readonly #acks: LiedAck[] = [];
  readonly #log: string[] = [];
  readonly #pending = new Set<Promise<void>>();
  readonly #left: Left[] = [];
  #volume!: OpenVolume;
  #runner!: VolumeRunner;
  #now = START;
  #lies = 0;
  /** A call of several steps has failed: what the volume is now is not known. */
  #over = false;

  constructor(random: Random, options: LyingOptions) {
    const { size, weights, lies, most, chance, counts, mayBeFull, ...rest } = options;
    this.#lying = options;
    this.#random = random;
    this.#steps = Object.entries(weights ?? {}) as [Step['call'], number][];
    this.#schedule = new Schedule(random.fork());
    this.#crash = new CrashDevice({ size, schedule: this.#schedule });
    this.#device = new FaultDevice(this.#crash, random.fork());
    const now = (): number => this.#now;
    this.#model = new ModelRunner(new ModelVolume(now));
    this.#options = { cacheBytes: 4 * MIB, ...COMMON, ...rest, now };
  }

  async run(count: number): Promise<void> {
    const driver = new Driver(this.#device, { pause: () => this.#schedule.submit(() => {}) });
    const opening = OpenVolume.on(this.#device, driver, { ...this.#options, create: true });
    this.#volume = await this.#schedule.run(opening);
    this.#runner = new VolumeRunner(this.#volume, 'promises');
    this.#capture();
    this.#model.model.onChange = () => this.#capture();
    this.#acks.push({ state: 0, file: undefined, txg: this.#volume.inside.store.state.txg });
    try {
      for (let i = 0; i < count && !this.#over; i++) {
        this.#lie();
        await this.#step(this.#draw());
        this.#judgeAll();
      }
      while (this.#pending.size > 0) await this.#turn();
      for (let i = 0; i < 3; i++) this.#cut();
      this.#judgeAll();
    } catch (error) {
      const steps = this.#log.slice(-40).join('\n  ');
      (error as Error).message += `\nThe last steps were:\n  ${steps}`;
      throw error;
    } finally {
      this.#lying.counts.lies += this.#device.struck;
    }
  }

  #capture(): void {
    this.#states.capture(this.#model.model);
  }

  #lie(): void {
    const random = this.#random;
    const { lies, most } = this.#lying;
    if (random.chance(EVICT_CHANCE)) this.#volume.inside.store.blocks.evictAll();
    if (this.#lies >= most || !random.chance(this.#lying.chance ?? LIE_CHANCE)) return;
    this.#lies++;
    const lie = random.pick(lies);
    const skip = random.below(random.pick([1, 4, 16]));
    this.#device.inject({ ...lie, skip, times: 1, by: random.between(1, 30) });
    this.#log.push(`  a ${lie.on} will ${lie.effect}, ${skip} from now`);
  }

  async #step(step: Step): Promise<void> {
    this.#now += 1000;
    const { open } = this.#model;
    const file = step.call === 'fsync' ? open.get(step.args[0] as number)?.node : undefined;
    const saves = step.call === 'sync' || step.call === 'fsync';
    const state = this.#states.last;
    const ended = Promise.resolve(this.#runner.run(step)).then((found) => {
      this.#end(step, found);
      if (!saves || found !== 'ok') return;
      if (step.call === 'fsync' && file === undefined) return;
      const { txg, state: durable } = this.#volume.inside.store;
      this.#acks.push({ state, file, txg: file === undefined ? durable.txg : txg });
    });
    const tracked = ended.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
    const limit = saves && this.#random.chance(0.7) ? PENDING_MAX : 0;
    let done = false;
    const end = (): void => {
      done = true;
    };
    tracked.then(end, end);
    while (!done && this.#pending.size > limit) await this.#turn();
    if (limit === 0) await tracked;
  }

  /** The model does what the volume has done. */
  #end(step: Step, found: Outcome): void {
    // What a snapshot refuses is not a failure.
    const failed = found === 'EIO' || (found === 'EROFS' && step.view === undefined);
    this.#log.push(`${show(step).slice(0, 100)}: ${found.slice(0, 40)} (${this.#states.last})`);
    if (failed) {
      this.#lying.counts.failed++;
      expect(this.#device.struck, 'calls fail after a lie only').toBeGreaterThan(0);
      if (READS.has(step.call) || WHOLE.has(step.call)) return;
    }
    const wanted = this.#model.run(step);
    if (!failed) expect(found, show(step)).toBe(wanted);
    else if (!SAVES.has(step.call)) this.#over = true;
  }

  /** One thing completes, and the power may go off. */
  async #turn(): Promise<void> {
    if (this.#random.chance(CUT_CHANCE)) this.#cut();
    for (let i = 0; !this.#schedule.step(); i++) {
      expect(i, 'something can complete').toBeLessThan(STALLED_TURNS);
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#pending.size === 0) return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #cut(): void {
    const random = this.#random;
    const choice = random.pick([dropAll, keepAll, randomCrash(random), randomCrash(random)]);
    const image = this.#crash.crash(choice);
    this.#device.decay(image);
    const medium = ({ on, effect }: Fault): boolean => on !== 'read' || effect === 'decay';
    const touched = new Touched(this.#device.strikes.filter(({ fault }) => medium(fault)));
    this.#left.push({ image, acks: this.#acks.slice(), touched });
  }

  #judgeAll(): void {
    for (const left of this.#left.splice(0)) {
      this.#judge(left);
      this.#judgeLyingMount(left);
    }
  }

  #judge({ image, acks, touched }: Left): void {
    const { counts } = this.#lying;
    const kept = new Roots(image).kept(acks, touched);
    counts.images++;
    if (kept.length < acks.length) counts.older++;
    const device = MemoryDevice.from(image);
    const before = checkSync(MemoryDevice.from(image));
    const lost = this.#judgeMount(device, kept, touched);
    if (lost === 'mount') counts.unmounted++;
    if (lost === 'content') counts.lossy++;
    const { issues } = lost === 'mount' ? before : checkSync(device);
    const errors = issues.filter(({ severity }) => severity !== 'warning');
    // The data that the log names is verified by a mount, not by check.
    const replay = lost === 'mount' && issues.some(({ code }) => code === 'log-pending');
    if (lost !== undefined && !replay)
      expect(errors, 'check finds what cannot be read').not.toEqual([]);
    if (touched.any) return;
    expect(issues.filter(({ code }) => !code.startsWith('superblock-'))).toEqual([]);
  }

  /** The image is mounted by a device that lies once when it is read. */
  #judgeLyingMount({ image, acks, touched }: Left): void {
    const random = this.#random;
    const device = new FaultDevice(MemoryDevice.from(image), random.fork());
    const lie = random.pick(LIES.filter(({ on }) => on === 'read'));
    device.inject({ ...lie, skip: random.below(30), times: 1, by: random.between(1, 30) });
    const roots = new Roots(image);
    const all = new Touched([]);
    for (const block of touched.blocks) all.blocks.add(block);
    all.flushLost = touched.flushLost;
    const strikes = (): Touched => {
      for (const block of new Touched(device.strikes).blocks) all.blocks.add(block);
      return all;
    };
    this.#judgeMount(device, () => roots.kept(acks, strikes()), all, strikes);
  }

  /** Says what could not be read. */
  #judgeMount(
    device: MemoryDevice | FaultDevice,
    acks: readonly LiedAck[] | (() => readonly LiedAck[]),
    touched: Touched,
    learn: () => void = () => {},
  ): 'mount' | 'content' | undefined {
    const explain = (error: unknown): void => {
      learn();
      if (!touched.explains(error)) throw error;
    };
    let volume: Volume;
    try {
      volume = Volume.openSync(device, this.#options);
    } catch (error) {
      explain(error);
      return 'mount';
    }
    let lost: 'content' | undefined;
    const names = namesOf(volume, (error) => {
      explain(error);
      lost = 'content';
    });
    learn();
    const kept = typeof acks === 'function' ? acks() : acks;
    this.#states.match(names, kept, this.#states.last);
    try {
      volume.closeSync();
    } catch (error) {
      if (errorCode(error) !== 'EIO' && errorCode(error) !== 'EROFS') throw error;
    }
    return lost;
  }

  #draw(): Step {
    const total = this.#steps.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.#random.below(total);
    for (const [call, weight] of this.#steps) {
      if (left < weight) return draw(call, this.#random.fork(), this.#model);
      left -= weight;
    }
    return { call: 'sync', args: [] };
  }
}

const SAVES: ReadonlySet<Step['call']> = new Set(['fsync', 'sync']);

/** Calls that change nothing. */
const READS: ReadonlySet<Step['call']> = new Set([
  'fstat',
  'lstat',
  'read',
  'readFile',
  'readdir',
  'readlink',
  'stat',
]);
