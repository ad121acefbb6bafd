/**
 * Call sites: which system call Node would name in the error of a call, and which paths.
 */
import { FilesystemError } from '../base/index.ts';
import type * as calls from './calls/index.ts';
import type { CallSite } from './errors.ts';
import { pathText } from './path.ts';

export type CallName = keyof typeof calls;

/** Names that differ from the call's own. */
const SYSCALLS: Partial<Record<CallName, string>> = {
  appendFile: 'open',
  copyFile: 'copyfile',
  futimes: 'futime',
  lutimes: 'lutime',
  readFile: 'open',
  readdir: 'scandir',
  realpath: 'lstat',
  rm: 'lstat',
  truncate: 'open',
  utimes: 'utime',
  writeFile: 'open',
};

/** Calls with two paths: the second is the destination. */
const TWO_PATHS: ReadonlySet<CallName> = new Set(['copyFile', 'cp', 'link', 'rename', 'symlink']);

/** Calls on paths that fail on a directory when they read or write, not when they open. */
const OPENS: ReadonlySet<CallName> = new Set(['appendFile', 'readFile', 'truncate', 'writeFile']);

/** Errors that come after the file was opened. */
const AFTER_OPEN: ReadonlySet<string> = new Set(['EIO', 'ENOSPC', 'EFBIG', 'ENOMEM']);

export function siteOf(name: CallName, args: readonly unknown[], error: unknown): CallSite {
  const code = error instanceof FilesystemError ? error.code : '';
  const inside = AFTER_OPEN.has(code) || (name === 'readFile' && code === 'EISDIR');
  if (OPENS.has(name) && inside) {
    return { syscall: name === 'readFile' ? 'read' : name === 'truncate' ? 'ftruncate' : 'write' };
  }
  const syscall = SYSCALLS[name] ?? name;
  const path = pathText(args[0]);
  if (!TWO_PATHS.has(name)) return { syscall, path };
  return { syscall, path, dest: pathText(args[1]) };
}
