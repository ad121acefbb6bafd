/**
 * Errors as `node:fs` has them: the same code, errno, syscall, path and message, so that whoever
 * handles Node's errors handles ours. Our own sentence, which says more, is in `detail`.
 */
import { ERRNO, FilesystemError } from '../base/index.ts';

/** What `node:fs` throws, and what we know beyond it. */
export interface NodeError extends Error {
  code: string;
  errno: number;
  syscall: string;
  path?: string;
  dest?: string;
  /** What was found and what was wanted. */
  detail: string;
}

export interface CallSite {
  readonly syscall: string;
  readonly path?: string | undefined;
  readonly dest?: string | undefined;
}

/** An error of the engine in Node's words; any other error as it is. */
export function asNodeError(error: unknown, site: CallSite): unknown {
  if (!(error instanceof FilesystemError)) return error;
  const { code, errno, message, cause } = error;
  const [, phrase] = ERRNO[code];
  const { syscall, path, dest } = site;
  let text = `${code}: ${phrase}, ${syscall}`;
  if (path !== undefined) text += ` '${path}'`;
  if (dest !== undefined) text += ` -> '${dest}'`;
  const shaped = new Error(text, { cause: cause ?? error }) as NodeError;
  shaped.errno = errno;
  shaped.code = code;
  shaped.syscall = syscall;
  if (path !== undefined) shaped.path = path;
  if (dest !== undefined) shaped.dest = dest;
  shaped.detail = message;
  return shaped;
}

/** A wrong argument, as Node reports it: before anything is done. */
export function argumentTypeError(name: string, wanted: string, found: unknown): TypeError {
  const received = found === null || found === undefined ? String(found) : `type ${typeof found}`;
  return Object.assign(
    new TypeError(`The "${name}" argument must be ${wanted}. Received ${received}`),
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
}

export function argumentValueError(name: string, reason: string, found: unknown): TypeError {
  return Object.assign(
    new TypeError(`The argument '${name}' ${reason}. Received ${JSON.stringify(found)}`),
    { code: 'ERR_INVALID_ARG_VALUE' },
  );
}

export function rangeError(name: string, range: string, found: unknown): RangeError {
  return Object.assign(
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${String(found)}`,
    ),
    { code: 'ERR_OUT_OF_RANGE' },
  );
}

/** Checks an integer argument. */
export function checkInteger(name: string, value: unknown, low: number, high: number): number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'of type number', value);
  if (!Number.isInteger(value)) throw rangeError(name, 'an integer', value);
  if (value < low || value > high) throw rangeError(name, `>= ${low} && <= ${high}`, value);
  return value;
}
