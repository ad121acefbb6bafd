/**
 * Map staged: makes a view of a file that can be stored to. See staged-view.ts.
 */
import { FilesystemError, type Plan, PlannedOperation } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import { blocksOf } from './range-lock.ts';
import { BufferedRead } from './read.ts';
import { Promised, StagedView, type ViewKeeper } from './staged-view.ts';

/** Bytes of all staged views of a volume. */
export const STAGED_MAX = 64 * 1024 * 1024;

const NOBODY: ViewKeeper = { wrote: () => {}, ended: () => {} };

/** Makes a view of `length` bytes from `offset` on, with what the file has there. */
export class MapStaged extends PlannedOperation<StagedView> {
  readonly #file: IomapFile;
  readonly #offset: number;
  readonly #bytes: Uint8Array;
  readonly #promise: Promised;
  readonly #keeper: ViewKeeper;
  readonly #read: BufferedRead;

  /**
   * @throws {FilesystemError} `ENOMEM` if it is more than {@link STAGED_MAX} together with the
   *   views that are open
   */
  constructor(file: IomapFile, offset: number, length: number, keeper: ViewKeeper = NOBODY) {
    super();
    let left = STAGED_MAX;
    for (const view of file.pool.views) left -= view.length;
    if (length > left) {
      const finding = `${length} bytes are wanted, ${left} of ${STAGED_MAX} are left`;
      throw new FilesystemError('ENOMEM', `Cannot view a file for writing: ${finding}`);
    }
    this.#file = file;
    this.#offset = offset;
    this.#keeper = keeper;
    this.#bytes = new Uint8Array(length);
    this.#promise = new Promised(file, offset, length);
    this.#read = new BufferedRead().begin(file, offset, length, this.#bytes);
  }

  /** @throws {FilesystemError} `EINVAL` if the range is not in the file; as a write does */
  protected override prepare(plan: Plan): void {
    const file = this.#file;
    const end = this.#offset + this.#bytes.length;
    if (end > file.size || this.#bytes.length === 0) {
      const finding = `the file has ${file.size}`;
      throw new FilesystemError(
        'EINVAL',
        `Cannot view bytes ${this.#offset} to ${end}: ${finding}`,
      );
    }
    if (!file.lock.acquire(this, blocksOf(this.#offset, end), plan)) return;
    if (!this.#promise.take(plan)) return;
    if (!this.#read.done) plan.follow(this.#read);
  }

  protected override apply(): boolean {
    return this.finish(new StagedView(this.#promise, this.#bytes, this.#keeper));
  }

  override fail(error: Error): void {
    if (!this.done) this.#promise.giveBack();
    super.fail(error);
  }

  protected override release(): void {
    this.#file.lock.release(this);
    this.#file.pool.blocks.unpin(this.plan);
  }
}
