/**
 * Calls on names: mkdir, unlink, rename, link, symlink, readlink, mkdtemp.
 */
import { binaryString, FilesystemError } from '../../base/index.ts';
import { type CreateMutation, InodeKind, UnlinkWhat } from '../../format/index.ts';
import { checkName, readTarget, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { decodeName, encodingOf } from '../encoding.ts';
import { checkFlag, hasCode } from '../errors.ts';
import { modeBits } from '../flags.ts';
import {
  childOf,
  isSpecial,
  type PathArgument,
  type Place,
  pathBytes,
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

/**
 * Refuses a place where no name can be made, as a path walk of the kernel does: before anything
 * else is known of what is to be made there.
 */
export function* checkVacant(context: Context, place: Place, directory: boolean): Procedure<void> {
  if (isSpecial(place.name)) {
    throw new FilesystemError('EEXIST', 'Cannot make a name that is there');
  }
  const found = yield* childOf(context.engine, place);
  if (found !== undefined) {
    found.holds--;
    throw new FilesystemError('EEXIST', `Cannot make ${JSON.stringify(place.name)}: it exists`);
  }
  if (place.slash && !directory) {
    throw new FilesystemError('ENOENT', 'Cannot make a name that ends with a slash');
  }
}

/** What is at a place; not held. */
export function* present(context: Context, place: Place): Procedure<Vnode> {
  const found = yield* childOf(context.engine, place);
  if (found === undefined) {
    throw new FilesystemError('ENOENT', `Cannot find ${JSON.stringify(place.name)}`);
  }
  found.holds--;
  return found;
}

/** Names come and go only where the volume can be written. */
export function checkWritable(context: Context, directory: Vnode): void {
  if (!context.engine.store.readOnly && !directory.realm.readOnly) return;
  throw new FilesystemError('EROFS', 'Cannot change names here: it is read-only');
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
  const settings: MkdirOptions =
    typeof options === 'object' && options !== null ? options : { mode: options ?? undefined };
  const recursive = checkFlag('options.recursive', settings.recursive);
  const mode = modeBits(settings.mode, 0o777) & ~context.umask;
  const name = pathBytes(path);
  if (recursive) return yield* mkdirAll(context, name, mode);
  yield* mkdirAt(context, name, mode);
  return undefined;
}

function* mkdirAt(context: Context, path: string, mode: number): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), path);
  yield* holding(place.directory, function* () {
    yield* checkVacant(context, place, true);
    const vnode = yield* create(context, place, { kind: InodeKind.DIRECTORY, mode });
    vnode.holds--;
  });
}

/** From the last directory that exists, which is looked for from the end. */
function* mkdirAll(context: Context, path: string, mode: number): Procedure<string | undefined> {
  const missing = [path];
  let first: string | undefined;
  for (let next = missing.pop(); next !== undefined; next = missing.pop()) {
    try {
      yield* mkdirAt(context, next, mode);
      first ??= decodeName(next, 'utf8') as string;
    } catch (error) {
      const above = next.slice(0, Math.max(0, next.replace(/\/+$/u, '').lastIndexOf('/')));
      if (hasCode(error, 'ENOENT') && above !== '') missing.push(next, above);
      else yield* checkDirectory(context, next, error, missing.length > 0);
    }
  }
  return first;
}

/** After mkdir failed: all is well if there is a directory. */
function* checkDirectory(
  context: Context,
  path: string,
  failure: unknown,
  above: boolean,
): Procedure<void> {
  if (!hasCode(failure, 'EEXIST')) throw failure;
  const there = yield* resolve(context.walk(true), path);
  there.holds--;
  if (there.isDirectory) return;
  if (above) throw new FilesystemError('ENOTDIR', 'Cannot make a directory below a file');
  throw failure;
}

export function* unlink(context: Context, path: PathArgument): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), pathBytes(path));
  const { directory, name, slash } = place;
  try {
    if (isSpecial(name)) throw new FilesystemError('EISDIR', 'Cannot unlink a directory');
    checkName(name);
    checkWritable(context, directory);
    if (slash && !(yield* present(context, place)).isDirectory) {
      throw new FilesystemError('ENOTDIR', 'Cannot unlink a file as a directory');
    }
    yield* unlinkName(context, directory, name, UnlinkWhat.FILE);
  } finally {
    directory.holds--;
  }
}

export function* rename(
  context: Context,
  oldPath: PathArgument,
  newPath: PathArgument,
): Procedure<void> {
  const paths = [pathBytes(oldPath, 'oldPath'), pathBytes(newPath, 'newPath')] as const;
  yield* atBoth(context, paths, (source, target) => renameAt(context, source, target));
}

/** Runs `body` with where two names are, or would be. */
export function* atBoth(
  context: Context,
  [path, otherPath]: readonly [string, string],
  body: (place: Place, other: Place) => Procedure<void>,
): Procedure<void> {
  const place = yield* resolveParent(context.walk(false), path);
  yield* holding(place.directory, function* () {
    const other = yield* resolveParent(context.walk(false), otherPath);
    yield* holding(other.directory, () => body(place, other));
  });
}

function* renameAt(context: Context, source: Place, target: Place): Procedure<void> {
  if (isSpecial(source.name) || isSpecial(target.name)) {
    throw new FilesystemError('EBUSY', 'Cannot rename the root directory, "." or ".."');
  }
  checkWritable(context, source.directory);
  yield* checkRename(context, source, target);
  yield* moveName(context, source, target, 0);
}

/** A rename that was looked at; `flags` are those of {@link RenameFlag}. */
export function* moveName(
  { engine, time }: Context,
  source: Place,
  target: Place,
  flags: number,
): Procedure<void> {
  const from = { parent: source.directory.id, name: source.name };
  const to = { newParent: target.directory.id, newName: target.name };
  yield* run(engine.apply({ type: 'rename', ...from, ...to, flags, time }));
}

/** What a kernel refuses before it asks the filesystem, in its order. */
function* checkRename(context: Context, source: Place, target: Place): Procedure<void> {
  const moved = yield* present(context, source);
  const replaced = yield* childOf(context.engine, target);
  if (replaced !== undefined) replaced.holds--;
  if (!moved.isDirectory && (source.slash || target.slash)) {
    throw new FilesystemError('ENOTDIR', 'Cannot rename a file as a directory');
  }
  if (target.directory.isWithin(moved)) {
    throw new FilesystemError('EINVAL', 'Cannot move a directory into itself');
  }
  if (replaced !== undefined && source.directory.isWithin(replaced)) {
    throw new FilesystemError('ENOTEMPTY', 'Cannot replace a directory by what is in it');
  }
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
      yield* checkVacant(context, place, false);
      yield* linkAt(context, target, place);
    });
  });
}

/** Gives an inode one name more, at a place that is free. */
export function* linkAt(
  context: Context,
  target: Vnode,
  { directory, name }: Place,
): Procedure<void> {
  const { time } = context;
  const record = { type: 'link', target: target.id, parent: directory.id, name, time } as const;
  yield* run(context.engine.apply(record));
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
    yield* checkVacant(context, place, false);
    yield* makeLink(context, place, bytes);
  });
}

/** Makes a symbolic link; the target is a binary string. */
export function* makeLink(context: Context, place: Place, target: string): Procedure<void> {
  const vnode = yield* create(context, place, { kind: InodeKind.SYMLINK, mode: 0o777, target });
  vnode.holds--;
}

export function* readlink(
  context: Context,
  path: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const vnode = yield* resolve(context.walk(false), pathBytes(path));
  const target = yield* holding(vnode, () => run(readTarget(context.engine, vnode)));
  return decodeName(binaryString(target), encoding);
}

const SUFFIX = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Makes a directory whose name is `prefix` and six characters that make it new. */
export function* mkdtemp(
  context: Context,
  prefix: PathArgument,
  options?: unknown,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const start = pathBytes(prefix, 'prefix');
  for (let attempt = 0; ; attempt++) {
    const random = crypto.getRandomValues(new Uint8Array(6));
    const path = start + Array.from(random, (byte) => SUFFIX[byte % SUFFIX.length]).join('');
    try {
      yield* mkdirAt(context, path, 0o700 & ~context.umask);
      return decodeName(path, encoding);
    } catch (error) {
      if (!hasCode(error, 'EEXIST') || attempt === 100) throw error;
    }
  }
}
