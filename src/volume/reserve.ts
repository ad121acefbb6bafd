/**
 * Reserve: space for a range of a file before there is data for it, as fallocate(2) does it.
 *
 * The holes of the range become unwritten: they read as zeros, have no address, and what will be
 * written there has its blocks, and the nodes that map them, promised (U1). A hole of any length is
 * one slot at the highest level that it fills, so the work is that of looking at what is mapped.
 */
import { BLOCK_SIZE, blocksFor, type Plan, PlannedOperation } from '../base/index.ts';
import { type AllocateMutation, SLOT_WORDS, SlotKind, slotKind } from '../format/index.ts';
import type { LockRange } from '../iomap/index.ts';
import { type BlockRange, MapPosition } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import { InlineMove } from './inline-move.ts';
import { checkWritable } from './mutate.ts';
import { checkUnpinned } from './pin.ts';
import type { Vnode } from './vnode.ts';

/** Nodes that one turn looks at. */
const TURN_NODES = 64;

type Turn = 'move' | 'mark' | 'end' | 'nothing';

/**
 * Reserves a range; the file gets longer unless `keepSize`. What was reserved before a failure
 * stays reserved, and no byte has changed.
 */
export class Reserve extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #record: AllocateMutation;
  readonly #keepSize: boolean;
  readonly #move: InlineMove;
  readonly #position = new MapPosition();
  readonly #done: () => void;
  /** File blocks before this one have their space. */
  #at: number;
  readonly #end: number;
  readonly #locked: LockRange;
  #turn: Turn = 'nothing';
  #range: BlockRange = { first: 0, end: 0 };

  /** `done` runs in the last turn. */
  constructor(engine: Engine, record: AllocateMutation, keepSize: boolean, done: () => void) {
    super();
    this.#engine = engine;
    this.#record = record;
    this.#vnode = engine.vnode(record.target);
    this.#keepSize = keepSize;
    this.#done = done;
    this.#move = new InlineMove(engine, this.#vnode);
    this.#at = Math.floor(record.offset / BLOCK_SIZE);
    this.#end = blocksFor(record.offset + record.length);
    this.#locked = {
      start: this.#at * BLOCK_SIZE,
      end: this.#end * BLOCK_SIZE,
      exclusive: true,
    };
  }

  protected override prepare(plan: Plan): void {
    const { store, inodes } = this.#engine;
    const vnode = this.#vnode;
    this.#turn = 'nothing';
    checkWritable(vnode);
    checkUnpinned(vnode);
    if (!store.admit(plan) || !vnode.lock.acquire(this, this.#locked, plan)) return;
    if (!inodes.planClaim(vnode, plan)) return;
    const above = inodes.planShared;
    if (this.#move.needed) {
      if (this.#move.plan(plan)) this.#turn = 'move';
      return;
    }
    if (!this.#findHole(plan)) return;
    if (this.#at >= this.#end) {
      inodes.planRewrite(vnode, plan);
      if (store.settle(plan, 'normal')) this.#turn = 'end';
    } else if (this.#range.end > this.#range.first) {
      const promised = this.#engine.maps.planMark(vnode, this.#range, above, plan);
      inodes.planRewrite(vnode, plan);
      // The data of a replay has its place, which it drew from this promise.
      if (store.settle(plan, 'normal', store.recovering ? 0 : promised)) this.#turn = 'mark';
    }
  }

  protected override apply(): boolean {
    const { inodes, maps, store } = this.#engine;
    const vnode = this.#vnode;
    if (this.#turn === 'move') this.#move.apply();
    if (this.#turn === 'mark') {
      inodes.claim(vnode);
      maps.mark(vnode, this.#range);
      vnode.dataSequence++;
      this.#at = this.#range.end;
      inodes.touch(vnode);
      inodes.rewrite(vnode);
    }
    store.blocks.unpin(this.plan);
    if (this.#turn === 'end') {
      this.#setSize();
      return this.finish(undefined);
    }
    this.plan.pause = true;
    return false;
  }

  protected override release(): void {
    this.#vnode.lock.release(this);
    this.#engine.store.blocks.unpin(this.plan);
    this.#move.cancel();
  }

  #setSize(): void {
    const { inodes } = this.#engine;
    const vnode = this.#vnode;
    const { offset, length } = this.#record;
    inodes.claim(vnode);
    if (!this.#keepSize) vnode.size = Math.max(vnode.size, offset + length);
    vnode.change++;
    this.#done();
    inodes.rewrite(vnode);
  }

  /**
   * Goes on to the next part of the map with holes in it: a hole without a node, or what one node
   * maps. False if the plan has needs.
   */
  #findHole(plan: Plan): boolean {
    const position = this.#position;
    this.#range = { first: 0, end: 0 };
    for (let nodes = 0; this.#at < this.#end && nodes < TURN_NODES; nodes++) {
      if (!this.#engine.maps.locate(this.#vnode, this.#at, position, plan)) return false;
      const part = Math.min(position.left, this.#end - this.#at);
      const range = { first: this.#at, end: this.#at + part };
      const hole = position.hasSlot ? holeIn(position, part) : position.kind === SlotKind.HOLE;
      if (hole) {
        this.#range = range;
        return true;
      }
      this.#at = range.end;
    }
    return true;
  }
}

function holeIn({ words, at }: MapPosition, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (slotKind(words, at + i * SLOT_WORDS) === SlotKind.HOLE) return true;
  }
  return false;
}
