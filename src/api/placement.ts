/**
 * Placement: files that are overwritten in place, and files whose blocks stay where they are.
 */
import type { Extent, Vnode } from '../volume/index.ts';
import { isInplace, type Pinned, pin, setInplace, unpin } from './calls/inplace.ts';
import type { FileArgument } from './calls/whole-files.ts';
import { FileRanges } from './file-ranges.ts';
import type { Caller } from './fs.ts';
import { fileSite } from './locator.ts';

const RELEASE = { syscall: 'pin' } as const;

/**
 * A file that is pinned: it stays so until it is released, or the volume closed, whether the file
 * it was opened as is closed or loses its name.
 */
export class PinnedFile {
  /** Where its data is. All of it has a place, and keeps it. */
  readonly extents: readonly Extent[];
  readonly #caller: Caller;
  #vnode: Vnode | undefined;
  /** How the volume ends the pin when it is closed. */
  readonly #end: { release(): void } = { release: () => void this.#take() };

  constructor(caller: Caller, { vnode, extents }: Pinned) {
    this.#caller = caller;
    this.#vnode = vnode;
    this.extents = extents;
    caller.context.views.add(this.#end);
  }

  /** False once it is released, or the volume is closed. */
  get valid(): boolean {
    return this.#vnode !== undefined;
  }

  /**
   * Ends the pin: what was written to the blocks past the volume is seen from then on, and they may
   * be shared and moved again. Idempotent.
   */
  async release(): Promise<void> {
    const vnode = this.#take();
    if (vnode !== undefined) await this.#caller.start(unpin(this.#caller.context, vnode), RELEASE);
  }

  releaseSync(): void {
    const vnode = this.#take();
    if (vnode !== undefined) this.#caller.finish(unpin(this.#caller.context, vnode), RELEASE);
  }

  [Symbol.dispose](): void {
    this.releaseSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #take(): Vnode | undefined {
    const vnode = this.#vnode;
    this.#vnode = undefined;
    this.#caller.context.views.delete(this.#end);
    return vnode;
  }
}

export abstract class Placement extends FileRanges {
  /**
   * Has a file overwritten in place from now on, or copied again as all others are. An overwrite
   * and its `fdatasync` are then one write and one flush, and the file stays in the order it has;
   * for that its data has no checksums, and after a crash a block that was being overwritten may
   * hold a mixture, or newer bytes than the rest of the volume. What a clone or a snapshot shares
   * is copied as ever, and so is what was written, cut or unshared in the last two commits.
   *
   * What is in the file keeps its checksums until it is overwritten. A directory stays as it is:
   * files and directories that are made in it from now on are such from the beginning.
   *
   * @throws `EINVAL` if it is neither a file nor a directory, `ETXTBSY` if it is pinned; `EBADF`,
   *   `EROFS`, `ENOENT`
   */
  async setInplace(file: FileArgument, inplace: boolean): Promise<void> {
    const call = setInplace(this.caller.context, file, inplace);
    await this.caller.start(call, fileSite('setflags', file));
  }

  setInplaceSync(file: FileArgument, inplace: boolean): void {
    const call = setInplace(this.caller.context, file, inplace);
    this.caller.finish(call, fileSite('setflags', file));
  }

  /** Whether a file is overwritten in place, or the files made in a directory will be. */
  async inplace(file: FileArgument): Promise<boolean> {
    const call = isInplace(this.caller.context, file);
    return await this.caller.start(call, fileSite('getflags', file));
  }

  inplaceSync(file: FileArgument): boolean {
    return this.caller.finish(isInplace(this.caller.context, file), fileSite('getflags', file));
  }

  /**
   * Keeps the blocks of a file where they are, for somebody who reaches them past the volume, as
   * for a swap file. What is written to the file goes over what is there. Everything that would
   * share its blocks, move them or take them away is refused with `ETXTBSY`: clones, snapshots and
   * dedupes of the file or of what is above it, another length, holes. It may be renamed, and lose
   * its name. It takes two commits, in which what was shared before becomes history; a crash ends
   * it.
   *
   * What others write to the blocks is seen once the pin is released.
   *
   * @throws `EINVAL` if the file is not overwritten in place, or has holes or blocks with checksums
   *   (write it once as a whole after {@link setInplace}); `ETXTBSY` if something else shares its
   *   blocks; `EBUSY` if it is pinned, or written to all the time; `EBADF`, `EROFS`, `ENOENT`
   */
  async pin(file: FileArgument): Promise<PinnedFile> {
    const pinned = await this.caller.start(pin(this.caller.context, file), fileSite('pin', file));
    return new PinnedFile(this.caller, pinned);
  }

  pinSync(file: FileArgument): PinnedFile {
    const pinned = this.caller.finish(pin(this.caller.context, file), fileSite('pin', file));
    return new PinnedFile(this.caller, pinned);
  }
}
