/**
 * Block cache: 4 KiB frames in one arena, found by the device block they hold.
 *
 * Nodes and clean data live here, one copy per device block, so that a thousand clones share it.
 * A frame that holds no block is lent out as plain memory (dirty file data, see folios.ts).
 *
 * C1. A frame is FREE, HELD (lent, without a block), LOADING, CLEAN, DIRTY (holds what the device
 *     does not have yet; the open or the committing transaction group owns it) or STALE (forgotten
 *     while pinned; free when the last pin goes).
 * C2. Exactly the LOADING, CLEAN and DIRTY frames are in the table, one per block.
 * C3. Only CLEAN frames without pins are evicted. `busy` counts all others but the FREE ones.
 * C4. What was loaded is verified before it becomes CLEAN.
 * C5. What was seen in a round of planning stays until the turn ends: applying relies on it.
 * C6. Frames that are promised are left alone by {@link BlockCache.room}; an eighth of all frames
 *     too, for what operations under way have to load.
 *
 * Eviction is CLOCK: a lookup marks a frame with its round, the hand takes the mark away and takes
 * the frame when it comes around again. All state is in typed arrays; only a miss allocates.
 */
import {
  assert,
  BLOCK_SIZE,
  BLOCK_WORDS,
  type Block,
  CorruptionError,
  checksum32,
  checksumFault,
  currentRound,
  FilesystemError,
  type Frame,
  Io,
  NO_FRAME,
  type Operation,
  type Plan,
} from '../base/index.ts';
import { HeldRuns } from './held-runs.ts';

/** Words per frame in `#frames`. */
const BLOCK = 0;
const STATE = 1;
const SEEN = 2;
const CHECKSUM = 3;
const STRIDE = 4;

/** The state word: the state in the low bits, the number of pins above. */
const STATE_MASK = 7;
const PIN = 8;

const State = { FREE: 0, HELD: 1, LOADING: 2, CLEAN: 3, DIRTY: 4, STALE: 5 } as const;

/** What a block is expected to be: its name in messages, and a test that a hostile image fails. */
export interface BlockKind {
  readonly name: string;
  /**
   * What makes the frame's content unfit, or undefined. Runs when the block is loaded, and again
   * only if it is looked for as another kind.
   */
  fault?(words: Uint32Array, base: number, bytes: Uint8Array): string | undefined;
}

/** How to load a block. */
export const LoadFlag = {
  /** There is no checksum to verify. */
  UNVERIFIED: 1,
  /** The block after it is a second copy. */
  TWIN: 2,
} as const;

export interface BlockCacheOptions {
  /** Bytes of the arena. */
  readonly capacity: number;
  /** Seed of the checksums. */
  readonly seed: bigint;
  /** Told when a block's first copy was unusable and the second one served. */
  readonly onRepairable?: (block: Block, finding: Error) => void;
}

export class BlockCache {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly frameCount: number;
  /** Frames that cannot be taken now (C3). */
  busy = 0;
  /** Loads since the cache was made, for measurements. */
  loads = 0;
  /**
   * Where memory comes from when all of it is busy: set by the volume, it writes back or commits.
   */
  relief: ((asker: Plan) => Operation<unknown> | undefined) | undefined;
  seed: bigint;
  onRepairable: ((block: Block, finding: Error) => void) | undefined;

  /**
   * All state of a frame side by side, so that a lookup touches one line of the host's cache: the
   * block, the state with the pins, the round in which the frame was seen last, and the checksum
   * of its content as far as that is known, or 0.
   */
  readonly #frames: Uint32Array;
  /** The round of planning under way, and how many frames were seen in it. */
  #round = 0;
  #seenNow = 0;
  /** Open addressing with linear probing; frame + 1, 0 is empty. */
  readonly #table: Int32Array;
  readonly #shift: number;
  /**
   * Frames that dirty data will need for the nodes that map it. Without them nothing could become
   * clean any more: data becomes clean by making nodes dirty, and nodes by a commit, which waits
   * for the data.
   */
  promised = 0;
  readonly #free: Int32Array;
  #freeCount: number;
  #hand = 0;
  readonly #loading = new Map<Frame, LoadBlock>();
  /** What is being read past the cache. */
  readonly held: HeldRuns = new HeldRuns();
  readonly #views: (Uint8Array | undefined)[];
  /** As what the content of a frame was verified; undefined for what was made here. */
  readonly #kinds: (BlockKind | undefined)[];

  constructor(options: BlockCacheOptions) {
    const frames = Math.floor(options.capacity / BLOCK_SIZE);
    if (frames < 64) throw new RangeError(`A cache has at least 64 blocks, not ${frames}`);
    const memory = allocateArena(frames * BLOCK_SIZE);
    this.bytes = new Uint8Array(memory, 0, frames * BLOCK_SIZE);
    this.words = new Uint32Array(memory, 0, frames * BLOCK_WORDS);
    this.frameCount = frames;
    this.seed = options.seed;
    this.onRepairable = options.onRepairable;
    const tableBits = Math.ceil(Math.log2(frames * 2));
    this.#table = new Int32Array(2 ** tableBits);
    this.#shift = 32 - tableBits;
    this.#frames = new Uint32Array(frames * STRIDE);
    this.#free = new Int32Array(frames);
    for (let i = 0; i < frames; i++) this.#free[i] = frames - 1 - i;
    this.#freeCount = frames;
    this.#views = new Array(frames);
    this.#kinds = new Array(frames);
  }

  /** Frames that can be taken in this turn. */
  get available(): number {
    const seen = this.#round === currentRound() ? this.#seenNow : 0;
    return this.frameCount - this.busy - seen;
  }

  /** The frame that holds `block`, ready to be read, or NO_FRAME. */
  find(block: Block): Frame {
    const frame = this.#probe(block);
    if (frame === NO_FRAME || this.#stateOf(frame) === State.LOADING) return NO_FRAME;
    this.#see(frame);
    return frame;
  }

  /** Like {@link find} where a miss is our own mistake (O1). */
  resident(block: Block): Frame {
    const frame = this.find(block);
    assert(frame !== NO_FRAME, () => `block ${block} was planned for but is not in memory`);
    return frame;
  }

  /**
   * The frame that holds `block`, or NO_FRAME after the load was added to the plan. What is loaded
   * for a plan stays pinned until the plan is released, so that a small cache cannot livelock.
   */
  want(plan: Plan, block: Block, checksum: number, flags: number, kind: BlockKind): Frame {
    const present = this.#probe(block);
    if (present !== NO_FRAME && this.#stateOf(present) !== State.LOADING) {
      this.#see(present);
      return present;
    }
    if (present !== NO_FRAME) {
      this.#pinFor(plan, present);
      plan.need(this.#loading.get(present) as LoadBlock);
      return NO_FRAME;
    }
    if (plan.pinned.length >= this.frameCount >>> 1) throw tooLarge(plan.pinned.length);
    if (this.available < 1) {
      this.#seekRelief(plan);
      return NO_FRAME;
    }
    const frame = this.take();
    this.#enter(frame, block, State.LOADING);
    const load = new LoadBlock(this, frame, { block, checksum, flags, kind });
    this.#loading.set(frame, load);
    this.#frames[frame * STRIDE + STATE] = (this.#frames[frame * STRIDE + STATE] as number) + PIN;
    plan.pinned.push(frame);
    plan.need(load);
    this.loads++;
    return NO_FRAME;
  }

  /**
   * True if `count` frames can be taken and kept; otherwise the plan gets what has to happen first.
   */
  room(plan: Plan, count: number): boolean {
    if (this.available - this.promised - (this.frameCount >>> 3) >= count) return true;
    this.#seekRelief(plan);
    return false;
  }

  #seekRelief(plan: Plan): void {
    if (!plan.ready) return;
    const relief = this.relief?.(plan);
    if (relief !== undefined) {
      plan.follow(relief);
      return;
    }
    // Others are loading: when one of them is done, well or not, frames may be free.
    for (const load of this.#loading.values()) {
      plan.followIo(load);
      return;
    }
    throw tooLarge(this.busy);
  }

  /** Takes a frame out of the cache as plain memory. Its content is undefined. */
  take(): Frame {
    const frame = this.#freeCount > 0 ? this.#popFree() : this.#evict();
    this.#setState(frame, State.HELD);
    this.busy++;
    return frame;
  }

  /** Gives a taken frame back. */
  give(frame: Frame): void {
    assert(this.#stateOf(frame) === State.HELD, 'only a held frame can be given back');
    this.#release(frame);
  }

  /** A new dirty frame for a block that was just allocated. Its content is undefined. */
  create(block: Block): Frame {
    this.forget(block);
    const frame = this.take();
    this.#enter(frame, block, State.DIRTY);
    return frame;
  }

  /** A held frame becomes the clean copy of `block`, which the device has by now. */
  adopt(frame: Frame, block: Block): void {
    assert(this.#stateOf(frame) === State.HELD, 'only a held frame can be adopted');
    this.forget(block);
    this.#enter(frame, block, State.CLEAN);
    this.#see(frame);
    this.busy--;
  }

  /** A clean, unpinned frame becomes the dirty copy of another block. False if it may not. */
  move(frame: Frame, block: Block): boolean {
    if (this.#stateOf(frame) !== State.CLEAN || this.#isPinned(frame)) return false;
    this.forget(block);
    this.#unlink(frame);
    const kind = this.#kinds[frame];
    this.#enter(frame, block, State.DIRTY);
    this.#kinds[frame] = kind;
    this.busy++;
    return true;
  }

  /** The device has what this dirty frame holds. */
  clean(frame: Frame): void {
    assert(this.#stateOf(frame) === State.DIRTY, 'only a dirty frame becomes clean');
    this.#setState(frame, State.CLEAN);
    if (!this.#isPinned(frame)) this.busy--;
  }

  isDirty(frame: Frame): boolean {
    return this.#stateOf(frame) === State.DIRTY;
  }

  /** True if a read of `block` is in flight or planned for, into a frame or past the cache. */
  isLoading(block: Block): boolean {
    const frame = this.#probe(block);
    return (frame !== NO_FRAME && this.#stateOf(frame) === State.LOADING) || this.held.has(block);
  }

  /** False if a block is being loaded: then the plan waits for the end of that. */
  isSettled(block: Block, plan: Plan): boolean {
    const frame = this.#probe(block);
    if (frame === NO_FRAME || this.#stateOf(frame) !== State.LOADING) return true;
    plan.followIo(this.#loading.get(frame) as LoadBlock);
    return false;
  }

  blockOf(frame: Frame): Block {
    return this.#frames[frame * STRIDE] as Block;
  }

  /** `block` no longer holds what it held. A load in flight must have ended before. */
  forget(block: Block): void {
    const frame = this.#probe(block);
    if (frame === NO_FRAME) return;
    const state = this.#stateOf(frame);
    assert(state !== State.LOADING, () => `block ${block} is forgotten while it is loaded`);
    this.#unlink(frame);
    if (state === State.DIRTY) this.busy--;
    else if (this.#isPinned(frame)) this.busy--;
    this.#retire(frame);
  }

  /** Lets go of everything that was loaded for `plan`. */
  unpin(plan: Plan): void {
    // Mostly there are none, and setting a length is a call into the runtime.
    if (plan.pinned.length === 0) return;
    for (const frame of plan.pinned) {
      this.#frames[frame * STRIDE + STATE] = (this.#frames[frame * STRIDE + STATE] as number) - PIN;
      if (this.#isPinned(frame)) continue;
      const state = this.#stateOf(frame);
      if (state === State.STALE) this.#release(frame);
      else if (state === State.CLEAN) this.busy--;
      else if (state === State.LOADING) this.#giveUp(frame);
    }
    plan.pinned.length = 0;
  }

  /** A load that nobody waits for is forgotten, unless the device has been asked for it. */
  #giveUp(frame: Frame): void {
    if (this.#loading.get(frame)?.submitted !== false) return;
    this.#loading.delete(frame);
    this.#unlink(frame);
    this.#release(frame);
  }

  /** The 4 KiB of a frame. The view is made once and kept. */
  view(frame: Frame): Uint8Array {
    const view = this.#views[frame];
    if (view !== undefined) return view;
    const made = this.bytes.subarray(frame * BLOCK_SIZE, (frame + 1) * BLOCK_SIZE);
    this.#views[frame] = made;
    return made;
  }

  /** Copies bytes of a frame out of the arena. */
  copyOut(frame: Frame, from: number, length: number, target: Uint8Array, at: number): void {
    if (length === BLOCK_SIZE) target.set(this.view(frame), at);
    else {
      const start = frame * BLOCK_SIZE + from;
      target.set(this.bytes.subarray(start, start + length), at);
    }
  }

  copyFrame(from: Frame, to: Frame): void {
    const start = from * BLOCK_SIZE;
    this.bytes.copyWithin(to * BLOCK_SIZE, start, start + BLOCK_SIZE);
    this.#kinds[to] = this.#kinds[from];
  }

  checksumOf(frame: Frame): number {
    return checksum32(this.view(frame), this.seed);
  }

  /** Drops every frame that may be dropped; for tests that want to see the device. */
  evictAll(): void {
    for (let frame = 0 as Frame; frame < this.frameCount; frame++) {
      if (this.#stateOf(frame) !== State.CLEAN || this.#isPinned(frame)) continue;
      this.#unlink(frame);
      this.#setState(frame, State.FREE);
      this.#free[this.#freeCount++] = frame;
    }
  }

  /** The content of a dirty frame is final, and this is its checksum. */
  sealed(frame: Frame, checksum: number): void {
    this.#frames[frame * STRIDE + CHECKSUM] = checksum;
  }

  /**
   * What makes the frame of a node unfit to be what a slot says of it, or undefined. It was
   * verified for the first slot that named it, and as what that one said it is; another slot may
   * say otherwise. Dirty frames were filled by us. `checksum`: what the slot states, if it does.
   */
  misfit(frame: Frame, kind: BlockKind, checksum: number | undefined): string | undefined {
    if (kind.fault === undefined || this.#stateOf(frame) === State.DIRTY) return undefined;
    const found = this.#frames[frame * STRIDE + CHECKSUM] as number;
    if (checksum !== undefined && found !== checksum) {
      return checksumFault(found, checksum);
    }
    if (this.#kinds[frame] === kind) return undefined;
    const fault = kind.fault(this.words, frame * BLOCK_WORDS, this.bytes);
    if (fault === undefined) this.#kinds[frame] = kind;
    return fault;
  }

  /** Called by {@link LoadBlock}: the load ended, well (as what?) or not. */
  loaded(frame: Frame, as: LoadRequest | undefined): void {
    this.#loading.delete(frame);
    if (as !== undefined) {
      this.#kinds[frame] = as.kind;
      this.#frames[frame * STRIDE + CHECKSUM] = as.checksum;
      this.#setState(frame, State.CLEAN);
      this.#see(frame);
      if (!this.#isPinned(frame)) this.busy--;
      return;
    }
    this.#unlink(frame);
    this.busy--;
    this.#retire(frame);
  }

  /** A frame that left the table: free, or stale while somebody still has it pinned. */
  #retire(frame: Frame): void {
    this.busy++;
    if (this.#isPinned(frame)) this.#setState(frame, State.STALE);
    else this.#release(frame);
  }

  #release(frame: Frame): void {
    this.#setState(frame, State.FREE);
    this.#free[this.#freeCount++] = frame;
    this.busy--;
  }

  #pinFor(plan: Plan, frame: Frame): void {
    if (plan.pinned.includes(frame)) return;
    this.#frames[frame * STRIDE + STATE] = (this.#frames[frame * STRIDE + STATE] as number) + PIN;
    plan.pinned.push(frame);
  }

  #popFree(): Frame {
    return this.#free[--this.#freeCount] as Frame;
  }

  #evict(): Frame {
    const count = this.frameCount;
    const round = currentRound();
    for (let looked = 0; looked < 3 * count; looked++) {
      const frame = this.#hand as Frame;
      this.#hand = frame + 1 === count ? 0 : frame + 1;
      if (this.#stateOf(frame) !== State.CLEAN || this.#isPinned(frame)) continue;
      const at = frame * STRIDE + SEEN;
      if (this.#frames[at] === round) continue;
      if (this.#frames[at] !== 0) {
        this.#frames[at] = 0;
        continue;
      }
      this.#unlink(frame);
      return frame;
    }
    assert(false, `no frame to evict, ${this.busy} of ${count} are busy`);
    return NO_FRAME;
  }

  #stateOf(frame: Frame): number {
    return (this.#frames[frame * STRIDE + STATE] as number) & STATE_MASK;
  }

  #setState(frame: Frame, state: number): void {
    const at = frame * STRIDE + STATE;
    this.#frames[at] = ((this.#frames[at] as number) & ~STATE_MASK) | state;
  }

  #isPinned(frame: Frame): boolean {
    return (this.#frames[frame * STRIDE + STATE] as number) >= PIN;
  }

  /** Counts as a use, and keeps the frame for the rest of the turn (C5). */
  #see(frame: Frame): void {
    const at = frame * STRIDE + SEEN;
    const round = currentRound();
    if (this.#frames[at] === round) return;
    if (this.#round !== round) {
      this.#round = round;
      this.#seenNow = 0;
    }
    this.#frames[at] = round;
    this.#seenNow++;
  }

  #enter(frame: Frame, block: Block, state: number): void {
    this.#setState(frame, state);
    this.#kinds[frame] = undefined;
    this.#frames[frame * STRIDE + BLOCK] = block;
    this.#frames[frame * STRIDE + CHECKSUM] = 0;
    const table = this.#table;
    const mask = table.length - 1;
    let at = Math.imul(block, 0x9e3779b1) >>> this.#shift;
    while (table[at] !== 0) at = (at + 1) & mask;
    table[at] = frame + 1;
  }

  #probe(block: Block): Frame {
    const table = this.#table;
    const mask = table.length - 1;
    let at = Math.imul(block, 0x9e3779b1) >>> this.#shift;
    for (;;) {
      const entry = table[at] as number;
      if (entry === 0) return NO_FRAME;
      if (this.#frames[(entry - 1) * STRIDE] === block) return (entry - 1) as Frame;
      at = (at + 1) & mask;
    }
  }

  /** Takes a frame out of the table and closes the gap in its probe sequence. */
  #unlink(frame: Frame): void {
    const table = this.#table;
    const mask = table.length - 1;
    let gap = Math.imul(this.#frames[frame * STRIDE] as number, 0x9e3779b1) >>> this.#shift;
    while (table[gap] !== frame + 1) gap = (gap + 1) & mask;
    let at = gap;
    for (;;) {
      at = (at + 1) & mask;
      const entry = table[at] as number;
      if (entry === 0) break;
      const home =
        Math.imul(this.#frames[(entry - 1) * STRIDE] as number, 0x9e3779b1) >>> this.#shift;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      table[gap] = entry;
      gap = at;
    }
    table[gap] = 0;
  }
}

interface LoadRequest {
  readonly block: Block;
  readonly checksum: number;
  readonly flags: number;
  readonly kind: BlockKind;
}

/**
 * The read that fills a LOADING frame; where there is a second copy, it is tried after the first.
 */
class LoadBlock extends Io {
  readonly kind = 'read';
  readonly position: number;
  readonly length = BLOCK_SIZE;
  readonly buffers: readonly Uint8Array[];
  readonly #cache: BlockCache;
  readonly #frame: Frame;
  readonly #request: LoadRequest;
  /** The load of the first copy, whose error everybody waits for. */
  readonly #first: LoadBlock | undefined;

  constructor(cache: BlockCache, frame: Frame, request: LoadRequest, first?: LoadBlock) {
    super();
    this.#cache = cache;
    this.#frame = frame;
    this.#request = request;
    this.#first = first;
    this.position = (request.block + (first === undefined ? 0 : 1)) * BLOCK_SIZE;
    this.buffers = [cache.view(frame)];
  }

  finish(error: Error | undefined): Io | undefined {
    const finding = error ?? this.#verify();
    if (finding === undefined) {
      this.#cache.loaded(this.#frame, this.#request);
      if (this.#first?.error !== undefined) {
        this.#cache.onRepairable?.(this.#request.block, this.#first.error);
        this.#first.error = undefined;
      }
      return undefined;
    }
    const first = this.#first ?? this;
    first.error ??= finding;
    if (this.#first === undefined && (this.#request.flags & LoadFlag.TWIN) !== 0) {
      return new LoadBlock(this.#cache, this.#frame, this.#request, this);
    }
    this.#cache.loaded(this.#frame, undefined);
    return undefined;
  }

  #verify(): Error | undefined {
    const { checksum, flags, kind, block } = this.#request;
    if ((flags & LoadFlag.UNVERIFIED) === 0) {
      const found = this.#cache.checksumOf(this.#frame);
      if (found !== checksum) {
        return new CorruptionError(kind.name, this.position, checksumFault(found, checksum));
      }
    }
    const base = this.#frame * BLOCK_WORDS;
    const fault = kind.fault?.(this.#cache.words, base, this.#cache.bytes);
    if (fault === undefined) return undefined;
    return new CorruptionError(kind.name, block * BLOCK_SIZE, fault);
  }
}

/**
 * WebAssembly memory is aligned to the host's pages, so that a device may read and write it without
 * going through the host's own cache; elsewhere an ordinary buffer does.
 */
function allocateArena(length: number): ArrayBuffer {
  const unit = 65536;
  if (typeof WebAssembly === 'undefined') return new ArrayBuffer(length);
  return new WebAssembly.Memory({ initial: Math.ceil(length / unit) }).buffer as ArrayBuffer;
}

function tooLarge(frames: number): FilesystemError {
  return new FilesystemError(
    'ENOMEM',
    `Cannot go on: ${frames} blocks of the cache are in use at once, a larger cacheBytes is needed`,
  );
}
