/**
 * Tape: a device in memory that remembers what it was asked to write, and when it was flushed.
 *
 * From a tape every power cut can be had without living through the history again: the images that
 * the crash device finds possible after any number of calls.
 */
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { SUPERBLOCKS } from '../../src/format/index.ts';
import { CrashDevice, crashChoices, type Random } from '../../src/testing/index.ts';

export type Call =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'grow' | 'shrink'; readonly size: number }
  | { readonly kind: 'flush' };

export function isSuperblock(call: Call, size: number): boolean {
  if (call.kind !== 'write') return false;
  const block = call.position / BLOCK_SIZE;
  return block < SUPERBLOCKS || block >= size / BLOCK_SIZE - SUPERBLOCKS;
}

export class TapeDevice implements Device {
  readonly name = 'tape';
  readonly sync = true;
  readonly readOnly = false;
  readonly #memory: MemoryDevice;
  /** What was on the device when the tape began. */
  base: Uint8Array;
  calls: Call[] = [];

  constructor(image: Uint8Array) {
    this.#memory = MemoryDevice.from(image);
    this.base = image.slice();
  }

  get size(): number {
    return this.#memory.size;
  }

  /** Begins a new tape: what is on the device now is durable. */
  rewind(): void {
    this.base = this.image();
    this.calls = [];
  }

  /** Flushes since the tape began. */
  get flushes(): number {
    return this.calls.filter(({ kind }) => kind === 'flush').length;
  }

  /** Writes of a superblock since then: a commit makes two. */
  get superblocks(): number {
    return this.calls.filter((call) => isSuperblock(call, this.size)).length;
  }

  image(): Uint8Array {
    const image = new Uint8Array(this.size);
    this.#memory.read(0, image);
    return image;
  }

  read(position: number, buffer: Uint8Array): undefined {
    this.#memory.read(position, buffer);
  }

  readv(position: number, buffers: readonly Uint8Array[]): undefined {
    this.#memory.readv(position, buffers);
  }

  write(position: number, buffer: Uint8Array): undefined {
    this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): undefined {
    this.calls.push({ kind: 'write', position, bytes: new Uint8Array(Buffer.concat(buffers)) });
    this.#memory.writev(position, buffers);
  }

  flush(): undefined {
    this.calls.push({ kind: 'flush' });
  }

  discard(): undefined {}

  prepare(): undefined {}

  grow(size: number): undefined {
    this.calls.push({ kind: 'grow', size });
    this.#memory.grow(size);
  }

  shrink(size: number): undefined {
    this.calls.push({ kind: 'shrink', size });
    this.#memory.shrink(size);
  }

  close(): undefined {}
}

/** What the medium may hold after the first `count` calls of a tape, if the power goes off then. */
export function* crashImages(
  tape: TapeDevice,
  count: number,
  options: { random: Random; exhaustiveMax: number; samples: number },
): Generator<Uint8Array> {
  const device = new CrashDevice({ image: tape.base });
  for (const call of tape.calls.slice(0, count)) {
    if (call.kind === 'flush') void device.flush();
    else if (call.kind === 'write') void device.write(call.position, call.bytes);
    else void device[call.kind](call.size);
  }
  for (const choice of crashChoices(device.pending.length, options)) yield device.crash(choice);
}
