/**
 * Calls on files: open, close, read, write, truncate, fsync and the whole-file forms.
 */
import { FilesystemError } from '../../base/index.ts';
import { InodeKind } from '../../format/index.ts';
import { BufferedRead } from '../../iomap/index.ts';
import { checkFile, lookup, type Vnode, WriteFile } from '../../volume/index.ts';
import { type Context, holding, OpenFile } from '../context.ts';
import { bytesOf, decode, encode, encodingOf } from '../encoding.ts';
import { argumentTypeError, checkInteger, rangeError } from '../errors.ts';
import { constants, modeBits, openFlags } from '../flags.ts';
import { type PathArgument, type Place, pathBytes, resolve, resolveParent } from '../path.ts';
import { type Procedure, run } from '../procedure.ts';
import { create } from './names.ts';

const { O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_WRONLY, O_RDWR } = constants;

export interface FileOptions {
  readonly encoding?: string | null | undefined;
  readonly mode?: number | string | undefined;
  readonly flag?: string | number | undefined;
  readonly flush?: boolean | undefined;
}

/** A path, or the number of an open file. */
export type FileArgument = PathArgument | number;

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
  const vnode = yield* findOrCreate(context, path, flags, mode);
  return yield* holding(vnode, function* () {
    checkOpen(vnode, flags);
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
  const follow = (flags & O_NOFOLLOW) === 0 && (flags & O_EXCL) === 0;
  if ((flags & O_CREAT) === 0) return yield* resolve(context.walk(follow), path);
  if ((flags & O_EXCL) === 0) {
    try {
      return yield* resolve(context.walk(follow), path);
    } catch (error) {
      if (!(error instanceof FilesystemError) || error.code !== 'ENOENT') throw error;
    }
  }
  const place = yield* resolveParent(context.walk(true), path);
  return yield* holding(place.directory, () => createFile(context, place, mode, flags));
}

function* createFile(
  context: Context,
  place: Place,
  mode: number,
  flags: number,
): Procedure<Vnode> {
  if (place.name === '' || place.name === '.' || place.name === '..' || place.slash) {
    throw new FilesystemError('EISDIR', 'Cannot make a file with the name of a directory');
  }
  try {
    return yield* create(context, place, { kind: InodeKind.FILE, mode });
  } catch (error) {
    // Somebody may have made it since it was looked for, or the name is a link that leads nowhere.
    const exists = error instanceof FilesystemError && error.code === 'EEXIST';
    if (!exists || (flags & O_EXCL) !== 0) throw error;
    const vnode = yield* run(lookup(context.engine, place.directory, place.name));
    if (vnode.kind !== InodeKind.SYMLINK) return vnode;
    vnode.holds--;
    throw new FilesystemError('ENOENT', 'Cannot make a file through a link that leads nowhere');
  }
}

function checkOpen(vnode: Vnode, flags: number): void {
  const writes = (flags & (O_WRONLY | O_RDWR)) !== 0;
  if (vnode.isDirectory && (writes || (flags & O_CREAT) !== 0)) {
    throw new FilesystemError('EISDIR', 'Cannot open a directory for writing');
  }
  if (!vnode.isDirectory && (flags & O_DIRECTORY) !== 0) {
    throw new FilesystemError('ENOTDIR', 'Cannot open a file as a directory');
  }
  if (vnode.kind === InodeKind.SYMLINK) {
    throw new FilesystemError('ELOOP', 'Cannot open a symbolic link itself');
  }
  if (writes && vnode.realm.readOnly) {
    throw new FilesystemError('EROFS', 'Cannot write in a read-only snapshot');
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
  offsetOrOptions?: number | ReadOptions | null,
  length?: number | null,
  position?: number | bigint | null,
): Procedure<number> {
  const file = readableFile(context, fd);
  const options =
    typeof offsetOrOptions === 'object' && offsetOrOptions !== null
      ? offsetOrOptions
      : { offset: offsetOrOptions, length, position };
  const target = bytesOf(buffer);
  const from = checkInteger('offset', options.offset ?? 0, 0, Number.MAX_SAFE_INTEGER);
  const most = target.length - from;
  const wanted = checkInteger('length', options.length ?? most, 0, Math.max(0, most));
  const at = positionOf(options.position);
  const start = at ?? file.position;
  const operation = new BufferedRead().begin(file.vnode, start, wanted, target, from);
  const count = yield* run(operation);
  if (at === undefined) file.position = start + count;
  return count;
}

export interface ReadOptions {
  readonly offset?: number | null | undefined;
  readonly length?: number | null | undefined;
  readonly position?: number | bigint | null | undefined;
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

/** A position argument; undefined means where the file stands. */
export function positionOf(position: number | bigint | null | undefined): number | undefined {
  if (position === null || position === undefined) return undefined;
  const number = typeof position === 'bigint' ? Number(position) : position;
  if (number === -1) return undefined;
  return checkInteger('position', number, 0, Number.MAX_SAFE_INTEGER);
}

/**
 * Writes bytes, or a string. The result is the number of bytes written, fewer than asked for only
 * if something failed after some were.
 */
export function* write(
  context: Context,
  fd: number,
  data: ArrayBufferView | string,
  offsetOrPosition?: number | ReadOptions | null,
  lengthOrEncoding?: number | string | null,
  position?: number | null,
): Procedure<number> {
  const file = writableFile(context, fd);
  if (typeof data === 'string') {
    const bytes = encode(data, lengthOrEncoding as string | null | undefined);
    const at = positionOf(offsetOrPosition as number | null | undefined);
    return yield* writeAt(context, file, bytes, 0, bytes.length, at);
  }
  const bytes = bytesOf(data);
  const options =
    typeof offsetOrPosition === 'object' && offsetOrPosition !== null
      ? offsetOrPosition
      : { offset: offsetOrPosition, length: lengthOrEncoding as number | null, position };
  const from = checkInteger('offset', options.offset ?? 0, 0, bytes.length);
  const most = bytes.length - from;
  const length = checkInteger('length', options.length ?? most, 0, most);
  return yield* writeAt(context, file, bytes, from, length, positionOf(options.position));
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
  const start = file.append ? vnode.size : (position ?? file.position);
  const operation = new WriteFile(context.engine);
  const count = yield* run(operation.write(vnode, start, bytes, from, length, context.time));
  if (position === undefined || file.append) file.position = start + count;
  if (file.synchronous) yield* run(context.engine.commit());
  return count;
}

export function* readv(
  context: Context,
  fd: number,
  buffers: readonly ArrayBufferView[],
  position?: number | null,
): Procedure<number> {
  let at = positionOf(position);
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
  let at = positionOf(position);
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
  throw argumentTypeError('buffers', 'an instance of ArrayBufferView[]', buffers);
}

export function* readFile(
  context: Context,
  file: FileArgument,
  options?: FileOptions | string | null,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const flag = typeof options === 'object' ? options?.flag : undefined;
  const bytes = yield* withFile(context, file, { flags: openFlags(flag, 'r') }, (open) =>
    readAll(context, open),
  );
  return decode(bytes, encoding);
}

/** Everything from where the file stands to its end. */
function* readAll(context: Context, fd: number): Procedure<Uint8Array> {
  const { vnode, position } = readableFile(context, fd);
  const length = Math.max(0, vnode.size - position);
  if (length > 2 ** 31 - 1) {
    throw rangeError('file size', 'at most 2 GiB', `${length} bytes`);
  }
  const bytes = new Uint8Array(length);
  const count = yield* read(context, fd, bytes, 0, length);
  return count === length ? bytes : bytes.subarray(0, count);
}

export function* writeFile(
  context: Context,
  file: FileArgument,
  data: ArrayBufferView | string,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, data, options, 'w');
}

export function* appendFile(
  context: Context,
  file: FileArgument,
  data: ArrayBufferView | string,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, data, options, 'a');
}

function* putFile(
  context: Context,
  file: FileArgument,
  data: ArrayBufferView | string,
  options: FileOptions | string | null | undefined,
  otherwise: string,
): Procedure<void> {
  const bytes = encode(data, encodingOf(options));
  const settings = typeof options === 'object' && options !== null ? options : {};
  const flags = openFlags(settings.flag, otherwise);
  const mode = modeBits(settings.mode, 0o666) & ~context.umask;
  yield* withFile(context, file, { flags, mode }, function* (fd) {
    for (let at = 0; at < bytes.length; ) {
      at += yield* write(context, fd, bytes, at, bytes.length - at);
    }
    if (settings.flush === true) yield* fsync(context, fd);
  });
}

/** Runs `body` with an open file, and closes it again if it was opened here. */
export function* withFile<Result>(
  context: Context,
  file: FileArgument,
  how: { readonly flags: number; readonly mode?: number },
  body: (fd: number) => Procedure<Result>,
): Procedure<Result> {
  if (typeof file === 'number') return yield* body(file);
  const fd = yield* openPath(context, pathBytes(file), how.flags, how.mode ?? 0o666);
  try {
    return yield* body(fd);
  } finally {
    yield* context.close(fd);
  }
}

export function* truncate(
  context: Context,
  file: FileArgument,
  length?: number | null,
): Procedure<void> {
  const size = checkInteger('len', length ?? 0, 0, Number.MAX_SAFE_INTEGER);
  yield* withFile(context, file, { flags: O_RDWR }, (fd) => ftruncate(context, fd, size));
}

export function* ftruncate(context: Context, fd: number, length?: number | null): Procedure<void> {
  const size = checkInteger('len', length ?? 0, 0, Number.MAX_SAFE_INTEGER);
  const file = context.files.get(fd);
  if (!file.writable) throw new FilesystemError('EINVAL', 'Cannot truncate: not open for writing');
  yield* setSize(context, file.vnode, size);
}

function* setSize(context: Context, vnode: Vnode, size: number): Procedure<void> {
  const { time } = context;
  yield* run(context.engine.apply({ type: 'truncate', target: vnode.id, size, time }));
}

/** Makes the file, and everything done before, durable. */
export function* fsync(context: Context, fd: number): Procedure<void> {
  context.files.get(fd);
  yield* run(context.engine.commit());
}

export function* fdatasync(context: Context, fd: number): Procedure<void> {
  yield* fsync(context, fd);
}
