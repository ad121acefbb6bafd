/**
 * Operations on the data of files: open, read, write, fsync, fallocate, lseek,
 * copy_file_range.
 */
import {
  copyBetween,
  type Procedure,
  type ReadPart,
  readDirectly,
  readInto,
  run,
  setAttributes,
} from '../../api/node/index.ts';
import { ERRNO, FilesystemError, setU64 } from '../../base/index.ts';
import { AttributeMask, InodeFlag } from '../../format/index.ts';
import { Seek } from '../../iomap/index.ts';
import { checkFile, Fsync, type Vnode, WriteFile } from '../../volume/index.ts';
import { SEEK_DATA, SEEK_HOLE, WRITE_CACHE, WRITE_KILL_SUIDGID } from '../constants.ts';
import { DATA_MAX, type Message, REPLY_BODY } from '../message.ts';
import type { Answer, Served } from '../served.ts';
import {
  COPY_FILE_RANGE_IN,
  COPY_FILE_RANGE_OUT,
  FALLOCATE_IN,
  FSYNC_IN,
  LSEEK_IN,
  LSEEK_OUT,
  OPEN_IN,
  READ_IN,
  WRITE_IN,
  WRITE_OUT,
} from '../wire.ts';
import { accessed, privilegesKept } from './attributes.ts';
import { checkOpen, putOpened } from './opening.ts';

/** What the older form of copy_file_range can answer at the most, in whole blocks. */
const COPY_MAX = 0xfffff000;

export function open(served: Served, message: Message): Answer {
  if (served.opensUnasked) return -ERRNO.ENOSYS[0];
  checkOpen(served.vnode(message), message.u32(OPEN_IN.at.flags));
  return putOpened(message.out, REPLY_BODY);
}

/** Reads of which as many bytes go past the cache: the kernel keeps them, and copies cost most. */
const DIRECT_MIN = 64 * 1024;

export function read(served: Served, message: Message): Answer {
  const position = message.u64(READ_IN.at.offset);
  const length = Math.min(message.u32(READ_IN.at.size), DATA_MAX);
  const part = { position, length, bytes: message.reply, at: REPLY_BODY };
  const vnode = served.vnode(message);
  checkFile(vnode);
  return readPart(served, vnode, part, message.u32(READ_IN.at.flags));
}

function* readPart(served: Served, vnode: Vnode, part: ReadPart, flags: number): Procedure<number> {
  const count = yield* (part.length < DIRECT_MIN ? readInto : readDirectly)(served, vnode, part);
  yield* accessed(served, vnode, flags);
  return count;
}

export function* write(served: Served, message: Message): Procedure<number> {
  const length = message.u32(WRITE_IN.at.size);
  const vnode = served.vnode(message);
  const old = oldBytes(served, message, vnode, length);
  const position = message.u64(WRITE_IN.at.offset) + old;
  const from = message.data(WRITE_IN.size, length) + old;
  const operation = served.writes.pop() ?? new WriteFile(served.engine);
  const { bytes } = message;
  const { time } = served;
  const written = yield* run(operation.write(vnode, position, bytes, from, length - old, time));
  const count = old + written;
  served.writes.push(operation);
  if ((message.u32(WRITE_IN.at.write_flags) & WRITE_KILL_SUIDGID) !== 0) {
    yield* dropPrivileges(served, message, vnode);
  }
  message.out.setUint32(REPLY_BODY + WRITE_OUT.at.size, count, true);
  message.out.setUint32(REPLY_BODY + WRITE_OUT.at.padding, 0, true);
  return WRITE_OUT.size;
}

/**
 * How many bytes of a WRITE are those that a file has. With the writeback cache the kernel sends
 * whole pages; of a file that is only appended to, what is before its end is not new.
 */
function oldBytes({ options }: Served, message: Message, vnode: Vnode, length: number): number {
  const cached = (message.u32(WRITE_IN.at.write_flags) & WRITE_CACHE) !== 0;
  if (!options.writeback || !cached || !vnode.has(InodeFlag.APPEND)) return 0;
  return Math.max(0, Math.min(length, vnode.size - message.u64(WRITE_IN.at.offset)));
}

/** Whoever changes the data of a file takes its set-user and set-group bits away. */
function* dropPrivileges(served: Served, message: Message, vnode: Vnode): Procedure<void> {
  const mode = privilegesKept(message, vnode);
  if (mode !== vnode.mode) yield* setAttributes(served, vnode, { mask: AttributeMask.MODE, mode });
}

/** Of a directory too: names and attributes come with the file. */
/** Set for fdatasync. */
const DATA_ONLY = 1;

export function* fsync(served: Served, message: Message): Procedure<number> {
  const vnode = served.vnode(message);
  const dataOnly = (message.u32(FSYNC_IN.at.fsync_flags) & DATA_ONLY) !== 0;
  if (!served.readOnly) yield* run(new Fsync(served.engine, vnode, dataOnly));
  return 0;
}

export function* syncfs(served: Served): Procedure<number> {
  if (!served.readOnly) yield* run(served.engine.commit());
  return 0;
}

export function* fallocate(served: Served, message: Message): Procedure<number> {
  const vnode = served.vnode(message);
  const record = {
    type: 'fallocate',
    target: vnode.id,
    mode: message.u32(FALLOCATE_IN.at.mode),
    offset: message.u64(FALLOCATE_IN.at.offset),
    length: message.u64(FALLOCATE_IN.at.length),
    time: served.time,
  } as const;
  yield* run(served.engine.apply(record));
  // Who may keep the bits is not told; the superuser may.
  if (message.uid !== 0) yield* dropPrivileges(served, message, vnode);
  return 0;
}

/**
 * With the writeback cache the kernel may have data that is not here yet, where this would see a
 * hole: it takes the whole file for data then.
 */
export function lseek(served: Served, message: Message): Answer {
  if (served.options.writeback) return -ERRNO.ENOSYS[0];
  return seek(served, message);
}

function* seek(served: Served, message: Message): Procedure<number> {
  const whence = message.u32(LSEEK_IN.at.whence);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) {
    throw new FilesystemError('EINVAL', `Cannot seek by ${whence}: wanted SEEK_DATA or SEEK_HOLE`);
  }
  const vnode = served.vnode(message);
  checkFile(vnode);
  const what = whence === SEEK_DATA ? 'data' : 'hole';
  const found = yield* run(new Seek(vnode, message.u64(LSEEK_IN.at.offset), what));
  setU64(message.out, REPLY_BODY + LSEEK_OUT.at.offset, found);
  return LSEEK_OUT.size;
}

export function* copyFileRange(served: Served, message: Message): Procedure<number> {
  const count = yield* copy(served, message, COPY_MAX);
  message.out.setUint32(REPLY_BODY + WRITE_OUT.at.size, count, true);
  message.out.setUint32(REPLY_BODY + WRITE_OUT.at.padding, 0, true);
  return WRITE_OUT.size;
}

export function* copyFileRange64(served: Served, message: Message): Procedure<number> {
  const count = yield* copy(served, message, Number.MAX_SAFE_INTEGER);
  setU64(message.out, REPLY_BODY + COPY_FILE_RANGE_OUT.at.bytes_copied, count);
  return COPY_FILE_RANGE_OUT.size;
}

function* copy(served: Served, message: Message, most: number): Procedure<number> {
  const { at } = COPY_FILE_RANGE_IN;
  const from = served.vnode(message);
  const to = served.nodes.get(message.nodeAt(at.nodeid_out));
  checkFile(from);
  checkFile(to);
  const range = {
    sourceOffset: message.u64(at.off_in),
    offset: message.u64(at.off_out),
    length: Math.min(message.u64(at.len), most),
  };
  const count = yield* copyBetween(served, from, to, range);
  if (message.uid !== 0) yield* dropPrivileges(served, message, to);
  return count;
}
