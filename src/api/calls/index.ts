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
export { copyFile, cp } from './copy.ts';
export { readdir } from './directories.ts';
export {
  appendFile,
  close,
  fdatasync,
  fsync,
  ftruncate,
  open,
  read,
  readFile,
  readv,
  truncate,
  write,
  writeFile,
  writev,
} from './files.ts';
export {
  link,
  mkdir,
  mkdtemp,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  symlink,
  unlink,
} from './names.ts';
