/**
 * Extents: where the data of a file is, as FIEMAP tells it.
 */
import { BLOCK_SIZE, type Plan, PlannedOperation, roundUp } from '../base/index.ts';
import { SlotKind, slotBlock } from '../format/index.ts';
import {
  type Mapping,
  MappingAnswer,
  MappingRequest,
  MappingType,
  RequestFlag,
} from '../iomap/index.ts';
import { MapPosition } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

export type ExtentType = 'data' | 'unwritten' | 'inline' | 'delalloc';

/** A run of a file. All numbers are bytes; holes are left out. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** On the device; undefined where there is no place yet, or none of its own. */
  readonly address: number | undefined;
  readonly type: ExtentType;
  /** Something else names the same blocks. */
  readonly shared: boolean;
}

/** Runs that one operation comes to at the most. */
const EXTENTS_MAX = 256;

/** The extents of a file from an offset on; `next` is where to go on, infinity at the end. */
export class ReadExtents extends PlannedOperation<{ extents: Extent[]; next: number }> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #extents: Extent[] = [];
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  #at: number;
  #above = false;

  constructor(engine: Engine, vnode: Vnode, offset: number) {
    super();
    this.#engine = engine;
    this.#vnode = vnode;
    this.#at = offset - (offset % BLOCK_SIZE);
  }

  protected override prepare(plan: Plan): void {
    const { inodes } = this.#engine;
    if (!inodes.planClaim(this.#vnode, plan)) return;
    this.#above = inodes.planShared;
    const end = roundUp(this.#vnode.size, BLOCK_SIZE);
    while (this.#at < end && this.#extents.length < EXTENTS_MAX) {
      if (!this.#look(end, plan)) return;
    }
  }

  protected override apply(): boolean {
    const more = this.#at < roundUp(this.#vnode.size, BLOCK_SIZE);
    return this.finish({
      extents: this.#extents,
      next: more ? this.#at : Number.POSITIVE_INFINITY,
    });
  }

  protected override release(): void {
    this.#engine.store.blocks.unpin(this.plan);
  }

  #look(end: number, plan: Plan): boolean {
    const vnode = this.#vnode;
    if (vnode.frameAt(this.#at) >= 0) {
      this.#add({ length: BLOCK_SIZE, address: undefined, type: 'delalloc', shared: false });
      return true;
    }
    const request = this.#request;
    request.flag = RequestFlag.REPORT;
    request.offset = this.#at;
    request.length = end - this.#at;
    this.#answer.clear();
    if (!vnode.ops.begin(vnode, request, this.#answer, plan)) return false;
    const source = this.#answer.sourceAt(this.#at);
    return source.type === MappingType.MAPPED
      ? this.#addMapped(source, plan)
      : this.#addOther(source, end);
  }

  #addOther(source: Mapping, end: number): boolean {
    const stop = Math.min(source.end, end);
    const length = this.#cleanLength(stop);
    if (source.type === MappingType.INLINE) {
      this.#add({ length, address: undefined, type: 'inline', shared: false });
    } else if (source.type === MappingType.UNWRITTEN) {
      this.#add({ length, address: undefined, type: 'unwritten', shared: false });
    } else {
      this.#at += length;
    }
    return true;
  }

  /** A mapped run, cut where sharing begins or ends. */
  #addMapped(source: Mapping, plan: Plan): boolean {
    const stop = this.#at + this.#cleanLength(source.end);
    const address = source.address + this.#at - source.offset;
    const first = this.#isShared(this.#at, plan);
    if (first === undefined) return false;
    let at = this.#at + BLOCK_SIZE;
    for (; at < stop; at += BLOCK_SIZE) {
      const next = this.#isShared(at, plan);
      if (next === undefined) return false;
      if (next !== first) break;
    }
    this.#add({ length: at - this.#at, address, type: 'data', shared: first });
    return true;
  }

  /** Bytes from here to `stop`, or to the first block that is dirty. */
  #cleanLength(stop: number): number {
    if (this.#vnode.folioCount === 0) return stop - this.#at;
    let at = this.#at + BLOCK_SIZE;
    while (at < stop && this.#vnode.frameAt(at) < 0) at += BLOCK_SIZE;
    return at - this.#at;
  }

  /** Whether a block, or any node on the way to it, is named more than once. */
  #isShared(offset: number, plan: Plan): boolean | undefined {
    if (this.#above) return true;
    const { store, maps } = this.#engine;
    const position = new MapPosition();
    const shared = maps.isShared(this.#vnode, offset / BLOCK_SIZE, plan);
    if (shared !== false) return shared;
    if (!maps.locate(this.#vnode, offset / BLOCK_SIZE, position, plan)) return undefined;
    if (position.kind !== SlotKind.DATA) return false;
    const block = slotBlock(position.words, position.at);
    if (!store.groups.wantNamed(block, plan)) return undefined;
    return store.groups.count(block) > 1;
  }

  #add(extent: Omit<Extent, 'offset'>): void {
    const offset = this.#at;
    this.#at += extent.length;
    const last = this.#extents.at(-1);
    const follows =
      last !== undefined &&
      last.offset + last.length === offset &&
      last.type === extent.type &&
      last.shared === extent.shared &&
      (extent.address === undefined
        ? last.address === undefined
        : last.address !== undefined && last.address + last.length === extent.address);
    if (!follows) this.#extents.push({ offset, ...extent });
    else this.#extents[this.#extents.length - 1] = { ...last, length: last.length + extent.length };
  }
}
