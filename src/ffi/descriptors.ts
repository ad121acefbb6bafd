/**
 * Descriptors: receives an open file from another process, which is how a program with more rights
 * hands one over. Node only.
 */
import { endianness } from 'node:os';
import { arch } from 'node:process';
import { FilesystemError } from '../base/index.ts';
import { loadLibc } from './libc.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/** `struct msghdr` and `struct cmsghdr` where pointers have 64 bits. */
const MSGHDR = { size: 56, iov: 16, iovlen: 24, control: 32, controllen: 40 };
const CMSGHDR = { length: 0, level: 8, type: 12, data: 16 };
const CONTROL_SIZE = CMSGHDR.data + 8;

/** Two sockets that are connected; neither is inherited by other programs. */
export function socketPair(): [ours: number, theirs: number] {
  const { socketpair, error } = loadLibc();
  const pair = new Int32Array(2);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) !== 0) {
    throw new FilesystemError('EIO', `Cannot make a pair of sockets: the host says ${error()}`);
  }
  return [pair[0] as number, pair[1] as number];
}

/**
 * The descriptor that was sent to a socket, ours now; undefined if none was.
 *
 * @throws {FilesystemError} `ENOTSUP` where pointers do not have 64 bits
 */
export function receiveDescriptor(socket: number): number | undefined {
  if (endianness() !== 'LE' || !arch.endsWith('64')) {
    throw new FilesystemError('ENOTSUP', `Cannot receive a descriptor: not done for ${arch} yet`);
  }
  const { recvmsg, addressOf } = loadLibc();
  const [data, iovec] = [new Uint8Array(1), new BigUint64Array(2)];
  const [control, header] = [new Uint8Array(CONTROL_SIZE), new Uint8Array(MSGHDR.size)];
  iovec.set([addressOf(data), 1n]);
  const view = new DataView(header.buffer);
  view.setBigUint64(MSGHDR.iov, addressOf(iovec), true);
  view.setBigUint64(MSGHDR.iovlen, 1n, true);
  view.setBigUint64(MSGHDR.control, addressOf(control), true);
  view.setBigUint64(MSGHDR.controllen, BigInt(CONTROL_SIZE), true);
  if (recvmsg(socket, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) return undefined;
  const found = new DataView(control.buffer);
  const isDescriptor =
    view.getBigUint64(MSGHDR.controllen, true) >= BigInt(CMSGHDR.data + 4) &&
    found.getInt32(CMSGHDR.level, true) === SOL_SOCKET &&
    found.getInt32(CMSGHDR.type, true) === SCM_RIGHTS;
  return isDescriptor ? found.getInt32(CMSGHDR.data, true) : undefined;
}
