/** Buffers: a list of buffers as one run of bytes. */
import { assert } from '../base/index.ts';

/** Bytes in all buffers together. */
export function totalLength(buffers: readonly Uint8Array[]): number {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  return length;
}

/** A place in a list of buffers that moves towards its end. Nothing is copied. */
export class BufferCursor {
  readonly #buffers: readonly Uint8Array[];
  /** Buffer that the cursor is in, and the byte within it. */
  #index = 0;
  #offset = 0;

  constructor(buffers: readonly Uint8Array[]) {
    this.#buffers = buffers;
  }

  /** Views of the next bytes, at most `limit` of them, none empty. The cursor stays. */
  peek(limit: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    let skip = this.#offset;
    for (let i = this.#index; i < this.#buffers.length && views.length < limit; i++) {
      const buffer = this.#buffers[i] as Uint8Array;
      if (buffer.length > skip) views.push(skip === 0 ? buffer : buffer.subarray(skip));
      skip = 0;
    }
    return views;
  }

  /** Views of the next `length` bytes; the cursor moves behind them. */
  take(length: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    this.#advance(length, (view) => views.push(view));
    return views;
  }

  /** Moves the cursor `length` bytes on. */
  skip(length: number): void {
    this.#advance(length, () => {});
  }

  #advance(length: number, pass: (view: Uint8Array) => void): void {
    let left = length;
    while (left > 0) {
      const buffer = this.#buffers[this.#index];
      assert(buffer !== undefined, () => `the buffers end ${left} bytes too early`);
      const end = Math.min(buffer.length, this.#offset + left);
      if (end > this.#offset) pass(buffer.subarray(this.#offset, end));
      left -= end - this.#offset;
      this.#offset = end;
      if (end === buffer.length) {
        this.#index++;
        this.#offset = 0;
      }
    }
  }
}
