/**
 * File ranges: what a volume does with parts of files that `node:fs` has no calls for. The names
 * and the rules are those of the Linux calls with the same purpose.
 */

import type { DedupeResult } from '../volume/index.ts';
import {
  type AllocateOptions,
  allocate,
  type CloneRangeOptions,
  cloneRange,
  collapseRange,
  copyRange,
  type DedupeOptions,
  dedupeRange,
  insertRange,
  punch,
  seek,
  unshareRange,
  zeroRange,
} from './calls/ranges.ts';
import type { FileArgument } from './calls/whole-files.ts';
import type { Caller } from './fs.ts';
import { fileSite } from './locator.ts';
import { type FileView, type MapOptions, mapFile, type WritableFileView } from './views.ts';

/** Files are named by a path, by the number of an open file, or by its handle. */
export abstract class FileRanges {
  protected abstract readonly caller: Caller;

  /**
   * Makes a range of `target` share the blocks of a range of `source`; without a range, all of
   * `source` becomes the beginning of `target`. No data is copied, and the files stay independent.
   * Whole files are one step in constant time; other ranges are a step for each megabyte, so that a
   * crash leaves a first part of the range. Returns the number of bytes, fewer than asked for only
   * if something failed after some were cloned. The rules are those of ioctl_ficlonerange(2).
   *
   * @throws `EINVAL` if offsets are not multiples of 4,096, if a length is not one and does not end
   *   both files, if the source ends before, or if a file is cloned onto itself; `EBADF`, `EROFS`,
   *   `ENOENT`, `EISDIR`, `ENOSPC`; nothing has changed then
   */
  async cloneRange(
    source: FileArgument,
    target: FileArgument,
    range: CloneRangeOptions = {},
  ): Promise<number> {
    const call = cloneRange(this.caller.context, source, target, range);
    return await this.caller.start(call, fileSite('clone', source, target));
  }

  cloneRangeSync(
    source: FileArgument,
    target: FileArgument,
    range: CloneRangeOptions = {},
  ): number {
    const call = cloneRange(this.caller.context, source, target, range);
    return this.caller.finish(call, fileSite('clone', source, target));
  }

  /**
   * Makes zeros of `length` bytes of a file, and holes of the whole blocks among them, which are
   * given back. The size stays; bytes after it are nobody's. One step, in constant time: a reader
   * sees all of it or nothing. Durable as any change is. The idea is fallocate(2)'s PUNCH_HOLE.
   *
   * @throws `EBADF` if an open file is not open for writing, `EROFS`, `ENOENT`, `EISDIR`; `ENOSPC`
   *   if there is no room for the edges; nothing has changed then
   */
  async punch(file: FileArgument, offset: number, length: number): Promise<void> {
    await this.caller.start(
      punch(this.caller.context, file, offset, length),
      fileSite('punch', file),
    );
  }

  punchSync(file: FileArgument, offset: number, length: number): void {
    this.caller.finish(punch(this.caller.context, file, offset, length), fileSite('punch', file));
  }

  /** The same, and a file that ends before the range does becomes longer, unless `keepSize`. */
  async zeroRange(
    file: FileArgument,
    offset: number,
    length: number,
    options: AllocateOptions = {},
  ): Promise<void> {
    const call = zeroRange(this.caller.context, file, offset, length, options);
    await this.caller.start(call, fileSite('zero', file));
  }

  zeroRangeSync(
    file: FileArgument,
    offset: number,
    length: number,
    options: AllocateOptions = {},
  ): void {
    this.caller.finish(
      zeroRange(this.caller.context, file, offset, length, options),
      fileSite('zero', file),
    );
  }

  /**
   * Reserves space for a range of a file: its holes become unwritten, which read as zeros, and a
   * write there finds its blocks also on a volume that is full. A file that ends before the range
   * does becomes longer, unless `keepSize`; what is behind its end is reserved too. The promise is
   * kept on the device. It belongs to blocks that are this file's alone: a clone shares what is
   * reserved and has no second promise, and whoever first writes near there goes without. It is
   * fallocate(2) without a mode.
   *
   * @throws `ENOSPC` if there is not as much space, `EFBIG`, `EBADF`, `EROFS`, `ENOENT`, `EISDIR`;
   *   what was reserved before stays so, no byte has changed
   */
  async allocate(
    file: FileArgument,
    offset: number,
    length: number,
    options: AllocateOptions = {},
  ): Promise<void> {
    const call = allocate(this.caller.context, file, offset, length, options);
    await this.caller.start(call, fileSite('allocate', file));
  }

  allocateSync(
    file: FileArgument,
    offset: number,
    length: number,
    options: AllocateOptions = {},
  ): void {
    const call = allocate(this.caller.context, file, offset, length, options);
    this.caller.finish(call, fileSite('allocate', file));
  }

  /**
   * Takes a range of bytes out of a file: what was behind it follows at `offset`, and the file is
   * shorter. No data is copied. A reader sees the old file or the new one, and so does whoever
   * opens the volume after a crash; the work is a step for each megabyte behind the range. It is
   * fallocate(2)'s COLLAPSE_RANGE.
   *
   * @throws `EINVAL` if offset or length are not multiples of 4,096, or if the range goes to the
   *   end of the file or beyond; `EBADF`, `EROFS`, `ENOENT`, `EISDIR`, `ENOSPC`; nothing has
   *   changed then
   */
  async collapseRange(file: FileArgument, offset: number, length: number): Promise<void> {
    const call = collapseRange(this.caller.context, file, offset, length);
    await this.caller.start(call, fileSite('collapse', file));
  }

  collapseRangeSync(file: FileArgument, offset: number, length: number): void {
    const call = collapseRange(this.caller.context, file, offset, length);
    this.caller.finish(call, fileSite('collapse', file));
  }

  /**
   * Puts a hole of `length` bytes into a file: what was at `offset` and behind it follows after the
   * hole. Otherwise as {@link collapseRange}. It is fallocate(2)'s INSERT_RANGE.
   *
   * @throws `EINVAL` if offset or length are not multiples of 4,096, or if the offset is not before
   *   the end of the file; `EFBIG`, `EBADF`, `EROFS`, `ENOENT`, `EISDIR`, `ENOSPC`; nothing has
   *   changed then
   */
  async insertRange(file: FileArgument, offset: number, length: number): Promise<void> {
    const call = insertRange(this.caller.context, file, offset, length);
    await this.caller.start(call, fileSite('insert', file));
  }

  insertRangeSync(file: FileArgument, offset: number, length: number): void {
    const call = insertRange(this.caller.context, file, offset, length);
    this.caller.finish(call, fileSite('insert', file));
  }

  /**
   * Gives a range of a file blocks that no clone uses: shared ones are copied, others stay. Bytes
   * do not change; after the end of the file nothing is done. Durable as any write is. It is
   * fallocate(2)'s UNSHARE_RANGE; every write of a range does as much for what it writes.
   *
   * @throws `ENOSPC`, `EBADF`, `EROFS`, `ENOENT`, `EISDIR`; what was copied before stays so
   */
  async unshareRange(file: FileArgument, offset: number, length: number): Promise<void> {
    const call = unshareRange(this.caller.context, file, offset, length);
    await this.caller.start(call, fileSite('unshare', file));
  }

  unshareRangeSync(file: FileArgument, offset: number, length: number): void {
    const call = unshareRange(this.caller.context, file, offset, length);
    this.caller.finish(call, fileSite('unshare', file));
  }

  /**
   * Where the next data is, or the next hole, from `offset` on: `offset` itself if it is there. The
   * end of the file is a hole. Changes nothing. It is lseek(2) with SEEK_DATA or SEEK_HOLE.
   *
   * @throws `ENXIO` if `offset` is not before the end of the file, or if no data follows
   */
  async seek(file: FileArgument, offset: number, what: 'data' | 'hole'): Promise<number> {
    return await this.caller.start(
      seek(this.caller.context, file, offset, what),
      fileSite('lseek', file),
    );
  }

  seekSync(file: FileArgument, offset: number, what: 'data' | 'hole'): number {
    return this.caller.finish(
      seek(this.caller.context, file, offset, what),
      fileSite('lseek', file),
    );
  }

  /**
   * Makes equal ranges of two files share their blocks. Bytes are compared and shared in one step,
   * so that nothing can change in between; what is equal before the first difference is shared.
   * Neither file looks different afterwards. The rules are those of ioctl_fideduperange(2).
   *
   * @throws `EINVAL` as for {@link cloneRange}, and if the target ends before the range does;
   *   `ENOTSUP` if a file is so small that it has no blocks; `EBADF`, `EROFS`, `ENOENT`, `ENOSPC`
   */
  async dedupeRange(
    source: FileArgument,
    target: FileArgument,
    range: DedupeOptions = {},
  ): Promise<DedupeResult> {
    const call = dedupeRange(this.caller.context, source, target, range);
    return await this.caller.start(call, fileSite('dedupe', source, target));
  }

  dedupeRangeSync(
    source: FileArgument,
    target: FileArgument,
    range: DedupeOptions = {},
  ): DedupeResult {
    const call = dedupeRange(this.caller.context, source, target, range);
    return this.caller.finish(call, fileSite('dedupe', source, target));
  }

  /**
   * Copies a range of bytes from one file to another, as copy_file_range(2) does: whole blocks are
   * shared where the offsets allow it, the edges are copied. Returns the number of bytes; fewer
   * than asked for at the end of the source. Not one step: a reader may see a part of it.
   *
   * @throws `EINVAL` if the ranges overlap in one file; `EBADF`, `EROFS`, `ENOENT`, `ENOSPC`; what
   *   was copied before the failure stays
   */
  async copyRange(
    source: FileArgument,
    target: FileArgument,
    range: CloneRangeOptions = {},
  ): Promise<number> {
    const call = copyRange(this.caller.context, source, target, range);
    return await this.caller.start(call, fileSite('copy', source, target));
  }

  copyRangeSync(source: FileArgument, target: FileArgument, range: CloneRangeOptions = {}): number {
    const call = copyRange(this.caller.context, source, target, range);
    return this.caller.finish(call, fileSite('copy', source, target));
  }

  /**
   * A range of an open file as memory: a {@link FileView} to be read, or with `write` a
   * {@link WritableFileView} to be stored to. To read in place takes a device that is memory
   * itself; what is dirty of the file is written back first. A view that can be stored to works on
   * any device; all of them together have at most 64 MiB.
   *
   * @throws `ENOTSUP` if the device is not memory, `EINVAL` if the range is not in the file or is
   *   longer than 256 MiB, `ENOMEM` beyond the 64 MiB, `EBADF`, `EIO`, and what a write throws
   */
  map(
    file: FileArgument,
    offset: number,
    length: number,
    options: MapOptions & { readonly write: true },
  ): Promise<WritableFileView>;
  map(
    file: FileArgument,
    offset: number,
    length: number,
    options?: MapOptions & { readonly write?: false | undefined },
  ): Promise<FileView>;
  async map(
    file: FileArgument,
    offset: number,
    length: number,
    options: MapOptions = {},
  ): Promise<FileView | WritableFileView> {
    const call = mapFile(this.caller, file, offset, length, options);
    return await this.caller.start(call, fileSite('mmap', file));
  }

  mapSync(
    file: FileArgument,
    offset: number,
    length: number,
    options: MapOptions & { readonly write: true },
  ): WritableFileView;
  mapSync(
    file: FileArgument,
    offset: number,
    length: number,
    options?: MapOptions & { readonly write?: false | undefined },
  ): FileView;
  mapSync(
    file: FileArgument,
    offset: number,
    length: number,
    options: MapOptions = {},
  ): FileView | WritableFileView {
    const call = mapFile(this.caller, file, offset, length, options);
    return this.caller.finish(call, fileSite('mmap', file));
  }
}
