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
import { SECTOR_SIZE } from './crash-choice.ts';
import { Random } from './random.ts';

/**
 * - `fail`: the call fails and nothing happens.
 * - `lose`: the call reports success and nothing happens; a lost read leaves the buffer as it is.
 * - `misdirect`: a read or write goes to another block, by default the one beside the right one.
 * - `rot`: one bit of what is read or written is flipped.
 * - `partial`: some sectors at the start are read or written, and the call reports success.
 * - `decay`: one bit of what is read is flipped, and stays so on the medium until it is written.
 */
export type FaultEffect = 'fail' | 'lose' | 'misdirect' | 'rot' | 'partial' | 'decay';

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
  /** Blocks by which `misdirect` misses; backwards where the device ends. Default 1. */
  readonly by?: number;
}

/** A call that was struck. */
export interface Strike {
  readonly fault: Fault;
  readonly position: number;
  readonly length: number;
  /** Where a misdirected call went instead. */
  readonly beside: number | undefined;
}

/** How a call is carried out: as it should be, or as a fault has it. */
interface Ways {
  readonly plain: () => Completion;
  readonly misdirect?: (position: number) => Completion;
  readonly rot?: () => Completion;
  readonly partial?: () => Completion;
  readonly decay?: () => Completion;
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
  readonly #done: Strike[] = [];
  /** Bits that are flipped on the medium, by the position of their byte. */
  readonly #decayed = new Map<number, number>();

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
    return this.#done.length;
  }

  /** What was struck, in order. */
  get strikes(): readonly Strike[] {
    return this.#done;
  }

  /** Flips the bits that have decayed in an image of the medium, which knows nothing of them. */
  decay(image: Uint8Array): void {
    this.#flipDecayed(0, [image]);
  }

  /** Adds a fault, behind those already there. */
  inject(fault: Fault): void {
    const moves = fault.on === 'read' || fault.on === 'write';
    const simple = fault.effect === 'fail' || fault.effect === 'lose';
    const fits = fault.effect === 'decay' ? fault.on === 'read' : moves || simple;
    assert(fits, () => `${fault.on} cannot ${fault.effect}`);
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
      plain: () => this.#readMedium(position, buffers),
      misdirect: (beside) => this.#readMedium(beside, buffers),
      rot: () => run(this.#readRotten(position, buffers)),
      partial: () => this.#readMedium(position, firstOf(buffers, this.#part(length))),
      decay: () => {
        if (length > 0) this.#decayed.set(position + this.#random.below(length), this.#bit());
        return this.#readMedium(position, buffers);
      },
    });
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    return this.#call('write', position, length, {
      plain: () => this.#writeMedium(position, buffers),
      misdirect: (beside) => this.#writeMedium(beside, buffers),
      rot: () => this.#writeMedium(position, this.#rotten(buffers)),
      partial: () => this.#writeMedium(position, firstOf(buffers, this.#part(length))),
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

  shrink(size: number): Completion {
    return this.#call('shrink', size, 0, { plain: () => this.#inner.shrink?.(size) });
  }

  close(): Completion {
    return this.#inner.close();
  }

  #call(operation: DeviceOperation, position: number, length: number, ways: Ways): Completion {
    this.counters.count(operation, length);
    const struck = this.#planned.find((each) => this.#strikes(each, operation, position, length));
    if (struck === undefined) return ways.plain();
    const { effect, code = 'EIO', by = 1 } = struck.fault;
    const beside = effect === 'misdirect' ? this.#beside(position, length, by) : undefined;
    this.#done.push({ fault: struck.fault, position, length, beside });
    switch (effect) {
      case 'fail': {
        const finding = 'a planted fault';
        return run(this.#fail(new DeviceError(code, { operation, position, length, finding })));
      }
      case 'lose':
        return this.#idle();
      case 'misdirect':
        return ways.misdirect?.(beside as number);
      default:
        return ways[effect]?.();
    }
  }

  #readMedium(position: number, buffers: readonly Uint8Array[]): Completion {
    if (this.#decayed.size === 0) return this.#inner.readv(position, buffers);
    return run(this.#readDecayed(position, buffers));
  }

  *#readDecayed(position: number, buffers: readonly Uint8Array[]): Steps {
    yield this.#inner.readv(position, buffers);
    this.#flipDecayed(position, buffers);
  }

  #writeMedium(position: number, buffers: readonly Uint8Array[]): Completion {
    const end = position + totalLength(buffers);
    for (const at of this.#decayed.keys()) {
      if (at >= position && at < end) this.#decayed.delete(at);
    }
    return this.#inner.writev(position, buffers);
  }

  #flipDecayed(position: number, buffers: readonly Uint8Array[]): void {
    for (const [at, bit] of this.#decayed) flip(buffers, at - position, bit);
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
    yield this.#readMedium(position, buffers);
    this.#flipAny(buffers);
  }

  #rotten(buffers: readonly Uint8Array[]): Uint8Array[] {
    const copies = buffers.map((buffer) => buffer.slice());
    this.#flipAny(copies);
    return copies;
  }

  #flipAny(buffers: readonly Uint8Array[]): void {
    const length = totalLength(buffers);
    if (length > 0) flip(buffers, this.#random.below(length), this.#bit());
  }

  #bit(): number {
    return 1 << this.#random.below(8);
  }

  /** Whole sectors, fewer than there are. */
  #part(length: number): number {
    return this.#random.below(Math.max(1, Math.ceil(length / SECTOR_SIZE))) * SECTOR_SIZE;
  }

  /** The place some blocks further on, or before if the device ends there. */
  #beside(position: number, length: number, by: number): number {
    const after = position + by * BLOCK_SIZE;
    return after + length <= this.size ? after : Math.max(0, position - by * BLOCK_SIZE);
  }
}

function flip(buffers: readonly Uint8Array[], offset: number, bit: number): void {
  let at = offset;
  for (const buffer of buffers) {
    if (at >= 0 && at < buffer.length) buffer[at] = (buffer[at] as number) ^ bit;
    at -= buffer.length;
  }
}

/** The first bytes of some buffers, in place. */
function firstOf(buffers: readonly Uint8Array[], length: number): Uint8Array[] {
  const first: Uint8Array[] = [];
  let left = length;
  for (const buffer of buffers) {
    first.push(buffer.subarray(0, left));
    left = Math.max(0, left - buffer.length);
  }
  return first;
}
