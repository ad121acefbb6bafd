/**
 * Extents: where the data of a file is, as FIEMAP tells it.
 */
import { BLOCK_SIZE, type Plan, PlannedOperation, roundUp } from '../base/index.ts';
import { EMBEDDED_SLOTS, mapCapacity } from '../format/index.ts';
import {
  type Mapping,
  MappingFlag,
  MappingIterator,
  MappingType,
  RequestFlag,
} from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

export type ExtentType = 'data' | 'unwritten' | 'inline' | 'delalloc';

/** What FIEMAP says of an extent, with the kernel's names and values. */
export const ExtentFlag = {
  /** No extent follows. */
  LAST: 0x1,
  /** It has no address yet. */
  UNKNOWN: 0x2,
  DELALLOC: 0x4,
  /** Its bytes are not blocks of their own. */
  NOT_ALIGNED: 0x100,
  DATA_INLINE: 0x200,
  UNWRITTEN: 0x800,
  SHARED: 0x2000,
  /** Its blocks have no checksum. Ours: the kernel has none for that. */
  UNCHECKED: 0x10000,
} as const;

const { UNKNOWN, DELALLOC, NOT_ALIGNED, DATA_INLINE, UNWRITTEN, SHARED, UNCHECKED } = ExtentFlag;

const FLAGS: Readonly<Record<ExtentType, number>> = {
  data: 0,
  unwritten: UNWRITTEN | UNKNOWN,
  inline: DATA_INLINE | NOT_ALIGNED,
  delalloc: DELALLOC | UNKNOWN,
};

/** A run of a file. All numbers are bytes; holes are left out. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** On the device; undefined where there is no place yet, or none of its own. */
  readonly address: number | undefined;
  readonly type: ExtentType;
  /** Something else names the same blocks. */
  readonly shared: boolean;
  /** Bits of {@link ExtentFlag}. */
  readonly flags: number;
}

/** What a run that is not mapped is in a listing; a hole is nothing. */
const NAMES: Readonly<Record<MappingType, ExtentType | undefined>> = {
  [MappingType.HOLE]: undefined,
  [MappingType.DELALLOC]: 'delalloc',
  [MappingType.MAPPED]: 'data',
  [MappingType.UNWRITTEN]: 'unwritten',
  [MappingType.INLINE]: 'inline',
};

type Part = Omit<Extent, 'offset' | 'flags' | 'type'> & {
  readonly type: ExtentType | undefined;
  readonly unchecked?: boolean;
};

/** Runs that one operation comes to at the most. */
const EXTENTS_MAX = 256;
/** How often a listing begins again because the file has changed, before changes have to wait. */
const RESTARTS_MAX = 8;

/**
 * The extents of a file from an offset on, all of one moment; `next` is where to go on, infinity at
 * the end. Reserved space behind the end of the file is listed too.
 */
export class ReadExtents extends PlannedOperation<{ extents: Extent[]; next: number }> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #from: number;
  #extents: Extent[] = [];
  readonly #iterator = new MappingIterator();
  #at: number;
  #sequence = -1;
  #restarts = -1;

  constructor(engine: Engine, vnode: Vnode, offset: number) {
    super();
    this.#engine = engine;
    this.#vnode = vnode;
    this.#from = offset - (offset % BLOCK_SIZE);
    this.#at = this.#from;
  }

  protected override prepare(plan: Plan): void {
    const vnode = this.#vnode;
    const everything = { start: 0, end: Number.POSITIVE_INFINITY, exclusive: false };
    if (this.#restarts >= RESTARTS_MAX && !vnode.lock.acquire(this, everything, plan)) return;
    const sequence = vnode.dataSequence + vnode.cowSequence;
    if (sequence !== this.#sequence) {
      this.#sequence = sequence;
      this.#restarts++;
      this.#extents = [];
      this.#at = this.#from;
    }
    const iterator = this.#iterator.begin(vnode, RequestFlag.REPORT, this.#at, this.#end);
    while (this.#extents.length < EXTENTS_MAX) {
      const run = iterator.step(plan);
      if (run === undefined) return;
      while (this.#at < iterator.end) this.#add(this.#part(run, iterator.end));
    }
  }

  protected override apply(): boolean {
    const more = this.#at < this.#end;
    const last = this.#extents.at(-1);
    if (!more && last !== undefined) {
      this.#extents[this.#extents.length - 1] = { ...last, flags: last.flags | ExtentFlag.LAST };
    }
    return this.finish({
      extents: this.#extents,
      next: more ? this.#at : Number.POSITIVE_INFINITY,
    });
  }

  protected override release(): void {
    this.#vnode.lock.release(this);
    this.#engine.store.blocks.unpin(this.plan);
  }

  /** The byte after everything that the file has or that its map can name. */
  get #end(): number {
    const { size, depth, hasMap } = this.#vnode;
    const named = hasMap ? mapCapacity(depth, EMBEDDED_SLOTS) * BLOCK_SIZE : 0;
    return Math.max(roundUp(size, BLOCK_SIZE), named);
  }

  /** From here on, as far as a run is all dirty or all not. */
  #part(run: Mapping, end: number): Part {
    if (this.#vnode.frameAt(this.#at) >= 0) {
      return { length: BLOCK_SIZE, address: undefined, type: 'delalloc', shared: false };
    }
    const length = this.#cleanLength(end);
    const { type, flags, address, offset } = run;
    if (type !== MappingType.MAPPED) {
      return { length, address: undefined, type: NAMES[type], shared: false };
    }
    const shared = (flags & MappingFlag.SHARED) !== 0;
    const unchecked = run.checksums === undefined;
    return { length, address: address + this.#at - offset, type: 'data', shared, unchecked };
  }

  /** Bytes from here to `stop`, or to the first block that is dirty. */
  #cleanLength(stop: number): number {
    if (this.#vnode.folioCount === 0) return stop - this.#at;
    let at = this.#at + BLOCK_SIZE;
    while (at < stop && this.#vnode.frameAt(at) < 0) at += BLOCK_SIZE;
    return at - this.#at;
  }

  #add({ type, unchecked = false, ...part }: Part): void {
    const offset = this.#at;
    this.#at += part.length;
    if (type === undefined) return;
    const extent = { ...part, type };
    const last = this.#extents.at(-1);
    const flags = FLAGS[extent.type] | (extent.shared ? SHARED : 0) | (unchecked ? UNCHECKED : 0);
    const follows =
      last !== undefined &&
      last.flags === flags &&
      last.offset + last.length === offset &&
      last.type === extent.type &&
      last.shared === extent.shared &&
      (extent.address === undefined
        ? last.address === undefined
        : last.address !== undefined && last.address + last.length === extent.address);
    if (!follows) this.#extents.push({ offset, ...extent, flags });
    else this.#extents[this.#extents.length - 1] = { ...last, length: last.length + extent.length };
  }
}
