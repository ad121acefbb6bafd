/**
 * Calls on names that `node:fs` has not.
 */
import { FilesystemError } from '../../base/index.ts';
import { RenameFlag } from '../../format/index.ts';
import type { Context } from '../context.ts';
import { isSpecial, type PathArgument, type Place, pathBytes } from '../path.ts';
import type { Procedure } from '../procedure.ts';
import { atBoth, checkWritable, moveName, present } from './names.ts';

export function* exchange(
  context: Context,
  path: PathArgument,
  otherPath: PathArgument,
): Procedure<void> {
  const paths = [pathBytes(path), pathBytes(otherPath, 'otherPath')] as const;
  yield* atBoth(context, paths, (place, other) => exchangeAt(context, place, other));
}

function* exchangeAt(context: Context, place: Place, other: Place): Procedure<void> {
  if (isSpecial(place.name) || isSpecial(other.name)) {
    throw new FilesystemError('EBUSY', 'Cannot exchange the root directory, "." or ".."');
  }
  checkWritable(context, place.directory);
  for (const each of [place, other]) {
    const vnode = yield* present(context, each);
    if (each.slash && !vnode.isDirectory) {
      throw new FilesystemError('ENOTDIR', 'Cannot exchange a file as a directory');
    }
  }
  yield* moveName(context, place, other, RenameFlag.EXCHANGE);
}
