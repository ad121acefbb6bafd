/**
 * Steps: calls on a volume as plain data, and what runs them: a model, or a volume by either face.
 *
 * What a step came to is one line of text, the same for all of them.
 */

import { constants, openFlags } from '../../src/api/flags.ts';
import type { PromisesFs, Volume } from '../../src/api/index.ts';
import { errorCode } from '../../src/base/index.ts';
import {
  changeRange,
  cloneRange,
  handlesOf,
  ModelError,
  type ModelFs,
  type ModelHandle,
  type ModelRange,
  type ModelStat,
  type ModelVolume,
  Random,
} from '../../src/testing/index.ts';

/** One call. Paths and names are binary strings; bytes are said by a seed and a length. */
export interface Step {
  readonly call: keyof typeof MODEL_CALLS;
  /** The snapshot it is made in; the live volume if it is left out. */
  readonly view?: string | undefined;
  readonly args: readonly Argument[];
}

export type Argument = string | number | boolean | undefined;

type Args = readonly Argument[];
type Handles<Handle> = Map<number, Handle>;

/** What one step came to. */
export type Outcome = string;

const SKIPPED = 'skipped';

/** The bytes that a seed and a length stand for. */
export function bytesFor(seed: number, length: number): Uint8Array {
  return new Random(seed).bytes(length);
}

/** A step as source text, for messages. */
export function show({ call, view, args }: Step): string {
  const text = args
    .map((arg) => (arg === undefined ? 'undefined' : JSON.stringify(arg)))
    .join(', ');
  return `${view === undefined ? '' : `@${view} `}${call}(${text})`;
}

// --- On a model ----------------------------------------------------------------------------------

type ModelCall = (fs: ModelFs, args: Args, open: Handles<ModelHandle>) => unknown;

const s = (arg: Argument): string => arg as string;
const n = (arg: Argument): number => arg as number;

const MODEL_CALLS = {
  appendFile: (fs, [path, seed, length]) => fs.appendFile(s(path), bytesFor(n(seed), n(length))),
  chmod: (fs, [path, mode]) => fs.chmod(s(path), n(mode)),
  close: (fs, [slot], open) => {
    const handle = open.get(n(slot));
    if (handle === undefined) return SKIPPED;
    open.delete(n(slot));
    return fs.close(handle);
  },
  copyFile: (fs, [from, to, mode]) => fs.copyFile(s(from), s(to), n(mode)),
  cp: (fs, [from, to]) => fs.cloneTree(s(from), s(to)),
  exchange: (fs, [left, right]) => fs.exchange(s(left), s(right)),
  fstat: (fs, [slot], open) => withHandle(open, slot, (handle) => modelStat(fs.fstat(handle))),
  fsync: (_fs, [slot], open) => withHandle(open, slot, () => undefined),
  ftruncate: (fs, [slot, size], open) =>
    withHandle(open, slot, (handle) => fs.ftruncate(handle, n(size))),
  lchown: (fs, [path, uid, gid]) => fs.lchown(s(path), n(uid), n(gid)),
  link: (fs, [from, to]) => fs.link(s(from), s(to)),
  linkFile: (fs, [slot, path], open) =>
    withHandle(open, slot, (handle) => fs.linkFile(handle, s(path))),
  lstat: (fs, [path]) => modelStat(fs.lstat(s(path))),
  mkdir: (fs, [path, recursive]) => fs.mkdir(s(path), { recursive: recursive === true }),
  open: (fs, [slot, path, flags], open) => {
    if (open.has(n(slot))) return SKIPPED;
    open.set(n(slot), fs.open(s(path), s(flags).replace('d', '')));
    return undefined;
  },
  read: (fs, [slot, length, position], open) =>
    withHandle(open, slot, (handle) => fs.read(handle, n(length), position as number | undefined)),
  range: () => undefined,
  readFile: (fs, [path]) => fs.readFile(s(path)),
  readdir: (fs, [path]) => fs.readdir(s(path)),
  readlink: (fs, [path]) => fs.readlink(s(path)),
  rename: (fs, [from, to]) => fs.rename(s(from), s(to)),
  rm: (fs, [path, recursive, force]) =>
    fs.rm(s(path), { recursive: recursive === true, force: force === true }),
  rmdir: (fs, [path]) => fs.rmdir(s(path)),
  stat: (fs, [path]) => modelStat(fs.stat(s(path))),
  symlink: (fs, [target, path]) => fs.symlink(s(target), s(path)),
  tmpfile: (fs, [slot, path], open) => {
    if (open.has(n(slot))) return SKIPPED;
    open.set(n(slot), fs.openTmpfile(s(path)));
    return undefined;
  },
  truncate: (fs, [path, size]) => fs.truncate(s(path), n(size)),
  unlink: (fs, [path]) => fs.unlink(s(path)),
  utimes: (fs, [path, atime, mtime]) => fs.utimes(s(path), n(atime), n(mtime)),
  write: (fs, [slot, seed, length, position], open) =>
    withHandle(open, slot, (handle) =>
      fs.write(handle, bytesFor(n(seed), n(length)), position as number | undefined),
    ),
  writeFile: (fs, [path, seed, length]) => fs.writeFile(s(path), bytesFor(n(seed), n(length))),
  // Of the volume.
  clone: () => undefined,
  // It shows nowhere.
  defrag: () => undefined,
  deleteSnapshot: () => undefined,
  snapshot: () => undefined,
  sync: () => undefined,
} satisfies Record<string, ModelCall>;

/** Runs steps on a model. */
export class ModelRunner {
  readonly model: ModelVolume;
  readonly open: Handles<ModelHandle> = new Map();

  constructor(model: ModelVolume) {
    this.model = model;
  }

  run(step: Step): Outcome {
    try {
      return text(this.#call(step));
    } catch (error) {
      if (error instanceof ModelError) return error.code;
      throw error;
    }
  }

  remount(): void {
    this.model.remount();
    this.open.clear();
  }

  #range([what, slot, offset, length, from, sourceOffset]: Args): unknown {
    const handle = this.open.get(n(slot));
    if (handle === undefined) return SKIPPED;
    const kind = what as RangeKind;
    if (kind !== 'clone') return changeRange(this.model, handle, kind, n(offset), n(length));
    const source = this.open.get(n(from));
    if (source === undefined) return SKIPPED;
    const [here, there] = [
      { handle: source, offset: n(sourceOffset) },
      { handle, offset: n(offset) },
    ];
    return cloneRange(this.model, here, there, n(length));
  }

  #call({ call, view, args }: Step): unknown {
    const { model } = this;
    switch (call) {
      case 'clone':
        return model.clone({ ...(view && { snapshot: view }), path: s(args[0]) }, s(args[1]));
      case 'snapshot':
        return model.snapshot(s(args[0]), args[1] === true);
      case 'deleteSnapshot':
        return model.deleteSnapshot(s(args[0]));
      case 'range':
        return this.#range(args);
      default:
        return (MODEL_CALLS[call] as ModelCall)(model.view(view), args, this.open);
    }
  }
}

/** The ranges that steps change; `clone` has a source. */
export type RangeKind = ModelRange | 'clone';

function modelStat(stat: ModelStat): string {
  const { kind, mode, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs } = stat;
  const length = kind === 'directory' ? '' : ` ${size} bytes`;
  const times = [atimeMs, mtimeMs, ctimeMs, birthtimeMs].join(' ');
  return `${kind} ${mode.toString(8)} ${uid}:${gid} x${nlink}${length} ${times}`;
}

// --- On a volume ---------------------------------------------------------------------------------

type Handle = Awaited<ReturnType<PromisesFs['open']>>;
type Call = (fs: PromisesFs, args: Args, open: Handles<Handle>) => unknown;

/** A path as `node:fs` takes it: a string, or a buffer where no string says the same. */
export function p(path: Argument): string {
  const binary = path as string;
  const ascii = /^[\0-\x7f]*$/u.test(binary);
  return ascii ? binary : (Buffer.from(binary, 'latin1') as unknown as string);
}

const binary = { encoding: 'buffer' } as const;

/** `await` that does not wait for what is there. */
function then<Value>(value: Value | Promise<Value>, next: (value: Value) => unknown): unknown {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** `d` at the end: past the cache. */
function flagsOf(flags: string): string | number {
  return flags.endsWith('d') ? openFlags(flags.slice(0, -1), 'r') | constants.O_DIRECT : flags;
}

const CALLS: Record<keyof typeof MODEL_CALLS, Call> = {
  appendFile: (fs, [path, seed, length]) => fs.appendFile(p(path), bytesFor(n(seed), n(length))),
  chmod: (fs, [path, mode]) => fs.chmod(p(path), n(mode)),
  close: (_fs, [slot], open) => {
    const handle = open.get(n(slot));
    if (handle === undefined) return SKIPPED;
    open.delete(n(slot));
    return handle.close();
  },
  copyFile: (fs, [from, to, mode]) => fs.copyFile(p(from), p(to), n(mode)),
  cp: (fs, [from, to]) => fs.cp(p(from), p(to), { recursive: true, mode: 2 }),
  fstat: (_fs, [slot], open) =>
    withHandle(open, slot, (handle) => then(handle.stat(), (stat) => statText(stat))),
  fsync: (_fs, [slot], open) => withHandle(open, slot, (handle) => handle.sync()),
  ftruncate: (_fs, [slot, size], open) =>
    withHandle(open, slot, (handle) => handle.truncate(n(size))),
  lchown: (fs, [path, uid, gid]) => fs.lchown(p(path), n(uid), n(gid)),
  link: (fs, [from, to]) => fs.link(p(from), p(to)),
  lstat: (fs, [path]) => then(fs.lstat(p(path)), (stat) => statText(stat)),
  mkdir: (fs, [path, recursive]) =>
    then(fs.mkdir(p(path), { recursive: recursive === true }), () => undefined),
  open: (fs, [slot, path, flags], open) => {
    if (open.has(n(slot))) return SKIPPED;
    return then(fs.open(p(path), flagsOf(s(flags))), (handle) => {
      open.set(n(slot), handle);
    });
  },
  read: (_fs, [slot, length, position], open) =>
    withHandle(open, slot, (handle) => {
      const buffer = new Uint8Array(n(length));
      const at = position as number | undefined;
      return then(handle.read(buffer, 0, n(length), at ?? null), ({ bytesRead }) =>
        buffer.subarray(0, bytesRead),
      );
    }),
  range: () => undefined,
  readFile: (fs, [path]) => fs.readFile(p(path)),
  readdir: (fs, [path]) =>
    then(fs.readdir(p(path), binary), (names) =>
      names.map((name) => Buffer.from(name).toString('latin1')).sort(),
    ),
  readlink: (fs, [path]) =>
    then(fs.readlink(p(path), binary), (name) => Buffer.from(name).toString('latin1')),
  rename: (fs, [from, to]) => fs.rename(p(from), p(to)),
  rm: (fs, [path, recursive, force]) =>
    fs.rm(p(path), { recursive: recursive === true, force: force === true }),
  rmdir: (fs, [path]) => fs.rmdir(p(path)),
  stat: (fs, [path]) => then(fs.stat(p(path)), (stat) => statText(stat)),
  symlink: (fs, [target, path]) => fs.symlink(p(target), p(path)),
  tmpfile: (fs, [slot, path], open) => {
    if (open.has(n(slot))) return SKIPPED;
    return then(fs.open(p(path), constants.O_TMPFILE | constants.O_RDWR), (handle) => {
      open.set(n(slot), handle);
    });
  },
  truncate: (fs, [path, size]) => fs.truncate(p(path), n(size)),
  unlink: (fs, [path]) => fs.unlink(p(path)),
  utimes: (fs, [path, atime, mtime]) => fs.utimes(p(path), n(atime), n(mtime)),
  write: (_fs, [slot, seed, length, position], open) =>
    withHandle(open, slot, (handle) => {
      const at = position as number | undefined;
      return then(handle.write(bytesFor(n(seed), n(length)), 0, n(length), at ?? null), () => {});
    }),
  writeFile: (fs, [path, seed, length]) => fs.writeFile(p(path), bytesFor(n(seed), n(length))),
  clone: () => undefined,
  defrag: () => undefined,
  deleteSnapshot: () => undefined,
  exchange: () => undefined,
  linkFile: () => undefined,
  snapshot: () => undefined,
  sync: () => undefined,
};

interface Range {
  readonly offset: number;
  readonly length: number;
  readonly sourceOffset: number;
}

type RangeCalls = Record<
  RangeKind,
  (volume: Volume, files: { source: Handle; target: Handle }, range: Range) => unknown
>;

/** A length of 0 is said by leaving it out. */
function cloneArguments({ offset, length, sourceOffset }: Range) {
  return { offset, sourceOffset, ...(length > 0 && { length }) };
}

const RANGES: RangeCalls = {
  punch: (volume, { target }, { offset, length }) => volume.punchSync(target, offset, length),
  zero: (volume, { target }, { offset, length }) => volume.zeroRangeSync(target, offset, length),
  allocate: (volume, { target }, { offset, length }) => volume.allocateSync(target, offset, length),
  collapse: (volume, { target }, { offset, length }) =>
    volume.collapseRangeSync(target, offset, length),
  insert: (volume, { target }, { offset, length }) =>
    volume.insertRangeSync(target, offset, length),
  unshare: (volume, { target }, { offset, length }) =>
    volume.unshareRangeSync(target, offset, length),
  clone: (volume, { source, target }, range) =>
    volume.cloneRangeSync(source, target, cloneArguments(range)),
};

const RANGES_LATER: RangeCalls = {
  punch: (volume, { target }, { offset, length }) => volume.punch(target, offset, length),
  zero: (volume, { target }, { offset, length }) => volume.zeroRange(target, offset, length),
  allocate: (volume, { target }, { offset, length }) => volume.allocate(target, offset, length),
  collapse: (volume, { target }, { offset, length }) =>
    volume.collapseRange(target, offset, length),
  insert: (volume, { target }, { offset, length }) => volume.insertRange(target, offset, length),
  unshare: (volume, { target }, { offset, length }) => volume.unshareRange(target, offset, length),
  clone: (volume, { source, target }, range) =>
    volume.cloneRange(source, target, cloneArguments(range)),
};

/** Runs steps on a volume, by its synchronous face or by promises. */
export class VolumeRunner {
  readonly face: 'sync' | 'promises';
  readonly open: Handles<Handle> = new Map();
  readonly volume: Volume;
  readonly #fs: PromisesFs;

  constructor(volume: Volume, face: 'sync' | 'promises') {
    this.volume = volume;
    this.face = face;
    this.#fs = face === 'sync' ? handlesOf(volume.fs) : volume.fs.promises;
  }

  /** At once by the synchronous face. */
  run(step: Step): Outcome | Promise<Outcome> {
    try {
      const result = this.face === 'sync' ? this.#sync(step) : this.#async(step);
      if (result instanceof Promise) return result.then(text, codeFrom);
      return text(result);
    } catch (error) {
      return codeFrom(error);
    }
  }

  #range([what, slot, offset, length, from, sourceOffset]: Args, calls: RangeCalls): unknown {
    const target = this.open.get(n(slot));
    const source = what === 'clone' ? this.open.get(n(from)) : target;
    if (target === undefined || source === undefined) return SKIPPED;
    const range = { offset: n(offset), length: n(length), sourceOffset: n(sourceOffset ?? 0) };
    return calls[what as RangeKind](this.volume, { source, target }, range);
  }

  #sync({ call, view, args }: Step): unknown {
    const { volume } = this;
    switch (call) {
      case 'clone':
        return volume.cloneSync(locator(view, args[0]), p(args[1]));
      case 'snapshot':
        return volume.snapshotSync(s(args[0]), { writable: args[1] === true });
      case 'deleteSnapshot':
        return volume.deleteSnapshotSync(s(args[0]));
      case 'exchange':
        return volume.exchangeSync(p(args[0]), p(args[1]));
      case 'linkFile':
        return withHandle(this.open, args[0], (file) => volume.linkFileSync(file, p(args[1])));
      case 'sync':
        return volume.syncSync();
      case 'defrag':
        return void volume.defragSync();
      case 'range':
        return this.#range(args, RANGES);
      default: {
        if (view === undefined) return CALLS[call](this.#fs, args, this.open);
        using snapshot = volume.openSnapshotSync(view);
        return CALLS[call](handlesOf(snapshot.fs), args, this.open);
      }
    }
  }

  async #async({ call, view, args }: Step): Promise<unknown> {
    const { volume } = this;
    switch (call) {
      case 'clone':
        return await volume.clone(locator(view, args[0]), p(args[1]));
      case 'snapshot':
        return await volume.snapshot(s(args[0]), { writable: args[1] === true });
      case 'deleteSnapshot':
        return await volume.deleteSnapshot(s(args[0]));
      case 'exchange':
        return await volume.exchange(p(args[0]), p(args[1]));
      case 'linkFile':
        return await withHandle(this.open, args[0], (file) => volume.linkFile(file, p(args[1])));
      case 'sync':
        return await volume.sync();
      case 'defrag':
        return void (await volume.defrag());
      case 'range':
        return await this.#range(args, RANGES_LATER);
      default: {
        if (view === undefined) return await CALLS[call](this.#fs, args, this.open);
        using snapshot = await volume.openSnapshot(view);
        return await CALLS[call](snapshot.promises, args, this.open);
      }
    }
  }
}

function locator(view: string | undefined, path: Argument) {
  return view === undefined ? p(path) : { snapshot: view, path: p(path) };
}

function codeFrom(error: unknown): string {
  const code = errorCode(error);
  if (code === undefined) throw error;
  return code;
}

interface StatNumbers {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

export function kindOf(stat: StatNumbers): 'directory' | 'symlink' | 'file' {
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symlink' : 'file';
}

function statText(stat: StatNumbers): string {
  return modelStat({ ...numbersOf(stat), kind: kindOf(stat), node: undefined as never });
}

/** The attributes that a model has too; the mode without the type. */
export function numbersOf(stat: StatNumbers): Omit<StatNumbers, 'isDirectory' | 'isSymbolicLink'> {
  const { mode, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs } = stat;
  return { mode: mode & 0o7777, uid, gid, nlink, size, atimeMs, mtimeMs, ctimeMs, birthtimeMs };
}

function withHandle<Handle>(
  open: Handles<Handle>,
  slot: Argument,
  body: (handle: Handle) => unknown,
): unknown {
  const handle = open.get(slot as number);
  return handle === undefined ? SKIPPED : body(handle);
}

/** What a call has answered, as text. */
function text(value: unknown): Outcome {
  if (value === undefined) return 'ok';
  if (value instanceof Uint8Array) {
    const start = Buffer.from(value.subarray(0, 16)).toString('hex');
    return `${value.length} bytes ${start} ${digest(value)}`;
  }
  return Array.isArray(value) ? `names ${JSON.stringify(value)}` : String(value);
}

function digest(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16);
}
