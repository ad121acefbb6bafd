/**
 * Direct part: what a direct write has on its way to the device, until the map names it.
 *
 * It is an operation of its own, which waits for its transfers, and for nodes, and for nobody who
 * could wait for it. What fails before its last turn has changed nothing, but where it goes over
 * blocks that the map names: there the file may have any mixture of old and new bytes then. Whoever
 * reads such a range waits for the part.
 */
import {
  assert,
  BLOCK_SIZE,
  type Block,
  type PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import type { InFlight, IomapFile } from './file.ts';
import type { LockRange } from './range-lock.ts';
import type { Ioend } from './writeback.ts';

/** A part that has its places. */
export interface PlacedPart {
  readonly file: IomapFile;
  /** Its blocks; from now on the part holds them in the file's CoW lock. */
  readonly range: LockRange;
  /** Bytes that the file has afterwards, at least. */
  readonly end: number;
  /** Its runs, in order, and for each the transfer. */
  readonly ioends: readonly Ioend[];
  readonly io: readonly PlainIo[];
}

export class DirectPart extends PlannedOperation<void> implements InFlight {
  /** Its data is the caller's again if it fails: nobody else has to write it. */
  readonly failed = false;
  /** Why it has failed, if it has. */
  error: Error | undefined;
  readonly #placed: PlacedPart;
  readonly #wrote: () => void;

  /** `wrote` is called when the part is complete, before the map and the log learn of it. */
  constructor(placed: PlacedPart, wrote: () => void) {
    super();
    this.#placed = placed;
    this.#wrote = wrote;
    placed.file.pool.active.add(this);
    if (placed.ioends.some(({ inplace }) => inplace)) {
      placed.file.overwriting.set(this, placed.range);
    }
    this.#tell('place');
  }

  touches(only: ((file: IomapFile) => boolean) | undefined): boolean {
    return only === undefined || only(this.#placed.file);
  }

  /** Ends it before the device was asked for anything: its writer has given up. */
  abandon(): void {
    // Its places would be given away while the device still writes there.
    assert(!this.#placed.io.some(isInFlight), 'what is in flight is not given up');
    this.#cancel();
    this.finish(undefined);
  }

  protected override prepare(plan: Plan): void {
    const { file, ioends, io } = this.#placed;
    for (const each of io) if (!each.finished) plan.need(each);
    if (plan.ready) file.pool.ops.planCompleteAll(ioends, plan);
  }

  /** The map names the runs, and what was dirty in their range is gone. */
  protected override apply(): true {
    const { file, range, end, ioends } = this.#placed;
    const { ops, blocks } = file.pool;
    this.#wrote();
    const dropped = file.dropDirty(range.start, range.end);
    for (const ioend of ioends) {
      const block = ioend.block as number;
      for (let i = 0; i < ioend.checksums.length; i++) blocks.forget((block + i) as Block);
      ops.complete(ioend);
    }
    file.dataSequence++;
    this.#tell('complete');
    // Nothing of the file is on its way any more, as far as this part goes.
    this.#letGo();
    ops.replaced(file, end, dropped);
    return this.finish(undefined);
  }

  override fail(error: Error): void {
    if (!this.done) {
      this.error = error;
      this.#cancel();
    }
    super.fail(error);
  }

  protected override release(): void {
    const { blocks } = this.#placed.file.pool;
    this.#letGo();
    if (this.plan.pinned.length > 0) blocks.unpin(this.plan);
  }

  /** Gives back the promise, and the places. */
  #cancel(): void {
    const { file, ioends } = this.#placed;
    for (const ioend of ioends) {
      file.pool.ops.cancel(ioend, { blocks: ioend.checksums.length, folios: ioend.folios });
    }
    this.#tell('cancel');
  }

  #letGo(): void {
    const { pool, cowLock, overwriting } = this.#placed.file;
    pool.active.delete(this);
    overwriting.delete(this);
    cowLock.release(this);
  }

  #tell(event: 'place' | 'complete' | 'cancel'): void {
    const { file, ioends } = this.#placed;
    if (file.pool.trace === undefined) return;
    for (const { offset, checksums, block } of ioends) {
      const [length, address] = [checksums.length * BLOCK_SIZE, (block as number) * BLOCK_SIZE];
      file.pool.trace({ event, file: file.id, offset, length, address });
    }
  }
}

function isInFlight({ submitted, finished, error }: PlainIo): boolean {
  return submitted && !finished && error === undefined;
}
