/**
 * Folios: the dirty part of files, by file range.
 *
 * A folio covers 64 KiB of one file, on a multiple of 64 KiB. Each of its 16 blocks may have a
 * frame of its own. Three bitmaps say what is known of a block: *uptodate* (its frame holds the
 * whole block as a reader must see it), *dirty* (the file's map does not know of it yet) and
 * *logged* (the log has what the frame holds). A block that is uptodate and not dirty is under
 * writeback; when that ends the frame goes to the block cache, where clean data lives, and the
 * folio goes with its last frame.
 *
 * F1. A block has a frame exactly if it is uptodate. Logged implies dirty, dirty implies uptodate.
 * F2. `writeback` marks the blocks whose present frame is being written; such a frame is not
 *     changed: a write takes a new one and leaves the old to the write in flight.
 * F3. The queue holds exactly the folios with a dirty block, in the order in which they became so.
 * F4. `unlogged` of a file counts its blocks that are dirty and not logged. A folio that gets its
 *     first such block goes to the front of the file's list. `dirtyBlocks` counts all dirty ones.
 *
 * Folios are numbers; their state is in typed arrays that grow with the number in use.
 */
import { assert, type Frame, NO_FRAME } from '../base/index.ts';

export const FOLIO_BLOCKS = 16;
export const FOLIO_SIZE = 65536;

/** Index of a folio's state. */
export type Folio = number & { readonly __folio: unique symbol };
export const NO_FOLIO = -1 as Folio;

/** A file as the table sees it. The table keeps the fields. */
export interface FolioOwner {
  /** Unique among the owners in use; any u32. */
  readonly id: number;
  /** First folio of the file's list, in no order. */
  firstFolio: Folio;
  folioCount: number;
  dirtyBlocks: number;
  /** Dirty blocks that are not logged. */
  unlogged: number;
}

export class FolioTable {
  uptodate!: Uint16Array;
  dirty!: Uint16Array;
  writeback!: Uint16Array;
  logged!: Uint16Array;
  /** Position in the file, in folios. */
  index!: Float64Array;
  /** Folios in use. */
  count = 0;
  /** Oldest folio with a dirty block. */
  oldest: Folio = NO_FOLIO;

  #capacity = 0;
  #frames!: Int32Array;
  #owner: (FolioOwner | undefined)[] = [];
  #ownerNext!: Int32Array;
  #ownerPrevious!: Int32Array;
  #queueNext!: Int32Array;
  #queuePrevious!: Int32Array;
  #newest: Folio = NO_FOLIO;
  #table!: Int32Array;
  #free: Folio[] = [];

  constructor() {
    this.#resize(256);
  }

  find(owner: FolioOwner, index: number): Folio {
    if (owner.folioCount === 0) return NO_FOLIO;
    const table = this.#table;
    const mask = table.length - 1;
    let at = hash(owner.id, index) & mask;
    for (;;) {
      const entry = table[at] as number;
      if (entry === 0) return NO_FOLIO;
      if (this.index[entry - 1] === index && this.#owner[entry - 1] === owner) {
        return (entry - 1) as Folio;
      }
      at = (at + 1) & mask;
    }
  }

  /** The folio at `index`, made empty if there was none. */
  obtain(owner: FolioOwner, index: number): Folio {
    const found = this.find(owner, index);
    if (found !== NO_FOLIO) return found;
    if (this.#free.length === 0) this.#resize(this.#capacity * 2);
    const folio = this.#free.pop() as Folio;
    this.index[folio] = index;
    this.#owner[folio] = owner;
    this.#enter(folio);
    this.#link(owner, folio);
    owner.folioCount++;
    this.count++;
    return folio;
  }

  /** Ends a folio that has no frame left. */
  remove(folio: Folio): void {
    assert(this.uptodate[folio] === 0, 'a folio goes with its last frame');
    const owner = this.ownerOf(folio);
    this.#unlink(owner, folio);
    owner.folioCount--;
    this.#leave(folio);
    this.#owner[folio] = undefined;
    this.#free.push(folio);
    this.count--;
  }

  ownerOf(folio: Folio): FolioOwner {
    return this.#owner[folio] as FolioOwner;
  }

  /** The next folio of the same file. */
  nextOf(folio: Folio): Folio {
    return this.#ownerNext[folio] as Folio;
  }

  /** The frame of block `i` of a folio, or NO_FRAME. */
  frame(folio: Folio, i: number): Frame {
    return this.#frames[folio * FOLIO_BLOCKS + i] as Frame;
  }

  /** Gives block `i` a frame that holds all of it; what was there before is the caller's. */
  attach(folio: Folio, i: number, frame: Frame): void {
    this.#frames[folio * FOLIO_BLOCKS + i] = frame;
    this.uptodate[folio] = (this.uptodate[folio] as number) | (1 << i);
  }

  /** Takes the frame of block `i` away. The block must not be dirty. */
  detach(folio: Folio, i: number): Frame {
    assert(((this.dirty[folio] as number) & (1 << i)) === 0, 'a dirty block keeps its frame');
    const frame = this.frame(folio, i);
    this.#frames[folio * FOLIO_BLOCKS + i] = NO_FRAME;
    this.uptodate[folio] = (this.uptodate[folio] as number) & ~(1 << i);
    this.writeback[folio] = (this.writeback[folio] as number) & ~(1 << i);
    return frame;
  }

  /**
   * Block `i` holds something that neither the file's map nor the log knows. True if it was not
   * dirty before.
   */
  markDirty(folio: Folio, i: number): boolean {
    const dirty = this.dirty[folio] as number;
    const logged = this.logged[folio] as number;
    const bit = 1 << i;
    if ((dirty & ~logged & bit) !== 0) return false;
    const owner = this.ownerOf(folio);
    owner.unlogged++;
    if (dirty === logged && owner.firstFolio !== folio) this.#toFront(owner, folio);
    this.logged[folio] = logged & ~bit;
    if ((dirty & bit) !== 0) return false;
    if (dirty === 0) this.#enqueue(folio);
    this.dirty[folio] = dirty | bit;
    owner.dirtyBlocks++;
    return true;
  }

  /** The log has what block `i`, which is dirty, holds. */
  markLogged(folio: Folio, i: number): void {
    const logged = this.logged[folio] as number;
    assert(((this.dirty[folio] as number) & ~logged & (1 << i)) !== 0, 'dirty data is logged once');
    this.logged[folio] = logged | (1 << i);
    this.ownerOf(folio).unlogged--;
  }

  /** Block `i` is no longer dirty; its frame stays. True if that was the folio's last one. */
  clearDirty(folio: Folio, i: number): boolean {
    const before = this.dirty[folio] as number;
    const logged = this.logged[folio] as number;
    const dirty = before & ~(1 << i);
    if ((before & ~logged & (1 << i)) !== 0) this.ownerOf(folio).unlogged--;
    if (dirty !== before) this.ownerOf(folio).dirtyBlocks--;
    if (dirty === 0 && before !== 0) this.#dequeue(folio);
    this.dirty[folio] = dirty;
    this.logged[folio] = logged & dirty;
    return dirty === 0;
  }

  /** The next younger folio with a dirty block. */
  younger(folio: Folio): Folio {
    return this.#queueNext[folio] as Folio;
  }

  #toFront(owner: FolioOwner, folio: Folio): void {
    this.#unlink(owner, folio);
    this.#link(owner, folio);
  }

  #link(owner: FolioOwner, folio: Folio): void {
    const next = owner.firstFolio;
    this.#ownerNext[folio] = next;
    this.#ownerPrevious[folio] = NO_FOLIO;
    if (next !== NO_FOLIO) this.#ownerPrevious[next] = folio;
    owner.firstFolio = folio;
  }

  #unlink(owner: FolioOwner, folio: Folio): void {
    const next = this.#ownerNext[folio] as Folio;
    const previous = this.#ownerPrevious[folio] as Folio;
    if (next !== NO_FOLIO) this.#ownerPrevious[next] = previous;
    if (previous !== NO_FOLIO) this.#ownerNext[previous] = next;
    else owner.firstFolio = next;
  }

  #enqueue(folio: Folio): void {
    const newest = this.#newest;
    this.#queuePrevious[folio] = newest;
    this.#queueNext[folio] = NO_FOLIO;
    if (newest === NO_FOLIO) this.oldest = folio;
    else this.#queueNext[newest] = folio;
    this.#newest = folio;
  }

  #dequeue(folio: Folio): void {
    const next = this.#queueNext[folio] as Folio;
    const previous = this.#queuePrevious[folio] as Folio;
    if (previous === NO_FOLIO) this.oldest = next;
    else this.#queueNext[previous] = next;
    if (next === NO_FOLIO) this.#newest = previous;
    else this.#queuePrevious[next] = previous;
  }

  #enter(folio: Folio): void {
    const table = this.#table;
    const mask = table.length - 1;
    let at = hash(this.ownerOf(folio).id, this.index[folio] as number) & mask;
    while (table[at] !== 0) at = (at + 1) & mask;
    table[at] = folio + 1;
  }

  /** Takes a folio out of the table and closes the gap in its probe sequence. */
  #leave(folio: Folio): void {
    const table = this.#table;
    const mask = table.length - 1;
    let gap = this.#home(folio) & mask;
    while (table[gap] !== folio + 1) gap = (gap + 1) & mask;
    let at = gap;
    for (;;) {
      at = (at + 1) & mask;
      const entry = table[at] as number;
      if (entry === 0) break;
      const home = this.#home((entry - 1) as Folio) & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      table[gap] = entry;
      gap = at;
    }
    table[gap] = 0;
  }

  #home(folio: Folio): number {
    return hash(this.ownerOf(folio).id, this.index[folio] as number);
  }

  #resize(capacity: number): void {
    const before = this.#capacity;
    this.#capacity = capacity;
    this.uptodate = grown(Uint16Array, this.uptodate, capacity);
    this.dirty = grown(Uint16Array, this.dirty, capacity);
    this.writeback = grown(Uint16Array, this.writeback, capacity);
    this.logged = grown(Uint16Array, this.logged, capacity);
    this.index = grown(Float64Array, this.index, capacity);
    this.#ownerNext = grown(Int32Array, this.#ownerNext, capacity);
    this.#ownerPrevious = grown(Int32Array, this.#ownerPrevious, capacity);
    this.#queueNext = grown(Int32Array, this.#queueNext, capacity);
    this.#queuePrevious = grown(Int32Array, this.#queuePrevious, capacity);
    this.#frames = grown(Int32Array, this.#frames, capacity * FOLIO_BLOCKS);
    this.#frames.fill(NO_FRAME, before * FOLIO_BLOCKS);
    for (let folio = capacity - 1; folio >= before; folio--) this.#free.push(folio as Folio);
    this.#table = new Int32Array(capacity * 2);
    for (let folio = 0; folio < before; folio++) {
      if (this.#owner[folio] !== undefined) this.#enter(folio as Folio);
    }
  }
}

type Numbers = Uint16Array | Int32Array | Float64Array;

function grown<Values extends Numbers>(
  make: new (length: number) => Values,
  old: Values | undefined,
  length: number,
): Values {
  const larger = new make(length);
  if (old !== undefined) larger.set(old);
  return larger;
}

function hash(owner: number, index: number): number {
  const mixed = Math.imul(owner, 0x9e3779b1) ^ Math.imul(index, 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
