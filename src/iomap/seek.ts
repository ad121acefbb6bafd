/**
 * Seek: the next data, or the next hole, as lseek(2) finds them.
 *
 * What has bytes of its own is data: mapped blocks, inline bytes, and dirty blocks, also where the
 * map has a hole or unwritten space. The end of the file counts as a hole.
 */
import {
  BLOCK_SIZE,
  FilesystemError,
  NO_FRAME,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { FOLIO_BLOCKS, NO_FOLIO } from '../cache/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingType, RequestFlag } from './mapping.ts';

/** Runs that one turn looks at. */
const TURN_RUNS = 4096;

/** Its result is a file offset, `from` itself if that is what is looked for. */
export class Seek extends PlannedOperation<number> {
  readonly #file: IomapFile;
  readonly #data: boolean;
  readonly #from: number;
  readonly #iterator = new MappingIterator();
  #at: number;
  #found = -1;

  /** Looks for data, or for a hole. */
  constructor(file: IomapFile, from: number, what: 'data' | 'hole') {
    super();
    this.#file = file;
    this.#from = from;
    this.#at = from - (from % BLOCK_SIZE);
    this.#data = what === 'data';
  }

  /** @throws {FilesystemError} `ENXIO` at or after the end, or if there is no more data */
  protected override prepare(plan: Plan): void {
    const { size } = this.#file;
    if (this.#from < 0 || this.#from >= size) throw nothing(this.#from, 'the file ends before');
    const iterator = this.#iterator.begin(this.#file, RequestFlag.READ, this.#at, size);
    for (let runs = 0; this.#found < 0 && runs < TURN_RUNS; runs++) {
      const run = iterator.step(plan);
      if (run === undefined) return;
      this.#look(run);
    }
  }

  protected override apply(): boolean {
    const { size } = this.#file;
    if (this.#found >= 0) return this.finish(Math.min(size, Math.max(this.#found, this.#from)));
    if (this.#at < size) return false;
    if (this.#data) throw nothing(this.#from, 'there is no data after it');
    return this.finish(size);
  }

  protected override release(): void {
    if (this.plan.pinned.length > 0) this.#file.pool.blocks.unpin(this.plan);
  }

  /** Looks at one run; goes behind it if what is wanted is not there. */
  #look({ type, end }: Mapping): void {
    const empty = type === MappingType.HOLE || type === MappingType.UNWRITTEN;
    if (!empty && this.#data) {
      this.#found = this.#at;
      return;
    }
    while (empty && this.#found < 0 && this.#at < end) this.#lookInHole(end);
    this.#at = Math.max(this.#at, end);
  }

  /** From here to `end` the map has nothing: what is dirty there decides. */
  #lookInHole(end: number): void {
    const dirty = this.#nextDirty(this.#at, end);
    if (this.#data) {
      if (dirty < end) this.#found = dirty;
      this.#at = end;
    } else if (dirty > this.#at) this.#found = this.#at;
    else this.#at = this.#dirtyEnd(this.#at, end);
  }

  /** The first dirty block from `at` on; `end` if there is none before. */
  #nextDirty(at: number, end: number): number {
    const file = this.#file;
    if (file.folioCount === 0) return end;
    const { folios } = file.pool;
    let next = end / BLOCK_SIZE;
    for (let folio = file.firstFolio; folio !== NO_FOLIO; folio = folios.nextOf(folio)) {
      const base = (folios.index[folio] as number) * FOLIO_BLOCKS;
      if (base >= next) continue;
      for (let i = 0; i < FOLIO_BLOCKS && base + i < next; i++) {
        const there = folios.frame(folio, i) !== NO_FRAME;
        if (there && (base + i) * BLOCK_SIZE >= at) next = base + i;
      }
    }
    return next * BLOCK_SIZE;
  }

  /** Where the dirty blocks that begin at `at` end. */
  #dirtyEnd(at: number, end: number): number {
    let next = at + BLOCK_SIZE;
    while (next < end && this.#file.frameAt(next) !== NO_FRAME) next += BLOCK_SIZE;
    return next;
  }
}

function nothing(from: number, why: string): FilesystemError {
  return new FilesystemError('ENXIO', `Cannot seek from byte ${from}: ${why}`);
}
