/**
 * Dedupe: ranges of two files that hold the same bytes share their blocks afterwards.
 *
 * Bytes are compared and blocks shared in one turn, so nothing can change in between. Slots that
 * name the same block are equal without a look; a hole, and unwritten space, equals zeros. What was
 * shared before the first difference stays shared. Neither size nor times change: nobody can see it
 * but by the space that is free. The rules for arguments are those of FIDEDUPERANGE.
 */
import {
  BLOCK_SIZE,
  blocksFor,
  equalBytes,
  FilesystemError,
  type Frame,
  NO_FRAME,
  type Plan,
  PlannedOperation,
  roundUp,
} from '../base/index.ts';
import {
  type CloneRangeMutation,
  InodeFlag,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
} from '../format/index.ts';
import { DATA_BLOCK } from '../tree/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';

import { checkMutable, checkWritable } from './mutate.ts';
import { checkUnpinned } from './pin.ts';

import type { Vnode } from './vnode.ts';

/** True if two blocks hold the same. Called within a turn; the views are valid until it returns. */
export type Comparer = (left: Uint8Array, right: Uint8Array) => boolean;

export interface DedupeResult {
  /** Bytes from the beginning of the ranges that are equal and share their blocks now. */
  readonly bytes: number;
  /** The ranges differ after these. */
  readonly differs: boolean;
}

/** Blocks of one turn: of each both versions may have to be in memory. */
const TURN_BLOCKS = 64;

/** Rounds of draining before writers are made to wait. */
const OPEN_ROUNDS = 2;

const ZEROS = new Uint8Array(BLOCK_SIZE);

export class Dedupe extends PlannedOperation<DedupeResult> {
  readonly #engine: Engine;
  readonly #record: CloneRangeMutation;
  readonly #source: Vnode;
  readonly #target: Vnode;
  readonly #compare: Comparer;
  readonly #slots = new Uint32Array(TURN_BLOCKS * SLOT_WORDS);
  readonly #targets = new Uint32Array(TURN_BLOCKS * SLOT_WORDS);
  #done = 0;
  #rounds = 0;
  /** Blocks that this turn shares. */
  #blocks = 0;
  #differs = false;

  constructor(engine: Engine, record: CloneRangeMutation, compare: Comparer = equalBytes) {
    super();
    this.#engine = engine;
    this.#record = record;
    this.#compare = compare;
    this.#source = engine.vnode(record.source);
    this.#target = engine.vnode(record.target);
    checkFile(this.#source);
    checkFile(this.#target);
  }

  protected override prepare(plan: Plan): void {
    const { store, pool, inodes, maps } = this.#engine;
    const { offset, length } = this.#record;
    const [source, target] = [this.#source, this.#target];
    this.#blocks = 0;
    // The gate that this very operation has shut does not hold it up.
    if (store.gate === this) store.gate = undefined;
    checkWritable(target);
    checkMutable(this.#engine, target, InodeFlag.IMMUTABLE);
    checkUnpinned(source);
    checkUnpinned(target);
    // Before the target is locked: a copy out wants the same lock.
    if (!pool.settled(plan, (file) => file === source || file === target)) return;
    if (!store.admit(plan)) return;
    const range = { start: offset, end: roundUp(offset + length, BLOCK_SIZE), exclusive: true };
    if (!target.lock.acquire(this, range, plan) || !target.cowLock.free(this, range, plan)) return;
    this.#check();
    if (!pool.drained(plan, (file) => file === source || file === target)) {
      if (++this.#rounds > OPEN_ROUNDS && store.gate === undefined) store.gate = this;
      return;
    }
    // Only now: what has outgrown an inode leaves it when it is written back.
    if (source.inline.length + target.inline.length > 0) {
      throw new FilesystemError('ENOTSUP', 'Cannot dedupe: a file has its bytes in its inode');
    }
    if (this.#done >= length || !inodes.planClaim(target, plan)) return;
    const above = inodes.planShared;
    const most = Math.min(TURN_BLOCKS, this.#engine.turnBlocks);
    const count = Math.min(most, blocksFor(length - this.#done));
    const from = (this.#record.sourceOffset + this.#done) / BLOCK_SIZE;
    const to = (offset + this.#done) / BLOCK_SIZE;
    if (!maps.getSlots(source, from, this.#slots, count, plan)) return;
    if (!maps.getSlots(target, to, this.#targets, count, plan)) return;
    const same = this.#countEqual(count, plan);
    if (!plan.ready) return;
    this.#differs = same < count;
    if (same > 0 && this.#planShare(same, above, plan)) this.#blocks = same;
  }

  protected override apply(): boolean {
    const { store, cow, maps, inodes } = this.#engine;
    const target = this.#target;
    store.blocks.unpin(this.plan);
    if (this.#blocks > 0) {
      for (let i = 0; i < this.#blocks; i++) {
        const at = i * SLOT_WORDS;
        if (slotHasBlock(this.#slots, at)) cow.share(this.#slots, at, SlotRole.DATA, 0);
      }
      inodes.claim(target);
      const first = (this.#record.offset + this.#done) / BLOCK_SIZE;
      target.blocks += maps.setSlots(target, first, this.#slots, this.#blocks);
      inodes.touch(target);
      inodes.rewrite(target);
      this.#advance();
    }
    const ended = this.#differs || this.#done >= this.#record.length;
    if (ended) return this.finish({ bytes: this.#done, differs: this.#differs });
    this.plan.pause = true;
    return false;
  }

  protected override release(): void {
    const { store } = this.#engine;
    if (store.gate === this) store.gate = undefined;
    this.#target.lock.release(this);
    store.blocks.unpin(this.plan);
  }

  /** @throws {FilesystemError} `EINVAL` as the kernel has it, `ENOTSUP` for bytes in an inode */
  #check(): void {
    const { sourceOffset, offset, length } = this.#record;
    const [source, target] = [this.#source, this.#target];
    const [sourceEnd, end] = [sourceOffset + length, offset + length];
    if (sourceEnd > source.size || end > target.size) {
      throw invalid(`${length} bytes, which is more than both files have there`);
    }
    if (sourceOffset % BLOCK_SIZE !== 0 || offset % BLOCK_SIZE !== 0) {
      throw invalid(
        `offsets ${sourceOffset} and ${offset} that are not multiples of ${BLOCK_SIZE}`,
      );
    }
    const partial = length % BLOCK_SIZE !== 0;
    if (partial && (sourceEnd < source.size || end < target.size)) {
      throw invalid(`${length} bytes, a part of a block that is not the end of both files`);
    }
    const overlap = sourceOffset < end && offset < sourceEnd;
    if (source === target && overlap) throw invalid('a range with itself');
  }

  /** Blocks from the first on that are equal, once all that has to be looked at is in memory. */
  #countEqual(count: number, plan: Plan): number {
    const { blocks } = this.#engine.store;
    let equalBlocks = 0;
    for (let i = 0; i < count; i++) {
      const at = i * SLOT_WORDS;
      const left = this.#want(this.#slots, at, plan);
      const right = this.#want(this.#targets, at, plan);
      if (!plan.ready || equalBlocks < i) continue;
      if (left === right || this.#compare(viewOf(left), viewOf(right))) equalBlocks++;
    }
    return equalBlocks;

    function viewOf(frame: Frame): Uint8Array {
      return frame === NO_FRAME ? ZEROS : blocks.view(frame);
    }
  }

  /** The frame of a slot's block; NO_FRAME for a hole, and while it has to be loaded. */
  #want(words: Uint32Array, at: number, plan: Plan): Frame {
    const { store } = this.#engine;
    if (!slotHasBlock(words, at)) return NO_FRAME;
    const same =
      slotHasBlock(this.#slots, at) &&
      slotHasBlock(this.#targets, at) &&
      slotBlock(this.#slots, at) === slotBlock(this.#targets, at);
    return same ? NO_FRAME : store.want(words, at, DATA_BLOCK, plan);
  }

  #planShare(count: number, above: boolean, plan: Plan): boolean {
    const { cow, maps, inodes, store } = this.#engine;
    for (let i = 0; i < count; i++) {
      const at = i * SLOT_WORDS;
      if (slotHasBlock(this.#slots, at)) cow.planShare(this.#slots, at, SlotRole.DATA, 0, plan);
    }
    const first = (this.#record.offset + this.#done) / BLOCK_SIZE;
    maps.planSet(this.#target, { first, count }, above, plan);
    inodes.planRewrite(this.#target, plan);
    return store.settle(plan, 'normal');
  }

  /** Tells the journal what was shared. */
  #advance(): void {
    const { sourceOffset, offset, length } = this.#record;
    const from = this.#done;
    this.#done = Math.min(length, from + this.#blocks * BLOCK_SIZE);
    this.#engine.records.announce(this.#source);
    this.#engine.records.announce(this.#target);
    const part = { sourceOffset: sourceOffset + from, offset: offset + from };
    this.#engine.records.add({ ...this.#record, ...part, length: this.#done - from });
  }
}

function invalid(finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot dedupe a range: found ${finding}`);
}
