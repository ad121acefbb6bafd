/**
 * Allocate: fallocate(2) of a file, as a mutation. Modes and their rules are the kernel's.
 */
import { argumentError, FilesystemError, MAX_OFFSET, type Operation } from '../base/index.ts';
import { AllocateMode, type AllocateMutation } from '../format/index.ts';
import { Punch, ZeroRange } from '../iomap/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';

const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = AllocateMode;

/**
 * An operation that does what an allocate record says.
 *
 * @throws {FilesystemError} `EINVAL` for a range that is empty or negative, `EFBIG` for one beyond
 *   the largest file, `EOPNOTSUPP` for a mode that is none, or that is not there yet
 */
export function allocateFromRecord(engine: Engine, record: AllocateMutation): Operation<void> {
  const { mode, offset, length, time } = record;
  const vnode = engine.vnode(record.target);
  checkFile(vnode);
  if (offset < 0 || length <= 0) {
    throw argumentError(`Cannot allocate ${length} bytes at ${offset}: the range is empty`);
  }
  if (offset + length > MAX_OFFSET) {
    throw new FilesystemError('EFBIG', `Cannot allocate up to byte ${offset + length}`);
  }
  const done = (): void => {
    vnode.mtime = time;
    vnode.ctime = time;
    engine.inodes.touch(vnode);
    engine.announce(vnode);
    engine.log(record);
  };
  switch (mode) {
    case PUNCH_HOLE | KEEP_SIZE:
    case ZERO_RANGE | KEEP_SIZE:
      return new Punch(vnode, offset, length, done);
    case ZERO_RANGE:
      return new ZeroRange(vnode, offset, length, done);
    default:
      throw new FilesystemError('ENOTSUP', `Cannot allocate with mode 0x${mode.toString(16)}`);
  }
}
