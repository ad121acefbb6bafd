/**
 * Unshare: blocks become dirty as they are, so that they get a place of their own.
 *
 * Their bytes do not change: every block is a source of the whole of its destination. Nothing is
 * read that is dirty already; holes and unwritten space are never anybody else's.
 */
import {
  BLOCK_SIZE,
  FilesystemError,
  NO_FRAME,
  type Plan,
  PlannedOperation,
  roundDown,
  roundUp,
} from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingFlag, RequestFlag } from './mapping.ts';
import { blocksOf } from './range-lock.ts';
import { DirtyChunk } from './write.ts';

/** Runs that one turn looks at. */
const TURN_RUNS = 1024;
const NOTHING = (): void => {};

/**
 * Gives a range of a file blocks that nobody else uses. Chunks that are done stay done if it fails;
 * no byte has changed then either. Bytes after the end of the file are nobody's.
 */
export class Unshare extends PlannedOperation<void> {
  readonly #file: IomapFile;
  readonly #start: number;
  readonly #end: number;
  readonly #chunk = new DirtyChunk();
  readonly #iterator = new MappingIterator();
  /** Up to here nothing is shared that has no dirty data over it. */
  #position: number;
  #found = false;

  constructor(file: IomapFile, start: number, length: number) {
    super();
    this.#file = file;
    this.#start = start;
    this.#end = start + length;
    this.#position = roundDown(start, BLOCK_SIZE);
  }

  protected override prepare(plan: Plan): void {
    const file = this.#file;
    const range = blocksOf(this.#start, this.#end);
    this.#found = false;
    if (!file.lock.acquire(this, range, plan)) return;
    const end = Math.min(this.#end, file.size);
    const iterator = this.#iterator.begin(file, RequestFlag.REPORT, this.#position, end);
    for (let runs = 0; !this.#found && runs < TURN_RUNS; runs++) {
      const run = iterator.step(plan);
      if (run === undefined) break;
      this.#found = this.#look(run, iterator.end);
    }
    if (!plan.ready) return;
    if (!this.#found) {
      if (this.#position >= end) this.planEnd(plan);
      return;
    }
    const most = this.#position + file.pool.chunkSize;
    this.#chunk.map(
      file,
      this.#position,
      Math.min(most, this.#sharedEnd(iterator.end)),
      plan,
      true,
    );
  }

  protected override apply(): boolean {
    const file = this.#file;
    if (this.#found) {
      this.#chunk.write(NOTHING);
      this.#position = roundUp(this.#chunk.end, BLOCK_SIZE);
    }
    file.pool.blocks.unpin(this.plan);
    this.plan.pause = true;
    if (this.#position < Math.min(this.#end, file.size)) return false;
    this.ended();
    return this.finish(undefined);
  }

  /** What the filesystem needs for the last turn. */
  protected planEnd(_plan: Plan): void {}

  /** The last turn. */
  protected ended(): void {}

  protected override release(): void {
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
    this.#chunk.cancel();
  }

  /** Goes on to the first block of a run that is shared and not dirty. True if there is one. */
  #look({ flags }: Mapping, end: number): boolean {
    if ((flags & MappingFlag.SHARED) === 0) this.#position = Math.max(this.#position, end);
    while (this.#position < end && this.#file.frameAt(this.#position) !== NO_FRAME) {
      this.#position += BLOCK_SIZE;
    }
    return this.#position < end;
  }

  /** Where the shared blocks of a run, from the position on, end. */
  #sharedEnd(end: number): number {
    let at = this.#position + BLOCK_SIZE;
    while (at < end && this.#file.frameAt(at) === NO_FRAME) at += BLOCK_SIZE;
    return Math.min(at, end);
  }
}

/**
 * Makes a range ready for stores that nobody can refuse, as a write fault on a page does: each of
 * its blocks is dirty afterwards, with a place promised, whether it was a hole, shared or neither.
 * That lasts until the range is written back. One turn for each chunk.
 */
export class MakeWritable extends PlannedOperation<void> {
  readonly #file: IomapFile;
  readonly #start: number;
  readonly #end: number;
  readonly #chunk = new DirtyChunk();
  #position: number;

  constructor(file: IomapFile, start: number, length: number) {
    super();
    this.#file = file;
    this.#start = start;
    this.#end = start + length;
    this.#position = start;
  }

  /** @throws {FilesystemError} `EINVAL` if the range goes beyond the last block of the file */
  protected override prepare(plan: Plan): void {
    const file = this.#file;
    const range = { start: this.#start, end: this.#end, exclusive: true };
    if (!file.lock.acquire(this, range, plan)) return;
    if (this.#end > roundUp(file.size, BLOCK_SIZE)) {
      throw new FilesystemError(
        'EINVAL',
        `Cannot make bytes up to ${this.#end} writable: the file has ${file.size}`,
      );
    }
    const end = Math.min(this.#end, file.size, this.#position + file.pool.chunkSize);
    if (this.#position < end) this.#chunk.map(file, this.#position, end, plan, true);
  }

  protected override apply(): boolean {
    const end = Math.min(this.#end, this.#file.size);
    if (this.#position < end) {
      this.#chunk.write(NOTHING);
      this.#position = this.#chunk.end;
      this.#file.pool.blocks.unpin(this.plan);
    }
    return this.#position < end ? false : this.finish(undefined);
  }

  protected override release(): void {
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
    this.#chunk.cancel();
  }
}
