/**
 * SlowDevice: makes a sync device slow. Every call takes simulated time and completes in an order
 * that a schedule chooses.
 *
 * The work is done at the moment of completion: a read answers what is stored then, and a write is
 * not seen before. Arguments are checked at the call. It watches over D3: whoever changes a buffer
 * that is being written gets an AssertionError.
 */
import { assert, checksum64, hex } from '../base/index.ts';
import { type Completion, type Device, guard, guardSize, totalLength } from '../device/index.ts';
import { DEFAULT_LATENCY, type Latency, type Schedule } from './schedule.ts';

export interface SlowDeviceOptions {
  readonly schedule: Schedule;
  readonly latency?: Latency;
  /** Offers `drain`, like a device whose queue can be waited for in place. Default false. */
  readonly drains?: boolean;
}

/** What a buffer holds from the call to the completion of a read. */
const UNREAD = 0xa5;

export class SlowDevice implements Device {
  readonly name: string;
  readonly sync = false;
  readonly drain?: () => void;
  readonly #inner: Device;
  readonly #schedule: Schedule;
  readonly #latency: Latency;
  #closed = false;

  constructor(inner: Device, { schedule, latency, drains = false }: SlowDeviceOptions) {
    assert(inner.sync, () => `${inner.name} is slow already`);
    this.name = `slow ${inner.name}`;
    this.#inner = inner;
    this.#schedule = schedule;
    this.#latency = latency ?? DEFAULT_LATENCY;
    if (drains) this.drain = () => schedule.drain();
  }

  get readOnly(): boolean {
    return this.#inner.readOnly;
  }

  get size(): number {
    return this.#inner.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  read(position: number, buffer: Uint8Array): Promise<void> {
    return this.readv(position, [buffer]);
  }

  async readv(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    guard(this, 'read', position, totalLength(buffers));
    for (const buffer of buffers) buffer.fill(UNREAD);
    await this.#submit(() => this.#inner.readv(position, buffers));
  }

  write(position: number, buffer: Uint8Array): Promise<void> {
    return this.writev(position, [buffer]);
  }

  async writev(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    guard(this, 'write', position, totalLength(buffers));
    const before = buffers.map((buffer) => checksum64(buffer, 0n));
    await this.#submit(() => {
      const same = buffers.every((buffer, i) => checksum64(buffer, 0n) === before[i]);
      assert(same, () => `D3: a buffer was changed while being written at ${hex(position)}`);
      return this.#inner.writev(position, buffers);
    });
  }

  async flush(): Promise<void> {
    guard(this, 'flush', 0, 0);
    await this.#submit(() => this.#inner.flush());
  }

  async discard(position: number, length: number): Promise<void> {
    guard(this, 'discard', position, length);
    await this.#submit(() => this.#inner.discard(position, length));
  }

  async prepare(position: number, length: number): Promise<void> {
    guard(this, 'prepare', position, length);
    await this.#submit(() => this.#inner.prepare(position, length));
  }

  async grow(size: number): Promise<void> {
    guardSize(this, 'grow', size);
    await this.#submit(() => this.#inner.grow(size));
  }

  async shrink(size: number): Promise<void> {
    guardSize(this, 'shrink', size);
    await this.#submit(() => this.#inner.shrink?.(size));
  }

  /** Calls in flight that would complete after this one fail with `EBADF`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#submit(() => this.#inner.close());
  }

  #submit(work: () => Completion): Promise<void> {
    return this.#schedule.submit(work, this.#latency);
  }
}
