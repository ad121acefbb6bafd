/**
 * Planned: a device as it will be when what is planned has been written.
 *
 * A repair is worked out as a whole before the first byte of it is written: what one step has
 * planned the next one reads, and a check goes over all of it. So a dry run does everything that
 * a repair does but the last call, and a repair that comes to nothing has written nothing.
 */
import { assert, BLOCK_SIZE } from '../base/index.ts';
import type { Completion, Device, Steps } from '../device/index.ts';
import type { Source } from './block-reader.ts';

export class PlannedDevice implements Source {
  readonly size: number;
  readonly #device: Device;
  /** In any order; */
  readonly #any = new Map<number, Uint8Array>();
  /** then these, one after the other, each durable before the next. */
  readonly #last = new Map<number, Uint8Array>();

  constructor(device: Device) {
    this.#device = device;
    this.size = device.size;
  }

  /** True if superblocks are to be written. */
  get hasLast(): boolean {
    return this.#last.size > 0;
  }

  /** Blocks from `block` on will hold these bytes. */
  plan(block: number, bytes: Uint8Array): void {
    assert(bytes.length % BLOCK_SIZE === 0, () => `${bytes.length} bytes are no blocks`);
    for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
      this.#any.set(block + at / BLOCK_SIZE, bytes.subarray(at, at + BLOCK_SIZE));
    }
  }

  /** The same of one block, after everything else, in the order of the first calls. */
  planLast(block: number, bytes: Uint8Array): void {
    assert(bytes.length === BLOCK_SIZE, () => `${bytes.length} bytes are no block`);
    this.#last.set(block, bytes);
  }

  /** Forgets blocks that nobody needs, superblocks aside. Returns how many are left. */
  keep(isNeeded: (block: number) => boolean): number {
    for (const block of this.#any.keys()) if (!isNeeded(block)) this.#any.delete(block);
    return this.#any.size;
  }

  /** Forgets all that was planned. */
  clear(): void {
    this.#any.clear();
    this.#last.clear();
  }

  read(position: number, buffer: Uint8Array): Completion {
    const first = position / BLOCK_SIZE;
    const blocks = Array.from({ length: buffer.length / BLOCK_SIZE }, (_, i) => first + i);
    const insert = (): void => {
      blocks.forEach((block, i) => {
        const bytes = this.#last.get(block) ?? this.#any.get(block);
        if (bytes !== undefined) buffer.set(bytes, i * BLOCK_SIZE);
      });
    };
    // What is written anew need not be readable now.
    const known = blocks.every((block) => this.#any.has(block) || this.#last.has(block));
    const wait = known ? undefined : this.#device.read(position, buffer);
    if (wait !== undefined) return wait.then(insert);
    insert();
    return undefined;
  }

  /** Does what was planned, durably. */
  *write(): Steps {
    for (const [block, bytes] of this.#any) yield this.#device.write(block * BLOCK_SIZE, bytes);
    yield this.#device.flush();
    for (const [block, bytes] of this.#last) {
      yield this.#device.write(block * BLOCK_SIZE, bytes);
      yield this.#device.flush();
    }
  }
}
