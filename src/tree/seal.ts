/**
 * Seal: gives every dirty slot the checksum of its target, children before parents.
 *
 * It runs when a transaction group closes, in one turn, so no tree changes meanwhile. Only ways
 * through dirty slots are followed: a slot is dirty exactly if its target was born in the txg that
 * closes (I1). A target that two slots name, because it was cloned in the same txg, is hashed once.
 * The walk keeps its own stack: directories may be nested deeper than calls may.
 */
import { BLOCK_SIZE, type Block, CorruptionError, type Frame, NO_FRAME } from '../base/index.ts';
import {
  DIRTY,
  SlotRole,
  type SlotVisitor,
  sealSlot,
  setNodeBirth,
  slotBlock,
  slotFlags,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import { visitSlots } from './nodes.ts';

/** One dirty slot on the way. */
interface Pending {
  readonly words: Uint32Array;
  readonly at: number;
  readonly role: SlotRole;
  readonly detail: number;
  open: boolean;
}

export class Sealer {
  readonly #store: Store;
  readonly #checksums: Uint32Array;
  /** Txg in which a frame was sealed, so that nothing has to be cleared between commits. */
  readonly #sealedIn: Float64Array;
  readonly #stack: Pending[] = [];

  constructor(store: Store) {
    this.#store = store;
    this.#checksums = new Uint32Array(store.blocks.frameCount);
    this.#sealedIn = new Float64Array(store.blocks.frameCount);
  }

  /** Seals the slot and everything dirty below it. */
  seal(words: Uint32Array, at: number, role: SlotRole, detail: number): void {
    this.#push(words, at, role, detail);
    for (let top = this.#stack.at(-1); top !== undefined; top = this.#stack.at(-1)) {
      if (top.open) {
        this.#stack.pop();
        this.#close(top);
        continue;
      }
      top.open = true;
      const frame = this.#frameOf(top);
      if (!this.#isSealed(frame) && top.role !== SlotRole.DATA) {
        visitSlots(this.#store.blocks, frame, top.role, top.detail, this.#push);
      }
    }
  }

  /** After the seal of this txg: gives a copy of a dirty slot, kept elsewhere, its checksum too. */
  refresh(words: Uint32Array, at: number): void {
    if ((slotFlags(words, at) & DIRTY) === 0) return;
    const block = slotBlock(words, at);
    const frame = this.#store.blocks.find(block);
    if (frame === NO_FRAME || !this.#isSealed(frame)) throw this.#givenUp(block);
    sealSlot(words, at, this.#checksums[frame] as number);
  }

  readonly #push: SlotVisitor = (words, at, role, detail) => {
    if ((slotFlags(words, at) & DIRTY) === 0) return;
    this.#stack.push({ words, at, role, detail, open: false });
  };

  #close(slot: Pending): void {
    const frame = this.#frameOf(slot);
    if (!this.#isSealed(frame)) {
      if (slot.role === SlotRole.KEYED) {
        setNodeBirth(this.#store.blocks.words, this.#store.base(frame), this.#store.txg);
      }
      this.#checksums[frame] = this.#store.blocks.checksumOf(frame);
      this.#store.blocks.sealed(frame, this.#checksums[frame] as number);
      this.#sealedIn[frame] = this.#store.txg;
    }
    sealSlot(slot.words, slot.at, this.#checksums[frame] as number);
  }

  #isSealed(frame: Frame): boolean {
    return this.#sealedIn[frame] === this.#store.txg;
  }

  #frameOf(slot: Pending): Frame {
    const block: Block = slotBlock(slot.words, slot.at);
    const frame = this.#store.blocks.find(block);
    if (frame !== NO_FRAME && this.#store.dirty.has(frame)) return frame;
    throw this.#givenUp(block);
  }

  /**
   * Of two slots with one target the counts knew one only, and it was given up. What is in memory
   * must not reach the device.
   */
  #givenUp(block: Block): CorruptionError {
    const finding = `its target, block ${block}, is dirty, and was given up by another slot`;
    const error = new CorruptionError('slot', block * BLOCK_SIZE, finding);
    this.#store.latch(error);
    return error;
  }
}
