/**
 * Sparse: copying the data of a file so that holes stay holes.
 *
 * Node cannot ask the host where holes are, so a block of zeros counts as one, whether the source
 * had a block there or not. It reads the same.
 */
import { BLOCK_SIZE, MIB } from '../base/index.ts';
import type { TreeFs } from './copy-tree.ts';

/** A part of a file that may hold data. */
export interface Run {
  readonly offset: number;
  readonly length: number;
}

/** An open file of either side. */
export interface OpenFile {
  readonly fs: TreeFs;
  readonly fd: number;
}

const CHUNK = MIB;
const ZEROS = Buffer.alloc(BLOCK_SIZE);
/** One for all copies: they take turns, and each is done with it before it gives way. */
const chunk = Buffer.allocUnsafeSlow(CHUNK);

/**
 * Copies the runs of a file of `size` bytes to an empty file, which is as long afterwards, or as
 * long as was there to be read. Gives way after each MiB that is not the last; the result is the
 * number of bytes that were written.
 */
export function* copyData(
  from: OpenFile,
  to: OpenFile,
  size: number,
  runs: Iterable<Run>,
): Generator<void, number, void> {
  let written = 0;
  let end = 0;
  let length = size;
  for (const run of runs) {
    const stop = Math.min(run.offset + run.length, size);
    for (let at = run.offset; at < stop; ) {
      const count = from.fs.readSync(from.fd, chunk, 0, Math.min(CHUNK, stop - at), at);
      if (count === 0) {
        length = at;
        break;
      }
      const last = writeRuns(to, chunk, count, at);
      written += last.written;
      end = Math.max(end, last.end);
      at += count;
      if (at < size) yield;
    }
  }
  if (end < length) to.fs.ftruncateSync(to.fd, length);
  return written;
}

/** Writes `length` bytes at a position, but for blocks of zeros; tells where the last one ended. */
export function writeRuns(
  to: OpenFile,
  bytes: Buffer,
  length: number,
  position: number,
): { written: number; end: number } {
  let written = 0;
  let end = 0;
  let start = 0;
  const flush = (stop: number): void => {
    if (stop <= start) return;
    writeAll(to, bytes.subarray(start, stop), position + start);
    written += stop - start;
    end = position + stop;
  };
  for (let at = 0; at < length; at += BLOCK_SIZE) {
    const next = Math.min(at + BLOCK_SIZE, length);
    if (!isZero(bytes, at, next)) continue;
    flush(at);
    start = next;
  }
  flush(length);
  return { written, end };
}

/** Writes all of it, however often the system has to be asked. */
export function writeAll({ fs, fd }: OpenFile, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** Most blocks do not begin with a zero, so this is a look at one byte. */
function isZero(bytes: Buffer, start: number, end: number): boolean {
  return (
    bytes[start] === 0 &&
    bytes[end - 1] === 0 &&
    bytes.compare(ZEROS, 0, end - start, start, end) === 0
  );
}
