/**
 * Direct read: from the device straight into the caller's memory, past the cache.
 *
 * What is dirty is copied from the file's folios, what the cache holds from there; the rest is read
 * where it is to go, and verified there. The first and the last block come through the cache if
 * they are wanted in part.
 *
 * Bytes that are not what the checksum says may have been changed by others, once they were in the
 * caller's memory: such a block is read once more, through the cache, and what that says holds.
 *
 * D1. All of a chunk is looked up in one turn. From then on its blocks are held: whatever becomes
 *     of the file meanwhile, nobody is given them before the transfer has ended. So a reader sees
 *     each chunk as it was at one moment, and takes no lock.
 */
import {
  BLOCK_SIZE,
  type Block,
  checksum32,
  type Frame,
  NO_FRAME,
  PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingType, RequestFlag } from './mapping.ts';
import { DATA_BLOCK, wantMapped } from './read.ts';

/**
 * Blocks of a chunk: 4 MiB. Half of a small cache: what is in it stays while a chunk is looked up,
 * and an edge that is not takes a frame.
 */
const CHUNK_BLOCKS = 1024;

/** Blocks that are read once more at a time. */
const AGAIN_BLOCKS = 16;

/** A block whose bytes are not what they should be. */
interface Suspect {
  readonly block: Block;
  readonly at: number;
  readonly checksum: number;
}

/** Blocks that follow each other, on the device and in the caller's memory. */
interface Run {
  readonly block: Block;
  count: number;
  /** Where in the caller's memory. */
  readonly at: number;
  /** Which of the checksums is that of its first block; -1: its blocks have none. */
  readonly checksumAt: number;
}

/**
 * Reads into `target` from `position` on; its result is the bytes read, fewer at the end of file.
 * If it fails, what it has put into `target` behind the bytes it reports is nothing.
 */
export class DirectRead extends PlannedOperation<number> {
  readonly #iterator = new MappingIterator();
  #file!: IomapFile;
  #target!: Uint8Array;
  #targetAt = 0;
  #start = 0;
  #position = 0;
  #end = 0;
  #chunkEnd = 0;
  /** Nothing comes after the chunk. */
  #last = false;
  #runs: Run[] = [];
  readonly #checksums: Uint32Array = new Uint32Array(CHUNK_BLOCKS);
  #taken = 0;
  /** Transfers of the chunk; none: it is being looked up. */
  #io: PlainIo[] = [];
  /** What is left to be read once more. */
  #suspects: Suspect[] = [];

  /** Makes the operation ready to run, again. */
  begin(file: IomapFile, position: number, length: number, target: Uint8Array, at = 0): this {
    this.#file = file;
    this.#target = target;
    this.#targetAt = at;
    this.#start = position;
    this.#position = position;
    this.#end = position + length;
    this.renew();
    return this;
  }

  protected override prepare(plan: Plan): void {
    if (this.#io.length > 0) {
      for (const io of this.#io) if (!io.finished) plan.need(io);
      const { blocks } = this.#file.pool;
      for (const { block, checksum } of this.#suspects.slice(0, AGAIN_BLOCKS)) {
        blocks.want(plan, block, checksum, 0, DATA_BLOCK);
      }
      return;
    }
    this.#runs.length = 0;
    this.#taken = 0;
    const first = this.#position - (this.#position % BLOCK_SIZE);
    const { frameCount } = this.#file.pool.blocks;
    const most = first + Math.min(CHUNK_BLOCKS, frameCount >>> 1) * BLOCK_SIZE;
    this.#chunkEnd = Math.min(this.#end, this.#file.size, most);
    // Where the file ends in this turn the read does: what it gets later is of another moment.
    this.#last = this.#chunkEnd < most;
    const iterator = this.#iterator.begin(
      this.#file,
      RequestFlag.READ,
      this.#position,
      this.#chunkEnd,
    );
    for (let source = iterator.step(plan); source !== undefined; source = iterator.step(plan)) {
      for (let at = iterator.offset; at < iterator.end; ) {
        at = this.#take(source, at, iterator.end, plan);
      }
    }
  }

  protected override apply(): boolean {
    const { blocks } = this.#file.pool;
    if (this.#io.length === 0 && this.#runs.length > 0) {
      blocks.held.hold(this.#runs);
      this.#io = this.#runs.map(({ block, count, at }) => {
        const part = this.#target.subarray(at, at + count * BLOCK_SIZE);
        return new PlainIo('read', block * BLOCK_SIZE, [part]);
      });
      return false;
    }
    if (this.#suspects.length > 0) this.#readAgain();
    else this.#verify();
    if (this.#suspects.length > 0) return false;
    this.#letGo();
    if (this.plan.pinned.length > 0) blocks.unpin(this.plan);
    this.#position = Math.max(this.#position, this.#chunkEnd);
    if (!this.#last && this.#position < this.#end) return false;
    return this.finish(this.#position - this.#start);
  }

  protected override release(): void {
    this.#letGo();
    if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
  }

  /** Bytes that were read before something failed are worth reporting; the next read will fail. */
  override fail(error: Error): void {
    if (this.#position > this.#start && !this.done) this.finish(this.#position - this.#start);
    else super.fail(error);
  }

  #letGo(): void {
    this.#suspects.length = 0;
    if (this.#io.length === 0) return;
    this.#io = [];
    this.#file.pool.blocks.held.letGo(this.#runs);
  }

  /** Finds blocks that are not what their checksums say. */
  #verify(): void {
    const { seed } = this.#file.pool.blocks;
    for (const { block, count, at, checksumAt } of this.#runs) {
      if (checksumAt < 0) continue;
      for (let i = 0; i < count; i++) {
        const from = at + i * BLOCK_SIZE;
        const checksum = this.#checksums[checksumAt + i] as number;
        if (checksum32(this.#target.subarray(from, from + BLOCK_SIZE), seed) === checksum) continue;
        this.#suspects.push({ block: (block + i) as Block, at: from, checksum });
      }
    }
  }

  /** The cache has verified what it loaded. */
  #readAgain(): void {
    const { blocks } = this.#file.pool;
    for (const { block, at } of this.#suspects.splice(0, AGAIN_BLOCKS)) {
      blocks.copyOut(blocks.resident(block), 0, BLOCK_SIZE, this.#target, at);
    }
    blocks.unpin(this.plan);
  }

  /** Takes what a source has at file offset `at`. Returns where the next bytes begin. */
  #take(source: Mapping, at: number, end: number, plan: Plan): number {
    const next = at - (at % BLOCK_SIZE) + BLOCK_SIZE;
    const stop = Math.min(next, this.#chunkEnd);
    const dirty = this.#file.folioCount > 0 ? this.#file.frameAt(at) : NO_FRAME;
    if (dirty !== NO_FRAME) return this.#copy(dirty, at, stop);
    if (source.type === MappingType.MAPPED) {
      const frame = this.#frameOf(source, at, stop, plan);
      return frame === NO_FRAME ? stop : this.#copy(frame, at, stop);
    }
    const clear = this.#file.folioCount > 0 ? Math.min(end, stop) : end;
    const to = at - this.#start + this.#targetAt;
    const inline = source.type === MappingType.INLINE ? source.inline : undefined;
    const bytes = inline?.subarray(at, clear);
    if (bytes !== undefined) this.#target.set(bytes, to);
    this.#target.fill(0, to + (bytes?.length ?? 0), to + clear - at);
    return clear;
  }

  /** The frame that has a block, or will have it; NO_FRAME if it is read where it is to go. */
  #frameOf(source: Mapping, at: number, stop: number, plan: Plan): Frame {
    const index = (at - source.offset) / BLOCK_SIZE;
    const { checksums, twin } = source;
    if (twin || stop - at < BLOCK_SIZE) return wantMapped(this.#file, source, at, plan);
    const block = (source.address / BLOCK_SIZE + index) as Block;
    const frame = this.#file.pool.blocks.find(block);
    if (frame !== NO_FRAME) return frame;
    const to = at - this.#start + this.#targetAt;
    const last = this.#runs.at(-1);
    const length = (last?.count ?? 0) * BLOCK_SIZE;
    const follows =
      last !== undefined && last.block + last.count === block && last.at + length === to;
    if (follows && last.checksumAt < 0 === (checksums === undefined)) last.count++;
    else {
      const checksumAt = checksums === undefined ? -1 : this.#taken;
      this.#runs.push({ block, count: 1, at: to, checksumAt });
    }
    if (checksums === undefined) return NO_FRAME;
    const stride = index * source.checksumStride;
    this.#checksums[this.#taken++] = checksums[source.checksumAt + stride] as number;
    return NO_FRAME;
  }

  #copy(frame: Frame, at: number, stop: number): number {
    const to = at - this.#start + this.#targetAt;
    this.#file.pool.blocks.copyOut(frame, at % BLOCK_SIZE, stop - at, this.#target, to);
    return stop;
  }
}
