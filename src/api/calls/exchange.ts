/**
 * Calls on names that `node:fs` has not.
 */
import { FilesystemError } from '../../base/index.ts';
import { RenameFlag } from '../../format/index.ts';
import { type Context, holding } from '../context.ts';
import { isSpecial, type PathArgument, type Place, pathBytes, resolveParent } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { checkWritable, present } from './names.ts';

export function* exchange(
  context: Context,
  path: PathArgument,
  otherPath: PathArgument,
): Procedure<void> {
  const [left, right] = [pathBytes(path), pathBytes(otherPath, 'otherPath')];
  const place = yield* resolveParent(context.walk(false), left);
  yield* holding(place.directory, function* () {
    const other = yield* resolveParent(context.walk(false), right);
    yield* holding(other.directory, () => exchangeAt(context, place, other));
  });
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
  yield* run(
    context.engine.apply({
      type: 'rename',
      parent: place.directory.id,
      name: place.name,
      newParent: other.directory.id,
      newName: other.name,
      flags: RenameFlag.EXCHANGE,
      time: context.time,
    }),
  );
}
