/**
 * Buffered read: dirty data from the file's folios, everything else through the map.
 *
 * A chunk is copied in the turn in which all of it is in memory, so a reader sees each chunk as it
 * was at one moment. Readers take no lock: a block that the map named when the turn began cannot
 * be reused before the turn ends.
 */
import {
  BLOCK_SIZE,
  type Block,
  type Frame,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { LoadFlag } from '../cache/index.ts';
import type { IomapFile } from './file.ts';
import {
  type Mapping,
  MappingAnswer,
  MappingRequest,
  MappingType,
  RequestFlag,
} from './mapping.ts';

const DATA_BLOCK = { name: 'data block' };

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
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  #file!: IomapFile;
  #target!: Uint8Array;
  /** Where in `target` the bytes of the file begin, so that one buffer can take several reads. */
  #targetAt = 0;
  #start = 0;
  #position = 0;
  #end = 0;
  #chunkEnd = 0;

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
    const end = Math.min(this.#end, this.#file.size);
    this.#chunkEnd = Math.min(end, this.#position + this.#file.pool.chunkSize);
    let at = this.#position;
    while (at < this.#chunkEnd) {
      const next = this.#copyBlock(at, plan);
      if (next === 0) return;
      at = next;
    }
  }

  protected override apply(): boolean {
    this.#position = Math.max(this.#position, this.#chunkEnd);
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

  /** Copies from file offset `at`, as far as one look goes. The offset after it; 0: ask again. */
  #copyBlock(at: number, plan: Plan): number {
    const dirty = this.#file.folioCount > 0 ? this.#file.frameAt(at) : NO_FRAME;
    if (dirty !== NO_FRAME) return this.#copyFrame(dirty, at);
    const request = this.#request;
    request.offset = at;
    request.length = this.#chunkEnd - at;
    request.flag = RequestFlag.READ;
    this.#answer.clear();
    if (!this.#file.ops.begin(this.#file, request, this.#answer, plan)) return 0;
    for (let i = 0; i < this.#answer.sourceCount; i++) {
      const source = this.#answer.sources[i] as Mapping;
      const end = Math.min(source.end, this.#chunkEnd);
      while (at < end) at = this.#copySource(source, at, end, plan);
    }
    return at;
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
