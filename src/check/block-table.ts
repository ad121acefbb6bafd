/**
 * Block table: what the walk has found out about each block, 8 bytes a block.
 *
 * A group gets its table when a block of it is named for the first time, so memory follows what is
 * in use, not what the image claims to hold.
 *
 *   word  bits    what
 *      0  19:0    slots that name it, at most 1,048,575
 *         23:20   use, see {@link Use}; 0: nothing names it
 *         24      its slots have TWIN
 *         25      a node that was read and is sound
 *         26      an item of the reclaim queue has begun to take it apart
 *         27      the root of a directory that is being walked
 *         28      its second copy is the one that was read
 *      1  31:0    the checksum its first slot states
 */
import type { Geometry } from '../format/index.ts';
import { SlotRole, TreeKind } from '../format/index.ts';
import type { BlockUse } from './report.ts';
import type { Session } from './session.ts';

/** What a block is used for. A block has one use, whoever names it. */
export const Use = {
  NONE: 0,
  DATA: 1,
  /** The second copy of the node before it. */
  COPY: 2,
  DIRECTORY: 3,
  LINKS: 4,
  QUEUE: 5,
  /** A map node of level 0; of level l, l more. */
  MAP: 6,
} as const;

const COUNT_MASK = 0xfffff;
const USE_SHIFT = 20;
const USE_MASK = 0xf << USE_SHIFT;
const TWIN_BIT = 1 << 24;

export const Mark = { SOUND: 1 << 25, BEGUN: 1 << 26, OPEN: 1 << 27, SECOND: 1 << 28 } as const;

/** How a slot's name for a block goes with what is known of the block. */
export type Reference = 'first' | 'again' | 'differs' | 'conflict';

/** What a slot says of its target. */
export interface Naming {
  readonly use: number;
  readonly checksum: number;
  readonly twin: boolean;
}

const BYTES_PER_BLOCK = 8;

export class BlockTable {
  readonly #session: Session;
  readonly #groupBlocks: number;
  readonly #groups: (Uint32Array | undefined)[] = [];

  constructor(session: Session, geometry: Geometry) {
    this.#session = session;
    this.#groupBlocks = geometry.groupBlocks;
  }

  /** One slot more names `block`, which is inside the volume. */
  reference(block: number, naming: Naming): Reference {
    const words = this.#wordsFor(block);
    const at = this.#wordOf(block);
    const old = words[at] as number;
    const described = (naming.use << USE_SHIFT) | (naming.twin ? TWIN_BIT : 0);
    if ((old & USE_MASK) === 0) {
      words[at] = described | 1;
      words[at + 1] = naming.checksum;
      return 'first';
    }
    if ((old & COUNT_MASK) < COUNT_MASK) words[at] = old + 1;
    if (((old ^ described) & USE_MASK) !== 0) return 'conflict';
    const same = ((old ^ described) & TWIN_BIT) === 0 && words[at + 1] === naming.checksum;
    return same ? 'again' : 'differs';
  }

  /** Slots that name `block`. */
  count(block: number): number {
    return this.#word(block) & COUNT_MASK;
  }

  use(block: number): number {
    return (this.#word(block) & USE_MASK) >>> USE_SHIFT;
  }

  /** The checksum its first slot states. */
  checksum(block: number): number {
    const words = this.#groups[Math.floor(block / this.#groupBlocks)];
    return words === undefined ? 0 : (words[this.#wordOf(block) + 1] as number);
  }

  /** True if its first slot states a second copy. */
  hasTwin(block: number): boolean {
    return (this.#word(block) & TWIN_BIT) !== 0;
  }

  has(block: number, mark: number): boolean {
    return (this.#word(block) & mark) !== 0;
  }

  /** Marks a block that something names. */
  mark(block: number, mark: number): void {
    const words = this.#wordsFor(block);
    words[this.#wordOf(block)] = (words[this.#wordOf(block)] as number) | mark;
  }

  unmark(block: number, mark: number): void {
    const words = this.#wordsFor(block);
    words[this.#wordOf(block)] = (words[this.#wordOf(block)] as number) & ~mark;
  }

  /** The next blocks from `first` on that are read for their checksum alone, at most `most`. */
  following(first: number, most: number): number[] {
    const blocks: number[] = [];
    const size = this.#groupBlocks;
    for (let group = Math.floor(first / size); group < this.#groups.length; group++) {
      const words = this.#groups[group];
      if (words === undefined) continue;
      const start = group * size;
      for (let i = Math.max(0, first - start); i < size; i++) {
        const use = ((words[2 * i] as number) & USE_MASK) >>> USE_SHIFT;
        if (use !== Use.DATA && use !== Use.COPY) continue;
        blocks.push(start + i);
        if (blocks.length === most) return blocks;
      }
    }
    return blocks;
  }

  /** True if a block of this group is named. */
  touches(group: number): boolean {
    return this.#groups[group] !== undefined;
  }

  #word(block: number): number {
    const words = this.#groups[Math.floor(block / this.#groupBlocks)];
    return words === undefined ? 0 : (words[this.#wordOf(block)] as number);
  }

  #wordOf(block: number): number {
    return (block % this.#groupBlocks) * 2;
  }

  #wordsFor(block: number): Uint32Array {
    const group = Math.floor(block / this.#groupBlocks);
    const present = this.#groups[group];
    if (present !== undefined) return present;
    this.#session.take(this.#groupBlocks * BYTES_PER_BLOCK);
    const words = new Uint32Array(this.#groupBlocks * 2);
    this.#groups[group] = words;
    return words;
  }
}

/** The use of what hangs from a slot. */
export function useOf(role: SlotRole, detail: number): number {
  if (role === SlotRole.DATA) return Use.DATA;
  if (role === SlotRole.MAP) return Use.MAP + detail;
  if (detail === TreeKind.DIRECTORY) return Use.DIRECTORY;
  return detail === TreeKind.LINKS ? Use.LINKS : Use.QUEUE;
}

const NAMES: readonly string[] = [
  'unused block',
  'data block',
  'second copy',
  'directory node',
  'link table node',
  'reclaim queue node',
];

/** A use in words. */
export function useName(use: number): string {
  return NAMES[use] ?? `map node of level ${use - Use.MAP}`;
}

const STATISTICS: readonly (keyof BlockUse)[] = [
  'free',
  'data',
  'copies',
  'directory',
  'links',
  'queue',
];

/** Where a use is counted in the statistics. */
export function useKey(use: number): keyof BlockUse {
  return STATISTICS[use] ?? 'map';
}
