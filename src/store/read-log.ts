/**
 * Read log: finds the frames that came after a root.
 *
 * Reading begins where the superblock says and ends before the first frame that is not whole, or
 * not the one that comes next. A frame and the data that its mutations name were made durable by
 * one flush, so the last frame is taken only if all of its data is there (J1, J4). Nothing is
 * changed.
 */
import { BLOCK_SIZE, checksum32, PlainIo, type Plan, PlannedOperation } from '../base/index.ts';
import {
  type Geometry,
  imageSeed,
  isFirstLogFrame,
  isNextLogFrame,
  logFrameBlocks,
  mutationsOf,
  openLogFrame,
  type SealedLogFrame,
  type Superblock,
} from '../format/index.ts';
import type { LogEnd } from './log.ts';

/** What a mount has to do again, and where the log goes on. */
export interface FoundLog {
  /** Of txgs after that of the root, in order. */
  readonly frames: readonly SealedLogFrame[];
  /** The one after them, of whose data a part is not on the device. */
  readonly leftOut: SealedLogFrame | undefined;
  readonly end: LogEnd;
}

/** Blocks that are read at once. */
const WINDOW_BLOCKS = 256;

interface DataRun {
  readonly block: number;
  readonly checksums: Uint32Array;
}

export class ReadLog extends PlannedOperation<FoundLog> {
  readonly #geometry: Geometry;
  readonly #seed: bigint;
  readonly #txg: number;
  readonly #first: { readonly logSequence: number; readonly txg: number };
  readonly #frames: SealedLogFrame[] = [];
  /** Where the next frame is looked for, and the number it has. */
  #at: number;
  #sequence: number;
  /** It is not there, and is looked for at the start of the ring. */
  #atStart = false;
  /** Where the last frame begins. */
  #lastAt = 0;
  #last: SealedLogFrame | undefined;
  /** Blocks of the frames so far: the ring holds no more than it has. */
  #blocks = 0;
  #window: PlainIo | undefined;
  #windowAt = 0;
  /** Data of the last frame that is not verified yet. */
  #data: DataRun[] | undefined;
  #dataIo: PlainIo | undefined;
  #checksums: Uint32Array = new Uint32Array(0);

  /** `rootTxg` is that of the root, whatever the superblock says of newer ones. */
  constructor({ geometry, state, uuid }: Superblock, rootTxg: number) {
    super();
    this.#geometry = geometry;
    this.#seed = imageSeed(uuid);
    this.#txg = rootTxg;
    this.#first = { logSequence: state.logSequence, txg: rootTxg };
    this.#at = state.logTail % geometry.logBlocks;
    this.#sequence = state.logSequence;
  }

  protected override prepare(plan: Plan): void {
    const io = this.#dataIo ?? this.#window;
    if (io !== undefined && !io.finished) plan.need(io);
  }

  protected override apply(): boolean {
    if (this.#data === undefined) {
      const next = this.#next();
      if (next === 'window') return false;
      if (next !== undefined) {
        this.#take(next);
        return false;
      }
      this.#data = this.#dataOf(this.#frames.at(-1));
    }
    if (!this.#isIntact()) return this.#end(true);
    const run = this.#data.pop();
    if (run === undefined) return this.#end(false);
    const bytes = new Uint8Array(run.checksums.length * BLOCK_SIZE);
    this.#dataIo = new PlainIo('read', run.block * BLOCK_SIZE, [bytes]);
    this.#checksums = run.checksums;
    return false;
  }

  /** The next frame, here or at the start of the ring; `window`: more has to be read. */
  #next(): SealedLogFrame | 'window' | undefined {
    if (!this.#atStart) {
      const here = this.#look(this.#at);
      if (here !== undefined || this.#at === 0) return here;
      this.#atStart = true;
    }
    const first = this.#look(0);
    if (first === 'window') return first;
    this.#atStart = false;
    if (first !== undefined) this.#at = 0;
    return first;
  }

  #look(at: number): SealedLogFrame | 'window' | undefined {
    const head = this.#bytes(at, 1);
    if (head === undefined) return 'window';
    const count = logFrameBlocks(head);
    const { logBlocks } = this.#geometry;
    if (count === 0 || at + count > logBlocks || this.#blocks + count > logBlocks) return undefined;
    const bytes = this.#bytes(at, count);
    if (bytes === undefined) return 'window';
    const frame = openLogFrame(bytes, this.#seed);
    return frame !== undefined && this.#follows(frame) ? frame : undefined;
  }

  #follows(frame: SealedLogFrame): boolean {
    const last = this.#last;
    return last === undefined ? isFirstLogFrame(frame, this.#first) : isNextLogFrame(frame, last);
  }

  #take(frame: SealedLogFrame): void {
    const count = frame.bytes.length / BLOCK_SIZE;
    this.#last = { ...frame, bytes: frame.bytes.slice() };
    this.#lastAt = this.#at;
    this.#blocks += count;
    this.#at = (this.#at + count) % this.#geometry.logBlocks;
    this.#sequence++;
    if (frame.epoch > this.#txg) this.#frames.push(this.#last);
  }

  /** Blocks of the ring; undefined if they have to be read first. */
  #bytes(at: number, count: number): Uint8Array | undefined {
    const window = this.#window?.buffers[0];
    const from = at - this.#windowAt;
    if (window !== undefined && from >= 0 && (from + count) * BLOCK_SIZE <= window.length) {
      return window.subarray(from * BLOCK_SIZE, (from + count) * BLOCK_SIZE);
    }
    const { logBlocks, logStart } = this.#geometry;
    // Mostly there is nothing: a volume that was closed is opened by one small read more.
    const ahead = this.#last === undefined ? 1 : WINDOW_BLOCKS;
    const length = Math.min(logBlocks - at, Math.max(count, ahead)) * BLOCK_SIZE;
    this.#windowAt = at;
    this.#window = new PlainIo('read', (logStart + at) * BLOCK_SIZE, [new Uint8Array(length)]);
    return undefined;
  }

  #dataOf(frame: SealedLogFrame | undefined): DataRun[] {
    const found: DataRun[] = [];
    if (frame === undefined) return found;
    for (const mutation of mutationsOf(frame)) {
      if (mutation.type !== 'write') continue;
      let at = 0;
      for (const { block, length } of mutation.runs) {
        for (let i = 0; i < length; i += WINDOW_BLOCKS) {
          const count = Math.min(WINDOW_BLOCKS, length - i);
          found.push({ block: block + i, checksums: mutation.checksums.subarray(at, at + count) });
          at += count;
        }
      }
    }
    const { blockCount } = this.#geometry;
    // What cannot be on the device is found out when it is to be replayed.
    return found.filter(({ block, checksums }) => block + checksums.length <= blockCount);
  }

  #isIntact(): boolean {
    const io = this.#dataIo;
    if (io === undefined) return true;
    const bytes = io.buffers[0] as Uint8Array;
    this.#dataIo = undefined;
    return this.#checksums.every((checksum, i) => {
      const block = bytes.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE);
      return checksum32(block, this.#seed) === checksum;
    });
  }

  /**
   * `torn`: the last frame does not count. It may be whole on the device, and must not be taken for
   * the one that is written in its place: a number is skipped. A frame that is older than the root
   * may have been written late: it is passed over, and the next mount has to begin behind it.
   */
  #end(torn: boolean): true {
    const leftOut = torn ? this.#frames.pop() : undefined;
    const moved = this.#last !== undefined;
    const sequence = this.#sequence + (moved ? 1 : 0);
    const head = torn ? this.#lastAt : this.#at;
    return this.finish({ frames: this.#frames, leftOut, end: { head, sequence, moved } });
  }
}
