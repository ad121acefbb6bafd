/**
 * Completion: one text for devices that finish at once and for devices that make us wait.
 *
 * A procedure of several device calls is a generator that yields what each call returns. `run`
 * carries it through in the same turn as long as every call is done when it returns, and as a
 * promise from the first one that is not. So a device made of other devices needs no twin code,
 * and is `sync` exactly if they are (D1).
 */
import type { Completion } from './device.ts';

/** A procedure that yields every completion it has to wait for. */
export type Steps = Generator<Completion, void, void>;

/** Runs a procedure to its end. What a completion rejects with is thrown at its `yield`. */
export function run(steps: Steps): Completion {
  for (let next = steps.next(); !next.done; next = steps.next()) {
    if (next.value !== undefined) return resume(steps, next.value);
  }
  return undefined;
}

async function resume(steps: Steps, first: Promise<void>): Promise<void> {
  for (let wait: Completion = first; ; ) {
    const failure = await failureOf(wait);
    const next = failure === undefined ? steps.next() : steps.throw(failure.error);
    if (next.done) return;
    wait = next.value;
  }
}

interface Failure {
  readonly error: unknown;
}

async function failureOf(wait: Completion): Promise<Failure | undefined> {
  try {
    await wait;
    return undefined;
  } catch (error) {
    return { error };
  }
}

/**
 * Starts every call, and is done when all of them are. If one fails, no further call is started;
 * the first error comes out after those in flight have ended, because until then they own their
 * buffers (D3).
 */
export function all(calls: readonly (() => Completion)[]): Completion {
  const [only] = calls;
  if (only !== undefined && calls.length === 1) return only();
  const waits: Promise<void>[] = [];
  let failure: Failure | undefined;
  for (const call of calls) {
    try {
      const wait = call();
      if (wait !== undefined) waits.push(wait);
    } catch (error) {
      failure = { error };
      break;
    }
  }
  if (waits.length > 0) return settle(waits, failure);
  if (failure !== undefined) throw failure.error;
  return undefined;
}

async function settle(waits: readonly Promise<void>[], early?: Failure): Promise<void> {
  let failure = early;
  for (const outcome of await Promise.allSettled(waits)) {
    if (outcome.status === 'rejected') failure ??= { error: outcome.reason };
  }
  if (failure !== undefined) throw failure.error;
}

/** A promise that is opened by hand and never rejects: what others wait for while work goes on. */
export class Latch {
  readonly opened: Promise<void>;
  #open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}

/** Lets one procedure at a time through. */
export class Turnstile {
  #taken: Latch | undefined;

  /** Runs `steps` when nobody else is inside. */
  *pass(steps: Steps): Steps {
    while (this.#taken !== undefined) yield this.#taken.opened;
    const latch = new Latch();
    this.#taken = latch;
    try {
      yield* steps;
    } finally {
      this.#taken = undefined;
      latch.open();
    }
  }
}
