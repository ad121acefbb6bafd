/**
 * ChoiceDevice: a device on which somebody else chooses what completes next.
 *
 * While it is `sync` it answers at once, so that a scene is set without a choice. Afterwards every
 * call waits until it is completed, well or not; what it does happens in that moment. It watches
 * over D3: whoever changes a buffer that is being written is found out.
 */
import { assert, checksum64, DeviceError, hex } from '../../src/base/index.ts';
import {
  type Completion,
  type Device,
  type DeviceOperation,
  type MemoryDevice,
  totalLength,
} from '../../src/device/index.ts';

/** A call that waits, or a pause that an operation has asked for. */
export interface Call {
  readonly kind: DeviceOperation | 'pause';
  readonly position: number;
  readonly length: number;
  /** Calls that were made in the same turn have the same number. */
  readonly turn: number;
  /** Does the work and settles the promise; with `fail` nothing is done and it is rejected. */
  readonly complete: (fail: boolean) => void;
}

export class ChoiceDevice implements Device {
  readonly name = 'chosen memory';
  readonly readOnly = false;
  sync = true;
  /** Calls that wait, in the order in which they came. */
  readonly pending: Call[] = [];
  /** Counted up by whoever chooses. */
  turn = 0;
  /** Flushes that were completed after a choice. */
  flushes = 0;
  readonly #inner: MemoryDevice;

  constructor(inner: MemoryDevice) {
    this.#inner = inner;
  }

  get size(): number {
    return this.#inner.size;
  }

  /** Completes calls, one after the other, in this turn. */
  complete(calls: readonly Call[], fail = false): void {
    for (const call of calls) {
      this.pending.splice(this.pending.indexOf(call), 1);
      call.complete(fail);
    }
  }

  /** What a driver waits for when an operation lets others run. */
  pause(): Promise<void> {
    return this.#wait('pause', 0, 0, () => undefined) ?? Promise.resolve();
  }

  read(position: number, buffer: Uint8Array): Completion {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    return this.#wait('read', position, length, () => this.#inner.readv(position, buffers));
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const before = this.sync ? [] : buffers.map((buffer) => checksum64(buffer, 0n));
    return this.#wait('write', position, totalLength(buffers), () => {
      const same = before.every((sum, i) => checksum64(buffers[i] as Uint8Array, 0n) === sum);
      assert(same, () => `D3: a buffer was changed while being written at ${hex(position)}`);
      return this.#inner.writev(position, buffers);
    });
  }

  view(position: number, length: number): Uint8Array | undefined {
    return this.#inner.view(position, length);
  }

  flush(): Completion {
    return this.#wait('flush', 0, 0, () => {
      if (!this.sync) this.flushes++;
      return this.#inner.flush();
    });
  }

  discard(position: number, length: number): Completion {
    return this.#wait('discard', position, length, () => this.#inner.discard(position, length));
  }

  prepare(position: number, length: number): Completion {
    return this.#wait('prepare', position, length, () => this.#inner.prepare(position, length));
  }

  grow(size: number): Completion {
    return this.#wait('grow', size, 0, () => this.#inner.grow(size));
  }

  close(): Completion {
    return this.#inner.close();
  }

  #wait(
    kind: Call['kind'],
    position: number,
    length: number,
    work: () => undefined,
  ): Promise<void> | undefined {
    if (this.sync) {
      work();
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const complete = (fail: boolean): void => {
        if (fail) {
          const operation = kind === 'pause' ? 'flush' : kind;
          const finding = 'a planted fault';
          reject(new DeviceError('EIO', { operation, position, length, finding }));
          return;
        }
        try {
          work();
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.pending.push({ kind, position, length, turn: this.turn, complete });
    });
  }
}
