/**
 * Negotiate: what INIT settles between the kernel and this server.
 *
 * The kernel says what it can, the answer says what of that is wanted. Refused are kernels before
 * 7.31; a newer major version is answered with ours, and the kernel asks once more.
 */
import { ERRNO } from '../base/index.ts';
import { InodeFlag } from '../format/index.ts';
import { InitFlag, InitFlag2, MAJOR, MINOR, MINOR_OLDEST } from './constants.ts';
import { DATA_MAX, type Message, REPLY_BODY } from './message.ts';
import type { Served } from './served.ts';
import { INIT_IN, INIT_OUT } from './wire.ts';

/** Requests that the kernel may have sent ahead of anybody's waiting, and when it slows down. */
export const BACKGROUND = 64;
const CONGESTION = 48;
const READAHEAD_MAX = DATA_MAX;
const KERNEL_BLOCK = 4096;

/** What is wanted of every kernel that has it. */
const WANTED =
  InitFlag.ASYNC_READ |
  InitFlag.BIG_WRITES |
  InitFlag.EXPORT_SUPPORT |
  InitFlag.DO_READDIRPLUS |
  InitFlag.READDIRPLUS_AUTO |
  InitFlag.ASYNC_DIO |
  InitFlag.NO_OPEN_SUPPORT |
  InitFlag.NO_OPENDIR_SUPPORT |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.EXPLICIT_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT |
  InitFlag.INIT_EXT;

const WANTED_2 = InitFlag2.DIRECT_IO_ALLOW_MMAP;

/** Files that may not be opened for everything are there, or were: see operations/opening.ts. */
function hasGuards({ nodes }: Served): boolean {
  return nodes.root.has(InodeFlag.GUARDED_BELOW);
}

/** Answers INIT: the length of the reply's body, or a negative errno. */
export function negotiate(served: Served, message: Message): number {
  const { at } = INIT_IN;
  const major = message.u32(at.major);
  const minor = message.u32(at.minor);
  const { out } = message;
  for (let i = 0; i < INIT_OUT.size; i += 4) out.setUint32(REPLY_BODY + i, 0, true);
  out.setUint32(REPLY_BODY + INIT_OUT.at.major, MAJOR, true);
  out.setUint32(REPLY_BODY + INIT_OUT.at.minor, Math.min(MINOR, minor), true);
  if (major > MAJOR) {
    out.setUint32(REPLY_BODY + INIT_OUT.at.minor, MINOR, true);
    return INIT_OUT.size;
  }
  if (major < MAJOR || minor < MINOR_OLDEST) return -ERRNO.ENOSYS[0];
  const offered = message.u32(at.flags);
  const extended = (offered & InitFlag.INIT_EXT) !== 0 && message.holds(INIT_IN.size);
  const { writeback, acl, locks } = served.options;
  const ownLocks = InitFlag.POSIX_LOCKS | InitFlag.FLOCK_LOCKS;
  const lists = InitFlag.POSIX_ACL | InitFlag.DONT_MASK;
  const optional =
    (writeback ? InitFlag.WRITEBACK_CACHE : 0) | (acl ? lists : 0) | (locks ? ownLocks : 0);
  // What closes a file takes its locks away, so it has to be told of. And who has once told the
  // kernel that it need not ask cannot take that back.
  const asked = locks || hasGuards(served);
  const unwanted = asked ? InitFlag.NO_OPEN_SUPPORT : 0;
  const flags = offered & (WANTED | optional) & ~unwanted;
  served.acl = acl && (flags & lists) === lists;
  served.minor = Math.min(MINOR, minor);
  served.setxattrExtended = (flags & InitFlag.SETXATTR_EXT) !== 0;
  const bothUnasked = InitFlag.NO_OPEN_SUPPORT | InitFlag.NO_OPENDIR_SUPPORT;
  served.opensUnasked = (flags & bothUnasked) === bothUnasked;
  served.opendirsUnasked = (offered & bothUnasked) === bothUnasked && !locks;
  const put = (offset: number, value: number): void =>
    out.setUint32(REPLY_BODY + offset, value, true);
  put(INIT_OUT.at.max_readahead, Math.min(READAHEAD_MAX, message.u32(at.max_readahead)));
  put(INIT_OUT.at.flags, flags);
  put(INIT_OUT.at.max_write, DATA_MAX);
  put(INIT_OUT.at.time_gran, 1);
  put(INIT_OUT.at.flags2, extended ? message.u32(at.flags2) & WANTED_2 : 0);
  out.setUint16(REPLY_BODY + INIT_OUT.at.max_background, BACKGROUND, true);
  out.setUint16(REPLY_BODY + INIT_OUT.at.congestion_threshold, CONGESTION, true);
  out.setUint16(REPLY_BODY + INIT_OUT.at.max_pages, DATA_MAX / KERNEL_BLOCK, true);
  return INIT_OUT.size;
}
