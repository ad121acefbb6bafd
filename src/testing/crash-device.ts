/**
 * CrashDevice: a device in memory that can lose power, and then shows what could be on the medium.
 *
 * It is as unkind as the contract allows, and no more:
 *
 * C1. What a completed flush covered is never lost: every write that had completed when the flush
 *     was called, but none that completed in between.
 * C2. Every other write, in flight or completed, is at stake: kept, dropped, or torn at sectors of
 *     512 bytes, in any order. Which of them is a {@link CrashChoice}.
 * C3. `discard` leaves garbage, `prepare` zeros; both are writes, so at stake like others. A new
 *     length is at stake too, but never torn.
 * C4. A write during which the power is cut is at stake, and fails. Nothing completes afterwards.
 */
import { assert, DeviceError } from '../base/index.ts';
import {
  type Completion,
  type Device,
  type DeviceOperation,
  guard,
  guardSize,
  MemoryDevice,
  totalLength,
} from '../device/index.ts';
import { DeviceCounters } from './counters.ts';
import { type CrashChoice, keepAll, type PendingWrite } from './crash-choice.ts';
import type { Schedule } from './schedule.ts';

export interface CrashDeviceOptions {
  /** Bytes of a device of zeros. Give this or `image`. */
  readonly size?: number;
  /** What is on the medium at the start. Copied. */
  readonly image?: Uint8Array;
  /** Makes the device asynchronous: calls complete when and in what order the schedule says. */
  readonly schedule?: Schedule;
  /** Cuts the power during a write or a call of any kind, counted from 1. */
  readonly cutAt?: { readonly write?: number; readonly operation?: number };
  /** With a schedule: after the cut calls never complete. Otherwise they fail with `EIO`. */
  readonly hangs?: boolean;
}

const GARBAGE = 0xdd;
const NO_BYTES = new Uint8Array(0);

export class CrashDevice implements Device {
  readonly name = 'crash device';
  readonly readOnly = false;
  readonly counters = new DeviceCounters();
  readonly #options: CrashDeviceOptions;
  /** What a flush has covered. */
  #durable: Uint8Array;
  /** What reads see: all completed writes. */
  #current: Uint8Array;
  /** At stake, in order of issue. */
  #pending: PendingWrite[] = [];
  /** Those of `#pending` that have completed, in that order. */
  #completed: PendingWrite[] = [];
  #powered = true;
  #closed = false;

  constructor(options: CrashDeviceOptions) {
    assert(!options.hangs || options.schedule !== undefined, 'a sync device cannot hang');
    this.#options = options;
    this.#durable = options.image?.slice() ?? new Uint8Array(options.size ?? 0);
    this.#current = this.#durable.slice();
  }

  get sync(): boolean {
    return this.#options.schedule === undefined;
  }

  get size(): number {
    return this.#current.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** False once the power is cut. */
  get powered(): boolean {
    return this.#powered;
  }

  /** Writes at stake now, in the order of issue. */
  get pending(): readonly PendingWrite[] {
    return this.#pending;
  }

  cutPower(): void {
    this.#powered = false;
  }

  /** What the medium holds if the power goes off now. The device itself stays as it is. */
  crash(choice: CrashChoice = keepAll): Uint8Array {
    return choice(this.#pending).reduce(applied, this.#durable.slice());
  }

  /** A fresh device with what {@link crash} leaves. */
  restart(choice: CrashChoice = keepAll): MemoryDevice {
    return MemoryDevice.from(this.crash(choice));
  }

  read(position: number, buffer: Uint8Array): Completion {
    return this.readv(position, [buffer]);
  }

  readv(position: number, buffers: readonly Uint8Array[]): Completion {
    const length = totalLength(buffers);
    guard(this, 'read', position, length);
    return this.#call('read', position, length, () => {
      let at = position;
      for (const buffer of buffers) {
        buffer.set(this.#current.subarray(at, at + buffer.length));
        at += buffer.length;
      }
    });
  }

  write(position: number, buffer: Uint8Array): Completion {
    return this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): Completion {
    const bytes = joined(buffers);
    guard(this, 'write', position, bytes.length);
    return this.#change('write', { kind: 'write', position, bytes });
  }

  flush(): Completion {
    guard(this, 'flush', 0, 0);
    const covered = new Set(this.#completed);
    return this.#call('flush', 0, 0, () => {
      // Another flush may have come first; what it covered must not be applied again over
      // something younger.
      this.#durable = this.#completed.filter((w) => covered.has(w)).reduce(applied, this.#durable);
      this.#completed = this.#completed.filter((write) => !covered.has(write));
      this.#pending = this.#pending.filter((write) => !covered.has(write));
    });
  }

  discard(position: number, length: number): Completion {
    guard(this, 'discard', position, length);
    const bytes = new Uint8Array(length).fill(GARBAGE);
    return this.#change('discard', { kind: 'discard', position, bytes });
  }

  prepare(position: number, length: number): Completion {
    guard(this, 'prepare', position, length);
    return this.#change('prepare', { kind: 'prepare', position, bytes: new Uint8Array(length) });
  }

  grow(size: number): Completion {
    guardSize(this, 'grow', size);
    return this.#change('grow', { kind: 'grow', position: size, bytes: NO_BYTES });
  }

  shrink(size: number): Completion {
    guardSize(this, 'shrink', size);
    return this.#change('shrink', { kind: 'shrink', position: size, bytes: NO_BYTES });
  }

  close(): undefined {
    this.#closed = true;
  }

  #change(operation: DeviceOperation, write: PendingWrite): Completion {
    if (this.#powered) this.#pending.push(write);
    return this.#call(operation, write.position, write.bytes.length, () => {
      this.#current = applied(this.#current, write);
      this.#completed.push(write);
    });
  }

  #call(
    operation: DeviceOperation,
    position: number,
    length: number,
    complete: () => void,
  ): Completion {
    this.counters.count(operation, length);
    const { cutAt, schedule } = this.#options;
    const { writes, operations } = this.counters;
    if (operation === 'write' && writes === cutAt?.write) this.cutPower();
    if (operations === cutAt?.operation) this.cutPower();
    const work = () => {
      if (!this.#powered) return this.#fail(operation, position, length);
      return complete();
    };
    return schedule === undefined ? (work() as undefined) : schedule.submit(work);
  }

  #fail(operation: DeviceOperation, position: number, length: number): Promise<void> {
    if (this.#options.hangs) return new Promise(() => {});
    throw new DeviceError('EIO', { operation, position, length, finding: 'the power is off' });
  }
}

/** The image with a write done to it; a longer one if the write ends behind its end. */
function applied(image: Uint8Array, { kind, position, bytes }: PendingWrite): Uint8Array {
  if (kind === 'shrink') return image.slice(0, position);
  const end = position + bytes.length;
  let target = image;
  if (end > image.length) {
    target = new Uint8Array(end);
    target.set(image);
  }
  target.set(bytes, position);
  return target;
}

function joined(buffers: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(totalLength(buffers));
  let at = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += buffer.length;
  }
  return bytes;
}
