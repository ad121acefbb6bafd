/**
 * Schedule: simulated time. Slow work is queued here and completes in an order that follows from
 * one seed, so a run that failed is run again by its seed.
 *
 * Q1. Time passes only in `step`, `drain`, `idle` and `run`; nothing completes in between.
 * Q2. What is submitted gets a random latency and completes when it is due; some are far slower
 *     than most, so that late ones are overtaken by many.
 * Q3. Mostly, all that follows from one completion has happened before the next one; sometimes the
 *     next one comes in the same turn, as it does from a real device.
 *
 * Everything that waits must wait for something in the same schedule: a timer or a real file read
 * in between would bring its own order, and may be taken for a stall.
 */
import { AssertionError } from '../base/index.ts';
import type { Random } from './random.ts';

export interface Latency {
  /** Microseconds of simulated time, both ends included. */
  readonly minUs: number;
  readonly maxUs: number;
}

/** About what a cheap SSD needs. */
export const DEFAULT_LATENCY: Latency = { minUs: 50, maxUs: 500 };

/** Q2: how many of the submissions are late, and by what factor. */
const LATE_CHANCE = 1 / 16;
const LATE_FACTOR = 20;

/** Q3: how often the next completion comes in the same turn. */
const SAME_TURN_CHANCE = 1 / 4;

interface Entry {
  readonly dueUs: number;
  /** Does the work, then settles the promise. */
  readonly complete: () => void;
}

export class Schedule {
  readonly #random: Random;
  /** By time due; among equals, in order of submission. */
  readonly #queue: Entry[] = [];
  #nowUs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Simulated microseconds since the start. */
  get nowUs(): number {
    return this.#nowUs;
  }

  /** Submissions that have not completed. */
  get pending(): number {
    return this.#queue.length;
  }

  /**
   * Queues `work`. It runs when its time has come; the promise then settles with its outcome.
   */
  submit<T>(work: () => T | Promise<T>, latency: Latency = DEFAULT_LATENCY): Promise<T> {
    const late = this.#random.chance(LATE_CHANCE) ? LATE_FACTOR : 1;
    const dueUs = this.#nowUs + late * this.#random.between(latency.minUs, latency.maxUs);
    return new Promise((resolve, reject) => {
      this.#insert({
        dueUs,
        complete: () => {
          try {
            resolve(work());
          } catch (error) {
            reject(error);
          }
        },
      });
    });
  }

  /** Completes what is due next. False if nothing is pending. */
  step(): boolean {
    const entry = this.#queue.shift();
    if (entry === undefined) return false;
    this.#nowUs = entry.dueUs;
    entry.complete();
    return true;
  }

  /** Completes everything pending, in order, in this turn. */
  drain(): void {
    while (this.step());
  }

  /** Lets time pass until nothing is pending and nothing more comes of it. */
  async idle(): Promise<void> {
    for (await turn(); this.step(); ) {
      while (this.#random.chance(SAME_TURN_CHANCE) && this.step());
      await turn();
    }
  }

  /**
   * Lets time pass until `work` has ended, and hands out its outcome.
   *
   * @throws {AssertionError} if nothing is pending and `work` still has not ended
   */
  async run<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const end = () => {
      ended = true;
    };
    work.then(end, end);
    await this.idle();
    if (!ended) throw new AssertionError('Stalled: nothing is pending, but the work has not ended');
    return work;
  }

  #insert(entry: Entry): void {
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1] as Entry).dueUs > entry.dueUs) at--;
    this.#queue.splice(at, 0, entry);
  }
}

/** Ends when all that can happen without time passing has happened. */
function turn(): Promise<void> {
  const later = globalThis.setImmediate ?? setTimeout;
  return new Promise((resolve) => {
    later(resolve);
  });
}
