/**
 * Errors: what a caller may have to handle, each with a kernel errno name.
 *
 * Message: *Cannot* + action + colon + what was found and what was wanted; no period at the end;
 * numbers with units, device addresses in hex. Wrong arguments are a `RangeError` or `TypeError`
 * with a `code`, thrown before anything happens; a broken promise of our own is an
 * `AssertionError`.
 */

/** The errno names ramet uses, with Linux's numbers and the phrase Node prints for each. */
export const ERRNO = {
  EPERM: [1, 'operation not permitted'],
  ENOENT: [2, 'no such file or directory'],
  EINTR: [4, 'interrupted system call'],
  EIO: [5, 'i/o error'],
  ENXIO: [6, 'no such device or address'],
  EBADF: [9, 'bad file descriptor'],
  EAGAIN: [11, 'resource temporarily unavailable'],
  ENOMEM: [12, 'not enough memory'],
  EACCES: [13, 'permission denied'],
  EBUSY: [16, 'resource busy or locked'],
  EEXIST: [17, 'file already exists'],
  EXDEV: [18, 'cross-device link not permitted'],
  ENODEV: [19, 'no such device'],
  ENOTDIR: [20, 'not a directory'],
  EISDIR: [21, 'illegal operation on a directory'],
  EINVAL: [22, 'invalid argument'],
  EMFILE: [24, 'too many open files'],
  ETXTBSY: [26, 'text file is busy'],
  EFBIG: [27, 'file too large'],
  ENOSPC: [28, 'no space left on device'],
  ESPIPE: [29, 'invalid seek'],
  EROFS: [30, 'read-only file system'],
  EMLINK: [31, 'too many links'],
  ERANGE: [34, 'result too large'],
  EDEADLK: [35, 'resource deadlock avoided'],
  ENAMETOOLONG: [36, 'name too long'],
  ENOSYS: [38, 'function not implemented'],
  ENOTEMPTY: [39, 'directory not empty'],
  ELOOP: [40, 'too many symbolic links encountered'],
  ENODATA: [61, 'no data available'],
  EOVERFLOW: [75, 'value too large for defined data type'],
  ENOTSUP: [95, 'operation not supported on socket'],
  ECANCELED: [125, 'operation canceled'],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrorCode = keyof typeof ERRNO;

export interface ErrorContext {
  /** What was being done, in the words of a system call: `open`, `rename`, `read`. */
  readonly syscall?: string;
  /** The path it was done to, where there is one. */
  readonly path?: string;
  readonly cause?: unknown;
}

/** The world said no: a name that is missing, a full volume, a failing disk. */
export class FilesystemError extends Error {
  override readonly name: string = 'FilesystemError';
  readonly code: ErrorCode;
  /** Negative, as in Node. */
  readonly errno: number;
  readonly syscall: string | undefined;
  readonly path: string | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    this.errno = -ERRNO[code][0];
    this.syscall = context.syscall;
    this.path = context.path;
  }
}

/** Bytes on the device are not what their parent promised. Always `EIO`. */
export class CorruptionError extends FilesystemError {
  override readonly name = 'CorruptionError';
  /** What was being read: `map node`, `directory node`, `superblock`, ... */
  readonly structure: string;
  /** Byte address on the device. */
  readonly address: number;

  constructor(structure: string, address: number, finding: string) {
    super('EIO', `Cannot read ${structure} at ${hex(address)}: ${finding}`);
    this.structure = structure;
    this.address = address;
  }
}

/** A device failed, or was asked for something it does not have. */
export class DeviceError extends FilesystemError {
  override readonly name = 'DeviceError';
  readonly operation: string;
  /** Byte range on the device. */
  readonly position: number;
  readonly length: number;

  constructor(
    code: ErrorCode,
    fault: {
      operation: string;
      position: number;
      length: number;
      finding: string;
      cause?: unknown;
    },
  ) {
    const range = fault.length > 0 ? ` ${fault.length} bytes at ${hex(fault.position)}` : '';
    super(code, `Cannot ${fault.operation}${range}: ${fault.finding}`, { cause: fault.cause });
    this.operation = fault.operation;
    this.position = fault.position;
    this.length = fault.length;
  }
}

/**
 * A caller's argument is wrong. Thrown before any side effect; `code` as Node's own checks have.
 */
export function argumentError(message: string): RangeError & { code: string } {
  return Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
}

/** A number as people read device addresses: `0x1f000`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** The errno name of any thrown value, if it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
