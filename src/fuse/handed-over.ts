/**
 * Handed over: a mount that somebody else has made, as libfuse has it. He has opened /dev/fuse and
 * mounted with it, and names his descriptor, which this process inherits, as the mount point
 * `/dev/fd/N`. It is served until the kernel's side of it ends; nothing is mounted or unmounted
 * here. Where it is mounted may be out of sight: in another mount namespace, or nowhere yet.
 */
import { fstatSync, readFileSync, type Stats, writeSync } from 'node:fs';
import { errorCode, FilesystemError } from '../base/index.ts';

/** Major and minor number of /dev/fuse. */
const DEVICE = (10 << 8) | 229;

/** The descriptor that a mount point names; undefined if it names a directory. */
export function descriptorIn(directory: string): number | undefined {
  const digits = /^\/dev\/fd\/(\d{1,9})$/u.exec(directory)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * @throws {FilesystemError} `EBADF` if it is not open, `EINVAL` if it is not of /dev/fuse,
 *   `ENODEV` if nothing is mounted by it
 */
export function checkHandedOver(fd: number): void {
  const cannot = `Cannot serve descriptor ${fd}`;
  let stat: Stats;
  try {
    stat = fstatSync(fd);
  } catch (error) {
    if (errorCode(error) !== 'EBADF') throw error;
    throw new FilesystemError('EBADF', `${cannot}: this descriptor is not open`);
  }
  if (!stat.isCharacterDevice() || stat.rdev !== DEVICE) {
    throw new FilesystemError('EINVAL', `${cannot}: this descriptor is none of /dev/fuse`);
  }
  try {
    // Too short for a message. Before it says so the kernel looks for what is mounted.
    writeSync(fd, Uint8Array.of(0));
  } catch (error) {
    if (errorCode(error) === 'EINVAL') return;
    throw new FilesystemError('ENODEV', `${cannot}: nothing is mounted by this descriptor`, {
      cause: error,
    });
  }
}

/** Where the connection of a descriptor is mounted, if that is to be seen from here. */
export function placeOf(fd: number): string | undefined {
  try {
    // Since Linux 6.16. It is the minor number of the mount's device.
    const told = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    const number = /^fuse_connection:\s*(\d+)$/mu.exec(told)?.[1];
    if (number === undefined) return undefined;
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    const line = lines.find((each) => each.split(' ')[2] === `0:${number}`);
    const text = line?.split(' ')[4];
    return text?.replace(/\\([0-7]{3})/gu, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
  } catch {
    return undefined;
  }
}
