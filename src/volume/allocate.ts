/**
 * Allocate: fallocate(2) of a file, as a mutation. Modes and their rules are the kernel's.
 */
import {
  argumentError,
  FilesystemError,
  MAX_OFFSET,
  type Operation,
  type Plan,
} from '../base/index.ts';
import { AllocateMode, type AllocateMutation, InodeFlag } from '../format/index.ts';
import { Punch, Unshare, ZeroRange } from '../iomap/index.ts';
import { checkFile } from './data.ts';
import type { Engine } from './engine.ts';
import { checkMutable, checkWritable, GUARDS } from './mutate.ts';
import { Reserve } from './reserve.ts';
import { Shift } from './shift.ts';
import type { Vnode } from './vnode.ts';

const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE } =
  AllocateMode;

/**
 * An operation that does what an allocate record says.
 *
 * @throws {FilesystemError} `EINVAL` for a range that is empty or negative, `EFBIG` for one beyond
 *   the largest file, `ENOTSUP` for a mode that is none
 */
export function allocateFromRecord(engine: Engine, record: AllocateMutation): Operation<void> {
  const { mode, offset, length, time } = record;
  const vnode = engine.vnode(record.target);
  checkFile(vnode);
  checkMutable(engine, vnode, (mode & ~KEEP_SIZE) === 0 ? InodeFlag.IMMUTABLE : GUARDS);
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
    engine.records.announce(vnode);
    engine.records.add(record);
  };
  switch (mode) {
    case PUNCH_HOLE | KEEP_SIZE:
    case ZERO_RANGE | KEEP_SIZE:
      return new Punch(vnode, offset, length, done);
    case ZERO_RANGE:
      return new ZeroRange(vnode, offset, length, done);
    case 0:
    case KEEP_SIZE:
      return new Reserve(engine, record, mode === KEEP_SIZE, done);
    case COLLAPSE_RANGE:
      return new Shift(engine, record, 'collapse', done);
    case INSERT_RANGE:
      return new Shift(engine, record, 'insert', done);
    case UNSHARE_RANGE | KEEP_SIZE:
      return new UnshareFile(engine, vnode, record, done);
    default:
      throw new FilesystemError('ENOTSUP', `Cannot allocate with mode 0x${mode.toString(16)}`);
  }
}

/** Blocks of a range are copied that others use too; the inode has changed even if none were. */
class UnshareFile extends Unshare {
  readonly #engine: Engine;
  readonly #vnode: Vnode;
  readonly #done: () => void;

  constructor(
    engine: Engine,
    vnode: Vnode,
    { offset, length }: AllocateMutation,
    done: () => void,
  ) {
    super(vnode, offset, length);
    this.#engine = engine;
    this.#vnode = vnode;
    this.#done = done;
  }

  protected override planEnd(plan: Plan): void {
    const { store, inodes } = this.#engine;
    checkWritable(this.#vnode);
    if (store.admit(plan) && inodes.planClaim(this.#vnode, plan)) store.settle(plan, 'normal');
  }

  protected override ended(): void {
    this.#engine.inodes.claim(this.#vnode);
    this.#vnode.change++;
    this.#done();
  }
}
