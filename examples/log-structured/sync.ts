/**
 * Sync: makes everything that was done before it durable.
 *
 *   drain        all dirty data is written back; who wants to change something waits (A5)
 *   close        in one turn, changed maps, inodes and tables get their places in the log
 *   write, flush
 *   checkpoint, flush
 *
 * Whatever fails before `close` has changed nothing. What fails after it leaves the image as it was
 * at the sync before, and memory ahead of it: nothing can be changed any more (D1).
 *
 * D1. A failed flush may have lost anything; to go on as if only this sync had failed would name
 *     blocks that were never written.
 */
import { BLOCK_SIZE, type Block, PlainIo, type Plan, PlannedOperation } from 'ramet/base';
import type { LogFile } from './file.ts';
import type { LogFilesystem } from './filesystem.ts';
import {
  CHECKPOINTS,
  encodeCheckpoint,
  encodeInode,
  encodeTable,
  NO_SLOT,
  SLOTS_PER_BLOCK,
  type Slot,
  slotOf,
} from './format.ts';
import { type Purpose, Use } from './space.ts';

/** Its result is the number of the newest durable checkpoint. */
export class Sync extends PlannedOperation<number> {
  readonly #fs: LogFilesystem;
  /** What is still to be done on the device: one stage after the other. */
  #stages: PlainIo[][] = [];
  #files: LogFile[] = [];
  #freed: Block[] = [];
  #generation = 0;

  constructor(fs: LogFilesystem) {
    super();
    this.#fs = fs;
  }

  /** True once everything has its place: what changes now is not in it. */
  get closed(): boolean {
    return this.#stages.length > 0;
  }

  protected override prepare(plan: Plan): void {
    const fs = this.#fs;
    if (this.closed) {
      for (const io of this.#stages[0] as PlainIo[]) if (!io.finished) plan.need(io);
      return;
    }
    fs.checkHealth();
    if (fs.syncing !== undefined && fs.syncing !== this) {
      plan.follow(fs.syncing);
      return;
    }
    fs.syncing = this;
    fs.pool.drained(plan);
  }

  protected override apply(): boolean {
    const fs = this.#fs;
    if (!this.closed) {
      if (!fs.unsynced) return this.finish(fs.generation - 1);
      this.#close();
      return false;
    }
    this.#stages.shift();
    if (this.closed) return false;
    for (const file of this.#files) file.forgetClean();
    fs.space.release(this.#freed, (block) => fs.pool.blocks.isLoading(block));
    return this.finish(this.#generation);
  }

  override fail(error: Error): void {
    if (this.closed && !this.done) this.#fs.failure ??= error;
    super.fail(error);
  }

  protected override release(): void {
    if (this.#fs.syncing === this) this.#fs.syncing = undefined;
  }

  /** Children before parents: a slot has the checksum of what it names. */
  #close(): void {
    const fs = this.#fs;
    const writes: PlainIo[] = [];
    this.#files = [...fs.dirtyFiles];
    for (const file of fs.dirtyFiles) this.#closeFile(file, writes);
    for (const table of fs.dirtyTables) {
      const bytes = encodeTable(this.#inodesOf(table));
      const purpose = { use: Use.TABLE, owner: table, index: 0 };
      fs.tables[table] = this.#append(bytes, purpose, fs.tables[table] ?? NO_SLOT, writes);
    }
    fs.dirtyFiles.clear();
    fs.dirtyTables.clear();
    this.#freed = fs.space.freed;
    fs.space.freed = [];
    this.#generation = fs.generation++;
    const checkpoint = encodeCheckpoint({
      generation: this.#generation,
      blocks: fs.space.blocks,
      segmentBlocks: fs.space.segmentBlocks,
      tables: fs.tables,
    });
    const place = (this.#generation % CHECKPOINTS) * BLOCK_SIZE;
    const last = [new PlainIo('write', place, [checkpoint])];
    this.#stages = [writes, [new PlainIo('flush')], last, [new PlainIo('flush')]];
  }

  #closeFile(file: LogFile, writes: PlainIo[]): void {
    const { id, name, size, copies, maps } = file;
    for (const [map, { dirty }] of copies) {
      if (!dirty) continue;
      const purpose = { use: Use.MAP, owner: id, index: map };
      maps[map] = this.#append(file.freeze(map), purpose, maps[map] ?? NO_SLOT, writes);
      this.#fs.dirtyMaps--;
    }
    const slots = Array.from(maps, (slot) => slot ?? NO_SLOT);
    const inode = encodeInode({ id, name, size, maps: slots });
    const purpose = { use: Use.INODE, owner: id, index: 0 };
    file.slot = this.#append(inode, purpose, file.slot, writes);
  }

  /** Puts a block into the log instead of the one at `old`. */
  #append(bytes: Uint8Array, purpose: Purpose, old: Slot, writes: PlainIo[]): Slot {
    const { space, pool } = this.#fs;
    const { block } = space.take(1);
    space.settle(block, purpose);
    // It is written without the cache, which may have what was there in another life.
    pool.blocks.forget(block);
    if (old.block !== NO_SLOT.block) space.free(old.block);
    writes.push(new PlainIo('write', block * BLOCK_SIZE, [bytes]));
    return slotOf(block, bytes);
  }

  #inodesOf(table: number): Slot[] {
    const first = table * SLOTS_PER_BLOCK;
    return Array.from(
      { length: SLOTS_PER_BLOCK },
      (_, i) => this.#fs.files[first + i]?.slot ?? NO_SLOT,
    );
  }
}
