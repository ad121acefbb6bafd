/**
 * Fs: the two faces of the calls, synchronous and with promises.
 *
 * Every call is a procedure (calls/); here it gets its name of `node:fs`, is run by the driver, and
 * its errors get Node's shape. Reading and writing open files are the exception: they are one
 * operation, which is kept and used again, so that a hit in the cache allocates nothing.
 */
import { FilesystemError } from '../base/index.ts';
import type { Driver } from '../drive/index.ts';
import { BufferedRead, DirectRead } from '../iomap/index.ts';
import { WriteFile, WriteFileDirect } from '../volume/index.ts';
import { type CallName, siteOf } from './call-sites.ts';
import { OpenDirectory } from './calls/directories.ts';
import { checkPart, checkRange, readableFile, writableFile } from './calls/files.ts';
import { calls } from './calls/index.ts';
import { isPieces } from './calls/whole-files.ts';
import type { Context } from './context.ts';
import { Dir, type Entries, OwnEntries } from './dir.ts';
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

/** Runs the calls of a volume whose engine another thread has. Errors have Node's shape. */
export interface RemoteCalls {
  sync(name: CallName, args: readonly unknown[]): unknown;
  async(name: CallName, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
}

/** What calls are made with: the operations of reading and writing are used again and again. */
export class Home {
  readonly context: Context;
  readonly driver: Driver;
  readonly reading = new BufferedRead();
  readonly readingDirect = new DirectRead();
  readonly writing: WriteFile;
  readonly writingDirect: WriteFileDirect;

  constructor(context: Context, driver: Driver) {
    this.context = context;
    this.driver = driver;
    this.writing = new WriteFile(context.engine);
    this.writingDirect = new WriteFileDirect(context.engine);
  }
}

/**
 * Runs calls of one view of a volume: here, or where its engine is. Whoever has a caller, an `fs`
 * or a handle, need not know when the engine moves.
 */
export class Caller {
  /** Undefined while calls are made elsewhere. */
  home: Home | undefined;
  #remote: RemoteCalls | undefined;

  constructor(home: Home | RemoteCalls) {
    this.moveTo(home);
  }

  /** Calls are made there from now on; nothing of the engine that was here is kept. */
  moveTo(home: Home | RemoteCalls): void {
    const isHere = home instanceof Home;
    this.home = isHere ? home : undefined;
    this.#remote = isHere ? undefined : home;
  }

  get context(): Context {
    return this.#here.context;
  }

  get driver(): Driver {
    return this.#here.driver;
  }

  sync(name: CallName, args: readonly unknown[]): unknown {
    if (this.#remote !== undefined) return this.#remote.sync(name, args);
    try {
      this.context.session.check();
      return runSync(this.driver, CALLS[name](this.context, ...args));
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  async async(name: CallName, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    if (this.#remote !== undefined) return await this.#remote.async(name, args, signal);
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

  /** What is read of a directory that `opendir` has opened. */
  entriesOf(opened: unknown): Entries {
    return opened instanceof OpenDirectory ? new OwnEntries(this, opened) : (opened as Entries);
  }

  get #here(): Home {
    if (this.home !== undefined) return this.home;
    throw new FilesystemError('EBUSY', 'Cannot do this here: another thread has the volume');
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
    new Dir(caller.entriesOf(caller.sync('opendir', args)));
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
    new Dir(caller.entriesOf(await caller.async('opendir', args)));
  fs['realpath'] = (...args: unknown[]) => caller.async('realpathNative', args);
  fs['writeFile'] = (...args: unknown[]) =>
    caller.async(isPieces(args[1]) ? 'writePieces' : 'writeFile', args, signalOf(args));
  fs['appendFile'] = (...args: unknown[]) =>
    caller.async(isPieces(args[1]) ? 'appendPieces' : 'appendFile', args, signalOf(args));
  return fs as unknown as PromisesFs;
}

/** `readSync`: the plain form runs at once, the others go the way of all calls. */
function makeRead(caller: Caller): (...args: unknown[]) => unknown {
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isSafeInteger(offset + length + position);
    const { home } = caller;
    if (!plain || home === undefined) {
      return caller.sync('read', [fd, buffer, offset, length, position]);
    }
    try {
      checkPart(buffer, offset, length);
      const { vnode, direct } = readableFile(home.context, fd as number);
      const read = direct ? home.readingDirect : home.reading;
      return home.driver.run(read.begin(vnode, position, length, buffer, offset));
    } catch (error) {
      throw asNodeError(error, { syscall: 'read' });
    }
  };
}

function makeWrite(caller: Caller): (...args: unknown[]) => unknown {
  return (fd, buffer, offset, length, position) => {
    const plain =
      buffer instanceof Uint8Array &&
      typeof offset === 'number' &&
      typeof length === 'number' &&
      typeof position === 'number' &&
      position >= 0 &&
      Number.isSafeInteger(offset + length + position);
    const { home } = caller;
    if (!plain || home === undefined) {
      return caller.sync('write', [fd, buffer, offset, length, position]);
    }
    try {
      checkRange(buffer, offset, length);
      const file = writableFile(home.context, fd as number);
      if (file.append || file.synchronous) {
        return caller.sync('write', [fd, buffer, offset, length, position]);
      }
      const { time } = home.context;
      const write = file.direct ? home.writingDirect : home.writing;
      return home.driver.run(write.write(file.vnode, position, buffer, offset, length, time));
    } catch (error) {
      throw asNodeError(error, { syscall: 'write' });
    }
  };
}
