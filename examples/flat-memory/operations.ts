/** Operations of the filesystem's own: iomap knows reads and writes, and nothing of names. */
import { type Plan, PlannedOperation } from 'ramet/base';
import { Truncate } from 'ramet/iomap';
import type { FlatFile, FlatFilesystem } from './filesystem.ts';

/** Makes a file that shares every block of another. */
export class Clone extends PlannedOperation<FlatFile> {
  readonly #fs: FlatFilesystem;
  readonly #source: FlatFile;
  readonly #name: string;

  constructor(fs: FlatFilesystem, from: string, to: string) {
    super();
    this.#fs = fs;
    this.#source = fs.open(from);
    this.#name = to;
  }

  /**
   * Refuses, or says what has to happen first: a dirty block has no address to share. What is seen
   * here still holds in `apply`, which runs in the same turn and cannot fail.
   */
  protected override prepare(plan: Plan): void {
    this.#source.checkPresent();
    this.#fs.checkFree(this.#name);
    this.#fs.pool.drained(plan, (file) => file === this.#source);
  }

  protected override apply(): boolean {
    return this.finish(this.#fs.share(this.#source, this.#name));
  }
}

/** Gives all blocks of a file back, and then its name. */
export class Remove extends Truncate {
  constructor(fs: FlatFilesystem, name: string) {
    super(fs.open(name), 0, () => fs.forget(name));
  }
}
