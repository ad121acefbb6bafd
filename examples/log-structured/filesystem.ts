/**
 * A log-structured filesystem over `ramet/iomap`: nothing is written in place but checkpoints.
 *
 * This file answers iomap's questions and counts what is promised; sync.ts makes it durable,
 * mount.ts finds it again, clean.ts empties segments. The device is the driver's.
 *
 * A1. What is promised can be written: idle blocks are never fewer than `promised` and `owed`
 *     together. `place` and a sync may not fail for want of space, so they do not.
 * A2. `promised` is two for each dirty block, one for itself and one for a map block, until it has
 *     its place; one for each placed block until the map knows it.
 * A3. `owed` is what the next sync writes besides: changed map blocks, inodes and tables.
 * A4. The last blocks are kept for giving back: a full image can always be emptied.
 * A5. What changes while a sync waits for dirty data waits for the sync; after it has closed, what
 *     changes belongs to the next.
 */
import { BLOCK_SIZE, type Block, blocksFor, FilesystemError, type Plan } from 'ramet/base';
import { BlockCache } from 'ramet/cache';
import {
  BufferPool,
  Edge,
  type Ioend,
  type IomapFile,
  type MappingAnswer,
  MappingFlag,
  type MappingOps,
  type MappingRequest,
  MappingType,
  type Placement,
  RequestFlag,
  type UnmapRange,
  type WritebackOps,
  type WriteOutcome,
} from 'ramet/iomap';
import type { Clean } from './clean.ts';
import { LogFile, MAP_SPAN, mapsIn } from './file.ts';
import { NO_SLOT, SEED, SLOTS_PER_BLOCK, type Slot } from './format.ts';
import { Space, Use } from './space.ts';
import { Sync } from './sync.ts';

/** A4: what a punch owes at the most, two map blocks, an inode and a table, twice. */
export const KEPT_BLOCKS = 8;
const UNMAP_COST = 4;

export interface LogOptions {
  /** Bytes of memory for what is cached and what is dirty. Default 8 MiB. */
  readonly cacheBytes?: number;
  /** What files are given instead of the filesystem's own ops: `validated`, or a trace. */
  readonly wrap?: (ops: MappingOps) => MappingOps;
}

export interface Geometry {
  readonly blocks: number;
  readonly segmentBlocks: number;
}

export class LogFilesystem implements MappingOps, WritebackOps {
  readonly pool: BufferPool;
  readonly space: Space;
  readonly names: Map<string, LogFile> = new Map();
  /** By number; numbers of removed files are used again. */
  readonly files: (LogFile | undefined)[] = [];
  readonly tables: Slot[] = [];
  /** Number of the checkpoint that the next sync writes. */
  generation = 1;
  promised = 0;
  /** What the next sync writes (A3). */
  readonly dirtyFiles: Set<LogFile> = new Set();
  readonly dirtyTables: Set<number> = new Set();
  dirtyMaps = 0;
  /** The sync that is under way. */
  syncing: Sync | undefined;
  cleaning: Clean | undefined;
  /** Why nothing can be changed any more: a sync that had closed has failed. */
  failure: Error | undefined;
  readonly #ops: MappingOps;
  readonly #mapsMax: number;
  /** No number below is free. */
  #firstFree = 0;

  constructor(geometry: Geometry, { cacheBytes = 2 ** 23, wrap = (ops) => ops }: LogOptions = {}) {
    const cache = new BlockCache({ capacity: cacheBytes, seed: SEED });
    this.pool = new BufferPool(cache, this);
    this.space = new Space(geometry.blocks, geometry.segmentBlocks);
    this.#ops = wrap(this);
    this.#mapsMax = cache.frameCount >>> 2;
  }

  get owed(): number {
    return this.dirtyMaps + this.dirtyFiles.size + this.dirtyTables.size;
  }

  /** Blocks that can still be promised, those that are kept for giving back included. */
  get available(): number {
    return this.space.idle - this.promised - this.owed;
  }

  /** True if a sync would write something, or would make blocks idle. */
  get unsynced(): boolean {
    return this.pool.dirtyBlocks + this.owed + this.space.freed.length > 0;
  }

  open(name: string): LogFile {
    const file = this.names.get(name);
    if (file !== undefined) return file;
    throw new FilesystemError('ENOENT', `Cannot open ${name}: there is no such file`);
  }

  /** The least number that no file has. */
  nextId(): number {
    while (this.files[this.#firstFree] !== undefined) this.#firstFree++;
    return this.#firstFree;
  }

  /** A file in memory; `id` is a number that no file has. */
  add(id: number, name: string): LogFile {
    const file = new LogFile(this.pool, this.#ops, id, name);
    this.files[id] = file;
    this.names.set(name, file);
    return file;
  }

  /** The next sync writes the inode of a file, and the table that names it. */
  touch(file: LogFile): void {
    this.dirtyFiles.add(file);
    this.dirtyTables.add(Math.floor(file.id / SLOTS_PER_BLOCK));
  }

  /** A file of which nothing is left but its inode. */
  forget(file: LogFile): void {
    this.touch(file);
    this.dirtyFiles.delete(file);
    this.#letGo(file.slot.block);
    file.removed = true;
    this.files[file.id] = undefined;
    this.#firstFree = Math.min(this.#firstFree, file.id);
    this.names.delete(file.name);
  }

  // --- MappingOps -------------------------------------------------------------------------------

  begin(file: LogFile, request: MappingRequest, answer: MappingAnswer, plan: Plan): boolean {
    const { offset, length, flag, edges } = request;
    const [first, end] = [Math.floor(offset / BLOCK_SIZE), blocksFor(offset + length)];
    if (flag !== RequestFlag.WRITE) {
      // One map block at a time: whoever wants more asks again.
      const last = (Math.floor(first / SLOTS_PER_BLOCK) + 1) * SLOTS_PER_BLOCK;
      return this.#addSources(file, first, Math.min(end, last), answer, plan);
    }
    file.checkPresent();
    if (offset + length > LogFile.sizeMax(this.pool)) throw tooLong(file);
    const count = this.#afford(file, end - first, plan);
    if (count === 0) return false;
    const stop = first + count;
    let known = true;
    if ((edges & Edge.EVERY) !== 0) known = this.#addSources(file, first, stop, answer, plan);
    if ((edges & Edge.HEAD) !== 0) known = this.#addSources(file, first, first + 1, answer, plan);
    if ((edges & Edge.TAIL) !== 0 && stop === end) {
      known = this.#addSources(file, end - 1, end, answer, plan) && known;
    }
    if (!known) return false;
    answer.destination.set(MappingType.DELALLOC, first * BLOCK_SIZE, count * BLOCK_SIZE);
    answer.destination.flags = MappingFlag.NEW;
    answer.promise.cost = 2 * count;
    this.promised += 2 * count;
    return true;
  }

  end(
    file: LogFile,
    { offset }: MappingRequest,
    { promise }: MappingAnswer,
    { written, newBlocks }: WriteOutcome,
  ): void {
    this.promised += 2 * newBlocks - promise.cost;
    if (written === 0) return;
    file.size = Math.max(file.size, offset + written);
    this.touch(file);
  }

  planUnmap(file: LogFile, { start, end, size }: UnmapRange, plan: Plan): boolean {
    file.checkPresent();
    if (size > LogFile.sizeMax(this.pool)) throw tooLong(file);
    if (!this.room(UNMAP_COST, plan)) return false;
    let known = true;
    for (const map of file.mapsWithin(start, end)) {
      if (file.entries(map, plan) === undefined) known = false;
    }
    return known;
  }

  unmap(file: LogFile, { start, end, size }: UnmapRange, dropped: { blocks: number }): void {
    this.promised -= 2 * dropped.blocks;
    for (const map of file.mapsWithin(start, end)) {
      const [from, to] = [map * MAP_SPAN, (map + 1) * MAP_SPAN];
      const { words, at } = file.known(map);
      const first = Math.max(0, (start - from) / BLOCK_SIZE);
      const stop = Math.min(SLOTS_PER_BLOCK, (end - from) / BLOCK_SIZE);
      for (let i = first; i < stop; i++) this.#letGo(words[at + 2 * i] as Block);
      if (start <= from && end >= to) this.#dropMap(file, map);
      else if (first < stop) this.changeMap(file, map).fill(0, 2 * first, 2 * stop);
    }
    file.size = size;
    this.touch(file);
  }

  // --- WritebackOps -----------------------------------------------------------------------------

  isInline = (): boolean => false;
  planPlace = (): boolean => true;

  place(_file: IomapFile, _offset: number, blocks: number, placement: Placement): void {
    Object.assign(placement, this.space.take(blocks));
    this.promised -= placement.count;
  }

  planComplete({ file, offset, checksums }: Ioend, plan: Plan): boolean {
    let known = true;
    for (const map of mapsIn(offset, offset + checksums.length * BLOCK_SIZE)) {
      if ((file as LogFile).entries(map, plan) === undefined) known = false;
    }
    return known;
  }

  planCompleteAll(ioends: readonly Ioend[], plan: Plan): boolean {
    return ioends.filter((ioend) => this.planComplete(ioend, plan)).length === ioends.length;
  }

  complete({ file, offset, block, checksums }: Ioend): void {
    const owner = file as LogFile;
    for (const [i, checksum] of checksums.entries()) {
      const [index, now] = [offset / BLOCK_SIZE + i, ((block as number) + i) as Block];
      const words = this.changeMap(owner, Math.floor(index / SLOTS_PER_BLOCK));
      const at = 2 * (index % SLOTS_PER_BLOCK);
      this.#letGo(words[at] as Block);
      words[at] = now;
      words[at + 1] = checksum;
      this.space.settle(now, { use: Use.DATA, owner: owner.id, index });
    }
    this.promised -= checksums.length;
  }

  cancel({ block, checksums }: Ioend, released: { blocks: number }): void {
    this.space.takeBack(block as Block, checksums.length);
    this.promised += checksums.length - 2 * released.blocks;
  }

  /** Data has gone to the device past the cache, and what was dirty there is dropped. */
  replaced(file: IomapFile, size: number, dropped: { blocks: number }): void {
    this.promised -= 2 * dropped.blocks;
    file.size = Math.max(file.size, size);
    this.touch(file as LogFile);
  }

  // --- Space ------------------------------------------------------------------------------------

  /**
   * True if `count` blocks can be promised; otherwise the plan follows a sync, which makes idle
   * what was freed, or if that is of no use any more:
   *
   * @throws {FilesystemError} `ENOSPC`; `EIO` if a sync has failed
   */
  room(count: number, plan: Plan): boolean {
    this.checkHealth();
    const waits = this.syncing !== undefined && !this.syncing.closed;
    const full = this.available < count;
    // Changed maps are outside of the cache, so something else has to bound them.
    const heavy = this.dirtyMaps > this.#mapsMax;
    if (!waits && !full && !heavy) return true;
    if (full && !this.unsynced && this.syncing === undefined) {
      if (this.cleaning !== undefined && this.cleaning.plan !== plan) {
        plan.follow(this.cleaning);
        return false;
      }
      const finding = `${Math.max(0, this.available)} blocks are free, wanted ${count}`;
      throw new FilesystemError('ENOSPC', `Cannot change the log: ${finding}`);
    }
    plan.follow(this.syncing ?? new Sync(this));
    return false;
  }

  /** @throws {FilesystemError} `EIO` if a sync has failed after it had closed */
  checkHealth(): void {
    const cause = this.failure;
    if (cause === undefined) return;
    const message = 'Cannot change the log: a sync failed, it has to be mounted again';
    throw new FilesystemError('EIO', message, { cause });
  }

  /** How many of `count` blocks a write gets; 0 if it has to wait. */
  #afford(file: LogFile, count: number, plan: Plan): number {
    const inode = Number(!this.dirtyFiles.has(file));
    const table = Number(!this.dirtyTables.has(Math.floor(file.id / SLOTS_PER_BLOCK)));
    const other = KEPT_BLOCKS + inode + table;
    const most = Math.floor((this.available - other) / 2);
    // At the very end, one block after the other.
    const wanted = this.unsynced || most < 1 ? count : Math.min(count, most);
    return this.room(other + 2 * wanted, plan) ? wanted : 0;
  }

  /** The slots of a map block, to be changed. */
  changeMap(file: LogFile, map: number): Uint32Array {
    const { words, opened } = file.change(map);
    if (opened) this.dirtyMaps++;
    return words;
  }

  #dropMap(file: LogFile, map: number): void {
    if (file.copies.get(map)?.dirty) this.dirtyMaps--;
    file.copies.delete(map);
    this.#letGo((file.maps[map] ?? NO_SLOT).block);
    file.maps[map] = NO_SLOT;
  }

  #letGo(block: Block): void {
    if (block !== NO_SLOT.block) this.space.free(block);
  }

  /** Says what the blocks from `first` to `end` are: a source for each run, without gaps. */
  #addSources(
    file: LogFile,
    first: number,
    end: number,
    answer: MappingAnswer,
    plan: Plan,
  ): boolean {
    for (let i = first; i < end; ) {
      const map = Math.floor(i / SLOTS_PER_BLOCK);
      const stop = Math.min(end, (map + 1) * SLOTS_PER_BLOCK);
      const entries = file.entries(map, plan);
      if (entries === undefined) return false;
      const { words } = entries;
      const base = map * SLOTS_PER_BLOCK;
      while (i < stop) {
        const start = i++;
        const at = entries.at + 2 * (start - base);
        const block = words[at] as Block;
        const step = block === NO_SLOT.block ? 0 : 1;
        while (i < stop && words[at + 2 * (i - start)] === block + step * (i - start)) i++;
        const type = step === 0 ? MappingType.HOLE : MappingType.MAPPED;
        const source = answer.addSource().set(type, start * BLOCK_SIZE, (i - start) * BLOCK_SIZE);
        if (type === MappingType.HOLE) continue;
        source.address = block * BLOCK_SIZE;
        source.checksums = words;
        source.checksumAt = at + 1;
        source.checksumStride = 2;
      }
    }
    return true;
  }
}

function tooLong(file: LogFile): FilesystemError {
  const most = LogFile.sizeMax(file.pool);
  return new FilesystemError('EFBIG', `Cannot make ${file.name} longer than ${most} bytes`);
}
