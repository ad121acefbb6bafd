/**
 * Trim: gives idle blocks back to the device, run by run.
 *
 * Idle is what neither of the two newest roots, no reader, no frame of the log and nothing under
 * way has any use for (G2, A2). That is so from the first commit after a mount on: a mount knows
 * its own root only.
 *
 * A4. Blocks that are being discarded are handed out to nobody until the device has answered: it
 *     may do the discard at any time before, and whatever was written meanwhile would be lost. Who
 *     finds no room because of that waits for the discard (`Store.settle`).
 */
import {
  assert,
  BLOCK_SIZE,
  type Block,
  PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { nextIdle } from './group.ts';
import type { Store } from './store.ts';

/** Runs that are discarded in one turn: on a file each costs a process. */
const RUNS_MAX = 16;

interface Run {
  readonly block: Block;
  readonly length: number;
}

export interface Trimmed {
  /** Where to go on; undefined at the end of the volume. */
  readonly next: Block | undefined;
  /** Bytes that were given back. */
  readonly bytes: number;
}

const Phase = { PICK: 0, DISCARD: 1, END: 2 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/** Discards the next few runs of at least `minimum` blocks from a block on. */
export class Trim extends PlannedOperation<Trimmed> {
  readonly #store: Store;
  readonly #minimum: number;
  #at: Block;
  #phase: Phase = Phase.PICK;
  #runs: Run[] = [];
  #io: PlainIo[] = [];
  #bytes = 0;

  constructor(store: Store, from: Block, minimum: number) {
    super();
    assert(minimum >= 1, 'a run has at least a block');
    this.#store = store;
    this.#at = from;
    this.#minimum = minimum;
  }

  protected override prepare(plan: Plan): void {
    const { groups, moving, discarding } = this.#store;
    if (this.#phase === Phase.DISCARD) {
      for (const io of this.#io) if (!io.finished) plan.need(io);
      return;
    }
    if (this.#phase === Phase.END) return;
    this.#store.admit(plan, false);
    for (const other of [moving, discarding]) if (other?.done === false) plan.follow(other);
    if (!this.#store.keepsRoots) plan.follow(this.#store.renew());
    this.#skip();
    if (this.#isBehind) return;
    groups.want(groups.groupOf(this.#at), plan);
  }

  protected override apply(): boolean {
    switch (this.#phase) {
      case Phase.PICK:
        return this.#pick();
      case Phase.DISCARD:
        this.#bytes = this.#runs.reduce((sum, { length }) => sum + length * BLOCK_SIZE, 0);
        this.#giveBack();
        // Others come first, the next run can wait.
        this.plan.pause = true;
        this.#phase = Phase.END;
        return false;
      default:
        return this.#end();
    }
  }

  protected override release(): void {
    this.#giveBack();
  }

  /** Goes on to a group that may have a run. */
  #skip(): void {
    const { groups } = this.#store;
    while (!this.#isBehind) {
      const group = groups.groupOf(this.#at);
      if (groups.idleIn(group) >= this.#minimum) return;
      this.#at = this.#startOf(group + 1);
    }
  }

  get #isBehind(): boolean {
    return this.#at >= this.#store.groups.geometry.blockCount;
  }

  #startOf(group: number): Block {
    return (group * this.#store.groups.geometry.groupBlocks) as Block;
  }

  #pick(): boolean {
    if (this.#isBehind) return this.#end();
    const { groups, space } = this.#store;
    const group = groups.loaded(groups.groupOf(this.#at));
    assert(group !== undefined, 'the counts of the group were planned for');
    // What is promised has to find idle blocks at any time (A1): a long run goes in parts then.
    let { spare } = space;
    let i = nextIdle(group, this.#at - group.start);
    while (i < group.length && spare > 0 && this.#runs.length < RUNS_MAX) {
      let end = i + 1;
      while (end < group.length && group.isIdle(end)) end++;
      const length = end - i < this.#minimum ? 0 : Math.min(end - i, spare);
      if (length > 0) this.#runs.push({ block: (group.start + i) as Block, length });
      spare -= length;
      i = nextIdle(group, length > 0 ? i + length : end);
      this.#at = (group.start + i) as Block;
    }
    // All that is idle is promised.
    if (this.#runs.length === 0 && spare <= 0) this.#at = groups.geometry.blockCount as Block;
    if (i >= group.length) this.#at = this.#startOf(group.index + 1);
    if (this.#runs.length === 0) return this.#end();
    this.#take();
    return false;
  }

  #take(): void {
    const { groups } = this.#store;
    for (const { block, length } of this.#runs) {
      for (let i = 0; i < length; i++) groups.handOut((block + i) as Block);
    }
    this.#io = this.#runs.map(
      ({ block, length }) => new PlainIo('discard', block * BLOCK_SIZE, [], length * BLOCK_SIZE),
    );
    this.#store.discarding = this;
    this.#phase = Phase.DISCARD;
  }

  /** The device has answered: the blocks are as idle as before (A4). */
  #giveBack(): void {
    for (const { block, length } of this.#runs) this.#store.space.takeBack(block, length);
    this.#runs = [];
    if (this.#store.discarding === this) this.#store.discarding = undefined;
  }

  #end(): true {
    return this.finish({ next: this.#isBehind ? undefined : this.#at, bytes: this.#bytes });
  }
}
