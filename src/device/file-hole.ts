/**
 * File hole: gives a range of an open image back to the host. Node only.
 *
 * Node has no fallocate(2). The program `fallocate` of util-linux makes a hole in a file that it
 * opens by a path; the path is that of the descriptor it inherits, so it is our file whatever its
 * name has become. Each call costs a process, about 3 ms.
 *
 * A block device is not to be had that way: it is ours alone (F1), and Linux lets nobody discard
 * blocks through another descriptor then.
 */
import { spawnSync } from 'node:child_process';
import { DeviceError } from '../base/index.ts';
import type { Range } from './range-set.ts';

/** Our descriptor as the child has it. */
const INHERITED = '/proc/self/fd/3';

/** What the program and the kernel say when it is not to be had, in English. */
const UNSUPPORTED = /not supported|unsupported|option|usage/iu;

/**
 * Makes a hole. After an error a part of the range may be one.
 *
 * @throws {DeviceError} `ENOTSUP` if the program is missing, or the host cannot do it here
 */
export function punchHole(descriptor: number, range: Range): void {
  const { start, end } = range;
  const options = ['--punch-hole', '--offset', `${start}`, '--length', `${end - start}`];
  const { status, stderr, error } = spawnSync('fallocate', [...options, INHERITED], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
    env: { ...process.env, LC_ALL: 'C' },
    encoding: 'utf8',
  });
  if (status === 0) return;
  if (error !== undefined) {
    const finding = 'the program fallocate, which gives space back, cannot be run';
    throw punchError('ENOTSUP', range, finding, error);
  }
  const said = (stderr ?? '').trim().split('\n').at(-1) ?? '';
  const code = UNSUPPORTED.test(said) ? 'ENOTSUP' : 'EIO';
  throw punchError(code, range, `the host does not take the space back: ${said}`);
}

/** Why a range of an image cannot be given back. */
export function punchError(
  code: 'ENOTSUP' | 'EIO',
  { start, end }: Range,
  finding: string,
  cause?: Error,
): DeviceError {
  const call = { operation: 'discard', position: start, length: end - start };
  return new DeviceError(code, { ...call, finding, cause });
}
