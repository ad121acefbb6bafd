/**
 * Usage: how much a file or a tree takes, and how much of that it shares with nobody.
 *
 * A block is exclusive if removing the tree would free it: every slot that names it is in the tree,
 * and in nodes that are exclusive themselves. So exclusive nodes are followed first; a block that
 * is named more than once waits until all its slots were met, and what still waits in the end is
 * shared with somebody else.
 */
import {
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  type Frame,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import {
  copySlot,
  InodeFlag,
  InodeKind,
  nodeCount,
  nodeLevel,
  RecordWord,
  recordKind,
  recordOffset,
  SLOT_WORDS,
  SlotRole,
  slotBlock,
  slotFlags,
  slotHasBlock,
  TWIN,
  visitRecordSlots,
} from '../format/index.ts';
import { blockKind, KeyedPosition, visitSlots } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import { readRecord, recordInode } from './inode-record.ts';
import { forEachRoot } from './roots.ts';
import type { Vnode } from './vnode.ts';

/** Bytes of blocks, data and metadata. */
export interface Usage {
  /** Of all blocks that the tree names, each once. */
  allocated: number;
  /** Of those that nothing else names. */
  exclusive: number;
  /** Sizes of the linked files that the tree names, each once. */
  linked: number;
}

/** A slot that was met. */
interface Met {
  readonly slot: Uint32Array;
  readonly role: SlotRole;
  readonly detail: number;
  /** The node it is in is exclusive. */
  readonly exclusive: boolean;
  /** It is in the top's own realm, not in one that begins below. */
  readonly own: boolean;
}

/** Nodes looked at between two pauses. */
const SLICE = 512;

/** Measures a file or a tree. Everything is committed first, so that no node changes in place. */
export class MeasureUsage extends PlannedOperation<Usage> {
  readonly #engine: Engine;
  readonly #top: Vnode;
  readonly #usage: Usage = { allocated: 0, exclusive: 0, linked: 0 };
  readonly #stack: Met[] = [];
  /** Blocks named more than once that wait: how often they were met so far. */
  readonly #met = new Map<Block, { count: number; met: Met }>();
  /** Blocks named more than once that were counted. */
  readonly #done = new Set<Block>();
  /** Linked inodes of the top's own realm: how many of their names are in the tree. */
  readonly #names = new Map<number, number>();
  #begun = false;
  #swept = false;
  /** Bytes of all blocks that were in use when it began: a tree cannot have more. */
  #limit = 0;
  #slice = SLICE;

  constructor(engine: Engine, top: Vnode) {
    super();
    this.#engine = engine;
    this.#top = top;
  }

  protected override prepare(plan: Plan): void {
    const engine = this.#engine;
    if (!this.#begun) {
      if (!readySettled(engine, plan) || !engine.inodes.planClaim(this.#top, plan)) return;
      this.#begin(engine.inodes.planShared);
    }
    plan.pause = this.#slice <= 0;
    if (this.#stack.length === 0) this.#planNames(plan);
    // What was met just now is what `apply` takes next, so it is planned in the same round.
    const next = this.#stack.at(-1);
    if (next !== undefined) this.#planNode(next, plan);
  }

  protected override apply(): boolean {
    this.#engine.store.blocks.unpin(this.plan);
    if (this.#slice-- <= 0) this.#slice = SLICE;
    const next = this.#stack.pop();
    if (next !== undefined) {
      this.#visit(next);
      return false;
    }
    if (!this.#swept) {
      this.#sweep();
      return false;
    }
    return this.finish(this.#usage);
  }

  protected override release(): void {
    if (this.#begun) this.#engine.store.space.readers--;
    this.#engine.store.blocks.unpin(this.plan);
  }

  #begin(shared: boolean): void {
    this.#begun = true;
    this.#engine.store.space.readers++;
    this.#limit = blocksInUse(this.#engine) * BLOCK_SIZE;
    const top = this.#top;
    const linkedElsewhere = top.has(InodeFlag.LINKED) && top.nlink > 1;
    forEachRoot(top, (at, role, detail) => {
      const exclusive = !shared && !linkedElsewhere;
      this.#meet(top.slots, at, { role, detail, exclusive, own: true });
    });
  }

  /** A slot of the tree: its target is looked at now, or when all its slots were met. */
  #meet(words: Uint32Array, at: number, how: Omit<Met, 'slot'>): void {
    const slot = new Uint32Array(SLOT_WORDS);
    copySlot(words, at, slot, 0);
    this.#stack.push({ slot, ...how });
  }

  #planNode(met: Met, plan: Plan): void {
    const { store } = this.#engine;
    store.groups.wantNamed(slotBlock(met.slot, 0), plan);
    if (met.role === SlotRole.DATA) return;
    const kind = blockKind(met.role, met.detail);
    const frame = store.want(met.slot, 0, kind, plan);
    if (frame === NO_FRAME || met.role !== SlotRole.MAP || met.detail > 0) return;
    visitSlots(store.blocks, frame, met.role, met.detail, (words, at) => {
      store.groups.wantNamed(slotBlock(words, at), plan);
    });
  }

  #visit(met: Met): void {
    const { store } = this.#engine;
    const block = slotBlock(met.slot, 0);
    const count = store.groups.count(block);
    if (count > 1) {
      if (this.#done.has(block)) return;
      if (!this.#swept) {
        const seen = this.#met.get(block) ?? { count: 0, met };
        this.#met.set(block, seen);
        if (!met.exclusive || ++seen.count < count) return;
      }
      this.#met.delete(block);
      this.#done.add(block);
    }
    this.#count(met);
    if (met.role !== SlotRole.DATA) this.#descend(met, store.resident(met.slot, 0));
  }

  #count(met: Met): void {
    const bytes = (slotFlags(met.slot, 0) & TWIN) !== 0 ? 2 * BLOCK_SIZE : BLOCK_SIZE;
    this.#usage.allocated += bytes;
    if (this.#usage.allocated > this.#limit) throw notATree(met.slot);
    if (met.exclusive) this.#usage.exclusive += bytes;
  }

  #descend(met: Met, frame: Frame): void {
    const { store } = this.#engine;
    const { words } = store.blocks;
    const base = store.base(frame);
    const { exclusive, own } = met;
    if (met.role === SlotRole.KEYED && nodeLevel(words, base) === 0) {
      for (let i = 0; i < nodeCount(words, base); i++) this.#countRecord(met, base, i);
      return;
    }
    visitSlots(store.blocks, frame, met.role, met.detail, (slots, at, role, detail) => {
      const single = role === SlotRole.DATA && store.groups.count(slotBlock(slots, at)) === 1;
      if (!single) this.#meet(slots, at, { role, detail, exclusive, own });
      else {
        this.#usage.allocated += BLOCK_SIZE;
        if (exclusive) this.#usage.exclusive += BLOCK_SIZE;
      }
    });
  }

  /** A record of a leaf: the inode in it, or a name of one in the link table. */
  #countRecord(met: Met, base: number, i: number): void {
    const { words, bytes } = this.#engine.store.blocks;
    const at = base * 4 + recordOffset(words, base, i);
    const kind = recordKind(bytes, at);
    if (kind === InodeKind.LINK) {
      const ino = recordInode(bytes, at);
      if (met.own) this.#names.set(ino, (this.#names.get(ino) ?? 0) + 1);
      return;
    }
    const nested = ((words[at / 4 + RecordWord.FLAGS] as number) & InodeFlag.REALM) !== 0;
    const { exclusive } = met;
    const own = met.own && !nested;
    visitRecordSlots(words, bytes, at, (slots, slot, role, detail) => {
      if (slotHasBlock(slots, slot)) this.#meet(slots, slot, { role, detail, exclusive, own });
    });
  }

  /**
   * Linked inodes are in a table that belongs to the whole realm: those named here are looked up.
   */
  #planNames(plan: Plan): void {
    const { trees, store, table } = this.#engine;
    const { root } = this.#top.realm;
    if (this.#swept || root === this.#top || !this.#top.isDirectory) return;
    const position = new KeyedPosition();
    for (const [ino, names] of this.#names) {
      const found = trees.find(root.links, ino, position, plan);
      if (found === 'missing') return;
      this.#names.delete(ino);
      if (found === 'none') continue;
      const inode = table.make();
      readRecord(inode, store.blocks, position.at);
      const exclusive = inode.nlink === names;
      this.#usage.linked += inode.size;
      forEachRoot(inode, (at, role, detail) => {
        this.#meet(inode.slots, at, { role, detail, exclusive, own: true });
      });
      table.drop(inode);
    }
  }

  /** What still waits is named from elsewhere too. */
  #sweep(): void {
    if (this.#stack.length > 0) return;
    this.#swept = true;
    for (const { met } of this.#met.values()) this.#stack.push({ ...met, exclusive: false });
  }
}

/** Blocks that anything names. */
export function blocksInUse({ store }: Engine): number {
  return store.superblock.geometry.blockCount - store.groups.free;
}

/** Something in an image leads back to itself, or counts less than it is named. */
export function notATree(slot: Uint32Array): CorruptionError {
  const finding = 'what hangs from it has more blocks than are in use';
  return new CorruptionError('tree', slotBlock(slot, 0) * BLOCK_SIZE, finding);
}

/**
 * True if a walk may begin that keeps slots across turns: everything is committed, so that no node
 * changes in place any more, and nothing that was deleted still waits in the reclaim queue.
 */
export function readySettled(engine: Engine, plan: Plan): boolean {
  if (engine.store.readOnly) return true;
  const reclaim = engine.reclaim();
  if (reclaim !== undefined) plan.follow(reclaim);
  else if (engine.hasChanges) plan.follow(engine.store.commit());
  return plan.ready;
}
