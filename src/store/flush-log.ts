/**
 * Flush log: makes everything done so far durable, with one flush.
 *
 *   frame    all mutations that no frame has yet, in one frame of the ring
 *   flush    of the frame, and of the data that its mutations name
 *
 * Data that was written over what was there needs no mutation: where there is nothing else, the
 * flush is all there is.
 *
 * While one flush is on its way newcomers gather for the next (group commit). Where the log cannot
 * take what there is, a commit is made instead.
 *
 * The first failure of a write or a flush makes the volume read-only: what the device has is not
 * known any more, and nobody is told that his data is safe.
 */
import { BLOCK_SIZE, type Operation, PlainIo, type Plan, PlannedOperation } from '../base/index.ts';
import type { FrameWrite } from './log.ts';
import type { Store } from './store.ts';

const Phase = { START: 0, FRAME: 1, PREPARE: 2, WRITE: 3, FLUSH: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** Blocks of the ring that are made ready at once: 1 MiB. */
const PREPARED_BLOCKS = 256;

export class FlushLog extends PlannedOperation<void> {
  readonly shared = true;
  /** True once what is done later belongs to the next flush. */
  begun = false;
  readonly #store: Store;
  readonly #previous: Operation<unknown> | undefined;
  #phase: Phase = Phase.START;
  /** Mutations that have to be durable at the end. */
  #target = 0;
  /** The same of overwrites, and how many of them the flush under way covers. */
  #overwrites = 0;
  #covered = 0;
  #io: PlainIo[] = [];
  #frame: FrameWrite | undefined;

  /** `previous`: the flush before this one, if it has not ended (J1). */
  constructor(store: Store, previous: Operation<unknown> | undefined) {
    super();
    this.#store = store;
    this.#previous = previous;
  }

  protected override prepare(plan: Plan): void {
    if (this.#previous !== undefined && !this.#previous.done) plan.follow(this.#previous);
    const { failure, log, space } = this.#store;
    if (failure !== undefined) throw failure;
    for (const io of this.#io) if (!io.finished) plan.need(io);
    if (this.#phase !== Phase.FRAME || this.#isLogged) return;
    if (log.canSeal && space.replayHasRoom()) return;
    plan.follow((log.needsClosed && this.#store.committing) || this.#store.commit());
  }

  protected override apply(): boolean {
    const { log } = this.#store;
    switch (this.#phase) {
      case Phase.START:
        this.begun = true;
        this.#target = log.operation;
        this.#overwrites = this.#store.overwrites;
        this.#phase = Phase.FRAME;
        return false;
      case Phase.FRAME:
        if (!this.#isLogged) return this.#prepareRing();
        if (this.#store.durableOverwrites < this.#overwrites) return this.#flush();
        return this.finish(undefined);
      case Phase.PREPARE:
        // A commit may have ended meanwhile, and have left nothing to be written.
        this.#io = [];
        this.#phase = Phase.FRAME;
        return false;
      case Phase.WRITE:
        return this.#flush();
      default:
        if (this.#frame !== undefined) log.written(this.#frame);
        this.#store.flushed(this.#covered);
        this.#frame = undefined;
        this.#io = [];
        this.#phase = Phase.FRAME;
        return false;
    }
  }

  override fail(error: Error): void {
    const unknown = this.#frame !== undefined || this.#phase === Phase.FLUSH;
    if (unknown && !this.done) this.#store.latch(error);
    super.fail(error);
  }

  get #isLogged(): boolean {
    return this.#store.log.durable >= this.#target;
  }

  #flush(): false {
    this.#covered = this.#store.overwrites;
    this.#io = [new PlainIo('flush')];
    this.#phase = Phase.FLUSH;
    return false;
  }

  #prepareRing(): false {
    const { log } = this.#store;
    const { block, count } = log.unprepared(PREPARED_BLOCKS);
    this.#phase = Phase.PREPARE;
    if (count > 0) {
      this.#io = [new PlainIo('prepare', block * BLOCK_SIZE, [], count * BLOCK_SIZE)];
      return false;
    }
    return this.#write();
  }

  #write(): false {
    const frame = this.#store.log.seal();
    this.#frame = frame;
    this.#io = [new PlainIo('write', frame.block * BLOCK_SIZE, [frame.bytes])];
    this.#phase = Phase.WRITE;
    return false;
  }
}
