/**
 * Resize: moves the end of the volume while it is in use.
 *
 *   grow    the device is made longer
 *   clear   zeros where the second copies of the superblocks will be
 *   flush
 *   move    in one turn: counts, group index and geometry are those of the new size
 *   turn    commits, until all superblocks of the ring say so
 *
 * E1. The places of the second copies hold no superblock of another time when the first of the new
 *     ones is written: a mount reads all of them.
 * E2. A block that is new is handed out once a root is durable that has it: until then a mount, and
 *     the log it replays, know the old size.
 * E3. What the old superblocks call their second copies is nothing else before the ring has turned
 *     (S4), and it has before anybody is told that the size is another one.
 *
 * A power cut before the first of the commits is durable leaves the old size, one after it the new
 * one; the next mount that writes turns the rest of the ring.
 */
import {
  BLOCK_SIZE,
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
import type { Store } from './store.ts';

const Phase = { START: 0, GROW: 1, CLEAR: 2, FLUSH: 3, MOVE: 4, TURN: 5 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** Its result is the size that the volume has then, in bytes: the largest one up to `size`. */
export class Resize extends PlannedOperation<number> {
  readonly #store: Store;
  readonly #size: number;
  #phase: Phase = Phase.START;
  #geometry!: Geometry;
  #io: PlainIo | undefined;

  /** @throws {FilesystemError} `EFBIG` if the volume has no room for what a size takes to keep */
  constructor(store: Store, size: number) {
    super();
    this.#store = store;
    this.#size = size;
  }

  protected override prepare(plan: Plan): void {
    const store = this.#store;
    if (store.failure !== undefined || this.#phase === Phase.START) store.admit(plan, false);
    switch (this.#phase) {
      case Phase.START:
        // One at a time, and none before the ring has turned for the one before it.
        if (store.discarding !== undefined) plan.follow(store.discarding);
        if (store.moving !== undefined) plan.follow(store.moving);
        else if (store.ring.isTurning) plan.follow(store.commit());
        return;
      case Phase.MOVE:
        store.groups.want(this.#lastGroup, plan);
        return;
      case Phase.TURN:
        if (store.ring.isTurning) plan.follow(store.commit());
        return;
      default:
        if (this.#io?.finished === false) plan.need(this.#io);
    }
  }

  protected override apply(): boolean {
    switch (this.#phase) {
      case Phase.START:
        return this.#start();
      case Phase.GROW:
        return this.#clear();
      case Phase.CLEAR:
        return this.#go(Phase.FLUSH, new PlainIo('flush'));
      case Phase.FLUSH:
        return this.#go(Phase.MOVE);
      case Phase.MOVE:
        this.#store.resize(this.#geometry);
        return this.#go(Phase.TURN);
      default:
        return this.finish(this.#geometry.blockCount * BLOCK_SIZE);
    }
  }

  protected override release(): void {
    if (this.#store.moving === this) this.#store.moving = undefined;
  }

  #start(): boolean {
    const { geometry } = this.#store.superblock;
    this.#geometry = this.#planned(geometry);
    const { blockCount } = this.#geometry;
    if (blockCount === geometry.blockCount) return this.finish(blockCount * BLOCK_SIZE);
    this.#store.moving = this;
    return this.#go(Phase.GROW, new PlainIo('grow', blockCount * BLOCK_SIZE));
  }

  /** The layout of the size that is wanted. */
  #planned(geometry: Geometry): Geometry {
    const { blockCount } = geometry;
    const blocks = Math.floor(this.#size / BLOCK_SIZE);
    const most = blocksMax(geometry);
    if (blocks > most) {
      throw new FilesystemError(
        'EFBIG',
        `Cannot resize the volume to ${this.#size} bytes: its group index has room for ` +
          `${most * BLOCK_SIZE}`,
      );
    }
    const planned = resizedGeometry(geometry, blocks);
    if (planned === undefined || blocks < blockCount) {
      throw new FilesystemError('EINVAL', 'Cannot resize the volume: it cannot be made smaller');
    }
    // Old and new copies of superblocks do not overlap.
    return planned.blockCount < blockCount + SUPERBLOCKS ? geometry : planned;
  }

  #clear(): false {
    const place = superblockPlace(this.#geometry.blockCount, 0, 1);
    const zeros = new Uint8Array(SUPERBLOCKS * BLOCK_SIZE);
    return this.#go(Phase.CLEAR, new PlainIo('write', place * BLOCK_SIZE, [zeros]));
  }

  /** The last group that is in the volume before and after. */
  get #lastGroup(): number {
    const { groupCount } = this.#store.superblock.geometry;
    return Math.min(groupCount, this.#geometry.groupCount) - 1;
  }

  #go(phase: Phase, io?: PlainIo): false {
    this.#phase = phase;
    this.#io = io;
    return false;
  }
}
