/**
 * Operations on extended attributes, and the access control lists among them.
 */
import { type Procedure, run } from '../../api/node/index.ts';
import { copyBinary, ERRNO, FilesystemError } from '../../base/index.ts';
import { AttributeMask, ExtendedFlag } from '../../format/index.ts';
import { ReadExtended, type Vnode } from '../../volume/index.ts';
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  type Acl,
  decodeAcl,
  encodeAcl,
  isPlain,
  modeOfAcl,
} from '../acl.ts';
import { SETXATTR_ACL_KILL_SGID } from '../constants.ts';
import { type Message, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import { GETXATTR_IN, GETXATTR_OUT, SETXATTR_IN, SETXATTR_IN_SHORT } from '../wire.ts';

const SET_GROUP = 0o2000;

/** The spaces of names that are kept; of `system.` the kernel would expect a meaning. */
const SPACES = ['user.', 'trusted.', 'security.'];

/** @throws {FilesystemError} `EINVAL`, `ENOTSUP` */
function checkSpace(served: Served, name: string): void {
  if (served.acl && isAcl(name)) return;
  if (SPACES.includes(name)) {
    throw new FilesystemError('EINVAL', `Cannot use attribute "${name}": no name follows`);
  }
  if (SPACES.some((space) => name.startsWith(space))) return;
  throw new FilesystemError(
    'ENOTSUP',
    `Cannot use attribute ${JSON.stringify(name)}: wanted user., trusted. or security.`,
  );
}

export function getxattr(served: Served, message: Message): Answer {
  const vnode = served.vnode(message);
  const name = message.name(GETXATTR_IN.size);
  // Mostly there are none, and the kernel asks for those of security with every program.
  if (vnode.attributes.length === 0 && vnode.attributeBlocks === 0) {
    checkSpace(served, name);
    return -ERRNO.ENODATA[0];
  }
  return readExtended(served, message, vnode, name);
}

function* readExtended(
  served: Served,
  message: Message,
  vnode: Vnode,
  name: string,
): Procedure<number> {
  checkSpace(served, name);
  const value = (yield* run(new ReadExtended(served.engine, vnode))).get(name);
  return value === undefined ? -ERRNO.ENODATA[0] : answerValue(message, value);
}

/** A value, or with size 0 how long it is. */
function answerValue(message: Message, value: Uint8Array): number {
  const size = message.u32(GETXATTR_IN.at.size);
  if (size === 0) {
    message.out.setUint32(REPLY_BODY + GETXATTR_OUT.at.size, value.length, true);
    message.out.setUint32(REPLY_BODY + GETXATTR_OUT.at.padding, 0, true);
    return GETXATTR_OUT.size;
  }
  if (value.length > size) return -ERRNO.ERANGE[0];
  message.reply.set(value, REPLY_BODY);
  return value.length;
}

/** Names of `trusted.` are for the superuser. */
export function* listxattr(served: Served, message: Message): Procedure<number> {
  const attributes = yield* run(new ReadExtended(served.engine, served.vnode(message)));
  const names = [...attributes.keys()].filter(
    (name) => message.uid === 0 || !name.startsWith('trusted.'),
  );
  const list = names.map((name) => `${name}\0`).join('');
  const bytes = new Uint8Array(list.length);
  copyBinary(list, bytes, 0);
  return answerValue(message, bytes);
}

export function* setxattr(served: Served, message: Message): Procedure<number> {
  const { at } = SETXATTR_IN;
  const name = message.name(served.setxattrExtended ? SETXATTR_IN.size : SETXATTR_IN_SHORT);
  const value = message.valueAfterName(message.u32(at.size)).slice();
  const given = message.u32(at.flags);
  const flags =
    ((given & 1) !== 0 ? ExtendedFlag.CREATE : 0) | ((given & 2) !== 0 ? ExtendedFlag.REPLACE : 0);
  if (served.acl && name === ACL_ACCESS) {
    const kills =
      served.setxattrExtended && message.u32(at.setxattr_flags) === SETXATTR_ACL_KILL_SGID;
    return yield* setAccess(served, served.vnode(message), decodeAcl(value), kills);
  }
  if (served.acl && name === ACL_DEFAULT) decodeAcl(value);
  return yield* changeExtended(served, message, name, value, flags);
}

function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}

/** A list with its mode; one that says no more than the mode is not kept. */
function* setAccess(served: Served, vnode: Vnode, acl: Acl, kills: boolean): Procedure<number> {
  const kept = kills ? vnode.mode & ~SET_GROUP : vnode.mode;
  const mode = modeOfAcl(kept, acl);
  yield* writeAcl(served, vnode, ACL_ACCESS, acl);
  const { id: target, uid, gid, atime, mtime } = vnode;
  const { time } = served;
  const change = { mask: AttributeMask.MODE, mode, uid, gid, atime, mtime, time };
  yield* run(served.engine.apply({ type: 'setattr', target, ...change }));
  return 0;
}

/** The list of an inode; undefined if it has none. */
export function* readAcl(served: Served, vnode: Vnode, name: string): Procedure<Acl | undefined> {
  if (vnode.attributes.length === 0 && vnode.attributeBlocks === 0) return undefined;
  const value = (yield* run(new ReadExtended(served.engine, vnode))).get(name);
  return value === undefined ? undefined : decodeAcl(value);
}

/** Keeps the list of an inode; one of access that says no more than a mode goes. */
export function* writeAcl(served: Served, vnode: Vnode, name: string, acl: Acl): Procedure<void> {
  const goes = name === ACL_ACCESS && isPlain(acl);
  if (goes && (yield* readAcl(served, vnode, name)) === undefined) return;
  const value = goes ? undefined : encodeAcl(acl);
  const { time } = served;
  const record = { type: 'setxattr', target: vnode.id, name, value, flags: 0, time } as const;
  yield* run(served.engine.apply(record));
}

export function removexattr(served: Served, message: Message): Answer {
  const name = message.name(0);
  if (served.acl && isAcl(name)) return removeAcl(served, message, name);
  return changeExtended(served, message, name, undefined, 0);
}

/** A list that is not there has gone. */
function* removeAcl(served: Served, message: Message, name: string): Procedure<number> {
  const present = yield* readAcl(served, served.vnode(message), name);
  return present === undefined ? 0 : yield* changeExtended(served, message, name, undefined, 0);
}

function* changeExtended(
  served: Served,
  message: Message,
  name: string,
  value: Uint8Array | undefined,
  flags: number,
): Procedure<number> {
  checkSpace(served, name);
  const target = served.vnode(message).id;
  const { time } = served;
  yield* run(served.engine.apply({ type: 'setxattr', target, name, value, flags, time }));
  return 0;
}
