/**
 * Data: writing and truncating files, as mutations with a time and a record.
 */
import { FilesystemError, type Operation } from '../base/index.ts';
import {
  InodeKind,
  type Time,
  type TruncateMutation,
  type WriteInlineMutation,
} from '../format/index.ts';
import { BufferedWrite, Clear } from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

/** A buffered write that stamps the inode, chunk by chunk. Reusable. */
export class WriteFile extends BufferedWrite {
  readonly #engine: Engine;
  #vnode!: Vnode;
  #data!: Uint8Array;
  #from = 0;
  #position = 0;
  #time!: Time;

  constructor(engine: Engine) {
    super();
    this.#engine = engine;
  }

  /** Makes the operation ready: `length` bytes of `data`, from byte `from` of it, to `position`. */
  write(
    vnode: Vnode,
    position: number,
    data: Uint8Array,
    from: number,
    length: number,
    time: Time,
  ): this {
    checkFile(vnode);
    this.#vnode = vnode;
    this.#data = data;
    this.#from = from;
    this.#position = position;
    this.#time = time;
    return this.begin(vnode, position, data, from, length);
  }

  protected override wrote(position: number, length: number): void {
    const vnode = this.#vnode;
    vnode.mtime = this.#time;
    vnode.ctime = this.#time;
    const { journal } = this.#engine.records;
    if (journal === undefined) return;
    this.#engine.records.announce(vnode);
    const at = this.#from + position - this.#position;
    journal({
      type: 'write-inline',
      target: vnode.id,
      offset: position,
      data: this.#data.subarray(at, at + length),
      time: this.#time,
    });
  }
}

export function writeFromRecord(engine: Engine, record: WriteInlineMutation): Operation<number> {
  const vnode = engine.vnode(record.target);
  const { offset, data, time } = record;
  return new WriteFile(engine).write(vnode, offset, data, 0, data.length, time);
}

export function truncateFromRecord(engine: Engine, record: TruncateMutation): Operation<void> {
  const vnode = engine.vnode(record.target);
  checkFile(vnode);
  const { size, time } = record;
  let before = 0;
  const sizeAfter = (present: number): number => {
    before = present;
    return record.shrink === true ? Math.min(size, present) : size;
  };
  return new Clear(vnode, { start: size, end: Number.POSITIVE_INFINITY, size: sizeAfter }, () => {
    vnode.mtime = time;
    vnode.ctime = time;
    engine.inodes.touch(vnode);
    engine.records.announce(vnode);
    engine.records.add({ ...record, shrink: size <= before });
  });
}

/** @throws {FilesystemError} `EISDIR` or `EINVAL` if the inode has no data of its own */
export function checkFile(vnode: Vnode): void {
  if (vnode.isDirectory) throw new FilesystemError('EISDIR', 'Cannot use a directory as a file');
  if (vnode.kind !== InodeKind.FILE) {
    throw new FilesystemError('EINVAL', 'Cannot use a special file as a file');
  }
}
