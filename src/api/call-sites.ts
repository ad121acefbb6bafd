/**
 * Call sites: which system call Node would name in the error of a call, and which paths.
 */
import { FilesystemError } from '../base/index.ts';
import type { calls } from './calls/index.ts';
import type { CallSite } from './errors.ts';
import { pathText } from './path.ts';

export type CallName = keyof typeof calls;

/** Names that differ from the call's own. */
const SYSCALLS: Partial<Record<CallName, string>> = {
  appendFile: 'open',
  appendPieces: 'open',
  copyFile: 'copyfile',
  futimes: 'futime',
  lutimes: 'lutime',
  readFile: 'open',
  readdir: 'scandir',
  readv: 'read',
  realpath: 'lstat',
  realpathNative: 'realpath',
  truncate: 'open',
  utimes: 'utime',
  writeFile: 'open',
  writePieces: 'open',
  writev: 'write',
};

/** Calls with two paths: the second is the destination. */
const TWO_PATHS: ReadonlySet<CallName> = new Set(['copyFile', 'cp', 'link', 'rename', 'symlink']);

/** Calls that open a file: what they are called when that has succeeded. */
const INSIDE: Partial<Record<CallName, string>> = {
  appendFile: 'write',
  appendPieces: 'write',
  readFile: 'read',
  truncate: 'ftruncate',
  writeFile: 'write',
  writePieces: 'write',
};

/** Errors that come after the file was opened. */
const AFTER_OPEN: ReadonlySet<string> = new Set(['EIO', 'ENOSPC', 'EFBIG', 'ENOMEM']);

export function siteOf(name: CallName, args: readonly unknown[], error: unknown): CallSite {
  const code = error instanceof FilesystemError ? error.code : '';
  const inside = INSIDE[name];
  const opened = AFTER_OPEN.has(code) || (name === 'readFile' && code === 'EISDIR');
  const path = pathText(args[0]);
  if (inside !== undefined && (opened || path === undefined)) return { syscall: inside };
  const syscall = SYSCALLS[name] ?? name;
  if (name === 'mkdtemp') return { syscall, path: `${path}XXXXXX` };
  if (!TWO_PATHS.has(name)) return { syscall, path };
  return { syscall, path, dest: pathText(args[1]) };
}
