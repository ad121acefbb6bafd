/**
 * Buffered read: dirty data from the file's folios, everything else through the map.
 *
 * A chunk is copied in the turn in which all of it is in memory, so a reader sees each chunk as it
 * was at one moment. Readers take no lock: a block that the map named when the turn began cannot
 * be reused before the turn ends.
 *
 * Who misses where the last reader of the file stopped reads on in sequence: with what he needs, a
 * window behind it is asked for that nobody waits for, twice as long each time. A miss anywhere
 * else ends that. What is read ahead is clean data under its device block, so no later change of
 * the file can be hidden by it.
 */
import {
  AssertionError,
  BLOCK_SIZE,
  type Block,
  type Frame,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { LoadFlag } from '../cache/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingType, RequestFlag } from './mapping.ts';
import { traceWait } from './trace.ts';

export const DATA_BLOCK = { name: 'data block' };

/** Bytes that are read ahead at first, and at the most; a small cache has less. */
const WINDOW_MIN = 32 * 1024;
const WINDOW_MAX = 1024 * 1024;

/** The frame with one block of a MAPPED range, or NO_FRAME after the plan was told. */
export function wantMapped(file: IomapFile, mapping: Mapping, offset: number, plan: Plan): Frame {
  const index = Math.floor((offset - mapping.offset) / BLOCK_SIZE);
  const block = (mapping.address / BLOCK_SIZE + index) as Block;
  const { checksums } = mapping;
  const checksum = checksums?.[mapping.checksumAt + index * mapping.checksumStride] ?? 0;
  const flags =
    (checksums === undefined ? LoadFlag.UNVERIFIED : 0) | (mapping.twin ? LoadFlag.TWIN : 0);
  return file.pool.blocks.want(plan, block, checksum, flags, DATA_BLOCK);
}

/**
 * Reads into `target` from `position` on; its result is the bytes read, fewer at the end of file.
 */
export class BufferedRead extends PlannedOperation<number> {
  readonly #iterator = new MappingIterator();
  #file!: IomapFile;
  #target!: Uint8Array;
  /** Where in `target` the bytes of the file begin, so that one buffer can take several reads. */
  #targetAt = 0;
  #start = 0;
  #position = 0;
  #end = 0;
  #chunkEnd = 0;
  /** Up to where this operation has read ahead. */
  #ahead = 0;

  /** Makes the operation ready to run, again. */
  begin(file: IomapFile, position: number, length: number, target: Uint8Array, at = 0): this {
    this.#file = file;
    this.#target = target;
    this.#targetAt = at;
    this.#start = position;
    this.#position = position;
    this.#end = position + length;
    this.#ahead = 0;
    this.renew();
    return this;
  }

  protected override prepare(plan: Plan): void {
    const end = Math.min(this.#end, this.#file.size);
    this.#chunkEnd = Math.min(end, this.#position + this.#file.pool.chunkSize);
    const at = this.#position;
    const dirty = this.#file.folioCount > 0 ? this.#file.frameAt(at) : NO_FRAME;
    // A block that is dirty needs no look at the map.
    if (dirty !== NO_FRAME) this.#copyFrom(this.#copyFrame(dirty, at), plan);
    else this.#copyFrom(at, plan);
    if (plan.ready) return;
    const { trace } = this.#file.pool;
    if (trace !== undefined) traceWait(trace, this.#file, this.#position, plan);
    this.#readAhead(plan);
  }

  protected override apply(): boolean {
    this.#position = Math.max(this.#position, this.#chunkEnd);
    this.#file.readNext = this.#position;
    if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
    const end = Math.min(this.#end, this.#file.size);
    if (this.#position < end) return false;
    return this.finish(this.#position - this.#start);
  }

  protected override release(): void {
    if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
  }

  /** Bytes that were read before something failed are worth reporting; the next read will fail. */
  override fail(error: Error): void {
    if (this.#position > this.#start && !this.done) this.finish(this.#position - this.#start);
    else super.fail(error);
  }

  /** Asks for what a reader in sequence will want next. */
  #readAhead(plan: Plan): void {
    const file = this.#file;
    const { blocks } = file.pool;
    if (this.#position !== file.readNext) {
      file.readWindow = 0;
      return;
    }
    if (this.#ahead > this.#position) return;
    const most = Math.min(WINDOW_MAX, (blocks.frameCount >>> 5) * BLOCK_SIZE);
    const window = Math.min(most, Math.max(WINDOW_MIN, 2 * file.readWindow));
    if (blocks.available < blocks.frameCount >>> 2) return;
    file.readWindow = window;
    this.#ahead = Math.min(file.size, this.#chunkEnd + window);
    plan.early = true;
    try {
      const iterator = this.#iterator.begin(file, RequestFlag.READ, this.#chunkEnd, this.#ahead);
      for (let source = iterator.step(plan); source !== undefined; source = iterator.step(plan)) {
        if (source.type !== MappingType.MAPPED) continue;
        for (let at = iterator.offset; at < iterator.end; at = nextBlock(at)) {
          if (file.frameAt(at) === NO_FRAME) wantMapped(file, source, at, plan);
        }
      }
    } catch (error) {
      // Whoever comes to read what is there will be told.
      if (error instanceof AssertionError) throw error;
    } finally {
      plan.early = false;
    }
  }

  /** Copies from file offset `at`, as far as one look goes. */
  #copyFrom(at: number, plan: Plan): void {
    const iterator = this.#iterator.begin(this.#file, RequestFlag.READ, at, this.#chunkEnd);
    for (let source = iterator.step(plan); source !== undefined; source = iterator.step(plan)) {
      const { end } = iterator;
      for (let next = iterator.offset; next < end; ) {
        next = this.#copySource(source, next, end, plan);
      }
    }
  }

  #copySource(source: Mapping, at: number, end: number, plan: Plan): number {
    const dirty = this.#file.folioCount > 0 ? this.#file.frameAt(at) : NO_FRAME;
    if (dirty !== NO_FRAME) return this.#copyFrame(dirty, at);
    if (source.type === MappingType.MAPPED) {
      const frame = wantMapped(this.#file, source, at, plan);
      return frame === NO_FRAME ? nextBlock(at) : this.#copyFrame(frame, at);
    }
    const stop = this.#file.folioCount > 0 ? Math.min(end, nextBlock(at)) : end;
    const to = at - this.#start + this.#targetAt;
    if (source.type === MappingType.INLINE) {
      const inline = source.inline as Uint8Array;
      this.#target.set(inline.subarray(at, Math.min(stop, inline.length)), to);
      this.#target.fill(0, to + Math.max(0, Math.min(stop, inline.length) - at), to + stop - at);
    } else {
      this.#target.fill(0, to, to + stop - at);
    }
    return stop;
  }

  #copyFrame(frame: Frame, at: number): number {
    const from = at & (BLOCK_SIZE - 1);
    const length = Math.min(BLOCK_SIZE - from, this.#chunkEnd - at);
    const to = at - this.#start + this.#targetAt;
    this.#file.pool.blocks.copyOut(frame, from, length, this.#target, to);
    return at + length;
  }
}

/** `%`, not a bit mask: offsets reach 2^53. */
function nextBlock(at: number): number {
  return at - (at % BLOCK_SIZE) + BLOCK_SIZE;
}
