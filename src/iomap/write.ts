/**
 * Buffered write: into folios, through a destination and its sources.
 *
 * The caller's bytes go into the destination, space reserved in the CoW fork that has no address
 * yet. Only a first or last block that the write covers in part, and that no folio has, needs its
 * old bytes: there a source is asked for, and it is read only if it is mapped. An aligned write
 * looks nothing up.
 *
 * A chunk is written in the turn in which everything it needs is in memory: a reader sees all of a
 * chunk or nothing of it. A write that could not be done in one turn holds its range until it ends.
 */
import {
  assert,
  BLOCK_SIZE,
  FilesystemError,
  type Frame,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { FOLIO_BLOCKS, FOLIO_SIZE, type Folio } from '../cache/index.ts';
import type { BufferPool, IomapFile } from './file.ts';
import {
  Edge,
  type Mapping,
  MappingAnswer,
  MappingRequest,
  MappingType,
  RequestFlag,
  type WriteOutcome,
} from './mapping.ts';
import type { LockRange } from './range-lock.ts';
import { wantMapped } from './read.ts';
import { traceMap, traceWait } from './trace.ts';

/** Bytes of a chunk to which a block more does no harm. */
const LARGE_CHUNK = 16 * BLOCK_SIZE;

/**
 * Fills bytes of the destination: `length` of them from file offset `at`, at `start` in `bytes`.
 */
type Fill = (bytes: Uint8Array, start: number, at: number, length: number) => void;

/**
 * One chunk of any operation that changes bytes through folios: what {@link BufferedWrite} copies
 * and `Truncate` clears goes the same way.
 */
export class DirtyChunk {
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  readonly #outcome: WriteOutcome = { written: 0, newBlocks: 0, newFolios: 0 };
  #file!: IomapFile;
  #start = 0;
  #end = 0;
  #head: Frame = NO_FRAME;
  #tail: Frame = NO_FRAME;
  /** With {@link Edge.EVERY}: the frame with the old bytes of each block, in order. */
  readonly #old: Frame[] = [];
  #held = false;
  /** Number of the data fork when it was asked for sources (P3). */
  #sequence = 0;

  get end(): number {
    return this.#end;
  }

  /**
   * Maps the destination of [start, end) or of a first part of it, and brings in the old bytes of
   * its edges. False if the plan has needs; then nothing is reserved. If true, {@link write} or
   * {@link cancel} must follow in the same turn. With `keep` every block of the range keeps its old
   * bytes until {@link write} fills some.
   */
  map(file: IomapFile, start: number, end: number, plan: Plan, keep = false): boolean {
    this.#file = file;
    this.#start = start;
    const { pool } = file;
    const blocks = Math.ceil(end / BLOCK_SIZE) - Math.floor(start / BLOCK_SIZE);
    if (!this.#throttle(pool, blocks, plan)) return false;
    const request = this.#request;
    request.offset = start;
    request.length = end - start;
    request.flag = RequestFlag.WRITE;
    request.edges = keep ? Edge.EVERY : this.#edges(file, start, end);
    const answer = this.#answer;
    answer.clear();
    if (!file.ops.begin(file, request, answer, plan)) return false;
    if (pool.trace !== undefined) traceMap(pool.trace, file, request, answer);
    this.#held = true;
    this.#sequence = file.dataSequence;
    this.#end = Math.min(end, answer.destination.end);
    // A destination that is cut ends with a block: its last one keeps nothing.
    if (this.#end < end) request.edges &= ~Edge.TAIL;
    this.#head = this.#source(Edge.HEAD, start, plan);
    this.#tail = this.#source(Edge.TAIL, this.#end - 1, plan);
    this.#old.length = 0;
    if (keep) this.#sources(plan);
    if (plan.ready && pool.blocks.room(plan, blocks + 1 + plan.blocks)) return true;
    this.cancel();
    return false;
  }

  /** Nothing is written after all: the reservation goes back. */
  cancel(): void {
    if (!this.#held) return;
    this.#finish(0, 0, 0);
  }

  /** Writes what was mapped and makes it dirty. */
  write(fill: Fill): void {
    assert(this.#held, 'a chunk is mapped before it is written');
    assert(this.#sequence === this.#file.dataSequence, 'a mapping is used in its turn (P3)');
    const { folios } = this.#file.pool;
    let newBlocks = 0;
    let newFolios = 0;
    if (this.#answer.moved !== undefined) {
      newBlocks++;
      if (takeInline(this.#file, this.#answer.moved)) newFolios++;
    }
    for (let at = this.#start; at < this.#end; ) {
      const folio = folios.obtain(this.#file, Math.floor(at / FOLIO_SIZE));
      if (folios.dirty[folio] === 0) newFolios++;
      const stop = Math.min(this.#end, ((folios.index[folio] as number) + 1) * FOLIO_SIZE);
      while (at < stop) {
        const from = at % BLOCK_SIZE;
        const length = Math.min(BLOCK_SIZE - from, stop - at);
        const i = Math.floor(at / BLOCK_SIZE) % FOLIO_BLOCKS;
        const frame = this.#writable(folio, i, at, length);
        fill(this.#file.pool.blocks.bytes, frame * BLOCK_SIZE + from, at, length);
        if (folios.markDirty(folio, i)) newBlocks++;
        at += length;
      }
    }
    const { trace } = this.#file.pool;
    const length = this.#end - this.#start;
    trace?.({ event: 'write', file: this.#file.id, offset: this.#start, length });
    this.#finish(length, newBlocks, newFolios);
  }

  #finish(written: number, newBlocks: number, newFolios: number): void {
    this.#held = false;
    const outcome = this.#outcome;
    outcome.written = written;
    outcome.newBlocks = newBlocks;
    outcome.newFolios = newFolios;
    if (written > 0) this.#file.cowSequence++;
    this.#file.ops.end(this.#file, this.#request, this.#answer, outcome);
  }

  /** The frame of a block that the write may change, with its old bytes where they are kept. */
  #writable(folio: Folio, i: number, at: number, length: number): Frame {
    const { folios, blocks } = this.#file.pool;
    const present = folios.frame(folio, i);
    const flying = ((folios.writeback[folio] as number) & (1 << i)) !== 0;
    if (present !== NO_FRAME && !flying) return present;
    const frame = blocks.take();
    this.#file.pool.dirtyBlocks++;
    const keep = length < BLOCK_SIZE || (this.#request.edges & Edge.EVERY) !== 0;
    if (keep) this.#keepOld(frame, present, at);
    folios.writeback[folio] = (folios.writeback[folio] as number) & ~(1 << i);
    folios.attach(folio, i, frame);
    return frame;
  }

  /** Old bytes of a block: from the data under writeback, from the source, or zeros. */
  #keepOld(frame: Frame, present: Frame, at: number): void {
    const { blocks } = this.#file.pool;
    const blockStart = at - (at % BLOCK_SIZE);
    let old = present;
    if (old === NO_FRAME) old = this.#oldFrame(blockStart);
    if (old !== NO_FRAME) {
      blocks.copyFrame(old, frame);
      this.#tell(blockStart, present === NO_FRAME ? 'device' : 'dirty data');
      return;
    }
    const start = frame * BLOCK_SIZE;
    blocks.bytes.fill(0, start, start + BLOCK_SIZE);
    const inline = this.#inlineAt(blockStart);
    if (inline !== undefined)
      blocks.bytes.set(inline.subarray(blockStart, blockStart + BLOCK_SIZE), start);
    this.#tell(blockStart, inline === undefined ? undefined : 'inode');
  }

  /** Tells a tracer what a block begins with; undefined: zeros. */
  #tell(offset: number, from: 'device' | 'dirty data' | 'inode' | undefined): void {
    const { trace } = this.#file.pool;
    if (trace === undefined) return;
    const at = { file: this.#file.id, offset };
    trace(from === undefined ? { event: 'zero', ...at } : { event: 'copy', ...at, from });
  }

  #oldFrame(blockStart: number): Frame {
    if ((this.#request.edges & Edge.EVERY) !== 0) {
      const first = Math.floor(this.#start / BLOCK_SIZE);
      return this.#old[blockStart / BLOCK_SIZE - first] as Frame;
    }
    return blockStart <= this.#start ? this.#head : this.#tail;
  }

  #inlineAt(offset: number): Uint8Array | undefined {
    const answer = this.#answer;
    for (let i = 0; i < answer.sourceCount; i++) {
      const source = answer.sources[i] as Mapping;
      if (source.type === MappingType.INLINE && offset >= source.offset && offset < source.end) {
        return source.inline;
      }
    }
    return undefined;
  }

  /** The frame with the old bytes of an edge; NO_FRAME if they are zeros, inline or not needed. */
  #source(edge: number, at: number, plan: Plan): Frame {
    if ((this.#request.edges & edge) === 0) return NO_FRAME;
    const source = this.#answer.sourceAt(at);
    if (source.type !== MappingType.MAPPED) return NO_FRAME;
    return wantMapped(this.#file, source, at, plan);
  }

  /** The same for every block; those that a folio has need none. */
  #sources(plan: Plan): void {
    const first = this.#start - (this.#start % BLOCK_SIZE);
    for (let at = first; at < this.#end; at += BLOCK_SIZE) {
      const known = this.#file.frameAt(at) !== NO_FRAME;
      const source = this.#answer.sourceAt(at);
      const mapped = !known && source.type === MappingType.MAPPED;
      this.#old.push(mapped ? wantMapped(this.#file, source, at, plan) : NO_FRAME);
    }
  }

  /**
   * Which edges cover a block in part whose old bytes are neither in a folio nor beyond the end.
   */
  #edges(file: IomapFile, start: number, end: number): number {
    let edges = Edge.NONE as number;
    const headStart = start - (start % BLOCK_SIZE);
    const tailStart = end - (end % BLOCK_SIZE);
    const headEnd = headStart + BLOCK_SIZE;
    if ((start !== headStart || end < headEnd) && this.#isOld(file, headStart)) edges |= Edge.HEAD;
    if (tailStart !== end && tailStart > headStart && this.#isOld(file, tailStart)) {
      edges |= Edge.TAIL;
    }
    return edges;
  }

  #isOld(file: IomapFile, blockStart: number): boolean {
    return blockStart < file.size && file.frameAt(blockStart) === NO_FRAME;
  }

  #throttle(pool: BufferPool, blocks: number, plan: Plan): boolean {
    // Where nothing is dirty, waiting would not help.
    if (pool.dirtyBlocks + blocks <= pool.dirtyLimit || pool.dirtyBlocks === 0) return true;
    plan.follow(pool.relief());
    return false;
  }
}

/** Inline data becomes dirty data. True if its folio had no dirty block before. */
export function takeInline(file: IomapFile, inline: Uint8Array): boolean {
  const { pool } = file;
  const { folios, blocks } = pool;
  const folio = folios.obtain(file, 0);
  const fresh = folios.dirty[folio] === 0;
  const frame = blocks.take();
  const view = blocks.view(frame);
  view.set(inline);
  view.fill(0, inline.length);
  pool.dirtyBlocks++;
  folios.attach(folio, 0, frame);
  folios.markDirty(folio, 0);
  return fresh;
}

/** Writes `data` at `position`; its result is the bytes written. */
export class BufferedWrite extends PlannedOperation<number> {
  /**
   * Refuses with `EAGAIN` what is more than an overwrite: whatever would take space, bring in old
   * bytes, or make the file longer. Only blocks that are dirty, and not on their way to the device,
   * can be overwritten as they are. It is Linux's OVERWRITE_ONLY. {@link begin} resets it.
   */
  overwriteOnly = false;
  readonly #chunk = new DirtyChunk();
  #file!: IomapFile;
  #data!: Uint8Array;
  #dataAt = 0;
  #start = 0;
  #position = 0;
  #end = 0;
  #locked = false;

  /** Makes the operation ready to run, again. */
  begin(file: IomapFile, position: number, data: Uint8Array, from = 0, length = data.length): this {
    this.#file = file;
    this.#data = data;
    this.#dataAt = from;
    this.#start = position;
    this.#position = position;
    this.#end = position + length;
    this.overwriteOnly = false;
    this.renew();
    return this;
  }

  protected override prepare(plan: Plan): void {
    if (this.#position === this.#end) return;
    if (this.overwriteOnly) this.#checkOverwrite();
    this.#plan(plan);
    const { trace } = this.#file.pool;
    if (trace !== undefined) traceWait(trace, this.#file, this.#position, plan);
  }

  #plan(plan: Plan): void {
    if (!this.#mayWrite(plan)) {
      this.#queue(plan);
      return;
    }
    const { chunkSize } = this.#file.pool;
    const boundary = this.#position - (this.#position % BLOCK_SIZE) + chunkSize;
    // A rest within one block comes along, so that both edges are read at once.
    const most = boundary + (chunkSize >= LARGE_CHUNK ? BLOCK_SIZE : 0);
    const end = this.#end <= most ? this.#end : boundary;
    const ready = this.#chunk.map(this.#file, this.#position, end, plan);
    if (!ready) this.#queue(plan);
  }

  /** Whoever has to wait has a place from then on: newcomers do not overtake him. */
  #queue(plan: Plan): void {
    if (this.#locked) return;
    this.#locked = true;
    this.#file.lock.acquire(this, this.lockRange(), plan);
  }

  protected override apply(): boolean {
    if (this.#position < this.#end) {
      const from = this.#position;
      this.#chunk.write(this.#fill);
      this.#position = this.#chunk.end;
      this.wrote(from, this.#position - from);
      if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
    }
    return this.#position < this.#end ? false : this.finish(this.#end - this.#start);
  }

  /** What a write that has to wait holds; the same each time. */
  protected lockRange(): LockRange {
    return this.#range();
  }

  #checkOverwrite(): void {
    const file = this.#file;
    let at = this.#position;
    while (at < this.#end && this.#end <= file.size && file.isWritable(at)) {
      at += BLOCK_SIZE - (at % BLOCK_SIZE);
    }
    if (at >= this.#end) return;
    throw new FilesystemError('EAGAIN', `Cannot overwrite byte ${at}: it is not in a dirty block`);
  }

  /** A chunk was written: called in the same turn. */
  protected wrote(_position: number, _length: number): void {}

  protected override release(): void {
    if (this.#locked) this.#file.lock.release(this);
    this.#locked = false;
    if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
    this.#chunk.cancel();
  }

  /** Chunks that were written before something failed stay written and are reported. */
  override fail(error: Error): void {
    if (this.#position > this.#start && !this.done) this.finish(this.#position - this.#start);
    else super.fail(error);
  }

  readonly #fill: Fill = (bytes, start, at, length) => {
    const from = this.#dataAt + at - this.#start;
    const data = this.#data;
    if (from === 0 && length === data.length) bytes.set(data, start);
    else bytes.set(data.subarray(from, from + length), start);
  };

  /** One turn needs no lock of its own, it only must not cut across somebody who holds one. */
  #mayWrite(plan: Plan): boolean {
    const { lock } = this.#file;
    if (this.#locked) return lock.acquire(this, this.lockRange(), plan);
    return lock.idle || lock.free(this, this.#range(), plan);
  }

  #range(): LockRange {
    return { start: this.#start, end: this.#end, exclusive: true };
  }
}
