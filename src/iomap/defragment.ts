/**
 * Defragment: blocks that lie in many short runs become dirty as they are, so that writeback gives
 * them places next to each other.
 *
 * The file is looked at in units of a chunk. Only blocks that nobody else uses are moved: to move a
 * shared one would take space, and would not move it for the others. A unit is left alone unless
 * it would have at most half as many runs, so that a second pass finds nothing to do.
 *
 * Dirty data is not looked at: it gets a new place anyway.
 */
import { BLOCK_SIZE, NO_FRAME, type Plan, PlannedOperation } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingFlag, MappingType, RequestFlag } from './mapping.ts';
import { DirtyChunk } from './write.ts';

const NOTHING = (): void => {};
const GAIN = 2;

/**
 * Moves what can be moved; its result is the number of blocks. What has been done stays done if it
 * fails, and no byte has changed then either. Others may write to the file between two units.
 */
export class Defragment extends PlannedOperation<number> {
  readonly #file: IomapFile;
  readonly #chunk = new DirtyChunk();
  readonly #iterator = new MappingIterator();
  /** Where the present unit begins, and up to where it has been dealt with. */
  #unit = 0;
  #position = 0;
  /** Whether the unit is to be moved; undefined: it has not been looked at. */
  #worth: boolean | undefined;
  #mapped = false;
  #blocks = 0;

  constructor(file: IomapFile) {
    super();
    this.#file = file;
  }

  protected override prepare(plan: Plan): void {
    const file = this.#file;
    const range = { start: this.#unit, end: this.#unitEnd, exclusive: true };
    this.#mapped = false;
    if (this.#unit >= file.size || !file.lock.acquire(this, range, plan)) return;
    if (this.#worth === undefined) {
      const worth = this.#isWorth(plan);
      if (!plan.ready) return;
      this.#worth = worth;
    }
    if (!this.#worth) return;
    const end = this.#pieceEnd(plan);
    if (plan.ready && end > this.#position) {
      this.#mapped = this.#chunk.map(file, this.#position, end, plan, true);
    }
  }

  protected override apply(): boolean {
    const file = this.#file;
    if (this.#mapped) {
      file.pool.ops.moving?.(file, this.#position);
      this.#chunk.write(NOTHING);
      this.#blocks += Math.ceil((this.#chunk.end - this.#position) / BLOCK_SIZE);
      this.#position = this.#chunk.end;
    }
    file.pool.blocks.unpin(this.plan);
    this.plan.pause = true;
    if (this.#mapped && this.#position < Math.min(this.#unitEnd, file.size)) return false;
    this.#unit = this.#unitEnd;
    this.#position = this.#unit;
    this.#worth = undefined;
    file.lock.release(this);
    return this.#unit < file.size ? false : this.finish(this.#blocks);
  }

  protected override release(): void {
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
    this.#chunk.cancel();
  }

  get #unitEnd(): number {
    return this.#unit + this.#file.pool.chunkSize;
  }

  /** Counts the runs of the unit, and compares them with those that it could have. */
  #isWorth(plan: Plan): boolean {
    const iterator = this.#begin(this.#unit);
    let blocks = 0;
    let runs = 0;
    /** Parts of the file without anything between that stays where it is. */
    let pieces = 0;
    let end = -1;
    let next = -1;
    for (let run = iterator.step(plan); run !== undefined; run = iterator.step(plan)) {
      for (let at = iterator.offset; at < iterator.end; at += BLOCK_SIZE) {
        if (!this.#isOurs(run, at)) continue;
        const address = run.address + at - run.offset;
        if (at !== end) pieces++;
        if (at !== end || address !== next) runs++;
        end = at + BLOCK_SIZE;
        next = address + BLOCK_SIZE;
        blocks++;
      }
    }
    if (!plan.ready || blocks === 0) return false;
    const room = this.#file.pool.ops.runLength?.(blocks) ?? blocks;
    return room > 0 && runs >= GAIN * Math.max(pieces, Math.ceil(blocks / room));
  }

  /** Goes on to the next block that can be moved, and tells where those behind it end. */
  #pieceEnd(plan: Plan): number {
    const { size } = this.#file;
    const iterator = this.#begin(this.#position);
    let end = -1;
    for (let run = iterator.step(plan); run !== undefined; run = iterator.step(plan)) {
      for (let at = iterator.offset; at < iterator.end; at += BLOCK_SIZE) {
        if (this.#isOurs(run, at)) {
          if (end < 0) this.#position = at;
          end = at + BLOCK_SIZE;
        } else if (end >= 0) return Math.min(end, size);
      }
    }
    return Math.min(end, size);
  }

  #begin(from: number): MappingIterator {
    const end = Math.min(this.#unitEnd, this.#file.size);
    return this.#iterator.begin(this.#file, RequestFlag.REPORT, from, end);
  }

  #isOurs({ type, flags }: Mapping, at: number): boolean {
    const shared = (flags & MappingFlag.SHARED) !== 0;
    return type === MappingType.MAPPED && !shared && this.#file.frameAt(at) === NO_FRAME;
  }
}
