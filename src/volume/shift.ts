/**
 * Shift: a file without a range of its blocks, or with a hole put in between: collapse and insert.
 *
 * The new map is made beside the old one, as that of an inode without a name. It begins as the same
 * map, shared by its root and cut where the range begins; behind that every slot of the old map
 * gets one reference more at its new place, a megabyte in each turn. If what moves, moves by whole
 * megabytes, the slots are those of nodes. Then, in one turn, the two inodes change their maps.
 * Until then the file is what it was, and a crash leaves it so: the nameless inode is an orphan,
 * which the next mount gives back. Promises of space stay with the old map: what is moved is data
 * and holes.
 *
 * The whole file is held in both locks meanwhile. Readers see the old file, then the new one.
 */
import {
  BLOCK_SIZE,
  blocksFor,
  FilesystemError,
  type InodeNumber,
  MAX_OFFSET,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import {
  type AllocateMutation,
  copySlot,
  InodeKind,
  MAP_FANOUT,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
} from '../format/index.ts';
import { EVERYTHING } from '../iomap/index.ts';
import { MapPosition } from '../tree/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';
import { InlineMove } from './inline-move.ts';
import { checkWritable } from './mutate.ts';
import { checkUnpinned } from './pin.ts';
import { freeOrphan, makeOrphan, planFreeOrphan, planOrphan } from './removal.ts';
import { forEachDataRoot } from './roots.ts';
import { ATTRIBUTES_AT, type Vnode } from './vnode.ts';

/** Parts of the old map that one turn passes over without finding data. */
const TURN_HOLES = 64;

type Phase = 'begin' | 'cut' | 'copy' | 'swap' | 'free';

export class Shift extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #done: () => void;
  readonly #move: InlineMove;
  /** The inode with the new map. */
  #other: Vnode | undefined;
  readonly #slots = new Uint32Array(MAP_FANOUT * SLOT_WORDS);
  readonly #node = new Uint32Array(SLOT_WORDS);
  /** Whether the turn moves a node. */
  #whole = false;
  readonly #position = new MapPosition();
  /** File blocks: where the change begins, and how many there are more, or fewer, from then on. */
  readonly #first: number;
  readonly #count: number;
  #phase: Phase = 'begin';
  #moving = false;
  /** Block of the old map to go on from, and how many the turn takes. */
  #from: number;
  #blocks = 0;
  /** Mapped blocks in the range that goes. */
  #lost = 0;

  /** `done` runs in the turn in which the file changes. @throws `EINVAL` for a part of a block */
  constructor(
    engine: Engine,
    { target, offset, length }: AllocateMutation,
    what: 'collapse' | 'insert',
    done: () => void,
  ) {
    super();
    this.#engine = engine;
    this.#vnode = engine.vnode(target);
    checkFile(this.#vnode);
    this.#done = done;
    this.#move = new InlineMove(engine, this.#vnode);
    if (offset % BLOCK_SIZE !== 0 || length % BLOCK_SIZE !== 0) {
      throw invalid(what, `bytes ${offset}, ${length} long, which are no whole blocks`);
    }
    this.#first = offset / BLOCK_SIZE;
    this.#count = ((what === 'insert' ? 1 : -1) * length) / BLOCK_SIZE;
    this.#from = this.#first;
  }

  protected override prepare(plan: Plan): void {
    const { store, pool, inodes } = this.#engine;
    const vnode = this.#vnode;
    if (!store.admit(plan)) return;
    if (this.#phase === 'free') {
      this.#planFree(plan);
      return;
    }
    checkWritable(vnode);
    if (this.#phase === 'begin') checkUnpinned(vnode);
    // Before the file is locked: a copy out wants the same lock.
    if (!pool.settled(plan, (file) => file === vnode)) return;
    if (!vnode.lock.acquire(this, EVERYTHING, plan)) return;
    if (!vnode.cowLock.free(this, EVERYTHING, plan)) return;
    if (this.#phase === 'begin') this.#check();
    this.#moving = this.#move.needed;
    if (this.#moving) {
      if (inodes.planClaim(vnode, plan)) this.#move.plan(plan);
      return;
    }
    // Nobody can make anything dirty any more: so this waits once.
    if (!pool.drained(plan, (file) => file === vnode)) return;
    if (this.#phase === 'begin') this.#planBegin(plan);
    else if (this.#phase === 'cut') this.#planCut(plan);
    else if (this.#phase === 'copy') this.#planCopy(plan);
    else this.#planSwap(plan);
  }

  protected override apply(): boolean {
    this.plan.pause = true;
    this.#engine.store.blocks.unpin(this.plan);
    if (this.#moving) {
      this.#move.apply();
      return false;
    }
    switch (this.#phase) {
      case 'begin':
        this.#begin();
        return false;
      case 'cut':
        this.#cut();
        return false;
      case 'copy':
        this.#copy();
        return false;
      case 'swap':
        this.#swap();
        return false;
      default:
        this.#free();
        return this.finish(undefined);
    }
  }

  /** Once the file has changed, it has: what is left over is the volume's concern. */
  override fail(error: Error): void {
    if (this.#phase === 'free' && !this.done) this.finish(undefined);
    else super.fail(error);
  }

  protected override release(): void {
    this.#vnode.lock.release(this);
    this.#engine.store.blocks.unpin(this.plan);
    this.#move.cancel();
    if (this.#other === undefined) return;
    this.#engine.stray(this.#other);
    this.#other = undefined;
  }

  /** @throws {FilesystemError} `EINVAL` as the kernel has it, `EFBIG` */
  #check(): void {
    const { size } = this.#vnode;
    const start = this.#first * BLOCK_SIZE;
    if (this.#count < 0 && start - this.#count * BLOCK_SIZE >= size) {
      throw invalid('collapse', `a range up to the end of the file, which has ${size} bytes`);
    }
    if (this.#count > 0 && start >= size) {
      throw invalid('insert', `byte ${start} of a file with ${size}`);
    }
    if (this.#newSize > MAX_OFFSET - BLOCK_SIZE) {
      throw new FilesystemError('EFBIG', `Cannot make a file of ${this.#newSize} bytes`);
    }
  }

  get #newSize(): number {
    return this.#vnode.size + this.#count * BLOCK_SIZE;
  }

  /** The other inode gets its number only when it is made: here it is what that will be. */
  #planBegin(plan: Plan): void {
    const { cow, store, table } = this.#engine;
    const vnode = this.#vnode;
    this.#other ??= table.make();
    this.#other.ino = store.state.nextInode as InodeNumber;
    this.#other.realm = vnode.realm;
    this.#other.holds = 1;
    if (!planOrphan(this.#engine, this.#other, plan)) return;
    forEachDataRoot(vnode, (at, role, detail) =>
      cow.planShare(vnode.slots, at, role, detail, plan),
    );
    store.settle(plan, 'normal');
  }

  #begin(): void {
    const { cow } = this.#engine;
    const vnode = this.#vnode;
    const other = this.#other as Vnode;
    vnode.revokeViews(this.#first * BLOCK_SIZE, Number.POSITIVE_INFINITY, 'replaced');
    // While the log is replayed the number stays free: what was done meanwhile has it.
    if (!this.#engine.store.recovering) this.#engine.takeInode(other.ino);
    other.kind = InodeKind.FILE;
    other.mode = vnode.mode;
    other.uid = vnode.uid;
    other.gid = vnode.gid;
    other.mtime = vnode.mtime;
    other.ctime = vnode.ctime;
    other.atime = vnode.atime;
    other.btime = vnode.btime;
    other.nlink = 0;
    other.unlinked = true;
    // A saturated target is copied for the slot that shares it: the other's, not the file's own.
    other.slots.set(vnode.slots.subarray(0, ATTRIBUTES_AT));
    forEachDataRoot(vnode, (at, role, detail) => cow.share(other.slots, at, role, detail));
    other.depth = vnode.depth;
    other.size = Math.max(vnode.size, this.#newSize);
    makeOrphan(this.#engine, other);
    this.#phase = 'cut';
  }

  #planCut(plan: Plan): void {
    const { inodes, maps, reclaimer, store } = this.#engine;
    const other = this.#other as Vnode;
    if (!inodes.planClaim(other, plan)) return;
    maps.planCut(other, this.#first, inodes.planShared, plan);
    reclaimer.planAdd(2 * other.depth + 1, plan);
    inodes.planRewrite(other, plan);
    store.settle(plan, 'normal');
  }

  #cut(): void {
    const { inodes, maps, reclaimer } = this.#engine;
    const other = this.#other as Vnode;
    inodes.claim(other);
    maps.cut(other, this.#first, reclaimer.add);
    this.#record(other);
    this.#phase = 'copy';
  }

  /** Plans the next blocks of the old map that are mapped; holes are passed over. */
  #planCopy(plan: Plan): void {
    const { cow, inodes, maps, store } = this.#engine;
    this.#blocks = 0;
    if (!this.#findData(plan) || this.#blocks === 0) return;
    this.#whole = false;
    if (!this.#isLost && !this.#planNode(plan)) return;
    if (!this.#whole && !this.#getSlots(plan)) return;
    if (this.#isLost) return;
    for (let i = 0; !this.#whole && i < this.#blocks; i++) {
      const at = i * SLOT_WORDS;
      if (slotHasBlock(this.#slots, at)) cow.planShare(this.#slots, at, SlotRole.DATA, 0, plan);
    }
    const other = this.#other as Vnode;
    if (!inodes.planClaim(other, plan)) return;
    const run = { first: this.#from + this.#count, count: this.#blocks };
    maps.planSet(other, run, inodes.planShared, plan);
    inodes.planRewrite(other, plan);
    store.settle(plan, 'normal');
  }

  #getSlots(plan: Plan): boolean {
    const { maps } = this.#engine;
    return maps.getSlots(this.#vnode, this.#from, this.#slots, this.#blocks, plan);
  }

  /** Blocks that a node maps from here on. */
  get #nodeBlocks(): number {
    return Math.min(MAP_FANOUT, blocksFor(this.#vnode.size) - this.#from);
  }

  /** Whether the turn moves a node as it is: then that is planned. False: the plan has needs. */
  #planNode(plan: Plan): boolean {
    const { cow, maps, store } = this.#engine;
    const aligned = this.#count % MAP_FANOUT === 0 && this.#from % MAP_FANOUT === 0;
    if (!aligned) return true;
    const position = this.#position;
    if (!maps.locateNode(this.#vnode, this.#from, position, plan)) return false;
    if (!position.hasSlot) return true;
    copySlot(position.words, position.at, this.#node, 0);
    const block = slotBlock(this.#node, 0);
    if (!store.groups.wantNamed(block, plan)) return false;
    // A node that has to be copied is no less work than its slots, and more at once.
    this.#whole = !store.groups.isSaturated(block);
    if (this.#whole) cow.planShare(this.#node, 0, SlotRole.MAP, 0, plan);
    this.#blocks = this.#whole ? this.#nodeBlocks : this.#blocks;
    return true;
  }

  /** True while the blocks of the turn are in a range that is to go: they are only counted. */
  get #isLost(): boolean {
    return this.#count < 0 && this.#from < this.#first - this.#count;
  }

  /** Finds the next part of the old map with a node. False if the plan has needs. */
  #findData(plan: Plan): boolean {
    const end = blocksFor(this.#vnode.size);
    const position = this.#position;
    for (let looks = 0; this.#from < end && looks < TURN_HOLES; looks++) {
      if (!this.#engine.maps.locate(this.#vnode, this.#from, position, plan)) return false;
      const stop = this.#isLost ? this.#first - this.#count : end;
      const part = Math.min(position.left, stop - this.#from);
      if (position.hasSlot) {
        this.#blocks = Math.min(part, this.#engine.turnBlocks);
        return true;
      }
      this.#from += part;
    }
    return true;
  }

  #copy(): void {
    const { cow, inodes, maps } = this.#engine;
    const slots = this.#slots;
    const lost = this.#isLost;
    if (this.#blocks > 0 && this.#whole) {
      this.#copyNode();
      return;
    }
    for (let at = 0; at < this.#blocks * SLOT_WORDS; at += SLOT_WORDS) {
      if (!slotHasBlock(slots, at)) continue;
      if (lost) this.#lost++;
      else cow.share(slots, at, SlotRole.DATA, 0);
    }
    if (this.#blocks > 0 && !lost) {
      const other = this.#other as Vnode;
      inodes.claim(other);
      maps.setSlots(other, this.#from + this.#count, slots, this.#blocks);
      this.#record(other);
    }
    this.#pass();
  }

  #copyNode(): void {
    const { cow, inodes, maps } = this.#engine;
    const other = this.#other as Vnode;
    inodes.claim(other);
    cow.share(this.#node, 0, SlotRole.MAP, 0);
    maps.setNode(other, this.#from + this.#count, this.#node);
    this.#record(other);
    this.#pass();
  }

  /** The blocks of the turn are done. */
  #pass(): void {
    this.#from += this.#blocks;
    if (this.#from >= blocksFor(this.#vnode.size)) this.#phase = 'swap';
  }

  #planSwap(plan: Plan): void {
    const { inodes, store } = this.#engine;
    for (const vnode of [this.#vnode, this.#other as Vnode]) {
      if (!inodes.planClaim(vnode, plan)) return;
      inodes.planRewrite(vnode, plan, inodes.planShared);
    }
    store.settle(plan, 'normal');
  }

  #swap(): void {
    const { inodes } = this.#engine;
    const [vnode, other] = [this.#vnode, this.#other as Vnode];
    const size = this.#newSize;
    inodes.claim(vnode);
    inodes.claim(other);
    const [slots, depth] = [vnode.slots.slice(0, ATTRIBUTES_AT), vnode.depth];
    vnode.slots.set(other.slots.subarray(0, ATTRIBUTES_AT));
    vnode.depth = other.depth;
    vnode.blocks = Math.min(Math.max(0, vnode.blocks - this.#lost), blocksFor(size));
    other.slots.set(slots);
    other.depth = depth;
    other.size = vnode.size;
    if (size < vnode.size) vnode.cuts++;
    vnode.size = size;
    vnode.change++;
    vnode.dataSequence++;
    this.#record(other);
    this.#done();
    this.#record(vnode);
    this.#vnode.lock.release(this);
    this.#phase = 'free';
  }

  #record(vnode: Vnode): void {
    this.#engine.inodes.touch(vnode);
    this.#engine.inodes.rewrite(vnode);
  }

  #planFree(plan: Plan): void {
    const other = this.#other as Vnode;
    if (!planFreeOrphan(this.#engine, other, this, plan)) return;
    this.#engine.store.settle(plan, 'delete');
  }

  #free(): void {
    const other = this.#other as Vnode;
    other.holds = 0;
    this.#other = undefined;
    freeOrphan(this.#engine, other);
  }
}

function invalid(what: string, finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot ${what} a range: found ${finding}`);
}
