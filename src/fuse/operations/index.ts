/**
 * The operations by their numbers, and the least that a request for each has behind its header.
 * What is not in the table is answered with `ENOSYS`, and the kernel asks no more.
 */
import { Opcode } from '../constants.ts';
import type { Handler } from '../served.ts';
import * as wire from '../wire.ts';
import * as attributes from './attributes.ts';
import * as directories from './directories.ts';
import * as extended from './extended.ts';
import * as files from './files.ts';
import * as ioctls from './ioctl.ts';
import * as locks from './locks.ts';
import * as names from './names.ts';

export interface Entry {
  readonly handler: Handler;
  readonly least: number;
}

/** A name of no bytes, with its end. */
const NAME = 1;

const TABLE: readonly (readonly [Opcode, Handler, number])[] = [
  [Opcode.LOOKUP, names.lookup, NAME],
  [Opcode.GETATTR, attributes.getattr, wire.GETATTR_IN.size],
  [Opcode.SETATTR, attributes.setattr, wire.SETATTR_IN.size],
  [Opcode.READLINK, names.readlink, 0],
  [Opcode.SYMLINK, names.symlink, 2 * NAME],
  [Opcode.MKNOD, names.mknod, wire.MKNOD_IN.size + NAME],
  [Opcode.MKDIR, names.mkdir, wire.MKDIR_IN.size + NAME],
  [Opcode.UNLINK, names.unlink, NAME],
  [Opcode.RMDIR, names.rmdir, NAME],
  [Opcode.RENAME, names.rename, wire.RENAME_IN.size + 2 * NAME],
  [Opcode.RENAME2, names.rename2, wire.RENAME2_IN.size + 2 * NAME],
  [Opcode.LINK, names.link, wire.LINK_IN.size + NAME],
  [Opcode.OPEN, files.open, wire.OPEN_IN.size],
  [Opcode.CREATE, names.create, wire.CREATE_IN.size + NAME],
  [Opcode.TMPFILE, names.tmpfile, wire.CREATE_IN.size],
  [Opcode.READ, files.read, wire.READ_IN.size],
  [Opcode.WRITE, files.write, wire.WRITE_IN.size],
  [Opcode.STATFS, attributes.statfs, 0],
  [Opcode.RELEASE, locks.release, wire.RELEASE_IN.size],
  [Opcode.FLUSH, locks.flush, wire.FLUSH_IN.size],
  [Opcode.FSYNC, files.fsync, wire.FSYNC_IN.size],
  [Opcode.FSYNCDIR, files.fsync, wire.FSYNC_IN.size],
  [Opcode.SYNCFS, files.syncfs, 0],
  [Opcode.SETXATTR, extended.setxattr, wire.SETXATTR_IN_SHORT + NAME],
  [Opcode.GETXATTR, extended.getxattr, wire.GETXATTR_IN.size + NAME],
  [Opcode.LISTXATTR, extended.listxattr, wire.GETXATTR_IN.size],
  [Opcode.REMOVEXATTR, extended.removexattr, NAME],
  [Opcode.OPENDIR, directories.opendir, wire.OPEN_IN.size],
  [Opcode.READDIR, directories.readdir, wire.READ_IN.size],
  [Opcode.READDIRPLUS, directories.readdirplus, wire.READ_IN.size],
  [Opcode.RELEASEDIR, locks.release, wire.RELEASE_IN.size],
  [Opcode.GETLK, locks.getlk, wire.LK_IN.size],
  [Opcode.SETLK, locks.setlk, wire.LK_IN.size],
  [Opcode.SETLKW, locks.setlkw, wire.LK_IN.size],
  [Opcode.ACCESS, attributes.access, wire.ACCESS_IN.size],
  [Opcode.FALLOCATE, files.fallocate, wire.FALLOCATE_IN.size],
  [Opcode.LSEEK, files.lseek, wire.LSEEK_IN.size],
  [Opcode.COPY_FILE_RANGE, files.copyFileRange, wire.COPY_FILE_RANGE_IN.size],
  [Opcode.COPY_FILE_RANGE_64, files.copyFileRange64, wire.COPY_FILE_RANGE_IN.size],
  [Opcode.IOCTL, ioctls.ioctl, wire.IOCTL_IN.size],
  [Opcode.STATX, attributes.statx, wire.STATX_IN.size],
];

/** By opcode; a table without gaps is found in by a number. */
export const OPERATIONS: readonly (Entry | undefined)[] = (() => {
  const entries: (Entry | undefined)[] = new Array(Opcode.COPY_FILE_RANGE_64 + 1).fill(undefined);
  for (const [opcode, handler, least] of TABLE) entries[opcode] = { handler, least };
  return entries;
})();
