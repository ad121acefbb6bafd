/**
 * Pin: a file whose blocks stay where they are, for somebody who reaches them past the volume, as a
 * kernel does with a swap file.
 *
 * As long as a file is pinned, data that is written to it goes over what is there (overwrite.ts),
 * and whatever would share its blocks, move them or take them away is refused with ETXTBSY: a
 * clone or a snapshot of it or of what is above it, too. Linux refuses the same for a swap file. A
 * pin is in memory only; a crash ends it, and leaves the blocks where they are.
 *
 * PN1. A file that is `fixed` fits every rule of overwrite.ts, and goes on to fit: after sharing it
 *      had been refused it was looked at as a whole, and then as many commits were made as make
 *      that history, while nobody wrote to it.
 */
import {
  BLOCK_SIZE,
  type Block,
  blocksFor,
  FilesystemError,
  type Plan,
  PlannedOperation,
  type Txg,
} from '../base/index.ts';
import {
  InodeFlag,
  NOCSUM,
  SLOT_WORDS,
  SlotKind,
  slotBlock,
  slotFlags,
  slotHasBlock,
} from '../format/index.ts';
import { MapPosition } from '../tree/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';
import { checkWritable } from './mutate.ts';
import type { Vnode } from './vnode.ts';

/** Nodes of the map that one turn looks at. */
const TURN_NODES = 64;
/** How often a file is looked at again because it was written to, before that is given up. */
const RESTARTS_MAX = 8;

/** @throws {FilesystemError} `ETXTBSY` if the blocks of a file must stay what and where they are */
export function checkUnpinned(vnode: Vnode): void {
  if (vnode.pinned) throw new FilesystemError('ETXTBSY', 'Cannot do that to a file that is pinned');
}

/** Visits the lowest parts of a file's map, some in each turn. */
abstract class MapVisit extends PlannedOperation<void> {
  protected readonly engine: Engine;
  protected readonly vnode: Vnode;
  protected readonly position: MapPosition = new MapPosition();
  /** File blocks before this one have been visited. */
  #at = 0;

  constructor(engine: Engine, vnode: Vnode) {
    super();
    this.engine = engine;
    this.vnode = vnode;
  }

  protected beginAgain(): void {
    this.#at = 0;
  }

  /** False if the plan has needs, or if there is more for another turn. */
  protected visitAll(plan: Plan): boolean {
    const end = blocksFor(this.vnode.size);
    const { position } = this;
    for (let nodes = 0; this.#at < end && nodes < TURN_NODES; nodes++) {
      if (!this.engine.maps.locate(this.vnode, this.#at, position, plan)) return false;
      const count = Math.min(position.left, end - this.#at);
      if (!this.visit(this.#at, count, plan)) return false;
      this.#at += count;
    }
    return this.#at >= end;
  }

  /** Looks at blocks whose slots begin at the position. False if the plan has needs. */
  protected abstract visit(first: number, count: number, plan: Plan): boolean;

  protected override release(): void {
    this.engine.store.blocks.unpin(this.plan);
  }
}

/** Pins a file. It stays pinned, and held, until {@link Unpin}. */
export class Pin extends MapVisit {
  /** Of the data fork when it was looked at, and the txg that ended with; -1 and 0: not yet. */
  #sequence = -1;
  #seen = 0 as Txg;
  #restarts = 0;
  /** It was this very operation that has pinned the file. */
  #pinned = false;

  /**
   * @throws {FilesystemError} `EINVAL` if the file is none that is overwritten in place, or has
   *   holes or blocks with checksums; `ETXTBSY` if something else shares a block of it; `EBUSY` if
   *   it is pinned, or written to all the time
   */
  protected override prepare(plan: Plan): void {
    const { vnode } = this;
    const { store, pool } = this.engine;
    checkWritable(vnode);
    if (!this.#pinned) this.#begin();
    if (!pool.settled(plan, (file) => file === vnode)) return;
    if (!store.admit(plan) || !pool.drained(plan, (file) => file === vnode)) return;
    if (this.#sequence !== vnode.dataSequence) this.#beginAgain();
    if (this.#seen === 0) this.#look(plan);
    else if (!store.isSettled(this.#seen)) plan.follow(store.renew());
  }

  protected override apply(): boolean {
    const { store } = this.engine;
    this.plan.pause = true;
    store.blocks.unpin(this.plan);
    if (this.#seen === 0 || !store.isSettled(this.#seen)) return false;
    // Nothing of it is dirty, nor was it written to since it was looked at (PN1).
    this.vnode.fixed = true;
    return this.finish(undefined);
  }

  override fail(error: Error): void {
    if (this.#pinned && !this.done) unpin(this.engine, this.vnode);
    super.fail(error);
  }

  #begin(): void {
    const { vnode } = this;
    checkFile(vnode);
    if (vnode.pinned) throw new FilesystemError('EBUSY', 'Cannot pin the file: it is pinned');
    if (!vnode.has(InodeFlag.INPLACE)) throw unfit('it is not overwritten in place');
    if (vnode.inline.length > 0) throw unfit('its bytes are in its inode');
    this.#pinned = true;
    vnode.pinned = true;
    vnode.holds++;
    this.engine.pinned.add(vnode);
  }

  #beginAgain(): void {
    if (++this.#restarts > RESTARTS_MAX) {
      throw new FilesystemError('EBUSY', 'Cannot pin the file: it is written to all the time');
    }
    this.#sequence = this.vnode.dataSequence;
    this.#seen = 0 as Txg;
    this.beginAgain();
  }

  #look(plan: Plan): void {
    const { inodes, store, overwrites } = this.engine;
    if (!inodes.planClaim(this.vnode, plan)) return;
    if (inodes.planShared) throw shared();
    if (!this.visitAll(plan)) return;
    overwrites.see(this.vnode);
    this.#seen = store.txg;
  }

  protected override visit(first: number, count: number, plan: Plan): boolean {
    const { maps, store } = this.engine;
    const { words, at, hasSlot } = this.position;
    const way = maps.isShared(this.vnode, first, plan);
    if (way === undefined) return false;
    if (way) throw shared();
    for (let i = 0; i < count; i++) {
      const slot = at + i * SLOT_WORDS;
      const where = `at byte ${(first + i) * BLOCK_SIZE}`;
      if (!hasSlot || !slotHasBlock(words, slot)) throw unfit(`it has a hole ${where}`);
      if (slotFlags(words, slot) !== (SlotKind.DATA | NOCSUM)) {
        throw unfit(`its block ${where} has a checksum, and is to be written anew first`);
      }
      const block = slotBlock(words, slot);
      if (store.groups.wantNamed(block, plan) && !store.groups.isExclusive(block)) throw shared();
    }
    return plan.ready;
  }
}

/** Ends a pin. What others have written past the volume is seen from then on. */
export class Unpin extends MapVisit {
  #more = false;
  #found: Block[] = [];

  protected override prepare(plan: Plan): void {
    this.#found = [];
    this.#more = !this.visitAll(plan);
  }

  protected override apply(): boolean {
    const { blocks } = this.engine.store;
    blocks.unpin(this.plan);
    for (const block of this.#found) blocks.forget(block);
    this.plan.pause = true;
    if (this.#more) return false;
    unpin(this.engine, this.vnode);
    return this.finish(undefined);
  }

  protected override visit(_first: number, count: number, plan: Plan): boolean {
    const { words, at, hasSlot } = this.position;
    for (let i = 0; hasSlot && i < count; i++) {
      const block = slotBlock(words, at + i * SLOT_WORDS);
      if (this.engine.store.blocks.isSettled(block, plan)) this.#found.push(block);
    }
    return plan.ready;
  }
}

function unpin({ pinned }: Engine, vnode: Vnode): void {
  if (!pinned.delete(vnode)) return;
  vnode.pinned = false;
  vnode.fixed = false;
  vnode.holds--;
}

function unfit(finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot pin the file: ${finding}`);
}

function shared(): FilesystemError {
  return new FilesystemError('ETXTBSY', 'Cannot pin the file: something else shares its blocks');
}
