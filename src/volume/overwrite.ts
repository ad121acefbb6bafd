/**
 * Overwrite: data that goes to where the data before it is, in files that ask for it.
 *
 * A block may be written over if nobody else sees it: not now, not in a root that a mount may take
 * after a crash, and not in what a replay of the log makes of one. Otherwise a snapshot that was
 * deleted would be back after a crash, with new data. So of each block:
 *
 * OW1. It is the file's alone now: no node on the way to it, from the meta root down, and not
 *      the block itself has more than one reference. It has no checksum, and no reader holds it.
 * OW2. It was so in the two newest roots, at this very place of this file. Its birth tells that it
 *      was there. That the record was nobody else's tells `aloneTxg`: it was seen to be so in that
 *      txg, and no clone since has shared it ({@link Overwrites.shared}). For the map below the
 *      record it is told by what the groups know of nodes and blocks that lost a reference since.
 * OW3. No mutation that a replay would do changes the block: where a file was cut, cleared, moved
 *      or made longer, it is `unsettled` until the txg of that is history.
 *
 * A txg is history once the root after its own is durable: then the two newest roots have all of
 * it, and the log of neither tells of it. Whatever does not fit is copied, as everything else is;
 * so none of this has to be on the device, and a mount begins knowing nothing.
 */
import { assert, BLOCK_SIZE, Plan, roundDown } from '../base/index.ts';
import {
  InodeFlag,
  NOCSUM,
  SLOT_WORDS,
  SlotKind,
  slotBirth,
  slotBlock,
  slotFlags,
  slotKind,
} from '../format/index.ts';
import type { Placement } from '../iomap/index.ts';
import type { Store } from '../store/index.ts';
import { type FileMaps, MapPosition } from '../tree/index.ts';
import type { Inodes } from './inodes.ts';
import type { Vnode } from './vnode.ts';

/** From byte `from` on nothing of a file is written over until the open txg is history (OW3). */
export function unsettle(store: Store, vnode: Vnode, from: number): void {
  if (!vnode.has(InodeFlag.INPLACE)) return;
  const start = Math.max(0, roundDown(from, BLOCK_SIZE));
  const others = vnode.unsettled.filter(({ txg }) => txg !== store.txg && !store.isSettled(txg));
  const same = vnode.unsettled.find(({ txg }) => txg === store.txg);
  const least = Math.min(start, same?.from ?? start);
  vnode.unsettled = [...others, { txg: store.txg, from: least }];
}

export class Overwrites {
  readonly #store: Store;
  readonly #inodes: Inodes;
  readonly #maps: FileMaps;
  readonly #position = new MapPosition();
  /** Of what was planned for nothing is missing. */
  readonly #noPlan = new Plan();
  /** Those with an `aloneTxg`. */
  readonly #alone = new Set<Vnode>();

  constructor(store: Store, inodes: Inodes, maps: FileMaps) {
    this.#store = store;
    this.#inodes = inodes;
    this.#maps = maps;
  }

  /** Records are shared that had one owner: of each inode for which `isShared` holds. */
  shared(isShared: (vnode: Vnode) => boolean): void {
    for (const vnode of this.#alone) if (isShared(vnode)) this.forget(vnode);
  }

  /** An inode leaves memory, or is not alone any more. */
  forget(vnode: Vnode): void {
    if (this.#alone.delete(vnode)) vnode.aloneTxg = 0 as Vnode['aloneTxg'];
  }

  /** Makes sure that {@link find} cannot miss in these file blocks. */
  plan(vnode: Vnode, first: number, count: number, plan: Plan): boolean {
    const { blocks, groups } = this.#store;
    const position = this.#position;
    if (!this.#inodes.planClaim(vnode, plan)) return false;
    for (let at = first; at < first + count; ) {
      if (this.#maps.wasShared(vnode, at, plan) === undefined) return false;
      if (!this.#maps.locate(vnode, at, position, plan)) return false;
      const part = Math.min(position.left, first + count - at);
      for (let i = 0; position.hasSlot && i < part; i++) {
        const slot = position.at + i * SLOT_WORDS;
        if (slotKind(position.words, slot) !== SlotKind.DATA) continue;
        const block = slotBlock(position.words, slot);
        // Who reads it now would see a mixture, and keep it.
        if (groups.wantNamed(block, plan)) blocks.isSettled(block, plan);
      }
      at += part;
    }
    return plan.ready;
  }

  /**
   * Whether the block `first` of a file may be written over; in `placement` where it is, and how
   * many of the `count` blocks from there on may likewise, and follow it. If not, how many may not.
   */
  find(vnode: Vnode, first: number, count: number, placement: Placement): boolean {
    const position = this.#position;
    placement.count = count;
    if (!vnode.fixed && !this.#isAlone(vnode)) return false;
    this.#maps.locate(vnode, first, position, this.#noPlan);
    placement.count = Math.min(count, position.left);
    if (!position.hasSlot) return false;
    if (!vnode.fixed && this.#maps.wasShared(vnode, first, this.#noPlan)) return false;
    const found = this.#mayOverwrite(vnode, first, 0);
    assert(found || !vnode.fixed, 'a file that is fixed has blocks that may be written over (PN1)');
    placement.block = slotBlock(position.words, position.at);
    let length = 1;
    while (length < placement.count && this.#goesOn(vnode, first, length, found)) length++;
    placement.count = length;
    return found;
  }

  /** Whether the record of an inode is, and was, its alone (OW1, OW2). */
  #isAlone(vnode: Vnode): boolean {
    const store = this.#store;
    if (store.recovering) return false;
    this.#inodes.planClaim(vnode, this.#noPlan);
    if (this.#inodes.planShared) {
      this.forget(vnode);
      return false;
    }
    this.see(vnode);
    return store.isSettled(vnode.aloneTxg);
  }

  /** The record of an inode was just seen to be nobody else's. */
  see(vnode: Vnode): void {
    if (this.#alone.has(vnode)) return;
    this.#alone.add(vnode);
    vnode.aloneTxg = this.#store.txg;
  }

  /** Whether block `i` from the position on is as the first one is, and behind it on the device. */
  #goesOn(vnode: Vnode, first: number, i: number, found: boolean): boolean {
    if (this.#mayOverwrite(vnode, first + i, i) !== found) return false;
    const { words, at } = this.#position;
    return !found || slotBlock(words, at + i * SLOT_WORDS) === slotBlock(words, at) + i;
  }

  /** Whether a file block, whose slot is `i` behind the position, may be written over. */
  #mayOverwrite(vnode: Vnode, fileBlock: number, i: number): boolean {
    const { groups, blocks } = this.#store;
    const { words } = this.#position;
    const at = this.#position.at + i * SLOT_WORDS;
    if (slotFlags(words, at) !== (SlotKind.DATA | NOCSUM)) return false;
    const block = slotBlock(words, at);
    // Whoever holds a block of such a file knows that it changes.
    if (vnode.fixed) return true;
    return (
      this.#store.isSettled(slotBirth(words, at)) &&
      groups.isExclusive(block) &&
      !groups.unshared.has(block) &&
      !blocks.isLoading(block) &&
      !this.#isUnsettled(vnode, fileBlock * BLOCK_SIZE)
    );
  }

  #isUnsettled(vnode: Vnode, at: number): boolean {
    return vnode.unsettled.some(({ txg, from }) => from <= at && !this.#store.isSettled(txg));
  }
}
