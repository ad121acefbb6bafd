/**
 * Store: blocks that can be shared, and groups of changes that become durable together.
 *
 * Above it are trees, which know what the blocks mean; below it is only a device. It owns the
 * counts, the space, the open transaction group, and the way a commit goes.
 */
import {
  assert,
  BLOCK_SIZE,
  BLOCK_WORDS,
  type Block,
  CorruptionError,
  FilesystemError,
  type Frame,
  NO_FRAME,
  type Operation,
  type Plan,
  type Txg,
} from '../base/index.ts';
import { type BlockCache, type BlockKind, LoadFlag } from '../cache/index.ts';
import {
  DIRTY,
  type Geometry,
  KIND_MASK,
  NOCSUM,
  SUPERBLOCKS,
  type Superblock,
  setSlot,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  superblockPlace,
  TWIN,
  type VolumeState,
} from '../format/index.ts';
import { Commit } from './commit.ts';
import { FlushLog } from './flush-log.ts';
import { Groups } from './groups.ts';
import { IntentLog } from './log.ts';
import { Ring } from './ring.ts';
import { noSpace, Space, type SpaceUse } from './space.ts';
import { DirtyList } from './transaction.ts';

/** What the rooms above do for a commit. */
export interface StoreClient {
  /** True if no file data is dirty or in flight; otherwise the plan follows what writes it back. */
  drained(plan: Plan): boolean;
  /** Brings everything kept elsewhere into the trees and seals them: every checksum is known. */
  seal(): void;
  /** Gives up space that is kept for later and not needed. True if there was any. */
  yieldSpace(): boolean;
  /** An operation that gives freed trees back, or undefined if there are none. */
  reclaim(): Operation<unknown> | undefined;
}

export interface StoreOptions {
  readonly blocks: BlockCache;
  readonly superblock: Superblock;
  /** The group index the superblock names. */
  readonly index: Uint32Array;
  /** Place in the ring of the superblock; -1 for a volume that has none yet. */
  readonly ring: number;
  /** The txg of the root that was mounted, if a newer one was passed over. */
  readonly rootTxg?: Txg | undefined;
  /** Blocks that the volume has according to other superblocks, where they say otherwise. */
  readonly sizes?: readonly number[] | undefined;
  readonly readOnly: boolean;
  /** Bytes for counts. */
  readonly countCapacity: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Commits that an operation without room waits for before it gives up: the first places the dirty
 * data, and after two more everything freed until then is idle.
 */
const FORCED_COMMITS = 3;

/** Blocks that a replay, which may use all others, leaves to reclaiming as long as there is any. */
const RECLAIM_BLOCKS = 16;

export class Store {
  readonly blocks: BlockCache;
  /** What a volume is from its beginning to its end; only its size may change. */
  superblock: Superblock;
  readonly groups: Groups;
  readonly space: Space;
  readonly dirty: DirtyList;
  readonly log: IntentLog;
  readonly now: () => number;
  readonly readOnly: boolean;
  /**
   * Set while a mount replays the log: nothing is committed before all of it is done, since a mount
   * after a crash begins with the first frame again.
   */
  recovering = false;
  /** What the next commit writes; the counters in it are always current. */
  readonly state: VolumeState;
  /** Number of the open transaction group. */
  txg: Txg;
  /** Dirty nodes beyond this number ask for a commit. */
  readonly dirtyLimit: number;
  /** The first failed write or flush of metadata: nothing is changed any more. */
  failure: Error | undefined;
  /** Set while mutations have to wait: the commit or the clone that holds them up. */
  gate: Operation<unknown> | undefined;
  /** The operation that is moving the end of the volume. */
  moving: Operation<unknown> | undefined;
  /** The next commit is made even if nothing has changed. */
  renewing = false;
  /**
   * What is idle is in use by neither of the two newest roots. A mount does not know what the root
   * before its own needs: its first commit makes up for that.
   */
  keepsRoots = false;
  /** The operation under which blocks are being discarded (A4). */
  discarding: Operation<unknown> | undefined;
  client!: StoreClient;
  /** Txg of the newest root that is durable. */
  durableTxg: Txg;
  /** Runs of data that were written over what was there, and how many of them are durable. */
  overwrites = 0;
  durableOverwrites = 0;
  #commit: Commit | undefined;
  #flush: FlushLog | undefined;
  readonly ring: Ring;
  /** Sizes that other superblocks had when the volume was mounted. */
  readonly #sizes: readonly number[];
  /** Where what is new of a larger volume begins, until it may be handed out. */
  #opening: Block | undefined;
  /** Per frame: its block is written twice. */
  readonly #twins: Uint8Array;

  constructor(options: StoreOptions) {
    this.blocks = options.blocks;
    this.superblock = options.superblock;
    this.readOnly = options.readOnly;
    this.now = options.now;
    const { state } = options.superblock;
    this.state = { ...state, metaRoot: state.metaRoot.slice() };
    this.txg = (this.state.txg + 1) as Txg;
    this.durableTxg = options.rootTxg ?? this.state.txg;
    this.groups = new Groups({
      geometry: options.superblock.geometry,
      seed: options.blocks.seed,
      index: options.index,
      capacity: options.countCapacity,
    });
    this.groups.onContradiction = (error) => this.latch(error);
    this.space = new Space(this.groups, this.blocks, state.reservedBlocks);
    this.dirty = new DirtyList(this.blocks.frameCount);
    this.log = new IntentLog(options.superblock.geometry, this.blocks.seed, this.txg);
    const moved = (options.rootTxg ?? state.txg) < state.txg;
    this.log.goOn({ head: state.logTail, sequence: state.logSequence, moved });
    this.#twins = new Uint8Array(this.blocks.frameCount);
    this.ring = new Ring(options.ring);
    this.#sizes = options.sizes ?? [];
    if (this.#sizes.length > 0) this.ring.turn();
    this.dirtyLimit = Math.min(16384, this.blocks.frameCount >>> 2);
  }

  /**
   * The first thing a mutation plans: may it begin at all? False if it has to wait. Whoever holds
   * up the others may need to reclaim, so reclaiming is not `gated`.
   * @throws {FilesystemError} `EROFS` if the volume is read-only, from the start or after a failure
   */
  admit(plan: Plan, gated = true): boolean {
    if (this.readOnly && !this.recovering)
      throw new FilesystemError('EROFS', 'Cannot change the volume: it is read-only');
    if (this.failure !== undefined) {
      throw new FilesystemError(
        'EROFS',
        `Cannot change the volume: it is read-only since a write failed (${this.failure.message})`,
        { cause: this.failure },
      );
    }
    if (gated && this.gate !== undefined) plan.follow(this.gate);
    else if (this.dirty.count > this.dirtyLimit && !this.recovering) plan.follow(this.commit());
    return plan.ready;
  }

  /**
   * The last thing a mutation plans: the blocks it may allocate, and `data` more, are there and
   * their counts are in memory. False if the plan has needs.
   * @throws {FilesystemError} `ENOSPC` if they cannot be had, whatever is committed or reclaimed
   */
  settle(plan: Plan, use: SpaceUse, data = 0): boolean {
    if (!plan.ready) return false;
    const wanted = plan.blocks + data;
    const { space, recovering } = this;
    if (recovering ? this.#replayHas(wanted, use) : space.has(wanted, use)) {
      return space.plan(wanted, plan) && this.blocks.room(plan, plan.blocks - plan.twins);
    }
    if (this.discarding !== undefined && space.couldHave(wanted, use)) {
      plan.follow(this.discarding);
      return false;
    }
    const { readers } = space;
    if (this.client.yieldSpace()) {
      // Commits that were forced under a pin have given nothing.
      if (space.readers < readers) plan.forced = 0;
      return this.settle(plan, use, data);
    }
    const reclaim = this.#reclaim(use);
    // A replay makes no commit; nodes that the log has made and taken away are idle without one.
    const hopeful = !recovering && plan.forced < FORCED_COMMITS;
    if (hopeful && space.pending > 0 && space.couldHave(wanted, use)) this.#force(plan);
    else if (reclaim !== undefined) plan.follow(reclaim);
    // Promises are generous: what dirty data does not need is known when it has its place.
    else if (hopeful && space.pending + space.reserved > 0) this.#force(plan);
    else throw noSpace(wanted, space.available);
    return false;
  }

  #replayHas(blocks: number, use: SpaceUse): boolean {
    const left = this.#reclaim(use) === undefined ? 0 : RECLAIM_BLOCKS;
    return this.space.has(blocks + left, 'replay');
  }

  /** Reclaiming does not wait for itself. */
  #reclaim(use: SpaceUse): Operation<unknown> | undefined {
    return use === 'reclaim' ? undefined : this.client.reclaim();
  }

  #force(plan: Plan): void {
    plan.forced++;
    plan.follow(this.commit());
  }

  /** True if blocks or counts have changed since the last commit closed. */
  get hasChanges(): boolean {
    return this.dirty.count > 0 || this.groups.hasChanges;
  }

  /** True while a commit is on its way. */
  get isCommitting(): boolean {
    return this.#commit?.done === false;
  }

  /** The commit that has closed and is on its way, if there is one. */
  get committing(): Commit | undefined {
    return this.#commit?.closed === true && !this.#commit.done ? this.#commit : undefined;
  }

  /** Makes everything done so far durable by the log. */
  flushLog(): FlushLog {
    const running = this.#flush;
    if (running !== undefined && !running.done && !running.begun) return running;
    this.#flush = new FlushLog(this, running?.done === false ? running : undefined);
    return this.#flush;
  }

  /**
   * A commit that will contain everything done so far.
   * @throws {FilesystemError} `ENOMEM` while the log is replayed: it has to fit into memory
   */
  commit(): Commit {
    if (this.recovering) {
      throw new FilesystemError(
        'ENOMEM',
        'Cannot replay the log: what it changes does not fit, a larger cacheBytes is needed',
      );
    }
    const running = this.#commit;
    if (running !== undefined && !running.done && !running.closed) return running;
    this.#commit = new Commit(this, running?.done === false ? running : undefined);
    return this.#commit;
  }

  /** A commit that is made even if nothing has changed. */
  renew(): Commit {
    this.renewing = true;
    return this.commit();
  }

  /** The target of a slot, or NO_FRAME after its load was planned. */
  want(words: Uint32Array, at: number, kind: BlockKind, plan: Plan): Frame {
    assert(slotHasBlock(words, at), () => `${kind.name} is asked for, but the slot names none`);
    const block = slotBlock(words, at);
    const flags = slotFlags(words, at);
    if (block >= this.superblock.geometry.blockCount) {
      throw new CorruptionError(kind.name, block * BLOCK_SIZE, 'it is outside the volume');
    }
    const found = this.blocks.find(block);
    if (found !== NO_FRAME) {
      const stated = (flags & (DIRTY | NOCSUM)) === 0 ? slotChecksum(words, at) : undefined;
      const fault = this.blocks.misfit(found, kind, stated);
      if (fault === undefined) return found;
      throw new CorruptionError(kind.name, block * BLOCK_SIZE, fault);
    }
    assert((flags & DIRTY) === 0, () => `block ${block} is dirty and not in memory`);
    const load =
      ((flags & NOCSUM) !== 0 ? LoadFlag.UNVERIFIED : 0) |
      ((flags & TWIN) !== 0 ? LoadFlag.TWIN : 0);
    return this.blocks.want(plan, block, slotChecksum(words, at), load, kind);
  }

  /** Brings in the counts of a slot's target, and of its second copy. False: the plan has needs. */
  wantCounts(words: Uint32Array, at: number, plan: Plan): boolean {
    const block = slotBlock(words, at);
    const counted = this.groups.wantNamed(block, plan);
    if ((slotFlags(words, at) & TWIN) === 0) return counted;
    return this.groups.wantTwin((block + 1) as Block, plan) && counted;
  }

  /** The target of a slot that was planned for. */
  resident(words: Uint32Array, at: number): Frame {
    return this.blocks.resident(slotBlock(words, at));
  }

  /**
   * A new block in the open txg: its frame is dirty and has undefined content, its count is 1, and
   * the slot names it with `kind`. Space was planned for.
   */
  allocate(words: Uint32Array, at: number, kind: number, twin: boolean): Frame {
    const { block, twin: hasTwin } = this.space.allocateNode(twin);
    this.groups.increment(block);
    if (hasTwin) this.groups.increment((block + 1) as Block);
    const frame = this.blocks.create(block);
    this.dirty.add(frame);
    this.#twins[frame] = hasTwin ? 1 : 0;
    const flags = kind | DIRTY | (hasTwin ? TWIN : 0);
    setSlot(words, at, { block, flags, birth: this.txg, checksum: 0 });
    return frame;
  }

  /**
   * A slot's target is moved to a new block of the open txg, with its content; the slot was the
   * only one to name the old block, which is free now. Cheaper than a copy: the frame comes along.
   */
  relocate(words: Uint32Array, at: number, twin: boolean): Frame {
    const old = slotBlock(words, at);
    const oldTwin = (slotFlags(words, at) & TWIN) !== 0;
    const kind = slotFlags(words, at) & KIND_MASK;
    const oldFrame = this.blocks.resident(old);
    const { block, twin: hasTwin } = this.space.allocateNode(twin);
    this.groups.increment(block);
    if (hasTwin) this.groups.increment((block + 1) as Block);
    let frame = oldFrame;
    if (!this.blocks.move(oldFrame, block)) {
      frame = this.blocks.create(block);
      this.blocks.copyFrame(oldFrame, frame);
    }
    this.dirty.add(frame);
    this.#twins[frame] = hasTwin ? 1 : 0;
    const flags = kind | DIRTY | (hasTwin ? TWIN : 0);
    setSlot(words, at, { block, flags, birth: this.txg, checksum: 0 });
    // The node is the same, elsewhere: what it hangs from has been shared as long ago.
    if (this.groups.unshared.has(old)) this.groups.unshared.add(block);
    this.groups.decrement(old);
    this.space.free(old);
    if (oldTwin) {
      this.groups.decrement((old + 1) as Block);
      this.space.free((old + 1) as Block);
    }
    return frame;
  }

  /**
   * One slot less names its target. Returns how many still do. At 0 the block is free; what it
   * points to is the caller's concern.
   */
  release(words: Uint32Array, at: number): number {
    const block = slotBlock(words, at);
    const twin = (slotFlags(words, at) & TWIN) !== 0;
    const left = this.groups.decrement(block);
    if (left > 0) return left;
    if (twin) this.groups.decrement((block + 1) as Block);
    const frame = this.blocks.find(block);
    const dirty = frame !== NO_FRAME && this.dirty.has(frame);
    if (dirty && (slotFlags(words, at) & DIRTY) === 0) {
      // The slot is older than what is there: an image said that a block in use was free.
      this.latch(new CorruptionError('count', block * BLOCK_SIZE, 'it was 0, and a slot names it'));
    } else if (dirty) {
      this.dirty.remove(frame);
      this.blocks.forget(block);
      this.space.takeBackNode(block, twin ? 2 : 1);
    } else {
      this.space.free(block);
      if (twin) this.space.free((block + 1) as Block);
    }
    return 0;
  }

  /** One slot more names its target, which is not saturated. */
  share(words: Uint32Array, at: number): void {
    this.groups.increment(slotBlock(words, at));
  }

  /** True if a dirty frame is to be written twice. */
  hasTwin(frame: Frame): boolean {
    return this.#twins[frame] === 1;
  }

  /**
   * The volume ends elsewhere from now on. What is new of it is handed out once a root is durable
   * that has it, so that the log names it in no root that has not.
   */
  resize(geometry: Geometry): void {
    const { blockCount } = this.superblock.geometry;
    const { groups, space, ring } = this;
    const idle = groups.free;
    this.superblock = { ...this.superblock, geometry };
    groups.resize(geometry);
    ring.turn();
    if (geometry.blockCount < blockCount) {
      space.resized();
      return;
    }
    this.#opening = blockCount as Block;
    for (const block of copiesAt(blockCount)) ring.hold(block);
    space.incoming = groups.free - idle - SUPERBLOCKS;
  }

  /** A superblock is durable that says that the volume has `blockCount` blocks. */
  written(blockCount: number): void {
    const { geometry } = this.superblock;
    this.keepsRoots = true;
    if (blockCount !== geometry.blockCount) return;
    for (const block of this.ring.written()) this.groups.makeIdle(block);
    if (this.#opening === undefined) return;
    this.groups.open(this.#opening);
    this.#opening = undefined;
    this.space.resized();
  }

  /** Holds what other superblocks take for the end (S4). Part of every mount. False: needs. */
  holdEnds(plan: Plan): boolean {
    const { groups, superblock, ring } = this;
    const { geometry } = superblock;
    const places = this.#sizes
      .filter((blocks) => blocks < geometry.blockCount)
      .flatMap((blocks) => copiesAt(blocks));
    for (const block of places) groups.wantBlock(block, plan);
    if (!plan.ready) return false;
    for (const block of places) {
      if (!groups.isIdle(block)) continue;
      groups.handOut(block);
      ring.hold(block);
    }
    return true;
  }

  /** Has the next commit say that readers must know a feature. */
  require(feature: number): void {
    const { incompatible } = this.superblock;
    this.superblock = { ...this.superblock, incompatible: incompatible | feature };
  }

  /** True if data was written over what was there, and no flush has covered it. */
  get hasOverwrites(): boolean {
    return this.overwrites > this.durableOverwrites;
  }

  /** A flush has covered so many of the overwrites. */
  flushed(overwrites: number): void {
    this.durableOverwrites = Math.max(this.durableOverwrites, overwrites);
  }

  /** True if all of what happened in `txg` is in the two newest roots, and the log has none. */
  isSettled(txg: Txg): boolean {
    return txg < this.durableTxg;
  }

  /** Word of the first word of a frame. */
  base(frame: Frame): number {
    return frame * BLOCK_WORDS;
  }

  /** Stops all changes, for good: the first cause is kept. */
  latch(error: Error): void {
    this.failure ??= error;
  }
}

/** Where a volume of this many blocks has the second copies of its superblocks. */
function copiesAt(blockCount: number): Block[] {
  return Array.from({ length: SUPERBLOCKS }, (_, ring) => superblockPlace(blockCount, ring, 1));
}
