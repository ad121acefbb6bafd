/**
 * Calls on files without names: made by `open` with O_TMPFILE, and given a name later.
 */
import { FilesystemError } from '../../base/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { type Context, holding, OpenFile } from '../context.ts';
import { constants } from '../flags.ts';
import { type PathArgument, pathBytes, resolve, resolveParent } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { checkVacant, checkWritable, linkAt } from './names.ts';

const { O_TMPFILE, O_DIRECTORY, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, O_RDWR } = constants;

/** True if flags ask for a file without a name, whatever else they say. */
export function asksForTmpfile(flags: number): boolean {
  return (flags & O_TMPFILE & ~O_DIRECTORY) !== 0;
}

/** Opens a new file in the directory that a path names. Its result is the number of the file. */
export function* openTmpfile(
  context: Context,
  path: string,
  flags: number,
  mode: number,
): Procedure<number> {
  const writes = (flags & (O_WRONLY | O_RDWR)) !== 0;
  if ((flags & (O_TMPFILE | O_CREAT)) !== O_TMPFILE || !writes) {
    throw new FilesystemError('EINVAL', 'Cannot make a file without a name that is not written');
  }
  const directory = yield* resolve(context.walk((flags & O_NOFOLLOW) === 0), path);
  return yield* holding(directory, function* () {
    if (!directory.isDirectory) {
      throw new FilesystemError('ENOTDIR', 'Cannot make a file without a name in a file');
    }
    checkWritable(context, directory);
    const { uid, gid, time } = context;
    const [parent, permissions] = [directory.id, mode & 0o7777];
    const record = { parent, mode: permissions, uid, gid, time, ino: 0, handle: 0 };
    const vnode = (yield* run(context.engine.apply({ type: 'tmpfile', ...record }))) as Vnode;
    let fd: number;
    try {
      fd = context.files.add(new OpenFile(vnode, flags));
    } catch (error) {
      context.engine.stray(vnode);
      throw error;
    }
    if ((flags & O_EXCL) !== 0) vnode.linkable = false;
    vnode.holds--;
    return fd;
  });
}

/** An open file, by its number or its handle. */
export type OpenFileArgument = number | { readonly fd: number };

export function* linkFile(
  context: Context,
  file: OpenFileArgument,
  newPath: PathArgument,
): Procedure<void> {
  const path = pathBytes(newPath, 'newPath');
  const open = context.files.get(typeof file === 'number' ? file : file.fd);
  yield* context.using(open, function* ({ vnode }) {
    const place = yield* resolveParent(context.walk(false), path);
    yield* holding(place.directory, function* () {
      yield* checkVacant(context, place, false);
      yield* linkAt(context, vnode, place);
    });
  });
}
