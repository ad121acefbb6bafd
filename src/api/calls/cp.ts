/**
 * cp: copying files and directories as Node's `cp` does, each file a clone; and with
 * `COPYFILE_FICLONE` a directory in one operation, whatever its size.
 *
 * A cloned directory is the same to the byte, its links and times too. Node's own copy makes
 * relative links absolute and gives everything the present time, unless told otherwise.
 */
import { binaryString, type ErrorCode, textFromBinary } from '../../base/index.ts';
import { AttributeMask, InodeKind } from '../../format/index.ts';
import { readTarget, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { argumentTypeError, asNodeError, checkChoice, hasCode, systemError } from '../errors.ts';
import { constants } from '../flags.ts';
import {
  normalize,
  type PathArgument,
  type Place,
  pathBytes,
  resolve,
  resolveParent,
} from '../path.ts';
import { answer, type Procedure, run } from '../procedure.ts';
import { setAttributes } from './attributes.ts';
import { cloneTo, copyFile } from './copy.ts';
import { list } from './directories.ts';
import { mkdir, symlink, unlink } from './names.ts';

const { COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = constants;

export interface CpOptions {
  readonly dereference?: boolean | undefined;
  readonly errorOnExist?: boolean | undefined;
  /** The promise form may be answered with a promise. */
  readonly filter?:
    | ((source: string, destination: string) => boolean | PromiseLike<boolean>)
    | undefined;
  readonly force?: boolean | undefined;
  readonly mode?: number | undefined;
  readonly preserveTimestamps?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  readonly verbatimSymlinks?: boolean | undefined;
}

/** One thing to copy: paths as binary strings. */
interface Pair {
  readonly from: string;
  readonly to: string;
}

export function* cp(
  context: Context,
  source: PathArgument,
  destination: PathArgument,
  options: CpOptions = {},
): Procedure<void> {
  checkOptions(options);
  const pair = { from: pathBytes(source, 'src'), to: pathBytes(destination, 'dest') };
  yield* new Copy(context, options).begin(pair);
}

function checkOptions(options: CpOptions): void {
  checkChoice(options.mode, 7);
  const { filter } = options;
  if (filter !== undefined && typeof filter !== 'function') {
    throw argumentTypeError('options.filter', 'of type function', filter);
  }
}

/** What is on both sides of a pair; held. */
interface Found {
  readonly source: Vnode;
  readonly target: Vnode | undefined;
}

class Copy {
  readonly #context: Context;
  readonly #options: CpOptions;

  constructor(context: Context, options: CpOptions) {
    this.#context = context;
    this.#options = options;
  }

  *begin(pair: Pair): Procedure<void> {
    if (!(yield* this.#wanted(pair))) return;
    const found = yield* this.#find(pair);
    yield* this.#holding(found, function* (this: Copy) {
      this.#check(pair, found);
      yield* this.#checkAbove(pair, found.source);
      yield* this.#makeAbove(pair.to);
      yield* this.#copy(pair, found);
    });
  }

  *#wanted({ from, to }: Pair): Procedure<boolean> {
    const { filter } = this.#options;
    if (filter === undefined) return true;
    return Boolean(yield* answer(filter(textFromBinary(from), textFromBinary(to))));
  }

  *#find({ from, to }: Pair): Procedure<Found> {
    const syscall = this.#options.dereference ? 'stat' : 'lstat';
    const walk = this.#context.walk(this.#options.dereference === true);
    const source = yield* this.#call(syscall, from, resolve(walk, from));
    try {
      return { source, target: yield* resolve(walk, to) };
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return { source, target: undefined };
      source.holds--;
      throw asNodeError(error, { syscall, path: textFromBinary(to) });
    }
  }

  *#holding(found: Found, body: () => Procedure<void>): Procedure<void> {
    try {
      yield* body.call(this);
    } finally {
      found.source.holds--;
      if (found.target !== undefined) found.target.holds--;
    }
  }

  #check({ from, to }: Pair, { source, target }: Found): void {
    const [src, dest] = [textFromBinary(from), textFromBinary(to)];
    if (target === source) {
      throw refusal('EINVAL', 'src and dest cannot be the same', dest);
    }
    if (target !== undefined && source.isDirectory && !target.isDirectory) {
      const finding = `cannot overwrite non-directory ${dest} with directory ${src}`;
      throw refusal('DIR_TO_NON_DIR', finding, dest);
    }
    if (target !== undefined && !source.isDirectory && target.isDirectory) {
      const finding = `cannot overwrite directory ${dest} with non-directory ${src}`;
      throw refusal('NON_DIR_TO_DIR', finding, dest);
    }
    if (source.isDirectory && isBelow(normalize(to), normalize(from))) {
      throw refusal('EINVAL', `cannot copy ${src} to a subdirectory of self ${dest}`, dest);
    }
  }

  /** The destination must not be below the source by way of links either. */
  *#checkAbove({ from, to }: Pair, source: Vnode): Procedure<void> {
    const above = normalize(parentOf(from));
    for (let dest = to; ; dest = normalize(parentOf(dest))) {
      const parent = normalize(parentOf(dest));
      if (parent === above || parent === '/') return;
      let vnode: Vnode;
      try {
        vnode = yield* resolve(this.#context.walk(true), parent);
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return;
        throw asNodeError(error, { syscall: 'stat', path: textFromBinary(parent) });
      }
      vnode.holds--;
      if (vnode !== source) continue;
      const [src, shown] = [textFromBinary(from), textFromBinary(dest)];
      throw refusal('EINVAL', `cannot copy ${src} to a subdirectory of self ${shown}`, shown);
    }
  }

  *#makeAbove(to: string): Procedure<void> {
    const parent = parentOf(to);
    try {
      const vnode = yield* resolve(this.#context.walk(true), parent);
      vnode.holds--;
    } catch {
      yield* this.#call(
        'mkdir',
        parent,
        mkdir(this.#context, bytesOf(parent), { recursive: true }),
      );
    }
  }

  *#copy(pair: Pair, found: Found): Procedure<void> {
    const { source, target } = found;
    const [src, dest] = [textFromBinary(pair.from), textFromBinary(pair.to)];
    switch (source.kind) {
      case InodeKind.DIRECTORY:
        if (this.#options.recursive !== true) throw directoryError(src);
        return yield* this.#copyDirectory(pair, source, target);
      case InodeKind.SYMLINK:
        return yield* this.#copyLink(pair, source, target);
      case InodeKind.SOCKET:
        throw refusal('SOCKET', `cannot copy a socket file: ${dest}`, dest);
      case InodeKind.FIFO:
        throw refusal('FIFO_PIPE', `cannot copy a FIFO pipe: ${dest}`, dest);
      default:
        return yield* this.#copyFile(pair, source, target);
    }
  }

  *#copyFile(pair: Pair, source: Vnode, target: Vnode | undefined): Procedure<void> {
    const { force = true, errorOnExist = false, preserveTimestamps, mode = 0 } = this.#options;
    const context = this.#context;
    const dest = textFromBinary(pair.to);
    if (target !== undefined && !force) {
      if (errorOnExist) throw refusal('EEXIST', `${dest} already exists`, dest);
      return;
    }
    const to = bytesOf(pair.to);
    if (target !== undefined) yield* this.#call('unlink', pair.to, unlink(context, to));
    const site = { syscall: 'copyfile', path: textFromBinary(pair.from), dest };
    try {
      yield* copyFile(context, bytesOf(pair.from), to, mode);
    } catch (error) {
      throw asNodeError(error, site);
    }
    if (preserveTimestamps !== true) return;
    const copy = yield* this.#call('utime', pair.to, resolve(context.walk(true), pair.to));
    yield* holding(copy, () => {
      const mask = AttributeMask.ATIME | AttributeMask.MTIME;
      return setAttributes(context, copy, { mask, atime: source.atime, mtime: source.mtime });
    });
  }

  *#copyDirectory(pair: Pair, source: Vnode, target: Vnode | undefined): Procedure<void> {
    if (target !== undefined) return yield* this.#copyEntries(pair, source);
    if (this.#isWhole) return yield* this.#clone(pair, source);
    const context = this.#context;
    const { to } = pair;
    yield* this.#call('mkdir', to, mkdir(context, bytesOf(to)));
    yield* this.#copyEntries(pair, source);
    const copy = yield* this.#call('chmod', to, resolve(context.walk(true), to));
    yield* holding(copy, () =>
      setAttributes(context, copy, { mask: AttributeMask.MODE, mode: source.mode }),
    );
  }

  /** A clone was asked for, and nothing below the directory is to be treated in its own way. */
  get #isWhole(): boolean {
    const { mode = 0, filter, dereference } = this.#options;
    const clone = (mode & (COPYFILE_FICLONE | COPYFILE_FICLONE_FORCE)) !== 0;
    return clone && filter === undefined && dereference !== true;
  }

  *#clone({ from, to }: Pair, source: Vnode): Procedure<void> {
    const context = this.#context;
    const site = { syscall: 'copyfile', path: textFromBinary(from), dest: textFromBinary(to) };
    let place: Place | undefined;
    try {
      place = yield* resolveParent(context.walk(true), to);
      const copy = yield* cloneTo(context, source, place);
      copy.holds--;
    } catch (error) {
      throw asNodeError(error, site);
    } finally {
      if (place !== undefined) place.directory.holds--;
    }
  }

  *#copyEntries({ from, to }: Pair, source: Vnode): Procedure<void> {
    for (const { name } of yield* list(this.#context, source)) {
      const pair = { from: below(from, name), to: below(to, name) };
      if (!(yield* this.#wanted(pair))) continue;
      const found = yield* this.#find(pair);
      yield* this.#holding(found, function* (this: Copy) {
        this.#check(pair, found);
        yield* this.#copy(pair, found);
      });
    }
  }

  *#copyLink(pair: Pair, source: Vnode, target: Vnode | undefined): Procedure<void> {
    const context = this.#context;
    const to = bytesOf(pair.to);
    const stored = binaryString(yield* run(readTarget(context.engine, source)));
    const link = this.#options.verbatimSymlinks ? stored : absolute(stored, parentOf(pair.from));
    const make = (): Procedure<void> => symlink(context, bytesOf(link), to);
    const site = { syscall: 'symlink', path: textFromBinary(link), dest: textFromBinary(pair.to) };
    try {
      if (target?.kind === InodeKind.SYMLINK) {
        yield* this.#checkLink(pair.to, link, target);
        yield* this.#call('unlink', pair.to, unlink(context, to));
      }
      yield* make();
    } catch (error) {
      throw asNodeError(error, site);
    }
  }

  /** A link that is there must not be replaced by one to what it leads to, or around it. */
  *#checkLink(to: string, link: string, target: Vnode): Procedure<void> {
    const context = this.#context;
    const stored = binaryString(yield* run(readTarget(context.engine, target)));
    const present = absolute(stored, parentOf(to));
    const [src, dest, path] = [link, present, to].map(textFromBinary) as [string, string, string];
    if (isBelow(normalize(present), normalize(link))) {
      throw refusal('EINVAL', `cannot copy ${src} to a subdirectory of self ${dest}`, path);
    }
    const vnode = yield* this.#call('stat', to, resolve(context.walk(true), to));
    vnode.holds--;
    if (vnode.isDirectory && isBelow(normalize(link), normalize(present))) {
      throw refusal('SYMLINK_TO_SUBDIRECTORY', `cannot overwrite ${dest} with ${src}`, path);
    }
  }

  *#call<Result>(syscall: string, path: string, body: Procedure<Result>): Procedure<Result> {
    try {
      return yield* body;
    } catch (error) {
      throw asNodeError(error, { syscall, path: textFromBinary(path) });
    }
  }
}

/** True if `path` is `top` or below it, both normalized. */
function isBelow(path: string, top: string): boolean {
  return path === top || top === '/' || path.startsWith(`${top}/`);
}

function below(path: string, name: string): string {
  return normalize(`${path}/${name}`);
}

function parentOf(path: string): string {
  const trimmed = path.replace(/\/+$/u, '');
  const cut = trimmed.lastIndexOf('/');
  return cut <= 0 ? '/' : trimmed.slice(0, cut);
}

function absolute(link: string, directory: string): string {
  return link.startsWith('/') ? link : normalize(`${directory}/${link}`);
}

function bytesOf(path: string): Uint8Array {
  return Uint8Array.from(path, (char) => char.charCodeAt(0));
}

/** The findings of Node's `cp`, with its words. */
const REFUSALS = {
  EINVAL: ['Invalid src or dest', 'EINVAL'],
  EEXIST: ['Target already exists', 'EEXIST'],
  DIR_TO_NON_DIR: ['Cannot overwrite non-directory with directory', 'EISDIR'],
  NON_DIR_TO_DIR: ['Cannot overwrite directory with non-directory', 'ENOTDIR'],
  SOCKET: ['Cannot copy a socket file', 'EINVAL'],
  FIFO_PIPE: ['Cannot copy a FIFO pipe', 'EINVAL'],
  SYMLINK_TO_SUBDIRECTORY: ['Cannot overwrite symlink in subdirectory of self', 'EINVAL'],
} as const satisfies Record<string, readonly [string, ErrorCode]>;

function refusal(what: keyof typeof REFUSALS, finding: string, path: string): Error {
  const [prefix, errno] = REFUSALS[what];
  return systemError({ code: `ERR_FS_CP_${what}`, prefix, syscall: 'cp', errno, finding, path });
}

function directoryError(path: string): Error {
  return systemError({
    code: 'ERR_FS_EISDIR',
    prefix: 'Path is a directory',
    syscall: 'cp',
    errno: 'EISDIR',
    number: 'EINVAL',
    finding: `${path} is a directory (not copied)`,
    path,
  });
}
