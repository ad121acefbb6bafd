/**
 * Copy out: what is stored in a staged view is written to its file, and the view brought up to
 * date.
 *
 *   write    each run of stored bytes, as any write, in one turn
 *   promise  space for the whole view again; without it, it is revoked (Z2)
 *   follow   what the file has now is in the view, but for what was stored meanwhile
 *
 * A view that was revoked ends here. The range is locked from the first turn to the last.
 */
import { errorCode, type Plan, PlannedOperation } from '../base/index.ts';
import { blocksOf } from './range-lock.ts';
import { BufferedRead } from './read.ts';
import type { StagedView } from './staged-view.ts';
import { DirtyChunk } from './write.ts';

/**
 * Its result is what has kept it from writing, if the volume is full: everything is in the view
 * still, and whoever did not ask for durability goes on without it.
 */
export class CopyOut extends PlannedOperation<Error | undefined> {
  readonly shared = true;
  readonly view: StagedView;
  /** True once it may have passed over what is stored in the view now. */
  begun = false;
  #copied = false;
  readonly #chunk = new DirtyChunk();
  readonly #read = new BufferedRead();
  #data: Uint8Array | undefined;
  /** Bytes of the view up to which nothing is to be written, and the run of this turn. */
  #position = 0;
  #run: { readonly from: number; readonly to: number } | undefined;
  #full: Error | undefined;
  /** Whether others may have written to the file before the range was locked. */
  #isBehind: boolean | undefined;

  constructor(view: StagedView) {
    super();
    this.view = view;
  }

  protected override prepare(plan: Plan): void {
    const { file, offset, end } = this.view;
    if (!file.lock.acquire(this, blocksOf(offset, end), plan)) return;
    this.begun = true;
    // What it writes itself changes the file too, and is in the view.
    this.#isBehind ??= this.view.isBehind;
    this.#run = this.#nextRun();
    if (this.#run === undefined && this.#full === undefined) {
      this.#promiseAgain(plan);
      if (this.view.revoked !== undefined) this.#run = this.#nextRun();
    }
    if (this.#run !== undefined) this.#planWrite(this.#run, plan);
    else if (this.#full === undefined && this.view.revoked === undefined) this.#planRead(plan);
  }

  /** What others have written since the view was brought up to date. */
  #planRead(plan: Plan): void {
    const { file, offset } = this.view;
    if (!plan.ready || !this.#isBehind) return;
    if (this.#data === undefined) {
      this.#data = new Uint8Array(this.view.length);
      this.#read.begin(file, offset, this.#data.length, this.#data);
    }
    if (!this.#read.done) plan.follow(this.#read);
  }

  protected override apply(): boolean {
    const view = this.view;
    if (this.#full === undefined && this.#run !== undefined) {
      this.#write(this.#run);
      return false;
    }
    if (this.#full === undefined && this.#data !== undefined) {
      view.follow(this.#data.subarray(0, this.#read.result));
    } else if (this.#full === undefined && view.revoked === undefined) {
      view.upToDate();
    } else if (this.#full === undefined) {
      view.drop();
    }
    view.failure = this.#full;
    this.#copied = true;
    return this.finish(this.#full);
  }

  /** True if it has ended with an error: what was stored is in the view still. */
  get failed(): boolean {
    return this.done && !this.#copied;
  }

  protected override release(): void {
    const { file } = this.view;
    this.begun = true;
    file.lock.release(this);
    this.#chunk.cancel();
    file.pool.blocks.unpin(this.plan);
  }

  /** The next stored bytes that are part of the file. */
  #nextRun(): { from: number; to: number } | undefined {
    const view = this.view;
    if (this.#data !== undefined || this.#full !== undefined) return undefined;
    const last = Math.min(view.length, view.file.size - view.offset);
    let from = view.nextChange(this.#position);
    // Nobody stores to a view that is revoked: what came behind the position is the last.
    if (from >= last && view.revoked !== undefined) from = view.nextChange(0);
    if (from >= last) return undefined;
    return { from, to: view.endOfChange(from, Math.min(last, from + view.file.pool.chunkSize)) };
  }

  #planWrite({ from, to }: { from: number; to: number }, plan: Plan): void {
    const { file, offset, promise } = this.view;
    promise.giveBack();
    try {
      this.#chunk.map(file, offset + from, offset + to, plan);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      this.#full = error as Error;
    }
  }

  #write({ from }: { from: number }): void {
    const view = this.view;
    const to = this.#chunk.end - view.offset;
    const part = view.take(from, to);
    this.#chunk.write((bytes, start, at, length) => {
      const skip = at - view.offset - from;
      bytes.set(part.subarray(skip, skip + length), start);
    });
    view.keeper.wrote(view.offset + from, part);
    this.#position = to;
    view.file.pool.blocks.unpin(this.plan);
  }

  #promiseAgain(plan: Plan): void {
    if (this.view.revoked !== undefined) return;
    try {
      this.view.promise.take(plan);
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC') throw error;
      this.view.revoke('no space');
    }
  }
}
