/**
 * Space: handing out blocks, promising them, and taking them back.
 *
 * A1. Promises are made against idle blocks, not against free ones: a commit has to place all
 *     dirty data before it can make any freed block idle again.
 * A2. A block that was freed in txg N becomes idle when N + 1 is durable, so that the two newest
 *     roots stay whole. Only a node that was born in the open txg, which no device has seen, is
 *     idle at once.
 * A3. The last few blocks are kept for deleting, and the very last for giving back what was
 *     deleted.
 *
 * Blocks are handed out next-fit, nodes and data from cursors of their own, so that data lands in
 * long runs and nodes near each other.
 */
import {
  assert,
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  FilesystemError,
  MIB,
  type Plan,
} from '../base/index.ts';
import type { BlockCache } from '../cache/index.ts';
import { groupReserved, SUPERBLOCKS } from '../format/index.ts';
import { type Group, nextIdle } from './group.ts';
import type { Groups } from './groups.ts';

/**
 * What space is asked for: ordinary work, work that frees more than it takes, now or later, or the
 * replay of the log, which had room when it was done first. Data that it finds in its place may
 * have been promised to slots that are still unwritten: there, such promises do not count.
 */
export type SpaceUse = 'normal' | 'delete' | 'reclaim' | 'replay';

/** A run shorter than this is passed over while a long one is looked for. */
const GOOD_RUN = 64;

/** What a block of data in the log may be promised, while it is replayed, beside what it takes. */
const LOGGED_COST = 16;

/** Keeps the blocks of the newest root what they are, as long as it is held. */
export class Pin {
  #space: Space | undefined;
  /** While it is held on to it does not give way; whether somebody has asked for that since. */
  #firm = false;
  #unwanted = false;

  constructor(space: Space) {
    this.#space = space;
    space.readers++;
  }

  /** False once it was released, or taken away because space ran out. */
  get held(): boolean {
    return this.#space !== undefined;
  }

  release(): void {
    if (this.#space === undefined) return;
    this.#space.readers--;
    this.#space = undefined;
  }

  /** Holds on to it, for as long as a transfer takes. False if it is gone. */
  hold(): boolean {
    this.#firm = this.held;
    return this.#firm;
  }

  /** It gives way again, at once if somebody has asked for that. */
  relax(): void {
    this.#firm = false;
    if (this.#unwanted) this.release();
  }

  /** Space has run out. True if it goes now. */
  yield(): boolean {
    if (!this.held) return false;
    this.#unwanted = true;
    if (!this.#firm) this.release();
    return !this.held;
  }
}

export class Space {
  /** Blocks promised to dirty data and to the nodes that will map it. Set by {@link promise}. */
  reserved = 0;
  /** Blocks promised to unwritten slots. Set by {@link setAside}; the superblock keeps it. */
  unwritten: number;
  readonly groups: Groups;
  /** Blocks that only deleting may use (A3), and those of them that only reclaiming may. */
  kept = 0;
  #keptLast = 0;
  /** Blocks that become idle with the next commit, since the volume is larger by then. */
  incoming = 0;
  /**
   * Walks under way that keep slots across turns. While there are any, nothing that was freed
   * becomes idle, so that what such a slot names stays what it was.
   */
  readers = 0;
  readonly #pins = new Set<Pin>();
  readonly #blocks: BlockCache;
  /** Freed in the open txg, and in those that no commit has made idle yet (A2). */
  #freedNow: Block[] = [];
  #freedBefore: Block[] = [];
  #nodeCursor: number;
  #dataCursor: number;
  /** No run is longer, for all that was seen since blocks became idle: nobody need look for one. */
  #longest = Number.POSITIVE_INFINITY;
  /** Blocks of nodes that were born in the open txg: now, and at most. */
  #nodes = 0;
  #nodesMost = 0;
  /** By how many the most were more than the last, in the txg that is being committed. */
  #nodesGone = 0;
  /** Blocks of data that are in the log itself: of the open txg, and of the one before. */
  #logged = 0;
  #loggedBefore = 0;

  constructor(groups: Groups, blocks: BlockCache, unwritten = 0) {
    this.unwritten = unwritten;
    this.groups = groups;
    this.#blocks = blocks;
    const { geometry } = groups;
    this.resized();
    this.#nodeCursor = groupReserved(geometry, 0);
    const ahead = Math.max(geometry.groupBlocks, geometry.blockCount) / 16;
    this.#dataCursor = Math.min(
      geometry.blockCount - 1,
      this.#nodeCursor + Math.floor(Math.min(ahead, geometry.groupBlocks / 4)),
    );
  }

  /** Blocks that were freed and are not idle yet. */
  get pending(): number {
    return this.#freedNow.length + this.#freedBefore.length + this.incoming;
  }

  /** The volume has another size, and all that is new of it may be handed out. */
  resized(): void {
    this.#longest = Number.POSITIVE_INFINITY;
    this.incoming = 0;
    this.kept = keptOf(this.groups.geometry.blockCount);
    this.#keptLast = Math.floor(this.kept / 4);
  }

  /** Blocks that ordinary work could still be promised, once everything pending is idle. */
  get available(): number {
    return Math.max(0, this.groups.free - this.#promised - this.kept);
  }

  /** Idle blocks beyond those that are promised (A1). */
  get spare(): number {
    return this.groups.idle - this.#promised;
  }

  /** True if the volume has room for what is promised when it ends at `end`. See `idleFrom`. */
  fits(end: number): boolean {
    const cut = this.groups.idleFrom((end - SUPERBLOCKS) as Block);
    return this.groups.idle - cut - this.#promised >= keptOf(end);
  }

  /** True if `blocks` more can be promised or handed out now. */
  has(blocks: number, use: SpaceUse): boolean {
    const promised = use === 'replay' ? this.reserved : this.#promised;
    return this.groups.idle - promised - this.#keptFrom(use) >= blocks;
  }

  /** True if `blocks` could be had after enough commits. */
  couldHave(blocks: number, use: SpaceUse): boolean {
    return this.groups.free - this.#promised - this.#keptFrom(use) >= blocks;
  }

  /**
   * Promises blocks to dirty data, and blocks and frames to the nodes that will map it; negative
   * numbers take a promise back.
   */
  promise(blocks: number, nodes: number): void {
    this.reserved += blocks + nodes;
    this.#blocks.promised += nodes;
  }

  /**
   * Promises blocks to unwritten slots, for good: these are promises that outlive a mount. Negative
   * numbers take a promise back.
   */
  setAside(blocks: number): void {
    this.unwritten += blocks;
    if (this.unwritten >= 0) return;
    this.unwritten = 0;
    const finding = 'it promises fewer blocks than unwritten slots are in use';
    this.groups.onContradiction(new CorruptionError('superblock', 0, finding));
  }

  /**
   * Brings in the counts of the groups from which `blocks` blocks will be handed out, whichever
   * cursor they come from.
   */
  plan(blocks: number, plan: Plan): boolean {
    if (blocks === 0) return true;
    const nodes = this.#planFrom(this.#nodeCursor, blocks, plan);
    return this.#planFrom(this.#dataCursor, blocks, plan) && nodes;
  }

  /** One block for a node; with `twin`, if there is a pair, the block after it too. */
  allocateNode(twin: boolean): { block: Block; twin: boolean } {
    if (twin) {
      const pair = this.#find(this.#nodeCursor, 2, 2);
      if (pair !== undefined && pair.length === 2) {
        this.#take(pair.block, 2);
        this.#countNodes(2);
        this.#nodeCursor = pair.block + 2;
        return { block: pair.block, twin: true };
      }
    }
    const single = this.#find(this.#nodeCursor, 1, 1);
    assert(single !== undefined, 'space for a node was planned for');
    this.#take(single.block, 1);
    this.#countNodes(1);
    this.#nodeCursor = single.block + 1;
    return { block: single.block, twin: false };
  }

  /** A run of up to `count` blocks for data, as long as is easily found. */
  allocateData(count: number): { block: Block; length: number } {
    const good = Math.min(count, GOOD_RUN, this.#longest);
    const run = this.#find(this.#dataCursor, count, good);
    assert(run !== undefined, 'space for data was planned for');
    if (run.length < good) this.#longest = run.length;
    this.#take(run.block, run.length);
    this.#dataCursor = run.block + run.length;
    return run;
  }

  /** How long a run {@link allocateData} would find now, of the counts that are in memory. */
  runLength(count: number): number {
    return this.#find(this.#dataCursor, count, Math.min(count, GOOD_RUN))?.length ?? 0;
  }

  /** Blocks that were handed out and never used are idle again. */
  takeBack(block: Block, count: number): void {
    this.#longest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) this.groups.makeIdle((block + i) as Block);
  }

  /** The same for a node of the open txg that is gone. */
  takeBackNode(block: Block, count: number): void {
    this.takeBack(block, count);
    this.#nodes -= count;
  }

  /**
   * True if a replay finds room for what was done since the last commit, and for `more` blocks of
   * data in the log. It takes the blocks of all data that has its place first: nodes that were gone
   * before the data came must have had others, and what the log has of the same data is promised
   * blocks of its own until then.
   */
  replayHasRoom(more = 0): boolean {
    const gone = Math.max(this.#nodesGone, this.#nodesMost - this.#nodes);
    const logged = this.#logged + this.#loggedBefore + more;
    if (gone === 0 && logged === 0) return true;
    const promised = logged === 0 ? 0 : this.reserved + LOGGED_COST * logged;
    return this.groups.idle - promised - gone >= this.kept / 2;
  }

  /** A block of data is in the log. */
  countLogged(): void {
    this.#logged++;
  }

  /** A block whose count fell to 0: idle once the roots that may use it are gone (A2). */
  free(block: Block): void {
    this.#freedNow.push(block);
  }

  /** The open txg has closed: what it freed is now of the txg that is being committed. */
  close(): Block[] {
    const closing = this.#freedNow;
    this.#freedNow = [];
    this.#nodesGone = this.#nodesMost - this.#nodes;
    this.#nodes = 0;
    this.#nodesMost = 0;
    this.#loggedBefore = this.#logged;
    this.#logged = 0;
    return closing;
  }

  /** The txg that freed `closed` is durable: what the one before it freed is idle. */
  committed(closed: Block[]): void {
    this.#longest = Number.POSITIVE_INFINITY;
    this.#nodesGone = 0;
    this.#loggedBefore = 0;
    if (this.readers > 0) {
      this.#freedBefore = this.#freedBefore.concat(closed);
      return;
    }
    const kept: Block[] = [];
    for (const block of this.#freedBefore) {
      if (this.#blocks.isLoading(block)) kept.push(block);
      else this.groups.freed(block);
    }
    this.#freedBefore = closed.concat(kept);
  }

  /** For a walk that can begin again: unlike a reader it gives way to whoever needs space. */
  pin(): Pin {
    for (const pin of this.#pins) if (!pin.held) this.#pins.delete(pin);
    const pin = new Pin(this);
    this.#pins.add(pin);
    return pin;
  }

  /** Takes all pins away that nobody holds on to. True if there was one. */
  unpin(): boolean {
    let any = false;
    for (const pin of this.#pins) if (pin.yield()) any = true;
    return any;
  }

  get #promised(): number {
    return this.reserved + this.unwritten;
  }

  #keptFrom(use: SpaceUse): number {
    if (use === 'normal') return this.kept;
    return use === 'delete' ? this.#keptLast : 0;
  }

  #countNodes(count: number): void {
    this.#nodes += count;
    this.#nodesMost = Math.max(this.#nodesMost, this.#nodes);
  }

  #take(block: Block, count: number): void {
    for (let i = 0; i < count; i++) this.groups.handOut((block + i) as Block);
  }

  #planFrom(cursor: number, blocks: number, plan: Plan): boolean {
    const { groups } = this;
    const { groupCount } = groups.geometry;
    let found = 0;
    let ready = true;
    let group = groups.groupOf(cursor as Block) % groupCount;
    for (let i = 0; i <= groupCount && found < blocks; i++) {
      const idle = groups.idleIn(group);
      if (idle > 0) {
        if (!groups.want(group, plan)) ready = false;
        found += idle;
      }
      group = (group + 1) % groupCount;
    }
    return ready;
  }

  /** The first good run from the cursor on, around the volume; else the longest that was seen. */
  #find(cursor: number, most: number, good: number): { block: Block; length: number } | undefined {
    const { groups } = this;
    const { groupCount } = groups.geometry;
    let group = groups.groupOf(cursor as Block) % groupCount;
    let from = cursor - group * groups.geometry.groupBlocks;
    let best: { block: Block; length: number } | undefined;
    for (let i = 0; i <= groupCount; i++) {
      const loaded = groups.idleIn(group) > 0 ? groups.loaded(group) : undefined;
      if (loaded !== undefined) {
        const run = findRun(loaded, from, most, good);
        if (run !== undefined && (best === undefined || run.length > best.length)) best = run;
        if (best !== undefined && best.length >= good) return best;
      } else if (best !== undefined && groups.idleIn(group) > 0) {
        return best;
      }
      group = (group + 1) % groupCount;
      from = 0;
    }
    return best;
  }
}

/** A 32nd of the volume, at most 16 MiB; of a small volume what a few deletes need. */
function keptOf(blockCount: number): number {
  const few = Math.max(16, Math.min(64, Math.floor(blockCount / 5)));
  return Math.min((16 * MIB) / BLOCK_SIZE, Math.max(few, Math.floor(blockCount / 32)));
}

/** The first run of at least `good` idle blocks from `from` on, cut at `most`; else the longest. */
function findRun(
  group: Group,
  from: number,
  most: number,
  good: number,
): { block: Block; length: number } | undefined {
  let bestAt = 0;
  let bestLength = 0;
  for (let i = nextIdle(group, from); i < group.length; ) {
    let end = i + 1;
    const stop = Math.min(group.length, i + most);
    while (end < stop && group.isIdle(end)) end++;
    if (end - i > bestLength) {
      bestAt = i;
      bestLength = end - i;
      if (bestLength >= good) break;
    }
    i = nextIdle(group, end);
  }
  if (bestLength === 0) return undefined;
  return { block: (group.start + bestAt) as Block, length: bestLength };
}

/** Nothing more can be had, whatever is committed or reclaimed. */
export function noSpace(wanted: number, available: number): FilesystemError {
  return new FilesystemError(
    'ENOSPC',
    `Cannot find room: ${wanted} blocks are needed, ${available} are available`,
  );
}
