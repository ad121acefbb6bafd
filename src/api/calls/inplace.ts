/**
 * Calls on where the data of a file is: whether it is overwritten in place, and files that are
 * pinned.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeFlag } from '../../format/index.ts';
import { type Extent, Pin, Unpin, type Vnode } from '../../volume/index.ts';
import { type Context, holding } from '../context.ts';
import { argumentTypeError } from '../errors.ts';
import { constants } from '../flags.ts';
import { pathBytes, resolve } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { readExtents } from '../reports.ts';
import { writableFile } from './files.ts';
import { changeBits } from './inode-flags.ts';
import { type FileArgument, isOpen, withFile } from './whole-files.ts';

/** See {@link Placement.setInplace}. */
export function* setInplace(
  context: Context,
  file: FileArgument,
  inplace: boolean,
): Procedure<void> {
  if (typeof inplace !== 'boolean') throw argumentTypeError('inplace', 'of type boolean', inplace);
  const flags = inplace ? InodeFlag.INPLACE : 0;
  yield* withInode(context, file, (vnode) => changeBits(context, vnode, InodeFlag.INPLACE, flags));
}

export function* isInplace(context: Context, file: FileArgument): Procedure<boolean> {
  // biome-ignore lint/correctness/useYield: a body is a procedure, this one needs no operation
  return yield* withInode(context, file, function* (vnode) {
    return vnode.has(InodeFlag.INPLACE);
  });
}

/** Runs `body` with the inode of an open file, or of a path, be it a file's or a directory's. */
function* withInode<Result>(
  context: Context,
  file: FileArgument,
  body: (vnode: Vnode) => Procedure<Result>,
): Procedure<Result> {
  if (isOpen(file)) {
    const fd = typeof file === 'number' ? file : file.fd;
    return yield* context.using(context.files.get(fd), ({ vnode }) => body(vnode));
  }
  const vnode = yield* resolve(context.walk(true), pathBytes(file));
  return yield* holding(vnode, body);
}

/** What a pin has, and how it ends. */
export interface Pinned {
  readonly vnode: Vnode;
  readonly extents: readonly Extent[];
}

/** See {@link Placement.pin}. The inode counts one user more until {@link unpin}. */
export function* pin(context: Context, file: FileArgument): Procedure<Pinned> {
  return yield* withFile(context, file, { flags: constants.O_RDWR }, (fd) =>
    context.using(writableFile(context, fd), function* ({ vnode }) {
      const { engine } = context;
      if (engine.store.readOnly) {
        throw new FilesystemError('EROFS', 'Cannot pin a file: the volume is read-only');
      }
      yield* run(new Pin(engine, vnode));
      vnode.opens++;
      try {
        return { vnode, extents: yield* readExtents(engine, vnode) };
      } catch (error) {
        yield* unpin(context, vnode);
        throw error;
      }
    }),
  );
}

export function* unpin(context: Context, vnode: Vnode): Procedure<void> {
  try {
    yield* run(new Unpin(context.engine, vnode));
  } finally {
    vnode.opens--;
    yield* context.closed(vnode);
  }
}
