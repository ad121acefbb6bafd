/**
 * Constants of the kernel's FUSE protocol, with the names of `linux/fuse.h` without their prefix.
 * The newest that is named here is 7.45.
 */
import { ERRNO, errorCode } from '../base/index.ts';

/** The version that is spoken, and the oldest that is accepted. */
export const MAJOR = 7;
export const MINOR = 45;
export const MINOR_OLDEST = 31;

/** The root directory. */
export const ROOT_NODE = 1;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Flags of INIT, low half. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  NO_OPEN_SUPPORT: 1 << 17,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  NO_OPENDIR_SUPPORT: 1 << 24,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** Flags of INIT, high half. */
export const InitFlag2 = {
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const;

/** Bits of `valid` of SETATTR. */
export const Fattr = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** Codes of messages of the server's own. */
export const Notify = {
  /** Attributes and data of an inode have changed. */
  INVAL_INODE: 2,
  /** A name came, went, or leads elsewhere. */
  INVAL_ENTRY: 3,
  /** The data that the kernel has of an inode, please. */
  RETRIEVE: 5,
  /** A name went, and the inode with it. */
  DELETE: 6,
  /** These inodes may be forgotten, if nobody uses them. Since 7.45. */
  PRUNE: 9,
} as const;
export const MINOR_PRUNE = 45;

/** Flag of a SETXATTR of a list: the set-group bit has to go. */
export const SETXATTR_ACL_KILL_SGID = 1;
/** Flag of a WRITE: it is a page of the kernel's, of which not all bytes are new. */
export const WRITE_CACHE = 1 << 0;
/** Flags of a WRITE: set-user and set-group bits have to go. */
export const WRITE_KILL_SUIDGID = 1 << 2;
/** Flag of a lock: it is one of flock(2). */
export const LK_FLOCK = 1;
/** Flag of RELEASE: the lock of flock(2) goes too. */
export const RELEASE_FLOCK_UNLOCK = 2;

/** Flags of the answer to OPEN. */
export const OpenFlag = { KEEP_CACHE: 1 << 1, CACHE_DIR: 1 << 3 } as const;

/** Flags of rename2(2). */
export const RenameBit = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** Requests of ioctl(2) that are known. */
export const Ioctl = {
  GETFLAGS: 0x80086601,
  SETFLAGS: 0x40086602,
  FSGETXATTR: 0x801c581f,
  FSSETXATTR: 0x401c5820,
  GETVERSION: 0x80087601,
  GETFSLABEL: 0x81009431,
  TRIM: 0xc0185879,
  SHUTDOWN: 0x8004587d,
  /** Ours: the same with a word that goes in. */
  SHUTDOWN_IN: 0x4004587d,
  /** Ours: _IOW('R', 0x41, struct of 520 bytes), _IOR('R', 0x42, struct of 32 bytes). */
  CLONE: 0x42085241,
  SPACE: 0x80205242,
} as const;

/** What is made durable before everything ends. */
export const ShutDownFlag = { DEFAULT: 0, LOG_FLUSH: 1, NO_LOG_FLUSH: 2 } as const;

/** Flags of files, as FS_IOC_GETFLAGS has them. */
export const FlagBit = {
  IMMUTABLE: 0x10,
  APPEND: 0x20,
  NODUMP: 0x40,
  NOATIME: 0x80,
  NOCOW: 0x800000,
} as const;

/** The same, as FS_IOC_FSGETXATTR has them. */
export const XflagBit = {
  IMMUTABLE: 0x08,
  APPEND: 0x10,
  NOATIME: 0x40,
  NODUMP: 0x80,
  EXTSIZE: 0x800,
  EXTSZINHERIT: 0x1000,
} as const;

/** Bytes that a label takes. */
export const LABEL_SIZE = 256;

/** Error numbers that replies have and nobody else in the project needs. */
export const Errno = {
  ENOTTY: 25,
} as const;

/** The number of an error that was thrown; what has no errno of the kernel's is `EIO`. */
export function errnoOf(error: unknown): number {
  const code = errorCode(error);
  if (code !== undefined && code in ERRNO) return ERRNO[code as keyof typeof ERRNO][0];
  return code === 'ERR_OUT_OF_RANGE' ? ERRNO.EINVAL[0] : ERRNO.EIO[0];
}
