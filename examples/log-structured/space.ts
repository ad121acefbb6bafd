/**
 * Space: what every block is used for, and where the log goes on.
 *
 * The log is appended to a segment until its end, then to the one with the most idle blocks: an
 * empty one as long as there is one. When there is none any more the log is threaded through the
 * holes of segments in use, so a full image is full to the last block; cleaning (clean.ts) makes
 * whole segments empty again.
 *
 * S1. A block is handed out only if it is idle: nothing in memory names it, nor the newest durable
 *     checkpoint, and nobody is reading it.
 * S2. What is freed is *held* until a checkpoint is durable that does not name it. Until then a
 *     crash brings back the one that does.
 * S3. In a closed segment nothing is idle: it is being emptied.
 */
import { assert, BLOCK_SIZE, type Block, CorruptionError, hex } from 'ramet/base';
import { CHECKPOINTS } from './format.ts';

export const Use = {
  IDLE: 0,
  /** A checkpoint. */
  FIXED: 1,
  /** Freed, but the durable checkpoint may name it (S2). */
  HELD: 2,
  /** On its way to the device; no map names it yet. */
  PLACED: 3,
  /** Of file `owner`, its block `index`. */
  DATA: 4,
  /** Of file `owner`, its map `index`. */
  MAP: 5,
  /** Of file `owner`. */
  INODE: 6,
  /** Number `owner`. */
  TABLE: 7,
} as const;
export type Use = (typeof Use)[keyof typeof Use];

export interface Purpose {
  readonly use: Use;
  readonly owner: number;
  readonly index: number;
}

export class Space {
  readonly blocks: number;
  readonly segmentBlocks: number;
  /** Blocks that can be handed out. */
  idle = 0;
  /** Freed since the last checkpoint was closed. */
  freed: Block[] = [];
  /** The segment that the log is appended to. */
  current = 0;
  readonly #uses: Uint8Array;
  readonly #owners: Uint32Array;
  readonly #indexes: Uint32Array;
  /** Idle blocks of each segment. */
  readonly #idleIn: Uint32Array;
  readonly #closed = new Set<number>();
  #head = 0;

  constructor(blocks: number, segmentBlocks: number) {
    this.blocks = blocks;
    this.segmentBlocks = segmentBlocks;
    this.#uses = new Uint8Array(blocks);
    this.#owners = new Uint32Array(blocks);
    this.#indexes = new Uint32Array(blocks);
    this.#idleIn = new Uint32Array(Math.ceil(blocks / segmentBlocks));
    for (let block = 0; block < blocks; block++) this.#makeIdle(block);
    for (let block = 0; block < CHECKPOINTS; block++) this.#leaveIdle(block, Use.FIXED);
  }

  get segments(): number {
    return this.#idleIn.length;
  }

  purposeOf(block: Block): Purpose {
    return {
      use: this.#uses[block] as Use,
      owner: this.#owners[block] as number,
      index: this.#indexes[block] as number,
    };
  }

  /** The next blocks of the log, at most `most` of them in one run. They are placed. */
  take(most: number): { block: Block; count: number } {
    assert(this.idle > 0, 'what was promised is there');
    const block = this.#seek();
    const end = Math.min(block + most, this.#endOf(this.segmentOf(block)));
    let at = block as number;
    while (at < end && this.#uses[at] === Use.IDLE) this.#leaveIdle(at++, Use.PLACED);
    this.#head = at;
    return { block, count: at - block };
  }

  /** Says what a block that was taken is for. */
  settle(block: Block, { use, owner, index }: Purpose): void {
    assert(this.#uses[block] === Use.PLACED, () => `block ${block} was not taken`);
    this.#uses[block] = use;
    this.#owners[block] = owner;
    this.#indexes[block] = index;
  }

  /** At mount: a block that is in use. @throws {CorruptionError} if it cannot be */
  claim(block: Block, purpose: Purpose): void {
    const use = this.#uses[block];
    if (use !== Use.IDLE) {
      const finding =
        use === undefined ? `the image has ${this.blocks} blocks` : 'it has two owners';
      throw new CorruptionError('block', block * BLOCK_SIZE, finding);
    }
    this.#leaveIdle(block, Use.PLACED);
    this.settle(block, purpose);
  }

  /** Nothing in memory names a block any more (S2). */
  free(block: Block): void {
    assert((this.#uses[block] as number) >= Use.DATA, () => `${hex(block)} is not in use`);
    this.#uses[block] = Use.HELD;
    this.freed.push(block);
  }

  /** Blocks that were taken and written in vain: no checkpoint ever named them. */
  takeBack(block: Block, count: number): void {
    for (let at = block as number; at < block + count; at++) this.#makeIdle(at);
  }

  /** A checkpoint without these is durable; those that somebody is reading wait for the next. */
  release(freed: readonly Block[], isLoading: (block: Block) => boolean): void {
    for (const block of freed) {
      if (isLoading(block)) this.freed.push(block);
      else this.#makeIdle(block);
    }
  }

  segmentOf(block: Block): number {
    return Math.floor(block / this.segmentBlocks);
  }

  *blocksOf(segment: number): Generator<Block> {
    const end = this.#endOf(segment);
    for (let at = segment * this.segmentBlocks; at < end; at++) yield at as Block;
  }

  /** Blocks of a segment in use, held ones included. */
  usedIn(segment: number): number {
    const start = segment * this.segmentBlocks;
    return this.#endOf(segment) - start - (this.#idleIn[segment] as number);
  }

  idleIn(segment: number): number {
    return this.#closed.has(segment) ? 0 : (this.#idleIn[segment] as number);
  }

  /** From here on nothing of a segment is handed out (S3). */
  close(segment: number): void {
    this.idle -= this.idleIn(segment);
    this.#closed.add(segment);
  }

  reopen(segment: number): void {
    if (this.#closed.delete(segment)) this.idle += this.idleIn(segment);
  }

  /** The next idle block: in this segment, or in the one with most of them. */
  #seek(): Block {
    const ahead = this.idleIn(this.current) > 0 ? this.#idleFrom(this.#head) : undefined;
    if (ahead !== undefined) return ahead;
    let best = this.current;
    for (let i = 1; i < this.segments; i++) {
      const segment = (this.current + i) % this.segments;
      if (this.idleIn(segment) > this.idleIn(best)) best = segment;
    }
    this.current = best;
    const first = this.#idleFrom(best * this.segmentBlocks);
    assert(first !== undefined, 'an idle block is in some segment');
    return first;
  }

  /** The next idle block of the current segment. */
  #idleFrom(start: number): Block | undefined {
    const end = this.#endOf(this.current);
    for (let at = start; at < end; at++) if (this.#uses[at] === Use.IDLE) return at as Block;
    return undefined;
  }

  #endOf(segment: number): number {
    return Math.min(this.blocks, (segment + 1) * this.segmentBlocks);
  }

  #makeIdle(block: number): void {
    this.#uses[block] = Use.IDLE;
    this.#count(block, 1);
  }

  #leaveIdle(block: number, use: Use): void {
    this.#uses[block] = use;
    this.#count(block, -1);
  }

  #count(block: number, change: 1 | -1): void {
    const segment = this.segmentOf(block as Block);
    this.#idleIn[segment] = (this.#idleIn[segment] as number) + change;
    if (!this.#closed.has(segment)) this.idle += change;
  }
}
