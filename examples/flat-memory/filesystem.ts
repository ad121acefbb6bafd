/**
 * A flat filesystem in memory over `ramet/iomap`: names, files, and clones that share blocks.
 *
 * It keeps what a filesystem has to keep, a map for each file and a count for each block, and
 * answers the questions of `MappingOps` and `WritebackOps`. Reading, writing, truncating, punching,
 * dirty data and locks are iomap's: `BufferedWrite`, `Truncate` and the others take a `FlatFile`.
 * The way of a block:
 *
 *   begin      space is promised, nothing has an address        promised + n
 *   end        what became dirty keeps its promise              promised - the rest
 *   place      dirty blocks get addresses that no map names     promise -> count 1
 *   complete   the map names them and lets go of the old ones   old counts - 1
 *   cancel     the write failed, the addresses go back          count 0 -> promise
 *
 * F1. counts[b] is how many map entries name block b; 1 from `place` to `complete`.
 * F2. `promised` counts dirty blocks without an address. Idle blocks are never fewer, so `place`,
 *     which may not fail, does not.
 * F3. A block is idle if its count is 0 and nobody is loading it: a reader may be on his way to a
 *     block whose last owner has let go, and must not find other data there.
 * F4. A block that a map names is never written, shared or not, so a write that fails or that is
 *     half done harms neither version.
 */
import { assert, BLOCK_SIZE, type Block, blocksFor, FilesystemError, type Plan } from 'ramet/base';
import { BlockCache } from 'ramet/cache';
import {
  BufferPool,
  Edge,
  type Ioend,
  IomapFile,
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

export class FlatFile extends IomapFile {
  readonly id: number;
  readonly ops: MappingOps;
  size = 0;
  /** Block of the file -> block of the device. What is not in it is a hole. */
  readonly map: Map<number, number> = new Map();
  removed = false;

  constructor(pool: BufferPool, ops: MappingOps, id: number) {
    super(pool);
    this.ops = ops;
    this.id = id;
  }

  /** An operation may have waited for the one that removed its file. */
  checkPresent(): void {
    if (this.removed) throw new FilesystemError('ENOENT', 'Cannot go on: the file was removed');
  }
}

export interface FlatOptions {
  /** Blocks of the device. */
  readonly blocks: number;
  /** Bytes of memory for what is cached and what is dirty. */
  readonly cacheBytes?: number;
  /** What files are given instead of the filesystem's own ops: `validated`, or a trace. */
  readonly wrap?: (ops: MappingOps) => MappingOps;
}

export class FlatFilesystem implements MappingOps, WritebackOps {
  readonly pool: BufferPool;
  readonly counts: Uint32Array;
  readonly checksums: Uint32Array;
  promised = 0;
  readonly #files: Map<string, FlatFile> = new Map();
  readonly #ops: MappingOps;
  #nextId = 1;

  constructor({ blocks, cacheBytes = 2 ** 22, wrap = (ops) => ops }: FlatOptions) {
    const cache = new BlockCache({ capacity: cacheBytes, seed: 0n });
    this.pool = new BufferPool(cache, this);
    this.counts = new Uint32Array(blocks);
    this.checksums = new Uint32Array(blocks);
    this.#ops = wrap(this);
  }

  get names(): string[] {
    return [...this.#files.keys()];
  }

  /** Blocks that can still be promised. One look at every block: here there are few. */
  get available(): number {
    return this.counts.reduce((sum, _, block) => sum + Number(this.#isIdle(block)), -this.promised);
  }

  open(name: string): FlatFile {
    const file = this.#files.get(name);
    if (file === undefined) {
      throw new FilesystemError('ENOENT', `Cannot open ${name}: there is no such file`);
    }
    return file;
  }

  create(name: string): FlatFile {
    this.checkFree(name);
    const file = new FlatFile(this.pool, this.#ops, this.#nextId++);
    this.#files.set(name, file);
    return file;
  }

  checkFree(name: string): void {
    if (!this.#files.has(name)) return;
    throw new FilesystemError('EEXIST', `Cannot create ${name}: the name is taken`);
  }

  /** A file of which nothing is left. */
  forget(name: string): void {
    this.open(name).removed = true;
    this.#files.delete(name);
  }

  /** What `from` has, under a new name: one count more for each block, and no copy. */
  share(from: FlatFile, name: string): FlatFile {
    const clone = this.create(name);
    clone.size = from.size;
    for (const [index, block] of from.map) {
      clone.map.set(index, block);
      this.counts[block] = (this.counts[block] as number) + 1;
    }
    return clone;
  }

  // --- MappingOps: where bytes are, and where new ones may go ----------------------------------

  begin(file: FlatFile, request: MappingRequest, answer: MappingAnswer, plan: Plan): boolean {
    const { offset, length, flag, edges } = request;
    const [first, end] = [Math.floor(offset / BLOCK_SIZE), blocksFor(offset + length)];
    if (flag !== RequestFlag.WRITE) return this.#addSources(file, first, end, answer);
    if (!this.#mayGrow(file, end - first, plan)) return false;
    // The sources: where the old bytes are of blocks that keep some, at the edges or everywhere.
    // A hole is a source like any other; iomap zeroes what it must not read.
    if ((edges & Edge.HEAD) !== 0) this.#addSources(file, first, first + 1, answer);
    if ((edges & Edge.TAIL) !== 0) this.#addSources(file, end - 1, end, answer);
    if ((edges & Edge.EVERY) !== 0) this.#addSources(file, first, end, answer);
    // The destination: space without an address. `place` finds one when all that is dirty is known.
    answer.destination.set(MappingType.DELALLOC, first * BLOCK_SIZE, (end - first) * BLOCK_SIZE);
    answer.destination.flags = MappingFlag.NEW;
    this.promised += end - first;
    return true;
  }

  /** Blocks that were dirty before have a promise already; of a write given up all goes back. */
  end(
    file: FlatFile,
    { offset }: MappingRequest,
    { destination }: MappingAnswer,
    { written, newBlocks }: WriteOutcome,
  ): void {
    this.promised += newBlocks - destination.length / BLOCK_SIZE;
    if (written > 0) file.size = Math.max(file.size, offset + written);
  }

  planUnmap(file: FlatFile): boolean {
    file.checkPresent();
    return true;
  }

  unmap(file: FlatFile, { start, end, size }: UnmapRange, dropped: { blocks: number }): void {
    this.promised -= dropped.blocks;
    for (const [index, block] of file.map) {
      const at = index * BLOCK_SIZE;
      if (at >= start && at < end && file.map.delete(index)) this.#letGo(block);
    }
    file.size = size;
  }

  // --- WritebackOps: dirty data finds its place ------------------------------------------------

  place(_file: IomapFile, _offset: number, blocks: number, placement: Placement): void {
    const first = this.counts.findIndex((_, block) => this.#isIdle(block));
    assert(first >= 0, 'what was promised is there (F2)');
    let end = first;
    while (end < first + blocks && this.#isIdle(end)) this.counts[end++] = 1;
    this.promised -= end - first;
    placement.block = first as Block;
    placement.count = end - first;
  }

  complete({ file, offset, block, checksums }: Ioend): void {
    const { map } = file as FlatFile;
    for (const [i, checksum] of checksums.entries()) {
      const [index, now] = [offset / BLOCK_SIZE + i, (block as number) + i];
      const before = map.get(index);
      if (before !== undefined) this.#letGo(before);
      map.set(index, now);
      this.checksums[now] = checksum;
    }
  }

  /** The data is dirty again; but `released` blocks were written anew, with their own promise. */
  cancel({ block, checksums }: Ioend, released: { blocks: number }): void {
    this.counts.fill(0, block, (block as number) + checksums.length);
    this.promised += checksums.length - released.blocks;
  }

  /** Data has gone to the device past the cache, and what was dirty there is dropped. */
  replaced(file: IomapFile, size: number, dropped: { blocks: number }): void {
    this.promised -= dropped.blocks;
    file.size = Math.max(file.size, size);
  }

  // Maps and counts are in memory, so planning never finds anything missing.
  isInline = (): boolean => false;
  planPlace = (): boolean => true;
  planComplete = (): boolean => true;
  planCompleteAll = (): boolean => true;

  // --- Blocks and maps -------------------------------------------------------------------------

  /** True if `count` blocks can be promised. What is overwritten is idle only after writeback. */
  #mayGrow(file: FlatFile, count: number, plan: Plan): boolean {
    file.checkPresent();
    const { available, pool } = this;
    if (available >= count) return true;
    if (pool.dirtyBlocks === 0) {
      const finding = `${available} blocks are free, wanted ${count}`;
      throw new FilesystemError('ENOSPC', `Cannot write: ${finding}`);
    }
    plan.follow(pool.relief());
    return false;
  }

  #isIdle(block: number): boolean {
    return this.counts[block] === 0 && !this.pool.blocks.isLoading(block as Block);
  }

  #letGo(block: number): void {
    this.counts[block] = (this.counts[block] as number) - 1;
  }

  /** Says what the blocks from `first` to `end` are: a source for each run, without gaps. */
  #addSources({ map }: FlatFile, first: number, end: number, answer: MappingAnswer): true {
    for (let i = first; i < end; ) {
      const [start, block] = [i++, map.get(i - 1)];
      const shared = this.#isShared(block);
      const follows = (next: number | undefined) =>
        block === undefined ? next === undefined : next === block + i - start;
      while (i < end && follows(map.get(i)) && this.#isShared(map.get(i)) === shared) i++;
      const type = block === undefined ? MappingType.HOLE : MappingType.MAPPED;
      const source = answer.addSource().set(type, start * BLOCK_SIZE, (i - start) * BLOCK_SIZE);
      if (block === undefined) continue;
      source.flags = shared ? MappingFlag.SHARED : 0;
      source.address = block * BLOCK_SIZE;
      source.checksums = this.checksums;
      source.checksumAt = block;
    }
    return true;
  }

  #isShared(block: number | undefined): boolean {
    return block !== undefined && (this.counts[block] as number) > 1;
  }
}
