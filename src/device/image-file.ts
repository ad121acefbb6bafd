/**
 * Image file: opens, creates, measures and locks what a file device lives in. Node only.
 *
 * F1. A writable image is ours alone and a read-only one is shared with readers only, for as long
 *     as the descriptor is open, unless the caller declined the lock.
 * F2. When `openImage` fails, nothing is left open, and a file that it made is gone again.
 * F3. When `openImage` has created an image, its name and its size are durable.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { platform } from 'node:process';
import { argumentError, BLOCK_SIZE, errorCode } from '../base/index.ts';
import { type LockMode, lockDescriptor, lockOpenFlags } from './file-lock.ts';
import { isCount } from './guard.ts';
import { deviceCode, openError } from './host-error.ts';
import { describeOwner, writeOwner } from './owner-file.ts';

export interface FileDeviceOptions {
  /** Opens for reading, together with other readers. Default false. */
  readonly readOnly?: boolean;
  /** Makes the file, which must not exist, `size` bytes long and all holes. Default false. */
  readonly create?: boolean;
  readonly size?: number;
  /**
   * False: whoever calls keeps other processes away. On systems without any flock there is no
   * other way. Default true.
   */
  readonly lock?: boolean;
  /**
   * True: past the host's own cache (O_DIRECT), so that nothing is in memory twice. Linux only, and
   * not on every file system. Default false.
   *
   * Measured on ext4 on a virtio disk, a MiB at a time with O_DIRECT on the volume too: writes made
   * durable take a seventh to a third less time; reads of what nobody has in memory take as long or
   * a quarter longer, since the host no longer reads ahead. Memory that is not aligned is copied.
   */
  readonly direct?: boolean;
  /**
   * True: what is in the host's cache is memory too, so that a volume can give views of files as
   * they lie there ({@link Device.view}). Writes go their ordinary way. Needs the package koffi and
   * Linux 5.14. Not together with `direct`. Default false.
   *
   * Such memory is to be read: a store to it ends the process and never reaches the image. It stays
   * what it is after `close`, for as long as somebody has an array of it. A file that somebody
   * cuts short while it is open, against its lock, ends whoever reads there.
   */
  readonly mapped?: boolean;
}

/** An open image, and how to let go of it. */
export interface ImageFile {
  readonly descriptor: number;
  readonly size: number;
  readonly isBlockDevice: boolean;
  close(): void;
}

/** An image that another thread may use: its descriptor, which belongs to whoever lends it. */
export interface ImageLoan {
  readonly path: string;
  readonly readOnly: boolean;
  readonly descriptor: number;
}

/** An image has at least a block. */
const SIZE_MIN = BLOCK_SIZE;

/** Unit of sizes under /sys/dev/block, whatever the device's own sectors are. */
const SYS_SECTOR = 512;

/** @throws {DeviceError} saying in one sentence why the image cannot be opened */
export function openImage(path: string, options: FileDeviceOptions): ImageFile {
  const { readOnly = false, create = false, lock = true, direct = false } = options;
  if (direct && options.mapped === true) {
    throw argumentError(
      `Cannot open ${path}: what is mapped is in the cache that direct passes by`,
    );
  }
  if (create) checkCreation(path, options);
  else checkKind(path, statOf(path));
  const mode: LockMode = readOnly ? 'shared' : 'exclusive';
  const request = { readOnly, create, direct, mode: lock ? mode : undefined };
  const descriptor = openDescriptor(path, request);
  let forgetOwner: (() => void) | undefined;
  const close = () => {
    // While we have the lock: once the descriptor is closed, the file may be another holder's.
    forgetOwner?.();
    closeSync(descriptor);
  };
  try {
    if (lock) forgetOwner = takeLock(path, descriptor, mode);
    if (create) establish(path, descriptor, options.size as number);
    const stats = fstatSync(descriptor);
    const size = measure(path, stats);
    if (direct && size % BLOCK_SIZE !== 0) {
      throw openError(
        'EINVAL',
        `${path} has ${size} bytes, which are no whole blocks for O_DIRECT`,
      );
    }
    return {
      descriptor,
      size,
      isBlockDevice: stats.isBlockDevice(),
      close,
    };
  } catch (error) {
    // Busy: somebody took our new file before we could lock it, so it is theirs.
    if (create && errorCode(error) !== 'EBUSY') rmSync(path, { force: true });
    close();
    throw error;
  }
}

/** An image by a descriptor of somebody else, who keeps it, and the lock. */
export function lentImage(path: string, descriptor: number): ImageFile {
  const stats = fstatSync(descriptor);
  const size = measure(path, stats);
  return { descriptor, size, isBlockDevice: stats.isBlockDevice(), close: () => {} };
}

function checkCreation(path: string, { size, readOnly }: FileDeviceOptions): void {
  if (size === undefined || !isCount(size) || size < SIZE_MIN) {
    throw argumentError(`Cannot create ${path}: size ${size} is not ${SIZE_MIN} bytes or more`);
  }
  if (readOnly) throw argumentError(`Cannot create ${path}: a new image cannot be read-only`);
}

function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw explain(path, error, 'read');
  }
}

/** Asked before opening: merely opening a pipe waits for its other end. */
function checkKind(path: string, stats: Stats): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  if (stats.isDirectory()) throw openError('EISDIR', `${path} is a directory`);
  throw openError('EINVAL', `${path} is neither a regular file nor a block device`);
}

interface OpenRequest {
  readonly readOnly: boolean;
  readonly create: boolean;
  readonly direct: boolean;
  /** Undefined: no lock is wanted. */
  readonly mode: LockMode | undefined;
}

function openDescriptor(path: string, request: OpenRequest): number {
  const { readOnly, create, direct, mode } = request;
  // Systems without it have no such constant.
  if (direct && constants.O_DIRECT === undefined) {
    throw openError('ENOTSUP', `there is no O_DIRECT to open ${path} with on ${platform}`);
  }
  try {
    // On a block device that exists, O_EXCL asks the kernel for it: a mounted disk is `EBUSY`.
    const claim = create || (!readOnly && statSync(path).isBlockDevice());
    const flags =
      (readOnly ? constants.O_RDONLY : constants.O_RDWR) |
      (create ? constants.O_CREAT : 0) |
      (claim ? constants.O_EXCL : 0) |
      (direct ? constants.O_DIRECT : 0) |
      (mode === undefined ? 0 : lockOpenFlags(mode));
    return openSync(path, flags, 0o666);
  } catch (error) {
    throw explain(path, error, create ? 'create' : readOnly ? 'read' : 'write');
  }
}

/** Answers how to remove the owner file again. */
function takeLock(path: string, descriptor: number, mode: LockMode): () => void {
  if (tryLock(path, descriptor, mode)) return writeOwner(realpathSync(path), mode);
  throw openError('EBUSY', `${path} is ${ownerOf(path)}`);
}

function tryLock(path: string, descriptor: number, mode: LockMode): boolean {
  try {
    return lockDescriptor(descriptor, mode);
  } catch (cause) {
    const finding =
      `there is no lock to be had for ${path} (is the program flock installed?); ` +
      'pass lock: false if nothing else opens it';
    throw openError('ENOTSUP', finding, cause);
  }
}

/** F3: the file first, then the directory that names it. */
function establish(path: string, descriptor: number, size: number): void {
  try {
    ftruncateSync(descriptor, size);
    fsyncSync(descriptor);
    if (platform !== 'win32') syncDirectory(dirname(path));
  } catch (error) {
    throw explain(path, error, 'create');
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function measure(path: string, stats: Stats): number {
  checkKind(path, stats);
  const size = stats.isBlockDevice() ? blockDeviceSize(path, stats.rdev) : stats.size;
  if (size >= SIZE_MIN) return size;
  throw openError('EINVAL', `${path} has ${size} bytes, an image at least ${SIZE_MIN}`);
}

/** Node has no ioctl, so BLKGETSIZE64 is out of reach; Linux also tells through sysfs. */
function blockDeviceSize(path: string, device: number): number {
  const { major, minor } = deviceNumbers(device);
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SYS_SECTOR;
  } catch (cause) {
    throw openError('ENOTSUP', `the size of the block device ${path} is not to be had`, cause);
  }
}

/** Linux's 64-bit device number: minor 0-7, major 8-19, minor 20-31, major 32-43. */
export function deviceNumbers(device: number): { major: number; minor: number } {
  const number = BigInt(device);
  return {
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n)),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n)),
  };
}

/** However the image is reached, its owner file lies beside the image itself. */
function ownerOf(path: string): string {
  return describeOwner(realpathSync(path));
}

function explain(path: string, error: unknown, wanted: 'read' | 'write' | 'create'): Error {
  const code = deviceCode(error);
  switch (errorCode(error)) {
    case 'ENOENT':
      return openError(code, `${wanted === 'create' ? dirname(path) : path} does not exist`, error);
    case 'ENOTDIR':
      return openError(code, `${path} leads through something that is not a directory`, error);
    case 'EEXIST':
      return openError(code, `${path} exists already`, error);
    case 'EACCES':
    case 'EPERM':
      return openError(code, `no permission to ${wanted} ${path}`, error);
    case 'EROFS':
      return openError(code, `${path} lies on a read-only file system`, error);
    case 'ENOSPC':
      return openError(code, `no space is left for ${path}`, error);
    // From open(2) itself: a lock flag that found the file locked.
    case 'EAGAIN':
      return openError('EBUSY', `${path} is ${ownerOf(path)}`, error);
    case 'EBUSY':
      return openError(code, `${path} is mounted, or ${ownerOf(path)}`, error);
    default:
      return openError(code, `the host refuses ${path}: ${(error as Error).message}`, error);
  }
}
