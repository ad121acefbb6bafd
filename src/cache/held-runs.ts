/**
 * Held runs: blocks of the device that somebody uses past the cache. Nobody is given them
 * meanwhile.
 *
 * It is asked when a commit is about to make blocks idle, for each of them, and changes far more
 * often than that: the order that makes an answer cheap is made when it is asked for.
 */
import type { Block } from '../base/index.ts';

/** Blocks that follow each other. */
export interface BlockRun {
  readonly block: Block;
  readonly count: number;
}

export class HeldRuns {
  readonly #held = new Set<readonly BlockRun[]>();
  /** All runs by their first block, each with the end of those up to it; undefined: to be made. */
  #sorted: { readonly start: number; readonly end: number }[] | undefined;

  /** From now on until {@link letGo} of the same list, which must not change meanwhile. */
  hold(runs: readonly BlockRun[]): void {
    this.#held.add(runs);
    this.#sorted = undefined;
  }

  letGo(runs: readonly BlockRun[]): void {
    if (this.#held.delete(runs)) this.#sorted = undefined;
  }

  has(block: Block): boolean {
    if (this.#held.size === 0) return false;
    this.#sorted ??= sorted(this.#held);
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle]?.start as number) <= block) low = middle + 1;
      else high = middle;
    }
    return low > 0 && block < (this.#sorted[low - 1]?.end as number);
  }
}

function sorted(held: Iterable<readonly BlockRun[]>): { start: number; end: number }[] {
  const runs = [...held].flat().sort((a, b) => a.block - b.block);
  let reach = 0;
  return runs.map(({ block, count }) => {
    reach = Math.max(reach, block + count);
    return { start: block, end: reach };
  });
}
