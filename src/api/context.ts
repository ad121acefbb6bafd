/**
 * Context: what the calls of one view of a volume have in common.
 */
import { assert, FilesystemError } from '../base/index.ts';
import { type Time, timeFromMs } from '../format/index.ts';
import type { BufferedRead, DirectRead, StagedView } from '../iomap/index.ts';
import {
  type Engine,
  Sync,
  type Vnode,
  type WriteFile,
  type WriteFileDirect,
} from '../volume/index.ts';
import { checkInteger } from './errors.ts';
import { constants } from './flags.ts';
import type { Walk } from './path.ts';
import { type Procedure, run } from './procedure.ts';
import type { Session } from './session.ts';

const { O_WRONLY, O_RDWR, O_APPEND, O_SYNC, O_DSYNC, O_DIRECT } = constants;

/** An open file: an inode and a position. */
export class OpenFile {
  readonly vnode: Vnode;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly append: boolean;
  readonly synchronous: boolean;
  readonly direct: boolean;
  position = 0;
  /** Views of it that can be stored to. */
  readonly staged: Set<StagedView> = new Set();

  constructor(vnode: Vnode, flags: number) {
    this.vnode = vnode;
    const access = flags & (O_WRONLY | O_RDWR);
    this.readable = access !== O_WRONLY;
    this.writable = access === O_WRONLY || access === O_RDWR;
    this.append = (flags & O_APPEND) !== 0;
    this.synchronous = (flags & (O_SYNC | O_DSYNC)) !== 0;
    this.direct = (flags & O_DIRECT) !== 0;
  }
}

/** Numbers of open files begin here, so that none is ever one of the process's own first three. */
const FIRST_FD = 3;
export const FD_MAX = 1 << 20;

/** Open files of a volume. */
export class FileTable {
  readonly #files: (OpenFile | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #first: number;

  /** A number in use elsewhere, below `first`, is none of these files. */
  constructor(first = 0) {
    this.#first = FIRST_FD + first;
  }

  /** Files that are open. */
  get count(): number {
    return this.#files.length - this.#free.length;
  }

  /** Gives an open file a number; the inode counts one user more. */
  add(file: OpenFile): number {
    const index = this.#free.pop() ?? this.#files.length;
    if (index >= FD_MAX)
      throw new FilesystemError('EMFILE', `Cannot open more than ${FD_MAX} files`);
    this.#files[index] = file;
    file.vnode.opens++;
    return index + this.#first;
  }

  /** @throws {FilesystemError} `EBADF` */
  get(fd: number): OpenFile {
    return this.#files[fd - this.#first] ?? this.#bad(fd);
  }

  /** The inode counts one user less. */
  remove(fd: number): OpenFile {
    const file = this.get(fd);
    this.#files[fd - this.#first] = undefined;
    this.#free.push(fd - this.#first);
    file.vnode.opens--;
    assert(file.vnode.opens >= 0, 'an inode is closed as often as it was opened');
    return file;
  }

  /** Closes all files at once; the volume is being closed. */
  clear(): void {
    for (const file of this.#files) if (file !== undefined) file.vnode.opens--;
    this.#files.length = 0;
    this.#free.length = 0;
  }

  #bad(fd: number): never {
    checkInteger('fd', Object.is(fd, -0) ? 0 : fd, 0, 2147483647);
    throw new FilesystemError('EBADF', `Cannot use file descriptor ${fd}: it is not open`);
  }
}

export interface ContextOptions {
  readonly engine: Engine;
  readonly session: Session;
  /** Where paths begin. */
  readonly root: Vnode;
  readonly files: FileTable;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
}

export class Context {
  readonly engine: Engine;
  readonly session: Session;
  readonly root: Vnode;
  readonly files: FileTable;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** Operations that have ended and can be used again. */
  readonly reads: BufferedRead[] = [];
  readonly writes: WriteFile[] = [];
  readonly directReads: DirectRead[] = [];
  readonly directWrites: WriteFileDirect[] = [];
  /** Views of files that are only read, and pins: what ends with the volume. */
  readonly views: Set<{ release(): void }> = new Set();
  readonly #now: () => number;

  constructor(options: ContextOptions) {
    this.engine = options.engine;
    this.session = options.session;
    this.root = options.root;
    this.files = options.files;
    this.uid = options.uid;
    this.gid = options.gid;
    this.umask = options.umask;
    this.#now = options.now;
  }

  get time(): Time {
    return timeFromMs(this.#now());
  }

  /** How a path is walked from here. */
  walk(follow: boolean): Walk {
    return { engine: this.engine, root: this.root, follow };
  }

  /**
   * Closes a file, and the views of it that can be stored to; the last user of an inode without
   * names ends it.
   */
  *close(fd: number): Procedure<void> {
    const file = this.files.get(fd);
    const { vnode, staged } = file;
    vnode.opens++;
    this.files.remove(fd);
    try {
      for (const view of staged) yield* endView(view);
    } finally {
      vnode.opens--;
      yield* this.closed(vnode);
    }
  }

  /** The volume is closed, and what was stored in views is in it: they end. */
  endViews(): void {
    for (const view of this.engine.pool.views) {
      view.revoke('closed');
      view.drop();
    }
    for (const view of this.views) view.release();
  }

  /** Runs `body` with an open file, which may be closed meanwhile: it ends only afterwards. */
  *using<Result>(file: OpenFile, body: (file: OpenFile) => Procedure<Result>): Procedure<Result> {
    const { vnode } = file;
    vnode.opens++;
    try {
      return yield* body(file);
    } finally {
      vnode.opens--;
      yield* this.closed(vnode);
    }
  }

  /** After an inode has lost a user: the last one of an inode without names ends it. */
  *closed(vnode: Vnode): Procedure<void> {
    const end = this.engine.closed(vnode);
    if (end !== undefined) yield* run(end);
  }
}

/** What reading and writing inodes takes: who has no paths and no open files has this much. */
export type DataContext = Pick<Context, 'engine' | 'reads' | 'directReads' | 'time'>;

/** Runs `body` with an inode that is held, and lets go of it. */
export function* holding<Result>(
  vnode: Vnode,
  body: (vnode: Vnode) => Procedure<Result>,
): Procedure<Result> {
  try {
    return yield* body(vnode);
  } finally {
    vnode.holds--;
  }
}

/**
 * Revokes a view that can be stored to, and copies it out. Its file is open.
 *
 * @throws {FilesystemError} `ENOSPC`, `EIO`, ...: what was stored is lost
 */
export function* endView(view: StagedView): Procedure<void> {
  try {
    view.revoke('closed');
    yield* copyOut(view);
  } finally {
    view.drop();
  }
}

/** Copies out what is stored in a view, unless it has ended. @throws {FilesystemError} `ENOSPC` */
export function* copyOut(view: StagedView): Procedure<void> {
  if (!view.file.pool.views.has(view)) return;
  const full = yield* run(view.copyOut());
  if (full !== undefined) throw full;
}

/**
 * Makes everything done so far durable. Views that could not be copied out do not keep the rest
 * from that. @throws {FilesystemError} `ENOSPC` if there are such, `EROFS`, `EIO`
 */
export function* syncAll(engine: Engine): Procedure<void> {
  yield* run(new Sync(engine));
  for (const { failure } of engine.pool.views) if (failure !== undefined) throw failure;
}
