/**
 * Resize: moves the end of the volume while it is in use.
 *
 *   grow    the device is made longer
 *   clear   zeros where the second copies of the superblocks will be
 *   flush
 *   move    in one turn: counts, group index and geometry are those of the new size
 *   turn    commits, until all superblocks of the ring say so
 *
 * A volume that shrinks has no first step, and others at the end:
 *
 *   take    in one turn: all that is cut off is idle, and is handed out no more
 *   clear, flush, move, turn
 *   wipe    zeros where the second copies were, and a flush
 *   cut     the device is made shorter, if it can be, and flushed
 *
 * E1. The places of the second copies hold no superblock of another time when the first of the new
 *     ones is written: a mount reads all of them.
 * E2. A block that is new is handed out once a root is durable that has it: until then a mount, and
 *     the log it replays, know the old size.
 * E3. What the old superblocks call their second copies is nothing else before the ring has turned
 *     (S4), and it has before anybody is told that the size is another one.
 * E4. Nothing is moved out of the way: a volume ends behind its last block in use. What is cut off
 *     is idle, so neither of the two newest roots has a use for it; for the sake of the older ones
 *     the device is cut when the ring has turned.
 *
 * A power cut before the first of the commits is durable leaves the old size, one after it the new
 * one; the next mount that writes turns the rest of the ring.
 */
import {
  BLOCK_SIZE,
  type Block,
  FilesystemError,
  PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import {
  blocksMax,
  type Geometry,
  resizedGeometry,
  SUPERBLOCKS,
  superblockPlace,
} from '../format/index.ts';
import { leastGeometry } from './shrink-plan.ts';
import type { Store } from './store.ts';

/** Steps of both ways. */
type Step = 'grow' | 'clear' | 'flush' | 'move' | 'turn' | 'wipe' | 'cut';

const GROW: readonly Step[] = ['grow', 'clear', 'flush', 'move', 'turn'];
const SHRINK: readonly Step[] = ['clear', 'flush', 'move', 'turn', 'wipe', 'flush', 'cut', 'flush'];

/** Commits after which all that was freed before is idle. */
const COMMITS = 3;

/** Its result is the size that the volume has then, in bytes: the largest one up to `size`. */
export class Resize extends PlannedOperation<number> {
  readonly #store: Store;
  /** Undefined: the least that is possible now. */
  readonly #size: number | undefined;
  /** Steps that are left, the one under way first; undefined before the first. */
  #steps: Step[] | undefined;
  #geometry!: Geometry;
  #oldBlocks = 0;
  #io: PlainIo | undefined;
  #commits = 0;
  #least: Geometry | undefined;
  /** Where what was taken begins, until the end has moved. */
  #taken: Block | undefined;

  constructor(store: Store, size: number | undefined) {
    super();
    this.#store = store;
    this.#size = size;
  }

  protected override prepare(plan: Plan): void {
    const store = this.#store;
    if (store.failure !== undefined || this.#steps === undefined) store.admit(plan, false);
    if (this.#steps === undefined) {
      this.#prepareStart(plan);
      return;
    }
    const [step] = this.#steps;
    if (step === 'move') store.groups.want(this.#lastGroup, plan);
    else if (step === 'turn' && store.ring.isTurning) plan.follow(store.commit());
    if (step === 'cut') store.groups.followBehind(plan);
    if (this.#io?.finished === false) plan.need(this.#io);
  }

  /** One at a time, and none before the ring has turned for the one before it. */
  #prepareStart(plan: Plan): void {
    const store = this.#store;
    for (const other of [store.discarding, store.moving]) {
      if (other?.done === false) plan.follow(other);
    }
    if (store.ring.isTurning) plan.follow(store.commit());
    if (!plan.ready || !this.#isShrinking) return;
    if (!store.keepsRoots) plan.follow(store.renew());
    else if (store.space.pending > 0 && this.#commits++ < COMMITS) plan.follow(store.commit());
    else {
      store.client.yieldSpace();
      this.#least = leastGeometry(store, plan);
      const target = this.#shrunk();
      if (target !== undefined) {
        store.groups.wantBlock((target.blockCount - SUPERBLOCKS) as Block, plan);
      }
    }
  }

  protected override apply(): boolean {
    if (this.#steps === undefined) return this.#start();
    const [step] = this.#steps;
    if (step === 'move') {
      this.#taken = undefined;
      this.#store.resize(this.#geometry);
    }
    this.#steps.shift();
    return this.#steps.length > 0 ? this.#begin() : this.#end();
  }

  protected override release(): void {
    if (this.#taken !== undefined) this.#store.groups.open(this.#taken);
    if (this.#store.moving === this) this.#store.moving = undefined;
  }

  get #isShrinking(): boolean {
    const { blockCount } = this.#store.superblock.geometry;
    return this.#size === undefined || Math.floor(this.#size / BLOCK_SIZE) < blockCount;
  }

  #start(): boolean {
    const store = this.#store;
    const { geometry } = store.superblock;
    const shrinks = this.#isShrinking;
    const target = shrinks ? this.#shrunk() : this.#grown();
    if (target === undefined) throw this.#busy();
    this.#geometry = target;
    this.#oldBlocks = geometry.blockCount;
    if (target.blockCount === geometry.blockCount) return this.#end();
    store.moving = this;
    if (shrinks) {
      this.#taken = (target.blockCount - SUPERBLOCKS) as Block;
      store.groups.withdraw(this.#taken);
    }
    this.#steps = [...(shrinks ? SHRINK : GROW)];
    return this.#begin();
  }

  /** Begins the first of the steps that are left. */
  #begin(): false {
    const size = this.#geometry.blockCount * BLOCK_SIZE;
    switch (this.#steps?.[0]) {
      case 'grow':
        this.#io = new PlainIo('grow', size);
        break;
      case 'clear':
        this.#io = clearing(this.#geometry.blockCount);
        break;
      case 'wipe':
        this.#io = clearing(this.#oldBlocks);
        break;
      case 'flush':
        this.#io = new PlainIo('flush');
        break;
      case 'cut':
        this.#io = new PlainIo('shrink', size);
        break;
      default:
        this.#io = undefined;
    }
    return false;
  }

  #end(): true {
    return this.finish(this.#geometry.blockCount * BLOCK_SIZE);
  }

  /** The layout of a larger size, or the same. */
  #grown(): Geometry {
    const { geometry } = this.#store.superblock;
    const blocks = Math.floor((this.#size as number) / BLOCK_SIZE);
    const most = blocksMax(geometry);
    if (blocks > most) {
      throw new FilesystemError(
        'EFBIG',
        `Cannot resize the volume to ${this.#size} bytes: its group index has room for ` +
          `${most * BLOCK_SIZE}`,
      );
    }
    const planned = resizedGeometry(geometry, blocks);
    // Old and new copies of superblocks do not overlap.
    const differs =
      planned !== undefined && planned.blockCount >= geometry.blockCount + SUPERBLOCKS;
    return differs ? planned : geometry;
  }

  /** The layout of a smaller size; undefined if blocks behind it are in use. */
  #shrunk(): Geometry | undefined {
    const { geometry } = this.#store.superblock;
    const least = this.#least;
    if (least === undefined || this.#size === undefined) return least;
    const most = geometry.blockCount - SUPERBLOCKS;
    const blocks = Math.min(most, Math.floor(this.#size / BLOCK_SIZE));
    const planned = resizedGeometry(geometry, blocks);
    return planned === undefined || planned.blockCount < least.blockCount ? undefined : planned;
  }

  #busy(): FilesystemError {
    const least = (this.#least?.blockCount ?? 0) * BLOCK_SIZE;
    return new FilesystemError(
      'EBUSY',
      `Cannot resize the volume to ${this.#size} bytes: what is in use reaches further, ` +
        `${least} bytes are the least now`,
    );
  }

  /** The last group that is in the volume before and after. */
  get #lastGroup(): number {
    const { groupCount } = this.#store.superblock.geometry;
    return Math.min(groupCount, this.#geometry.groupCount) - 1;
  }
}

/** Writes zeros where a volume of so many blocks has the second copies of its superblocks. */
function clearing(blockCount: number): PlainIo {
  const zeros = new Uint8Array(SUPERBLOCKS * BLOCK_SIZE);
  return new PlainIo('write', superblockPlace(blockCount, 0, 1) * BLOCK_SIZE, [zeros]);
}
