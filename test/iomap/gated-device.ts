/**
 * GatedDevice: a slow device whose calls end when the test says so.
 *
 * While the gate is open every call ends in the same turn of the event loop, though not in the same
 * turn of the engine. While it is shut, calls wait: a test can stop an operation between looking
 * and acting, let others pass it, and let it go on.
 */
import type { Device, DeviceOperation } from '../../src/device/index.ts';

interface Call {
  readonly kind: DeviceOperation;
  readonly go: () => void;
}

export class GatedDevice implements Device {
  readonly name = 'gated memory';
  readonly sync = false;
  readonly readOnly = false;
  readonly #inner: Device;
  #shut = false;
  #waiting: Call[] = [];

  constructor(inner: Device) {
    this.#inner = inner;
  }

  get size(): number {
    return this.#inner.size;
  }

  /** Calls that wait, in the order in which they came. */
  get waiting(): DeviceOperation[] {
    return this.#waiting.map(({ kind }) => kind);
  }

  shut(): void {
    this.#shut = true;
  }

  /** Lets all calls go that wait, or those of one kind, and everything happen that follows. */
  async pass(kind?: DeviceOperation): Promise<void> {
    const passing = this.#waiting.filter((call) => kind === undefined || call.kind === kind);
    this.#waiting = this.#waiting.filter((call) => !passing.includes(call));
    for (const { go } of passing) go();
    await this.#turn();
  }

  /** Lets one call go: the first that waits, or the last. */
  async passOne(which: 'first' | 'last'): Promise<void> {
    const call = which === 'first' ? this.#waiting.shift() : this.#waiting.pop();
    call?.go();
    await this.#turn();
  }

  async open(): Promise<void> {
    this.#shut = false;
    while (this.#waiting.length > 0) await this.pass();
  }

  read(position: number, buffer: Uint8Array): Promise<void> {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#call('read', () => this.#inner.readv(position, buffers));
  }

  write(position: number, buffer: Uint8Array): Promise<void> {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#call('write', () => this.#inner.writev(position, buffers));
  }

  flush(): Promise<void> {
    return this.#call('flush', () => this.#inner.flush());
  }

  discard(position: number, length: number): Promise<void> {
    return this.#call('discard', () => this.#inner.discard(position, length));
  }

  prepare(position: number, length: number): Promise<void> {
    return this.#call('prepare', () => this.#inner.prepare(position, length));
  }

  grow(size: number): Promise<void> {
    return this.#call('grow', () => this.#inner.grow(size));
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  async #call(kind: DeviceOperation, work: () => unknown): Promise<void> {
    if (this.#shut) await new Promise<void>((go) => this.#waiting.push({ kind, go }));
    else await Promise.resolve();
    await work();
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
