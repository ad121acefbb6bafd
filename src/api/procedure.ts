/**
 * Procedures: calls that take several operations, written once for both faces of the API.
 *
 * A procedure is a generator that yields operations and is given their results. Run synchronously
 * it ends in one turn; run asynchronously it gives up the turn where the device needs time. Each
 * operation is atomic, a procedure is not: between two of its operations others may come, as
 * between two system calls.
 */
import type { Operation } from '../base/index.ts';
import type { Driver, StartOptions } from '../drive/index.ts';

/** What a procedure waits for: an operation, or what a caller's own function has promised. */
export type Wait = Operation<unknown> | PromiseLike<unknown>;

export type Procedure<Result> = Generator<Wait, Result, unknown>;

/** Yields one operation: `const vnode = yield* run(lookup(...))`. */
export function* run<Result>(operation: Operation<Result>): Procedure<Result> {
  return (yield operation) as Result;
}

/** Waits for what a caller's function answered, if it has promised something. */
export function* answer<Result>(value: Result | PromiseLike<Result>): Procedure<Result> {
  return isPromise(value) ? ((yield value) as Result) : value;
}

/** Runs a procedure to its end in this turn. */
export function runSync<Result>(driver: Driver, procedure: Procedure<Result>): Result {
  let next = procedure.next();
  while (!next.done) {
    let result: unknown;
    try {
      if (isPromise(next.value)) throw promiseError();
      result = driver.run(next.value);
    } catch (error) {
      next = procedure.throw(error);
      continue;
    }
    next = procedure.next(result);
  }
  return next.value;
}

/** Operations after which a procedure lets others run, on devices that never make it wait. */
const PAUSE_EVERY = 256;

export interface RunOptions extends StartOptions {
  /** Called before each operation; what it throws, the operation has thrown. */
  readonly check?: (() => void) | undefined;
}

/** Runs a procedure to its end, giving up the turn where an operation has to wait. */
export async function runAsync<Result>(
  driver: Driver,
  procedure: Procedure<Result>,
  { check, signal }: RunOptions,
): Promise<Result> {
  let next = procedure.next();
  // What a procedure does once it was told of the signal is tidying up, and is not aborted.
  let live = signal;
  for (let count = 1; !next.done; count++) {
    let result: unknown;
    try {
      if (count % PAUSE_EVERY === 0) await driver.pause();
      check?.();
      live?.throwIfAborted();
      result = await (isPromise(next.value)
        ? next.value
        : driver.start(next.value as Operation<unknown>, { signal: live }));
    } catch (error) {
      if (live?.aborted) live = undefined;
      next = procedure.throw(error);
      continue;
    }
    next = procedure.next(result);
  }
  return next.value;
}

/** The signal in the options of a call, which are its last argument. */
export function signalOf(args: readonly unknown[]): AbortSignal | undefined {
  const options = args.at(-1);
  if (typeof options !== 'object' || options === null || !('signal' in options)) return undefined;
  return options.signal as AbortSignal | undefined;
}

export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/** What a caller who cannot wait is told of a promise. */
export function promiseError(): TypeError {
  return Object.assign(
    new TypeError('Cannot wait for a promise in a synchronous call: use its promise form'),
    { code: 'ERR_INVALID_RETURN_VALUE' },
  );
}
