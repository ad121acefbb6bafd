/**
 * RangeSet: which bytes of a device are known to have some property.
 *
 * R1. Ranges are sorted and neither overlap nor touch, so a query is one binary search.
 * R2. Forgetting is always allowed. At more than `limit` ranges the set forgets all but the newest:
 *     it serves as a memory that saves work, never as one that correctness hangs on.
 */
import { assert } from '../base/index.ts';

export interface Range {
  readonly start: number;
  /** First byte behind the range. */
  readonly end: number;
}

export class RangeSet {
  readonly #limit: number;
  #ranges: Range[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Ranges that the set holds now. */
  get count(): number {
    return this.#ranges.length;
  }

  add(start: number, end: number): void {
    assert(start <= end, () => `range ${start}-${end} ends before it starts`);
    const first = this.#firstEndingFrom(start);
    const found = this.#ranges[first];
    if (start === end || (found !== undefined && found.start <= start && end <= found.end)) return;
    // Every range that overlaps or touches the new one becomes one with it.
    let behind = first;
    while ((this.#ranges[behind]?.start ?? Number.POSITIVE_INFINITY) <= end) behind++;
    const merged = {
      start: Math.min(start, found?.start ?? start),
      end: Math.max(end, this.#ranges[behind - 1]?.end ?? end),
    };
    this.#ranges.splice(first, behind - first, merged);
    if (this.#ranges.length > this.#limit) this.#ranges = [{ start, end }];
  }

  remove(start: number, end: number): void {
    assert(start <= end, () => `range ${start}-${end} ends before it starts`);
    const first = this.#firstEndingFrom(start + 1);
    let behind = first;
    while ((this.#ranges[behind]?.start ?? Number.POSITIVE_INFINITY) < end) behind++;
    const cut = this.#ranges.slice(first, behind);
    const left = cut.flatMap((range) => [
      { start: range.start, end: Math.min(range.end, start) },
      { start: Math.max(range.start, end), end: range.end },
    ]);
    this.#ranges.splice(first, behind - first, ...left.filter((range) => range.start < range.end));
    if (this.#ranges.length > this.#limit) this.#ranges = [];
  }

  /** The parts of a range that are not in the set, in order. */
  gaps(start: number, end: number): Range[] {
    const gaps: Range[] = [];
    let at = start;
    for (let i = this.#firstEndingFrom(start + 1); at < end; i++) {
      const range = this.#ranges[i];
      const known = Math.min(range?.start ?? end, end);
      if (known > at) gaps.push({ start: at, end: known });
      at = Math.max(at, range?.end ?? end);
    }
    return gaps;
  }

  /** Index of the first range that ends at `position` or later. */
  #firstEndingFrom(position: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as Range).end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
