/**
 * Fs: the two faces of the calls, synchronous and with promises.
 *
 * Every call is a procedure (calls/); here it gets its name of `node:fs`, is run by the driver, and
 * its errors get Node's shape. Reading and writing open files are the exception: they are one
 * operation, which is kept and used again, so that a hit in the cache allocates nothing.
 */
import type { Driver } from '../drive/index.ts';
import { BufferedRead, DirectRead } from '../iomap/index.ts';
import { WriteFile, WriteFileDirect } from '../volume/index.ts';
import { type CallName, siteOf } from './call-sites.ts';
import type { OpenDirectory } from './calls/directories.ts';
import { checkPart, checkRange, readableFile, writableFile } from './calls/files.ts';
import { calls } from './calls/index.ts';
import { isPieces } from './calls/whole-files.ts';
import type { Context } from './context.ts';
import { Dir } from './dir.ts';
import { abortError, asNodeError, type CallSite } from './errors.ts';
import { FileHandle } from './file-handle.ts';
import { constants } from './flags.ts';
import { type Procedure, runAsync, runSync, signalOf } from './procedure.ts';
import type { PromisesFs, SyncFs } from './shapes.ts';

type Call = (context: Context, ...args: unknown[]) => Procedure<unknown>;

const CALLS = calls as unknown as Record<CallName, Call>;
const NAMES = Object.keys(calls) as CallName[];

/** What only the promise face has, under other names, or beside its own. */
const NOT_SYNC = ['appendPieces', 'realpathNative', 'writePieces'] as const;

/** Calls on open files, which the promise face has as methods of a handle, and others it lacks. */
const NOT_PROMISED: ReadonlySet<string> = new Set([
  ...NOT_SYNC,
  'close',
  'exists',
  'fchmod',
  'fchown',
  'fdatasync',
  'fstat',
  'fsync',
  'ftruncate',
  'futimes',
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
      this.context.session.check();
      return runSync(this.driver, CALLS[name](this.context, ...args));
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  async async(name: CallName, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    const { session } = this.context;
    try {
      if (signal?.aborted) throw signal.reason;
      return await session.during(() => {
        const call = CALLS[name](this.context, ...args);
        return runAsync(this.driver, call, { signal, check: session.check });
      });
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw abortError(error);
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  /** Runs a part of an object's work, like the next entry of a directory. */
  finish<Result>(procedure: Procedure<Result>, site: CallSite): Result {
    try {
      this.context.session.check();
      return runSync(this.driver, procedure);
    } catch (error) {
      throw asNodeError(error, site);
    }
  }

  /** The same with a promise. */
  async start<Result>(
    procedure: Procedure<Result>,
    site: CallSite,
    signal?: AbortSignal,
  ): Promise<Result> {
    const { check } = this.context.session;
    try {
      signal?.throwIfAborted();
      return await this.context.session.during(() =>
        runAsync(this.driver, procedure, { signal, check }),
      );
    } catch (error) {
      throw asNodeError(error, site);
    }
  }
}

/** The synchronous face, with the other as its `promises`. */
export function makeFs(caller: Caller): SyncFs {
  const fs: Record<string, unknown> = { constants, promises: makePromises(caller) };
  for (const name of NAMES) {
    fs[`${name}Sync`] = (...args: unknown[]) => caller.sync(name, args);
  }
  for (const name of NOT_SYNC) delete fs[`${name}Sync`];
  fs['readSync'] = makeRead(caller);
  fs['writeSync'] = makeWrite(caller);
  const native = (...args: unknown[]): unknown => caller.sync('realpathNative', args);
  fs['realpathSync'] = Object.assign(fs['realpathSync'] as object, { native });
  fs['opendirSync'] = (...args: unknown[]) =>
    new Dir(caller, caller.sync('opendir', args) as OpenDirectory);
  return fs as unknown as SyncFs;
}

function makePromises(caller: Caller): PromisesFs {
  const fs: Record<string, unknown> = { constants };
  for (const name of NAMES) {
    if (NOT_PROMISED.has(name)) continue;
    fs[name] = (...args: unknown[]) => caller.async(name, args, signalOf(args));
  }
  fs['open'] = async (...args: unknown[]) =>
    new FileHandle(caller, (await caller.async('open', args)) as number);
  fs['opendir'] = async (...args: unknown[]) =>
    new Dir(caller, (await caller.async('opendir', args)) as OpenDirectory);
  fs['realpath'] = (...args: unknown[]) => caller.async('realpathNative', args);
  fs['writeFile'] = (...args: unknown[]) =>
    caller.async(isPieces(args[1]) ? 'writePieces' : 'writeFile', args, signalOf(args));
  fs['appendFile'] = (...args: unknown[]) =>
    caller.async(isPieces(args[1]) ? 'appendPieces' : 'appendFile', args, signalOf(args));
  return fs as unknown as PromisesFs;
}

/** `readSync`: the plain form runs at once, the others go the way of all calls. */
function makeRead(caller: Caller): (...args: unknown[]) => unknown {
  const { context, driver } = caller;
  const operation = new BufferedRead();
  const direct = new DirectRead();
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isSafeInteger(offset + length + position);
    if (!plain) return caller.sync('read', [fd, buffer, offset, length, position]);
    try {
      checkPart(buffer, offset, length);
      const { vnode, direct: past } = readableFile(context, fd as number);
      const read = past ? direct : operation;
      return driver.run(read.begin(vnode, position, length, buffer, offset));
    } catch (error) {
      throw asNodeError(error, { syscall: 'read' });
    }
  };
}

function makeWrite(caller: Caller): (...args: unknown[]) => unknown {
  const { context, driver } = caller;
  const operation = new WriteFile(context.engine);
  const direct = new WriteFileDirect(context.engine);
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isSafeInteger(offset + length + position);
    if (!plain) return caller.sync('write', [fd, buffer, offset, length, position]);
    try {
      checkRange(buffer, offset, length);
      const file = writableFile(context, fd as number);
      if (file.append || file.synchronous) {
        return caller.sync('write', [fd, buffer, offset, length, position]);
      }
      const { time } = context;
      const write = file.direct ? direct : operation;
      return driver.run(write.write(file.vnode, position, buffer, offset, length, time));
    } catch (error) {
      throw asNodeError(error, { syscall: 'write' });
    }
  };
}
