/**
 * Operation: how the engine does anything without ever waiting.
 *
 * An operation is a small state machine. `step()` is plain synchronous code: it *plans* (looks
 * everything up, and if something is not in memory or is in somebody's way, says so in its
 * {@link Plan} and returns false) and then *applies* (changes everything in the same turn and
 * returns true). A driver outside the engine satisfies the plan and calls `step()` again, which
 * samples everything anew. Code between two waits runs alone, so what was sampled is still true
 * when it is acted upon.
 *
 * O1. A function that takes a `Plan` may miss; one that does not take a plan may not. Planning
 *     changes nothing that anybody else can see; applying cannot fail.
 * O2. Planning goes on after a miss as far as it can, so that independent needs travel together.
 * O3. Whoever steps an operation may be a different driver each time; nobody steps it twice at
 *     once.
 */
import { AssertionError } from './assert.ts';
import { FilesystemError } from './errors.ts';
import type { Frame } from './units.ts';

export type IoKind = 'read' | 'write' | 'flush' | 'discard' | 'prepare' | 'grow' | 'shrink';

/** One thing the device has to do. The driver submits it once, however many operations need it. */
export abstract class Io {
  abstract readonly kind: IoKind;
  /** Byte range on the device; length 0 for `flush`. For a new size `position` is that. */
  abstract readonly position: number;
  abstract readonly length: number;
  /** Memory to fill or to write, `length` bytes together; none for kinds that move no data. */
  abstract readonly buffers: readonly Uint8Array[];
  /** Why it failed, once it has. */
  error: Error | undefined;
  /** True once a driver has handed it to the device. */
  submitted = false;
  /** Round of planning that asked for it last, see {@link Plan.need}. */
  round = 0;

  /**
   * Called by the driver in the turn in which the device answered. Returns an `Io` to try instead
   * (the other copy of a block), or undefined when there is nothing more to try.
   */
  abstract finish(error: Error | undefined): Io | undefined;
}

/** A transfer that needs no care when it ends: it has failed, or it is finished. */
export class PlainIo extends Io {
  readonly kind: IoKind;
  readonly position: number;
  readonly length: number;
  readonly buffers: readonly Uint8Array[];
  finished = false;

  constructor(kind: IoKind, position = 0, buffers: readonly Uint8Array[] = [], length?: number) {
    super();
    this.kind = kind;
    this.position = position;
    this.buffers = buffers;
    this.length = length ?? buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  }

  finish(error: Error | undefined): undefined {
    this.error = error;
    this.finished = error === undefined;
  }
}

let rounds = 0;

/** Number of the round of planning under way; a round lasts to the end of its turn. */
export function currentRound(): number {
  return rounds;
}

/** What an operation needs before its next step. Owned and reused by the operation. */
export class Plan {
  /** Transfers that must have completed. */
  readonly io: Io[] = [];
  /** Transfers to be made with those, which nobody waits for; they may fail. */
  readonly ahead: Io[] = [];
  /** While it is set, what is needed goes to {@link ahead}. */
  early = false;
  /** Transfers that must have ended, well or not: what others asked for. */
  readonly behind: Io[] = [];
  /** Operations that must have ended first: a commit, the holder of a range lock, ... */
  readonly after: Operation<unknown>[] = [];
  /** Frames that were loaded for this operation; they stay pinned until it ends. */
  readonly pinned: Frame[] = [];
  /** Blocks that applying may allocate at the most. */
  blocks = 0;
  /** How many of those are second copies, which need no memory. */
  twins = 0;
  /** Commits that this operation has waited for in vain, for want of space. */
  forced = 0;
  /**
   * Long work asks for a pause here, so that others may run. Drivers that cannot wait ignore it.
   */
  pause = false;
  #round = 0;

  /** Starts a new round of planning. Pins stay. */
  restart(): void {
    // Never 0: that means "not in any round" where rounds are kept.
    rounds = rounds === 0xffffffff ? 1 : rounds + 1;
    this.#round = rounds;
    // Mostly they are empty, and setting a length is a call into the runtime.
    if (this.io.length > 0) this.io.length = 0;
    if (this.after.length > 0) this.after.length = 0;
    if (this.behind.length > 0) this.behind.length = 0;
    if (this.ahead.length > 0) this.ahead.length = 0;
    this.blocks = 0;
    this.twins = 0;
    this.pause = false;
  }

  /** True if nothing is missing: applying may begin. */
  get ready(): boolean {
    return this.io.length === 0 && this.after.length === 0 && this.behind.length === 0;
  }

  /** Adds a transfer, once. A round of planning is one turn, so its number tells. */
  need(io: Io): void {
    if (io.round === this.#round) return;
    io.round = this.#round;
    (this.early ? this.ahead : this.io).push(io);
  }

  /** Asks that somebody else's transfer end first; if it fails, that is not for this plan. */
  followIo(io: Io): void {
    if (!this.behind.includes(io)) this.behind.push(io);
  }

  /** Asks that `operation` end first. */
  follow(operation: Operation<unknown>): void {
    if (!this.after.includes(operation)) this.after.push(operation);
  }
}

export interface Operation<Result> {
  readonly plan: Plan;
  /** True once it has ended, with a result or with an error. */
  readonly done: boolean;
  /** Runs until it is done (true) or its plan has needs (false). An error ends it and is thrown. */
  step(): boolean;
  /**
   * Something it needed failed, or its caller gave up. Ends it: what it holds is released and
   * nothing of the current step is done. Throws `error`, unless earlier steps have a result worth
   * reporting (a short read, a short write).
   */
  fail(error: Error): void;
  /** What it came to. Only once `done`, and only if it did not throw. */
  readonly result: Result;
  /**
   * True if it is the volume's rather than its caller's: a driver that cannot go on leaves it as it
   * is, for the next one that needs it.
   */
  readonly shared?: boolean;
}

/**
 * The usual shape: plan, then apply in one turn. A subclass with several turns returns false from
 * `apply` and continues with the next round of planning.
 */
export abstract class PlannedOperation<Result> implements Operation<Result> {
  readonly plan: Plan = new Plan();
  #done = false;
  #stepping = false;
  #result: Result | undefined;
  #failure: Error | undefined;

  get done(): boolean {
    return this.#done;
  }

  get result(): Result {
    return this.#result as Result;
  }

  /** @throws {FilesystemError} `EDEADLK` if it is being stepped: what it calls waits for it (O3) */
  step(): boolean {
    const plan = this.plan;
    if (this.#stepping) {
      throw new FilesystemError('EDEADLK', 'Cannot wait for an operation from within it');
    }
    this.#stepping = true;
    try {
      while (!this.#done) {
        plan.restart();
        this.prepare(plan);
        if (!plan.ready) return false;
        plan.forced = 0;
        if (!this.apply() && plan.pause) return false;
      }
    } catch (error) {
      if (error instanceof AssertionError) this.#end(error);
      this.fail(error as Error);
    } finally {
      this.#stepping = false;
    }
    if (this.#failure !== undefined) throw this.#failure;
    return true;
  }

  fail(error: Error): void {
    if (!this.#done) this.#end(error);
    throw error;
  }

  /** Looks everything up; what is missing goes into `plan`. Throws if the operation is refused. */
  protected abstract prepare(plan: Plan): void;

  /** Changes everything. Returns true through {@link finish}, or false to plan another turn. */
  protected abstract apply(): boolean;

  /** Lets go of pins, locks and reservations. Called exactly once, however the operation ends. */
  protected release(): void {}

  protected finish(result: Result): true {
    this.#result = result;
    this.#end(undefined);
    return true;
  }

  /** Makes an operation that has ended ready to run once more. */
  protected renew(): void {
    this.#done = false;
    this.#failure = undefined;
  }

  #end(failure: Error | undefined): void {
    this.#done = true;
    this.#failure = failure;
    try {
      this.release();
    } catch (error) {
      // What went wrong first is what is told.
      this.#failure ??= error as Error;
    }
  }
}
