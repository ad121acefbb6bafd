/**
 * Opening: where it is a request. A file that the kernel knows is open (N2), so there are no
 * handles, and what the kernel has in memory of it stays true.
 *
 * It is a request where locks are kept here, and where guarded inodes are, or were when the mount
 * began: an immutable file is not opened to be written, and one that is only appended to not
 * without O_APPEND. (O_TRUNC is a SETATTR behind it.) Elsewhere the kernel is told by `ENOSYS` that
 * it need not ask, which holds as long as the mount does: what is guarded later is refused when it
 * is written.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeFlag } from '../../format/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { OpenFlag } from '../constants.ts';
import { OPEN_OUT } from '../wire.ts';

const O_ACCMODE = 3;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;

/** @throws {FilesystemError} `EPERM` */
export function checkOpen(vnode: Vnode, flags: number): void {
  const cuts = (flags & O_TRUNC) !== 0;
  if ((flags & O_ACCMODE) === 0 && !cuts) return;
  const appends = (flags & O_APPEND) !== 0 && !cuts;
  if (!vnode.has(InodeFlag.IMMUTABLE) && (appends || !vnode.has(InodeFlag.APPEND))) return;
  throw new FilesystemError('EPERM', 'Cannot open the file to be written: it is guarded');
}

/** Writes a `fuse_open_out` at `start` of a reply; its length. */
export function putOpened(out: DataView, start: number): number {
  for (let i = 0; i < OPEN_OUT.size; i += 4) out.setUint32(start + i, 0, true);
  out.setUint32(start + OPEN_OUT.at.open_flags, OpenFlag.KEEP_CACHE, true);
  return OPEN_OUT.size;
}
