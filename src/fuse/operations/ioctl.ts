/**
 * Requests of ioctl(2): flags and project of inodes, the label, giving free space back, an end as
 * by a crash, and ours. The kernel asks for flags in the words of ioctl(2) too, and only for files
 * and directories.
 */
import { type Procedure, setFlags, trim } from '../../api/node/index.ts';
import { BLOCK_SIZE, ERRNO, FilesystemError, setU64 } from '../../base/index.ts';
import { InodeFlag } from '../../format/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { Errno, Ioctl, LABEL_SIZE, XflagBit } from '../constants.ts';
import { FLAGS, ours, theirs, XFLAGS } from '../flag-bits.ts';
import type { Message } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import { FSTRIM_RANGE, FSXATTR, IOCTL_IN } from '../wire.ts';
import { begin, DATA, end, input } from './ioctl-data.ts';
import { cloneBeside, space } from './own-ioctls.ts';
import { shutDown } from './shut-down.ts';

export function ioctl(served: Served, message: Message): Answer {
  const vnode = served.vnode(message);
  switch (message.u32(IOCTL_IN.at.cmd)) {
    case Ioctl.GETFLAGS:
      begin(message);
      message.out.setUint32(DATA, theirs(FLAGS, vnode.flags), true);
      return end(message, 4);
    case Ioctl.SETFLAGS:
      return change(
        served,
        message,
        vnode,
        ours(FLAGS, input(message, 4)(0), vnode),
        vnode.project,
      );
    case Ioctl.FSGETXATTR:
      return getXattr(served, message, vnode);
    case Ioctl.FSSETXATTR:
      return setXattr(served, message, vnode);
    case Ioctl.GETVERSION:
      begin(message);
      message.out.setUint32(DATA, vnode.generation, true);
      return end(message, 4);
    case Ioctl.GETFSLABEL:
      begin(message);
      message.reply.set(labelBytes(served), DATA);
      return end(message, LABEL_SIZE);
    case Ioctl.TRIM:
      return giveBack(served, message);
    case Ioctl.SHUTDOWN:
    case Ioctl.SHUTDOWN_IN:
      return shutDown(served, message);
    case Ioctl.CLONE:
      return cloneBeside(served, message, vnode);
    case Ioctl.SPACE:
      return space(served, message, vnode);
    default:
      return -Errno.ENOTTY;
  }
}

/**
 * The owner may change flags, and the superuser those that protect. (The kernel has looked at
 * capabilities before it asks, if it is one that knows flags of files at all.)
 */
function* change(
  served: Served,
  message: Message,
  vnode: Vnode,
  flags: number,
  project: number,
): Procedure<number> {
  const { uid } = message;
  const guards = InodeFlag.IMMUTABLE | InodeFlag.APPEND;
  const protects = ((vnode.flags ^ flags) & guards) !== 0 || vnode.project !== project;
  if (uid !== 0 && (uid !== vnode.uid || protects)) {
    throw new FilesystemError('EPERM', 'Cannot change flags of somebody else, or that protect');
  }
  yield* setFlags(served, vnode, flags, project);
  begin(message);
  // The kernel does not look for a new time of change.
  return served.answerAfter(message, end(message, 0), { names: [], nodes: [message.node] });
}

function getXattr(served: Served, message: Message, vnode: Vnode): Answer {
  begin(message);
  const { at, size } = FSXATTR;
  message.out.setUint32(DATA + at.xflags, theirs(XFLAGS, vnode.flags), true);
  message.out.setUint32(DATA + at.extsize, extentSize(served), true);
  message.out.setUint32(DATA + at.projid, vnode.project, true);
  return end(message, size);
}

/** Sizes of extents are the volume's: one that differs is refused. */
function setXattr(served: Served, message: Message, vnode: Vnode): Answer {
  const { at, size } = FSXATTR;
  const word = input(message, size);
  const wanted = word(at.extsize);
  if ((wanted !== 0 && wanted !== extentSize(served)) || word(at.cowextsize) !== 0) {
    throw new FilesystemError('ENOTSUP', `Cannot give one file extents of ${wanted} bytes`);
  }
  const bit = XflagBit.EXTSIZE | XflagBit.EXTSZINHERIT;
  const flags = ours(XFLAGS, word(at.xflags) & ~bit, vnode);
  return change(served, message, vnode, flags, word(at.projid));
}

function extentSize({ engine }: Served): number {
  return engine.runs.unit * BLOCK_SIZE;
}

function labelBytes({ engine }: Served): Uint8Array {
  return new TextEncoder().encode(engine.store.superblock.label).subarray(0, LABEL_SIZE - 1);
}

/** The range is the whole volume, whatever it says: fstrim(8) asks for nothing else. */
function* giveBack(served: Served, message: Message): Procedure<number> {
  if (message.uid !== 0) {
    throw new FilesystemError('EPERM', 'Cannot give space back: only the superuser may');
  }
  if (served.readOnly) return -ERRNO.EROFS[0];
  const { at, size } = FSTRIM_RANGE;
  input(message, size);
  const start = message.data(IOCTL_IN.size, size);
  const least = message.view.getUint32(start + at.minlen, true);
  const bytes = yield* trim(served.engine, Math.max(least, BLOCK_SIZE));
  begin(message);
  message.reply.set(message.bytes.subarray(start, start + size), DATA);
  setU64(message.out, DATA + at.len, bytes);
  return end(message, size);
}
