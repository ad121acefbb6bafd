/**
 * Liar: a device that was honest when it was mounted, and then answers some reads with something
 * else, or not at all. What is written to it stays as it was written.
 */
import { BLOCK_SIZE, DeviceError } from '../../src/base/index.ts';
import { type Device, MemoryDevice, totalLength } from '../../src/device/index.ts';
import type { Random } from '../../src/testing/index.ts';

/**
 * - `stale`: what the block held before it was last written.
 * - `other`: what another block holds.
 * - `world`: what another image has there, in which all checksums are right.
 * - `flip`: one bit is another one.
 * - `zeros`: nothing.
 * - `short`: the rest of the buffer is not filled.
 * - `fail`: the read fails.
 */
export const LIES = ['stale', 'other', 'world', 'flip', 'zeros', 'short', 'fail'] as const;
export type Lie = (typeof LIES)[number];

export class LiarDevice implements Device {
  readonly name = 'liar';
  readonly sync = true;
  readonly readOnly = false;
  /** Of the blocks that are read. */
  probability = 0;
  /** An image like this one. Nothing is taken from it while there is none. */
  world: Uint8Array | undefined;
  /** Answers that were lies, by kind. */
  readonly told = new Map<Lie, number>();
  readonly #inner: MemoryDevice;
  readonly #random: Random;
  readonly #before = new Map<number, Uint8Array>();

  constructor(image: Uint8Array, random: Random) {
    this.#inner = MemoryDevice.from(image);
    this.#random = random;
  }

  get size(): number {
    return this.#inner.size;
  }

  /** What is on it. */
  image(): Uint8Array<ArrayBuffer> {
    const image = new Uint8Array(this.size);
    this.#inner.read(0, image);
    return image;
  }

  read(position: number, buffer: Uint8Array): undefined {
    this.#inner.read(position, buffer);
    for (let at = 0; at < buffer.length; at += BLOCK_SIZE) {
      if (!this.#random.chance(this.probability)) continue;
      const lie = this.#random.pick(LIES);
      const block = (position + at) / BLOCK_SIZE;
      if (this.#tell(lie, block, buffer.subarray(at, at + BLOCK_SIZE))) {
        this.told.set(lie, (this.told.get(lie) ?? 0) + 1);
      }
    }
  }

  readv(position: number, buffers: readonly Uint8Array[]): undefined {
    let at = position;
    for (const buffer of buffers) {
      this.read(at, buffer);
      at += buffer.length;
    }
  }

  write(position: number, buffer: Uint8Array): undefined {
    this.writev(position, [buffer]);
  }

  writev(position: number, buffers: readonly Uint8Array[]): undefined {
    for (let at = 0; at < totalLength(buffers); at += BLOCK_SIZE) {
      const old = new Uint8Array(BLOCK_SIZE);
      this.#inner.read(position + at, old);
      this.#before.set((position + at) / BLOCK_SIZE, old);
    }
    this.#inner.writev(position, buffers);
  }

  flush(): undefined {}

  discard(): undefined {}

  prepare(): undefined {}

  grow(): never {
    throw new Error('a liar does not grow');
  }

  close(): undefined {}

  /** Puts a lie in place of a block that was read. False if it is the truth after all. */
  #tell(lie: Lie, block: number, bytes: Uint8Array): boolean {
    const truth = bytes.slice();
    const random = this.#random;
    switch (lie) {
      case 'stale':
        bytes.set(this.#before.get(block) ?? truth);
        break;
      case 'other':
        this.#inner.read(random.below(this.size / BLOCK_SIZE) * BLOCK_SIZE, bytes);
        break;
      case 'world':
        if (this.world !== undefined) bytes.set(blockOf(this.world, block));
        break;
      case 'flip': {
        const at = random.below(BLOCK_SIZE);
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
        break;
      }
      case 'zeros':
        bytes.fill(0);
        break;
      case 'short':
        bytes.fill(0xee, random.below(BLOCK_SIZE));
        break;
      case 'fail': {
        const [position, finding] = [block * BLOCK_SIZE, 'it does not answer'];
        this.told.set(lie, (this.told.get(lie) ?? 0) + 1);
        const where = { operation: 'read', position, length: BLOCK_SIZE } as const;
        throw new DeviceError('EIO', { ...where, finding });
      }
    }
    return Buffer.compare(truth, bytes) !== 0;
  }
}

function blockOf(image: Uint8Array, block: number): Uint8Array {
  return image.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
}
