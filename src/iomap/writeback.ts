/**
 * Writeback: dirty folios become blocks that the file's map knows.
 *
 *   choose    the oldest dirty folios, and with each all others of its file, in file order
 *   place     the filesystem allocates runs; from here on the frames are frozen (F2)
 *   write     one transfer per run, all at once
 *   complete  the filesystem maps the runs, some in each turn; their frames become clean blocks
 *
 * The run in flight with the duty to record it is an *ioend*. Whatever fails before `complete`
 * leaves the old mapping as it was and the data dirty.
 *
 * Where the filesystem says so, a run goes over the blocks that the map names already. Readers of
 * the file see its frames meanwhile, as always; after a failure those blocks may hold anything.
 *
 * B1. From place to complete the range is held in the file's CoW lock, so that an older version of
 *     a block is never mapped over a newer one, and nobody cuts the file under a run in flight.
 * B2. A map changes before the write behind it is declared ended, never after.
 */
import {
  assert,
  BLOCK_SIZE,
  type Block,
  FilesystemError,
  type Frame,
  PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { FOLIO_BLOCKS, FOLIO_SIZE, type Folio, NO_FOLIO } from '../cache/index.ts';
import type { BufferPool, InFlight, IomapFile } from './file.ts';

/** A run of blocks of one file on its way to the device. */
export interface Ioend {
  readonly file: IomapFile;
  /** File offset of the first block. */
  readonly offset: number;
  /** Of data from the cache: one for each block. A direct write has none. */
  readonly frames: readonly Frame[];
  /** Checksum of each block. */
  readonly checksums: Uint32Array;
  /** Bytes of the file when the run was frozen. */
  readonly size: number;
  /** First block on the device; undefined if the data goes into the inode itself. */
  readonly block: Block | undefined;
  /** Folios that stopped being dirty with this run: what was reserved for each can go. */
  readonly folios: number;
  /** The map names these very blocks already. */
  readonly inplace?: boolean | undefined;
}

/** Where a run goes. */
export interface Placement {
  block: Block;
  /** Blocks that follow each other there; at least 1. */
  count: number;
  /** The map names these very blocks already: destination and source are the same. */
  inplace?: boolean | undefined;
}

/** What a filesystem does for writeback. `plan*` may miss; the others may not (O1). */
export interface WritebackOps {
  /** True if a file is small enough to be kept in its inode, or would be with `size` bytes. */
  isInline(file: IomapFile, size?: number): boolean;
  /** Makes sure that {@link place} finds `blocks` blocks. */
  planPlace(blocks: number, plan: Plan): boolean;
  /** True if data of a file may go over what it replaces: then {@link planOverwrite} is asked. */
  overwrites?(file: IomapFile): boolean;
  /** What becomes dirty from this offset on is to have another place than it has. */
  moving?(file: IomapFile, offset: number): void;
  /** Makes sure that {@link place} can tell of these blocks whether they may be written over. */
  planOverwrite?(file: IomapFile, offset: number, blocks: number, plan: Plan): boolean;
  /** Finds up to `blocks` blocks for the dirty data at `offset`. Their space is reserved. */
  place(file: IomapFile, offset: number, blocks: number, placement: Placement): void;
  /**
   * Makes sure that {@link complete} cannot miss, beside the runs that the plan has already. False
   * if the plan has needs, or if there is no room to complete this run in the same turn too.
   */
  planComplete(ioend: Ioend, plan: Plan): boolean;
  /** The same for all runs of a direct write together. */
  planCompleteAll(ioends: readonly Ioend[], plan: Plan): boolean;
  /** Maps the run, gives back what was there, and ends the reservation. */
  complete(ioend: Ioend): void;
  /**
   * A direct write is complete, and the file has at least `size` bytes. Of the reservation for
   * dirty data, `dropped` is no longer needed: that data was in its range.
   */
  replaced(file: IomapFile, size: number, dropped: { blocks: number; folios: number }): void;
  /**
   * The write failed: the allocated blocks go back. Of the reservation, `released` is no longer
   * needed, since newer data has its own.
   */
  cancel(ioend: Ioend, released: { blocks: number; folios: number }): void;
  /** How many blocks in a row {@link place} would find now, of `blocks`; all if it is left out. */
  runLength?(blocks: number): number;
  /** Nothing of the file is dirty or in flight any more: a run of it was the last. */
  cleaned?(file: IomapFile): void;
}

export interface WritebackOptions {
  /** Which files; all if it is left out. */
  readonly only?: ((file: IomapFile) => boolean) | undefined;
  /**
   * Stop after this many blocks. If it is left out, everything that is dirty or in flight at the
   * start is on the device at the end, whatever is written meanwhile.
   */
  readonly blocks?: number;
}

/** Blocks of one round: 4 MiB. */
const BATCH_BLOCKS = 1024;
/** Files that one turn chooses from, and runs that one completes. */
const TURN_RUNS = 256;
/** Nodes that one turn of completing changes, or a run more. */
const TURN_NODES = 256;
/** Lowest nodes of maps that one turn looks at for blocks to be written over. */
const TURN_LEAVES = 64;
/** Folios of a lowest node. */
const LEAF_FOLIOS = 16;

/** Folios of one file that a round takes, in file order. */
interface Choice {
  readonly file: IomapFile;
  readonly folios: Folio[];
  readonly start: number;
  readonly end: number;
}

/** Writes dirty data back; its result is the number of blocks. */
export class Writeback extends PlannedOperation<number> implements InFlight {
  readonly #pool: BufferPool;
  readonly #only: ((file: IomapFile) => boolean) | undefined;
  #budget: number;
  /** Of each file that was dirty at the start: the folios that are still to be written. */
  readonly #sweeps: Map<IomapFile, Sweep> | undefined;
  /** What was in flight at the start, and whoever has taken data of the sweeps since. */
  #others: InFlight[];
  /** True once it has ended with an error: what it had chosen is dirty again. */
  failed = false;
  #written = 0;
  #choices: Choice[] = [];
  /** Lowest nodes that the turn may still look at. */
  #leaves = 0;
  #ioends: Ioend[] = [];
  /** Of the ioends, how many at the front the turn completes. */
  #completing = 0;
  #writes: PlainIo[] = [];

  constructor(pool: BufferPool, options: WritebackOptions = {}) {
    super();
    this.#pool = pool;
    this.#only = options.only;
    this.#budget = options.blocks ?? Number.POSITIVE_INFINITY;
    const all = options.blocks === undefined;
    this.#sweeps = all ? sweepsOf(pool, options.only) : undefined;
    const active = all ? [...pool.active] : [];
    this.#others = active.filter((other) => other.touches(options.only));
  }

  /** True if a run of one of these files is in flight. */
  touches(only: ((file: IomapFile) => boolean) | undefined): boolean {
    return this.#ioends.some(({ file }) => only === undefined || only(file));
  }

  protected override prepare(plan: Plan): void {
    this.#pool.active.add(this);
    if (this.#ioends.length === 0) this.#choose(plan);
    else if (this.#writes.length > 0) this.#awaitWrites(plan);
    else this.#planComplete(plan);
  }

  protected override apply(): boolean {
    if (this.#ioends.length > 0) this.#complete();
    else if (this.#choices.length > 0) this.#place();
    else return this.finish(this.#written);
    return false;
  }

  /** A failed write leaves its data dirty. */
  override fail(error: Error): void {
    for (const ioend of this.#ioends) this.#revert(ioend);
    this.#ioends = [];
    this.failed = true;
    super.fail(error);
  }

  protected override release(): void {
    this.#pool.active.delete(this);
    for (const { file } of this.#choices) file.cowLock.release(this);
    if (this.plan.pinned.length > 0) this.#pool.blocks.unpin(this.plan);
  }

  #choose(plan: Plan): void {
    const { ops } = this.#pool;
    this.#choices = [];
    this.#watch();
    if (this.#others.some(({ failed }) => failed)) this.#takeOver();
    let left = Math.min(BATCH_BLOCKS, this.#budget, this.#pool.dirtyLimit);
    let wanted = 0;
    this.#leaves = TURN_LEAVES;
    for (const file of this.#sweeps?.keys() ?? this.#oldest()) {
      if (left <= 0 || this.#leaves <= 0 || this.#choices.length === TURN_RUNS) break;
      const choice = this.#chooseFrom(file, left);
      if (choice === undefined) {
        this.#sweeps?.delete(file);
        continue;
      }
      if (!file.cowLock.free(this, { ...choice, exclusive: true }, plan)) continue;
      this.#choices.push(choice);
      const blocks = countDirty(this.#pool, choice.folios);
      if (!ops.isInline(file)) wanted += blocks;
      left -= blocks;
    }
    // Files that somebody else is writing back are left to him, unless there is nothing else to do.
    if (this.#choices.length > 0) plan.after.length = 0;
    else
      for (const other of this.#others) {
        if (!other.done && other.touches(this.#only)) plan.follow(other);
      }
    for (const choice of this.#choices) this.#planOverwrite(choice, plan);
    if (wanted > 0) ops.planPlace(wanted, plan);
  }

  #planOverwrite(choice: Choice, plan: Plan): void {
    const { ops } = this.#pool;
    if (ops.overwrites?.(choice.file) !== true) return;
    for (const { first, count } of this.#runs(choice)) {
      ops.planOverwrite?.(choice.file, first * BLOCK_SIZE, count, plan);
    }
  }

  /**
   * What was dirty at the start may be in flight by now: another, who had to wait too, was first.
   * Whoever waits himself has nothing in flight, so nobody waits for one who waits for him.
   */
  #watch(): void {
    const sweeps = this.#sweeps;
    if (sweeps === undefined) return;
    for (const other of this.#pool.active) {
      if (other === this || this.#others.includes(other)) continue;
      if (other.touches((file) => sweeps.has(file))) this.#others.push(other);
    }
  }

  /** What another has failed to write is dirty again, and was to be written. */
  #takeOver(): void {
    this.#others = this.#others.filter(({ failed }) => !failed);
    for (const [file, sweep] of sweepsOf(this.#pool, this.#only)) this.#sweeps?.set(file, sweep);
  }

  /** Files with dirty data, the one that has been dirty longest first. */
  *#oldest(): Iterable<IomapFile> {
    const { folios } = this.#pool;
    const seen = new Set<IomapFile>();
    for (let folio = folios.oldest; folio !== NO_FOLIO; folio = folios.younger(folio)) {
      const file = folios.ownerOf(folio) as IomapFile;
      if (seen.has(file) || this.#only?.(file) === false) continue;
      seen.add(file);
      yield file;
    }
  }

  /** Dirty folios of a file in file order, from where the last round stopped. */
  #chooseFrom(file: IomapFile, blocks: number): Choice | undefined {
    const { folios } = this.#pool;
    const dirty: Folio[] = [];
    const { index } = folios;
    const sweep = this.#sweeps?.get(file) ?? EVERYTHING;
    for (let folio = file.firstFolio; folio !== NO_FOLIO; folio = folios.nextOf(folio)) {
      const at = index[folio] as number;
      if (folios.dirty[folio] !== 0 && at >= sweep.next && at < sweep.end) dirty.push(folio);
    }
    if (dirty.length === 0) return undefined;
    dirty.sort((a, b) => (index[a] as number) - (index[b] as number));
    if (this.#sweeps !== undefined) file.writebackIndex = 0;
    const from = dirty.findIndex((folio) => (index[folio] as number) >= file.writebackIndex);
    const ordered = from > 0 ? dirty.slice(from) : dirty;
    const looks = this.#pool.ops.overwrites?.(file) === true;
    let taken = 0;
    let count = 0;
    let leaf = -1;
    while (taken < ordered.length && count < blocks) {
      const folio = ordered[taken] as Folio;
      const next = Math.floor((index[folio] as number) / LEAF_FOLIOS);
      if (looks && next !== leaf && this.#leaves-- <= 0) break;
      leaf = next;
      taken++;
      count += bitCount(folios.dirty[folio] as number);
    }
    const chosen = ordered.slice(0, taken);
    return {
      file,
      folios: chosen,
      start: (index[chosen[0] as Folio] as number) * FOLIO_SIZE,
      end: ((index[chosen[taken - 1] as Folio] as number) + 1) * FOLIO_SIZE,
    };
  }

  /** Freezes what was chosen, finds it a place and makes the transfers. */
  #place(): void {
    const plan = this.plan;
    for (const choice of this.#choices) {
      const { file, start, end } = choice;
      const held = file.cowLock.acquire(this, { start, end, exclusive: true }, plan);
      assert(held, 'the range was free when it was chosen');
      file.writebackIndex = end / FOLIO_SIZE;
      const sweep = this.#sweeps?.get(file);
      if (sweep !== undefined) sweep.next = end / FOLIO_SIZE;
      const inline = this.#pool.ops.isInline(file);
      for (const run of this.#runs(choice)) this.#freeze(file, run, inline);
      file.cowSequence++;
    }
    this.#writes = this.#ioends
      .filter((ioend) => ioend.block !== undefined)
      .map((ioend) => writeRun(this.#pool, ioend));
  }

  /** Contiguous dirty blocks of the chosen folios: file block, count, and folios each ends. */
  #runs(choice: Choice): { first: number; count: number; folios: number }[] {
    const runs: { first: number; count: number; folios: number }[] = [];
    let last: { first: number; count: number; folios: number } | undefined;
    for (const folio of choice.folios) {
      const dirty = this.#pool.folios.dirty[folio] as number;
      const base = (this.#pool.folios.index[folio] as number) * FOLIO_BLOCKS;
      for (let i = 0; i < FOLIO_BLOCKS; i++) {
        if ((dirty & (1 << i)) === 0) continue;
        if (last === undefined || last.first + last.count !== base + i) {
          last = { first: base + i, count: 0, folios: 0 };
          runs.push(last);
        }
        last.count++;
      }
      if (last !== undefined) last.folios++;
    }
    return runs;
  }

  #freeze(
    file: IomapFile,
    found: { first: number; count: number; folios: number },
    inline: boolean,
  ): void {
    const placement: Placement = { block: 0 as Block, count: found.count };
    let { first, count, folios } = found;
    while (count > 0) {
      const offset = first * BLOCK_SIZE;
      if (!inline) this.#pool.ops.place(file, offset, count, placement);
      const { count: taken, inplace } = placement;
      const frames = Array.from({ length: taken }, (_, i) => this.#freezeBlock(file, first + i));
      const checksums = Uint32Array.from(frames, (frame) => this.#pool.blocks.checksumOf(frame));
      const block = inline ? undefined : placement.block;
      const { size } = file;
      this.#ioends.push({ file, offset, frames, checksums, size, block, folios, inplace });
      this.#tell('place', this.#ioends[this.#ioends.length - 1] as Ioend);
      folios = 0;
      first += taken;
      count -= taken;
    }
  }

  /** From here on the block's frame is written, not changed. */
  #freezeBlock(file: IomapFile, fileBlock: number): Frame {
    const { folios } = this.#pool;
    const folio = folios.find(file, Math.floor(fileBlock / FOLIO_BLOCKS));
    const i = fileBlock % FOLIO_BLOCKS;
    folios.clearDirty(folio, i);
    folios.writeback[folio] = (folios.writeback[folio] as number) | (1 << i);
    return folios.frame(folio, i);
  }

  #awaitWrites(plan: Plan): void {
    for (const write of this.#writes) if (!write.finished) plan.need(write);
    if (plan.ready) {
      this.#writes = [];
      this.prepare(plan);
    }
  }

  /** As many runs as one turn completes; the others stay in flight, for the next. */
  #planComplete(plan: Plan): void {
    this.#completing = 0;
    for (const ioend of this.#ioends) {
      if (plan.blocks >= TURN_NODES || this.#completing === TURN_RUNS) return;
      if (this.#pool.ops.planComplete(ioend, plan)) this.#completing++;
      else if (!plan.ready || this.#completing > 0) return;
      else throw new FilesystemError('ENOMEM', 'Cannot map what was written: no frame is free');
    }
  }

  #complete(): void {
    let done = 0;
    try {
      for (; done < this.#completing; done++) this.#completeOne(this.#ioends[done] as Ioend);
    } finally {
      // Where counts contradict themselves it ends midway: what is complete is not taken back.
      this.#ioends = this.#ioends.slice(done);
    }
    this.#pool.blocks.unpin(this.plan);
    this.plan.pause = this.#ioends.length > 0 || done === TURN_RUNS;
    if (this.#ioends.length > 0) return;
    for (const { file } of this.#choices) file.cowLock.release(this);
    this.#choices = [];
  }

  #completeOne(ioend: Ioend): void {
    this.#budget -= ioend.frames.length;
    if (ioend.block === undefined && !this.#pool.ops.isInline(ioend.file)) {
      // The file has outgrown its inode meanwhile: its data needs blocks, in another round.
      this.#revert(ioend);
      const sweep = this.#sweeps?.get(ioend.file);
      if (sweep !== undefined) sweep.next = 0;
      return;
    }
    this.#pool.ops.complete(ioend);
    ioend.file.dataSequence++;
    this.#tell('complete', ioend);
    this.#thaw(ioend);
    if (ioend.file.clean) this.#pool.ops.cleaned?.(ioend.file);
    this.#written += ioend.frames.length;
  }

  /** The map knows the run: its frames leave the folios for the block cache. */
  #thaw(ioend: Ioend): void {
    const { blocks } = this.#pool;
    ioend.frames.forEach((frame, k) => {
      this.#detach(ioend, k);
      if (ioend.block === undefined) blocks.give(frame);
      else blocks.adopt(frame, (ioend.block + k) as Block);
    });
    this.#pool.dirtyBlocks -= ioend.frames.length;
    ioend.file.cowSequence++;
  }

  /** Takes frame `k` of a run out of its folio, unless a newer write has replaced it there. */
  #detach(ioend: Ioend, k: number): void {
    const { folios } = this.#pool;
    const fileBlock = ioend.offset / BLOCK_SIZE + k;
    const folio = folios.find(ioend.file, Math.floor(fileBlock / FOLIO_BLOCKS));
    if (folio === NO_FOLIO) return;
    const i = fileBlock % FOLIO_BLOCKS;
    if (folios.frame(folio, i) !== ioend.frames[k]) return;
    folios.detach(folio, i);
    if (folios.uptodate[folio] === 0) folios.remove(folio);
  }

  #tell(event: 'place' | 'complete' | 'cancel', { file, offset, frames, block }: Ioend): void {
    const length = frames.length * BLOCK_SIZE;
    const address = block === undefined ? undefined : block * BLOCK_SIZE;
    this.#pool.trace?.({ event, file: file.id, offset, length, address });
  }

  /** The write failed: data that nobody has replaced meanwhile is dirty again. */
  #revert(ioend: Ioend): void {
    const { folios, blocks } = this.#pool;
    const released = { blocks: 0, folios: ioend.folios };
    ioend.frames.forEach((frame, k) => {
      const fileBlock = ioend.offset / BLOCK_SIZE + k;
      const folio = folios.find(ioend.file, Math.floor(fileBlock / FOLIO_BLOCKS));
      const i = fileBlock % FOLIO_BLOCKS;
      if (folio !== NO_FOLIO && folios.frame(folio, i) === frame) {
        if (folios.dirty[folio] === 0) released.folios--;
        folios.writeback[folio] = (folios.writeback[folio] as number) & ~(1 << i);
        folios.markDirty(folio, i);
      } else {
        blocks.give(frame);
        this.#pool.dirtyBlocks--;
        released.blocks++;
      }
    });
    ioend.file.cowSequence++;
    this.#tell('cancel', ioend);
    this.#pool.ops.cancel(ioend, released);
  }
}

/** The part of a file that is still to be written, in folios. */
interface Sweep {
  next: number;
  readonly end: number;
}

const EVERYTHING: Sweep = { next: 0, end: Number.POSITIVE_INFINITY };

/** What is dirty now. A folio that gets dirty behind `next` later is left to others. */
function sweepsOf(pool: BufferPool, only: WritebackOptions['only']): Map<IomapFile, Sweep> {
  const { folios } = pool;
  const sweeps = new Map<IomapFile, Sweep>();
  for (let folio = folios.oldest; folio !== NO_FOLIO; folio = folios.younger(folio)) {
    const file = folios.ownerOf(folio) as IomapFile;
    if (only?.(file) === false) continue;
    const end = Math.max(sweeps.get(file)?.end ?? 0, (folios.index[folio] as number) + 1);
    sweeps.set(file, { next: 0, end });
  }
  return sweeps;
}

/** The transfer of one run. */
function writeRun(pool: BufferPool, ioend: Ioend): PlainIo {
  const buffers = ioend.frames.map((frame) => pool.blocks.view(frame));
  return new PlainIo('write', (ioend.block as number) * BLOCK_SIZE, buffers);
}

function countDirty(pool: BufferPool, chosen: readonly Folio[]): number {
  return chosen.reduce((sum, folio) => sum + bitCount(pool.folios.dirty[folio] as number), 0);
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
