/**
 * Memory of whoever has made a request, and waits for its reply: one word of it.
 *
 * The serving thread must never wait for a lock of a process that waits for this thread. So it
 * looks only into processes with one thread, which is the one that waits, and only at memory that
 * is no file's, since the file may be on this very mount.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { viewOf } from '../base/index.ts';

/** Undefined if there is none, or none that may be looked at. */
export function wordOf(pid: number, address: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    if (!/^Threads:\s*1$/mu.test(status)) return undefined;
    if (!isAnonymous(readFileSync(`/proc/${pid}/maps`, 'latin1'), address)) return undefined;
    const bytes = new Uint8Array(4);
    const fd = openSync(`/proc/${pid}/mem`, 'r');
    try {
      if (readSync(fd, bytes, 0, bytes.length, address) < bytes.length) return undefined;
    } finally {
      closeSync(fd);
    }
    return viewOf(bytes).getUint32(0, true);
  } catch {
    return undefined;
  }
}

/** Lines are `start-end mode offset device inode name`, in hexadecimal; of no file, inode 0. */
function isAnonymous(maps: string, address: number): boolean {
  return maps.split('\n').some((line) => {
    const [range = '', , , , inode] = line.split(/ +/u);
    const [start, end] = range.split('-').map((text) => Number.parseInt(text, 16));
    if (start === undefined || end === undefined) return false;
    return inode === '0' && start <= address && address + 4 <= end;
  });
}
