/**
 * Iomap ops: the one seam between iomap and the trees.
 *
 * A write's destination is always delayed: space in the CoW fork, promised and without an address.
 * The data fork is the file map; it changes when a run that was written back is complete, and not
 * before. Everything is copied on write, so every overwrite has a source in the data fork and a
 * destination in the CoW fork, whether the old block is shared or not. Only when data gets its
 * place may that turn out to be where it came from, in files that ask for it (overwrite.ts).
 *
 * Q1. What is promised for a file: one block per block that is dirty or in flight, and `folioCost`
 *     per dirty folio, for the nodes that will map it. What is complete or dropped gives it back.
 */
import {
  argumentError,
  BLOCK_SIZE,
  type Block,
  blocksFor,
  FilesystemError,
  type Frame,
  MAX_OFFSET,
  NO_FRAME,
  type Plan,
  roundDown,
} from '../base/index.ts';
import { FOLIO_BLOCKS } from '../cache/index.ts';
import {
  depthFor,
  INLINE_MAX,
  InodeFlag,
  InodeKind,
  MAP_FANOUT,
  NOCSUM,
  RECORD_MAX,
  SLOT_WORDS,
  SlotKind,
  slotBlock,
  slotFlags,
  slotHasBlock,
  slotKind,
  TWIN,
} from '../format/index.ts';
import {
  Edge,
  type Ioend,
  type IomapFile,
  type Mapping,
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
} from '../iomap/index.ts';
import type { Store } from '../store/index.ts';
import { type BlockRange, type FileMaps, MapPosition } from '../tree/index.ts';
import type { CowRuns } from './cow-runs.ts';
import { recordLengthWith } from './inode-record.ts';
import type { Inodes } from './inodes.ts';
import type { LogRecords } from './log-records.ts';
import { checkWritable } from './mutate.ts';
import { type Overwrites, unsettle } from './overwrite.ts';
import { checkUnpinned } from './pin.ts';
import type { Reclaimer } from './reclaim.ts';
import type { Vnode } from './vnode.ts';

/** Nodes a file needs beside its map when it is written back: its record may split leaves. */
const RECORD_COST = 4;
/** Runs that one answer names at the most. */
const SOURCES_MAX = 16;

export interface IomapParts {
  readonly store: Store;
  readonly inodes: Inodes;
  readonly maps: FileMaps;
  readonly reclaimer: Reclaimer;
  readonly runs: CowRuns;
  readonly records: LogRecords;
  readonly overwrites: Overwrites;
}

export class VolumeIomapOps implements MappingOps, WritebackOps {
  /** Set once, when the parts exist: they need the buffer pool, which needs these ops. */
  parts!: IomapParts;
  readonly #position = new MapPosition();

  begin(file: IomapFile, request: MappingRequest, answer: MappingAnswer, plan: Plan): boolean {
    const vnode = file as Vnode;
    if (request.flag !== RequestFlag.WRITE) {
      const end = request.offset + request.length;
      const known = this.#sources(vnode, request.offset, end, answer, plan);
      return known && (request.flag === RequestFlag.READ || this.#cutShared(vnode, answer, plan));
    }
    const { store, inodes } = this.parts;
    const { offset, length, edges } = request;
    checkWrite(vnode, offset, length);
    if (offset + length > vnode.size) checkUnpinned(vnode);
    if (!store.admit(plan) || !inodes.planClaim(vnode, plan)) return false;
    const headStart = roundDown(offset, BLOCK_SIZE);
    const tailStart = roundDown(offset + length - 1, BLOCK_SIZE);
    let known = true;
    let span = tailStart + BLOCK_SIZE - headStart;
    if ((edges & Edge.EVERY) !== 0) {
      known = this.#sources(vnode, headStart, headStart + span, answer, plan);
      if (known)
        span = Math.min(span, (answer.sources[answer.sourceCount - 1] as Mapping).end - headStart);
    }
    if ((edges & Edge.HEAD) !== 0) known = this.#edge(vnode, headStart, answer, plan);
    if ((edges & Edge.TAIL) !== 0) known = this.#edge(vnode, tailStart, answer, plan) && known;
    if (!known) return false;
    this.#moveInline(vnode, offset, length, answer);
    if (!this.#promise(vnode, request, answer, plan)) return false;
    answer.destination.set(MappingType.DELALLOC, headStart, span).flags = MappingFlag.NEW;
    return true;
  }

  end(
    file: IomapFile,
    request: MappingRequest,
    { promise }: MappingAnswer,
    outcome: WriteOutcome,
  ): void {
    const vnode = file as Vnode;
    const { store, inodes } = this.parts;
    store.space.promise(-promise.blocks, -promise.nodes);
    if (outcome.newBlocks === 0 && outcome.written === 0) return;
    const cost = Math.max(vnode.folioCost, promise.cost);
    const rise = (cost - vnode.folioCost) * vnode.promisedFolios;
    vnode.folioCost = cost;
    vnode.promisedFolios += outcome.newFolios;
    store.space.promise(outcome.newBlocks, outcome.newFolios * cost + rise);
    // What a direct write has reserved is nothing that anybody sees. What its unwritten blocks were
    // promised stays theirs until they are mapped: it may fail.
    if (outcome.written === 0) return;
    inodes.claim(vnode);
    if (promise.drawn > 0) {
      const end = blocksFor(request.offset + outcome.written);
      this.parts.maps.unmark(vnode, { first: Math.floor(request.offset / BLOCK_SIZE), end });
      vnode.dataSequence++;
    }
    this.#written(vnode, request.offset + outcome.written);
  }

  replaced(file: IomapFile, size: number, dropped: { blocks: number; folios: number }): void {
    const vnode = file as Vnode;
    const before = vnode.size;
    this.release(vnode, dropped);
    // Where nothing was mapped nobody has.
    this.parts.inodes.claim(vnode);
    this.#written(vnode, size);
    this.parts.inodes.settle(vnode);
    this.parts.records.replaced(vnode, size, before);
  }

  /** Bytes were written up to `end`. The inode was claimed. */
  #written(vnode: Vnode, end: number): void {
    this.parts.inodes.touch(vnode);
    if (end > vnode.size) this.parts.records.growing(vnode);
    vnode.size = Math.max(vnode.size, end);
    vnode.change++;
  }

  planUnmap(file: IomapFile, { start, end, size }: UnmapRange, plan: Plan): boolean {
    const vnode = file as Vnode;
    const { store, inodes, maps, reclaimer } = this.parts;
    checkWrite(vnode, 0, size);
    checkUnpinned(vnode);
    if (!store.admit(plan) || !inodes.planClaim(vnode, plan)) return false;
    const frees = hasBlocksIn(vnode, start, end);
    if (frees) {
      const range = { first: start / BLOCK_SIZE, end: end / BLOCK_SIZE };
      if (end < Number.POSITIVE_INFINITY) maps.planPunch(vnode, range, inodes.planShared, plan);
      else maps.planCut(vnode, range.first, inodes.planShared, plan);
      reclaimer.planAdd(2 * vnode.depth + 1, plan);
    }
    inodes.planRewrite(vnode, plan);
    return store.settle(plan, frees ? 'delete' : 'normal');
  }

  unmap(
    file: IomapFile,
    { start, end, size }: UnmapRange,
    dropped: { blocks: number; folios: number },
  ): void {
    const vnode = file as Vnode;
    const { store, inodes, maps, reclaimer } = this.parts;
    const { depth } = vnode;
    // The blocks before the range and at either end of the file may be cleared in part.
    unsettle(store, vnode, Math.min(start - BLOCK_SIZE, size, vnode.size));
    this.release(vnode, dropped);
    inodes.claim(vnode);
    if (hasBlocksIn(vnode, start, end)) {
      const range = { first: start / BLOCK_SIZE, end: end / BLOCK_SIZE };
      if (end < Number.POSITIVE_INFINITY) {
        vnode.blocks -= maps.punch(vnode, range, reclaimer.add);
        // Of the subtrees that went nobody has counted the blocks.
        const last = blocksFor(Math.max(vnode.size, vnode.mappedEnd));
        const whole = Math.min(range.end, last) - range.first;
        vnode.blocks = Math.min(vnode.blocks, last - whole);
      } else {
        maps.cut(vnode, range.first, reclaimer.add);
        vnode.mappedEnd = Math.min(vnode.mappedEnd, start);
        vnode.blocks = Math.min(vnode.blocks, range.first);
      }
      if (start === 0) vnode.inline = NO_BYTES;
    }
    // What is known of the nodes on the way (OW2) is lost with those that go.
    if (vnode.depth !== depth) unsettle(store, vnode, 0);
    if (size < vnode.size) vnode.cuts++;
    if (vnode.inline.length > size) vnode.inline = vnode.inline.slice(0, size);
    vnode.size = size;
    vnode.change++;
    inodes.rewrite(vnode);
  }

  isInline(file: IomapFile, size = file.size): boolean {
    const vnode = file as Vnode;
    return (
      size <= INLINE_MAX &&
      vnode.kind === InodeKind.FILE &&
      !vnode.hasMap &&
      recordLengthWith(vnode, size) <= RECORD_MAX
    );
  }

  planPlace(blocks: number, plan: Plan): boolean {
    if (this.parts.store.readOnly) {
      throw new FilesystemError(
        'EROFS',
        'Cannot replay the log without writing to the device: mount the volume for writing first',
      );
    }
    return this.parts.store.space.plan(blocks, plan);
  }

  overwrites(file: IomapFile): boolean {
    return (file as Vnode).has(InodeFlag.INPLACE);
  }

  moving(file: IomapFile, offset: number): void {
    unsettle(this.parts.store, file as Vnode, offset);
  }

  planOverwrite(file: IomapFile, offset: number, blocks: number, plan: Plan): boolean {
    return this.parts.overwrites.plan(file as Vnode, offset / BLOCK_SIZE, blocks, plan);
  }

  place(file: IomapFile, offset: number, blocks: number, placement: Placement): void {
    const { runs, overwrites, store } = this.parts;
    const [vnode, first] = [file as Vnode, offset / BLOCK_SIZE];
    placement.inplace = false;
    placement.count = blocks;
    if (this.overwrites(file) && overwrites.find(vnode, first, blocks, placement)) {
      placement.inplace = true;
      this.#forget(placement.block, placement.count);
      return;
    }
    const { count } = placement;
    if (runs.place(vnode, first, count, placement)) return;
    const run = store.space.allocateData(count);
    placement.block = run.block;
    placement.count = run.length;
  }

  /** What the cache has of blocks that are written over is not what they hold any more. */
  #forget(block: Block, count: number): void {
    for (let i = 0; i < count; i++) this.parts.store.blocks.forget((block + i) as Block);
  }

  runLength(blocks: number): number {
    return this.parts.store.space.runLength(blocks);
  }

  planComplete(ioend: Ioend, plan: Plan): boolean {
    const vnode = ioend.file as Vnode;
    const { store, inodes } = this.parts;
    if (ioend.inplace === true) return true;
    if (!inodes.planClaim(vnode, plan)) return false;
    const { block, offset, checksums } = ioend;
    if (block !== undefined) {
      this.planMap(vnode, offset / BLOCK_SIZE, block, checksums.length, plan);
    }
    inodes.planRewrite(vnode, plan);
    return (
      plan.ready && store.space.plan(plan.blocks, plan) && plan.blocks <= store.blocks.available
    );
  }

  planCompleteAll(ioends: readonly Ioend[], plan: Plan): boolean {
    const { store, inodes, maps } = this.parts;
    const { file, offset } = ioends[0] as Ioend;
    const vnode = file as Vnode;
    if (!inodes.planClaim(vnode, plan)) return false;
    const above = inodes.planShared;
    const count = ioends.reduce((sum, { checksums }) => sum + checksums.length, 0);
    if (ioends.some(({ inplace }) => inplace !== true)) {
      maps.planSet(vnode, { first: offset / BLOCK_SIZE, count }, above, plan);
    }
    for (const { block, checksums } of ioends)
      this.#wantRun(block as Block, checksums.length, plan);
    inodes.planRewrite(vnode, plan);
    return (
      plan.ready &&
      store.space.plan(plan.blocks, plan) &&
      (plan.blocks <= store.blocks.available || store.blocks.room(plan, plan.blocks))
    );
  }

  #wantRun(block: Block, count: number, plan: Plan): void {
    const { groups } = this.parts.store;
    for (let i = 0; i < count; i++) groups.wantBlock((block + i) as Block, plan);
  }

  complete(ioend: Ioend): void {
    const vnode = ioend.file as Vnode;
    const { store, inodes, records } = this.parts;
    if (ioend.inplace === true) {
      this.release(vnode, { blocks: ioend.checksums.length, folios: ioend.folios });
      records.overwritten(vnode);
      return;
    }
    inodes.claim(vnode);
    if (ioend.block === undefined) {
      const frame = ioend.frames[0] as Frame;
      vnode.inline = store.blocks.view(frame).slice(0, ioend.size);
    } else {
      this.map(vnode, ioend.offset / BLOCK_SIZE, ioend.block, ioend.checksums);
    }
    this.release(vnode, { blocks: ioend.checksums.length, folios: ioend.folios });
    // Here rather than all at once when the txg closes; of a direct write when all of it is mapped.
    if (ioend.frames.length > 0) inodes.rewrite(vnode);
    records.written(vnode, ioend);
  }

  cleaned(file: IomapFile): void {
    this.parts.records.sized(file as Vnode, file.size);
  }

  /** Makes sure that {@link map} of `count` blocks from `first` on cannot miss. */
  planMap(vnode: Vnode, first: number, block: Block, count: number, plan: Plan): void {
    const { inodes, maps } = this.parts;
    maps.planSet(vnode, { first, count }, inodes.planShared, plan);
    this.#wantRun(block, count, plan);
  }

  /** The map names a run that was handed out. The inode was claimed. */
  map(vnode: Vnode, first: number, block: Block, checksums: Uint32Array): void {
    vnode.inline = NO_BYTES;
    const unchecked = vnode.has(InodeFlag.INPLACE);
    vnode.blocks += this.parts.maps.setRun(vnode, { first, block, checksums, unchecked });
  }

  cancel(ioend: Ioend, released: { blocks: number; folios: number }): void {
    const { block, checksums, inplace } = ioend;
    if (block !== undefined && inplace !== true) {
      this.parts.store.space.takeBack(block, checksums.length);
    }
    this.release(ioend.file as Vnode, released);
  }

  /** Gives back what was promised for blocks and folios that need it no longer (Q1). */
  release(vnode: Vnode, what: { blocks: number; folios: number }): void {
    const { space } = this.parts.store;
    space.promise(-what.blocks, -what.folios * vnode.folioCost);
    vnode.promisedFolios -= what.folios;
    if (vnode.promisedFolios === 0) vnode.folioCost = 0;
  }

  /** Promises the blocks of a write, and the nodes that will map them. */
  #promise(
    vnode: Vnode,
    { offset, length, whole }: MappingRequest,
    { promise }: MappingAnswer,
    plan: Plan,
  ): boolean {
    const { store } = this.parts;
    const blocks = blocksFor(offset + length) - Math.floor(offset / BLOCK_SIZE) + 1;
    // What is mapped in one turn changes each node once.
    const folios = Math.ceil(blocks / (whole ? MAP_FANOUT : FOLIO_BLOCKS)) + (whole ? 2 : 1);
    const depth = Math.max(vnode.depth, depthFor(blocksFor(Math.max(vnode.size, offset + length))));
    const cost = Math.max(vnode.folioCost, 2 * depth + RECORD_COST);
    const rise = (cost - vnode.folioCost) * vnode.promisedFolios;
    const nodes = folios * cost + rise;
    promise.drawn = 0;
    const short = !store.space.has(plan.blocks + blocks + nodes, 'normal');
    if (short && store.space.unwritten > 0) {
      const range = { first: Math.floor(offset / BLOCK_SIZE), end: blocksFor(offset + length) };
      if (!this.#planDraw(vnode, range, promise, plan)) return false;
    }
    const { drawn } = promise;
    if (!store.settle(plan, drawn > 0 ? 'delete' : 'normal', blocks + nodes - drawn)) return false;
    promise.blocks = blocks;
    promise.nodes = nodes;
    promise.cost = cost;
    store.space.promise(blocks, nodes);
    return true;
  }

  /**
   * Where space is short, what was promised to unwritten blocks pays for data that goes there; the
   * nodes that map it may take what is kept for deleting. False if the plan has needs.
   */
  #planDraw(
    vnode: Vnode,
    range: BlockRange,
    promise: MappingAnswer['promise'],
    plan: Plan,
  ): boolean {
    const { inodes, maps } = this.parts;
    if (!inodes.planClaim(vnode, plan)) return false;
    const above = inodes.planShared;
    const marks = above ? 0 : maps.countMarks(vnode, range, plan);
    if (marks === undefined) return false;
    if (marks === 0) return true;
    promise.drawn = marks;
    maps.planSet(vnode, { first: range.first, count: range.end - range.first }, above, plan);
    return plan.ready;
  }

  /** A file that outgrows its record takes its inline data with it. */
  #moveInline(vnode: Vnode, offset: number, length: number, answer: MappingAnswer): void {
    const outgrown = vnode.inline.length > 0 && offset + length > INLINE_MAX;
    if (outgrown && offset >= BLOCK_SIZE && vnode.frameAt(0) === NO_FRAME)
      answer.moved = vnode.inline;
  }

  /** Names the source of one block. */
  #edge(vnode: Vnode, start: number, answer: MappingAnswer, plan: Plan): boolean {
    const { sourceCount } = answer;
    const covered = sourceCount > 0 && (answer.sources[sourceCount - 1] as Mapping).end > start;
    return covered || this.#sources(vnode, start, start + BLOCK_SIZE, answer, plan);
  }

  /** Names what is where in the data fork, from `from` as far as one answer goes. */
  #sources(vnode: Vnode, from: number, to: number, answer: MappingAnswer, plan: Plan): boolean {
    let at = roundDown(from, BLOCK_SIZE);
    if (vnode.inline.length > 0 && at < BLOCK_SIZE) {
      answer.addSource().set(MappingType.INLINE, 0, BLOCK_SIZE).inline = vnode.inline;
      at = BLOCK_SIZE;
    }
    const position = this.#position;
    while (at < to && answer.sourceCount < SOURCES_MAX) {
      if (!this.parts.maps.locate(vnode, at / BLOCK_SIZE, position, plan)) {
        return answer.sourceCount > 0;
      }
      at = this.#addRun(position, at, to, answer);
    }
    return true;
  }

  /**
   * Says of each source whether others use its blocks, and cuts the last one that it names where
   * that changes.
   */
  #cutShared(vnode: Vnode, answer: MappingAnswer, plan: Plan): boolean {
    const { inodes } = this.parts;
    if (!inodes.planClaim(vnode, plan)) return false;
    const above = inodes.planShared;
    for (let i = 0; i < answer.sourceCount; i++) {
      const source = answer.sources[i] as Mapping;
      if (source.type !== MappingType.MAPPED) continue;
      // The blocks of a source have their slots in one node: the way to it is one.
      const way = above || this.parts.maps.isShared(vnode, source.offset / BLOCK_SIZE, plan);
      const shared = way === false ? this.#isNamedTwice(source, source.offset, plan) : way;
      if (shared === undefined) return i > 0 && answer.cut(i);
      if (shared) source.flags |= MappingFlag.SHARED;
      for (let at = source.offset + BLOCK_SIZE; !way && at < source.end; at += BLOCK_SIZE) {
        if (this.#isNamedTwice(source, at, plan) === shared) continue;
        source.length = at - source.offset;
        return answer.cut(i + 1);
      }
    }
    return true;
  }

  /** Whether more than one slot names a block of a source; undefined: the plan has needs. */
  #isNamedTwice(source: Mapping, at: number, plan: Plan): boolean | undefined {
    const { groups } = this.parts.store;
    const block = ((source.address + at - source.offset) / BLOCK_SIZE) as Block;
    return groups.wantNamed(block, plan) ? groups.count(block) > 1 : undefined;
  }

  /** Adds the run that begins at the position: slots that follow each other on the device. */
  #addRun(position: MapPosition, at: number, to: number, answer: MappingAnswer): number {
    const { words, at: slot, left } = position;
    const most = Math.min(left, Math.ceil((to - at) / BLOCK_SIZE));
    if (position.kind !== SlotKind.DATA) {
      const type = position.kind === SlotKind.UNWRITTEN ? MappingType.UNWRITTEN : MappingType.HOLE;
      const count = position.hasSlot ? sameKind(position, most) : most;
      answer.addSource().set(type, at, count * BLOCK_SIZE);
      return at + count * BLOCK_SIZE;
    }
    const first = slotBlock(words, slot);
    let count = 1;
    const unchecked = isUnchecked(words, slot);
    while (count < most && follows(words, slot + count * SLOT_WORDS, first + count, unchecked)) {
      count++;
    }
    const source = answer.addSource().set(MappingType.MAPPED, at, count * BLOCK_SIZE);
    source.address = first * BLOCK_SIZE;
    if (!unchecked) source.checksums = words;
    source.checksumAt = slot + 3;
    source.checksumStride = SLOT_WORDS;
    source.twin = (slotFlags(words, slot) & TWIN) !== 0;
    return at + count * BLOCK_SIZE;
  }
}

const NO_BYTES = new Uint8Array(0);

function follows(words: Uint32Array, at: number, block: number, unchecked: boolean): boolean {
  if (!slotHasBlock(words, at) || slotBlock(words, at) !== block) return false;
  return isUnchecked(words, at) === unchecked;
}

/** True if a slot says that there is no checksum of its block. */
function isUnchecked(words: Uint32Array, at: number): boolean {
  return (slotFlags(words, at) & NOCSUM) !== 0;
}

function sameKind(position: MapPosition, most: number): number {
  let count = 1;
  while (
    count < most &&
    slotKind(position.words, position.at + count * SLOT_WORDS) === position.kind
  ) {
    count++;
  }
  return count;
}

function checkWrite(vnode: Vnode, offset: number, length: number): void {
  if (offset < 0) throw argumentError(`Cannot write at ${offset}: an offset is not negative`);
  checkWritable(vnode);
  if (offset + length > MAX_OFFSET - BLOCK_SIZE) {
    throw new FilesystemError(
      'EFBIG',
      `Cannot write up to byte ${offset + length}: a file has at most ${MAX_OFFSET - BLOCK_SIZE}`,
    );
  }
}

/** True if the map may name blocks of a range; behind the end it does while a log is replayed. */
function hasBlocksIn({ size, mappedEnd }: Vnode, start: number, end: number): boolean {
  return start < Math.min(end, Math.max(size, mappedEnd));
}
