/**
 * MemoryStore: the bytes behind a memory device.
 *
 * `SegmentStore` owns its memory and takes it piece by piece as it is written, so a device can be
 * far larger than what is in it and grows without copying. `BufferStore` lives in a buffer of the
 * caller's and is as long as that buffer is.
 */
import { KIB } from '../base/index.ts';

export interface MemoryStore {
  readonly size: number;
  read(position: number, target: Uint8Array): void;
  write(position: number, source: Uint8Array): void;
  /** What of these bytes follows each other in memory; undefined if the first takes none. */
  view(position: number, length: number): Uint8Array | undefined;
  /** Gives memory back where that is possible. The bytes may change. */
  discard(position: number, length: number): void;
  /** Makes the store `size` bytes long, more than it is. False if there is no room. */
  grow(size: number): boolean;
  /** Makes the store `size` bytes long, less than it is, if it can. */
  shrink(size: number): void;
}

/** Memory is taken in pieces of this size. */
export const SEGMENT_SIZE = 256 * KIB;

export class SegmentStore implements MemoryStore {
  /** Absent: never written, reads as zeros. */
  readonly #segments = new Map<number, Uint8Array>();
  size: number;

  constructor(size: number) {
    this.size = size;
  }

  read(position: number, target: Uint8Array): void {
    this.#forEachPart(position, target.length, (index, offset, start, end) => {
      const part = target.subarray(start, end);
      const segment = this.#segments.get(index);
      if (segment === undefined) part.fill(0);
      else part.set(segment.subarray(offset, offset + part.length));
    });
  }

  write(position: number, source: Uint8Array): void {
    this.#forEachPart(position, source.length, (index, offset, start, end) => {
      let segment = this.#segments.get(index);
      if (segment === undefined) {
        segment = new Uint8Array(SEGMENT_SIZE);
        this.#segments.set(index, segment);
      }
      segment.set(source.subarray(start, end), offset);
    });
  }

  view(position: number, length: number): Uint8Array | undefined {
    const index = Math.floor(position / SEGMENT_SIZE);
    const offset = position - index * SEGMENT_SIZE;
    return this.#segments.get(index)?.subarray(offset, offset + length);
  }

  discard(position: number, length: number): void {
    this.#forEachPart(position, length, (index, _offset, start, end) => {
      if (end - start === SEGMENT_SIZE) this.#segments.delete(index);
    });
  }

  /** Bytes behind the old end are zeros: nothing was ever written there. */
  grow(size: number): boolean {
    this.size = size;
    return true;
  }

  /** Bytes behind the new end are zeros, should the store grow again. */
  shrink(size: number): void {
    this.#forEachPart(size, this.size - size, (index, offset) => {
      if (offset === 0) this.#segments.delete(index);
      else this.#segments.get(index)?.fill(0, offset);
    });
    this.size = size;
  }

  /** `visit(segment, offset in it, start, end)`: start and end count from `position`. */
  #forEachPart(
    position: number,
    length: number,
    visit: (index: number, offset: number, start: number, end: number) => void,
  ): void {
    for (let start = 0; start < length; ) {
      const index = Math.floor((position + start) / SEGMENT_SIZE);
      const offset = position + start - index * SEGMENT_SIZE;
      const end = Math.min(length, start + SEGMENT_SIZE - offset);
      visit(index, offset, start, end);
      start = end;
    }
  }
}

/** What resizable ArrayBuffers and growable SharedArrayBuffers have in addition. */
interface Resizable {
  readonly resizable?: boolean;
  readonly growable?: boolean;
  readonly maxByteLength?: number;
  resize?(length: number): void;
  grow?(length: number): void;
}

export class BufferStore implements MemoryStore {
  readonly #buffer: ArrayBufferLike;
  /** Without a length of its own, so that it follows the buffer. */
  readonly #bytes: Uint8Array;

  constructor(buffer: ArrayBufferLike) {
    this.#buffer = buffer;
    this.#bytes = new Uint8Array(buffer);
  }

  get size(): number {
    return this.#bytes.length;
  }

  read(position: number, target: Uint8Array): void {
    target.set(this.#bytes.subarray(position, position + target.length));
  }

  write(position: number, source: Uint8Array): void {
    this.#bytes.set(source, position);
  }

  view(position: number, length: number): Uint8Array {
    return this.#bytes.subarray(position, position + length);
  }

  discard(): void {}

  grow(size: number): boolean {
    const buffer = this.#buffer as Resizable;
    if (size > (buffer.maxByteLength ?? this.size)) return false;
    if (buffer.resizable) buffer.resize?.(size);
    else if (buffer.growable) buffer.grow?.(size);
    return this.size >= size;
  }

  shrink(): void {}
}
