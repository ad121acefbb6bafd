/**
 * Commit: everything done so far becomes durable, as one.
 *
 *   drain       dirty file data is written back; after two rounds new mutations wait
 *   close       in one turn: trees sealed, counts and index copied, the next txg opened
 *   write       nodes, counts and index, all to places that no durable root uses
 *   flush       the first of two
 *   superblock  to the next place of the ring, at both ends of the image
 *   flush       the second; now the old root is history
 *
 * X1. The superblock is written only after the first flush has succeeded.
 * X2. What txg N freed is handed out again only after N + 1 is durable.
 * X3. The first failure of a write or a flush stops all changes: the volume is read-only from
 *     then on, and what the device has is the last root whose second flush succeeded.
 *
 * A power cut before the second flush leaves the old state or the new one, never a mixture: the
 * superblock is one block with a checksum of its own, and names everything else by checksum.
 */
import {
  BLOCK_SIZE,
  type Block,
  checksum64,
  type Frame,
  type Operation,
  PlainIo,
  type Plan,
  PlannedOperation,
  type Txg,
} from '../base/index.ts';
import {
  encodeSuperblock,
  indexLength,
  indexPlace,
  superblockPlace,
  timeFromMs,
} from '../format/index.ts';
import type { Store } from './store.ts';

const Phase = { DRAIN: 0, WRITE: 1, FLUSH: 2, SUPERBLOCK: 3, LAST_FLUSH: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** Rounds of draining before mutations are made to wait. */
const OPEN_ROUNDS = 2;
/** Writes that go to the device in the turn that closes; if there are more, they have their own. */
const TURN_WRITES = 256;

/** Makes a commit; its result is the number of the txg that is durable. */
export class Commit extends PlannedOperation<Txg> {
  readonly shared = true;
  /** True once later changes belong to the next txg. */
  closed = false;
  readonly #store: Store;
  readonly #previous: Operation<unknown> | undefined;
  #phase: Phase = Phase.DRAIN;
  #rounds = 0;
  #io: PlainIo[] = [];
  #frames: Frame[] = [];
  #freed: Block[] = [];
  #superblock: Uint8Array = new Uint8Array(0);
  /** Of the volume, as the superblock has it. */
  #blockCount = 0;
  /** Data that the first flush covers. */
  #overwrites = 0;
  #txg = 0 as Txg;

  /** `previous` is a commit that has closed and not ended: this one comes after it. */
  constructor(store: Store, previous: Operation<unknown> | undefined) {
    super();
    this.#store = store;
    this.#previous = previous;
  }

  protected override prepare(plan: Plan): void {
    if (this.#phase !== Phase.DRAIN) {
      // Where somebody else's flush has failed, one that succeeds later says nothing.
      if (this.#store.failure !== undefined) throw this.#store.failure;
      for (const io of this.#io) if (!io.finished) plan.need(io);
      return;
    }
    if (this.#previous !== undefined && !this.#previous.done) plan.follow(this.#previous);
    if (!plan.ready) return;
    const store = this.#store;
    if (store.failure !== undefined) throw store.failure;
    // What a replay has left in memory of a read-only volume stays there.
    if (store.readOnly) return;
    if (++this.#rounds > OPEN_ROUNDS && store.gate === undefined) store.gate = this;
    store.client.drained(plan);
  }

  protected override apply(): boolean {
    switch (this.#phase) {
      case Phase.DRAIN:
        if (!this.#hasChanges()) {
          this.#store.log.forget();
          return this.finish(this.#store.state.txg);
        }
        this.#close();
        return false;
      case Phase.WRITE:
        return this.#flush(Phase.FLUSH);
      case Phase.SUPERBLOCK:
        return this.#flush(Phase.LAST_FLUSH);
      case Phase.FLUSH:
        this.#writeSuperblock();
        return false;
      default:
        this.#release();
        return this.finish(this.#txg);
    }
  }

  override fail(error: Error): void {
    if (this.closed && !this.done) this.#store.latch(error);
    super.fail(error);
  }

  protected override release(): void {
    if (this.#store.gate === this) this.#store.gate = undefined;
  }

  #flush(phase: Phase): false {
    this.#io = [new PlainIo('flush')];
    this.#phase = phase;
    return false;
  }

  #hasChanges(): boolean {
    const { readOnly, dirty, groups, space, log, ring, renewing } = this.#store;
    if (readOnly) return false;
    const { hasOverwrites } = this.#store;
    const unfinished = log.moved || ring.isTurning || renewing || hasOverwrites;
    return dirty.count > 0 || groups.hasChanges || space.pending > 0 || unfinished;
  }

  #close(): void {
    const store = this.#store;
    store.client.seal();
    this.#txg = store.txg;
    this.#frames = store.dirty.close();
    this.#freed = store.space.close();
    this.#overwrites = store.overwrites;
    store.groups.unshared.close(this.#txg);
    this.#io = this.#frames.map((frame) => nodeWrite(store, frame));
    const counts = store.groups.close(this.#txg);
    for (const { position, bytes } of counts)
      this.#io.push(new PlainIo('write', position, [bytes]));
    this.#closeIndex(counts.map(({ group }) => group));
    const { state } = store;
    const log = store.log.close(this.#txg, (this.#txg + 1) as Txg);
    state.logTail = log.head;
    state.logSequence = log.sequence;
    this.#superblock = encodeSuperblock({ ...store.superblock, state });
    this.#blockCount = store.superblock.geometry.blockCount;
    store.txg = (store.txg + 1) as Txg;
    this.#phase = Phase.WRITE;
    this.plan.pause = this.#io.length > TURN_WRITES;
    this.closed = true;
    store.renewing = false;
    if (store.gate === this) store.gate = undefined;
  }

  /** The index goes to the place that the newest root does not use, twice: what is not there. */
  #closeIndex(changed: readonly number[]): void {
    const { state, groups, superblock, blocks, ring } = this.#store;
    const { buffer, byteOffset, byteLength } = groups.index;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    state.indexPlace = state.indexPlace === 0 ? 1 : 0;
    state.indexChecksum = checksum64(bytes, blocks.seed);
    const length = indexLength(superblock.geometry);
    for (const { first, end } of ring.indexRuns(state.indexPlace, changed, length)) {
      const run = bytes.slice(first * BLOCK_SIZE, end * BLOCK_SIZE);
      for (const copy of [0, 1] as const) {
        const place = indexPlace(superblock.geometry, state.indexPlace, copy) + first;
        this.#io.push(new PlainIo('write', place * BLOCK_SIZE, [run]));
      }
    }
    state.txg = this.#txg;
    state.committed = timeFromMs(this.#store.now());
    state.freeBlocks = groups.free;
    state.reservedBlocks = this.#store.space.unwritten;
  }

  #writeSuperblock(): void {
    const slot = this.#store.ring.next();
    this.#io = ([0, 1] as const).map((copy) => {
      const place = superblockPlace(this.#blockCount, slot, copy);
      return new PlainIo('write', place * BLOCK_SIZE, [this.#superblock]);
    });
    this.#phase = Phase.SUPERBLOCK;
  }

  /** The device has it all: frozen frames are clean, blocks of a root that is gone are idle. */
  #release(): void {
    const { blocks, space, groups, log } = this.#store;
    log.committed(this.#txg);
    groups.unshared.committed(this.#txg);
    this.#store.durableTxg = this.#txg;
    this.#store.flushed(this.#overwrites);
    for (const frame of this.#frames) if (blocks.isDirty(frame)) blocks.clean(frame);
    space.committed(this.#freed);
    this.#store.written(this.#blockCount);
    groups.trim();
  }
}

/** A node is written once, or twice in a row if it has a twin. */
function nodeWrite(store: Store, frame: Frame): PlainIo {
  const view = store.blocks.view(frame);
  const block = store.blocks.blockOf(frame);
  const buffers = store.hasTwin(frame) ? [view, view] : [view];
  return new PlainIo('write', block * BLOCK_SIZE, buffers);
}
