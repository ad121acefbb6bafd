/**
 * Direct write: from the caller's memory straight to the device, past the cache.
 *
 *   reserve    the filesystem promises space, as for any write; old bytes of the two edges come in
 *   place      it finds runs for all blocks, which no map names
 *   write      the caller's memory goes there, each edge by way of a block of its own
 *   complete   all runs are mapped in one turn, and the file is as long as it has to be
 *
 * The destination is new space whatever was there, so nobody sees a part of a write: not a reader,
 * not a clone, not a mount after a crash. What fails before the last turn has changed nothing.
 * Where a filesystem lets data go over what it replaces, neither holds after a crash or a failure;
 * readers wait for the end of it. Any
 * offset and any length will do: what an edge lacks is copied from its source, be that dirty data,
 * a block of the device, bytes in the inode, or nothing.
 *
 * E1. From the first turn to the last the range is held in the file's lock, and each part in its
 *     CoW lock from place to complete: what is dirty there stays what it is until it is replaced.
 * E2. Checksums are of the bytes that the device is given. Where a transfer outlives the turn, or
 *     others may change the memory within it, these are a copy.
 * E3. What is on its way is a part, an operation of its own (direct-part.ts). Who waits for data in
 *     flight waits for no part to come: that one may have to wait for him.
 */
import {
  assert,
  BLOCK_SIZE,
  type Block,
  checksum32,
  NO_FRAME,
  PlainIo,
  type Plan,
  PlannedOperation,
  roundDown,
  roundUp,
} from '../base/index.ts';
import { DirectPart } from './direct-part.ts';
import type { IomapFile } from './file.ts';
import { Edge, MappingAnswer, MappingRequest, MappingType, RequestFlag } from './mapping.ts';
import { wantMapped } from './read.ts';
import { traceMap } from './trace.ts';
import { DirtyChunk, takeInline } from './write.ts';
import type { Ioend, Placement } from './writeback.ts';

/** Bytes, from a multiple of the block size on, that become visible, and durable, all at once. */
export const ATOMIC_WRITE_MAX = 16 * 1024 * 1024;

/**
 * Blocks for which the promise of a folio suffices: they are mapped in one turn, and the nodes that
 * map them are changed once.
 */
const SPAN_BLOCKS = 256;

const NO_FRAMES: readonly [] = [];
const NO_BYTES = new Uint8Array(0);

/**
 * Writes `data` at `position`; its result is the bytes written. A write that lies in one aligned
 * range of {@link ATOMIC_WRITE_MAX} bytes is atomic; of a longer one each such part is.
 */
export class DirectWrite extends PlannedOperation<number> {
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  /** What is so little that it goes into the inode becomes dirty data instead. */
  readonly #chunk = new DirtyChunk();
  #file!: IomapFile;
  #data!: Uint8Array;
  #dataAt = 0;
  #start = 0;
  #position = 0;
  #end = 0;
  /** The part under way: byte after its last, its blocks, and whether space for it is promised. */
  #partEnd = 0;
  readonly #blocks = { start: 0, end: 0, exclusive: true };
  #reserved = false;
  #small = false;
  #head: Uint8Array = NO_BYTES;
  #tail: Uint8Array = NO_BYTES;
  /** What is on its way. */
  #part: DirectPart | undefined;

  /** Makes the operation ready to run, again. */
  begin(file: IomapFile, position: number, data: Uint8Array, from = 0, length = data.length): this {
    this.#file = file;
    this.#data = data;
    this.#dataAt = from;
    this.#start = position;
    this.#position = position;
    this.#end = position + length;
    this.renew();
    return this;
  }

  protected override prepare(plan: Plan): void {
    if (this.#position === this.#end) return;
    const part = this.#part;
    if (part === undefined) this.#reserve(plan);
    else if (!part.done) plan.follow(part);
    else if (part.error !== undefined) throw part.error;
  }

  protected override apply(): boolean {
    if (this.#position === this.#end) return this.finish(this.#end - this.#start);
    if (this.#small) this.#writeSmall();
    else if (this.#part === undefined) return this.#place();
    this.#part = undefined;
    this.#file.pool.blocks.unpin(this.plan);
    this.#position = this.#partEnd;
    return this.#position < this.#end ? false : this.finish(this.#end - this.#start);
  }

  /** Parts that were written before something failed stay written and are reported. */
  override fail(error: Error): void {
    this.#cancel();
    if (this.#position > this.#start && !this.done) this.finish(this.#position - this.#start);
    else super.fail(error);
  }

  protected override release(): void {
    const { pool, lock } = this.#file;
    lock.release(this);
    this.#chunk.cancel();
    if (this.plan.pinned.length > 0) pool.blocks.unpin(this.plan);
  }

  /** A part is complete: called in the same turn, before the map and the log learn of it. */
  protected wrote(_position: number, _length: number): void {}

  #reserve(plan: Plan): void {
    const file = this.#file;
    const { ops } = file.pool;
    const all = this.#blocks;
    all.start = roundDown(this.#start, BLOCK_SIZE);
    all.end = roundUp(this.#end, BLOCK_SIZE);
    if (!file.lock.acquire(this, all, plan)) return;
    this.#partEnd = Math.min(
      this.#end,
      roundDown(this.#position, ATOMIC_WRITE_MAX) + ATOMIC_WRITE_MAX,
    );
    this.#small = ops.isInline(file, Math.max(file.size, this.#partEnd));
    if (this.#small) {
      this.#chunk.map(file, this.#position, this.#partEnd, plan);
      return;
    }
    const request = this.#request;
    request.offset = this.#position;
    request.length = this.#partEnd - this.#position;
    request.flag = RequestFlag.WRITE;
    request.edges = this.#edges();
    request.whole = true;
    this.#answer.clear();
    if (!file.ops.begin(file, request, this.#answer, plan)) return;
    this.#reserved = true;
    if (file.pool.trace !== undefined) traceMap(file.pool.trace, file, request, this.#answer);
    if (this.#answer.destination.end < this.#partEnd) {
      // A destination that is cut ends with a block: its last one keeps nothing.
      this.#partEnd = this.#answer.destination.end;
      request.edges &= ~Edge.TAIL;
    }
    const part = this.#blocks;
    part.start = roundDown(this.#position, BLOCK_SIZE);
    part.end = roundUp(this.#partEnd, BLOCK_SIZE);
    this.#head = this.#old(Edge.HEAD, part.start, plan);
    this.#tail = this.#old(Edge.TAIL, part.end - BLOCK_SIZE, plan);
    file.cowLock.free(this, part, plan);
    const blocks = (part.end - part.start) / BLOCK_SIZE;
    if (plan.ready && ops.overwrites?.(file) === true) {
      ops.planOverwrite?.(file, part.start, blocks, plan);
    }
    if (plan.ready) ops.planPlace(blocks, plan);
    // Later nobody can make room for the nodes: a commit would wait for this very part.
    if (plan.ready) file.pool.blocks.room(plan, plan.blocks + 1);
    if (!plan.ready) this.#unreserve();
  }

  /** Which of the first and the last block keep some of their bytes. */
  #edges(): number {
    const [start, end] = [this.#position, this.#partEnd];
    const within = roundDown(start, BLOCK_SIZE) === roundDown(end - 1, BLOCK_SIZE);
    const head = start % BLOCK_SIZE !== 0 || (within && end % BLOCK_SIZE !== 0);
    const tail = !within && end % BLOCK_SIZE !== 0;
    return (head ? Edge.HEAD : Edge.NONE) | (tail ? Edge.TAIL : Edge.NONE);
  }

  /** A copy of an edge's old bytes; none if it keeps none, or if the plan has needs. */
  #old(edge: number, at: number, plan: Plan): Uint8Array {
    if ((this.#request.edges & edge) === 0) return NO_BYTES;
    const { pool } = this.#file;
    const block = new Uint8Array(BLOCK_SIZE);
    const source = this.#answer.sourceAt(at);
    let frame = this.#file.frameAt(at);
    if (frame === NO_FRAME && source.type === MappingType.MAPPED) {
      frame = wantMapped(this.#file, source, at, plan);
      if (frame === NO_FRAME) return NO_BYTES;
    }
    if (frame !== NO_FRAME) block.set(pool.blocks.view(frame));
    else if (source.inline !== undefined) block.set(source.inline.subarray(at, at + BLOCK_SIZE));
    return block;
  }

  #unreserve(): void {
    if (!this.#reserved) return;
    this.#reserved = false;
    const nothing = { written: 0, newBlocks: 0, newFolios: 0 };
    this.#file.ops.end(this.#file, this.#request, this.#answer, nothing);
  }

  #writeSmall(): void {
    const from = this.#dataAt - this.#start;
    this.#chunk.write((bytes, start, at, length) =>
      bytes.set(this.#data.subarray(from + at, from + at + length), start),
    );
    this.wrote(this.#position, this.#partEnd - this.#position);
  }

  /** Takes the promise, finds places, and sends the part on its way. */
  #place(): false {
    const file = this.#file;
    const { pool } = file;
    const range = { ...this.#blocks };
    const [from, end] = [this.#position, this.#partEnd];
    const moved = this.#answer.moved;
    const taken = moved !== undefined && takeInline(file, moved) ? 1 : 0;
    const count = (range.end - range.start) / BLOCK_SIZE;
    const span = SPAN_BLOCKS * BLOCK_SIZE;
    const folios = Math.ceil(range.end / span) - Math.floor(range.start / span);
    this.#reserved = false;
    file.ops.end(file, this.#request, this.#answer, {
      written: 0,
      newBlocks: count + (moved === undefined ? 0 : 1),
      newFolios: folios + taken,
    });
    // A root that has fewer bytes of the last block takes those behind its end for zeros.
    if (end > file.size) pool.ops.moving?.(file, file.size);
    const bytes = this.#bytes(range);
    const checksums = this.#sums(bytes, count);
    const ioends: Ioend[] = [];
    const io: PlainIo[] = [];
    const placement: Placement = { block: 0 as Block, count: 0 };
    for (let done = 0; done < count; done += placement.count) {
      const offset = range.start + done * BLOCK_SIZE;
      placement.count = count - done;
      pool.ops.place(file, offset, placement.count, placement);
      const stop = done + placement.count;
      const all = placement.count === count;
      ioends.push({
        file,
        offset,
        frames: NO_FRAMES,
        checksums: all ? checksums : checksums.subarray(done, stop),
        size: file.size,
        block: placement.block,
        folios: done === 0 ? folios : 0,
        inplace: placement.inplace,
      });
      const buffers = all ? bytes : cut(bytes, done * BLOCK_SIZE, stop * BLOCK_SIZE);
      io.push(new PlainIo('write', placement.block * BLOCK_SIZE, buffers));
    }
    this.#part = new DirectPart({ file, range, end, ioends, io }, () =>
      this.wrote(from, end - from),
    );
    const held = file.cowLock.acquire(this.#part, range, this.plan);
    assert(held, 'the range was free in this turn');
    return false;
  }

  /** What the blocks of the part will hold: the edges, and between them the caller's memory. */
  #bytes({ start, end }: { start: number; end: number }): Uint8Array[] {
    const from = this.#dataAt + this.#position - this.#start;
    const length = this.#partEnd - this.#position;
    let data = this.#data.subarray(from, from + length);
    const before = this.#position - start;
    const bytes: Uint8Array[] = [];
    if (this.#head.length > 0) {
      const count = Math.min(length, BLOCK_SIZE - before);
      this.#head.set(data.subarray(0, count), before);
      bytes.push(this.#head);
      data = data.subarray(count);
    }
    const rest = data.length % BLOCK_SIZE;
    const whole = data.subarray(0, data.length - rest);
    if (whole.length > 0) bytes.push(this.#file.pool.isStable(whole) ? whole : whole.slice());
    if (rest > 0) {
      this.#tail.set(data.subarray(whole.length));
      bytes.push(this.#tail);
    }
    const size = bytes.reduce((sum, { length: part }) => sum + part, 0);
    assert(size === end - start, 'a direct write fills its blocks');
    return bytes;
  }

  #sums(bytes: readonly Uint8Array[], count: number): Uint32Array {
    const sums = new Uint32Array(count);
    const { seed } = this.#file.pool.blocks;
    let i = 0;
    for (const part of bytes) {
      if (part.length === BLOCK_SIZE) sums[i++] = checksum32(part, seed);
      for (let at = 0; part.length > BLOCK_SIZE && at < part.length; at += BLOCK_SIZE) {
        sums[i++] = checksum32(part.subarray(at, at + BLOCK_SIZE), seed);
      }
    }
    return sums;
  }

  /** Gives back the promise, and the places. */
  #cancel(): void {
    this.#unreserve();
    this.#chunk.cancel();
    if (this.#part?.done === false) this.#part.abandon();
    this.#part = undefined;
  }
}

/** Bytes `from` to `to` of several buffers, taken as one. */
function cut(buffers: readonly Uint8Array[], from: number, to: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const buffer of buffers) {
    const start = Math.max(0, from - at);
    const end = Math.min(buffer.length, to - at);
    if (start < end) parts.push(buffer.subarray(start, end));
    at += buffer.length;
  }
  return parts;
}
