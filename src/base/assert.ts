/**
 * Assertions: a failed one means that we are wrong, never that the world is.
 *
 * They stay on in production. The text is built only when it is needed.
 */

/** A broken promise of our own code. Whoever catches it must stop trusting the volume in memory. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** @throws {AssertionError} if `condition` is false */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) fail(typeof message === 'string' ? message : message());
}

/** Marks a place that cannot be reached. @throws {AssertionError} always */
export function unreachable(message: string): never {
  return fail(message);
}

function fail(message: string): never {
  throw new AssertionError(`Broken invariant: ${message}`);
}
