/**
 * Copy on write: the one rule by which nodes are shared, copied and changed.
 *
 * T3. A node is changed only if it was born in the open txg, its count is 1, and the same holds for
 *     every node above it: nobody else can see it. Walking from the root keeps this, since copying
 *     a shared node makes its children shared.
 * T4. Counts move down lazily: when a node with count 2 or more is copied, each of its children
 *     gets one reference more, and the node one less. So cloning a tree of any size is one count.
 * T5. A block whose count is at the limit is copied instead of shared once more.
 *
 * The scheme is Rodeh's (B-trees, Shadowing, and Clones). `plan*` may miss and changes nothing;
 * what it has looked at, the function of the same name without `plan` then does without fail.
 */
import { type Frame, NO_FRAME, type Plan } from '../base/index.ts';
import {
  clearSlot,
  KIND_MASK,
  type SlotRole,
  type SlotVisitor,
  slotBirth,
  slotBlock,
  slotFlags,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import { blockKind, visitSlots } from './nodes.ts';

/** What a slot points to, as far as the slot itself does not tell: see {@link SlotRole}. */
export interface Target {
  readonly role: SlotRole;
  readonly detail: number;
}

export class Cow {
  readonly store: Store;
  /** After `planWritable`: whether the node, or one above it, is shared. */
  shared = false;
  /**
   * Set when a saturated block was copied: a slot in a record may differ now from what somebody
   * keeps of it. Whoever looks after such copies clears it.
   */
  moved = false;
  /** The plan of the round of planning under way, for the visitors below. */
  #plan!: Plan;

  constructor(store: Store) {
    this.store = store;
  }

  /**
   * The target as it is now, or NO_FRAME if the plan has needs. Afterwards {@link writable} cannot
   * miss, and `shared` tells what to pass on as `above` for the nodes below.
   */
  planWritable(words: Uint32Array, at: number, target: Target, above: boolean, plan: Plan): Frame {
    const { store } = this;
    const block = slotBlock(words, at);
    const counted = store.groups.wantBlock(block, plan);
    const kind = blockKind(target.role, target.detail);
    const frame = store.want(words, at, kind, plan);
    if (!counted || frame === NO_FRAME) return NO_FRAME;
    this.shared = above || store.groups.count(block) > 1;
    if (!this.shared && slotBirth(words, at) === store.txg) return frame;
    plan.blocks += 2;
    if (this.shared) this.#planChildren(frame, target.role, target.detail, plan);
    return frame;
  }

  /**
   * The target, changeable: as it is if it was born in the open txg and is not shared (T3),
   * otherwise moved or copied. The slot must lie in something changeable itself.
   */
  writable(words: Uint32Array, at: number, target: Target, twin: boolean): Frame {
    const { store } = this;
    const block = slotBlock(words, at);
    const count = store.groups.count(block);
    if (count === 1) {
      if (slotBirth(words, at) === store.txg) return store.resident(words, at);
      return store.relocate(words, at, twin);
    }
    const old = store.resident(words, at);
    const kind = slotFlags(words, at) & KIND_MASK;
    store.groups.decrement(block);
    return this.#copy(words, at, old, { ...target, kind, twin });
  }

  /** Makes sure that {@link share} cannot miss. */
  planShare(words: Uint32Array, at: number, role: SlotRole, detail: number, plan: Plan): void {
    const { store } = this;
    const block = slotBlock(words, at);
    if (!store.groups.wantBlock(block, plan) || !store.groups.isSaturated(block)) return;
    plan.blocks += 2;
    const frame = store.want(words, at, blockKind(role, detail), plan);
    if (frame !== NO_FRAME) this.#planChildren(frame, role, detail, plan);
  }

  /** One slot more names the target: a count, or a copy where the count is at its limit (T5). */
  share(words: Uint32Array, at: number, role: SlotRole, detail: number): void {
    const { store } = this;
    if (!store.groups.isSaturated(slotBlock(words, at))) {
      store.share(words, at);
      return;
    }
    this.moved = true;
    const flags = slotFlags(words, at);
    const old = store.resident(words, at);
    this.#copy(words, at, old, { role, detail, kind: flags & KIND_MASK, twin: false });
  }

  /** Makes sure that {@link release} cannot miss. */
  planRelease(words: Uint32Array, at: number, plan: Plan): boolean {
    return this.store.groups.wantBlock(slotBlock(words, at), plan);
  }

  /** The slot gives up its target and becomes a hole. Data only: nodes go through the queue. */
  release(words: Uint32Array, at: number): void {
    this.store.release(words, at);
    clearSlot(words, at);
  }

  /** A new block with the content of `old`; every child of it gets one reference more. */
  #copy(
    words: Uint32Array,
    at: number,
    old: Frame,
    copy: Target & { kind: number; twin: boolean },
  ): Frame {
    const { store } = this;
    const frame = store.allocate(words, at, copy.kind, copy.twin);
    store.blocks.copyFrame(old, frame);
    visitSlots(store.blocks, frame, copy.role, copy.detail, this.#shareChild);
    return frame;
  }

  #planChildren(frame: Frame, role: SlotRole, detail: number, plan: Plan): void {
    const outer = this.#plan;
    this.#plan = plan;
    visitSlots(this.store.blocks, frame, role, detail, this.#planChild);
    this.#plan = outer;
  }

  readonly #planChild: SlotVisitor = (words, at, role, detail) => {
    this.planShare(words, at, role, detail, this.#plan);
  };

  readonly #shareChild: SlotVisitor = (words, at, role, detail) => {
    this.share(words, at, role, detail);
  };
}
