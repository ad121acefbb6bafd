/**
 * Calls on ranges of a file that `node:fs` does not have: holes are made and found.
 */
import { BLOCK_SIZE, FilesystemError, roundDown } from '../../base/index.ts';
import { AllocateMode } from '../../format/index.ts';
import { Seek } from '../../iomap/index.ts';
import {
  type Comparer,
  checkFile,
  Dedupe,
  type DedupeResult,
  type Vnode,
} from '../../volume/index.ts';
import type { Context, DataContext, OpenFile } from '../context.ts';
import { checkInteger } from '../errors.ts';
import { constants } from '../flags.ts';
import { type Procedure, run } from '../procedure.ts';
import { copyBytes } from './copy.ts';
import { readableFile, writableFile } from './files.ts';
import { type FileArgument, withFile } from './whole-files.ts';

const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE } =
  AllocateMode;

export interface AllocateOptions {
  /** Leave the size as it is where the range goes beyond it. */
  readonly keepSize?: boolean | undefined;
}

export function* punch(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
): Procedure<void> {
  yield* fallocate(context, file, PUNCH_HOLE | KEEP_SIZE, offset, length);
}

export function* zeroRange(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
  { keepSize }: AllocateOptions = {},
): Procedure<void> {
  yield* fallocate(context, file, keepSize ? ZERO_RANGE | KEEP_SIZE : ZERO_RANGE, offset, length);
}

export function* allocate(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
  { keepSize }: AllocateOptions = {},
): Procedure<void> {
  yield* fallocate(context, file, keepSize ? KEEP_SIZE : 0, offset, length);
}

export function* collapseRange(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
): Procedure<void> {
  yield* fallocate(context, file, COLLAPSE_RANGE, offset, length);
}

export function* insertRange(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
): Procedure<void> {
  yield* fallocate(context, file, INSERT_RANGE, offset, length);
}

export function* unshareRange(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
): Procedure<void> {
  yield* fallocate(context, file, UNSHARE_RANGE | KEEP_SIZE, offset, length);
}

function* fallocate(
  context: Context,
  file: FileArgument,
  mode: number,
  offset: number,
  length: number,
): Procedure<void> {
  checkInteger('offset', offset, 0, Number.MAX_SAFE_INTEGER);
  checkInteger('length', length, 1, Number.MAX_SAFE_INTEGER);
  yield* withFile(context, file, { flags: constants.O_RDWR }, (fd) =>
    context.using(writableFile(context, fd), function* ({ vnode }: OpenFile) {
      const record = { type: 'fallocate', target: vnode.id, mode, offset, length } as const;
      yield* run(context.engine.apply({ ...record, time: context.time }));
    }),
  );
}

export interface CloneRangeOptions {
  /** Byte of the source to begin at; 0 if it is left out. */
  readonly sourceOffset?: number | undefined;
  /** Byte of the target to begin at; 0 if it is left out. */
  readonly offset?: number | undefined;
  /** Bytes; to the end of the source if it is left out. */
  readonly length?: number | undefined;
}

export function* cloneRange(
  context: Context,
  source: FileArgument,
  target: FileArgument,
  { sourceOffset = 0, offset = 0, length }: CloneRangeOptions,
): Procedure<number> {
  checkOffsets(sourceOffset, offset, length, 1);
  const range = { sourceOffset, offset, length: length ?? 0 };
  return yield* withFiles(context, source, target, (from, to) =>
    shareRange(context, from, to, range),
  );
}

function checkOffsets(
  sourceOffset: number,
  offset: number,
  length: number | undefined,
  lengthMin: number,
): void {
  checkInteger('sourceOffset', sourceOffset, 0, Number.MAX_SAFE_INTEGER);
  checkInteger('offset', offset, 0, Number.MAX_SAFE_INTEGER);
  if (length !== undefined) checkInteger('length', length, lengthMin, Number.MAX_SAFE_INTEGER);
}

function* shareRange(
  context: DataContext,
  from: Vnode,
  to: Vnode,
  range: { sourceOffset: number; offset: number; length: number },
): Procedure<number> {
  const record = { type: 'clone-range', source: from.id, target: to.id, ...range } as const;
  return (yield* run(context.engine.apply({ ...record, time: context.time }))) as number;
}

/** Runs `body` with the inodes of two files, one to read and one to write. */
function* withFiles<Result>(
  context: Context,
  source: FileArgument,
  target: FileArgument,
  body: (source: Vnode, target: Vnode) => Procedure<Result>,
): Procedure<Result> {
  return yield* withFile(context, source, { flags: constants.O_RDONLY }, (from) =>
    withFile(context, target, { flags: constants.O_RDWR }, (to) =>
      context.using(readableFile(context, from), ({ vnode }) =>
        context.using(writableFile(context, to), (file) => body(vnode, file.vnode)),
      ),
    ),
  );
}

export interface DedupeOptions extends CloneRangeOptions {
  /** What takes two blocks of 4 KiB for equal; it must not change them. By bytes if left out. */
  readonly compare?: Comparer | undefined;
}

export function* dedupeRange(
  context: Context,
  source: FileArgument,
  target: FileArgument,
  { sourceOffset = 0, offset = 0, length, compare }: DedupeOptions,
): Procedure<DedupeResult> {
  checkOffsets(sourceOffset, offset, length, 1);
  return yield* withFiles(context, source, target, (from, to) => {
    const range = { sourceOffset, offset, length: length ?? from.size - sourceOffset };
    const record = { type: 'dedupe', source: from.id, target: to.id, ...range } as const;
    return run(new Dedupe(context.engine, { ...record, time: context.time }, compare));
  });
}

export function* copyRange(
  context: Context,
  source: FileArgument,
  target: FileArgument,
  { sourceOffset = 0, offset = 0, length }: CloneRangeOptions,
): Procedure<number> {
  checkOffsets(sourceOffset, offset, length, 0);
  const range = { sourceOffset, offset, length };
  return yield* withFiles(context, source, target, (from, to) =>
    copyBetween(context, from, to, range),
  );
}

/** {@link copyRange} of inodes that are in use. */
export function* copyBetween(
  context: DataContext,
  from: Vnode,
  to: Vnode,
  { sourceOffset = 0, offset = 0, length }: CloneRangeOptions,
): Procedure<number> {
  const most = Math.max(0, from.size - sourceOffset);
  const all = Math.min(length ?? most, most);
  if (from === to && sourceOffset < offset + all && offset < sourceOffset + all) {
    throw new FilesystemError('EINVAL', 'Cannot copy a range onto itself');
  }
  // Up to the first whole block, then the blocks, then what is left.
  const alike = sourceOffset % BLOCK_SIZE === offset % BLOCK_SIZE && !from.pinned && !to.pinned;
  const head = alike ? Math.min(all, (BLOCK_SIZE - (offset % BLOCK_SIZE)) % BLOCK_SIZE) : all;
  const blocks = roundDown(all - head, BLOCK_SIZE);
  let done = yield* copyBytes(context, from, sourceOffset, to, offset, head);
  if (done < head) return done;
  if (blocks > 0) {
    const at = { sourceOffset: sourceOffset + head, offset: offset + head, length: blocks };
    const shared = yield* shareRange(context, from, to, at);
    done += shared;
    if (shared < blocks) return done;
  }
  return (
    done + (yield* copyBytes(context, from, sourceOffset + done, to, offset + done, all - done))
  );
}

export function* seek(
  context: Context,
  file: FileArgument,
  offset: number,
  what: 'data' | 'hole',
): Procedure<number> {
  checkInteger('offset', offset, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return yield* withFile(context, file, { flags: constants.O_RDONLY }, (fd) =>
    context.using(context.files.get(fd), ({ vnode }) => {
      checkFile(vnode);
      return run(new Seek(vnode, offset, what));
    }),
  );
}
