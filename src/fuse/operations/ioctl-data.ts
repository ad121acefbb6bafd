/**
 * What requests of ioctl(2) bring and take. The kernel moves the bytes that the number of a request
 * speaks of, in, out, or both; what these point to it does not.
 */
import { FilesystemError } from '../../base/index.ts';
import { LABEL_SIZE } from '../constants.ts';
import { type Message, REPLY_BODY } from '../message.ts';
import { IOCTL_IN, IOCTL_OUT } from '../wire.ts';

/** Where in a reply the data is that comes out. */
export const DATA: number = REPLY_BODY + IOCTL_OUT.size;

/** A reply with zeros for what comes out. */
export function begin({ reply }: Message): void {
  reply.fill(0, REPLY_BODY, DATA + LABEL_SIZE);
}

/**
 * Ends it. The numbers of some requests say that a `long` comes out where programs have room for an
 * `int`: the kernel copies what it is given, so no more than there is.
 */
export function end(message: Message, size: number): number {
  return IOCTL_OUT.size + Math.min(size, message.u32(IOCTL_IN.at.out_size));
}

/** Words of what goes in, which has `size` bytes at the least. */
export function input(message: Message, size: number): (at: number) => number {
  const start = inputStart(message, size);
  return (at) => message.view.getUint32(start + at, true);
}

/** Where in the bytes of a request that is. */
export function inputStart(message: Message, size: number): number {
  const length = message.u32(IOCTL_IN.at.in_size);
  const start = message.data(IOCTL_IN.size, length);
  if (length < size) throw new FilesystemError('EINVAL', `Cannot take ${length} of ${size} bytes`);
  return start;
}
