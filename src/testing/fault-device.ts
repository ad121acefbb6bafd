/**
 * FaultDevice: wraps a device and does harm where it is told to.
 *
 * A fault *strikes* a call that matches it: the operation, the addresses, then the countdown, then
 * chance. The first fault that strikes a call decides it. For latency, wrap a SlowDevice.
 */
import { assert, BLOCK_SIZE, DeviceError, type ErrorCode } from '../base/index.ts';
import {
  type Completion,
  type Device,
  type DeviceOperation,
  run,
  type Steps,
  totalLength,
} from '../device/index.ts';
import { DeviceCounters } from './counters.ts';
import { Random } from './random.ts';

/**
 * - `fail`: the call fails and nothing happens.
 * - `lose`: the call reports success and nothing happens; a lost read leaves the buffer as it is.
 * - `misdirect`: a read or write goes to the block beside the right one.
 * - `rot`: one bit of what is read or written is flipped.
 */
export type FaultEffect = 'fail' | 'lose' | 'misdirect' | 'rot';

export interface Fault {
  readonly on: DeviceOperation;
  readonly effect: FaultEffect;
  /** Only calls that touch this range. Default: any. */
  readonly within?: { readonly position: number; readonly length: number };
  /** Matching calls to let pass first. Default 0. */
  readonly skip?: number;
  /** Strikes so often and never again. Default: no end. */
  readonly times?: number;
  /** Of the calls it could strike. Default 1. */
  readonly probability?: number;
  /** What a failing call fails with. Default `EIO`. */
  readonly code?: ErrorCode;
}

/** How a call is carried out: as it should be, or as a fault has it. */
interface Ways {
  readonly plain: () => Completion;
  readonly misdirect?: () => Completion;
  readonly rot?: () => Completion;
}

const NO_BYTES = new Uint8Array(0);

interface Planned {
  readonly fault: Fault;
  skipsLeft: number;
  timesLeft: number;
}

export class FaultDevice implements Device {
  readonly counters = new DeviceCounters();
  readonly #inner: Device;
  readonly #random: Random;
  #planned: Planned[] = [];
  #struck = 0;

  constructor(inner: Device, random: Random = new Random(1)) {
    this.#inner = inner;
    this.#random = random;
  }

  get name(): string {
    return `faulty ${this.#inner.name}`;
  }

  get sync(): boolean {
    return this.#inner.sync;
  }

  get readOnly(): boolean {
    return this.#inner.readOnly;
  }

  get size(): number {
    return this.#inner.size;
  }

  /** Calls that were struck so far. */
  get struck(): number {
    return this.#struck;
  }

  /** Adds a fault, behind those already there. */
  inject(fault: Fault): void {
    const moves = fault.on === 'read' || fault.on === 'write';
    const simple = fault.effect === 'fail' || fault.effect === 'lose';
    assert(moves || simple, () => `${fault.on} cannot ${fault.effect}`);
    const { skip = 0, times = Number.POSITIVE_INFINITY } = fault;
    this.#planned.push({ fault, skipsLeft: skip, timesLeft: times });
  }

  /** Takes all faults back. The harm that was done stays. */
  heal(): void {
    this.#planned = [];
  }

  read(position: number, buffer: Uint8Array): Completion {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    return this.#call('read', position, length, {
      plain: () => this.#inner.readv(position, buffers),
      misdirect: () => this.#inner.readv(this.#beside(position, length), buffers),
      rot: () => run(this.#readRotten(position, buffers)),
    });
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    return this.#call('write', position, length, {
      plain: () => this.#inner.writev(position, buffers),
      misdirect: () => this.#inner.writev(this.#beside(position, length), buffers),
      rot: () => this.#inner.writev(position, this.#rotten(buffers)),
    });
  }

  flush(): Completion {
    return this.#call('flush', 0, 0, { plain: () => this.#inner.flush() });
  }

  discard(position: number, length: number): Completion {
    const plain = () => this.#inner.discard(position, length);
    return this.#call('discard', position, length, { plain });
  }

  prepare(position: number, length: number): Completion {
    const plain = () => this.#inner.prepare(position, length);
    return this.#call('prepare', position, length, { plain });
  }

  grow(size: number): Completion {
    return this.#call('grow', size, 0, { plain: () => this.#inner.grow(size) });
  }

  close(): Completion {
    return this.#inner.close();
  }

  #call(operation: DeviceOperation, position: number, length: number, ways: Ways): Completion {
    this.counters.count(operation, length);
    const struck = this.#planned.find((each) => this.#strikes(each, operation, position, length));
    if (struck === undefined) return ways.plain();
    this.#struck++;
    const { effect, code = 'EIO' } = struck.fault;
    switch (effect) {
      case 'fail': {
        const finding = 'a planted fault';
        return run(this.#fail(new DeviceError(code, { operation, position, length, finding })));
      }
      case 'lose':
        return this.#idle();
      default:
        return ways[effect]?.();
    }
  }

  /** Takes as long as the device takes for a read, and does nothing. */
  #idle(): Completion {
    return this.#inner.read(0, NO_BYTES);
  }

  *#fail(error: DeviceError): Steps {
    yield this.#idle();
    throw error;
  }

  #strikes(
    planned: Planned,
    operation: DeviceOperation,
    position: number,
    length: number,
  ): boolean {
    const { on, within, probability = 1 } = planned.fault;
    if (on !== operation || planned.timesLeft === 0) return false;
    if (within !== undefined) {
      const before = position + length <= within.position;
      const behind = position >= within.position + within.length;
      if (before || behind) return false;
    }
    if (planned.skipsLeft > 0) {
      planned.skipsLeft--;
      return false;
    }
    if (!this.#random.chance(probability)) return false;
    planned.timesLeft--;
    return true;
  }

  *#readRotten(position: number, buffers: readonly Uint8Array[]): Steps {
    yield this.#inner.readv(position, buffers);
    this.#flipBit(buffers);
  }

  #rotten(buffers: readonly Uint8Array[]): Uint8Array[] {
    const copies = buffers.map((buffer) => buffer.slice());
    this.#flipBit(copies);
    return copies;
  }

  #flipBit(buffers: readonly Uint8Array[]): void {
    const length = totalLength(buffers);
    if (length === 0) return;
    let at = this.#random.below(length);
    for (const buffer of buffers) {
      if (at >= 0 && at < buffer.length) {
        buffer[at] = (buffer[at] as number) ^ (1 << this.#random.below(8));
      }
      at -= buffer.length;
    }
  }

  /** The place one block further on, or before if the device ends there. */
  #beside(position: number, length: number): number {
    const after = position + BLOCK_SIZE;
    return after + length <= this.size ? after : Math.max(0, position - BLOCK_SIZE);
  }
}
