/**
 * Calls that copy one inode: the clone, and copyFile, which shares what it copies.
 */
import { FilesystemError } from '../../base/index.ts';
import { AttributeMask, type CloneMutation, InodeKind } from '../../format/index.ts';
import { type Vnode, WriteFile } from '../../volume/index.ts';
import { type Context, type DataContext, holding } from '../context.ts';
import { checkChoice, hasCode } from '../errors.ts';
import { constants } from '../flags.ts';
import {
  isSpecial,
  type PathArgument,
  type Place,
  pathBytes,
  resolve,
  resolveTarget,
} from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { setAttributes } from './attributes.ts';
import { readInto, setSize } from './files.ts';

const { COPYFILE_EXCL } = constants;

/** Bytes that are copied at a time where a clone cannot be made. */
const COPY_CHUNK = 1024 * 1024;

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

/**
 * Copies a file: the new one has the data and the mode, the process as its owner and the present
 * time. It shares all blocks with the source, so `COPYFILE_FICLONE` and its force change nothing. A
 * file that is there is emptied and gets the data and the mode; it stays the same inode.
 */
export function* copyFile(
  context: Context,
  source: PathArgument,
  destination: PathArgument,
  mode?: number | null,
): Procedure<void> {
  const how = checkChoice(mode, 7);
  const [from, to] = [pathBytes(source, 'src'), pathBytes(destination, 'dest')];
  const vnode = yield* resolve(context.walk(true), from);
  yield* holding(vnode, () => copyTo(context, vnode, to, how));
}

function* copyTo(context: Context, source: Vnode, to: string, mode: number): Procedure<void> {
  const exclusive = (mode & COPYFILE_EXCL) !== 0;
  for (;;) {
    const { place, found } = yield* resolveTarget(context.walk(!exclusive), to);
    try {
      if (place.slash || isSpecial(place.name)) {
        const code = exclusive && !place.slash ? 'EEXIST' : 'EISDIR';
        throw new FilesystemError(code, 'Cannot replace a directory');
      }
      if (found !== undefined) return yield* copyOver(context, source, found, mode);
      checkCopied(source);
      return yield* copyNew(context, source, place);
    } catch (error) {
      // Somebody has made it since it was looked for.
      if (exclusive || !hasCode(error, 'EEXIST')) throw error;
    } finally {
      if (found !== undefined) found.holds--;
      place.directory.holds--;
    }
  }
}

function checkCopied(source: Vnode): void {
  if (source.isDirectory) throw new FilesystemError('EISDIR', 'Cannot copy a directory as a file');
}

/** Makes the copy where nothing is. */
function* copyNew(context: Context, source: Vnode, place: Place): Procedure<void> {
  const { uid, gid } = context;
  const copy = yield* cloneTo(context, source, place);
  yield* holding(copy, function* () {
    const { time } = context;
    const mask = AttributeMask.ATIME | AttributeMask.MTIME | AttributeMask.UID | AttributeMask.GID;
    try {
      yield* setAttributes(context, copy, { mask, atime: time, mtime: time, uid, gid });
    } catch (error) {
      // Somebody has removed it since: it was copied all the same.
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  });
}

function* copyOver(context: Context, source: Vnode, found: Vnode, mode: number): Procedure<void> {
  if ((mode & COPYFILE_EXCL) !== 0) {
    throw new FilesystemError('EEXIST', 'Cannot copy: the destination exists');
  }
  if (found.isDirectory) throw new FilesystemError('EISDIR', 'Cannot replace a directory');
  checkCopied(source);
  if (found === source) return;
  // Open, as it were: somebody may take its name away meanwhile.
  found.opens++;
  try {
    yield* setSize(context, found, 0);
    if (source.kind === InodeKind.FILE) yield* shareAll(context, source, found);
    yield* setAttributes(context, found, { mask: AttributeMask.MODE, mode: source.mode });
  } finally {
    found.opens--;
    yield* context.closed(found);
  }
}

/** The whole of a file becomes that of another one, which is empty. */
function* shareAll(context: Context, source: Vnode, target: Vnode): Procedure<void> {
  const ids = { source: source.id, target: target.id };
  const range = { sourceOffset: 0, offset: 0, length: 0 };
  const { time } = context;
  yield* run(context.engine.apply({ type: 'clone-range', ...ids, ...range, time }));
}

/** Copies bytes from one file to another; the result is how many, fewer if the source ends. */
export function* copyBytes(
  context: DataContext,
  source: Vnode,
  sourceOffset: number,
  target: Vnode,
  offset: number,
  length: number,
): Procedure<number> {
  const buffer = new Uint8Array(Math.min(COPY_CHUNK, length));
  let done = 0;
  while (done < length) {
    const most = Math.min(buffer.length, length - done);
    const part = { position: sourceOffset + done, length: most, bytes: buffer, at: 0 };
    const count = yield* readInto(context, source, part);
    if (count === 0) break;
    const write = new WriteFile(context.engine);
    done += yield* run(write.write(target, offset + done, buffer, 0, count, context.time));
  }
  return done;
}
