/**
 * Calls that copy: copyFile and cp. With `COPYFILE_FICLONE` a file, or a whole directory, is cloned
 * in one operation; so it is without, since a clone is the best copy there is within a volume.
 */
import { FilesystemError } from '../../base/index.ts';
import { AttributeMask, type CloneMutation, InodeKind, UnlinkWhat } from '../../format/index.ts';
import { lookup, readTarget, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { checkInteger } from '../errors.ts';
import { constants } from '../flags.ts';
import {
  type PathArgument,
  type Place,
  pathBytes,
  pathText,
  resolve,
  resolveParent,
} from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { setAttributes } from './attributes.ts';
import { list } from './directories.ts';
import { create, unlinkName } from './names.ts';

const { COPYFILE_EXCL } = constants;

/** Clones an inode to a name that must be free; the clone is held for the caller. */
export function* cloneTo(
  context: Context,
  source: Vnode,
  place: Place,
  readOnly = false,
): Procedure<Vnode> {
  const record: CloneMutation = {
    type: 'clone',
    source: source.id,
    parent: place.directory.id,
    name: place.name,
    readOnly,
    time: context.time,
    ino: 0,
    realm: 0,
    handle: 0,
  };
  return (yield* run(context.engine.apply(record))) as Vnode;
}

/** Copies a file: the new one has the data and the mode, and the present time. */
export function* copyFile(
  context: Context,
  source: PathArgument,
  destination: PathArgument,
  mode = 0,
): Procedure<void> {
  checkInteger('mode', mode, 0, 7);
  const [from, to] = [pathBytes(source, 'src'), pathBytes(destination, 'dest')];
  const vnode = yield* resolve(context.walk(true), from);
  yield* holding(vnode, function* () {
    if (vnode.isDirectory) throw new FilesystemError('EISDIR', 'Cannot copy a directory as a file');
    yield* copyTo(context, vnode, to, (mode & COPYFILE_EXCL) !== 0);
  });
}

function* copyTo(context: Context, source: Vnode, to: string, exclusive: boolean): Procedure<void> {
  const place = yield* resolveParent(context.walk(true), to);
  yield* holding(place.directory, function* () {
    const present = yield* existing(context, place);
    if (present !== undefined) {
      if (present === source) return;
      if (exclusive) throw new FilesystemError('EEXIST', 'Cannot copy: the destination exists');
      if (present.isDirectory) throw new FilesystemError('EISDIR', 'Cannot replace a directory');
      yield* unlinkName(context, place.directory, place.name, UnlinkWhat.FILE);
    }
    const copy = yield* cloneTo(context, source, place);
    yield* holding(copy, () => stampNow(context, copy));
  });
}

function* stampNow(context: Context, vnode: Vnode): Procedure<void> {
  const { time } = context;
  const mask = AttributeMask.ATIME | AttributeMask.MTIME;
  yield* setAttributes(context, vnode, { mask, atime: time, mtime: time });
}

/** What is at a place; not held. */
function* existing(context: Context, place: Place): Procedure<Vnode | undefined> {
  try {
    const vnode = yield* run(lookup(context.engine, place.directory, place.name));
    vnode.holds--;
    return vnode;
  } catch (error) {
    if (error instanceof FilesystemError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export interface CpOptions {
  readonly dereference?: boolean | undefined;
  readonly errorOnExist?: boolean | undefined;
  readonly filter?: ((source: string, destination: string) => boolean) | undefined;
  readonly force?: boolean | undefined;
  readonly mode?: number | undefined;
  readonly preserveTimestamps?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  readonly verbatimSymlinks?: boolean | undefined;
}

/**
 * Copies a file or, with `recursive`, a directory. Where nothing is at the destination and nothing
 * is to be filtered or followed, a directory is one clone, whatever its size.
 */
export function* cp(
  context: Context,
  source: PathArgument,
  destination: PathArgument,
  options: CpOptions = {},
): Procedure<void> {
  const [from, to] = [pathBytes(source, 'src'), pathBytes(destination, 'dest')];
  const vnode = yield* resolve(context.walk(options.dereference === true), from);
  yield* holding(vnode, function* () {
    if (vnode.isDirectory && options.recursive !== true) throw directoryError(source);
    const place = yield* resolveParent(context.walk(true), to);
    yield* holding(place.directory, () =>
      copyNode(context, vnode, place, options, {
        from: pathText(source) ?? '',
        to: pathText(destination) ?? '',
      }),
    );
  });
}

interface Names {
  readonly from: string;
  readonly to: string;
}

function* copyNode(
  context: Context,
  source: Vnode,
  place: Place,
  options: CpOptions,
  names: Names,
): Procedure<void> {
  if (options.filter !== undefined && !options.filter(names.from, names.to)) return;
  const present = yield* existing(context, place);
  if (present === source) {
    throw invalid('ERR_FS_CP_EINVAL', 'src and dest cannot be the same', names);
  }
  if (source.isDirectory) {
    if (place.directory.isWithin(source)) {
      throw invalid('ERR_FS_CP_EINVAL', 'cannot copy a directory into itself', names);
    }
    const whole = options.filter === undefined && options.dereference !== true;
    if (present === undefined && whole) {
      const copy = yield* cloneTo(context, source, place);
      copy.holds--;
      return;
    }
    yield* copyDirectory(context, source, { place, present }, options, names);
    return;
  }
  if (present !== undefined && !(yield* makeRoom(context, present, place, options, names))) return;
  if (source.kind === InodeKind.SYMLINK) yield* copyLink(context, source, place);
  else {
    const copy = yield* cloneTo(context, source, place);
    yield* holding(copy, function* () {
      if (options.preserveTimestamps !== true) yield* stampNow(context, copy);
    });
  }
}

/** Whether a file at the destination may be replaced; if so it is gone. */
function* makeRoom(
  context: Context,
  present: Vnode,
  place: Place,
  options: CpOptions,
  names: Names,
): Procedure<boolean> {
  if (present.isDirectory) {
    throw invalid(
      'ERR_FS_CP_NON_DIR_TO_DIR',
      'cannot overwrite directory with non-directory',
      names,
    );
  }
  if (options.force === false) {
    if (options.errorOnExist === true) throw invalid('ERR_FS_CP_EEXIST', 'target exists', names);
    return false;
  }
  yield* unlinkName(context, place.directory, place.name, UnlinkWhat.FILE);
  return true;
}

function* copyDirectory(
  context: Context,
  source: Vnode,
  target: { place: Place; present: Vnode | undefined },
  options: CpOptions,
  names: Names,
): Procedure<void> {
  const { place, present } = target;
  if (present !== undefined && !present.isDirectory) {
    throw invalid(
      'ERR_FS_CP_DIR_TO_NON_DIR',
      'cannot overwrite non-directory with directory',
      names,
    );
  }
  const kind = InodeKind.DIRECTORY;
  const made = present ?? (yield* create(context, place, { kind, mode: source.mode }));
  if (present !== undefined) made.holds++;
  yield* holding(made, function* () {
    for (const entry of yield* list(context, source)) {
      const child = yield* run(lookup(context.engine, source, entry.name));
      const below = { directory: made, name: entry.name, slash: false };
      const inner = { from: `${names.from}/${entry.name}`, to: `${names.to}/${entry.name}` };
      yield* holding(child, () => copyNode(context, child, below, options, inner));
    }
  });
}

function* copyLink(context: Context, source: Vnode, place: Place): Procedure<void> {
  const bytes = yield* run(readTarget(context.engine, source));
  let target = '';
  for (const byte of bytes) target += String.fromCharCode(byte);
  const copy = yield* create(context, place, { kind: InodeKind.SYMLINK, mode: 0o777, target });
  copy.holds--;
}

function directoryError(source: PathArgument): Error {
  const path = pathText(source) ?? '';
  return Object.assign(
    new Error(`Recursive option not enabled, cannot copy a directory: ${path}`),
    { code: 'ERR_FS_EISDIR', errno: 21, syscall: 'cp', path },
  );
}

function invalid(code: string, reason: string, names: Names): Error {
  return Object.assign(new Error(`${reason}: ${names.from} -> ${names.to}`), {
    code,
    syscall: 'cp',
    path: names.to,
  });
}
