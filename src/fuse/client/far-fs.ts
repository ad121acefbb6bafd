/**
 * Far fs: the calls of `fs`, of the live volume or of a view, made where the engine is.
 */
import type { Dirent } from '../../api/index.ts';
import {
  abortError,
  asNodeError,
  type CallName,
  type Entries,
  type RemoteCalls,
  readPart,
  siteOf,
} from '../../api/node/index.ts';
import { READ_MAX } from '../control/api-calls.ts';
import type { Made } from '../control/calls.ts';
import { FrameFlag } from '../control/frame.ts';
import type { AnyFunction } from '../control/values.ts';
import { LineEnded, type LineUse, type PortLine } from './port-line.ts';

type Args = readonly unknown[];

/** What was asked for, as it is sent. */
interface Sent extends LineUse {
  readonly args: Args;
}

/** Calls before which the kernel hands over what programs have written. */
const SETTLES: ReadonlySet<string> = new Set(['copyFile', 'cp']);

export class FarFs implements RemoteCalls {
  readonly #line: PortLine;
  readonly #view: number | undefined;

  /** Of the live volume if no view is given. */
  constructor(line: PortLine, view?: number) {
    this.#line = line;
    this.#view = view;
  }

  sync(name: CallName, args: Args): unknown {
    try {
      if (name === 'read') return this.#readSync(args);
      if (name === 'readv') return this.#readvSync(args);
      const { args: given, ...use } = sentOf(name, args);
      const value = this.#line.callSync('caller', [this.#view, 'sync', name, given], use);
      return name === 'opendir' ? new FarEntries(this.#line, value as Made) : value;
    } catch (error) {
      if (this.#view === undefined && error instanceof LineEnded) throw error;
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  async async(name: CallName, args: Args, signal?: AbortSignal): Promise<unknown> {
    try {
      if (name === 'read') return await this.#read(args, signal);
      if (name === 'readv') return await this.#readv(args, signal);
      const { args: given, ...use } = sentOf(name, args);
      const call = [this.#view, 'async', name, given];
      const value = await this.#line.call('caller', call, { ...use, signal });
      return name === 'opendir' ? new FarEntries(this.#line, value as Made) : value;
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw abortError(error);
      if (this.#view === undefined && error instanceof LineEnded) throw error;
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  #readSync([fd, ...rest]: Args): number {
    const reads = readsOf(fd, rest);
    for (let next = reads.next(); ; ) {
      if (next.done === true) return next.value;
      const call = [this.#view, 'sync', 'read', next.value];
      next = reads.next(this.#line.callSync('caller', call) as Uint8Array);
    }
  }

  async #read([fd, ...rest]: Args, signal?: AbortSignal): Promise<number> {
    const reads = readsOf(fd, rest);
    for (let next = reads.next(); ; ) {
      if (next.done === true) return next.value;
      const call = [this.#view, 'async', 'read', next.value];
      next = reads.next((await this.#line.call('caller', call, { signal })) as Uint8Array);
    }
  }

  #readvSync([fd, buffers, position]: Args): unknown {
    const joined = joinedOf(buffers);
    if (joined === undefined) {
      return this.#line.callSync('caller', [this.#view, 'sync', 'readv', [fd, buffers, position]]);
    }
    const count = this.#readSync([fd, joined, 0, joined.length, position]);
    return scatter(joined.subarray(0, count), buffers as ArrayBufferView[]);
  }

  async #readv([fd, buffers, position]: Args, signal?: AbortSignal): Promise<unknown> {
    const joined = joinedOf(buffers);
    if (joined === undefined) {
      const call = [this.#view, 'async', 'readv', [fd, buffers, position]];
      return await this.#line.call('caller', call, { signal });
    }
    const count = await this.#read([fd, joined, 0, joined.length, position], signal);
    return scatter(joined.subarray(0, count), buffers as ArrayBufferView[]);
  }
}

/** An open directory where the engine is. */
class FarEntries implements Entries {
  readonly path: string;
  readonly #line: PortLine;
  readonly #handle: number;

  constructor(line: PortLine, made: Made) {
    const { handle, path } = made as Extract<Made, { kind: 'entries' }>;
    this.#line = line;
    this.#handle = handle;
    this.path = path;
  }

  async read(): Promise<Dirent | null> {
    return (await this.#line.call('readEntry', [this.#handle])) as Dirent | null;
  }

  readSync(): Dirent | null {
    return this.#line.callSync('readEntrySync', [this.#handle]) as Dirent | null;
  }

  close(): void {
    this.#line.tell('closeEntries', [this.#handle]);
  }
}

/** Reads of at most {@link READ_MAX}: yields their arguments, is given the bytes. */
function* readsOf(fd: unknown, rest: Args): Generator<Args, number, Uint8Array> {
  const { bytes, at, length, position } = readPart(...(rest as Parameters<typeof readPart>));
  let count = 0;
  for (;;) {
    const wanted = Math.min(length - count, READ_MAX);
    const from = position === undefined ? undefined : position + count;
    const found = yield [fd, wanted, from];
    bytes.set(found, at + count);
    count += found.length;
    if (found.length < wanted || count === length) return count;
  }
}

/** Memory for all of several buffers; undefined if they are none. */
function joinedOf(buffers: unknown): Uint8Array | undefined {
  if (!Array.isArray(buffers) || !buffers.every((buffer) => ArrayBuffer.isView(buffer))) {
    return undefined;
  }
  return new Uint8Array(buffers.reduce((sum: number, { byteLength }) => sum + byteLength, 0));
}

function scatter(bytes: Uint8Array, buffers: readonly ArrayBufferView[]): number {
  let at = 0;
  for (const { buffer, byteOffset, byteLength } of buffers) {
    const part = bytes.subarray(at, at + byteLength);
    new Uint8Array(buffer, byteOffset, byteLength).set(part);
    at += part.length;
  }
  return at;
}

/** The arguments of a call, without what need not be sent, and with what is called here. */
function sentOf(name: CallName, args: Args): Sent {
  const flags = SETTLES.has(name) ? FrameFlag.SETTLE : 0;
  switch (name) {
    case 'cp': {
      const options = args[2] as { filter?: unknown } | undefined;
      const filter = typeof options === 'object' ? options?.filter : undefined;
      return {
        args,
        flags,
        functions: typeof filter === 'function' ? [filter as AnyFunction] : [],
      };
    }
    case 'writePieces':
    case 'appendPieces': {
      const next = nextOf(args[1] as AsyncIterable<unknown>);
      return { args: [args[0], next, ...args.slice(2)], flags, functions: [next] };
    }
    case 'write':
      return { args: trimmed(args), flags };
    default:
      return { args, flags };
  }
}

function nextOf(pieces: Partial<AsyncIterable<unknown> & Iterable<unknown>>): () => unknown {
  const walk = pieces[Symbol.asyncIterator]?.() ?? pieces[Symbol.iterator]?.();
  return () => walk?.next();
}

/** Of the buffer of a write only what is to be written. */
function trimmed(args: Args): Args {
  const [fd, data, offset, length, position] = args;
  const isPart = Number.isInteger(offset) && Number.isInteger(length) && ArrayBuffer.isView(data);
  if (!isPart) return args;
  const [from, count] = [offset as number, length as number];
  if (from < 0 || count < 0 || from + count > data.byteLength) return args;
  const part = new Uint8Array(data.buffer, data.byteOffset + from, count);
  return [fd, part, 0, count, position];
}
