/**
 * Requests of ioctl(2) that are ours: a clone, and what a tree takes. docs/MOUNT.md has their
 * numbers and structures.
 *
 * A clone has what the server was given. It does not wait for the kernel, which may wait for this
 * thread: so where the kernel keeps what write(2) has returned for, there is none by this way.
 */
import { type Procedure, run } from '../../api/node/index.ts';
import { FilesystemError, setU64 } from '../../base/index.ts';
import type { CloneMutation } from '../../format/index.ts';
import { MeasureUsage, peek, type Vnode } from '../../volume/index.ts';
import type { Message } from '../message.ts';
import type { Served } from '../served.ts';
import { CLONE_NAME, OWN_CLONE, OWN_SPACE } from '../wire.ts';
import { begin, DATA, end, inputStart } from './ioctl-data.ts';

const OWNER_CHANGES = 0o300;

/**
 * Clones one name of a directory to another, for its owner, who has to be the owner of what is
 * cloned too, and for the superuser.
 */
export function* cloneBeside(
  served: Served,
  message: Message,
  directory: Vnode,
): Procedure<number> {
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot clone below a file');
  if (served.options.writeback) {
    throw new FilesystemError('ENOTSUP', 'Cannot clone: the kernel may have what was written');
  }
  const { at, size } = OWN_CLONE;
  const start = inputStart(message, size);
  if (message.view.getUint32(start + at.flags, true) !== 0) {
    throw new FilesystemError('EINVAL', 'Cannot clone with flags: there are none');
  }
  const [source, name] = [at.source, at.name].map((part) => nameAt(message, start + part));
  if (source === undefined || name === undefined) {
    throw new FilesystemError('EINVAL', 'Cannot clone: a name is empty, a path, or has no end');
  }
  const { engine } = served;
  const found = yield* run(peek(engine, directory, source));
  if (found === null) throw new FilesystemError('ENOENT', 'Cannot clone what is not there');
  try {
    const may = (owner: number): boolean => message.uid === 0 || message.uid === owner;
    const changes = message.uid === 0 || (directory.mode & OWNER_CHANGES) === OWNER_CHANGES;
    if (!may(ownerOf(served, directory)) || !may(ownerOf(served, found)) || !changes) {
      throw new FilesystemError('EACCES', 'Cannot clone what is not his, or where he may not');
    }
    const record: CloneMutation = {
      type: 'clone',
      source: found.id,
      parent: directory.id,
      name,
      readOnly: false,
      time: served.time,
      ino: 0,
      realm: 0,
      handle: 0,
    };
    const clone = (yield* run(engine.apply(record))) as Vnode;
    clone.holds--;
  } finally {
    found.holds--;
  }
  const parent = served.nodes.numberOf(directory);
  begin(message);
  const stale = { names: [{ parent, name }], nodes: [parent] };
  return served.answerAfter(message, end(message, 0), stale);
}

/** A name that ends within its field; undefined if there is none such, or it is a path. */
function nameAt({ bytes }: Message, start: number): string | undefined {
  const stop = bytes.subarray(start, start + CLONE_NAME).indexOf(0);
  const name = Buffer.from(bytes.subarray(start, start + Math.max(0, stop))).toString('latin1');
  return name === '' || name === '.' || name === '..' || name.includes('/') ? undefined : name;
}

/** As replies have it: so the kernel judges. */
function ownerOf({ options }: Served, vnode: Vnode): number {
  return options.uid ?? vnode.uid;
}

/** Bytes that a file, or a directory with all below it, takes. Others wait until it is done. */
export function* space(served: Served, message: Message, vnode: Vnode): Procedure<number> {
  if (message.uid !== 0 && message.uid !== ownerOf(served, vnode)) {
    throw new FilesystemError('EACCES', 'Cannot measure what is not his');
  }
  const { allocated, exclusive } = yield* run(new MeasureUsage(served.engine, vnode));
  begin(message);
  const { at, size } = OWN_SPACE;
  setU64(message.out, DATA + at.allocated, allocated);
  setU64(message.out, DATA + at.exclusive, exclusive);
  setU64(message.out, DATA + at.shared, allocated - exclusive);
  return end(message, size);
}
