/**
 * Views: parts of files as memory. What they promise is in iomap/view.ts and iomap/staged-view.ts.
 */
import {
  MapStaged,
  MapView,
  type RevokeReason,
  type StagedView,
  type View,
  type ViewKeeper,
} from '../iomap/index.ts';
import { Told, type Vnode } from '../volume/index.ts';
import { readableFile, writableFile } from './calls/files.ts';
import type { FileArgument } from './calls/whole-files.ts';
import { type Context, copyOut, endView } from './context.ts';
import { argumentTypeError, checkInteger } from './errors.ts';
import type { Caller } from './fs.ts';
import { type Procedure, run } from './procedure.ts';

const SITE = { syscall: 'mmap' };

/**
 * A range of a file as it was at one moment, in the memory of the device, nothing copied. It takes
 * no part in what is done to the file later: what it shows stays until it is released, also when
 * the file is gone. It is to be read only: what is stored through it is in the file, and in every
 * clone of it, unverified.
 *
 * Over a device in a `SharedArrayBuffer` its bytes can be read by other threads, as long as this
 * one does not release it. Nothing else of a volume is for other threads.
 */
export class FileView {
  readonly #view: View;
  readonly #ended: () => void;

  constructor(view: View, ended: () => void) {
    this.#view = view;
    this.#ended = ended;
  }

  get offset(): number {
    return this.#view.offset;
  }

  get length(): number {
    return this.#view.length;
  }

  /** False once it is released, or the volume is closed. */
  get valid(): boolean {
    return this.#view.valid;
  }

  /** True if the file may have changed since. The view has not. */
  get stale(): boolean {
    return this.#view.valid && this.#view.stale;
  }

  /**
   * The bytes from a file offset on: `length` of them, or as many as follow each other in memory,
   * at least to the end of the 4 KiB block. They are the device's own; see {@link FileView}.
   *
   * @throws `EBADF` once it is released, `EINVAL` outside of the view
   */
  at(offset: number, length?: number): Uint8Array {
    return this.#view.at(offset, length);
  }

  /**
   * Lets go of the blocks: what was got of the view must not be used any more.
   *
   * @throws `EIO` of a view with `checked`, if something was stored through it
   */
  release(): void {
    if (!this.#view.valid) return;
    try {
      this.#view.release();
    } finally {
      this.#ended();
    }
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * A range of a file as memory that can be stored to. What is stored is *staged*: nobody sees it
 * until it is copied out, byte by byte what was changed. That happens before a clone or a snapshot
 * that has the file, before an `fsync` of it, before a `sync` of the volume, on {@link sync} and on
 * {@link release}. A crash before that loses it. What others write to the file is in the view from
 * the next of those on.
 *
 * It is revoked when the file ends before it does, when its blocks are moved or replaced by others,
 * when the file is closed, and if the volume has no room to promise space for it again.
 * Its memory is detached then: `bytes`, and every array of it, has length 0. What was stored, and
 * is still part of the file, is copied out all the same.
 */
export class WritableFileView {
  readonly #caller: Caller;
  readonly #view: StagedView;

  constructor(caller: Caller, view: StagedView) {
    this.#caller = caller;
    this.#view = view;
  }

  get offset(): number {
    return this.#view.offset;
  }

  get length(): number {
    return this.#view.length;
  }

  /** What to store to. Of length 0 once the view is revoked. */
  get bytes(): Uint8Array {
    return this.#view.bytes;
  }

  get valid(): boolean {
    return this.#view.revoked === undefined;
  }

  /** Why it was revoked; undefined as long as it was not. */
  get revoked(): RevokeReason | undefined {
    return this.#view.revoked;
  }

  /** Called once, soon after the view was revoked: whoever revokes it has not ended then. */
  set onRevoke(listener: (reason: RevokeReason) => void) {
    this.#view.onRevoke = (reason) => queueMicrotask(() => listener(reason));
  }

  /**
   * Copies out what was stored, and brings the view up to date. It is part of the file then, and
   * durable with the next commit or fsync.
   *
   * @throws `ENOSPC`, `EIO`, `EROFS`; what was stored is still in the view
   */
  async sync(): Promise<void> {
    await this.#caller.start(copyOut(this.#view), SITE);
  }

  syncSync(): void {
    this.#caller.finish(copyOut(this.#view), SITE);
  }

  /** The same, and gives the view up: it is revoked as if the file was closed. */
  async release(): Promise<void> {
    await this.#caller.start(endView(this.#view), SITE);
  }

  releaseSync(): void {
    this.#caller.finish(endView(this.#view), SITE);
  }

  [Symbol.dispose](): void {
    this.releaseSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

export interface MapOptions {
  /** To be stored to. Default false. */
  readonly write?: boolean | undefined;
  /** Of a view that is read: it is verified when it is released. Default false. */
  readonly checked?: boolean | undefined;
}

/** See {@link FileRanges.map}. */
export function* mapFile(
  caller: Caller,
  file: FileArgument,
  offset: number,
  length: number,
  { write = false, checked = false }: MapOptions,
): Procedure<FileView | WritableFileView> {
  const { context } = caller;
  checkInteger('offset', offset, 0, Number.MAX_SAFE_INTEGER);
  checkInteger('length', length, 0, Number.MAX_SAFE_INTEGER);
  const open = context.files.get(fdOf(file));
  readableFile(context, fdOf(file));
  if (write) writableFile(context, fdOf(file));
  return yield* context.using(open, function* ({ vnode }) {
    vnode.holds++;
    try {
      if (!write) {
        const view = yield* run(new MapView(vnode, offset, length, checked));
        const made = new FileView(view, () => {
          context.views.delete(made);
          vnode.holds--;
        });
        context.views.add(made);
        return made;
      }
      const keeper = keeperOf(context, vnode);
      const staged = yield* run(new MapStaged(vnode, offset, length, keeper));
      open.staged.add(staged);
      return new WritableFileView(caller, staged);
    } catch (error) {
      vnode.holds--;
      throw error;
    }
  });
}

/** A view is of an open file: a path alone would name another file later. */
function fdOf(file: FileArgument): number {
  const fd = typeof file === 'object' && 'fd' in file ? file.fd : file;
  if (typeof fd === 'number') return fd;
  throw argumentTypeError('file', 'of type number or an instance of FileHandle', file);
}

/** The inode is held as long as the view is, and stamped when it is copied out. */
function keeperOf(context: Context, vnode: Vnode): ViewKeeper {
  const told = new Told(context.engine);
  return {
    wrote: (position, data) => {
      told.begin(vnode, position, data, 0, context.time);
      told.wrote(position, data.length);
    },
    ended: () => {
      vnode.holds--;
    },
  };
}
