/**
 * Data: writing and truncating files, as mutations with a time and a record.
 */
import { BLOCK_SIZE, FilesystemError, type Operation, roundUp } from '../base/index.ts';
import {
  InodeFlag,
  InodeKind,
  type Time,
  type TruncateMutation,
  type WriteInlineMutation,
} from '../format/index.ts';
import { BufferedWrite, Clear, DirectWrite } from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import { checkMutable, GUARDS } from './mutate.ts';
import type { Vnode } from './vnode.ts';

/** What a write tells the inode and the journal, part by part. */
export class Told {
  readonly #engine: Engine;
  #vnode!: Vnode;
  #data!: Uint8Array;
  #from = 0;
  #position = 0;
  #time!: Time;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  begin(vnode: Vnode, position: number, data: Uint8Array, from: number, time: Time): void {
    checkFile(vnode);
    const appends = position >= vnode.size;
    checkMutable(this.#engine, vnode, appends ? InodeFlag.IMMUTABLE : GUARDS);
    this.#vnode = vnode;
    this.#data = data;
    this.#from = from;
    this.#position = position;
    this.#time = time;
  }

  wrote(position: number, length: number): void {
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

/** A buffered write that stamps the inode, chunk by chunk. Reusable. */
export class WriteFile extends BufferedWrite {
  readonly #told: Told;

  constructor(engine: Engine) {
    super();
    this.#told = new Told(engine);
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
    this.#told.begin(vnode, position, data, from, time);
    return this.begin(vnode, position, data, from, length);
  }

  protected override wrote(position: number, length: number): void {
    this.#told.wrote(position, length);
  }
}

/** A direct write that stamps the inode, part by part. Reusable. */
export class WriteFileDirect extends DirectWrite {
  readonly #told: Told;

  constructor(engine: Engine) {
    super();
    this.#told = new Told(engine);
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
    this.#told.begin(vnode, position, data, from, time);
    return this.begin(vnode, position, data, from, length);
  }

  protected override wrote(position: number, length: number): void {
    this.#told.wrote(position, length);
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
  checkMutable(engine, vnode);
  const { size, time } = record;
  const { recovering } = engine.store;
  const behind = recovering ? planBehind(vnode, record) : 0;
  let before = 0;
  const sizeAfter = (present: number): number => {
    before = present;
    return record.shrink === true ? Math.min(size, present) : size;
  };
  return new Clear(vnode, { start: size, end: Number.POSITIVE_INFINITY, size: sizeAfter }, () => {
    if (recovering) vnode.mappedEnd = behind;
    vnode.mtime = time;
    vnode.ctime = time;
    engine.inodes.touch(vnode);
    engine.records.announce(vnode);
    engine.records.add({ ...record, shrink: size <= before });
  });
}

/**
 * In a replay a file may have blocks behind its end. Where it was made shorter they go, and what
 * was reserved there; a size that is told while more of the file has its place takes nothing away.
 * Returns where the blocks end afterwards.
 */
function planBehind(vnode: Vnode, { size, shrink }: TruncateMutation): number {
  const { mappedEnd } = vnode;
  const start = roundUp(size, BLOCK_SIZE);
  const keeps = shrink !== true && size >= vnode.size;
  vnode.mappedEnd = keeps ? 0 : Math.max(mappedEnd, start + BLOCK_SIZE);
  return keeps ? mappedEnd : Math.min(mappedEnd, start);
}

/** @throws {FilesystemError} `EISDIR` or `EINVAL` if the inode has no data of its own */
export function checkFile(vnode: Vnode): void {
  if (vnode.isDirectory) throw new FilesystemError('EISDIR', 'Cannot use a directory as a file');
  if (vnode.kind !== InodeKind.FILE) {
    throw new FilesystemError('EINVAL', 'Cannot use a special file as a file');
  }
}
