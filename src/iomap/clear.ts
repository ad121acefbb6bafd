/**
 * Clear: bytes that become zeros, in one turn. Truncate and punch are the same thing.
 *
 * Blocks that lie in the range whole are given back: their dirty data is dropped, and the
 * filesystem makes a hole of them. A first or last block that the range covers in part is cleared
 * through a destination and its source, as any write does; if nothing but a hole is there, there is
 * nothing to clear. Bytes after the end of a file read as zeros when it grows again: so making it
 * shorter clears all from its new end on, and making it longer clears nothing.
 *
 * The range is held in both locks: nobody writes there meanwhile, and nothing of it is on its way
 * to the device when it is dropped.
 */
import {
  BLOCK_SIZE,
  NO_FRAME,
  type Plan,
  PlannedOperation,
  roundDown,
  roundUp,
} from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { MappingType, RequestFlag, type UnmapRange } from './mapping.ts';
import { blocksOf } from './range-lock.ts';
import { DirtyChunk } from './write.ts';

/** What becomes zeros. */
export interface ClearRange {
  /** First byte. */
  readonly start: number;
  /** Byte after the last; `Infinity` for all there is. */
  readonly end: number;
  /** The size of the file afterwards. */
  readonly size: (present: number) => number;
}

const ZEROS = (bytes: Uint8Array, start: number, _at: number, length: number): void => {
  bytes.fill(0, start, start + length);
};

/** Clears a range; the rest of the room is this with other ranges. */
export class Clear extends PlannedOperation<void> {
  readonly #file: IomapFile;
  readonly #range: ClearRange;
  readonly #done: () => void;
  readonly #iterator = new MappingIterator();
  readonly #head = new DirtyChunk();
  readonly #tail = new DirtyChunk();
  /** Whether an edge is to be cleared in this turn. */
  #clearHead = false;
  #clearTail = false;
  #unmap: UnmapRange = { start: 0, end: 0, size: 0 };

  /** `done` runs in the turn in which the bytes change. */
  constructor(file: IomapFile, range: ClearRange, done: () => void = () => {}) {
    super();
    this.#file = file;
    this.#range = range;
    this.#done = done;
  }

  protected override prepare(plan: Plan): void {
    const file = this.#file;
    const { start, end } = this.#range;
    // From the range itself, not from the end of the file: that may move while others are waited
    // for.
    const locked = blocksOf(start, end);
    if (!file.lock.acquire(this, locked, plan) || !file.cowLock.free(this, locked, plan)) return;
    const last = Math.min(end, file.size);
    const inner = roundUp(start, BLOCK_SIZE);
    // The block with the end of the file is whole as soon as all its bytes are in the range.
    const innerEnd = end >= file.size ? roundUp(end, BLOCK_SIZE) : roundDown(end, BLOCK_SIZE);
    this.#unmap = {
      start: inner,
      end: Math.max(inner, innerEnd),
      size: this.#range.size(file.size),
    };
    if (!file.ops.planUnmap(file, this.#unmap, plan)) return;
    this.#clearHead = this.#planEdge(this.#head, start, Math.min(last, inner), plan);
    if (!plan.ready) return;
    // A range within one block has a head and nothing else.
    this.#clearTail = innerEnd >= inner && this.#planEdge(this.#tail, innerEnd, last, plan);
    if (!plan.ready && this.#clearHead) this.#head.cancel();
  }

  protected override apply(): boolean {
    const file = this.#file;
    if (this.#clearHead) this.#head.write(ZEROS);
    if (this.#clearTail) this.#tail.write(ZEROS);
    const { start, end } = this.#unmap;
    this.#tellViews();
    const dropped = file.dropDirty(start, end);
    file.ops.unmap(file, this.#unmap, dropped);
    file.dataSequence++;
    this.#done();
    return this.finish(undefined);
  }

  /** What is cut off has no view any more; what is cleared is clear there too. */
  #tellViews(): void {
    const { start, end } = this.#range;
    const { size } = this.#unmap;
    for (const view of this.#file.viewsIn(start, end)) {
      view.forget(start, end);
      if (view.end > size) view.revoke('truncated');
    }
  }

  protected override release(): void {
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
    this.#head.cancel();
    this.#tail.cancel();
  }

  /** Maps bytes of one block to be cleared. False if there are none, or if the plan has needs. */
  #planEdge(chunk: DirtyChunk, start: number, end: number, plan: Plan): boolean {
    if (start >= end) return false;
    return this.#hasBytes(start, plan) && plan.ready && chunk.map(this.#file, start, end, plan);
  }

  /** True if a block holds anything but zeros, for all the map knows. */
  #hasBytes(at: number, plan: Plan): boolean {
    const file = this.#file;
    if (file.frameAt(at) !== NO_FRAME) return true;
    const source = this.#iterator.begin(file, RequestFlag.READ, at, at + 1).step(plan);
    if (source === undefined) return false;
    const { type } = source;
    // Inline bytes after the new end are cut off with it.
    const inline = type === MappingType.INLINE && this.#unmap.size > at;
    return inline || type === MappingType.MAPPED;
  }
}

/** Sets the size of a file. What is new are holes. */
export class Truncate extends Clear {
  constructor(file: IomapFile, size: number, done?: () => void) {
    super(file, { start: size, end: Number.POSITIVE_INFINITY, size: () => size }, done);
  }
}

/** Makes zeros of `length` bytes, and holes of the whole blocks among them. The size stays. */
export class Punch extends Clear {
  constructor(file: IomapFile, start: number, length: number, done?: () => void) {
    super(file, { start, end: start + length, size: (present) => present }, done);
  }
}

/** The same, and a file that ends before the range does becomes longer. */
export class ZeroRange extends Clear {
  constructor(file: IomapFile, start: number, length: number, done?: () => void) {
    const size = (present: number): number => Math.max(present, start + length);
    super(file, { start, end: start + length, size }, done);
  }
}
