/**
 * Toy filesystem: everything that iomap asks of a filesystem, in the smallest form that is right.
 *
 * Flat files, a map per file, a count per block. The maps are in memory, so planning never misses;
 * a real filesystem puts loads into the plan and answers false. Data lives on any device: a driver
 * moves it, and `pool` holds what is not there yet. The way of a block:
 *
 *   begin      space is promised, nothing has an address        promised + n
 *   end        what became dirty keeps its promise              promised - the rest
 *   place      dirty blocks get addresses that no map names     promise -> count 1
 *   complete   the map names them and lets go of the old ones   old counts - 1
 *   cancel     the write failed, the addresses go back          count 0 -> promise
 *
 * K1. `promised` counts dirty blocks without an address, and unwritten blocks. Idle blocks are
 *     never fewer, so `place`, which may not fail, does not.
 * K2. counts[b] is the number of map entries that name b; 1 from `place` to `complete`.
 * K3. A block is idle if its count is 0 and nobody is loading it: its last owner may let go while a
 *     reader is on his way there, who must not find other data.
 * K4. A block that a map names is never written, shared or not: a write in place that fails would
 *     leave neither version, and a reader could see half of each.
 */
import * as base from '../../src/base/index.ts';
import type { BlockCache } from '../../src/cache/index.ts';
import * as iomap from '../../src/iomap/index.ts';

const { BLOCK_SIZE, blocksFor } = base;
const { Edge, MappingType } = iomap;

/** Map entry of a block that is promised and reads as zeros. A hole has no entry. */
export const UNWRITTEN = -1;

export class ToyFile extends iomap.IomapFile {
  readonly id: number;
  readonly ops: ToyFilesystem;
  size = 0;
  /** Block of the file -> block of the device, or UNWRITTEN. */
  readonly map: Map<number, number> = new Map();

  constructor(ops: ToyFilesystem) {
    super(ops.pool);
    this.ops = ops;
    this.id = ops.files.push(this);
  }
}

export class ToyFilesystem implements iomap.MappingOps, iomap.WritebackOps {
  readonly pool: iomap.BufferPool;
  readonly files: ToyFile[] = [];
  readonly counts: Uint16Array;
  readonly checksums: Uint32Array;
  promised = 0;

  constructor(cache: BlockCache, blockCount: number, options: iomap.BufferPoolOptions = {}) {
    this.pool = new iomap.BufferPool(cache, this, options);
    this.counts = new Uint16Array(blockCount);
    this.checksums = new Uint32Array(blockCount);
  }

  /** Blocks that can still be promised. */
  get available(): number {
    return this.counts.reduce((sum, _, block) => sum + Number(this.#isIdle(block)), -this.promised);
  }

  begin(
    { map }: ToyFile,
    { offset, length, flag, edges }: iomap.MappingRequest,
    answer: iomap.MappingAnswer,
    _plan: base.Plan,
  ): boolean {
    const [first, end] = [Math.floor(offset / BLOCK_SIZE), blocksFor(offset + length)];
    const count = end - first;
    if (flag !== iomap.RequestFlag.WRITE) return this.#addSources(map, first, end, answer);
    if (this.available < count) throw new base.FilesystemError('ENOSPC', 'Cannot write: full');
    // Sources are named for the blocks that iomap has marked, a hole like any other: iomap zeroes
    // what must not be read. For an aligned write it marks none, and the map is not looked at.
    if ((edges & Edge.EVERY) !== 0) this.#addSources(map, first, end, answer);
    if ((edges & Edge.HEAD) !== 0) this.#addSources(map, first, first + 1, answer);
    if ((edges & Edge.TAIL) !== 0) this.#addSources(map, end - 1, end, answer);
    // The destination has no address yet: `place` finds one when all that is dirty is known.
    answer.destination.set(MappingType.DELALLOC, first * BLOCK_SIZE, count * BLOCK_SIZE);
    answer.destination.flags = iomap.MappingFlag.NEW;
    this.promised += count;
    return true;
  }

  /** Blocks that were dirty have a promise already; if nothing was written, all goes back. */
  end(
    file: ToyFile,
    request: iomap.MappingRequest,
    { destination }: iomap.MappingAnswer,
    { written, newBlocks }: iomap.WriteOutcome,
  ): void {
    this.promised += newBlocks - destination.length / BLOCK_SIZE;
    if (written > 0) file.size = Math.max(file.size, request.offset + written);
  }

  unmap(file: ToyFile, range: iomap.UnmapRange, dropped: { blocks: number }): void {
    this.promised -= dropped.blocks;
    for (const [index, entry] of file.map) {
      const at = index * BLOCK_SIZE;
      if (at >= range.start && at < range.end && file.map.delete(index)) this.#letGo(entry);
    }
    file.size = range.size;
  }

  place(_file: ToyFile, _offset: number, blocks: number, placement: iomap.Placement): void {
    const first = this.counts.findIndex((_, block) => this.#isIdle(block));
    base.assert(first >= 0, 'what was promised is there (K1)');
    let end = first;
    while (end < first + blocks && this.#isIdle(end)) this.counts[end++] = 1;
    this.promised -= end - first;
    placement.block = first as base.Block;
    placement.count = end - first;
  }

  complete({ file, offset, block, checksums }: iomap.Ioend): void {
    const { map } = file as ToyFile;
    for (const [i, checksum] of checksums.entries()) {
      const index = offset / BLOCK_SIZE + i;
      this.#letGo(map.get(index));
      map.set(index, (block as number) + i);
      this.checksums[(block as number) + i] = checksum;
    }
  }

  /** Data written again meanwhile has a promise of its own: `released` blocks need none. */
  cancel({ block, checksums }: iomap.Ioend, released: { blocks: number }): void {
    this.counts.fill(0, block, (block as number) + checksums.length);
    this.promised += checksums.length - released.blocks;
  }

  replaced(file: iomap.IomapFile, size: number, dropped: { blocks: number }): void {
    this.promised -= dropped.blocks;
    file.size = Math.max(file.size, size);
  }

  isInline = (_file: iomap.IomapFile): boolean => false;
  planUnmap = (_file: iomap.IomapFile, _range: unknown, _plan: base.Plan): boolean => true;
  planPlace = (_blocks: number, _plan: base.Plan): boolean => true;
  planComplete = (_ioend: iomap.Ioend, _plan: base.Plan): boolean => true;
  planCompleteAll = (_ioends: readonly iomap.Ioend[], _plan: base.Plan): boolean => true;

  /** Promises space for the holes of a range, as far as there is any. They still read as zeros. */
  preallocate(file: ToyFile, offset: number, length: number): void {
    for (let i = Math.floor(offset / BLOCK_SIZE); i < blocksFor(offset + length); i++) {
      if (file.map.has(i) || this.available === 0) continue;
      file.map.set(i, UNWRITTEN);
      this.promised++;
    }
  }

  #isShared(entry: number | undefined): boolean {
    return entry !== undefined && entry !== UNWRITTEN && (this.counts[entry] as number) > 1;
  }

  #isIdle(block: number): boolean {
    return this.counts[block] === 0 && !this.pool.blocks.isLoading(block as base.Block);
  }

  #letGo(entry: number | undefined): void {
    if (entry === UNWRITTEN) this.promised--;
    else if (entry !== undefined) this.counts[entry] = (this.counts[entry] as number) - 1;
  }

  /** Names what the blocks from `first` to `end` are, run by run. */
  #addSources(map: ToyFile['map'], first: number, end: number, answer: iomap.MappingAnswer): true {
    for (let i = first; i < end; ) {
      const start = i++;
      const entry = map.get(start);
      const mapped = entry !== undefined && entry !== UNWRITTEN;
      const shared = this.#isShared(entry);
      const follows = (entryOf: number | undefined): boolean =>
        entryOf === (mapped ? entry + i - start : entry) && this.#isShared(entryOf) === shared;
      while (i < end && follows(map.get(i))) i++;
      const type = entry === undefined ? MappingType.HOLE : MappingType.UNWRITTEN;
      const source = answer.addSource().set(type, start * BLOCK_SIZE, (i - start) * BLOCK_SIZE);
      if (!mapped) continue;
      source.type = MappingType.MAPPED;
      source.address = entry * BLOCK_SIZE;
      source.checksums = this.checksums;
      source.checksumAt = entry;
      if (shared) source.flags = iomap.MappingFlag.SHARED;
    }
    return true;
  }
}

/** Makes a file that shares every block of another: one count more for each, and no copy. */
export class Reflink extends base.PlannedOperation<ToyFile> {
  readonly #source: ToyFile;

  constructor(source: ToyFile) {
    super();
    this.#source = source;
  }

  /** A dirty block has no address to share. What is seen here still holds in `apply`: one turn. */
  protected override prepare(plan: base.Plan): void {
    this.#source.pool.drained(plan, (file) => file === this.#source);
  }

  protected override apply(): boolean {
    const { ops, map, size } = this.#source;
    const clone = new ToyFile(ops);
    clone.size = size;
    for (const [index, entry] of map) {
      if (entry === UNWRITTEN) continue;
      clone.map.set(index, entry);
      ops.counts[entry] = (ops.counts[entry] as number) + 1;
    }
    return this.finish(clone);
  }
}
