/**
 * Calls that remove directories: rmdir, and rm with everything below.
 */
import { DeviceError, FilesystemError } from '../../base/index.ts';
import { InodeFlag, InodeKind, UnlinkWhat } from '../../format/index.ts';
import { lookup, readEntries, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { asNodeError, checkFlag, hasCode, systemError, within } from '../errors.ts';
import {
  type PathArgument,
  type Place,
  pathBytes,
  pathText,
  resolve,
  resolveParent,
} from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { checkWritable, present, unlink, unlinkName } from './names.ts';

export interface RmOptions {
  readonly recursive?: boolean | undefined;
  readonly force?: boolean | undefined;
}

/**
 * Removes a file, or with `recursive` a directory and everything below it: in constant time, unless
 * files below it may have names elsewhere; then name by name.
 */
export function* rm(context: Context, path: PathArgument, options?: RmOptions): Procedure<void> {
  const name = pathBytes(path);
  const shown = pathText(path);
  const recursive = checkFlag('options.recursive', options?.recursive);
  const force = checkFlag('options.force', options?.force);
  let vnode: Vnode;
  try {
    vnode = yield* resolve(context.walk(false), name);
  } catch (error) {
    if (force && hasCode(error, 'ENOENT')) return;
    if (!force || !recursive) throw asNodeError(error, { syscall: 'lstat', path: shown });
    // Node does not look first then, and finds out by unlinking.
    return yield* within({ syscall: 'unlink', path: shown }, unlink(context, path));
  }
  vnode.holds--;
  if (!vnode.isDirectory) {
    yield* within({ syscall: 'unlink', path: shown }, unlink(context, path));
    return;
  }
  if (!recursive) throw directoryError(shown ?? '');
  yield* within({ syscall: 'rmdir', path: shown }, removeDirectory(context, name));
}

export interface RmdirOptions {
  readonly recursive?: boolean | undefined;
}

export function* rmdir(
  context: Context,
  path: PathArgument,
  options?: RmdirOptions,
): Procedure<void> {
  const name = pathBytes(path);
  if (checkFlag('options.recursive', options?.recursive)) {
    const site = { syscall: 'lstat', path: pathText(path) };
    const vnode = yield* within(site, resolve(context.walk(false), name));
    vnode.holds--;
    if (vnode.isDirectory) return yield* rm(context, path, { recursive: true });
  }
  const place = yield* resolveParent(context.walk(false), name);
  yield* holding(place.directory, function* (directory) {
    yield* checkRemovable(context, place);
    yield* unlinkName(context, directory, place.name, UnlinkWhat.DIRECTORY);
  });
}

/** Refuses what is no name of a directory that could be removed. */
function* checkRemovable(context: Context, place: Place): Procedure<void> {
  const { name, directory } = place;
  if (name === '') throw new FilesystemError('EBUSY', 'Cannot remove the root directory');
  if (name === '.') throw new FilesystemError('EINVAL', 'Cannot remove a directory by "."');
  if (name === '..') throw new FilesystemError('ENOTEMPTY', 'Cannot remove a directory by ".."');
  checkWritable(context, directory);
  const vnode = yield* present(context, place);
  if (!vnode.isDirectory) {
    throw new FilesystemError('ENOTDIR', 'Cannot remove a file as a directory');
  }
}

function* removeDirectory(context: Context, path: string): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), path);
  yield* holding(place.directory, () => removePlace(context, place));
}

function* removePlace(context: Context, place: Place): Procedure<void> {
  yield* checkRemovable(context, place);
  yield* removeTree(context, place.directory, place.name);
}

/** Removes a directory with everything below it. */
function* removeTree(context: Context, parent: Vnode, name: string): Procedure<void> {
  for (;;) {
    const vnode = yield* run(lookup(context.engine, parent, name));
    const links = vnode.has(InodeFlag.HAS_LINKS_BELOW) && vnode.realm.root !== vnode;
    const entangled = links || vnode.has(InodeFlag.GUARDED_BELOW);
    yield* holding(vnode, function* () {
      if (entangled) yield* emptyDirectory(context, vnode);
    });
    try {
      const what = entangled ? UnlinkWhat.DIRECTORY : UnlinkWhat.TREE;
      return yield* unlinkName(context, parent, name, what);
    } catch (error) {
      // Somebody has made a link below it meanwhile; a device that cannot go on is not that.
      if (!hasCode(error, 'ENOTSUP') || error instanceof DeviceError) throw error;
    }
  }
}

/** Files that may have names elsewhere go one by one; each name lowers a count. */
function* emptyDirectory(context: Context, directory: Vnode): Procedure<void> {
  for (;;) {
    const entries = yield* run(readEntries(context.engine, directory, 0));
    if (entries.length === 0) return;
    for (const { name, kind } of entries) {
      try {
        if (kind === InodeKind.DIRECTORY) yield* removeTree(context, directory, name);
        else yield* unlinkName(context, directory, name, UnlinkWhat.FILE);
      } catch (error) {
        // Somebody else has removed it.
        if (!hasCode(error, 'ENOENT')) throw error;
      }
    }
  }
}

/** What Node says of a directory without `recursive`. */
function directoryError(path: string): Error {
  return systemError({
    code: 'ERR_FS_EISDIR',
    prefix: 'Path is a directory',
    syscall: 'rm',
    errno: 'EISDIR',
    finding: 'is a directory',
    path,
  });
}
