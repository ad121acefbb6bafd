/**
 * Random: numbers that look random and follow from a seed, the same on every machine.
 *
 * sfc32, Chris Doty-Humphrey's Small Fast Counting generator, seeded as in his PractRand. It has
 * 128 bits of state, of which 32 are a counter, so no seed has a cycle shorter than 2^32.
 */
import { argumentError, roundUp, TWO_32, wordsOf } from '../base/index.ts';

/** Numbers to throw away until the seed has reached every bit of the state. */
const WARM_UP = 12;

export class Random {
  /** What it was made from, for messages. */
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @throws {RangeError} unless `seed` is a safe integer */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw argumentError(`Seed ${seed} is not a safe integer`);
    this.seed = seed;
    this.#a = 0;
    this.#b = seed | 0;
    this.#c = Math.floor(seed / TWO_32) | 0;
    for (let i = 0; i < WARM_UP; i++) this.next();
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** From 0 to below 1, in steps of 2^-32. */
  fraction(): number {
    return this.next() / TWO_32;
  }

  /** A whole number from 0 to below `limit`, which is at most 2^32. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** One of the items. @throws {RangeError} if there is none */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw argumentError('Cannot pick from an empty list');
    return items[this.below(items.length)] as T;
  }

  /** The items in another order, as a new list. */
  shuffle<T>(items: Iterable<T>): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const other = this.below(i + 1);
      [shuffled[i], shuffled[other]] = [shuffled[other] as T, shuffled[i] as T];
    }
    return shuffled;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(roundUp(length, 4));
    const words = wordsOf(bytes);
    for (let i = 0; i < words.length; i++) words[i] = this.next();
    return bytes.length === length ? bytes : bytes.slice(0, length);
  }

  /** A generator that follows from this one; drawing from it changes nothing here. */
  fork(): Random {
    return new Random(this.next());
  }
}
