/**
 * Held runs: blocks of the device that somebody uses past the cache. Nobody is given them meanwhile.
 *
 * There are few at a time, and they are asked for when a commit has made blocks idle: a list of
 * runs is cheaper than a word for each block.
 */
import type { Block } from '../base/index.ts';

/** Blocks that follow each other. */
export interface BlockRun {
  readonly block: Block;
  readonly count: number;
}

export class HeldRuns {
  readonly #held = new Set<readonly BlockRun[]>();

  /** From now on until {@link letGo} of the same list, which must not change meanwhile. */
  hold(runs: readonly BlockRun[]): void {
    this.#held.add(runs);
  }

  letGo(runs: readonly BlockRun[]): void {
    this.#held.delete(runs);
  }

  has(block: Block): boolean {
    for (const runs of this.#held) {
      for (const run of runs) if (block >= run.block && block < run.block + run.count) return true;
    }
    return false;
  }
}
