/**
 * Ring: the four superblocks, and what waits until all of them are alike.
 *
 * When the end of a volume moves, older superblocks go on saying where it was, and a mount looks
 * for second copies there.
 *
 * S4. A place where a superblock of the ring says that a second copy is, is used for nothing else,
 *     before that superblock was written over.
 */
import { BLOCK_SIZE, type Block } from '../base/index.ts';
import { INDEX_ENTRY_SIZE, SUPERBLOCKS } from '../format/index.ts';

/** Entries of a block of the group index. */
const INDEX_ENTRIES = BLOCK_SIZE / INDEX_ENTRY_SIZE;

/** Blocks of the group index, counted from its start, `end` excluded. */
export interface IndexRun {
  readonly first: number;
  readonly end: number;
}

export class Ring {
  /** Place of the newest superblock. */
  #place: number;
  /** How many of the newest, in a row, say that the volume ends where it does. */
  #alike = SUPERBLOCKS;
  /** Blocks that are free, and were second copies (S4). */
  #held: Block[] = [];
  /** Per place of the group index, which of its blocks are another now; undefined: any may be. */
  #stale: [Set<number> | undefined, Set<number> | undefined] = [undefined, undefined];

  constructor(place: number) {
    this.#place = place;
  }

  /** True while superblocks differ in where the volume ends. */
  get isTurning(): boolean {
    return this.#alike < SUPERBLOCKS;
  }

  /** True if no superblock says yet where the volume ends. */
  get isNew(): boolean {
    return this.#alike === 0;
  }

  /** The place after the newest superblock; the caller writes there. */
  next(): number {
    this.#place = (this.#place + 1) % SUPERBLOCKS;
    return this.#place;
  }

  /**
   * Has the next commits write all of it, and all of the group index: the end has moved, and no
   * superblock is like the next ones, or some of it is damaged.
   */
  turn(): void {
    this.#alike = 0;
    this.#stale = [undefined, undefined];
  }

  /** Keeps a block, which may not be handed out, until the ring has turned. */
  hold(block: Block): void {
    this.#held.push(block);
  }

  /** A superblock with the present end is durable. Blocks that may be handed out from now on. */
  written(): readonly Block[] {
    this.#alike = Math.min(SUPERBLOCKS, this.#alike + 1);
    if (this.isTurning) return [];
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /**
   * The blocks of the group index that a commit has to write to a place, in runs: those in which
   * entries of `groups` are, and what was changed since the place was last written.
   */
  indexRuns(place: 0 | 1, groups: Iterable<number>, length: number): IndexRun[] {
    for (const group of groups) {
      for (const stale of this.#stale) stale?.add(Math.floor(group / INDEX_ENTRIES));
    }
    const all = Array.from({ length }, (_, block) => block);
    const stale = this.#stale[place];
    const blocks = stale === undefined ? all : [...stale].sort((a, b) => a - b);
    this.#stale[place] = new Set();
    const runs: { first: number; end: number }[] = [];
    for (const block of blocks) {
      const last = runs.at(-1);
      if (last?.end === block) last.end++;
      else runs.push({ first: block, end: block + 1 });
    }
    return runs;
  }
}
