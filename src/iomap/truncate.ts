/**
 * Truncate: a new size, in one turn.
 *
 * Making a file longer leaves a hole. Making it shorter inside a block clears the rest of that
 * block through a destination and its source, as any write does: bytes after the end of a file
 * read as zeros when it grows again. Then the dirty data after the end is dropped and the
 * filesystem cuts the map.
 */
import { BLOCK_SIZE, NO_FRAME, type Plan, PlannedOperation, roundUp } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { MappingAnswer, MappingRequest, MappingType, RequestFlag } from './mapping.ts';
import { DirtyChunk } from './write.ts';

export class Truncate extends PlannedOperation<void> {
  readonly #file: IomapFile;
  readonly #size: number;
  readonly #chunk = new DirtyChunk();
  readonly #done: () => void;
  #zeroTail = false;

  /** `done` runs in the turn in which the size changes. */
  constructor(file: IomapFile, size: number, done: () => void = () => {}) {
    super();
    this.#file = file;
    this.#size = size;
    this.#done = done;
  }

  protected override prepare(plan: Plan): void {
    const file = this.#file;
    // Not from the end of the file, should that come first: it may move while others are waited
    // for, and what lies before the new size stays as it is.
    const start = this.#size - (this.#size % BLOCK_SIZE);
    const range = { start, end: Infinity, exclusive: true };
    if (!file.lock.acquire(this, range, plan)) return;
    if (!file.cowLock.free(this, range, plan)) return;
    if (!file.ops.planResize(file, this.#size, plan)) return;
    this.#zeroTail = false;
    const tailEnd = Math.min(file.size, roundUp(this.#size, BLOCK_SIZE));
    if (this.#size >= tailEnd || !this.#tailHasBytes(plan) || !plan.ready) return;
    this.#zeroTail = this.#chunk.map(file, this.#size, tailEnd, plan);
  }

  protected override apply(): boolean {
    const file = this.#file;
    if (this.#zeroTail) {
      this.#chunk.write((bytes, start, _at, length) => bytes.fill(0, start, start + length));
    }
    const dropped = file.dropDirty(roundUp(this.#size, BLOCK_SIZE));
    file.ops.resize(file, this.#size, dropped);
    this.#done();
    return this.finish(undefined);
  }

  protected override release(): void {
    this.#chunk.cancel();
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
  }

  /** True if the block that the new size cuts holds anything but zeros, for all the map knows. */
  #tailHasBytes(plan: Plan): boolean {
    const file = this.#file;
    if (file.frameAt(this.#size) !== NO_FRAME) return true;
    const request = new MappingRequest();
    request.offset = this.#size;
    request.length = 1;
    request.flag = RequestFlag.READ;
    const answer = new MappingAnswer();
    if (!file.ops.begin(file, request, answer, plan)) return false;
    return answer.sourceAt(this.#size).type === MappingType.MAPPED;
  }
}
