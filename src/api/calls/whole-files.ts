/**
 * Calls on whole files: readFile, writeFile, appendFile, truncate. They take a path, and open and
 * close the file themselves, or an open file, which they leave open.
 */
import { checkFile } from '../../volume/index.ts';
import type { Context } from '../context.ts';
import { bytesToWrite, decode, type Encoding, encode, encodingOf } from '../encoding.ts';
import { argumentTypeError, checkFlag } from '../errors.ts';
import { constants, modeBits, openFlags } from '../flags.ts';
import { type PathArgument, pathBytes, resolve } from '../path.ts';
import { answer, type Procedure } from '../procedure.ts';
import { fsync, ftruncate, openPath, read, readableFile, readInto, write } from './files.ts';

/** A path, or an open file: its number, or its handle. */
export type FileArgument = PathArgument | number | { readonly fd: number };

export interface FileOptions {
  readonly encoding?: Encoding;
  readonly mode?: number | string | undefined;
  readonly flag?: string | number | undefined;
  readonly flush?: boolean | undefined;
}

/** Bytes of a file that come piece by piece. */
export type Pieces = Iterable<unknown> | AsyncIterable<unknown>;

/** What a buffer can hold. */
const LENGTH_MAX = 2 ** 31 - 1;

export function* readFile(
  context: Context,
  file: FileArgument,
  options?: FileOptions | string | null,
): Procedure<string | Uint8Array> {
  const encoding = encodingOf(options);
  const flag = typeof options === 'object' ? options?.flag : undefined;
  const plain = flag === undefined && !isOpen(file);
  const bytes = plain
    ? yield* readPath(context, pathBytes(file))
    : yield* withFile(context, file, { flags: openFlags(flag, 'r') }, (open) =>
        readAll(context, open),
      );
  return decode(bytes, encoding);
}

/** All of the file that a path names, which needs no number for that. */
function* readPath(context: Context, path: string): Procedure<Uint8Array> {
  const vnode = yield* resolve(context.walk(true), path);
  vnode.opens++;
  vnode.holds--;
  try {
    checkFile(vnode);
    const { size } = vnode;
    checkLength(size);
    const bytes = new Uint8Array(size);
    return yield* filled(bytes, (at) =>
      readInto(context, vnode, { position: at, length: size - at, bytes, at }),
    );
  } finally {
    vnode.opens--;
    yield* context.closed(vnode);
  }
}

function checkLength(length: number): void {
  if (length <= LENGTH_MAX) return;
  throw Object.assign(new RangeError(`File size (${length}) is greater than 2 GiB`), {
    code: 'ERR_FS_FILE_TOO_LARGE',
  });
}

/** Everything from where the file stands to its end. */
function* readAll(context: Context, fd: number): Procedure<Uint8Array> {
  const { vnode, position } = readableFile(context, fd);
  const length = Math.max(0, vnode.size - position);
  checkLength(length);
  const bytes = new Uint8Array(length);
  return yield* filled(bytes, (at) => read(context, fd, bytes, at, length - at));
}

/**
 * The bytes that several reads come to. One that fails says what it had by then, so fewer bytes
 * than were asked for are the end of the file only if the next read has none.
 */
function* filled(
  bytes: Uint8Array,
  readFrom: (at: number) => Procedure<number>,
): Procedure<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const count = yield* readFrom(at);
    if (count === 0) return bytes.subarray(0, at);
    at += count;
  }
  return bytes;
}

export function* writeFile(
  context: Context,
  file: FileArgument,
  data: ArrayBufferView | string,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, [encode(data, encodingOf(options))], options, 'w');
}

export function* appendFile(
  context: Context,
  file: FileArgument,
  data: ArrayBufferView | string,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, [encode(data, encodingOf(options))], options, 'a');
}

/** writeFile, of what comes piece by piece. */
export function* writePieces(
  context: Context,
  file: FileArgument,
  pieces: Pieces,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, pieces, options, 'w');
}

/** appendFile, of what comes piece by piece. */
export function* appendPieces(
  context: Context,
  file: FileArgument,
  pieces: Pieces,
  options?: FileOptions | string | null,
): Procedure<void> {
  yield* putFile(context, file, pieces, options, 'a');
}

/** True for what {@link writePieces} takes and a buffer is not. */
export function isPieces(data: unknown): data is Pieces {
  return (
    typeof data === 'object' &&
    data !== null &&
    !ArrayBuffer.isView(data) &&
    (Symbol.asyncIterator in data || Symbol.iterator in data)
  );
}

function* putFile(
  context: Context,
  file: FileArgument,
  pieces: Pieces,
  options: FileOptions | string | null | undefined,
  otherwise: string,
): Procedure<void> {
  const encoding = encodingOf(options);
  const settings = typeof options === 'object' && options !== null ? options : {};
  const flags = openFlags(settings.flag, otherwise);
  const mode = modeBits(settings.mode, 0o666) & ~context.umask;
  const flush = checkFlag('options.flush', settings.flush);
  yield* withFile(context, file, { flags, mode }, function* (fd) {
    const walk =
      Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
    for (;;) {
      const next = yield* answer(walk.next());
      if (next.done === true) break;
      yield* writeAll(context, fd, pieceBytes(next.value, encoding));
    }
    if (flush) yield* fsync(context, fd);
  });
}

function* writeAll(context: Context, fd: number, bytes: Uint8Array): Procedure<void> {
  for (let at = 0; at < bytes.length; ) {
    at += yield* write(context, fd, bytes, at, bytes.length - at);
  }
}

function pieceBytes(piece: unknown, encoding: Encoding): Uint8Array {
  if (typeof piece === 'string') return encode(piece, encoding);
  if (!ArrayBuffer.isView(piece)) {
    const wanted = 'of type string or an instance of Buffer, TypedArray, or DataView';
    throw argumentTypeError('data', wanted, piece);
  }
  return bytesToWrite(piece, 'data');
}

/** Runs `body` with an open file, and closes it again if it was opened here. */
export function* withFile<Result>(
  context: Context,
  file: FileArgument,
  how: { readonly flags: number; readonly mode?: number },
  body: (fd: number) => Procedure<Result>,
): Procedure<Result> {
  if (isOpen(file)) return yield* body(typeof file === 'number' ? file : file.fd);
  const fd = yield* openPath(context, pathBytes(file), how.flags, how.mode ?? 0o666);
  try {
    return yield* body(fd);
  } finally {
    yield* context.close(fd);
  }
}

/** True for an open file: its number, or its handle. */
/** True for an open file, false for a path. */
export function isOpen(file: FileArgument): file is number | { readonly fd: number } {
  return typeof file === 'number' || (typeof file === 'object' && file !== null && 'fd' in file);
}

export function* truncate(
  context: Context,
  file: FileArgument,
  length?: number | null,
): Procedure<void> {
  yield* withFile(context, file, { flags: constants.O_RDWR }, (fd) =>
    ftruncate(context, fd, length),
  );
}
