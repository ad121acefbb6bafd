/**
 * Flags of open(2) and the other constants of `node:fs`, with Linux's numbers everywhere.
 */
import { argumentValueError, checkInteger } from './errors.ts';

export const constants = {
  F_OK: 0,
  X_OK: 1,
  W_OK: 2,
  R_OK: 4,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DSYNC: 0o10000,
  /**
   * Past the cache, at any offset and of any length; what is appended goes through it. A write that
   * lies in one aligned range of {@link ATOMIC_WRITE_MAX} bytes is atomic.
   */
  O_DIRECT: 0o40000,
  O_DIRECTORY: 0o200000,
  O_NOFOLLOW: 0o400000,
  O_NOATIME: 0o1000000,
  O_SYNC: 0o4010000,
  /**
   * A file without a name, in the realm of the directory that is opened: it goes with its last
   * user, or with a crash, unless `linkFile` gives it a name. Node has no name for this flag.
   */
  O_TMPFILE: 0o20200000,
  S_IFMT: 0o170000,
  S_IFREG: 0o100000,
  S_IFDIR: 0o040000,
  S_IFCHR: 0o020000,
  S_IFBLK: 0o060000,
  S_IFIFO: 0o010000,
  S_IFLNK: 0o120000,
  S_IFSOCK: 0o140000,
  COPYFILE_EXCL: 1,
  COPYFILE_FICLONE: 2,
  COPYFILE_FICLONE_FORCE: 4,
} as const;

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC } = constants;

const NAMED: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  'sr+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  xw: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  'xw+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  xa: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  sa: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'xa+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
  'sa+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
};

/** The bits of a `flags` argument. */
export function openFlags(flags: unknown, otherwise: string): number {
  if (flags === undefined || flags === null) return NAMED[otherwise] as number;
  if (typeof flags === 'number') return flags;
  const named = typeof flags === 'string' ? NAMED[flags] : undefined;
  if (named === undefined) throw argumentValueError('flags', 'is invalid', flags);
  return named;
}

/** The permission bits of a `mode` argument: a number, or a string in octal. */
export function modeBits(mode: unknown, otherwise: number): number {
  if (mode === undefined || mode === null) return otherwise;
  if (typeof mode === 'number') return checkInteger('mode', mode, 0, 2 ** 32 - 1);
  if (typeof mode === 'string' && /^[0-7]+$/u.test(mode)) return Number.parseInt(mode, 8);
  throw argumentValueError('mode', 'must be a 32-bit unsigned integer or an octal string', mode);
}
