/**
 * Transfer: all bytes or an error, over system calls that may do a part (D4).
 */
import { DeviceError, errorCode } from '../base/index.ts';
import { BufferCursor, totalLength } from './buffers.ts';

/** Buffers that one system call takes at most: IOV_MAX on every system Node runs on. */
export const VECTOR_MAX = 1024;

/** Calls in a row that may be interrupted or put off before we take the host for broken. */
const ATTEMPTS_MAX = 1000;

/** One system call: moves bytes from `position` on and answers how many it moved. */
export type Move = (buffers: readonly Uint8Array[], position: number) => number;

/**
 * Calls `move` until every byte of `buffers` is moved.
 *
 * @throws what `move` throws, save `EINTR` and `EAGAIN`, which mean to try again
 * @throws {DeviceError} `EIO` if the host moves nothing although bytes are left
 */
export function transfer(
  operation: 'read' | 'write',
  position: number,
  buffers: readonly Uint8Array[],
  move: Move,
): void {
  const length = totalLength(buffers);
  if (length === 0) return;
  // Nearly always one call does it all, on the caller's own list.
  let done = buffers.length <= VECTOR_MAX ? attempt(move, buffers, position) : 0;
  if (done === length) return;
  const cursor = new BufferCursor(buffers);
  cursor.skip(done);
  while (done < length) {
    const moved = attempt(move, cursor.peek(VECTOR_MAX), position + done);
    if (moved === 0) {
      const finding = `the host stopped after ${done} bytes`;
      throw new DeviceError('EIO', { operation, position, length, finding });
    }
    cursor.skip(moved);
    done += moved;
  }
}

function attempt(move: Move, buffers: readonly Uint8Array[], position: number): number {
  for (let attempts = 1; ; attempts++) {
    try {
      return move(buffers, position);
    } catch (error) {
      const code = errorCode(error);
      if ((code !== 'EINTR' && code !== 'EAGAIN') || attempts === ATTEMPTS_MAX) throw error;
    }
  }
}
