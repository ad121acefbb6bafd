/**
 * Tracked operations: what they do to a file they do to plain bytes, in the same turn. So the bytes
 * are what the file must hold, however operations overlap.
 */
import { equalBytes } from '../../src/base/index.ts';
import {
  BufferedRead,
  BufferedWrite,
  DirectRead,
  DirectWrite,
  type IomapFile,
} from '../../src/iomap/index.ts';
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
    patch(this.#pair, position, this.#data.subarray(position - this.#at).subarray(0, length));
  }
}

export class TrackedDirectWrite extends DirectWrite {
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
    patch(this.#pair, position, this.#data.subarray(position - this.#at).subarray(0, length));
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

/** A direct read of one chunk: what it found is what was there when it was looked up (D1). */
export class TrackedDirectRead extends DirectRead {
  readonly #pair: Pair;
  readonly #at: number;
  readonly #target: Uint8Array;
  #wanted: Uint8Array | undefined;

  constructor(pair: Pair, at: number, length: number) {
    super();
    this.#pair = pair;
    this.#at = at;
    this.#target = new Uint8Array(length);
    this.begin(pair.file, at, length, this.#target);
  }

  protected override apply(): boolean {
    this.#wanted ??= this.#pair.bytes.slice(this.#at, this.#at + this.#target.length);
    return super.apply();
  }

  protected override finish(length: number): true {
    const found = this.#target.subarray(0, length);
    const wanted = this.#wanted as Uint8Array;
    const what = `file ${this.#pair.file.id}, directly, from ${this.#at}`;
    if (!equalBytes(found, wanted)) expectSame(found, wanted, what);
    return super.finish(length);
  }
}

function patch(pair: Pair, position: number, data: Uint8Array): void {
  resize(pair, Math.max(pair.bytes.length, position + data.length));
  pair.bytes.set(data, position);
}

export function resize(pair: Pair, size: number): void {
  const bytes = new Uint8Array(size);
  bytes.set(pair.bytes.subarray(0, size));
  pair.bytes = bytes;
}
