/**
 * File lock: flock(2) on an open image. Node only.
 *
 * Node has no flock. On Linux the `flock` program of util-linux (or BusyBox) locks a descriptor
 * that it inherits; the lock belongs to the open file description, which is ours, so it outlives
 * the program and ends when we close the file or die, however we die. BSD systems, macOS among
 * them, take the lock with flags of open(2). A process is no exception to its own locks: opening
 * an image a second time makes a second description.
 */
import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { platform } from 'node:process';

/** A writer excludes everybody; readers share. */
export type LockMode = 'exclusive' | 'shared';

const HAS_LOCK_FLAGS = ['darwin', 'freebsd', 'openbsd'].includes(platform);
const O_SHLOCK = 0x10;
const O_EXLOCK = 0x20;

/** Exit code of `flock -n` when somebody else has the lock. */
const EXIT_BUSY = 1;

/** Flags with which open(2) takes the lock at once or fails with `EAGAIN`; 0 on most systems. */
export function lockOpenFlags(mode: LockMode): number {
  if (!HAS_LOCK_FLAGS) return 0;
  return constants.O_NONBLOCK | (mode === 'exclusive' ? O_EXLOCK : O_SHLOCK);
}

/**
 * Takes the lock on a file opened with {@link lockOpenFlags}, without waiting. False if somebody
 * else has it. Costs one process, about 3 ms.
 *
 * @throws {Error} if the program is missing, or the file system has no locks
 */
export function lockDescriptor(descriptor: number, mode: LockMode): boolean {
  if (HAS_LOCK_FLAGS) return true;
  // The child's descriptor 3 is a duplicate of ours.
  const { status, error } = spawnSync('flock', [mode === 'exclusive' ? '-xn' : '-sn', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  });
  if (status === 0) return true;
  if (status === EXIT_BUSY) return false;
  throw error ?? new Error(`flock ended with status ${status}`);
}
