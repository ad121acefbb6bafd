/**
 * View: a range of a file as it lies in memory, nothing copied.
 *
 * On a device that is memory itself, what a map names can be read where it is. A view is the file
 * at one moment: its blocks are held, so that whatever becomes of the file they stay what they
 * were. It is to be read only; what is stored through it damages whoever uses the same blocks, and
 * `checked` finds that out when the view is released.
 *
 * Each block is verified the first time that a view names it in a mount, and not again: what is
 * written later is written by us. The idea is Linux's DAX, where a mapping of a file is the store.
 */
import {
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  checksum32,
  checksumFault,
  FilesystemError,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import type { BlockRun } from '../cache/index.ts';
import type { IomapFile } from './file.ts';
import { MappingIterator } from './iterate.ts';
import { type Mapping, MappingType, RequestFlag } from './mapping.ts';
import { DATA_BLOCK } from './read.ts';
import { Writeback } from './writeback.ts';

/** Bytes of a view at the most, since all of its map is looked up in one turn. */
export const VIEW_MAX = 256 * 1024 * 1024;
/** Blocks that are verified in a turn. */
const TURN_BLOCKS = 1024;

const ZEROS = new Uint8Array(64 * 1024);

/** Bytes that follow each other in a file and in memory. */
interface Segment {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Memory of blocks, with what its bytes have to be. */
interface Mapped {
  readonly block: Block;
  readonly bytes: Uint8Array;
  readonly checksums: Uint32Array;
}

export class View {
  readonly offset: number;
  readonly length: number;
  readonly #file: IomapFile;
  readonly #segments: readonly Segment[];
  readonly #runs: readonly BlockRun[];
  readonly #checked: (() => void) | undefined;
  readonly #sequences: readonly [number, number];
  #last = 0;
  #valid = true;

  constructor(
    file: IomapFile,
    range: { readonly offset: number; readonly length: number },
    parts: { readonly segments: readonly Segment[]; readonly runs: readonly BlockRun[] },
    checked: (() => void) | undefined,
  ) {
    this.#file = file;
    this.offset = range.offset;
    this.length = range.length;
    this.#segments = parts.segments;
    this.#runs = parts.runs;
    this.#checked = checked;
    this.#sequences = [file.dataSequence, file.cowSequence];
  }

  /** False once it is released: its blocks may be anything then. */
  get valid(): boolean {
    return this.#valid;
  }

  /** True if the file may have changed since, here or elsewhere. The view has not. */
  get stale(): boolean {
    const [data, cow] = this.#sequences;
    return this.#file.dataSequence !== data || this.#file.cowSequence !== cow;
  }

  /**
   * The bytes from a file offset on, `length` of them or as many as follow each other in memory:
   * at least to the end of the block, unless the view ends before.
   *
   * @throws {FilesystemError} `EBADF` once it is released, `EINVAL` outside of the view
   */
  at(offset: number, length: number = this.length): Uint8Array {
    let segment = this.#segments[this.#last];
    if (!this.#valid || segment === undefined || !covers(segment, offset)) {
      segment = this.#find(offset);
    }
    const from = offset - segment.offset;
    return segment.bytes.subarray(from, Math.min(segment.bytes.length, from + length));
  }

  /**
   * Lets go of the blocks. What was got of the view must not be used any more.
   *
   * @throws {CorruptionError} of a checked view, if something was stored through it
   */
  release(): void {
    if (!this.#valid) return;
    this.#valid = false;
    this.#file.pool.blocks.held.letGo(this.#runs);
    this.#checked?.();
  }

  #find(offset: number): Segment {
    if (!this.#valid) throw new FilesystemError('EBADF', 'Cannot use a view: it was released');
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle] as Segment).offset <= offset) low = middle + 1;
      else high = middle;
    }
    const segment = this.#segments[low - 1];
    if (segment !== undefined && covers(segment, offset)) {
      this.#last = low - 1;
      return segment;
    }
    throw new FilesystemError(
      'EINVAL',
      `Cannot read byte ${offset}: the view has ${this.offset} to ${this.offset + this.length - 1}`,
    );
  }
}

function covers({ offset, bytes }: Segment, at: number): boolean {
  return at >= offset && at < offset + bytes.length;
}

/** Makes a view; dirty data of the file gets its place first. */
export class MapView extends PlannedOperation<View> {
  readonly #file: IomapFile;
  readonly #offset: number;
  readonly #length: number;
  readonly #checked: boolean;
  readonly #iterator = new MappingIterator();
  #segments: Segment[] = [];
  #mapped: Mapped[] = [];
  #kept: readonly BlockRun[] = [];
  #held = false;
  #verified = 0;

  /** With `checked` the view is verified again when it is released. */
  constructor(file: IomapFile, offset: number, length: number, checked = false) {
    super();
    this.#file = file;
    this.#offset = offset;
    this.#length = length;
    this.#checked = checked;
  }

  /**
   * @throws {FilesystemError} `ENOTSUP` if the device is not memory, `EINVAL` if the range is not
   *   in the file, or longer than {@link VIEW_MAX}
   */
  protected override prepare(plan: Plan): void {
    if (this.#held) return;
    const file = this.#file;
    const end = this.#offset + this.#length;
    if (this.#length > VIEW_MAX || end > file.size || this.#length === 0) {
      const finding = `the file has ${file.size}, and a view 1 to ${VIEW_MAX}`;
      throw new FilesystemError(
        'EINVAL',
        `Cannot view bytes ${this.#offset} to ${end}: ${finding}`,
      );
    }
    this.#segments = [];
    this.#mapped = [];
    if (!file.clean) {
      plan.follow(new Writeback(file.pool, { only: (other) => other === file }));
      return;
    }
    const iterator = this.#iterator.begin(file, RequestFlag.READ, this.#offset, end);
    for (let source = iterator.step(plan); source !== undefined; source = iterator.step(plan)) {
      this.#add(source, iterator.offset, iterator.end);
    }
  }

  protected override apply(): boolean {
    const { blocks } = this.#file.pool;
    if (!this.#held) {
      blocks.held.hold(this.#runs());
      this.#held = true;
      blocks.unpin(this.plan);
    }
    for (let count = 0; this.#verified < this.#mapped.length; this.#verified++) {
      if (count >= TURN_BLOCKS) {
        this.plan.pause = true;
        return false;
      }
      count += this.#verify(this.#mapped[this.#verified] as Mapped, false);
    }
    const range = { offset: this.#offset, length: this.#length };
    const parts = { segments: this.#segments, runs: this.#kept as readonly BlockRun[] };
    const check = (): void => {
      for (const mapped of this.#mapped) this.#verify(mapped, true);
    };
    return this.finish(new View(this.#file, range, parts, this.#checked ? check : undefined));
  }

  override fail(error: Error): void {
    if (this.#held && !this.done) this.#file.pool.blocks.held.letGo(this.#kept);
    super.fail(error);
  }

  protected override release(): void {
    this.#file.pool.blocks.unpin(this.plan);
  }

  #runs(): readonly BlockRun[] {
    this.#kept = this.#mapped.map(({ block, bytes }) => ({
      block,
      count: bytes.length / BLOCK_SIZE,
    }));
    return this.#kept;
  }

  /** Verifies blocks that no view has had; all, if `again`. Returns how many were. */
  #verify({ block, bytes, checksums }: Mapped, again: boolean): number {
    const { blocks, viewed } = this.#file.pool;
    let count = 0;
    for (let i = 0; i < checksums.length; i++) {
      if (!again && !viewed.add(block + i)) continue;
      count++;
      const found = checksum32(bytes.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE), blocks.seed);
      const wanted = checksums[i] as number;
      if (found === wanted) continue;
      viewed.remove(block + i);
      const finding = checksumFault(found, wanted);
      throw new CorruptionError(DATA_BLOCK.name, (block + i) * BLOCK_SIZE, finding);
    }
    return count;
  }

  /** Adds what a source has from file offset `start` to `end`. */
  #add(source: Mapping, start: number, end: number): void {
    if (source.type === MappingType.MAPPED) {
      this.#addMapped(source, start, end);
      return;
    }
    if (source.type === MappingType.INLINE) {
      const bytes = new Uint8Array(end - start);
      bytes.set((source.inline as Uint8Array).subarray(start, end));
      this.#segments.push({ offset: start, bytes });
      return;
    }
    for (let at = start; at < end; at += ZEROS.length) {
      this.#segments.push({ offset: at, bytes: ZEROS.subarray(0, end - at) });
    }
  }

  #addMapped(source: Mapping, start: number, end: number): void {
    const { memory } = this.#file.pool;
    const first = start - (start % BLOCK_SIZE);
    const blocks = Math.ceil((end - first) / BLOCK_SIZE);
    const { checksumAt, checksumStride, checksums } = source;
    const index = (first - source.offset) / BLOCK_SIZE;
    for (let done = 0; done < blocks; ) {
      const block = (source.address / BLOCK_SIZE + index + done) as Block;
      const bytes = memory?.(block * BLOCK_SIZE, (blocks - done) * BLOCK_SIZE);
      if (bytes === undefined) throw notMemory();
      const count = bytes.length / BLOCK_SIZE;
      const sums = new Uint32Array(checksums === undefined ? 0 : count);
      for (let i = 0; i < sums.length; i++) {
        const at = checksumAt + (index + done + i) * checksumStride;
        sums[i] = (checksums as Uint32Array)[at] as number;
      }
      this.#mapped.push({ block, bytes, checksums: sums });
      const offset = first + done * BLOCK_SIZE;
      const from = Math.max(start, offset);
      const part = bytes.subarray(from - offset, Math.min(bytes.length, end - offset));
      this.#segments.push({ offset: from, bytes: part });
      done += count;
    }
  }
}

function notMemory(): FilesystemError {
  return new FilesystemError('ENOTSUP', 'Cannot view a file in place: its device is not memory');
}
