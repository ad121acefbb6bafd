/**
 * Simulated life: the same as a life, on a device that takes time and may fail.
 *
 * Steps come one after the other, while fsyncs and commits of before are still on their way; what
 * completes next follows from the seed. At any moment the power may go off; the life goes on.
 */
import { expect } from 'vitest';
import type { VolumeOptions } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { Driver } from '../../src/drive/index.ts';
import {
  CrashDevice,
  dropAll,
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
import { judge } from './cut.ts';
import { type LifeOptions, WEIGHTS } from './life.ts';
import { type PointCounts, Points } from './points.ts';
import { type Ack, listed, States } from './states.ts';

const START = 1_000_000_000_000;
/** Fsyncs and commits that may be under way beside a step. */
const PENDING_MAX = 4;

export interface SimulatedOptions extends LifeOptions {
  /** How often a call of the device fails. */
  readonly faults?: number;
  /** How often the power goes off between two completions. */
  readonly cuts: number;
  /** Judges so many choices at each cut, and counts them; one image a cut if it is left out. */
  readonly points?: { readonly counts: PointCounts; readonly samples: number };
}

export class SimulatedLife {
  readonly #random: Random;
  readonly #options: VolumeOptions;
  readonly #cuts: number;
  readonly #steps: [Step['call'], number][];
  readonly #schedule: Schedule;
  readonly #crash: CrashDevice;
  readonly #device: FaultDevice;
  readonly #faults: number;
  readonly #model: ModelRunner;
  readonly #states = new States();
  readonly #points: Points | undefined;
  readonly #acks: Ack[] = [];
  readonly #log: string[] = [];
  readonly #pending = new Set<Promise<void>>();
  #runner!: VolumeRunner;
  #now = START;
  /** The device has failed: what was done is not known any more. */
  #over = false;
  images = 0;

  constructor(
    random: Random,
    { size, weights, faults, cuts, points, ...options }: SimulatedOptions,
  ) {
    this.#random = random;
    this.#cuts = cuts;
    this.#faults = faults ?? 0;
    this.#steps = Object.entries(weights ?? WEIGHTS) as [Step['call'], number][];
    this.#schedule = new Schedule(random.fork());
    this.#crash = new CrashDevice({ size, schedule: this.#schedule });
    this.#device = new FaultDevice(this.#crash, random.fork());
    const now = (): number => this.#now;
    this.#model = new ModelRunner(new ModelVolume(now));
    this.#options = { cacheBytes: 4 * MIB, ...COMMON, ...options, now };
    const judged = { states: this.#states, options: this.#options, random };
    this.#points = points && new Points({ ...judged, ...points });
  }

  async run(count: number): Promise<void> {
    await this.#begin();
    for (let i = 0; i < count && !this.#over; i++) await this.#step(this.#draw());
    while (this.#pending.size > 0) await this.#turn();
    for (let i = 0; i < 3; i++) this.#cut();
  }

  async #begin(): Promise<void> {
    const driver = new Driver(this.#device, { pause: () => this.#schedule.submit(() => {}) });
    const opening = OpenVolume.on(this.#device, driver, {
      ...this.#options,
      create: true,
    });
    const volume = await this.#schedule.run(opening);
    this.#runner = new VolumeRunner(volume, 'promises');
    this.#model.model.order = (names) => listed(names, volume.inside.store);
    this.#states.capture(this.#model.model);
    this.#acks.push({ state: 0, file: undefined });
    this.#model.model.onChange = () => this.#states.capture(this.#model.model);
    if (this.#faults === 0) return;
    for (const on of ['read', 'write', 'flush'] as const) {
      this.#device.inject({ on, effect: 'fail', probability: this.#faults });
    }
  }

  async #step(step: Step): Promise<void> {
    this.#now += 1000;
    const { open } = this.#model;
    const file = step.call === 'fsync' ? open.get(step.args[0] as number)?.node : undefined;
    const ack = { state: this.#states.last, file };
    const wanted = this.#model.run(step);
    this.#log.push(`${show(step).slice(0, 100)}: ${wanted} (state ${this.#states.last})`);
    const saves = step.call === 'sync' || file !== undefined;
    const ended = Promise.resolve(this.#runner.run(step)).then((found) => {
      this.#check(step, found, wanted);
      if (saves && found === 'ok') this.#acks.push(ack);
    });
    const tracked = ended.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
    const limit = saves && this.#random.chance(0.7) ? PENDING_MAX : 0;
    let done = false;
    void tracked.finally(() => {
      done = true;
    });
    while (!done && this.#pending.size > limit) await this.#turn();
    if (limit === 0) await tracked;
  }

  #check(step: Step, found: Outcome, wanted: Outcome): void {
    if (found === wanted) return;
    const excused = this.#faults > 0 && ['EIO', 'EROFS'].includes(found);
    if (!excused) expect(found, show(step)).toBe(wanted);
    this.#over = true;
    this.#log.push(`  ${found}`);
  }

  /** One thing completes, and the power may go off. */
  async #turn(): Promise<void> {
    if (this.#random.chance(this.#cuts)) this.#cut();
    this.#schedule.step();
    await new Promise((resolve) => setImmediate(resolve));
  }

  #cut(): void {
    try {
      if (this.#points === undefined) this.#cutOnce();
      else {
        const [acks, upper] = [this.#acks.slice(), this.#states.last];
        this.#points.judge({ device: this.#crash, acks, upper });
      }
    } catch (error) {
      const steps = this.#log.slice(-40).join('\n  ');
      (error as Error).message += `\nThe last steps were:\n  ${steps}`;
      throw error;
    }
  }

  #cutOnce(): void {
    const random = this.#random;
    const choice = random.pick([dropAll, keepAll, randomCrash(random), randomCrash(random)]);
    const image = this.#crash.crash(choice);
    this.images++;
    const [states, options] = [this.#states, this.#options];
    judge(image, { states, options, random, acks: this.#acks, upper: states.last });
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
