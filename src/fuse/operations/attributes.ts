/**
 * Operations on attributes: getattr, setattr, statx, access, statfs.
 */
import { type AttributeChange, type Procedure, run, setAttributes } from '../../api/node/index.ts';
import { BLOCK_SIZE, ERRNO, FilesystemError, type Operation, setU64 } from '../../base/index.ts';
import { AttributeMask, InodeFlag, type Time } from '../../format/index.ts';
import type { Vnode } from '../../volume/index.ts';
import { ACL_ACCESS, aclWithMode } from '../acl.ts';
import { answerAttributes, answerStatx } from '../attributes.ts';
import { Fattr } from '../constants.ts';
import { getI64 } from '../layout.ts';
import { BODY, type Message, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import { ACCESS_IN, SETATTR_IN, STATFS_OUT } from '../wire.ts';
import { readAcl, writeAcl } from './extended.ts';

const SET_USER = 0o4000;
const SET_GROUP = 0o2000;
const GROUP_EXECUTE = 0o010;

const O_NOATIME = 0o1000000;

const ACCESS_WRITE = 2;
const ACCESS_EXECUTE = 1;

const NAME_MAX = 255;
/** Inode numbers there are. */
const INODES = 2 ** 40;

export function getattr(served: Served, message: Message): Answer {
  return answerAttributes(served, message.out, served.vnode(message));
}

export function statx(served: Served, message: Message): Answer {
  return answerStatx(served, message.out, served.vnode(message));
}

const A_DAY = 86400;
/** Flags of inodes whose times nobody sets by reading. */
const UNSTAMPED = InodeFlag.NOATIME | InodeFlag.IMMUTABLE | InodeFlag.APPEND;

/**
 * After a read that the kernel has asked for: the time of access, as relatime has it. The flags are
 * those of the open file. What the kernel has in memory it reads without asking, and nobody knows.
 */
export function* accessed(served: Served, vnode: Vnode, flags = 0): Procedure<void> {
  if ((flags & O_NOATIME) !== 0) return;
  if (served.options.noatime || served.readOnly) return;
  const { atime, mtime, ctime } = vnode;
  const now = served.time;
  const recent = isAfter(atime, mtime) && isAfter(atime, ctime) && now.sec - atime.sec < A_DAY;
  if (recent || vnode.holder === undefined || vnode.has(UNSTAMPED)) return;
  try {
    yield* setAttributes(served, vnode, { mask: AttributeMask.ATIME, atime: now, ctime });
  } catch {
    // Whoever reads a volume that is full, or has failed, is not to suffer for this.
  }
}

function isAfter(left: Time, right: Time): boolean {
  return left.sec > right.sec || (left.sec === right.sec && left.nsec > right.nsec);
}

/**
 * The mode of a file whose data or owner somebody changes who may not keep its privileges. Without
 * a group that executes it, set-group stays for the superuser and for members; of the groups of a
 * user one is told.
 */
export function privilegesKept(message: Message, { mode, gid, isDirectory }: Vnode): number {
  if (isDirectory) return mode;
  const member = message.uid === 0 || message.gid === gid;
  const group = (mode & GROUP_EXECUTE) !== 0 || !member ? SET_GROUP : 0;
  return mode & ~(SET_USER | group);
}

export function* setattr(served: Served, message: Message): Procedure<number> {
  const { at } = SETATTR_IN;
  const vnode = served.vnode(message);
  const valid = message.u32(at.valid);
  const { time } = served;
  if ((valid & Fattr.SIZE) !== 0) {
    const size = message.u64(at.size);
    yield* run(served.engine.apply({ type: 'truncate', target: vnode.id, size, time }));
  }
  const change = changeOf(message, valid, vnode, time);
  if (served.acl && (valid & Fattr.MODE) !== 0) yield* chmodAcl(served, vnode, change.mode ?? 0);
  if (change.mask !== 0 || (valid & Fattr.SIZE) === 0 || (valid & Fattr.CTIME) !== 0) {
    yield* setAttributes(served, vnode, change);
  }
  return answerAttributes(served, message.out, vnode);
}

/** The list of an inode follows its mode. */
function* chmodAcl(served: Served, vnode: Vnode, mode: number): Procedure<void> {
  const acl = yield* readAcl(served, vnode, ACL_ACCESS);
  if (acl !== undefined) yield* writeAcl(served, vnode, ACL_ACCESS, aclWithMode(acl, mode));
}

/** What a SETATTR can set, but for the time of change. */
const SETTABLE =
  Fattr.MODE |
  Fattr.UID |
  Fattr.GID |
  Fattr.SIZE |
  Fattr.ATIME |
  Fattr.MTIME |
  Fattr.ATIME_NOW |
  Fattr.MTIME_NOW;

/**
 * Whether set-user and set-group bits go with a SETATTR. They do so with the owner, and if it says
 * so. One that sets nothing is chown(2) with -1 for both, for which they go too, if whoever asks
 * may change the mode. Without a time of change it may also announce a write by somebody who may
 * not, and the write itself will say so once more.
 *
 * @throws {FilesystemError} `EPERM`
 */
function losesPrivileges(message: Message, valid: number, vnode: Vnode): boolean {
  if ((valid & (Fattr.UID | Fattr.GID | Fattr.KILL_SUIDGID)) !== 0) return true;
  if ((valid & SETTABLE) !== 0) return false;
  if (message.uid === 0 || message.uid === vnode.uid) return true;
  const loses = privilegesKept(message, vnode) !== vnode.mode;
  if (!loses || (valid & Fattr.CTIME) === 0) return false;
  throw new FilesystemError('EPERM', 'Cannot take privileges from the file of somebody else');
}

/** A kernel that says when it changes something means by the present that moment. */
function changeOf(message: Message, valid: number, vnode: Vnode, clock: Time): AttributeChange {
  const { at } = SETATTR_IN;
  const has = (flag: number): boolean => (valid & flag) !== 0;
  const now = has(Fattr.CTIME) ? timeAt(message, at.ctime, at.ctimensec) : clock;
  const time = (given: number, present: number, sec: number, nsec: number): Time => {
    if (has(present)) return now;
    return has(given) ? timeAt(message, sec, nsec) : now;
  };
  let mask = 0;
  if (has(Fattr.UID)) mask |= AttributeMask.UID;
  if (has(Fattr.GID)) mask |= AttributeMask.GID;
  if (has(Fattr.ATIME | Fattr.ATIME_NOW)) mask |= AttributeMask.ATIME;
  if (has(Fattr.MTIME | Fattr.MTIME_NOW)) mask |= AttributeMask.MTIME;
  let { mode } = vnode;
  if (has(Fattr.MODE)) mode = message.u32(at.mode) & 0o7777;
  else if (losesPrivileges(message, valid, vnode)) mode = privilegesKept(message, vnode);
  if (has(Fattr.MODE) || mode !== vnode.mode) mask |= AttributeMask.MODE;
  return {
    mask,
    mode,
    uid: message.u32(at.uid),
    gid: message.u32(at.gid),
    atime: time(Fattr.ATIME, Fattr.ATIME_NOW, at.atime, at.atimensec),
    mtime: time(Fattr.MTIME, Fattr.MTIME_NOW, at.mtime, at.mtimensec),
    ctime: now,
  };
}

function timeAt(message: Message, sec: number, nsec: number): Time {
  return {
    sec: getI64(message.view, BODY + sec),
    nsec: Math.min(999_999_999, message.u32(nsec)),
  };
}

/** Only asked without `default_permissions`, with which the kernel judges by itself. */
export function access(served: Served, message: Message): Answer {
  const vnode = served.vnode(message);
  const wanted = message.u32(ACCESS_IN.at.mask) & 7;
  if ((wanted & ACCESS_WRITE) !== 0 && served.readOnly) return -ERRNO.EROFS[0];
  const { mode, uid, gid } = vnode;
  if (message.uid === 0) {
    const runs = vnode.isDirectory || (mode & 0o111) !== 0;
    return (wanted & ACCESS_EXECUTE) === 0 || runs ? 0 : -ERRNO.EACCES[0];
  }
  const shift = message.uid === uid ? 6 : message.gid === gid ? 3 : 0;
  return ((mode >>> shift) & wanted) === wanted ? 0 : -ERRNO.EACCES[0];
}

/** For so long what removing has left is worked off before room is told. */
const RECLAIM_MS = 20;

/** Who has removed something looks for the room that it had: mostly it is there at once. */
export function statfs(served: Served, { out }: Message): Answer {
  const work = served.readOnly ? undefined : served.engine.reclaim();
  return work === undefined ? answerRoom(served, out) : reclaimFirst(served, out, work);
}

function* reclaimFirst(
  served: Served,
  out: DataView,
  first: Operation<unknown>,
): Procedure<number> {
  const { engine, options } = served;
  const end = options.now() + RECLAIM_MS;
  try {
    yield* run(first);
    while (options.now() < end) {
      const work = engine.reclaim();
      if (work === undefined) break;
      yield* run(work);
    }
  } catch {
    // The store has latched the cause; the next change tells it.
  }
  return answerRoom(served, out);
}

function answerRoom({ engine }: Served, out: DataView): number {
  const { space, superblock, state } = engine.store;
  const { at } = STATFS_OUT;
  for (let i = 0; i < STATFS_OUT.size; i += 4) out.setUint32(REPLY_BODY + i, 0, true);
  setU64(out, REPLY_BODY + at.blocks, superblock.geometry.blockCount);
  setU64(out, REPLY_BODY + at.bfree, space.available);
  setU64(out, REPLY_BODY + at.bavail, space.available);
  setU64(out, REPLY_BODY + at.files, INODES);
  setU64(out, REPLY_BODY + at.ffree, INODES - state.nextInode);
  out.setUint32(REPLY_BODY + at.bsize, BLOCK_SIZE, true);
  out.setUint32(REPLY_BODY + at.namelen, NAME_MAX, true);
  out.setUint32(REPLY_BODY + at.frsize, BLOCK_SIZE, true);
  return STATFS_OUT.size;
}
