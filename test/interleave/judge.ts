/**
 * Judge: whether some order of operations explains what was seen.
 *
 * The order keeps to the time at which operations began and ended: one that had ended before
 * another began comes first. Those that were under way together may come in any order, part by
 * part. This is linearizability, of all files together, and so of each of their blocks.
 *
 * An operation that failed for the device's sake has ended before any of its parts, or between two.
 * What is durable of a file is what its last fsync found in that order; block by block, it may be
 * what it was later.
 */
import { equalBytes } from '../../src/base/index.ts';
import { B, cutsOf, digest, Refusal, type State } from './files.ts';
import type { FileOperation, Memory, Name, Step } from './operations.ts';

export interface Event {
  readonly operation: FileOperation;
  /** Numbers that grow with time. */
  readonly began: number;
  readonly ended: number;
  readonly outcome: string;
}

/** What was seen beside the outcomes. */
export interface Seen {
  readonly before: State;
  /** What is on the device in the beginning. */
  readonly durableBefore: State;
  readonly after: State;
  readonly durable: State;
}

/** What an operation comes to that the device has failed. */
export const FAILED = 'EIO';

/** Where a search stands. */
interface Position {
  readonly state: State;
  /** Parts of each operation that are done; infinity if it has ended. */
  readonly done: readonly number[];
  readonly memories: readonly Memory[];
  /** Of each file that is made durable: blocks that are on the device as they have not been yet. */
  readonly durable: readonly (readonly number[])[];
}

/** True if there is such an order. */
export function isExplained(events: readonly Event[], seen: Seen): boolean {
  return new Search(events, seen).find();
}

class Search {
  readonly #events: readonly Event[];
  readonly #seen: Seen;
  readonly #after: string;
  /** Files that are made durable. */
  readonly #synced: readonly Name[];
  readonly #known = new Set<string>();

  constructor(events: readonly Event[], seen: Seen) {
    this.#events = events;
    this.#seen = seen;
    this.#after = digest(seen.after);
    this.#synced = [...new Set(events.flatMap(({ operation }) => operation.syncs ?? []))];
  }

  find(): boolean {
    const { durableBefore, durable } = this.#seen;
    if (this.#synced.length === 0 && digest(durableBefore) !== digest(durable)) return false;
    return this.#search({
      state: this.#seen.before,
      done: this.#events.map(() => 0),
      memories: this.#events.map(() => ({})),
      durable: this.#synced.map((name) => this.#unexplained(name, durableBefore)),
    });
  }

  #search(position: Position): boolean {
    const { state, done, memories, durable } = position;
    if (done.every((count) => count === Number.POSITIVE_INFINITY)) {
      return durable.every(({ length }) => length === 0) && digest(state) === this.#after;
    }
    const known = [digest(state), cutsOf(state), memories.map(keyOf).join()];
    const parts = [done.join(), durable.join(' '), ...known];
    const key = parts.join(' ');
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    return this.#events.some((_, i) => this.#mayGoOn(i, done) && this.#goOn(i, position));
  }

  /** True unless the operation has ended, or would begin before one that had ended before it. */
  #mayGoOn(i: number, done: readonly number[]): boolean {
    if (done[i] === Number.POSITIVE_INFINITY) return false;
    const { began } = this.#events[i] as Event;
    return this.#events.every(
      ({ ended }, j) => ended >= began || done[j] === Number.POSITIVE_INFINITY,
    );
  }

  #goOn(i: number, position: Position): boolean {
    const { operation, outcome } = this.#events[i] as Event;
    const count = position.done[i] as number;
    if (outcome === FAILED && this.#end(i, position, position.state)) return true;
    const part = operation.parts[count];
    if (part === undefined) return false;
    const {
      state,
      memory,
      outcome: found,
    } = stepOf(() => part(position.state, position.memories[i] as Memory));
    if (found !== undefined) {
      return found === outcome && this.#end(i, position, state ?? position.state);
    }
    return this.#search({
      ...position,
      state: state ?? position.state,
      durable: this.#explained(position, state),
      done: replaced(position.done, i, count + 1),
      memories: memory === undefined ? position.memories : replaced(position.memories, i, memory),
    });
  }

  #end(i: number, position: Position, state: State): boolean {
    const { operation, outcome } = this.#events[i] as Event;
    const done = replaced(position.done, i, Number.POSITIVE_INFINITY);
    const memories = replaced(position.memories, i, {});
    const durable = this.#explained(position, state);
    if (operation.syncs === undefined) return this.#search({ state, done, memories, durable });
    const at = this.#synced.indexOf(operation.syncs);
    const synced = replaced(durable, at, this.#unexplained(operation.syncs, state));
    if (this.#search({ state, done, memories, durable: synced })) return true;
    return outcome === FAILED && this.#search({ state, done, memories, durable });
  }

  /** What is left of the blocks that nothing has explained yet, when the state has changed. */
  #explained({ durable, state: before }: Position, state: State | undefined): Position['durable'] {
    if (state === undefined || state === before) return durable;
    return durable.map((blocks, i) => {
      if (blocks.length === 0) return blocks;
      const now = this.#unexplained(this.#synced[i] as Name, state);
      return blocks.filter((block) => now.includes(block));
    });
  }

  /** Blocks of a file that are on the device other than in a state; -1: its size is. */
  #unexplained(name: Name, state: State): number[] {
    const wanted = this.#seen.durable.get(name)?.bytes;
    const found = state.get(name)?.bytes;
    if (wanted === undefined || found === undefined) return wanted === found ? [] : [-1];
    const blocks: number[] = wanted.length === found.length ? [] : [-1];
    for (let at = 0; at < wanted.length; at += B) {
      const same = equalBytes(wanted.subarray(at, at + B), found.subarray(at, at + B));
      if (!same) blocks.push(at / B);
    }
    return blocks;
  }
}

/** What an operation comes to that nobody comes in between of. */
export function applied(
  operation: FileOperation,
  before: State,
): { state: State; outcome: string } {
  let [state, memory]: [State, Memory] = [before, {}];
  for (const part of operation.parts) {
    const step = stepOf(() => part(state, memory));
    state = step.state ?? state;
    memory = step.memory ?? memory;
    if (step.outcome !== undefined) return { state, outcome: step.outcome };
  }
  throw new Error(`${operation.title} has no end`);
}

function stepOf(part: () => Step): Step {
  try {
    return part();
  } catch (error) {
    if (error instanceof Refusal) return { outcome: error.code };
    throw error;
  }
}

function keyOf({ size, done, bytes, viewed }: Memory): string {
  const text = [bytes, viewed?.known].map((each) => Buffer.from(each ?? []).toString('latin1'));
  return `${size}/${done}/${viewed?.cuts}/${text.join('/')}`;
}

function replaced<T>(list: readonly T[], i: number, value: T): T[] {
  const copy = [...list];
  copy[i] = value;
  return copy;
}
