/**
 * Errors as `node:fs` has them: the same code, errno, syscall, path and message, so that whoever
 * handles Node's errors handles ours. Our own sentence, which says more, is in `detail`.
 */
import { ERRNO, type ErrorCode, FilesystemError } from '../base/index.ts';
import type { Procedure } from './procedure.ts';

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

/** A part of a call that names its own system call in errors, whatever the whole call would. */
export function* within<Result>(site: CallSite, body: Procedure<Result>): Procedure<Result> {
  try {
    return yield* body;
  } catch (error) {
    throw asNodeError(error, site);
  }
}

/** Whether an error, in either shape, has one of these codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as ErrorCode);
}

/** What calls of several system calls found in their way; Node's SystemError. */
export interface Refusal {
  /** Node's own code and the words it begins the message with. */
  readonly code: string;
  readonly prefix: string;
  readonly syscall: string;
  readonly errno: ErrorCode;
  readonly finding: string;
  readonly path: string;
  /** Where Node has another number than the code has. */
  readonly number?: ErrorCode;
}

export function systemError(refusal: Refusal): Error {
  const { code, prefix, syscall, finding, path } = refusal;
  const errno: number = ERRNO[refusal.number ?? refusal.errno][0];
  const message = `${prefix}: ${syscall} returned ${refusal.errno} (${finding}) ${path}`;
  const info = { code: refusal.errno, message: finding, path, syscall, errno };
  const shaped = Object.assign(new Error(message), { code, info, errno, syscall, path });
  Object.defineProperty(shaped, 'name', { value: 'SystemError', configurable: true });
  return shaped;
}

/** What a call ends with when its signal does. */
export function abortError(reason: unknown): Error {
  const error = Object.assign(new Error('The operation was aborted', { cause: reason }), {
    code: 'ABORT_ERR',
  });
  error.name = 'AbortError';
  return error;
}

/** A wrong argument, as Node reports it: before anything is done. */
export function argumentTypeError(name: string, wanted: string, found: unknown): TypeError {
  const what = name.includes('.') ? 'property' : 'argument';
  return Object.assign(
    new TypeError(`The "${name}" ${what} must be ${wanted}. Received ${described(found)}`),
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
}

export function argumentValueError(name: string, reason: string, found: unknown): TypeError {
  const what = name.includes('.') ? 'property' : 'argument';
  const text = inspected(found);
  const shown = text.length > 128 ? `${text.slice(0, 128)}...` : text;
  return Object.assign(new TypeError(`The ${what} '${name}' ${reason}. Received ${shown}`), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
}

export function rangeError(name: string, range: string, found: unknown): RangeError {
  return Object.assign(
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${counted(found)}`,
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

/** Checks what an access is asked for, or how a copy is made, in Node's words for that. */
export function checkChoice(mode: unknown, most: number): number {
  if (mode === undefined || mode === null) return 0;
  if (typeof mode !== 'number' || !Number.isInteger(mode)) {
    throw Object.assign(new TypeError('mode must be int32 or null/undefined'), {
      code: 'ERR_INVALID_ARG_TYPE',
    });
  }
  if (mode >= 0 && mode <= most) return mode;
  throw Object.assign(new RangeError(`mode is out of range: >= 0 && <= ${most}`), {
    code: 'ERR_OUT_OF_RANGE',
  });
}

/** Checks a boolean option; absent means false. */
export function checkFlag(name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw argumentTypeError(name, 'of type boolean', value);
  return value;
}

/** A value's type, and the value where it is short. */
function described(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  switch (typeof value) {
    case 'function':
      return `function ${value.name}`;
    case 'object':
      return `an instance of ${value.constructor?.name ?? 'Object'}`;
    case 'string': {
      const text = value.length > 28 ? `${value.slice(0, 25)}...` : value;
      return `type string (${text.includes("'") ? JSON.stringify(text) : `'${text}'`})`;
    }
    case 'bigint':
      return `type bigint (${value}n)`;
    case 'number':
      return `type number (${Object.is(value, -0) ? '-0' : value})`;
    default:
      return `type ${typeof value} (${String(value)})`;
  }
}

/** A value as Node's `inspect` shows it, as far as arguments go. */
function inspected(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (value instanceof Uint8Array && value.constructor.name === 'Buffer') {
    const bytes = Array.from(value.subarray(0, 50), (byte) => byte.toString(16).padStart(2, '0'));
    const more = value.length > 50 ? ` ... ${value.length - 50} more` : '';
    return `<Buffer ${bytes.join(' ')}${more}>`;
  }
  return typeof value === 'bigint' ? `${value}n` : String(value);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\f': '\\f',
  '\r': '\\r',
  '\\': '\\\\',
};

function quoted(text: string): string {
  const quote = ["'", '"', '`'].find((mark) => !text.includes(mark)) ?? "'";
  let escaped = '';
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (char in ESCAPES) escaped += ESCAPES[char];
    else if (char === quote) escaped += `\\${char}`;
    else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
      escaped += `\\x${code.toString(16).toUpperCase().padStart(2, '0')}`;
    } else escaped += char;
  }
  return quote + escaped + quote;
}

/** A number with separators where it is long. */
function counted(value: unknown): string {
  const big = typeof value === 'bigint';
  if (!big && !(Number.isInteger(value) && Math.abs(value as number) > 2 ** 32)) {
    return inspected(value);
  }
  const digits = String(value);
  const long = !big || value > 2n ** 32n || value < -(2n ** 32n);
  return (long ? digits.replace(/\B(?=(\d{3})+$)/gu, '_') : digits) + (big ? 'n' : '');
}
