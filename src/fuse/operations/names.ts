/**
 * Operations on names: lookup, create and its kin, link, unlink, rename, readlink.
 */
import { type Procedure, run } from '../../api/node/index.ts';
import { ERRNO, FilesystemError } from '../../base/index.ts';
import {
  InodeKind,
  type Mutation,
  RenameFlag,
  UnlinkWhat,
  type WhiteoutMutation,
} from '../../format/index.ts';
import { glance, peek, readTarget, type Vnode } from '../../volume/index.ts';
import { ACL_ACCESS, ACL_DEFAULT, inheritedAcl, modeOfAcl } from '../acl.ts';
import { kindOf, putAbsence, putEntry, recordDevice } from '../attributes.ts';
import { RenameBit } from '../constants.ts';
import { type Message, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import {
  CREATE_IN,
  ENTRY_OUT,
  LINK_IN,
  MKDIR_IN,
  MKNOD_IN,
  RENAME_IN,
  RENAME2_IN,
} from '../wire.ts';
import { accessed } from './attributes.ts';
import { readAcl, writeAcl } from './extended.ts';
import { checkOpen, putOpened } from './opening.ts';

const SET_GROUP = 0o2000;
const O_EXCL = 0o200;

/** Answers with an entry; the hold of the caller goes to the table of nodes. */
function answerEntry(served: Served, { out }: Message, vnode: Vnode): number {
  putEntry(served, out, REPLY_BODY, vnode);
  return ENTRY_OUT.size;
}

export function lookup(served: Served, message: Message): Answer {
  const name = message.name(0);
  if (name === '.' || name === '..') return lookupSpecial(served, message, name);
  const directory = served.vnode(message);
  const near = glance(served.engine, directory, name);
  if (near === undefined) return lookupFar(served, message, directory, name);
  return answerFound(served, message, near);
}

function* lookupFar(
  served: Served,
  message: Message,
  directory: Vnode,
  name: string,
): Procedure<number> {
  return answerFound(served, message, yield* run(peek(served.engine, directory, name)));
}

/** A name that is not there is an answer too, which the kernel keeps. */
function answerFound(served: Served, message: Message, found: Vnode | null): number {
  if (found !== null) return answerEntry(served, message, found);
  putAbsence(served, message.out, REPLY_BODY);
  return ENTRY_OUT.size;
}

/** Asked by whoever has a handle of an inode that the kernel has forgotten. */
function lookupSpecial(served: Served, message: Message, name: string): number {
  const { engine, nodes } = served;
  const { root } = nodes;
  const vnode = nodes.numberOf(root) === message.node ? root : engine.table.get(message.node);
  if (vnode === undefined || !vnode.isWithin(root)) {
    throw new FilesystemError('ENOENT', `Cannot find node ${message.node}: it was forgotten`);
  }
  const found = name === '.' || vnode === root ? vnode : (vnode.parent as Vnode);
  found.holds++;
  return answerEntry(served, message, found);
}

interface NewInode {
  readonly kind: InodeKind;
  readonly mode: number;
  /** Of whoever asks; the kernel leaves it to us where there may be a default list. */
  readonly umask?: number;
  readonly rdev?: number;
  readonly target?: string;
}

/**
 * Makes an inode for the user who asks, held; without a name, a file. In a set-group directory it
 * gets its group.
 */
function* make(
  served: Served,
  message: Message,
  name: string | undefined,
  { kind, mode: wanted, umask = 0, rdev = 0, target = '' }: NewInode,
): Procedure<Vnode> {
  const parent = served.vnode(message);
  const lists = served.acl && kind !== InodeKind.SYMLINK;
  const initial = lists ? yield* readAcl(served, parent, ACL_DEFAULT) : undefined;
  const acl = initial === undefined ? undefined : inheritedAcl(initial, wanted);
  const unmasked = served.acl ? wanted & ~umask : wanted;
  const mode = acl === undefined ? unmasked : modeOfAcl(wanted, acl);
  const inherits = (parent.mode & SET_GROUP) !== 0;
  const sticky = inherits && kind === InodeKind.DIRECTORY ? SET_GROUP : 0;
  const inode = {
    parent: parent.id,
    mode: (mode & 0o7777) | sticky,
    uid: message.uid,
    gid: inherits ? parent.gid : message.gid,
    time: served.time,
    ino: 0,
    handle: 0,
  };
  const record: Mutation =
    name === undefined
      ? { type: 'tmpfile', ...inode }
      : { type: 'create', name, kind, rdev, target, ...inode };
  const vnode = (yield* run(served.engine.apply(record))) as Vnode;
  if (initial === undefined || acl === undefined) return vnode;
  try {
    yield* writeAcl(served, vnode, ACL_ACCESS, acl);
    if (vnode.isDirectory) yield* writeAcl(served, vnode, ACL_DEFAULT, initial);
    return vnode;
  } catch (error) {
    if (vnode.unlinked) served.engine.stray(vnode);
    else vnode.holds--;
    throw error;
  }
}

export function* mknod(served: Served, message: Message): Procedure<number> {
  const mode = message.u32(MKNOD_IN.at.mode);
  const umask = message.u32(MKNOD_IN.at.umask);
  const rdev = recordDevice(message.u32(MKNOD_IN.at.rdev));
  const kind = kindOf(mode);
  if (kind === undefined || kind === InodeKind.DIRECTORY || kind === InodeKind.SYMLINK) {
    throw new FilesystemError('EINVAL', `Cannot make a node of mode 0${mode.toString(8)}`);
  }
  const name = message.name(MKNOD_IN.size);
  return answerEntry(
    served,
    message,
    yield* make(served, message, name, { kind, mode, umask, rdev }),
  );
}

export function* mkdir(served: Served, message: Message): Procedure<number> {
  const [mode, umask] = [message.u32(MKDIR_IN.at.mode), message.u32(MKDIR_IN.at.umask)];
  const inode = { kind: InodeKind.DIRECTORY, mode, umask };
  const name = message.name(MKDIR_IN.size);
  return answerEntry(served, message, yield* make(served, message, name, inode));
}

export function* symlink(served: Served, message: Message): Procedure<number> {
  const name = message.name(0);
  const inode = { kind: InodeKind.SYMLINK, mode: 0o777, target: message.nextName() };
  return answerEntry(served, message, yield* make(served, message, name, inode));
}

/**
 * Makes a file and opens it. Where opening needs no request the kernel is told to use MKNOD
 * instead: then there is nothing to be released.
 */
export function create(served: Served, message: Message): Answer {
  return served.opensUnasked ? -ERRNO.ENOSYS[0] : createOpen(served, message);
}

/** A file that somebody else has made meanwhile is opened, unless it must not be there. */
function* createOpen(served: Served, message: Message): Procedure<number> {
  const [mode, umask] = [message.u32(CREATE_IN.at.mode), message.u32(CREATE_IN.at.umask)];
  const name = message.name(CREATE_IN.size);
  let vnode: Vnode | null = null;
  try {
    vnode = yield* make(served, message, name, { kind: InodeKind.FILE, mode, umask });
  } catch (error) {
    const taken = error instanceof FilesystemError && error.code === 'EEXIST';
    if (!taken || (message.u32(CREATE_IN.at.flags) & O_EXCL) !== 0) throw error;
    vnode = yield* run(peek(served.engine, served.vnode(message), name));
    if (vnode === null) throw error;
    try {
      checkOpen(vnode, message.u32(CREATE_IN.at.flags));
    } catch (refusal) {
      vnode.holds--;
      throw refusal;
    }
  }
  return answerOpened(served, message, vnode);
}

function answerOpened(served: Served, message: Message, vnode: Vnode): number {
  const length = answerEntry(served, message, vnode);
  return length + putOpened(message.out, REPLY_BODY + length);
}

/** Makes a file without a name. Whether it may get one is for the kernel to say. */
export function* tmpfile(served: Served, message: Message): Procedure<number> {
  const [mode, umask] = [message.u32(CREATE_IN.at.mode), message.u32(CREATE_IN.at.umask)];
  const inode = { kind: InodeKind.FILE, mode, umask };
  return answerOpened(served, message, yield* make(served, message, undefined, inode));
}

export function* link(served: Served, message: Message): Procedure<number> {
  const target = served.nodes.get(message.nodeAt(LINK_IN.at.oldnodeid));
  const parent = served.vnode(message);
  const name = message.name(LINK_IN.size);
  const { time } = served;
  const record = { type: 'link', target: target.id, parent: parent.id, name, time } as const;
  yield* run(served.engine.apply(record));
  target.holds++;
  return answerEntry(served, message, target);
}

export function unlink(served: Served, message: Message): Answer {
  return unlinkName(served, message, UnlinkWhat.FILE);
}

export function rmdir(served: Served, message: Message): Answer {
  return unlinkName(served, message, UnlinkWhat.DIRECTORY);
}

function* unlinkName(served: Served, message: Message, what: UnlinkWhat): Procedure<number> {
  const parent = served.vnode(message).id;
  const name = message.name(0);
  yield* run(served.engine.apply({ type: 'unlink', parent, name, what, time: served.time }));
  return 0;
}

export function rename(served: Served, message: Message): Answer {
  return renameWith(served, message, RENAME_IN.size, 0);
}

export function rename2(served: Served, message: Message): Answer {
  const flags = message.u32(RENAME2_IN.at.flags);
  const { NOREPLACE, EXCHANGE, WHITEOUT } = RenameBit;
  const contradicts = (flags & EXCHANGE) !== 0 && flags !== EXCHANGE;
  if (contradicts || (flags & ~(NOREPLACE | EXCHANGE | WHITEOUT)) !== 0) {
    throw new FilesystemError('EINVAL', `Cannot rename with flags ${flags}`);
  }
  return renameWith(served, message, RENAME2_IN.size, flags);
}

function* renameWith(
  served: Served,
  message: Message,
  namesAt: number,
  bits: number,
): Procedure<number> {
  const from = served.vnode(message);
  const newParent = served.nodes.get(message.nodeAt(RENAME_IN.at.newdir)).id;
  const name = message.name(namesAt);
  const newName = message.nextName();
  const flags =
    ((bits & RenameBit.NOREPLACE) !== 0 ? RenameFlag.NO_REPLACE : 0) |
    ((bits & RenameBit.EXCHANGE) !== 0 ? RenameFlag.EXCHANGE : 0);
  const record = { parent: from.id, name, newParent, newName, flags, time: served.time };
  if ((bits & RenameBit.WHITEOUT) === 0) {
    yield* run(served.engine.apply({ type: 'rename', ...record }));
    return 0;
  }
  const { uid } = message;
  const gid = (from.mode & SET_GROUP) !== 0 ? from.gid : message.gid;
  const whiteout: WhiteoutMutation = { type: 'whiteout', ...record, uid, gid, ino: 0 };
  yield* run(served.engine.apply(whiteout));
  if (served.acl && whiteout.ino !== 0) yield* inheritList(served, from, name);
  return 0;
}

/** A whiteout gets the list that a new inode gets. It serves without, so no failure is told. */
function* inheritList(served: Served, directory: Vnode, name: string): Procedure<void> {
  const initial = yield* readAcl(served, directory, ACL_DEFAULT);
  const acl = initial === undefined ? undefined : inheritedAcl(initial, 0);
  if (acl === undefined) return;
  const vnode = yield* run(peek(served.engine, directory, name));
  if (vnode === null) return;
  try {
    yield* writeAcl(served, vnode, ACL_ACCESS, acl);
  } catch {
    // The rename is done.
  } finally {
    vnode.holds--;
  }
}

export function* readlink(served: Served, message: Message): Procedure<number> {
  const vnode = served.vnode(message);
  const target = yield* run(readTarget(served.engine, vnode));
  message.reply.set(target, REPLY_BODY);
  yield* accessed(served, vnode);
  return target.length;
}
