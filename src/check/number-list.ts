/** NumberList: many numbers in one growing array, used as a stack of segments. */
import type { Session } from './session.ts';

const FIRST = 1024;

export class NumberList {
  readonly #session: Session;
  #numbers: Float64Array = new Float64Array(FIRST);
  #length = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  get length(): number {
    return this.#length;
  }

  push(number: number): void {
    if (this.#length === this.#numbers.length) {
      this.#session.take(this.#numbers.byteLength);
      const longer = new Float64Array(2 * this.#length);
      longer.set(this.#numbers);
      this.#numbers = longer;
    }
    this.#numbers[this.#length++] = number;
  }

  /** The numbers from `mark` on, in ascending order. A view. */
  sortFrom(mark: number): Float64Array {
    return this.#numbers.subarray(mark, this.#length).sort();
  }

  /** Drops everything from `mark` on. */
  cut(mark: number): void {
    this.#length = mark;
  }
}
