/**
 * Calls on ranges of a file that `node:fs` does not have: holes are made and found.
 */
import { AllocateMode } from '../../format/index.ts';
import { Seek } from '../../iomap/index.ts';
import { checkFile } from '../../volume/index.ts';
import type { Context, OpenFile } from '../context.ts';
import { checkInteger } from '../errors.ts';
import { constants } from '../flags.ts';
import { type Procedure, run } from '../procedure.ts';
import { readableFile, writableFile } from './files.ts';
import { type FileArgument, withFile } from './whole-files.ts';

const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = AllocateMode;

export interface ZeroOptions {
  /** Leave the size as it is where the range goes beyond it. */
  readonly keepSize?: boolean | undefined;
}

export function* punch(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
): Procedure<void> {
  yield* allocate(context, file, PUNCH_HOLE | KEEP_SIZE, offset, length);
}

export function* zeroRange(
  context: Context,
  file: FileArgument,
  offset: number,
  length: number,
  { keepSize }: ZeroOptions = {},
): Procedure<void> {
  yield* allocate(context, file, keepSize ? ZERO_RANGE | KEEP_SIZE : ZERO_RANGE, offset, length);
}

function* allocate(
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
  checkInteger('sourceOffset', sourceOffset, 0, Number.MAX_SAFE_INTEGER);
  checkInteger('offset', offset, 0, Number.MAX_SAFE_INTEGER);
  if (length !== undefined) checkInteger('length', length, 1, Number.MAX_SAFE_INTEGER);
  const range = { sourceOffset, offset, length: length ?? 0 };
  return yield* withFile(context, source, { flags: constants.O_RDONLY }, (from) =>
    withFile(context, target, { flags: constants.O_RDWR }, (to) =>
      context.using(readableFile(context, from), (source) =>
        context.using(writableFile(context, to), function* (target) {
          const ids = { source: source.vnode.id, target: target.vnode.id };
          const record = { type: 'clone-range', ...ids, ...range, time: context.time } as const;
          return (yield* run(context.engine.apply(record))) as number;
        }),
      ),
    ),
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
