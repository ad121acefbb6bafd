/**
 * Faults: what ends a command, in one line.
 *
 * A fault says *Cannot*, what was wanted, a colon, and what was found. The program adds the
 * kernel's name for it: `ramet: Cannot list a.img:/x: no such file or directory (ENOENT)`.
 */
import { AssertionError, errorCode } from '../base/index.ts';

/** Exit statuses; `check` has fsck's own. */
export const Status = {
  FAILED: 1,
  USAGE: 2,
  INTERRUPTED: 130,
  BROKEN_PIPE: 141,
  TERMINATED: 143,
} as const;

export class Fault extends Error {
  /** Name of an errno, if there is one. */
  readonly code: string | undefined;
  readonly status: number;

  constructor(message: string, options: { code?: string; status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code;
    this.status = options.status ?? Status.FAILED;
  }
}

/** The command line is wrong: nothing was touched. */
export function usageFault(message: string): Fault {
  return new Fault(message, { status: Status.USAGE });
}

/** What an errno means to whoever named a path. Other codes come with a reason of their own. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'the name is taken',
  EISDIR: 'it is a directory',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a file is used as a directory',
  ENOTEMPTY: 'the directory is not empty',
};

/**
 * Any error as a fault of an action: `explain('list a.img:/x', error)`. What is no answer of the
 * world but a mistake in this program stays as it is.
 */
export function explain(action: string, error: unknown): unknown {
  if (error instanceof Fault || error instanceof AssertionError) return error;
  const code = errorCode(error);
  if (!(error instanceof Error) || code === undefined) return error;
  if (code === 'ERR_OUT_OF_RANGE') return usageFault(error.message);
  if (!/^E[A-Z0-9]+$/u.test(code)) return error;
  return new Fault(`Cannot ${action}: ${reasonOf(error, code)}`, { code, cause: error });
}

/** Runs one step of a command; what goes wrong in it is told as `Cannot <action>: ...`. */
export async function doing<Result>(
  action: string,
  body: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await body();
  } catch (error) {
    throw explain(action, error);
  }
}

/** The part of an error's sentence that says what was found. */
function reasonOf(error: Error, code: string): string {
  const detail = 'detail' in error && typeof error.detail === 'string' ? error.detail : undefined;
  const phrase = REASONS[code];
  const fromCall = detail !== undefined || 'syscall' in error;
  if (phrase !== undefined && fromCall && error.name === 'Error') return phrase;
  const text = detail ?? error.message;
  const found = /^Cannot [^:"]*: (.+)$/su.exec(text) ?? /^E[A-Z0-9]+: ([^,]+),/u.exec(text);
  if (found?.[1] !== undefined) return found[1];
  return text.replace(/^Cannot /u, 'cannot ');
}
