/**
 * Clean: empties one segment, so that the log can be appended to it again.
 *
 * Whatever lives in it is made dirty and goes to the end of the log with the next sync. Data takes
 * iomap's way: the block is the source, the destination is promised space, and no byte of it is
 * changed. While that goes on nothing new is put into the segment (S3); it is idle when the sync is
 * durable (S2).
 */
import { BLOCK_SIZE, type Block, NO_FRAME, type Plan, PlannedOperation } from 'ramet/base';
import { DirtyChunk } from 'ramet/iomap';
import type { LogFile } from './file.ts';
import { KEPT_BLOCKS, type LogFilesystem } from './filesystem.ts';
import { type Purpose, Use } from './space.ts';
import { Sync } from './sync.ts';

/** What moving one block costs at the most: itself or a map, an inode, a table. */
const MOVE_COST = 3;
const RUN_MAX = 16;
/** Of a segment: with more in it, emptying makes as much garbage elsewhere as it takes away. */
const USED_MAX = 3 / 4;
const NOTHING = (): void => {};

/** Its result is whether there was a segment to be emptied, and it is empty now. */
export class Clean extends PlannedOperation<boolean> {
  readonly #fs: LogFilesystem;
  readonly #chunk = new DirtyChunk();
  /** Before it, so that what is held counts as idle; after it, so that what was moved is. */
  readonly #first: Sync;
  readonly #last: Sync;
  #segment = -1;
  /** Blocks of the segment that are still to be looked at. */
  #blocks: Block[] = [];
  /** What the next turn does. */
  #move: (() => void) | undefined;

  constructor(fs: LogFilesystem) {
    super();
    this.#fs = fs;
    this.#first = new Sync(fs);
    this.#last = new Sync(fs);
  }

  protected override prepare(plan: Plan): void {
    const fs = this.#fs;
    this.#move = undefined;
    if (fs.cleaning !== undefined && fs.cleaning !== this) plan.follow(fs.cleaning);
    else if (!this.#first.done) plan.follow(this.#first);
    else if (this.#segment < 0) this.#choose();
    if (!plan.ready) return;
    fs.cleaning = this;
    while (this.#blocks.length > 0 && this.#move === undefined && plan.ready) {
      this.#planMove(this.#blocks[0] as Block, plan);
    }
    if (this.#blocks.length === 0 && this.#segment >= 0 && !this.#last.done) {
      plan.follow(this.#last);
    }
  }

  protected override apply(): boolean {
    if (this.#segment < 0) return this.finish(false);
    if (this.#move === undefined) {
      return this.finish(this.#fs.space.usedIn(this.#segment) === 0);
    }
    this.#move();
    this.#fs.pool.blocks.unpin(this.plan);
    this.plan.pause = true;
    return false;
  }

  protected override release(): void {
    this.#chunk.cancel();
    this.#fs.space.reopen(this.#segment);
    this.#fs.pool.blocks.unpin(this.plan);
    if (this.#fs.cleaning === this) this.#fs.cleaning = undefined;
  }

  /** The segment with the least in it, for which there is room elsewhere. */
  #choose(): void {
    const { space, available } = this.#fs;
    let least = Math.ceil(space.segmentBlocks * USED_MAX);
    // The first segment is never empty: it has the checkpoints.
    for (let segment = 1; segment < space.segments; segment++) {
      const used = space.usedIn(segment);
      const left = available - space.idleIn(segment) - KEPT_BLOCKS;
      if (used === 0 || segment === space.current || used >= least || left < MOVE_COST * used)
        continue;
      least = used;
      this.#segment = segment;
    }
    if (this.#segment < 0) return;
    space.close(this.#segment);
    this.#blocks = [...space.blocksOf(this.#segment)];
  }

  /** Makes ready to move what is in a block, or passes over it. */
  #planMove(block: Block, plan: Plan): void {
    const fs = this.#fs;
    const purpose = fs.space.purposeOf(block);
    const { use, owner, index } = purpose;
    const file = fs.files[owner] as LogFile;
    if (use === Use.DATA) {
      this.#planData(file, purpose, plan);
      return;
    }
    if (use === Use.MAP || use === Use.INODE || use === Use.TABLE) {
      if (!fs.room(KEPT_BLOCKS + MOVE_COST, plan)) return;
      if (use === Use.MAP && file.entries(index, plan) === undefined) return;
      this.#move = () => {
        if (use === Use.MAP) fs.changeMap(file, index);
        if (use === Use.TABLE) fs.dirtyTables.add(owner);
        else fs.touch(file);
        this.#blocks.shift();
      };
      return;
    }
    this.#blocks.shift();
  }

  /** A run of data that is together in the file and in the segment. */
  #planData(file: LogFile, { owner, index }: Purpose, plan: Plan): void {
    const { space } = this.#fs;
    const start = index * BLOCK_SIZE;
    // It is dirty or on its way already: the sync moves it.
    if (file.frameAt(start) !== NO_FRAME) {
      this.#blocks.shift();
      return;
    }
    let count = 1;
    while (count < RUN_MAX && count < this.#blocks.length) {
      const next = space.purposeOf(this.#blocks[count] as Block);
      if (next.use !== Use.DATA || next.owner !== owner || next.index !== index + count) break;
      count++;
    }
    const end = Math.min(file.size, start + count * BLOCK_SIZE);
    if (!this.#chunk.map(file, start, end, plan, true)) return;
    this.#move = () => {
      this.#chunk.write(NOTHING);
      this.#blocks.splice(0, Math.ceil((this.#chunk.end - start) / BLOCK_SIZE));
    };
  }
}
