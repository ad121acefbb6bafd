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
import { type Block, type Frame, NO_FRAME, type Plan } from '../base/index.ts';
import {
  clearSlot,
  DIRTY,
  KIND_MASK,
  MAP_FANOUT,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type SlotVisitor,
  slotBlock,
  slotFlags,
  slotKind,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import { blockKind, visitSlots } from './nodes.ts';

/** What a slot points to, as far as the slot itself does not tell: see {@link SlotRole}. */
export interface Target {
  readonly role: SlotRole;
  readonly detail: number;
}

/**
 * True if the target was born in the open txg. The flag says so, not the birth: no image can have
 * the one, and any image may state the other.
 */
function isNew(words: Uint32Array, at: number): boolean {
  return (slotFlags(words, at) & DIRTY) !== 0;
}

/**
 * One turn adds fewer references to a block than this: it copies fewer than 160 nodes, each of
 * which may name the block 256 times, as a range can be cloned onto its own file again and again.
 */
const ADDED_MAX = 160 * MAP_FANOUT;

export class Cow {
  readonly store: Store;
  /** After `planWritable`: whether the node, or one above it, is shared. */
  shared = false;
  /**
   * Set when a keyed node was copied and a saturated child of it too: slots in records differ now
   * from what somebody may keep of them. Whoever looks after such copies clears it.
   */
  moved = false;
  /** What kind of node is being copied, for the visitor below. */
  #container: SlotRole = SlotRole.DATA;
  /** The plan of the round of planning under way, for the visitors below. */
  #plan!: Plan;
  /** What that round had asked for when it was last seen: less tells that another has begun. */
  #blocks = 0;
  /**
   * References that the round would add to blocks whose counts are near the limit: several paths of
   * one operation may share the same child, and only the last of them find it saturated.
   */
  readonly #added = new Map<Block, number>();

  constructor(store: Store) {
    this.store = store;
  }

  /**
   * The target as it is now, or NO_FRAME if the plan has needs. Afterwards {@link writable} cannot
   * miss, and `shared` tells what to pass on as `above` for the nodes below.
   */
  planWritable(words: Uint32Array, at: number, target: Target, above: boolean, plan: Plan): Frame {
    const { store } = this;
    this.#enter(plan);
    const block = slotBlock(words, at);
    const counted = store.wantCounts(words, at, plan);
    const kind = blockKind(target.role, target.detail);
    const frame = store.want(words, at, kind, plan);
    if (!counted || frame === NO_FRAME) return NO_FRAME;
    this.shared = above || store.groups.count(block) > 1;
    if (!this.shared && isNew(words, at)) return frame;
    this.#need(plan);
    if (this.shared) this.#planChildren(frame, target.role, target.detail);
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
      if (isNew(words, at)) return store.resident(words, at);
      return store.relocate(words, at, twin);
    }
    const old = store.resident(words, at);
    const kind = slotFlags(words, at) & KIND_MASK;
    store.groups.decrement(block);
    return this.#copy(words, at, old, { ...target, kind, twin });
  }

  /** True if {@link writable} needs nothing but a block: the target is here, and nobody else's. */
  isAlone(words: Uint32Array, at: number): boolean {
    const { blocks, groups } = this.store;
    const block = slotBlock(words, at);
    if (blocks.find(block) === NO_FRAME) return false;
    return groups.loaded(groups.groupOf(block)) !== undefined && groups.count(block) === 1;
  }

  /** Makes sure that {@link share} cannot miss. */
  planShare(words: Uint32Array, at: number, role: SlotRole, detail: number, plan: Plan): void {
    const { store } = this;
    this.#enter(plan);
    const block = slotBlock(words, at);
    if (!store.groups.wantStale(block, plan)) return;
    const left = store.groups.limit - store.groups.count(block);
    if (left >= ADDED_MAX) return;
    const added = (this.#added.get(block) ?? 0) + 1;
    this.#added.set(block, added);
    if (added <= left) return;
    this.#need(plan);
    const frame = store.want(words, at, blockKind(role, detail), plan);
    if (frame !== NO_FRAME) this.#planChildren(frame, role, detail);
  }

  /** One slot more names the target: a count, or a copy where the count is at its limit (T5). */
  share(words: Uint32Array, at: number, role: SlotRole, detail: number): void {
    const { store } = this;
    if (!store.groups.isSaturated(slotBlock(words, at))) {
      store.share(words, at);
      return;
    }
    if (this.#container === SlotRole.KEYED) this.moved = true;
    const flags = slotFlags(words, at);
    const old = store.resident(words, at);
    this.#copy(words, at, old, { role, detail, kind: flags & KIND_MASK, twin: false });
  }

  /** Makes sure that {@link release} cannot miss. */
  planRelease(words: Uint32Array, at: number, plan: Plan): boolean {
    return this.store.wantCounts(words, at, plan);
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
    if (copy.role === SlotRole.MAP) dropPromises(store.blocks.words, store.base(frame));
    const outer = this.#container;
    this.#container = copy.role;
    visitSlots(store.blocks, frame, copy.role, copy.detail, this.#shareChild);
    this.#container = outer;
    return frame;
  }

  /** Forgets what an earlier round of planning has counted. */
  #enter(plan: Plan): void {
    if (plan !== this.#plan || plan.blocks < this.#blocks) this.#added.clear();
    this.#plan = plan;
    this.#blocks = plan.blocks;
  }

  /** One node more, with its twin. */
  #need(plan: Plan): void {
    plan.blocks += 2;
    plan.twins++;
    this.#blocks = plan.blocks;
  }

  #planChildren(frame: Frame, role: SlotRole, detail: number): void {
    visitSlots(this.store.blocks, frame, role, detail, this.#planChild);
  }

  readonly #planChild: SlotVisitor = (words, at, role, detail) => {
    this.planShare(words, at, role, detail, this.#plan);
  };

  readonly #shareChild: SlotVisitor = (words, at, role, detail) => {
    this.share(words, at, role, detail);
  };
}

/** What is promised stays with the node that was copied: it can be used once only (U3). */
function dropPromises(words: Uint32Array, base: number): void {
  for (let i = 0; i < MAP_FANOUT; i++) {
    const at = base + i * SLOT_WORDS;
    if (slotKind(words, at) === SlotKind.UNWRITTEN) clearSlot(words, at);
  }
}
