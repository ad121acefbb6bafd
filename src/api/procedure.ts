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

export type Procedure<Result> = Generator<Operation<unknown>, Result, unknown>;

/** Yields one operation: `const vnode = yield* run(lookup(...))`. */
export function* run<Result>(operation: Operation<Result>): Procedure<Result> {
  return (yield operation) as Result;
}

/** Runs a procedure to its end in this turn. */
export function runSync<Result>(driver: Driver, procedure: Procedure<Result>): Result {
  let next = procedure.next();
  while (!next.done) {
    let result: unknown;
    try {
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

/** Runs a procedure to its end, giving up the turn where an operation has to wait. */
export async function runAsync<Result>(
  driver: Driver,
  procedure: Procedure<Result>,
  options: StartOptions,
): Promise<Result> {
  let next = procedure.next();
  for (let count = 1; !next.done; count++) {
    let result: unknown;
    try {
      if (count % PAUSE_EVERY === 0) await driver.pause();
      options.signal?.throwIfAborted();
      result = await driver.start(next.value, options);
    } catch (error) {
      next = procedure.throw(error);
      continue;
    }
    next = procedure.next(result);
  }
  return next.value;
}
