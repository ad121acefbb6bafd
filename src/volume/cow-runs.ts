/**
 * CoW runs: space beside what is written back, so that neighbours written later become neighbours.
 *
 * Every overwrite takes a new block, and blocks that are written at different times land in
 * different places: a file that is overwritten here and there ends in pieces of a block. With an
 * extent size, the first block written of each aligned unit of that size takes a run for all of the
 * unit; the others find their places in it. The idea is XFS's CoW extent size hint.
 *
 * G1. The unused blocks of a run are handed out and named by nobody: a crash loses nothing. They
 *     are given back when space is short, when there are too many runs, and when the inode leaves
 *     memory.
 * G2. A place is used once. A block that is written again after it was used begins a new run.
 */
import { BLOCK_SIZE, type Block } from '../base/index.ts';
import type { Placement } from '../iomap/index.ts';
import type { Space } from '../store/index.ts';
import type { Vnode } from './vnode.ts';

/** Runs that are kept at the most; beyond it the oldest go. */
const RUNS_MAX = 1024;

interface Run {
  readonly vnode: Vnode;
  readonly start: Block;
  /** One for each place that was used. */
  readonly used: Uint8Array;
}

export class CowRuns {
  /** Blocks of a unit; 0 or 1: no runs are kept. */
  readonly unit: number;
  readonly #space: Space;
  /** By inode and first block, the oldest first. */
  readonly #runs = new Map<string, Run>();

  constructor(space: Space, unit: number) {
    this.#space = space;
    this.unit = unit;
  }

  /**
   * Finds a place for up to `count` blocks from file block `first` on. False if the unit has none,
   * and can have none: the file ends within it, it is written whole, or space is short.
   */
  place(vnode: Vnode, first: number, count: number, placement: Placement): boolean {
    const { unit } = this;
    if (unit <= 1) return false;
    const base = first - (first % unit);
    if (base + unit > Math.floor(vnode.size / BLOCK_SIZE)) return false;
    if (first === base && count >= unit) return false;
    const at = first - base;
    const run = this.#runOf(vnode, base, at, Math.min(count, unit - at));
    if (run === undefined) return false;
    let length = 0;
    while (length < count && at + length < unit && run.used[at + length] === 0) {
      run.used[at + length++] = 1;
    }
    placement.block = (run.start + at) as Block;
    placement.count = length;
    if (run.used.every((used) => used === 1)) this.#runs.delete(keyOf(vnode, base));
    return true;
  }

  /** Gives back all that is not used. True if there was anything. */
  releaseAll(): boolean {
    if (this.#runs.size === 0) return false;
    for (const run of this.#runs.values()) this.#giveBack(run);
    this.#runs.clear();
    return true;
  }

  /** The inode leaves memory. */
  release(vnode: Vnode): void {
    for (const [key, run] of this.#runs) {
      if (run.vnode !== vnode) continue;
      this.#giveBack(run);
      this.#runs.delete(key);
    }
  }

  /** The run of a unit, if its place `at` is free in it; else a new one. */
  #runOf(vnode: Vnode, base: number, at: number, count: number): Run | undefined {
    const key = keyOf(vnode, base);
    const present = this.#runs.get(key);
    if (present?.used[at] === 0) return present;
    if (present !== undefined) this.#giveBack(present);
    this.#runs.delete(key);
    // What is written has its blocks promised; the others must be there besides.
    if (!this.#space.has(this.unit - count, 'normal')) return undefined;
    const { block, length } = this.#space.allocateData(this.unit);
    if (length < this.unit) {
      this.#space.takeBack(block, length);
      return undefined;
    }
    if (this.#runs.size >= RUNS_MAX) this.#dropOldest();
    const run = { vnode, start: block, used: new Uint8Array(this.unit) };
    this.#runs.set(key, run);
    return run;
  }

  #dropOldest(): void {
    for (const [key, run] of this.#runs) {
      this.#giveBack(run);
      this.#runs.delete(key);
      return;
    }
  }

  #giveBack({ start, used }: Run): void {
    for (const [i, taken] of used.entries()) {
      if (taken === 0) this.#space.takeBack((start + i) as Block, 1);
    }
  }
}

function keyOf(vnode: Vnode, base: number): string {
  return `${vnode.id}.${base}`;
}
