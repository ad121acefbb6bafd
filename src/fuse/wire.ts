/**
 * Wire: the structures of the kernel's FUSE protocol, 7.31 to 7.45, with the names of
 * `linux/fuse.h` without their prefix. A request is IN_HEADER, the structure of its operation, and
 * names or data behind it; a reply is OUT_HEADER and what was asked for.
 */
import { layout } from './layout.ts';

export const IN_HEADER = layout({
  len: 'u32',
  opcode: 'u32',
  unique: 'opaque',
  nodeid: 'u64',
  uid: 'u32',
  gid: 'u32',
  pid: 'u32',
  total_extlen: 'u16',
  padding: 2,
});

export const OUT_HEADER = layout({ len: 'u32', error: 'i32', unique: 'opaque' });

const ATTR_FIELDS = {
  ino: 'opaque',
  size: 'u64',
  blocks: 'u64',
  atime: 'i64',
  mtime: 'i64',
  ctime: 'i64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  rdev: 'u32',
  blksize: 'u32',
  flags: 'u32',
} as const;

export const ATTR = layout(ATTR_FIELDS);

export const ENTRY_OUT = layout({
  nodeid: 'u64',
  generation: 'u64',
  entry_valid: 'u64',
  attr_valid: 'u64',
  entry_valid_nsec: 'u32',
  attr_valid_nsec: 'u32',
  ...ATTR_FIELDS,
});

export const ATTR_OUT = layout({
  attr_valid: 'u64',
  attr_valid_nsec: 'u32',
  dummy: 4,
  ...ATTR_FIELDS,
});

/** Before 7.36 it ends with `flags`. */
export const INIT_IN = layout({
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  flags2: 'u32',
  unused: 44,
});
export const INIT_IN_SHORT = INIT_IN.at.flags2;

export const INIT_OUT = layout({
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  max_background: 'u16',
  congestion_threshold: 'u16',
  max_write: 'u32',
  time_gran: 'u32',
  max_pages: 'u16',
  map_alignment: 'u16',
  flags2: 'u32',
  max_stack_depth: 'u32',
  request_timeout: 'u16',
  unused: 22,
});

export const FORGET_IN = layout({ nlookup: 'u64' });
export const BATCH_FORGET_IN = layout({ count: 'u32', dummy: 4 });
export const FORGET_ONE = layout({ nodeid: 'u64', nlookup: 'u64' });

export const GETATTR_IN = layout({ getattr_flags: 'u32', dummy: 4, fh: 'opaque' });

export const SETATTR_IN = layout({
  valid: 'u32',
  padding: 4,
  fh: 'opaque',
  size: 'u64',
  lock_owner: 'opaque',
  atime: 'i64',
  mtime: 'i64',
  ctime: 'i64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  unused4: 4,
  uid: 'u32',
  gid: 'u32',
  unused5: 4,
});

export const STATX_IN = layout({
  getattr_flags: 'u32',
  reserved: 4,
  fh: 'opaque',
  sx_flags: 'u32',
  sx_mask: 'u32',
});

export const STATX_OUT = layout({
  attr_valid: 'u64',
  attr_valid_nsec: 'u32',
  flags: 'u32',
  spare: 16,
  mask: 'u32',
  blksize: 'u32',
  attributes: 'u64',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  mode: 'u16',
  spare0: 2,
  ino: 'opaque',
  size: 'u64',
  blocks: 'u64',
  attributes_mask: 'u64',
  atime: 'i64',
  atimensec: 'u32',
  reserved1: 4,
  btime: 'i64',
  btimensec: 'u32',
  reserved2: 4,
  ctime: 'i64',
  ctimensec: 'u32',
  reserved3: 4,
  mtime: 'i64',
  mtimensec: 'u32',
  reserved4: 4,
  rdev_major: 'u32',
  rdev_minor: 'u32',
  dev_major: 'u32',
  dev_minor: 'u32',
  spare2: 112,
});

/** Then a name. */
export const MKNOD_IN = layout({ mode: 'u32', rdev: 'u32', umask: 'u32', padding: 4 });
export const MKDIR_IN = layout({ mode: 'u32', umask: 'u32' });
export const LINK_IN = layout({ oldnodeid: 'u64' });
/** Then two names. */
export const RENAME_IN = layout({ newdir: 'u64' });
export const RENAME2_IN = layout({ newdir: 'u64', flags: 'u32', padding: 4 });

export const OPEN_IN = layout({ flags: 'u32', open_flags: 'u32' });
/** Then a name. */
export const CREATE_IN = layout({ flags: 'u32', mode: 'u32', umask: 'u32', open_flags: 'u32' });
/** `backing_id` since 7.40. */
export const OPEN_OUT = layout({ fh: 'opaque', open_flags: 'u32', backing_id: 'i32' });

export const RELEASE_IN = layout({
  fh: 'opaque',
  flags: 'u32',
  release_flags: 'u32',
  lock_owner: 'opaque',
});

export const FLUSH_IN = layout({ fh: 'opaque', unused: 4, padding: 4, lock_owner: 'opaque' });
export const FSYNC_IN = layout({ fh: 'opaque', fsync_flags: 'u32', padding: 4 });

/** Of READ, READDIR and READDIRPLUS. */
export const READ_IN = layout({
  fh: 'opaque',
  offset: 'u64',
  size: 'u32',
  read_flags: 'u32',
  lock_owner: 'opaque',
  flags: 'u32',
  padding: 4,
});

/** Then the data. */
export const WRITE_IN = layout({
  fh: 'opaque',
  offset: 'u64',
  size: 'u32',
  write_flags: 'u32',
  lock_owner: 'opaque',
  flags: 'u32',
  padding: 4,
});
export const WRITE_OUT = layout({ size: 'u32', padding: 4 });

export const STATFS_OUT = layout({
  blocks: 'u64',
  bfree: 'u64',
  bavail: 'u64',
  files: 'u64',
  ffree: 'u64',
  bsize: 'u32',
  namelen: 'u32',
  frsize: 'u32',
  padding: 4,
  spare: 24,
});

/** Then a name and the value. With SETXATTR_EXT all of it, without the first two fields. */
export const SETXATTR_IN = layout({
  size: 'u32',
  flags: 'u32',
  setxattr_flags: 'u32',
  padding: 4,
});
export const SETXATTR_IN_SHORT = SETXATTR_IN.at.setxattr_flags;
/** Of GETXATTR, with a name behind it, and of LISTXATTR. */
export const GETXATTR_IN = layout({ size: 'u32', padding: 4 });
export const GETXATTR_OUT = layout({ size: 'u32', padding: 4 });

const LOCK_FIELDS = { start: 'u64', end: 'u64', type: 'u32', pid: 'u32' } as const;
export const LK_IN = layout({
  fh: 'opaque',
  owner: 'opaque',
  ...LOCK_FIELDS,
  lk_flags: 'u32',
  padding: 4,
});
export const LK_OUT = layout(LOCK_FIELDS);

export const ACCESS_IN = layout({ mask: 'u32', padding: 4 });
export const INTERRUPT_IN = layout({ unique: 'opaque' });

/** Then the data that goes in. */
export const IOCTL_IN = layout({
  fh: 'opaque',
  flags: 'u32',
  cmd: 'u32',
  arg: 'opaque',
  in_size: 'u32',
  out_size: 'u32',
});
/** Then the data that comes out. */
export const IOCTL_OUT = layout({ result: 'i32', flags: 'u32', in_iovs: 'u32', out_iovs: 'u32' });

/** What FS_IOC_FSGETXATTR and FSSETXATTR move. */
export const FSXATTR = layout({
  xflags: 'u32',
  extsize: 'u32',
  nextents: 'u32',
  projid: 'u32',
  cowextsize: 'u32',
  pad: 8,
});
/** What FITRIM moves. */
export const FSTRIM_RANGE = layout({ start: 'u64', len: 'u64', minlen: 'u64' });

/** Of a name in OWN_CLONE, with a zero behind it. */
export const CLONE_NAME = 256;
/** What our own requests move. */
export const OWN_CLONE = layout({
  flags: 'u32',
  reserved: 4,
  source: CLONE_NAME,
  name: CLONE_NAME,
});
export const OWN_SPACE = layout({
  allocated: 'u64',
  exclusive: 'u64',
  shared: 'u64',
  reserved: 8,
});

export const FALLOCATE_IN = layout({
  fh: 'opaque',
  offset: 'u64',
  length: 'u64',
  mode: 'u32',
  padding: 4,
});

export const LSEEK_IN = layout({ fh: 'opaque', offset: 'u64', whence: 'u32', padding: 4 });
export const LSEEK_OUT = layout({ offset: 'u64' });

/** Of both opcodes; the answer to the older one is WRITE_OUT. */
export const COPY_FILE_RANGE_IN = layout({
  fh_in: 'opaque',
  off_in: 'u64',
  nodeid_out: 'u64',
  fh_out: 'opaque',
  off_out: 'u64',
  len: 'u64',
  flags: 'u64',
});
export const COPY_FILE_RANGE_OUT = layout({ bytes_copied: 'u64' });

/** Then the name, padded to 8 bytes; in READDIRPLUS behind an ENTRY_OUT. */
export const DIRENT = layout({ ino: 'opaque', off: 'u64', namelen: 'u32', type: 'u32' });

/** Messages of the server's own are behind an OUT_HEADER whose `error` is their code. */
export const NOTIFY_INVAL_INODE_OUT = layout({ ino: 'u64', off: 'i64', len: 'i64' });

/** Then the name, and a zero. */
export const NOTIFY_INVAL_ENTRY_OUT = layout({ parent: 'u64', namelen: 'u32', flags: 'u32' });

/** Then the name, and a zero. */
export const NOTIFY_DELETE_OUT = layout({
  parent: 'u64',
  child: 'u64',
  namelen: 'u32',
  padding: 4,
});

export const NOTIFY_RETRIEVE_OUT = layout({
  notify_unique: 'opaque',
  nodeid: 'u64',
  offset: 'u64',
  size: 'u32',
  padding: 4,
});

/** Then so many numbers of nodes, 8 bytes each. */
export const NOTIFY_PRUNE_OUT = layout({ count: 'u32', padding: 4, spare: 8 });
