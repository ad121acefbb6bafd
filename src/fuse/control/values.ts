/**
 * Values: what calls of a volume take and answer, as JSON and bytes, and back.
 *
 * JSON has no bytes, no bigints, no dates and no `undefined`, and knows nothing of the classes that
 * `node:fs` answers with. Each of these is an object whose only key is {@link MARK}: its value is a
 * list of the kind and what it takes to make it again. Objects of callers have no such key.
 */
import { FileHandle } from '../../api/index.ts';
import { FinelyTimed, Kinded, Timed } from '../../api/node/index.ts';
import { AssertionError } from '../../base/index.ts';
import { InodeKind } from '../../format/index.ts';

const MARK = '$';

export interface Packed {
  readonly json: string;
  readonly parts: readonly Uint8Array[];
  /** Bytes of all parts. */
  readonly length: number;
}

export type AnyFunction = (...args: never[]) => unknown;

/** What only the other side can do: arguments of a call that stay where they are. */
export interface Outlets {
  /** The number of a function that the other side may call; undefined if it may not. */
  numberOf(value: AnyFunction): number | undefined;
}

/** What stands for such arguments on the other side. */
export interface Inlets {
  functionOf(number: number): AnyFunction;
  readonly signal: AbortSignal;
}

/**
 * Without `outlets` a function or a symbol is refused; with them, what the other side has no use
 * for is sent as something that is refused there just as it would be here.
 *
 * @throws {TypeError} if something in it cannot be sent
 */
export function pack(value: unknown, outlets?: Outlets): Packed {
  const parts: Uint8Array[] = [];
  let length = 0;
  const bytes = (part: Uint8Array): unknown => {
    parts.push(part);
    length += part.length;
    return marked('bytes', length - part.length, part.length);
  };
  const json = JSON.stringify(plain(value, { bytes, outlets }));
  return { json, parts, length };
}

/** @throws {Error} if it is not what {@link pack} makes */
export function unpack(json: string, bytes: Uint8Array, inlets?: Inlets): unknown {
  return revived(JSON.parse(json), { bytes, inlets });
}

/** What packing needs besides the value. */
interface Out {
  readonly bytes: (part: Uint8Array) => unknown;
  readonly outlets: Outlets | undefined;
}

/** What unpacking needs besides the value. */
interface In {
  readonly bytes: Uint8Array;
  readonly inlets: Inlets | undefined;
}

function marked(kind: string, ...args: unknown[]): unknown {
  return { [MARK]: [kind, ...args] };
}

function plain(value: unknown, out: Out): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : marked('number', Object.is(value, -0) ? '-0' : String(value));
    case 'bigint':
      return marked('bigint', String(value));
    case 'undefined':
      return marked('undefined');
    case 'object':
      return value === null ? null : plainObject(value, out);
    default:
      return foreign(value as AnyFunction | symbol, out);
  }
}

/** A function or a symbol. */
function foreign(value: AnyFunction | symbol, { outlets }: Out): unknown {
  if (outlets === undefined) {
    throw new TypeError(`Cannot send a ${typeof value} to whoever has the volume`);
  }
  if (typeof value === 'symbol') return marked('symbol', value.description ?? '');
  const number = outlets.numberOf(value);
  return number === undefined ? marked('alien', value.name) : marked('function', number);
}

function plainObject(value: object, out: Out): unknown {
  if (ArrayBuffer.isView(value)) {
    return out.bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, out));
  if (value instanceof Date) return marked('date', plain(value.getTime(), out));
  if (value instanceof URL) return marked('url', value.href);
  if (value instanceof AbortSignal) return marked('signal');
  if (value instanceof FileHandle) return { fd: value.fd };
  const fields = (): unknown => plainFields(value, out);
  if (value instanceof Error) {
    const name = Object.hasOwn(value, 'name') ? value.name : undefined;
    return marked('error', classOf(value), value.message, fields(), name);
  }
  const kind = kindOf(value);
  if (kind === undefined) return fields();
  const what = 'name' in value ? 'dirent' : 'stats';
  return marked(what, kind, fields());
}

function plainFields(value: object, out: Out): unknown {
  const fields: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (name === MARK || name === '__proto__') throw new TypeError(`Cannot send a field "${name}"`);
    // A cause is told by whoever had it.
    if (name !== 'cause') fields[name] = plain(field, out);
  }
  return fields;
}

function revived(value: unknown, from: In): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => revived(item, from));
  if (Object.hasOwn(value, MARK)) return unmarked((value as Record<string, unknown>)[MARK], from);
  return revivedFields(value, from);
}

function revivedFields(value: unknown, from: In): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new TypeError('fields are no object');
  const fields: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (name === '__proto__') throw new TypeError('a field is called __proto__');
    fields[name] = revived(field, from);
  }
  return fields;
}

function unmarked(list: unknown, from: In): unknown {
  if (!Array.isArray(list)) throw new TypeError('a mark has no list');
  const [kind, first, second, third, fourth] = list as unknown[];
  switch (kind) {
    case 'bytes':
      return part(from.bytes, first, second);
    case 'number':
      return Number(first);
    case 'bigint':
      return BigInt(String(first));
    case 'undefined':
      return undefined;
    case 'date':
      return new Date(Number(revived(first, from)));
    case 'url':
      return new URL(String(first));
    case 'error':
      return madeError(String(first), String(second), revivedFields(third, from), fourth);
    case 'stats': {
      const fields = revivedFields(second, from);
      const kind = kindAt(first);
      const big = typeof fields['size'] === 'bigint';
      return Object.assign(big ? new SentBigIntStats(kind) : new SentStats(kind), fields);
    }
    case 'dirent':
      return Object.assign(new SentDirent(kindAt(first)), revivedFields(second, from));
    case 'signal':
      return from.inlets?.signal;
    case 'symbol':
      return Symbol(String(first));
    case 'function':
      if (from.inlets === undefined) throw new TypeError('a function is where none can be');
      return from.inlets.functionOf(Number(first));
    case 'alien':
      return alien(String(first));
    default:
      throw new TypeError(`a mark has the unknown kind ${JSON.stringify(kind)}`);
  }
}

/** A function that nobody may call: it is there to be refused by its name. */
function alien(name: string): AnyFunction {
  const refuse = (): never => {
    throw new TypeError(`Cannot call ${name}: it is on the other side`);
  };
  return Object.defineProperty(refuse, 'name', { value: name });
}

function part(bytes: Uint8Array, from: unknown, length: unknown): Buffer {
  const sane = Number.isSafeInteger(from) && Number.isSafeInteger(length);
  const [start, count] = [from as number, length as number];
  if (!sane || start < 0 || count < 0 || start + count > bytes.length) {
    throw new TypeError('bytes are said to be where there are none');
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, count);
}

const ERRORS = { Error, TypeError, RangeError, AssertionError } as const;

function classOf(error: Error): string {
  if (error instanceof AssertionError) return 'AssertionError';
  if (error instanceof RangeError) return 'RangeError';
  return error instanceof TypeError ? 'TypeError' : 'Error';
}

/** As it was where it was thrown: class, message, and what it says of itself. */
function madeError(
  name: string,
  message: string,
  fields: Record<string, unknown>,
  ownName: unknown,
): Error {
  const make = Object.hasOwn(ERRORS, name) ? ERRORS[name as keyof typeof ERRORS] : Error;
  const error = new make(message);
  for (const [key, value] of Object.entries(fields)) {
    Object.defineProperty(error, key, { value, enumerable: true, configurable: true });
  }
  if (typeof ownName === 'string') {
    Object.defineProperty(error, 'name', { value: ownName, configurable: true, writable: true });
  }
  return error;
}

/** How the kind of an inode is asked for; on the way its place in this list stands for it. */
const KINDS = [
  ['isFile', InodeKind.FILE],
  ['isDirectory', InodeKind.DIRECTORY],
  ['isSymbolicLink', InodeKind.SYMLINK],
  ['isCharacterDevice', InodeKind.CHARACTER],
  ['isBlockDevice', InodeKind.BLOCK],
  ['isFIFO', InodeKind.FIFO],
  ['isSocket', InodeKind.SOCKET],
] as const;

/** Which of the kinds an inode is, if a value is about one. */
function kindOf(value: object): number | undefined {
  if (!('isSymbolicLink' in value)) return undefined;
  const asked = value as Record<(typeof KINDS)[number][0], () => boolean>;
  return KINDS.findIndex(([name]) => asked[name]());
}

/** The kind that came; of one that nobody knows every question is answered with no. */
function kindAt(place: unknown): InodeKind {
  return KINDS[place as number]?.[1] as InodeKind;
}

class SentStats extends Timed {
  declare readonly atimeMs: number;
  declare readonly mtimeMs: number;
  declare readonly ctimeMs: number;
  declare readonly birthtimeMs: number;
}

class SentBigIntStats extends FinelyTimed {
  declare readonly atimeNs: bigint;
  declare readonly mtimeNs: bigint;
  declare readonly ctimeNs: bigint;
  declare readonly birthtimeNs: bigint;
}

class SentDirent extends Kinded {
  declare readonly parentPath: string;

  get path(): string {
    return this.parentPath;
  }
}
