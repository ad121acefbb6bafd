/** MemoryDevice: an image in memory, its own or a buffer of the caller's. */
import { argumentError, DeviceError } from '../base/index.ts';
import { totalLength } from './buffers.ts';
import type { Device } from './device.ts';
import { cannotGrow, guard, guardSize, isCount } from './guard.ts';
import { BufferStore, type MemoryStore, SegmentStore } from './memory-store.ts';

export interface MemoryDeviceOptions {
  /** Bytes of a device with memory of its own. It is zeros, and takes memory as it is written. */
  readonly size?: number;
  /**
   * The device lives in here instead; other threads may see it there. It grows only as far as the
   * buffer can be resized.
   */
  readonly buffer?: ArrayBufferLike;
  readonly readOnly?: boolean;
  /** What it is called in messages. Default `memory`. */
  readonly name?: string;
}

export class MemoryDevice implements Device {
  readonly name: string;
  readonly sync = true;
  readonly readOnly: boolean;
  readonly #store: MemoryStore;
  #closed = false;

  /** @throws {RangeError} unless it is either a buffer or a size, and the size is whole */
  constructor(options: MemoryDeviceOptions) {
    const { size, buffer } = options;
    if ((size === undefined) === (buffer === undefined)) {
      throw argumentError('Cannot make a memory device: give either a size or a buffer');
    }
    if (size !== undefined && !isCount(size)) {
      throw argumentError(`Cannot make a memory device: size ${size} is not a whole number`);
    }
    this.#store = buffer === undefined ? new SegmentStore(size as number) : new BufferStore(buffer);
    this.readOnly = options.readOnly ?? false;
    this.name = options.name ?? 'memory';
  }

  /** A device with memory of its own that holds a copy of `bytes`. */
  static from(
    bytes: Uint8Array,
    options: { name?: string; readOnly?: boolean } = {},
  ): MemoryDevice {
    const device = new MemoryDevice({ ...options, size: bytes.length });
    device.#store.write(0, bytes);
    return device;
  }

  get size(): number {
    return this.#store.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  read(position: number, buffer: Uint8Array): undefined {
    guard(this, 'read', position, buffer.length);
    this.#store.read(position, buffer);
  }

  readv(position: number, buffers: readonly Uint8Array[]): undefined {
    guard(this, 'read', position, totalLength(buffers));
    let at = position;
    for (const buffer of buffers) {
      this.#store.read(at, buffer);
      at += buffer.length;
    }
  }

  write(position: number, buffer: Uint8Array): undefined {
    this.writev(position, [buffer]);
  }

  /** @throws {DeviceError} `ENOSPC` if the host has no memory left; a part may be written then */
  writev(position: number, buffers: readonly Uint8Array[]): undefined {
    const length = totalLength(buffers);
    guard(this, 'write', position, length);
    let at = position;
    try {
      for (const buffer of buffers) {
        this.#store.write(at, buffer);
        at += buffer.length;
      }
    } catch (cause) {
      const finding = 'the host has no memory left';
      throw new DeviceError('ENOSPC', { operation: 'write', position, length, finding, cause });
    }
  }

  view(position: number, length: number): Uint8Array | undefined {
    guard(this, 'read', position, length);
    return this.#store.view(position, length);
  }

  /** Memory is as durable as it gets. */
  flush(): undefined {
    guard(this, 'flush', 0, 0);
  }

  /** Gives whole segments back to the host; they read as zeros then. */
  discard(position: number, length: number): undefined {
    guard(this, 'discard', position, length);
    this.#store.discard(position, length);
  }

  prepare(position: number, length: number): undefined {
    guard(this, 'prepare', position, length);
  }

  /** @throws {DeviceError} `ENOSPC` if the caller's buffer cannot be that long */
  grow(size: number): undefined {
    guardSize(this, 'grow', size);
    if (size > this.size && !this.#store.grow(size)) throw cannotGrow(this, size);
  }

  /** A buffer of the caller's stays as long as it is. */
  shrink(size: number): undefined {
    guardSize(this, 'shrink', size);
    if (size < this.size) this.#store.shrink(size);
  }

  close(): undefined {
    this.#closed = true;
  }
}
