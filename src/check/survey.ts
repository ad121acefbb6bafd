/**
 * Survey: every node that can be reached and read, each after all that hang from it, and every
 * keyed node that is lost, with what its parent tells of it.
 *
 * Graph has found what there is; here it is brought into an order in which it can be mended from
 * the leaves up. What hangs from the reclaim queue is not mended: if anything of it cannot be read
 * the queue is given up as a whole, and the counts, made anew, give back what it had.
 */
import type { Block } from '../base/index.ts';
import {
  type Geometry,
  InodeKind,
  imageSeed,
  interiorKey,
  interiorSlot,
  isFixedBlock,
  MAP_FANOUT,
  MetaInode,
  nodeCount,
  nodeLevel,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  recordFault,
  recordKind,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotHasBlock,
  slotKind,
  TreeKind,
  visitRecordSlots,
} from '../format/index.ts';
import { type BlockTable, Mark, useOf } from './block-table.ts';
import { RecordReader } from './record-reader.ts';
import type { Root } from './roots.ts';
import type { Answer, Session } from './session.ts';
import { bytesOf, readKeyed, readNode } from './tree-edit.ts';

/** Directories to whose records some rule does not apply. */
export type Rank = 'meta' | 'orphans' | 'plain';

/** A node, by the first slot that led to it. */
export interface Item {
  readonly slot: Uint32Array;
  readonly role: SlotRole;
  readonly detail: number;
  /** Of a keyed tree: its directory, or the root of its realm. */
  readonly inode: number;
  readonly rank: Rank;
  /** Its keys are at least `low` and below `high`. */
  readonly low: number;
  readonly high: number;
  /** Its parent wants this level; undefined for a root. */
  readonly level: number | undefined;
  /** Children that the reclaim queue has handed on. */
  readonly resume: number;
}

interface Exit {
  readonly exit: Item;
}

const ITEM_BYTES = 300;

/** True if a slot leads to a block that a node can be in. */
export function isInside(geometry: Geometry, block: number): boolean {
  return block < geometry.blockCount && !isFixedBlock(geometry, block as Block);
}

export class Survey {
  /** Nodes to be mended, children before parents. */
  readonly order: Item[] = [];
  /** Nodes of directories and link tables that cannot be read, by block. */
  readonly lost = new Map<number, Item>();
  /** Something in the reclaim queue, or that hangs from it, cannot be read. */
  queueLost = false;
  readonly #session: Session;
  readonly #root: Root;
  readonly #table: BlockTable;
  readonly #maps: boolean;
  readonly #seed: bigint;
  readonly #visited = new Set<number>();
  readonly #record = new RecordReader();
  #stack: (Item | Exit)[] = [];
  #queue: Item | undefined;
  #dead = false;

  /** `maps`: the maps of files are gone through too. */
  constructor(session: Session, root: Root, table: BlockTable, maps: boolean) {
    this.#session = session;
    this.#root = root;
    this.#table = table;
    this.#maps = maps;
    this.#seed = imageSeed(root.superblock.uuid);
  }

  *walk(): Answer<void> {
    const meta = { role: SlotRole.KEYED, detail: TreeKind.DIRECTORY, inode: MetaInode.META };
    const keys = { low: 0, high: Infinity, level: undefined, resume: 0 };
    const slot = this.#root.superblock.state.metaRoot;
    this.#push({ slot, ...meta, rank: 'meta', ...keys });
    yield* this.#drain();
    if (this.#queue === undefined) return;
    this.#dead = true;
    this.#push(this.#queue);
    yield* this.#drain();
  }

  *#drain(): Answer<void> {
    let done = 0;
    for (let next = this.#stack.pop(); next !== undefined; next = this.#stack.pop()) {
      if ('exit' in next) this.order.push(next.exit);
      else yield* this.#enter(next);
      if (done++ % 1024 === 0) yield* this.#session.turn('names', 0, 1);
    }
  }

  #push(item: Item): void {
    this.#session.take(ITEM_BYTES);
    this.#stack.push(item);
  }

  *#enter(item: Item): Answer<void> {
    const block = slotBlock(item.slot, 0);
    if (this.#visited.has(block)) return;
    const words = yield* this.#read(item);
    if (words === undefined) {
      if (this.#dead) this.queueLost = true;
      else if (item.role === SlotRole.KEYED) this.lost.set(block, item);
      return;
    }
    this.#visited.add(block);
    if (!this.#dead) this.#stack.push({ exit: item });
    if (item.role === SlotRole.MAP) this.#openMap(item, words);
    else if (nodeLevel(words, 0) > 0) this.#openInterior(item, words);
    else this.#openLeaf(item, words);
  }

  /** The node, if it is what its slot says. */
  *#read({ slot, role, detail }: Item): Answer<Uint32Array | undefined> {
    const block = slotBlock(slot, 0);
    const known =
      slotKind(slot, 0) === SlotKind.NODE &&
      isInside(this.#root.superblock.geometry, block) &&
      this.#table.use(block) === useOf(role, detail) &&
      this.#table.checksum(block) === slotChecksum(slot, 0);
    if (!known) return undefined;
    // A record that is none spoils its leaf for a mount, and can be left out here.
    if (!this.#table.has(block, Mark.SOUND) && (role === SlotRole.MAP || this.#dead)) {
      return undefined;
    }
    if (role === SlotRole.MAP) return yield* readNode(this.#session, slot, this.#seed);
    return yield* readKeyed(this.#session, slot, { seed: this.#seed, tree: detail as TreeKind });
  }

  /** A slot of a node or a record: what hangs there is to be visited. */
  #found(words: Uint32Array, at: number, child: Omit<Item, 'slot'>): void {
    if (child.role === SlotRole.DATA || !slotHasBlock(words, at)) return;
    if (child.role === SlotRole.MAP && !this.#maps && !this.#dead) return;
    // Entries that somebody else has too are not orphans, whatever names them: none may be dropped.
    const shared = child.rank === 'orphans' && this.#table.count(slotBlock(words, at)) > 1;
    const rank = shared ? 'plain' : child.rank;
    this.#push({ ...child, rank, slot: words.slice(at, at + SLOT_WORDS) });
  }

  #openMap(item: Item, words: Uint32Array): void {
    const level = item.detail - 1;
    if (level < 0) return;
    let skip = item.resume;
    for (let i = 0; i < MAP_FANOUT; i++) {
      if (slotHasBlock(words, i * SLOT_WORDS) && skip-- > 0) continue;
      this.#found(words, i * SLOT_WORDS, { ...item, detail: level, resume: 0 });
    }
  }

  #openInterior(item: Item, words: Uint32Array): void {
    const count = nodeCount(words, 0);
    const level = nodeLevel(words, 0) - 1;
    for (let i = item.resume; i < count; i++) {
      const low = i === 0 ? item.low : Math.max(item.low, interiorKey(words, 0, i));
      const high = i + 1 < count ? interiorKey(words, 0, i + 1) : item.high;
      this.#found(words, interiorSlot(0, i), { ...item, low, high, level, resume: 0 });
    }
  }

  #openLeaf(item: Item, words: Uint32Array): void {
    const bytes = bytesOf(words);
    let skip = item.resume;
    for (let i = 0; i < nodeCount(words, 0); i++) {
      const at = recordOffset(words, 0, i);
      const length = recordLength(words, 0, i);
      if (item.detail === TreeKind.RECLAIM) {
        this.#openQueueItem(item, words, at);
        continue;
      }
      if (recordFault(bytes, at, length) !== undefined) continue;
      const { inode } = this.#record.read(bytes, at, length);
      const rank = rankOf(item.rank, inode);
      visitRecordSlots(words, bytes, at, (_, slotAt, role, detail) => {
        if (slotHasBlock(words, slotAt) && skip-- > 0) return;
        const child = { role, detail, inode, rank, low: 0, high: Infinity, level: undefined };
        if (recordKind(bytes, at) === InodeKind.TREE && role === SlotRole.KEYED) {
          this.#foundQueue(item, words, slotAt, { ...child, resume: 0 });
        } else this.#found(words, slotAt, { ...child, resume: 0 });
      });
    }
  }

  /** The volume's own queue comes last; a tree of that kind has no other place. */
  #foundQueue(item: Item, words: Uint32Array, at: number, child: Omit<Item, 'slot'>): void {
    if (item.rank !== 'meta' || !slotHasBlock(words, at)) return;
    this.#queue = { slot: words.slice(at, at + SLOT_WORDS), ...child };
  }

  #openQueueItem(item: Item, words: Uint32Array, at: number): void {
    const bytes = bytesOf(words);
    const resume = words[(at + RECLAIM_RESUME) / 4] as number;
    const [, , role, detail] = bytes.subarray(at, at + 4) as unknown as [0, 0, SlotRole, number];
    const slot = (at + RECLAIM_SLOT) / 4;
    if (!slotHasBlock(words, slot)) this.queueLost = true;
    this.#found(words, slot, { ...item, role, detail, level: undefined, resume });
  }
}

function rankOf(above: Rank, inode: number): Rank {
  return above === 'meta' && inode === MetaInode.ORPHANS ? 'orphans' : 'plain';
}

/** The birth that a lost node's parent states. */
export function birthOf({ slot }: Item): number {
  return slotBirth(slot, 0);
}
