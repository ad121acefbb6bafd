/**
 * Map written: what a mount does with a `write` of the log. The data has its place already.
 *
 * The blocks are taken before the first mutation is replayed ({@link TakeLogged}), so that nothing
 * that is allocated meanwhile can be put over them.
 */
import {
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  FilesystemError,
  NO_FRAME,
  type Plan,
  PlannedOperation,
  roundDown,
  roundUp,
} from '../base/index.ts';
import {
  isFixedBlock,
  MAP_FANOUT,
  mutationsOf,
  type SealedLogFrame,
  slotHasBlock,
  type WriteMutation,
} from '../format/index.ts';
import { DATA_BLOCK, MapPosition } from '../tree/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';
import { InlineMove } from './inline-move.ts';
import type { Vnode } from './vnode.ts';

export class MapWritten extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #record: WriteMutation;
  readonly #vnode: Vnode;
  readonly #move: InlineMove;
  /** Run of the record, and blocks of it and of all, that are done. */
  #run = 0;
  #inRun = 0;
  #done = 0;
  /** Blocks of this turn; 0: the inline bytes are moved. */
  #count = 0;

  constructor(engine: Engine, record: WriteMutation) {
    super();
    this.#engine = engine;
    this.#record = record;
    this.#vnode = engine.vnode(record.target);
    checkFile(this.#vnode);
    this.#move = new InlineMove(engine, this.#vnode);
  }

  protected override prepare(plan: Plan): void {
    const { store, inodes, iomapOps } = this.#engine;
    const run = this.#record.runs[this.#run];
    if (run === undefined || !store.admit(plan) || !inodes.planClaim(this.#vnode, plan)) return;
    this.#count = 0;
    if (this.#move.needed && this.#first > 0) {
      this.#move.plan(plan);
      return;
    }
    this.#count = Math.min(MAP_FANOUT, run.length - this.#inRun);
    const block = (run.block + this.#inRun) as Block;
    iomapOps.planMap(this.#vnode, this.#first, block, this.#count, plan);
    inodes.planRewrite(this.#vnode, plan);
    store.settle(plan, 'normal');
  }

  protected override apply(): boolean {
    const run = this.#record.runs[this.#run];
    this.#engine.store.blocks.unpin(this.plan);
    if (run === undefined) return this.finish(undefined);
    if (this.#count === 0) {
      this.#move.apply();
      return false;
    }
    this.#map((run.block + this.#inRun) as Block);
    this.#done += this.#count;
    this.#inRun += this.#count;
    if (this.#inRun < run.length) return false;
    this.#run++;
    this.#inRun = 0;
    return false;
  }

  protected override release(): void {
    this.#engine.store.blocks.unpin(this.plan);
    this.#move.cancel();
  }

  get #first(): number {
    return this.#record.offset / BLOCK_SIZE + this.#done;
  }

  #map(block: Block): void {
    const { inodes, iomapOps } = this.#engine;
    const [vnode, record, count] = [this.#vnode, this.#record, this.#count];
    const start = this.#first * BLOCK_SIZE;
    inodes.claim(vnode);
    iomapOps.release(vnode, vnode.dropDirty(start, start + count * BLOCK_SIZE));
    iomapOps.map(
      vnode,
      this.#first,
      block,
      record.checksums.subarray(this.#done, this.#done + count),
    );
    vnode.dataSequence++;
    vnode.mappedEnd = Math.max(vnode.mappedEnd, start + count * BLOCK_SIZE);
    vnode.mtime = record.time;
    vnode.ctime = record.time;
    vnode.change++;
    inodes.touch(vnode);
    inodes.rewrite(vnode);
  }
}

/**
 * Whether the map of a file has bytes behind its end, where the log has mapped blocks. A block that
 * was written back has the bytes that its file had then, and the size that belongs to them may not
 * be in the log.
 */
export class HasBytesBehind extends PlannedOperation<boolean> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #position = new MapPosition();
  #found = false;

  constructor(engine: Engine, vnode: Vnode) {
    super();
    this.#engine = engine;
    this.#vnode = vnode;
  }

  protected override prepare(plan: Plan): void {
    const { maps, store } = this.#engine;
    const { size, mappedEnd } = this.#vnode;
    const last = roundDown(size, BLOCK_SIZE);
    this.#found = mappedEnd > roundUp(size, BLOCK_SIZE) || this.#vnode.frameAt(size) !== NO_FRAME;
    const position = this.#position;
    if (this.#found || !maps.locate(this.#vnode, last / BLOCK_SIZE, position, plan)) return;
    if (!position.hasSlot || !slotHasBlock(position.words, position.at)) return;
    const frame = store.want(position.words, position.at, DATA_BLOCK, plan);
    if (frame === NO_FRAME) return;
    this.#found = store.blocks
      .view(frame)
      .subarray(size - last)
      .some((byte) => byte !== 0);
  }

  protected override apply(): boolean {
    return this.finish(this.#found);
  }
}

/** Takes the blocks of a `write` of the log, so that nobody else gets them. */
export class TakeLogged extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #record: WriteMutation;

  /** @throws {FilesystemError} `EIO` if the record contradicts itself */
  constructor(engine: Engine, record: WriteMutation) {
    super();
    this.#engine = engine;
    this.#record = record;
    const { runs, checksums, offset } = record;
    const blocks = runs.reduce((sum, { length }) => sum + length, 0);
    if (blocks === checksums.length && offset % BLOCK_SIZE === 0) return;
    throw new FilesystemError(
      'EIO',
      `Cannot replay a write at ${offset} of ${blocks} blocks with ${checksums.length} checksums`,
    );
  }

  protected override prepare(plan: Plan): void {
    const { groups } = this.#engine.store;
    for (const block of blocksOf(this.#record)) {
      if (!groups.wantStale(block, plan) || groups.isIdle(block)) continue;
      const finding = 'a write of the log names it, and it is in use';
      throw new CorruptionError('block', block * BLOCK_SIZE, finding);
    }
  }

  protected override apply(): boolean {
    for (const block of blocksOf(this.#record)) this.#engine.store.groups.handOut(block);
    return this.finish(undefined);
  }
}

/** Blocks that a record names; one that contradicts itself, no more than it has checksums. */
function* blocksOf({ runs, checksums }: WriteMutation): Generator<Block> {
  let left = checksums.length;
  for (const { block, length } of runs) {
    for (let i = 0; i < length && left > 0; i++, left--) yield (block + i) as Block;
  }
}

/**
 * Keeps the replay from using the blocks of a frame that is left out, since a part of its data is
 * missing. The same data, written there again, would make it whole for the next mount; which then
 * would show more than this one.
 */
export class AvoidLeftOut extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #blocks: Block[] = [];

  constructor(engine: Engine, frame: SealedLogFrame | undefined) {
    super();
    this.#engine = engine;
    const { geometry } = engine.store.groups;
    for (const mutation of frame === undefined ? [] : mutationsOf(frame)) {
      if (mutation.type !== 'write') continue;
      for (const block of blocksOf(mutation)) {
        const isOutside = block >= geometry.blockCount || isFixedBlock(geometry, block);
        if (!isOutside) this.#blocks.push(block);
      }
    }
  }

  protected override prepare(plan: Plan): void {
    for (const block of this.#blocks) this.#engine.store.groups.wantBlock(block, plan);
  }

  protected override apply(): boolean {
    const { groups } = this.#engine.store;
    let taken = 0;
    for (const block of this.#blocks) {
      if (!groups.isIdle(block)) continue;
      groups.handOut(block);
      this.#blocks[taken++] = block;
    }
    this.#blocks.length = taken;
    return this.finish(undefined);
  }

  /** The replay is over: after its commit the blocks can be used. */
  giveBack(): void {
    for (const block of this.#blocks) this.#engine.store.space.free(block);
  }
}
