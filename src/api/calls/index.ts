/**
 * The calls of the API, each a procedure, named as in `node:fs`.
 */
import {
  access,
  chmod,
  chown,
  exists,
  fchmod,
  fchown,
  fstat,
  futimes,
  lchown,
  lstat,
  lutimes,
  stat,
  statfs,
  utimes,
} from './attributes.ts';
import { copyFile } from './copy.ts';
import { cp } from './cp.ts';
import { opendir, readdir } from './directories.ts';
import { close, fdatasync, fsync, ftruncate, open, read, readv, write, writev } from './files.ts';
import { link, mkdir, mkdtemp, readlink, rename, symlink, unlink } from './names.ts';
import { realpath, realpathNative } from './realpath.ts';
import { rm, rmdir } from './rm.ts';
import {
  appendFile,
  appendPieces,
  readFile,
  truncate,
  writeFile,
  writePieces,
} from './whole-files.ts';

/** A table, and no namespace of the module: the faces are made of it, name by name. */
export const calls = {
  access,
  appendFile,
  appendPieces,
  chmod,
  chown,
  close,
  copyFile,
  cp,
  exists,
  fchmod,
  fchown,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  futimes,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  open,
  opendir,
  read,
  readFile,
  readdir,
  readlink,
  readv,
  realpath,
  realpathNative,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  truncate,
  unlink,
  utimes,
  write,
  writeFile,
  writePieces,
  writev,
};
