/**
 * Fs: the two faces of the calls, synchronous and with promises.
 *
 * Every call is a procedure (calls/); here it gets its name of `node:fs`, is run by the driver, and
 * its errors get Node's shape. Reading and writing open files are the exception: they are one
 * operation, which is kept and used again, so that a hit in the cache allocates nothing.
 */
import { MAX_OFFSET } from '../base/index.ts';
import type { Driver } from '../drive/index.ts';
import { BufferedRead } from '../iomap/index.ts';
import { WriteFile } from '../volume/index.ts';
import { type CallName, siteOf } from './call-sites.ts';
import { readableFile, writableFile } from './calls/files.ts';
import * as calls from './calls/index.ts';
import type { Context } from './context.ts';
import { asNodeError, rangeError } from './errors.ts';
import { FileHandle } from './file-handle.ts';
import { constants } from './flags.ts';
import { type Procedure, runAsync, runSync } from './procedure.ts';
import type { PromisesFs, SyncFs } from './shapes.ts';

type Call = (context: Context, ...args: unknown[]) => Procedure<unknown>;

const CALLS = calls as unknown as Record<CallName, Call>;
const NAMES = Object.keys(calls) as CallName[];

/** Calls on open files, which the promise face has as methods of a handle. */
const BY_DESCRIPTOR: ReadonlySet<string> = new Set([
  'close',
  'exists',
  'fchmod',
  'fchown',
  'fdatasync',
  'fstat',
  'fsync',
  'ftruncate',
  'futimes',
  'open',
  'read',
  'readv',
  'write',
  'writev',
]);

/** Runs calls of one view of a volume. */
export class Caller {
  readonly context: Context;
  readonly driver: Driver;

  constructor(context: Context, driver: Driver) {
    this.context = context;
    this.driver = driver;
  }

  sync(name: CallName, args: readonly unknown[]): unknown {
    try {
      return runSync(this.driver, CALLS[name](this.context, ...args));
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  async async(name: CallName, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    try {
      return await runAsync(this.driver, CALLS[name](this.context, ...args), { signal });
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }
}

/** The synchronous face, with the other as its `promises`. */
export function makeFs(caller: Caller): SyncFs {
  const fs: Record<string, unknown> = { constants, promises: makePromises(caller) };
  for (const name of NAMES) {
    fs[`${name}Sync`] = (...args: unknown[]) => caller.sync(name, args);
  }
  fs['readSync'] = makeRead(caller);
  fs['writeSync'] = makeWrite(caller);
  fs['realpathSync'] = Object.assign(fs['realpathSync'] as object, { native: fs['realpathSync'] });
  return fs as unknown as SyncFs;
}

function makePromises(caller: Caller): PromisesFs {
  const fs: Record<string, unknown> = { constants };
  for (const name of NAMES) {
    if (BY_DESCRIPTOR.has(name)) continue;
    fs[name] = (...args: unknown[]) => caller.async(name, args, signalOf(args));
  }
  fs['open'] = async (...args: unknown[]) =>
    new FileHandle(caller, (await caller.async('open', args)) as number);
  return fs as unknown as PromisesFs;
}

/** The signal in the options of a call, which are its last argument. */
function signalOf(args: readonly unknown[]): AbortSignal | undefined {
  const options = args.at(-1);
  if (typeof options !== 'object' || options === null || !('signal' in options)) return undefined;
  return options.signal as AbortSignal | undefined;
}

/** `readSync`: the plain form runs at once, the others go the way of all calls. */
function makeRead(caller: Caller): (...args: unknown[]) => unknown {
  const { context, driver } = caller;
  const operation = new BufferedRead();
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isInteger(offset + length + position);
    if (!plain) return caller.sync('read', [fd, buffer, offset, length, position]);
    try {
      checkRange(buffer, offset, length, position);
      const { vnode } = readableFile(context, fd as number);
      return driver.run(operation.begin(vnode, position, length, buffer, offset));
    } catch (error) {
      throw asNodeError(error, { syscall: 'read' });
    }
  };
}

function makeWrite(caller: Caller): (...args: unknown[]) => unknown {
  const { context, driver } = caller;
  const operation = new WriteFile(context.engine);
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isInteger(offset + length + position);
    if (!plain) return caller.sync('write', [fd, buffer, offset, length, position]);
    try {
      checkRange(buffer, offset, length, position);
      const file = writableFile(context, fd as number);
      if (file.append || file.synchronous) {
        return caller.sync('write', [fd, buffer, offset, length, position]);
      }
      const { time } = context;
      return driver.run(operation.write(file.vnode, position, buffer, offset, length, time));
    } catch (error) {
      throw asNodeError(error, { syscall: 'write' });
    }
  };
}

function checkRange(buffer: Uint8Array, offset: number, length: number, position: number): void {
  if (offset < 0 || offset > buffer.length) {
    throw rangeError('offset', `>= 0 && <= ${buffer.length}`, offset);
  }
  if (length < 0 || length > buffer.length - offset) {
    throw rangeError('length', `>= 0 && <= ${buffer.length - offset}`, length);
  }
  if (position > MAX_OFFSET) throw rangeError('position', `<= ${MAX_OFFSET}`, position);
}
