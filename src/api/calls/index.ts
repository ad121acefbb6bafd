/**
 * The calls of the API, each a procedure, named as in `node:fs`.
 */
export {
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
export { copyFile } from './copy.ts';
export { cp } from './cp.ts';
export { opendir, readdir } from './directories.ts';
export {
  close,
  fdatasync,
  fsync,
  ftruncate,
  open,
  read,
  readv,
  write,
  writev,
} from './files.ts';
export { link, mkdir, mkdtemp, readlink, rename, symlink, unlink } from './names.ts';
export { realpath, realpathNative } from './realpath.ts';
export { rm, rmdir } from './rm.ts';
export {
  appendFile,
  appendPieces,
  readFile,
  truncate,
  writeFile,
  writePieces,
} from './whole-files.ts';
