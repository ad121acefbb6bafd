/**
 * Calls on open files: open, close, read, write, truncate, fsync.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeFlag, InodeKind } from '../../format/index.ts';
import { BufferedRead, DirectRead } from '../../iomap/index.ts';
import { checkFile, Fsync, type Vnode, WriteFile, WriteFileDirect } from '../../volume/index.ts';
import { AppendFile } from '../append.ts';
import { type Context, type DataContext, holding, OpenFile } from '../context.ts';
import { bytesOf, bytesToWrite, encode } from '../encoding.ts';
import { argumentTypeError, checkInteger, hasCode, rangeError } from '../errors.ts';
import { constants, modeBits, openFlags } from '../flags.ts';
import {
  isSpecial,
  type PathArgument,
  type Place,
  pathBytes,
  resolve,
  resolveTarget,
} from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { create } from './names.ts';
import { asksForTmpfile, openTmpfile } from './tmpfile.ts';

const { O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_WRONLY, O_RDWR, O_APPEND } = constants;

const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

export function* open(
  context: Context,
  path: PathArgument,
  flags?: string | number | null,
  mode?: number | string | null,
): Procedure<number> {
  const bits = openFlags(flags, 'r');
  const permissions = modeBits(mode, 0o666) & ~context.umask;
  return yield* openPath(context, pathBytes(path), bits, permissions);
}

/** Opens, and makes the file if it is to be made. Its result is the number of the open file. */
export function* openPath(
  context: Context,
  path: string,
  flags: number,
  mode: number,
): Procedure<number> {
  if (asksForTmpfile(flags)) return yield* openTmpfile(context, path, flags, mode);
  const follow = (flags & O_NOFOLLOW) === 0;
  const creates = (flags & O_CREAT) !== 0;
  const vnode = creates
    ? yield* findOrCreate(context, path, flags, mode)
    : yield* resolve(context.walk(follow), path);
  return yield* holding(vnode, function* () {
    checkOpen(context, vnode, flags);
    const fd = context.files.add(new OpenFile(vnode, flags));
    try {
      if ((flags & O_TRUNC) !== 0 && vnode.size > 0) yield* setSize(context, vnode, 0);
    } catch (error) {
      yield* context.close(fd);
      throw error;
    }
    return fd;
  });
}

function* findOrCreate(
  context: Context,
  path: string,
  flags: number,
  mode: number,
): Procedure<Vnode> {
  if ((flags & O_DIRECTORY) !== 0) {
    throw new FilesystemError('EINVAL', 'Cannot make a file and open it as a directory');
  }
  const exclusive = (flags & O_EXCL) !== 0;
  const follow = !exclusive && (flags & O_NOFOLLOW) === 0;
  for (;;) {
    const { place, found } = yield* resolveTarget(context.walk(follow), path);
    if (found !== undefined) {
      place.directory.holds--;
      if (!exclusive) return found;
      found.holds--;
      throw new FilesystemError('EEXIST', 'Cannot make the file: the name exists');
    }
    try {
      return yield* holding(place.directory, () => createFile(context, place, mode, exclusive));
    } catch (error) {
      // Somebody has made it since it was looked for.
      if (exclusive || !hasCode(error, 'EEXIST')) throw error;
    }
  }
}

function createFile(
  context: Context,
  place: Place,
  mode: number,
  exclusive: boolean,
): Procedure<Vnode> {
  if (place.slash || isSpecial(place.name)) {
    const code = exclusive && !place.slash ? 'EEXIST' : 'EISDIR';
    throw new FilesystemError(code, 'Cannot make a file with the name of a directory');
  }
  return create(context, place, { kind: InodeKind.FILE, mode });
}

function checkOpen(context: Context, vnode: Vnode, flags: number): void {
  const changes = (flags & (O_WRONLY | O_RDWR | O_TRUNC)) !== 0;
  if (vnode.isDirectory && (changes || (flags & O_CREAT) !== 0)) {
    throw new FilesystemError('EISDIR', 'Cannot open a directory for writing');
  }
  if (!vnode.isDirectory && (flags & O_DIRECTORY) !== 0) {
    throw new FilesystemError('ENOTDIR', 'Cannot open a file as a directory');
  }
  if (vnode.kind === InodeKind.SYMLINK) {
    throw new FilesystemError('ELOOP', 'Cannot open a symbolic link itself');
  }
  if (changes && (vnode.realm.readOnly || context.engine.store.readOnly)) {
    throw new FilesystemError('EROFS', 'Cannot open for writing: it is read-only');
  }
  if (changes && vnode.has(InodeFlag.IMMUTABLE)) {
    throw new FilesystemError('EPERM', 'Cannot open for writing: it is immutable');
  }
  const appends = (flags & (O_APPEND | O_TRUNC)) === O_APPEND;
  if (changes && vnode.has(InodeFlag.APPEND) && !appends) {
    throw new FilesystemError('EPERM', 'Cannot open for writing: it is append-only');
  }
}

export function* close(context: Context, fd: number): Procedure<void> {
  yield* context.close(fd);
}

/** Reads into `buffer`; the result is the number of bytes read, 0 at the end of the file. */
export function* read(
  context: Context,
  fd: number,
  buffer: ArrayBufferView,
  offsetOrOptions?: number | RangeOptions | null,
  length?: number | null,
  position?: number | bigint | null,
): Procedure<number> {
  const {
    bytes,
    at: offset,
    length: most,
    position: at,
  } = readPart(buffer, offsetOrOptions, length, position);
  return yield* context.using(readableFile(context, fd), function* (file) {
    const start = at ?? file.position;
    const part = { position: start, length: most, bytes, at: offset };
    const count = yield* file.direct
      ? readDirectly(context, file.vnode, part)
      : readInto(context, file.vnode, part);
    if (at === undefined) file.position = start + count;
    return count;
  });
}

/** What arguments of `read` mean. Without a position it is where the file stands. */
export function readPart(
  buffer: ArrayBufferView,
  offsetOrOptions?: number | RangeOptions | null,
  length?: number | null,
  position?: number | bigint | null,
): Omit<ReadPart, 'position'> & { readonly position: number | undefined } {
  const bytes = bytesOf(buffer);
  const range = rangeOf(bytes, offsetOrOptions, length, position);
  checkPart(bytes, range.offset, range.length);
  const at = positionOf(range.position);
  return { bytes, at: range.offset, length: range.length, position: at };
}

/** Which bytes of a file go where in a buffer. */
export interface ReadPart {
  readonly position: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Where in `bytes`. */
  readonly at: number;
}

/** Reads bytes of an inode that stays in use meanwhile. */
export function readInto(
  { reads }: Pick<DataContext, 'reads'>,
  vnode: Vnode,
  part: ReadPart,
): Procedure<number> {
  return readBy(reads, BufferedRead, vnode, part);
}

/** The same, past the cache. */
export function readDirectly(
  { directReads }: Pick<DataContext, 'directReads'>,
  vnode: Vnode,
  part: ReadPart,
): Procedure<number> {
  return readBy(directReads, DirectRead, vnode, part);
}

/** By an operation that was used before, if there is one. One that failed is not used again. */
function* readBy<Read extends BufferedRead | DirectRead>(
  idle: Read[],
  Fresh: new () => Read,
  vnode: Vnode,
  { position, length, bytes, at }: ReadPart,
): Procedure<number> {
  const operation = idle.pop() ?? new Fresh();
  const count = (yield operation.begin(vnode, position, length, bytes, at)) as number;
  idle.push(operation);
  return count;
}

export interface RangeOptions {
  readonly offset?: number | null | undefined;
  readonly length?: number | null | undefined;
  readonly position?: number | bigint | null | undefined;
}

/** Which part of a buffer is meant, and which place in the file. */
function rangeOf(
  bytes: Uint8Array,
  offsetOrOptions: number | RangeOptions | null | undefined,
  length: unknown,
  position: number | bigint | null | undefined,
): { offset: number; length: number; position: number | bigint | null | undefined } {
  const options =
    typeof offsetOrOptions === 'object' && offsetOrOptions !== null
      ? offsetOrOptions
      : { offset: offsetOrOptions, length: length as number | null | undefined, position };
  const offset = checkInteger('offset', options.offset ?? 0, -MAX_INTEGER, MAX_INTEGER);
  return {
    offset,
    length: checkInteger(
      'length',
      options.length ?? bytes.length - offset,
      -MAX_INTEGER,
      MAX_INTEGER,
    ),
    position: options.position,
  };
}

/** A file that may be read. @throws {FilesystemError} `EBADF`, `EISDIR` */
export function readableFile(context: Context, fd: number): OpenFile {
  const file = context.files.get(fd);
  if (!file.readable)
    throw new FilesystemError('EBADF', 'Cannot read: it is open for writing only');
  checkFile(file.vnode);
  return file;
}

/** A file that may be written. @throws {FilesystemError} `EBADF` */
export function writableFile(context: Context, fd: number): OpenFile {
  const file = context.files.get(fd);
  if (!file.writable)
    throw new FilesystemError('EBADF', 'Cannot write: it is open for reading only');
  return file;
}

/** A position to read at; undefined means where the file stands. */
function positionOf(position: unknown): number | undefined {
  if (position === null || position === undefined) return undefined;
  if (typeof position !== 'number' && typeof position !== 'bigint') {
    throw argumentTypeError('position', 'of type bigint or integer', position);
  }
  const at = checkInteger('position', Number(position), -1, MAX_INTEGER);
  return at === -1 ? undefined : at;
}

/** A position to write at: all but a number from 0 on means where the file stands. */
function writePositionOf(position: unknown): number | undefined {
  const at = typeof position === 'bigint' ? Number(position) : position;
  return typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : undefined;
}

/**
 * Writes bytes, or a string. The result is the number of bytes written, fewer than asked for only
 * if something failed after some were.
 */
export function* write(
  context: Context,
  fd: number,
  data: ArrayBufferView | string,
  offsetOrPosition?: number | RangeOptions | null,
  lengthOrEncoding?: number | string | null,
  position?: number | null,
): Procedure<number> {
  if (typeof data === 'string') {
    const bytes = encode(data, lengthOrEncoding as string | null | undefined);
    const at = writePositionOf(offsetOrPosition);
    return yield* context.using(writableFile(context, fd), (file) =>
      writeAt(context, file, bytes, 0, bytes.length, at),
    );
  }
  const bytes = bytesToWrite(data, 'buffer');
  const wanted = typeof lengthOrEncoding === 'number' ? lengthOrEncoding : undefined;
  const { offset, length, position: at } = rangeOf(bytes, offsetOrPosition, wanted, position);
  checkRange(bytes, offset, length);
  return yield* context.using(writableFile(context, fd), (file) =>
    writeAt(context, file, bytes, offset, length, writePositionOf(at)),
  );
}

/** Checks which part of a buffer is to be read into. */
export function checkPart(bytes: Uint8Array, offset: number, length: number): void {
  if (offset < 0) throw rangeError('offset', `>= 0 && <= ${MAX_INTEGER}`, offset);
  if (length < 0) throw rangeError('length', '>= 0', length);
  const most = bytes.length - offset;
  if (length > most) throw rangeError('length', `<= ${most}`, length);
}

/** Checks which part of a buffer is to be written. */
export function checkRange(bytes: Uint8Array, offset: number, length: number): void {
  if (offset < 0) throw rangeError('offset', `>= 0 && <= ${MAX_INTEGER}`, offset);
  if (offset > bytes.length) throw rangeError('offset', `<= ${bytes.length}`, offset);
  const most = bytes.length - offset;
  if (length > most) throw rangeError('length', `<= ${most}`, length);
  if (length < 0) throw rangeError('length', '>= 0', length);
}

function* writeAt(
  context: Context,
  file: OpenFile,
  bytes: Uint8Array,
  from: number,
  length: number,
  position: number | undefined,
): Procedure<number> {
  const { vnode } = file;
  const { time } = context;
  let count: number;
  if (file.append) {
    const append = new AppendFile(context.engine).append(vnode, bytes, from, length, time);
    count = yield* run(append);
    file.position = append.position + count;
  } else {
    const start = position ?? file.position;
    // Before the first wait, so that a write that comes meanwhile goes behind this one.
    if (position === undefined) file.position = start + length;
    const { engine, writes, directWrites } = context;
    const operation = file.direct
      ? (directWrites.pop() ?? new WriteFileDirect(engine))
      : (writes.pop() ?? new WriteFile(engine));
    try {
      count = yield* run(operation.write(vnode, start, bytes, from, length, time));
      if (operation instanceof WriteFileDirect) directWrites.push(operation);
      else writes.push(operation);
    } catch (error) {
      if (position === undefined && file.position === start + length) file.position = start;
      throw error;
    }
    if (position === undefined && count < length && file.position === start + length) {
      file.position = start + count;
    }
  }
  if (file.synchronous) yield* run(new Fsync(context.engine, vnode));
  return count;
}

export function* readv(
  context: Context,
  fd: number,
  buffers: readonly ArrayBufferView[],
  position?: number | null,
): Procedure<number> {
  let at = writePositionOf(position);
  let total = 0;
  for (const buffer of checkBuffers(buffers)) {
    const count = yield* read(context, fd, buffer, 0, buffer.byteLength, at);
    total += count;
    if (at !== undefined) at += count;
    if (count < buffer.byteLength) break;
  }
  return total;
}

export function* writev(
  context: Context,
  fd: number,
  buffers: readonly ArrayBufferView[],
  position?: number | null,
): Procedure<number> {
  let at = writePositionOf(position);
  let total = 0;
  for (const buffer of checkBuffers(buffers)) {
    const count = yield* write(context, fd, buffer, 0, buffer.byteLength, at);
    total += count;
    if (at !== undefined) at += count;
    if (count < buffer.byteLength) break;
  }
  return total;
}

function checkBuffers(buffers: readonly ArrayBufferView[]): readonly ArrayBufferView[] {
  if (Array.isArray(buffers) && buffers.every((buffer) => ArrayBuffer.isView(buffer))) {
    return buffers;
  }
  throw argumentTypeError('buffers', 'an ArrayBufferView[]', buffers);
}

/** Negative lengths mean 0, as in Node. */
export function* ftruncate(context: Context, fd: number, length?: number | null): Procedure<void> {
  const size = Math.max(0, checkInteger('len', length ?? 0, -MAX_INTEGER, MAX_INTEGER));
  const file = context.files.get(fd);
  if (!file.writable) throw new FilesystemError('EINVAL', 'Cannot truncate: not open for writing');
  yield* context.using(file, ({ vnode }) => setSize(context, vnode, size));
}

/** Sets the length of a file; what is new are holes. */
export function* setSize(context: Context, vnode: Vnode, size: number): Procedure<void> {
  const { time } = context;
  yield* run(context.engine.apply({ type: 'truncate', target: vnode.id, size, time }));
}

/** Makes the file, and everything done before, durable. */
export function* fsync(context: Context, fd: number): Procedure<void> {
  yield* makeDurable(context, fd, false);
}

/** The same, but for the time of an overwrite in place. */
export function* fdatasync(context: Context, fd: number): Procedure<void> {
  yield* makeDurable(context, fd, true);
}

function* makeDurable(context: Context, fd: number, dataOnly: boolean): Procedure<void> {
  const file = context.files.get(fd);
  if (context.engine.store.readOnly) return;
  yield* context.using(file, ({ vnode }) => run(new Fsync(context.engine, vnode, dataOnly)));
}
