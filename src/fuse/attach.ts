/**
 * Attach: a directory becomes a mount, and none again.
 *
 * For root /dev/fuse is opened here and its descriptor handed to mount(8), which hands it to the
 * kernel; for others fusermount3 does both. The kernel keeps the mount as long as any descriptor of
 * the connection is open: a process that dies takes the connection with it, and all that is left is
 * a mount point that answers `ENOTCONN` until it is unmounted.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorCode, FilesystemError } from '../base/index.ts';
import { mountByProgram, unmountByProgram } from './fusermount.ts';
import { DATA_MAX } from './message.ts';
import { reasonIn, runProgram } from './programs.ts';

/** What is mounted where, as far as mount(8) is concerned. */
export interface AttachOptions {
  readonly directory: string;
  /** What the kernel's list of mounts calls it. */
  readonly source: string;
  /** Options for mount(8) besides: `noatime`, `nosuid`, ... */
  readonly options?: readonly string[] | undefined;
}

/** Mounts; the descriptor of the connection, which is to be served at once. */
export async function attach(options: AttachOptions, readOnly: boolean): Promise<number> {
  return await (isRoot() ? attachAsRoot : attachAsUser)(options, readOnly);
}

/** What takes a mount away, in a turn in which nothing can be waited for: the process ends. */
export function detachNow(directory: string): void {
  const [program, ...args] = isRoot() ? ['umount', '-l'] : ['fusermount3', '-u', '-z'];
  spawnSync(program as string, [...args, '--', resolve(directory)], {
    stdio: 'ignore',
    timeout: DETACH_MS,
  });
}

const DETACH_MS = 5000;

const TRIES = 10;
const TRY_MS = 50;

/**
 * Takes a mount away. A look that its server has at it now and then, or a program that has just
 * ended, is waited for.
 *
 * @throws {FilesystemError} `EBUSY` if it is in use, `EINVAL` if it is no mount
 */
export async function unmount(directory: string, lazy = false): Promise<void> {
  for (let left = TRIES; ; left--) {
    try {
      return await tryUnmount(directory, lazy);
    } catch (error) {
      if (errorCode(error) !== 'EBUSY' || left <= 1) throw error;
      await new Promise((resolve) => void setTimeout(resolve, TRY_MS));
    }
  }
}

async function tryUnmount(directory: string, lazy: boolean): Promise<void> {
  if (!isRoot()) return await unmountByProgram(resolve(directory), lazy);
  const { status, output } = await runProgram('umount', [
    ...(lazy ? ['-l'] : []),
    '--',
    resolve(directory),
  ]);
  if (status === 0) return;
  const code = /busy/u.test(output) ? 'EBUSY' : 'EINVAL';
  throw new FilesystemError(code, `Cannot unmount ${directory}: ${reasonIn(output, 'umount')}`);
}

/**
 * Gives a mount other options of mount(8). One whose server has the volume read-only stays so,
 * whatever the kernel lets through.
 *
 * @throws {FilesystemError} `EBUSY` if it is to be read-only and somebody writes, `EINVAL`, `EPERM`
 */
export async function remount(directory: string, options: readonly string[]): Promise<void> {
  const given = ['remount', ...options].join(',');
  const { status, output } = await runProgram('mount', [
    '-i',
    '-o',
    given,
    '--',
    resolve(directory),
  ]);
  if (status === 0) return;
  const code = /busy/u.test(output)
    ? 'EBUSY'
    : /permission|superuser/u.test(output)
      ? 'EPERM'
      : 'EINVAL';
  throw new FilesystemError(code, `Cannot remount ${directory}: ${reasonIn(output, 'mount')}`);
}

/** @throws {FilesystemError} `ENOENT`, `ENOTDIR`, `EBUSY`: nothing can be mounted there */
export function checkDirectory(directory: string): void {
  try {
    if (statSync(directory).isDirectory()) return;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOTCONN') {
      const finding = 'a server that is gone has left it mounted; ramet umount cleans it up';
      throw new FilesystemError('EBUSY', `Cannot mount at ${directory}: ${finding}`);
    }
    if (code !== 'ENOENT') throw error;
    throw new FilesystemError('ENOENT', `Cannot mount at ${directory}: it does not exist`);
  }
  throw new FilesystemError('ENOTDIR', `Cannot mount at ${directory}: it is not a directory`);
}

function openDevice(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (error) {
    const known = errorCode(error) === 'EACCES' ? 'EACCES' : 'ENODEV';
    const finding = known === 'EACCES' ? 'permission denied' : 'there is none';
    throw new FilesystemError(known, `Cannot open /dev/fuse: ${finding}`, { cause: error });
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Lets mount(8) hand the descriptor, which is returned, to the kernel. */
async function attachAsRoot(options: AttachOptions, readOnly: boolean): Promise<number> {
  const fd = openDevice();
  try {
    const { source, directory } = options;
    const given = ['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0', 'allow_other'];
    const all = [...given, ...common(options, readOnly)].join(',');
    const args = ['-i', '-t', 'fuse.ramet', '-o', all, '--', source, directory];
    const { status, output } = await runProgram('mount', args, { fd });
    if (status === 0) return fd;
    const code = /permission|superuser/u.test(output) ? 'EPERM' : 'EINVAL';
    const reason = reasonIn(output, 'mount');
    throw new FilesystemError(code, `Cannot mount at ${directory}: ${reason}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Only the user himself sees what is mounted, unless he asks for `allow_other` and may. */
async function attachAsUser(options: AttachOptions, readOnly: boolean): Promise<number> {
  const { source, directory } = options;
  const name = `fsname=${source.replace(/[\\,]/gu, '\\$&')}`;
  const given = [name, 'subtype=ramet', ...common(options, readOnly)];
  return await mountByProgram(resolve(directory), given);
}

function common({ options = [] }: AttachOptions, readOnly: boolean): string[] {
  return ['default_permissions', `max_read=${DATA_MAX}`, readOnly ? 'ro' : 'rw', ...options];
}

/** The kernel reads ahead 128 KiB of a file by itself; a request can bring eight times as much. */
export function raiseReadahead(dev: number | undefined): void {
  if (dev === undefined) return;
  try {
    const name = `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
    writeFileSync(`/sys/class/bdi/${name}/read_ahead_kb`, String(DATA_MAX / 1024));
  } catch {
    // It is as fast as it is.
  }
}
