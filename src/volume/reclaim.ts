/**
 * Reclaim: giving back what a deleted tree used, a little at a time.
 *
 * Deleting moves the reference to a tree into a queue; that is all a delete waits for. The queue is
 * worked off newest first, so that it stays as short as the tree is high: an item whose target
 * nobody else uses hands its children on and then goes; one whose target is shared only lowers a
 * count. `resume` tells how many of a node's children have been handed on, counting those that name
 * a block.
 *
 * Z1. An item owns one reference. A node behind an item with `resume` > 0 has count 1, and its
 *     children before `resume` belong to nobody any more, or to other items. Its slots there are
 *     not dirty, whatever they name: a txg that closes would follow them.
 */
import {
  type Frame,
  NO_FRAME,
  type Operation,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import {
  copySlot,
  DIRTY,
  RECLAIM_RECORD_SIZE,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  SLOT_WORDS,
  SlotRole,
  type SlotVisitor,
  sealSlot,
  slotBlock,
  slotFlags,
  slotHasBlock,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import {
  blockKind,
  type Cow,
  KeyedPosition,
  type KeyedTrees,
  unwrittenIn,
  visitSlots,
} from '../tree/index.ts';
import type { Inodes } from './inodes.ts';
import type { Vnode } from './vnode.ts';

/** Nodes that one operation works off before others get their turn. */
const SLICE = 256;

export interface ReclaimParts {
  readonly store: Store;
  readonly cow: Cow;
  readonly trees: KeyedTrees;
  readonly inodes: Inodes;
  /** The inode that is the queue. */
  readonly queue: Vnode;
}

export class Reclaimer {
  readonly #parts: ReclaimParts;
  /** Key of the next item; every item before it is in the tree or done. */
  #nextKey = 0;
  readonly #position = new KeyedPosition();
  #running: Reclaim | undefined;

  constructor(parts: ReclaimParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return !slotHasBlock(this.#parts.queue.slots, 0);
  }

  /** The item with this key was the last one there when the volume was opened. */
  startAfter(key: number): void {
    this.#nextKey = key + 1;
  }

  /** Plans {@link add} of up to `count` references. */
  planAdd(count: number, plan: Plan): void {
    const { inodes, trees, queue } = this.#parts;
    if (count === 0 || !inodes.planClaim(queue, plan)) return;
    const above = inodes.planShared;
    for (let i = 0; i < count; i += 64) {
      trees.planInsert(queue.entries, this.#nextKey, above, plan);
    }
  }

  /** Takes over the reference in a slot; the slot itself is left to the caller. */
  readonly add: SlotVisitor = (words, at, role, detail) => {
    const { inodes, trees, queue, store } = this.#parts;
    if (!slotHasBlock(words, at)) return;
    const position = this.#position;
    const slot = words.slice(at, at + SLOT_WORDS);
    inodes.claim(queue);
    trees.insert(queue.entries, this.#nextKey++, RECLAIM_RECORD_SIZE, position);
    inodes.touch(queue);
    const { bytes, words: memory } = store.blocks;
    bytes.fill(0, position.at, position.at + RECLAIM_RECORD_SIZE);
    bytes[position.at] = RECLAIM_RECORD_SIZE;
    bytes[position.at + 2] = role;
    bytes[position.at + 3] = detail;
    copySlot(slot, 0, memory, (position.at + RECLAIM_SLOT) / 4);
  };

  /** An operation that works the queue off for a while; undefined if there is nothing to do. */
  work(): Operation<unknown> | undefined {
    if (this.isEmpty) return undefined;
    if (this.#running === undefined || this.#running.done) {
      this.#running = new Reclaim(this.#parts, this);
    }
    return this.#running;
  }
}

/** One item of the queue, copied out. */
interface Item {
  key: number;
  role: SlotRole;
  detail: number;
  resume: number;
  readonly slot: Uint32Array;
}

/** Works off up to {@link SLICE} nodes; its result tells whether the queue is empty. */
class Reclaim extends PlannedOperation<boolean> {
  readonly shared = true;
  readonly #parts: ReclaimParts;
  readonly #reclaimer: Reclaimer;
  readonly #item: Item = {
    key: 0,
    role: SlotRole.DATA,
    detail: 0,
    resume: 0,
    slot: new Uint32Array(SLOT_WORDS),
  };
  readonly #position = new KeyedPosition();
  #left = SLICE;
  #empty = false;

  constructor(parts: ReclaimParts, reclaimer: Reclaimer) {
    super();
    this.#parts = parts;
    this.#reclaimer = reclaimer;
  }

  protected override prepare(plan: Plan): void {
    const { store } = this.#parts;
    if (!store.admit(plan, false)) return;
    const found = this.#newest(plan);
    if (found === 'missing') return;
    this.#empty = found === 'none';
    if (this.#empty || this.#left === 0) return;
    this.#planItem(plan);
    store.settle(plan, 'reclaim');
  }

  protected override apply(): boolean {
    this.#parts.store.blocks.unpin(this.plan);
    if (this.#empty || this.#left === 0) return this.finish(this.#empty);
    this.#left--;
    this.#workItem();
    return false;
  }

  protected override release(): void {
    this.#parts.store.blocks.unpin(this.plan);
  }

  /** The newest item. */
  #newest(plan: Plan): 'found' | 'none' | 'missing' {
    const { trees, queue, store } = this.#parts;
    const key = trees.lastKey(queue.entries, plan);
    if (key === undefined) return 'missing';
    if (key < 0) return 'none';
    const found = trees.find(queue.entries, key, this.#position, plan);
    if (found !== 'found') return found;
    const { bytes, words } = store.blocks;
    const { at } = this.#position;
    this.#item.key = key;
    this.#item.role = bytes[at + 2] as SlotRole;
    this.#item.detail = bytes[at + 3] as number;
    this.#item.resume = words[(at + RECLAIM_RESUME) / 4] as number;
    copySlot(words, (at + RECLAIM_SLOT) / 4, this.#item.slot, 0);
    return 'found';
  }

  #planItem(plan: Plan): void {
    const { store, cow, trees, inodes, queue } = this.#parts;
    const { slot, role, detail, key, resume } = this.#item;
    inodes.planClaim(queue, plan);
    const above = inodes.planShared;
    trees.planRemove(queue.entries, key, above, plan);
    if (!cow.planRelease(slot, 0, plan) || store.groups.count(slotBlock(slot, 0)) > 1) return;
    if (role === SlotRole.DATA) return;
    const frame = store.want(slot, 0, blockKind(role, detail), plan);
    if (frame === NO_FRAME) return;
    let index = 0;
    visitSlots(store.blocks, frame, role, detail, (words, at, childRole) => {
      if (index++ >= resume && childRole === SlotRole.DATA) cow.planRelease(words, at, plan);
    });
    this.#reclaimer.planAdd(1, plan);
  }

  #workItem(): void {
    const { store } = this.#parts;
    const { slot, role, detail, resume } = this.#item;
    const exclusive = store.groups.count(slotBlock(slot, 0)) === 1;
    if (exclusive && role !== SlotRole.DATA) {
      const frame = store.resident(slot, 0);
      const next = this.#handOn(frame, role, detail, resume);
      if (next !== undefined) {
        this.#resumeAt(next.index);
        this.#reclaimer.add(next.words, 0, next.role, next.detail);
        return;
      }
    }
    if (exclusive && role === SlotRole.MAP) {
      const base = store.base(store.resident(slot, 0));
      store.space.setAside(-unwrittenIn(store.blocks.words, base, detail));
    }
    store.release(slot, 0);
    const { inodes, trees, queue } = this.#parts;
    inodes.claim(queue);
    trees.remove(queue.entries, this.#item.key);
    inodes.touch(queue);
  }

  /**
   * Gives back the data that a node names, from child `resume` on, up to and with the first child
   * that is a tree of its own: that one is the next item.
   */
  #handOn(frame: Frame, role: SlotRole, detail: number, resume: number): NextItem | undefined {
    const { store } = this.#parts;
    let index = 0;
    let next: NextItem | undefined;
    visitSlots(store.blocks, frame, role, detail, (words, at, childRole, childDetail) => {
      if (index++ < resume || next !== undefined) return;
      if (childRole === SlotRole.DATA) store.release(words, at);
      else {
        const copy = words.slice(at, at + SLOT_WORDS);
        next = { words: copy, role: childRole, detail: childDetail, index };
      }
      // The node outlives what it names here, and the txg may close before it goes.
      if ((slotFlags(words, at) & DIRTY) !== 0) sealSlot(words, at, 0);
    });
    return next;
  }

  #resumeAt(resume: number): void {
    const { inodes, trees, queue, store } = this.#parts;
    inodes.claim(queue);
    trees.update(queue.entries, this.#item.key, this.#position);
    inodes.touch(queue);
    store.blocks.words[(this.#position.at + RECLAIM_RESUME) / 4] = resume;
  }
}

interface NextItem {
  readonly words: Uint32Array;
  readonly role: SlotRole;
  readonly detail: number;
  readonly index: number;
}
