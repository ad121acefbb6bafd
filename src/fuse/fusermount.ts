/**
 * Fusermount: a mount without root. The program fusermount3, which has more rights than its user,
 * opens /dev/fuse, mounts it, and sends the open file back through a socket.
 */
import { closeSync } from 'node:fs';
import { FilesystemError } from '../base/index.ts';
import { receiveDescriptor, socketPair } from '../ffi/index.ts';
import { reasonIn, runProgram } from './programs.ts';

const PROGRAM = 'fusermount3';
/** The program's environment: which of its descriptors is the socket. */
const SOCKET = '_FUSE_COMMFD';

/**
 * Mounts at a directory, and returns the descriptor of the connection. `options` are those that a
 * user may give; the program adds `nosuid` and `nodev`.
 *
 * @throws {FilesystemError} `ENOTSUP` without koffi, `ENOENT` without the program, `EPERM` if it
 *   refuses
 */
export async function mountByProgram(
  directory: string,
  options: readonly string[],
): Promise<number> {
  const [ours, theirs] = socketPair();
  try {
    const args = ['-o', options.join(','), '--', directory];
    const { status, output } = await runProgram(PROGRAM, args, {
      fd: theirs,
      env: { [SOCKET]: '3' },
    });
    if (status !== 0) throw refused(`mount at ${directory}`, status, output);
    const fd = receiveDescriptor(ours);
    if (fd === undefined) throw refused(`mount at ${directory}`, status, 'it sent no descriptor');
    return fd;
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** @throws {FilesystemError} `EBUSY` if it is in use, `EINVAL` if it is no mount of the user's */
export async function unmountByProgram(directory: string, lazy: boolean): Promise<void> {
  const args = ['-u', ...(lazy ? ['-z'] : []), '--', directory];
  const { status, output } = await runProgram(PROGRAM, args);
  if (status === 0) return;
  if (status === null) throw refused(`unmount ${directory}`, status, output);
  const code = /busy/u.test(output) ? 'EBUSY' : 'EINVAL';
  const reason = reasonIn(output, PROGRAM);
  throw new FilesystemError(code, `Cannot unmount ${directory}: ${reason}`);
}

function refused(what: string, status: number | null, output: string): FilesystemError {
  if (status === null) {
    const finding = `without root it takes the program ${PROGRAM}, which is not installed`;
    return new FilesystemError('ENOENT', `Cannot ${what}: ${finding}`);
  }
  return new FilesystemError('EPERM', `Cannot ${what}: ${reasonIn(output, PROGRAM)}`);
}
