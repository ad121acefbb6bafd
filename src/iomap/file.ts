/**
 * What iomap keeps of a file, and what the files of a volume share.
 */
import { BLOCK_SIZE, type Frame, NO_FRAME, type Operation, type Plan } from '../base/index.ts';
import {
  type BlockCache,
  BlockSet,
  FOLIO_BLOCKS,
  FOLIO_SIZE,
  type Folio,
  type FolioOwner,
  FolioTable,
  NO_FOLIO,
} from '../cache/index.ts';
import type { CopyOut } from './copy-out.ts';
import type { MappingOps } from './mapping.ts';
import { type LockRange, RangeLock } from './range-lock.ts';
import type { RevokeReason, StagedView } from './staged-view.ts';
import type { Tracer } from './trace.ts';
import { Writeback, type WritebackOps } from './writeback.ts';

/** What brings data of files to the device. */
export interface InFlight extends Operation<unknown> {
  /** True if data of one of these files, or of any, is on its way. */
  touches(only: ((file: IomapFile) => boolean) | undefined): boolean;
  /** True once it has ended with an error, and its data is dirty again. */
  readonly failed: boolean;
}

export interface BufferPoolOptions {
  /** Blocks that may be dirty; half of the frames, if it is left out. */
  readonly dirtyLimit?: number | undefined;
  /** Whether a transfer is over when the turn is, in which it was asked for. */
  readonly immediate?: boolean | undefined;
  /** Where the device is memory; see {@link BufferPool.memory}. */
  readonly memory?: Memory | undefined;
}

/** Whole blocks as they lie in memory, at least one; undefined if they do not. */
export type Memory = (position: number, length: number) => Uint8Array | undefined;

/** The memory that the files of a volume share, and the bound on what of it may be dirty. */
export class BufferPool {
  readonly blocks: BlockCache;
  readonly folios: FolioTable = new FolioTable();
  /** Blocks that are dirty or under writeback. */
  dirtyBlocks = 0;
  /** A write that would bring more waits for writeback. */
  readonly dirtyLimit: number;
  /** How dirty data finds its place. */
  readonly ops: WritebackOps;
  /** Who is told what happens; see trace.ts. */
  trace: Tracer | undefined;
  /** What has begun and not ended. */
  readonly active: Set<InFlight> = new Set();
  /** Views of files that can be stored to. */
  readonly views: Set<StagedView> = new Set();
  /** Blocks of the device that some view has verified. */
  readonly viewed: BlockSet = new BlockSet();
  /** Where the device is memory: the bytes from `position` on, `length` or fewer. */
  readonly memory: Memory | undefined;
  readonly #immediate: boolean;
  #relief: Writeback | undefined;
  readonly #settling = new WeakMap<Plan, Settling>();

  constructor(blocks: BlockCache, ops: WritebackOps, options: BufferPoolOptions = {}) {
    this.blocks = blocks;
    this.ops = ops;
    this.dirtyLimit = options.dirtyLimit ?? blocks.frameCount >>> 1;
    this.#immediate = options.immediate ?? false;
    this.memory = options.memory;
    // Where frames come from when all are busy; who has other memory to free sets his own.
    blocks.relief ??= (asker) => this.relief(asker);
  }

  /**
   * An operation after which there is less dirty data. Whoever asks while it runs gets the same;
   * but a writeback that asks on its own behalf, by its plan, gets nothing.
   */
  relief(): Operation<unknown>;
  relief(asker: Plan): Operation<unknown> | undefined;
  relief(asker?: Plan): Operation<unknown> | undefined {
    for (const writeback of this.active) if (writeback.plan === asker) return undefined;
    if (this.folios.oldest === NO_FOLIO) {
      for (const writeback of this.active) return writeback;
      // Nothing is dirty: whatever takes the frames, it is not for writeback to end it.
      if (asker !== undefined) return undefined;
    }
    if (this.#relief === undefined || this.#relief.done) {
      this.#relief = new Writeback(this, { blocks: this.dirtyLimit >>> 2 });
    }
    return this.#relief;
  }

  /**
   * True if what was stored in views of the chosen files, when this plan first asked, is copied
   * out, and all their views show it; otherwise the plan follows that. Once it is so for a plan it
   * stays so: whoever asks may lock a range then, which a copy out would wait for, and what is
   * stored in a view later is for the next who asks.
   */
  settled(plan: Plan, only?: (file: IomapFile) => boolean): boolean {
    const settling = this.#settling.get(plan) ?? { turn: 'store', copies: [] };
    this.#settling.set(plan, settling);
    for (;;) {
      if (settling.copies.length > 0) settling.copies = this.#stillCopied(settling.copies);
      for (const copy of settling.copies) plan.follow(copy);
      if (settling.copies.length > 0) return false;
      if (settling.turn === 'over') return true;
      const storing = settling.turn === 'store';
      settling.turn = storing ? 'show' : 'over';
      for (const view of this.views) {
        if (only !== undefined && !only(view.file)) continue;
        if (storing ? view.hasStores : view.isBehind) settling.copies.push(view.copyOut());
      }
    }
  }

  /** The copies out that have not ended; in place of one that has failed a new one. */
  #stillCopied(copies: readonly CopyOut[]): CopyOut[] {
    const left = copies.filter(({ failed, view }) => !failed || this.views.has(view));
    const again = left.map((copy) => (copy.failed ? copy.view.copyOut() : copy));
    return again.filter(({ done }) => !done);
  }

  /**
   * True if no data of the chosen files (all, if none are chosen) is dirty or in flight; otherwise
   * the plan follows what brings that nearer. What is stored in views is for {@link settled}.
   */
  drained(plan: Plan, only?: (file: IomapFile) => boolean): boolean {
    if (this.dirtyBlocks === 0 && this.active.size === 0) return true;
    const { folios } = this;
    for (let folio = folios.oldest; folio !== NO_FOLIO; folio = folios.younger(folio)) {
      if (only !== undefined && !only(folios.ownerOf(folio) as IomapFile)) continue;
      plan.follow(new Writeback(this, { only }));
      return false;
    }
    for (const other of this.active) if (other.touches(only)) plan.follow(other);
    return plan.after.length === 0;
  }

  /** True if nobody can change these bytes before a transfer that is asked for now is over. */
  isStable({ buffer }: Uint8Array): boolean {
    return this.#immediate && buffer instanceof ArrayBuffer;
  }

  /**
   * Operations that may be under way at once, so that what each loads stays in memory until it is
   * used: a chunk of data and as many nodes as one operation needs.
   */
  get operationsMax(): number {
    const { frameCount } = this.blocks;
    const nodes = Math.min(64, frameCount >>> 4);
    return Math.max(1, Math.floor(frameCount / (this.chunkSize / BLOCK_SIZE + nodes)));
  }

  /** Largest number of bytes that one turn of a write covers: 1 MiB, less in a small cache. */
  get chunkSize(): number {
    return Math.min(256, this.dirtyLimit >>> 1) * BLOCK_SIZE;
  }
}

/** What a plan waits for, so that views and their files are the same. */
interface Settling {
  /** Views with something stored are copied out first, then those that are behind. */
  turn: 'store' | 'show' | 'over';
  copies: CopyOut[];
}

export abstract class IomapFile implements FolioOwner {
  abstract readonly id: number;
  abstract readonly ops: MappingOps;
  /** Bytes, dirty data included. */
  abstract size: number;

  readonly pool: BufferPool;
  firstFolio: Folio = NO_FOLIO;
  folioCount = 0;
  dirtyBlocks = 0;
  unlogged = 0;
  /** Held by writes, truncates and the like that span several turns. */
  readonly lock: RangeLock = new RangeLock();
  /** Held by writeback from the choice of its blocks until the map knows them. */
  readonly cowLock: RangeLock = new RangeLock();
  /** What goes from a caller's memory over blocks that the map names, and over which range. */
  readonly overwriting: Map<Operation<unknown>, LockRange> = new Map();
  /**
   * Counts the changes of each fork: of the data fork whenever the map changes, of the CoW fork
   * whenever dirty data comes, goes, or is frozen. Who has looked at a fork and waited since knows
   * by its number whether what he saw still holds. A filesystem that changes a map by itself counts
   * that here.
   */
  dataSequence = 0;
  cowSequence = 0;
  /** Where the last round of writeback stopped, in folios; the next goes on from there. */
  writebackIndex = 0;

  /** Where a reader in sequence would go on, and how far ahead of it was read last, in bytes. */
  readNext = 0;
  readWindow = 0;

  constructor(pool: BufferPool) {
    this.pool = pool;
  }

  /** True if the map knows everything that was written. */
  get clean(): boolean {
    return this.folioCount === 0;
  }

  /** True if what the map does not know is all in the log, and none of it in flight. */
  get logged(): boolean {
    return this.unlogged === 0 && (this.clean || this.cowLock.idle);
  }

  /** The frame of the dirty data, or data under writeback, at a file offset; or NO_FRAME. */
  frameAt(offset: number): Frame {
    const { folios } = this.pool;
    const folio = folios.find(this, Math.floor(offset / FOLIO_SIZE));
    if (folio === NO_FOLIO) return NO_FRAME;
    return folios.frame(folio, Math.floor(offset / BLOCK_SIZE) % FOLIO_BLOCKS);
  }

  /** True if a store to the block at a file offset needs nothing: it is dirty, not in flight. */
  isWritable(offset: number): boolean {
    const { folios } = this.pool;
    const folio = folios.find(this, Math.floor(offset / FOLIO_SIZE));
    if (folio === NO_FOLIO) return false;
    const block = Math.floor(offset / BLOCK_SIZE) % FOLIO_BLOCKS;
    return ((folios.dirty[folio] as number) & (1 << block)) !== 0;
  }

  /** False if blocks of a range are being written over, and the plan waits for that. */
  isSettled(start: number, end: number, plan: Plan): boolean {
    if (this.overwriting.size === 0) return true;
    let settled = true;
    for (const [part, range] of this.overwriting) {
      if (range.start >= end || range.end <= start) continue;
      settled = false;
      // What is only read ahead is not waited for.
      if (!plan.early) plan.follow(part);
    }
    return settled;
  }

  /** Views of the file that can be stored to, as far as they touch a range. */
  *viewsIn(start: number, end: number): Iterable<StagedView> {
    if (this.pool.views.size === 0) return;
    for (const view of [...this.pool.views]) {
      if (view.file === this && view.offset < end && view.end > start) yield view;
    }
  }

  /** A range of the file is something else now: what was stored there is forgotten. */
  revokeViews(start: number, end: number, reason: RevokeReason): void {
    for (const view of this.viewsIn(start, end)) {
      view.forget(start, end);
      view.revoke(reason);
    }
  }

  /**
   * Drops dirty blocks from file offset `from` to `to` (multiples of the block size). Nothing of it
   * may be under writeback. Returns how many blocks and how many folios are dirty no longer.
   */
  dropDirty(from: number, to = Number.POSITIVE_INFINITY): { blocks: number; folios: number } {
    const { folios } = this.pool;
    const dropped = { blocks: 0, folios: 0 };
    const [first, end] = [Math.floor(from / FOLIO_SIZE), Math.ceil(to / FOLIO_SIZE)];
    if (end - first < this.folioCount) {
      for (let index = first; index < end; index++) {
        const folio = folios.find(this, index);
        if (folio !== NO_FOLIO) this.#dropIn(folio, from, to, dropped);
      }
    } else {
      for (let next = this.firstFolio; next !== NO_FOLIO; ) {
        const folio = next;
        next = folios.nextOf(folio);
        this.#dropIn(folio, from, to, dropped);
      }
    }
    this.pool.dirtyBlocks -= dropped.blocks;
    this.cowSequence++;
    return dropped;
  }

  #dropIn(
    folio: Folio,
    from: number,
    to: number,
    dropped: { blocks: number; folios: number },
  ): void {
    const { folios, blocks } = this.pool;
    const start = (folios.index[folio] as number) * FOLIO_SIZE;
    if (start + FOLIO_SIZE <= from || start >= to) return;
    for (let i = 0; i < FOLIO_BLOCKS; i++) {
      const at = start + i * BLOCK_SIZE;
      if (at < from || at >= to || folios.frame(folio, i) === NO_FRAME) continue;
      if (folios.clearDirty(folio, i)) dropped.folios++;
      blocks.give(folios.detach(folio, i));
      dropped.blocks++;
    }
    if (folios.uptodate[folio] === 0) folios.remove(folio);
  }
}
