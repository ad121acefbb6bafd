/**
 * Clone range: blocks of one file become blocks of another too. No data is copied.
 *
 * The rules for arguments are those of the kernel's FICLONERANGE. What the source has in memory
 * only is brought into its map first; then every slot of the source gets one reference more and
 * takes the place of what the target had there, a megabyte in each turn. Holes are cloned as holes,
 * and so is unwritten space, since it is promised once. A whole file that takes the place of a
 * whole file is one turn whatever its size: the root of its map is shared. A source that has its
 * bytes in its inode has no blocks to share: they are copied.
 *
 * The target's range is held in both locks until all is done. Each turn is a record of its own, so
 * that what a crash leaves is a first part of the range, block by block old or new.
 */
import {
  BLOCK_SIZE,
  blocksFor,
  FilesystemError,
  MAX_OFFSET,
  type Plan,
  PlannedOperation,
  roundUp,
} from '../base/index.ts';
import {
  type CloneRangeMutation,
  InodeFlag,
  MAP_FANOUT,
  SLOT_WORDS,
  SlotRole,
  slotHasBlock,
} from '../format/index.ts';
import { DirtyChunk, EVERYTHING, type UnmapRange } from '../iomap/index.ts';
import { MapPosition } from '../tree/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';
import { InlineMove } from './inline-move.ts';
import { checkMutable, checkWritable, GUARDS } from './mutate.ts';
import { checkUnpinned } from './pin.ts';
import { forEachDataRoot } from './roots.ts';
import { ATTRIBUTES_AT, type Vnode } from './vnode.ts';

const NO_BYTES = new Uint8Array(0);
/** Rounds of draining before writers are made to wait. */
const OPEN_ROUNDS = 2;

/** What a turn does. */
type Turn = 'nothing' | 'whole' | 'inline' | 'move' | 'hole' | 'share';

/** Its result is the number of bytes cloned. */
export class CloneRange extends PlannedOperation<number> {
  readonly #engine: Engine;
  readonly #record: CloneRangeMutation;
  readonly #source: Vnode;
  readonly #target: Vnode;
  readonly #chunk = new DirtyChunk();
  readonly #move: InlineMove;
  readonly #slots = new Uint32Array(MAP_FANOUT * SLOT_WORDS);
  readonly #position = new MapPosition();
  /** End of the source, as far as is known now. */
  #sourceSize = 0;
  /** Bytes to clone, as far as is known now, and how many of them are done. */
  #length = 0;
  #done = 0;
  #rounds = 0;
  #turn: Turn = 'nothing';
  /** Blocks of this turn. */
  #blocks = 0;

  /** A length of 0 means to the end of the source. */
  constructor(engine: Engine, record: CloneRangeMutation) {
    super();
    this.#engine = engine;
    this.#record = record;
    this.#source = engine.vnode(record.source);
    this.#target = engine.vnode(record.target);
    checkFile(this.#source);
    checkFile(this.#target);
    this.#move = new InlineMove(engine, this.#target);
  }

  protected override prepare(plan: Plan): void {
    const { store, pool } = this.#engine;
    // The gate that this very clone has shut does not hold it up.
    if (store.gate === this) store.gate = undefined;
    this.#turn = 'nothing';
    checkWritable(this.#target);
    const appends = this.#record.offset >= this.#target.size || this.#done > 0;
    checkMutable(this.#engine, this.#target, appends ? InodeFlag.IMMUTABLE : GUARDS);
    checkUnpinned(this.#source);
    checkUnpinned(this.#target);
    // Before the target is locked: a copy out wants the same lock.
    if (!pool.settled(plan, (file) => file === this.#source)) return;
    if (!store.admit(plan) || !this.#hold(plan)) return;
    // The source is not locked, so it is looked at in each round; what is asked of the end of both
    // files has to hold in the turn in which the end is shared.
    this.#length = this.#check();
    if (this.#done >= this.#length) return;
    if (!pool.drained(plan, (file) => file === this.#source)) {
      if (++this.#rounds > OPEN_ROUNDS && store.gate === undefined) store.gate = this;
      return;
    }
    if (!this.#engine.inodes.planClaim(this.#target, plan)) return;
    this.#planTurn(plan);
  }

  protected override apply(): boolean {
    const { blocks } = this.#engine.store;
    blocks.unpin(this.plan);
    if (this.#turn === 'whole') this.#shareWhole();
    else if (this.#turn === 'inline') this.#copyInline();
    else if (this.#turn === 'move') this.#move.apply();
    else if (this.#turn === 'hole') this.#punch();
    else if (this.#turn === 'share') this.#share();
    if (this.#done >= this.#length) return this.finish(this.#done);
    this.plan.pause = true;
    return false;
  }

  protected override release(): void {
    const { store } = this.#engine;
    if (store.gate === this) store.gate = undefined;
    this.#target.lock.release(this);
    store.blocks.unpin(this.plan);
    this.#chunk.cancel();
    this.#move.cancel();
  }

  /** Turns that are done stay done and are reported. */
  override fail(error: Error): void {
    if (this.#done > 0 && !this.done) this.finish(this.#done);
    else super.fail(error);
  }

  /** Nobody writes to the target's range, and nothing of it is in flight. */
  #hold(plan: Plan): boolean {
    const { offset, length } = this.#record;
    const end = length === 0 ? Number.POSITIVE_INFINITY : roundUp(offset + length, BLOCK_SIZE);
    // Within one file the source's end, too, must stay what it was: all of the file is held.
    const self = this.#source === this.#target;
    const range = self ? EVERYTHING : { start: offset, end, exclusive: true };
    if (!this.#target.lock.acquire(this, range, plan)) return false;
    return this.#target.cowLock.free(this, range, plan);
  }

  /** The number of bytes. @throws {FilesystemError} `EINVAL` as the kernel has it, `EFBIG` */
  #check(): number {
    const { sourceOffset, offset } = this.#record;
    // What this very operation adds to the file is not of the source.
    if (this.#source !== this.#target || this.#done === 0) this.#sourceSize = this.#source.size;
    const size = this.#sourceSize;
    const length = this.#record.length === 0 ? size - sourceOffset : this.#record.length;
    const end = sourceOffset + length;
    if (length < 0 || end > size) throw invalid(`bytes ${sourceOffset} to ${end} of ${size}`);
    if (sourceOffset % BLOCK_SIZE !== 0 || offset % BLOCK_SIZE !== 0) {
      throw invalid(
        `offsets ${sourceOffset} and ${offset} that are not multiples of ${BLOCK_SIZE}`,
      );
    }
    // A last part of a block has nothing after it in the source; nor may it have in the target.
    const partial = length % BLOCK_SIZE !== 0;
    const targetSize = this.#source === this.#target ? size : this.#target.size;
    if (partial && (end < size || offset + length < targetSize)) {
      throw invalid(`${length} bytes, a part of a block that is not the end of both files`);
    }
    const overlap = sourceOffset < offset + length && offset < end;
    if (this.#source === this.#target && overlap) throw invalid('a range onto itself');
    if (offset + length > MAX_OFFSET - BLOCK_SIZE) {
      throw new FilesystemError('EFBIG', `Cannot clone up to byte ${offset + length}`);
    }
    return length;
  }

  #planTurn(plan: Plan): void {
    const { sourceOffset, offset } = this.#record;
    const [source, target] = [this.#source, this.#target];
    const whole = sourceOffset === 0 && offset === 0 && this.#done === 0;
    if (whole && this.#length === source.size && target.size <= this.#length) {
      if (this.#planWhole(plan)) this.#turn = 'whole';
    } else if (source.inline.length > 0 && sourceOffset === 0 && this.#done === 0) {
      const end = offset + Math.min(BLOCK_SIZE, this.#length);
      if (this.#chunk.map(target, offset, end, plan)) this.#turn = 'inline';
    } else if (this.#move.needed && offset + this.#done > 0) {
      if (this.#move.plan(plan)) this.#turn = 'move';
    } else this.#planBlocks(plan);
  }

  /** A hole of any length is one turn. */
  #planBlocks(plan: Plan): void {
    const { maps, iomapOps } = this.#engine;
    const first = (this.#record.sourceOffset + this.#done) / BLOCK_SIZE;
    if (!maps.locate(this.#source, first, this.#position, plan)) return;
    if (this.#position.hasSlot) {
      if (this.#planShare(plan)) this.#turn = 'share';
      return;
    }
    this.#blocks = Math.min(this.#position.left, blocksFor(this.#length - this.#done));
    if (iomapOps.planUnmap(this.#target, this.#unmapRange(), plan)) this.#turn = 'hole';
  }

  /** The blocks of this turn in the target. */
  #unmapRange(): UnmapRange {
    const start = this.#record.offset + this.#done;
    const size = Math.max(this.#target.size, this.#record.offset + this.#doneAfter());
    return { start, end: start + this.#blocks * BLOCK_SIZE, size };
  }

  #doneAfter(): number {
    return Math.min(this.#length, this.#done + this.#blocks * BLOCK_SIZE);
  }

  #punch(): void {
    const range = this.#unmapRange();
    this.#target.revokeViews(range.start, range.end, 'replaced');
    const dropped = this.#target.dropDirty(range.start, range.end);
    this.#target.dataSequence++;
    this.#engine.iomapOps.unmap(this.#target, range, dropped);
    this.#changed(this.#doneAfter());
  }

  #planWhole(plan: Plan): boolean {
    const { cow, maps, inodes, reclaimer, store } = this.#engine;
    const [source, target] = [this.#source, this.#target];
    forEachDataRoot(source, (at, role, detail) => {
      cow.planShare(source.slots, at, role, detail, plan);
    });
    maps.planCut(target, 0, inodes.planShared, plan);
    reclaimer.planAdd(1, plan);
    inodes.planRewrite(target, plan);
    return store.settle(plan, 'normal');
  }

  #shareWhole(): void {
    const { cow, maps, inodes, reclaimer } = this.#engine;
    const [source, target] = [this.#source, this.#target];
    const slots = source.slots.slice(0, ATTRIBUTES_AT);
    forEachDataRoot(source, (at, role, detail) => cow.share(slots, at, role, detail));
    inodes.claim(target);
    this.#drop(0, Number.POSITIVE_INFINITY);
    maps.cut(target, 0, reclaimer.add);
    target.slots.set(slots);
    target.depth = source.depth;
    target.blocks = source.blocks;
    target.inline = source.inline;
    this.#changed(this.#length);
  }

  /** Plans the next blocks, as far as the source's nodes are in memory. */
  #planShare(plan: Plan): boolean {
    const { cow, maps, inodes, store } = this.#engine;
    const first = (this.#record.sourceOffset + this.#done) / BLOCK_SIZE;
    const count = Math.min(this.#engine.turnBlocks, blocksFor(this.#length - this.#done));
    const above = inodes.planShared;
    if (!maps.getSlots(this.#source, first, this.#slots, count, plan)) return false;
    for (let i = 0; i < count; i++) {
      const at = i * SLOT_WORDS;
      if (slotHasBlock(this.#slots, at)) cow.planShare(this.#slots, at, SlotRole.DATA, 0, plan);
    }
    this.#blocks = count;
    const start = (this.#record.offset + this.#done) / BLOCK_SIZE;
    maps.planSet(this.#target, { first: start, count }, above, plan);
    inodes.planRewrite(this.#target, plan);
    return store.settle(plan, 'normal');
  }

  #share(): void {
    const { cow, maps, inodes } = this.#engine;
    const target = this.#target;
    for (let i = 0; i < this.#blocks; i++) {
      const at = i * SLOT_WORDS;
      if (slotHasBlock(this.#slots, at)) cow.share(this.#slots, at, SlotRole.DATA, 0);
    }
    inodes.claim(target);
    const start = this.#record.offset + this.#done;
    this.#drop(start, start + this.#blocks * BLOCK_SIZE);
    if (start === 0) target.inline = NO_BYTES;
    const first = start / BLOCK_SIZE;
    target.blocks += maps.setSlots(target, first, this.#slots, this.#blocks);
    this.#changed(this.#doneAfter());
  }

  #copyInline(): void {
    const { inline } = this.#source;
    const { offset } = this.#record;
    this.#chunk.write((bytes, start, at, length) => {
      bytes.fill(0, start, start + length);
      bytes.set(inline.subarray(at - offset, at - offset + length), start);
    });
    if (offset === 0) this.#target.inline = NO_BYTES;
    this.#changed(Math.min(BLOCK_SIZE, this.#length));
  }

  #drop(start: number, end: number): void {
    this.#target.revokeViews(start, end, 'replaced');
    this.#engine.iomapOps.release(this.#target, this.#target.dropDirty(start, end));
    this.#target.dataSequence++;
  }

  /** Bytes up to `done` are cloned now: the inode knows it, and the journal. */
  #changed(done: number): void {
    const { inodes } = this.#engine;
    const [target, record] = [this.#target, this.#record];
    target.size = Math.max(target.size, record.offset + done);
    target.mtime = record.time;
    target.ctime = record.time;
    target.change++;
    inodes.touch(target);
    inodes.rewrite(target);
    this.#engine.records.announce(this.#source);
    this.#engine.records.announce(target);
    const from = this.#done;
    this.#done = done;
    // Where earlier turns have moved the end of the source, a last part of a block does not end it
    // any more: the record shares all of the block and cuts the file.
    const cut = this.#source.size > this.#sourceSize && done % BLOCK_SIZE !== 0 && from > 0;
    this.#engine.records.add({
      ...record,
      sourceOffset: record.sourceOffset + from,
      offset: record.offset + from,
      length: (cut ? roundUp(done, BLOCK_SIZE) : done) - from,
    });
    if (!cut) return;
    const { time } = record;
    this.#engine.records.add({ type: 'truncate', target: target.id, size: target.size, time });
  }
}

function invalid(finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot clone a range: found ${finding}`);
}
