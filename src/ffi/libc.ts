/**
 * libc: calls of the C library that Node has no way to make, through koffi. Node only.
 *
 * koffi is an optional dependency, loaded when it is first needed. Only here are its calls typed:
 * a wrong signature is not an exception but a broken process.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { FilesystemError } from '../base/index.ts';

/** Calls that fail return -1 and leave a number to {@link Libc.error}. */
export interface Libc {
  mmap(
    address: null,
    length: number,
    protection: number,
    flags: number,
    descriptor: number,
    offset: number,
  ): bigint;
  munmap(address: bigint, length: number): number;
  madvise(address: bigint, length: number, advice: number): number;
  socketpair(domain: number, type: number, protocol: number, pair: Int32Array): number;
  recvmsg(socket: number, message: Uint8Array, flags: number): number;
  /** In a thread of Node's pool; -1 if it fails, and nobody tells why. */
  syncfs(descriptor: number): Promise<number>;
  /** Where an array lies, as long as somebody has it. */
  addressOf(array: ArrayBufferView): bigint;
  /** The memory at an address. Nothing frees it, and it cannot be detached. */
  view(address: bigint, length: number): ArrayBuffer;
  /** Name of the error of the call before, as in `EINVAL`. */
  error(): string;
}

let libc: Libc | undefined;

/** @throws {FilesystemError} `ENOTSUP` if koffi is not installed, or does not run here */
export function loadLibc(): Libc {
  libc ??= bind(loadKoffi());
  return libc;
}

function loadKoffi(): typeof import('koffi') {
  try {
    return createRequire(import.meta.url)('koffi');
  } catch (cause) {
    const finding = 'Cannot call the C library: the package koffi cannot be loaded';
    throw new FilesystemError('ENOTSUP', `${finding} (npm install koffi)`, { cause });
  }
}

function bind(koffi: typeof import('koffi')): Libc {
  const library = koffi.load(null);
  const syncfs = library.func('int syncfs(int)');
  return {
    mmap: library.func('void *mmap(void *, size_t, int, int, int, int64_t)'),
    munmap: library.func('int munmap(void *, size_t)'),
    madvise: library.func('int madvise(void *, size_t, int)'),
    socketpair: library.func('int socketpair(int, int, int, _Out_ int *)'),
    recvmsg: library.func('intptr_t recvmsg(int, void *, int)'),
    syncfs: (descriptor) =>
      new Promise((done, fail) =>
        syncfs.async(descriptor, (error: Error | null, status: number) =>
          error === null ? done(status) : fail(error),
        ),
      ),
    addressOf: koffi.address,
    view: koffi.view,
    error: () => getSystemErrorName(-koffi.errno()),
  };
}
