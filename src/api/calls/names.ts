/**
 * Calls on names: mkdir, rmdir, rm, unlink, rename, link, symlink, readlink, realpath, mkdtemp.
 */
import { FilesystemError } from '../../base/index.ts';
import { type CreateMutation, InodeFlag, InodeKind, UnlinkWhat } from '../../format/index.ts';
import { lookup, readEntries, readTarget, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { decodeName, encodingOf } from '../encoding.ts';
import { argumentTypeError } from '../errors.ts';
import { modeBits } from '../flags.ts';
import {
  type PathArgument,
  type Place,
  pathBytes,
  pathText,
  resolve,
  resolveParent,
} from '../path.ts';
import { type Procedure, run } from '../procedure.ts';

export interface CreateOptions {
  readonly kind: InodeKind;
  readonly mode: number;
  readonly rdev?: number;
  /** Target of a symbolic link, a binary string. */
  readonly target?: string;
}

/** Makes an inode; it is held for the caller. */
export function* create(context: Context, place: Place, options: CreateOptions): Procedure<Vnode> {
  const record: CreateMutation = {
    type: 'create',
    parent: place.directory.id,
    name: place.name,
    kind: options.kind,
    mode: options.mode & 0o7777,
    uid: context.uid,
    gid: context.gid,
    rdev: options.rdev ?? 0,
    target: options.target ?? '',
    time: context.time,
    ino: 0,
    handle: 0,
  };
  return (yield* run(context.engine.apply(record))) as Vnode;
}

/** Takes a name away. */
export function* unlinkName(
  context: Context,
  directory: Vnode,
  name: string,
  what: UnlinkWhat,
): Procedure<void> {
  const parent = directory.id;
  yield* run(context.engine.apply({ type: 'unlink', parent, name, what, time: context.time }));
}

export interface MkdirOptions {
  readonly recursive?: boolean | undefined;
  readonly mode?: number | string | undefined;
}

/** With `recursive` the result is the first directory that was made, if any was. */
export function* mkdir(
  context: Context,
  path: PathArgument,
  options?: MkdirOptions | number | string | null,
): Procedure<string | undefined> {
  const settings = typeof options === 'object' && options !== null ? options : { mode: options };
  const mode = modeBits(settings.mode, 0o777) & ~context.umask;
  const name = pathBytes(path);
  if ('recursive' in settings && settings.recursive) return yield* mkdirAll(context, name, mode);
  const place = yield* resolveParent(context.walk(true), name);
  yield* holding(place.directory, () => makeDirectory(context, place, mode));
  return undefined;
}

function* makeDirectory(context: Context, place: Place, mode: number): Procedure<void> {
  if (place.name === '' || place.name === '.' || place.name === '..') {
    throw new FilesystemError('EEXIST', 'Cannot make a directory that is there');
  }
  const vnode = yield* create(context, place, { kind: InodeKind.DIRECTORY, mode });
  vnode.holds--;
}

function* mkdirAll(context: Context, path: string, mode: number): Procedure<string | undefined> {
  const names = path.split('/').filter((name) => name !== '');
  let first: string | undefined;
  for (let i = 1; i <= names.length; i++) {
    const part = `/${names.slice(0, i).join('/')}`;
    try {
      const place = yield* resolveParent(context.walk(true), part);
      yield* holding(place.directory, () => makeDirectory(context, place, mode));
      first ??= decodeName(part, 'utf8') as string;
    } catch (error) {
      if (!(error instanceof FilesystemError) || error.code !== 'EEXIST') throw error;
      const there = yield* resolve(context.walk(true), part);
      there.holds--;
      if (there.isDirectory) continue;
      if (i === names.length) throw error;
      throw new FilesystemError('ENOTDIR', 'Cannot make a directory below a file');
    }
  }
  return first;
}

export function* rmdir(context: Context, path: PathArgument): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), pathBytes(path));
  yield* holding(place.directory, function* (directory) {
    if (place.name === '' || place.name === '..') {
      throw new FilesystemError('EBUSY', 'Cannot remove the root directory');
    }
    if (place.name === '.') throw new FilesystemError('EINVAL', 'Cannot remove a directory by "."');
    yield* unlinkName(context, directory, place.name, UnlinkWhat.DIRECTORY);
  });
}

export function* unlink(context: Context, path: PathArgument): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), pathBytes(path));
  yield* holding(place.directory, function* (directory) {
    if (place.name === '' || place.name === '.' || place.name === '..') {
      throw new FilesystemError('EISDIR', 'Cannot unlink a directory');
    }
    if (place.slash) throw new FilesystemError('ENOTDIR', 'Cannot unlink a file as a directory');
    yield* unlinkName(context, directory, place.name, UnlinkWhat.FILE);
  });
}

export interface RmOptions {
  readonly recursive?: boolean | undefined;
  readonly force?: boolean | undefined;
}

/**
 * Removes a file, or with `recursive` a directory and everything below it: in constant time, unless
 * files below it may have names elsewhere; then name by name.
 */
export function* rm(context: Context, path: PathArgument, options?: RmOptions): Procedure<void> {
  const { recursive = false, force = false } = options ?? {};
  try {
    const place = yield* resolveParent(context.walk(false), pathBytes(path));
    yield* holding(place.directory, () => removeAt(context, place, recursive, path));
  } catch (error) {
    const missing = error instanceof FilesystemError && error.code === 'ENOENT';
    if (!force || !missing) throw error;
  }
}

function* removeAt(
  context: Context,
  place: Place,
  recursive: boolean,
  path: PathArgument,
): Procedure<void> {
  if (place.name === '' || place.name === '.' || place.name === '..') {
    throw new FilesystemError('EBUSY', 'Cannot remove the root directory');
  }
  const vnode = yield* run(lookup(context.engine, place.directory, place.name));
  const { isDirectory } = vnode;
  vnode.holds--;
  if (!isDirectory) {
    yield* unlinkName(context, place.directory, place.name, UnlinkWhat.FILE);
    return;
  }
  if (!recursive) throw isDirectoryError(path);
  yield* removeTree(context, place.directory, place.name);
}

/** Removes a directory with everything below it. */
export function* removeTree(context: Context, parent: Vnode, name: string): Procedure<void> {
  const vnode = yield* run(lookup(context.engine, parent, name));
  const entangled = vnode.has(InodeFlag.HAS_LINKS_BELOW) && vnode.realm.root !== vnode;
  yield* holding(vnode, function* () {
    if (entangled) yield* emptyDirectory(context, vnode);
  });
  const what = entangled ? UnlinkWhat.DIRECTORY : UnlinkWhat.TREE;
  yield* unlinkName(context, parent, name, what);
}

/** Files that may have names elsewhere go one by one; each name lowers a count. */
function* emptyDirectory(context: Context, directory: Vnode): Procedure<void> {
  for (;;) {
    const entries = yield* run(readEntries(context.engine, directory, 0));
    if (entries.length === 0) return;
    for (const { name, kind } of entries) {
      if (kind === InodeKind.DIRECTORY) yield* removeTree(context, directory, name);
      else yield* unlinkName(context, directory, name, UnlinkWhat.FILE);
    }
  }
}

export function* rename(
  context: Context,
  oldPath: PathArgument,
  newPath: PathArgument,
): Procedure<void> {
  const [from, to] = [pathBytes(oldPath, 'oldPath'), pathBytes(newPath, 'newPath')];
  const source = yield* resolveParent(context.walk(false), from);
  yield* holding(source.directory, function* () {
    const target = yield* resolveParent(context.walk(false), to);
    yield* holding(target.directory, () => renameAt(context, source, target));
  });
}

function* renameAt(context: Context, source: Place, target: Place): Procedure<void> {
  for (const { name } of [source, target]) {
    if (name === '' || name === '.' || name === '..') {
      throw new FilesystemError('EBUSY', 'Cannot rename the root directory, "." or ".."');
    }
  }
  if (source.slash || target.slash) {
    const vnode = yield* run(lookup(context.engine, source.directory, source.name));
    vnode.holds--;
    if (!vnode.isDirectory) {
      throw new FilesystemError('ENOTDIR', 'Cannot rename a file as a directory');
    }
  }
  yield* run(
    context.engine.apply({
      type: 'rename',
      parent: source.directory.id,
      name: source.name,
      newParent: target.directory.id,
      newName: target.name,
      flags: 0,
      time: context.time,
    }),
  );
}

export function* link(
  context: Context,
  existingPath: PathArgument,
  newPath: PathArgument,
): Procedure<void> {
  const [from, to] = [pathBytes(existingPath, 'existingPath'), pathBytes(newPath, 'newPath')];
  const target = yield* resolve(context.walk(false), from);
  yield* holding(target, function* () {
    const place = yield* resolveParent(context.walk(false), to);
    yield* holding(place.directory, function* () {
      if (place.name === '') throw new FilesystemError('EEXIST', 'Cannot link to the root');
      const { directory, name } = place;
      const { time } = context;
      const record = { type: 'link', target: target.id, parent: directory.id, name, time } as const;
      yield* run(context.engine.apply(record));
    });
  });
}

export function* symlink(
  context: Context,
  target: PathArgument,
  path: PathArgument,
  _type?: string | null,
): Procedure<void> {
  const bytes = pathBytes(target, 'target');
  if (bytes === '') throw new FilesystemError('ENOENT', 'Cannot make a link to an empty path');
  const place = yield* resolveParent(context.walk(false), pathBytes(path));
  yield* holding(place.directory, function* () {
    if (place.name === '') throw new FilesystemError('EEXIST', 'Cannot replace the root');
    const kind = InodeKind.SYMLINK;
    const vnode = yield* create(context, place, { kind, mode: 0o777, target: bytes });
    vnode.holds--;
  });
}

export function* readlink(
  context: Context,
  path: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const vnode = yield* resolve(context.walk(false), pathBytes(path));
  const target = yield* holding(vnode, () => run(readTarget(context.engine, vnode)));
  let binary = '';
  for (const byte of target) binary += String.fromCharCode(byte);
  return decodeName(binary, encoding);
}

/** The path without links, `.` and `..`. */
export function* realpath(
  context: Context,
  path: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const vnode = yield* resolve(context.walk(true), pathBytes(path));
  vnode.holds--;
  const names: string[] = [];
  let at: Vnode | undefined = vnode;
  if (vnode.has(InodeFlag.LINKED)) {
    names.unshift(vnode.name);
    at = vnode.namedIn;
  }
  for (; at !== undefined && at !== context.root; at = at.parent) names.unshift(at.name);
  return decodeName(`/${names.join('/')}`, encoding);
}

const SUFFIX = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Makes a directory whose name is `prefix` and six characters that make it new. */
export function* mkdtemp(
  context: Context,
  prefix: string,
  options?: unknown,
): Procedure<string | Uint8Array> {
  if (typeof prefix !== 'string') throw argumentTypeError('prefix', 'of type string', prefix);
  const encoding = encodingOf(options);
  for (let attempt = 0; ; attempt++) {
    const random = crypto.getRandomValues(new Uint8Array(6));
    const path = prefix + Array.from(random, (byte) => SUFFIX[byte % SUFFIX.length]).join('');
    try {
      yield* mkdir(context, path, { mode: 0o700 });
      return decodeName(pathBytes(path), encoding);
    } catch (error) {
      const taken = error instanceof FilesystemError && error.code === 'EEXIST';
      if (!taken || attempt === 100) throw error;
    }
  }
}

/** What Node's `rm` says of a directory without `recursive`. */
function isDirectoryError(path: PathArgument): Error {
  const shown = pathText(path) ?? '';
  return Object.assign(
    new Error(`Path is a directory: rm returned EISDIR (is a directory) ${shown}`),
    {
      code: 'ERR_FS_EISDIR',
      errno: 21,
      syscall: 'rm',
      path: shown,
    },
  );
}
