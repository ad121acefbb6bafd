/**
 * Inventory: how many files and directories a tree has, and how large they say they are.
 *
 * A clone counts as what it looks like, so a node that several directories share counts for each of
 * them; but it is read once, and its sums are kept.
 */
import { type Plan, PlannedOperation } from '../base/index.ts';
import {
  copySlot,
  InodeKind,
  nodeCount,
  nodeLevel,
  RecordWord,
  recordKind,
  recordOffset,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotHasBlock,
  TreeKind,
  visitRecordSlots,
} from '../format/index.ts';
import { KEYED_NODE, visitSlots } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import { blocksInUse, notATree, readySettled } from './usage.ts';
import type { Vnode } from './vnode.ts';

export interface Inventory {
  files: number;
  directories: number;
  /** Sizes of all files in bytes, holes included. */
  logical: number;
}

/** A node on the way down, and what was found below it so far. */
interface Open {
  readonly slot: Uint32Array;
  readonly sums: Inventory;
  /** Slots of keyed nodes below it; undefined until it was read. */
  below: Uint32Array[] | undefined;
}

const SLICE = 512;

/** Takes the inventory of a directory. Everything is committed first. */
export class TakeInventory extends PlannedOperation<Inventory> {
  readonly #engine: Engine;
  readonly #top: Vnode;
  readonly #stack: Open[] = [];
  /** Sums of nodes that are named more than once. */
  readonly #known = new Map<number, Inventory>();
  #begun = false;
  /** Each node is read once. */
  #readsLeft = 0;
  #total: Inventory = { files: 0, directories: 1, logical: 0 };
  #slice = SLICE;

  constructor(engine: Engine, top: Vnode) {
    super();
    this.#engine = engine;
    this.#top = top;
  }

  protected override prepare(plan: Plan): void {
    if (!this.#begun) {
      if (readySettled(this.#engine, plan)) this.#begin();
      return;
    }
    plan.pause = this.#slice <= 0;
    const open = this.#stack.at(-1);
    if (open === undefined) return;
    this.#engine.store.groups.wantNamed(slotBlock(open.slot, 0), plan);
    this.#engine.store.want(open.slot, 0, KEYED_NODE[TreeKind.DIRECTORY], plan);
  }

  protected override apply(): boolean {
    this.#engine.store.blocks.unpin(this.plan);
    if (this.#slice-- <= 0) this.#slice = SLICE;
    const open = this.#stack.at(-1);
    if (open === undefined) return this.finish(this.#total);
    if (open.below === undefined) this.#read(open);
    const next = open.below?.pop();
    if (next === undefined) this.#close(open);
    else this.#enter(next, open);
    return false;
  }

  protected override release(): void {
    if (this.#begun) this.#engine.store.space.readers--;
    this.#engine.store.blocks.unpin(this.plan);
  }

  #begin(): void {
    this.#begun = true;
    this.#engine.store.space.readers++;
    this.#readsLeft = blocksInUse(this.#engine);
    const { slots } = this.#top;
    if (slotHasBlock(slots, 0)) this.#push(slots, 0);
  }

  #push(words: Uint32Array, at: number): void {
    const sums = { files: 0, directories: 0, logical: 0 };
    this.#stack.push({ slot: copyOf(words, at), sums, below: undefined });
  }

  #enter(slot: Uint32Array, parent: Open): void {
    const known = this.#known.get(slotBlock(slot, 0));
    if (known !== undefined) add(parent.sums, known);
    else this.#push(slot, 0);
  }

  #close(open: Open): void {
    this.#stack.pop();
    const block = slotBlock(open.slot, 0);
    if (this.#engine.store.groups.count(block) > 1) this.#known.set(block, open.sums);
    add(this.#stack.at(-1)?.sums ?? this.#total, open.sums);
  }

  #read(open: Open): void {
    const { store } = this.#engine;
    if (this.#readsLeft-- === 0) throw notATree(open.slot);
    const { words, bytes } = store.blocks;
    const frame = store.resident(open.slot, 0);
    const below: Uint32Array[] = [];
    open.below = below;
    const base = store.base(frame);
    if (nodeLevel(words, base) > 0) {
      visitSlots(store.blocks, frame, SlotRole.KEYED, TreeKind.DIRECTORY, (slots, at) => {
        below.push(copyOf(slots, at));
      });
      return;
    }
    for (let i = 0; i < nodeCount(words, base); i++) {
      const at = base * 4 + recordOffset(words, base, i);
      countRecord(open.sums, words, bytes, at);
      if (recordKind(bytes, at) !== InodeKind.DIRECTORY) continue;
      visitRecordSlots(words, bytes, at, (slots, slot, _role, detail) => {
        const isEntries = detail === TreeKind.DIRECTORY && slotHasBlock(slots, slot);
        if (isEntries) below.push(copyOf(slots, slot));
      });
    }
  }
}

/** Each name of a linked file counts as a file; its size is counted with its inode, not here. */
function countRecord(sums: Inventory, words: Uint32Array, bytes: Uint8Array, at: number): void {
  const kind = recordKind(bytes, at);
  if (kind === InodeKind.DIRECTORY) {
    sums.directories++;
    return;
  }
  sums.files++;
  if (kind === InodeKind.LINK) return;
  const size = at / 4 + RecordWord.SIZE;
  sums.logical += (words[size + 1] as number) * 2 ** 32 + (words[size] as number);
}

function add(to: Inventory, what: Inventory): void {
  to.files += what.files;
  to.directories += what.directories;
  to.logical += what.logical;
}

function copyOf(words: Uint32Array, at: number): Uint32Array {
  const slot = new Uint32Array(SLOT_WORDS);
  copySlot(words, at, slot, 0);
  return slot;
}
