/**
 * Tracked operations: what they do to a file they do to plain bytes, in the same turn. So the bytes
 * are what the file must hold, however operations overlap.
 */
import { equalBytes } from '../../src/base/index.ts';
import { BufferedRead, BufferedWrite, type IomapFile } from '../../src/iomap/index.ts';
import { expectSame } from './rig.ts';

export interface Pair {
  readonly file: IomapFile;
  bytes: Uint8Array;
}

export class TrackedWrite extends BufferedWrite {
  readonly #pair: Pair;
  readonly #at: number;
  readonly #data: Uint8Array;

  constructor(pair: Pair, at: number, data: Uint8Array) {
    super();
    this.#pair = pair;
    this.#at = at;
    this.#data = data;
    this.begin(pair.file, at, data);
  }

  protected override wrote(position: number, length: number): void {
    const from = position - this.#at;
    resize(this.#pair, Math.max(this.#pair.bytes.length, position + length));
    this.#pair.bytes.set(this.#data.subarray(from, from + length), position);
  }
}

/** A read of one chunk: what it found is what is there in the turn in which it ends. */
export class TrackedRead extends BufferedRead {
  readonly #pair: Pair;
  readonly #at: number;
  readonly #target: Uint8Array;

  constructor(pair: Pair, at: number, length: number) {
    super();
    this.#pair = pair;
    this.#at = at;
    this.#target = new Uint8Array(Math.min(length, pair.file.pool.chunkSize));
    this.begin(pair.file, at, this.#target.length, this.#target);
  }

  protected override finish(length: number): true {
    const { file, bytes } = this.#pair;
    const wanted = bytes.subarray(this.#at, this.#at + this.#target.length);
    const found = this.#target.subarray(0, length);
    // It is asked very often, and saying what is wrong takes time.
    if (!equalBytes(found, wanted)) expectSame(found, wanted, `file ${file.id} from ${this.#at}`);
    return super.finish(length);
  }
}

export function resize(pair: Pair, size: number): void {
  const bytes = new Uint8Array(size);
  bytes.set(pair.bytes.subarray(0, size));
  pair.bytes = bytes;
}
