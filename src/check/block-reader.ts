/**
 * Block reader: many blocks in few transfers.
 *
 * A round of blocks is sorted by address; neighbours travel together, in at most 1 MiB, and all
 * transfers of a round are under way at once. A transfer that fails is tried again block by block,
 * so that one bad sector costs one block.
 */
import { assert, BLOCK_SIZE, wordsOf } from '../base/index.ts';
import type { Device, Steps } from '../device/index.ts';

/** Blocks of a round, at the least and at the most. */
export const ROUND_MIN = 256;
const ROUND_MAX = 1024;
/** Blocks of a transfer. */
const TRANSFER_BLOCKS = 256;
/** Sort keys hold a block's index above the place in the request. */
const PLACES = 65536;

/** What is read from: a device, or what is to become of one. */
export type Source = Pick<Device, 'size' | 'read'>;

/** A transfer: blocks that lie next to each other, here and there. */
interface Transfer {
  /** Place in the arena of the first one, in blocks. */
  readonly place: number;
  readonly block: number;
  count: number;
  failed: boolean;
}

export class BlockReader {
  readonly #device: Source;
  /** What was read, valid until the next round. */
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Blocks of a round on this device. */
  readonly capacity: number;
  readonly #keys: Float64Array;
  readonly #places: Uint16Array;
  readonly #errors: (Error | undefined)[];

  constructor(device: Source) {
    this.#device = device;
    const deviceBlocks = Math.ceil(device.size / BLOCK_SIZE);
    this.capacity = Math.min(ROUND_MAX, Math.max(ROUND_MIN, deviceBlocks));
    this.bytes = new Uint8Array(this.capacity * BLOCK_SIZE);
    this.words = wordsOf(this.bytes);
    this.#keys = new Float64Array(this.capacity);
    this.#places = new Uint16Array(this.capacity);
    this.#errors = new Array(this.capacity);
  }

  /** Reads blocks of the device, at most `capacity`, in any order. */
  *read(blocks: readonly number[]): Steps {
    const count = blocks.length;
    assert(count <= this.capacity, () => `a round of ${count} blocks is too long`);
    const keys = this.#keys.subarray(0, count);
    for (let i = 0; i < count; i++) keys[i] = (blocks[i] as number) * PLACES + i;
    keys.sort();
    const transfers = this.#plan(keys);
    yield* this.#transfer(transfers);
    const again = transfers.filter(({ failed }) => failed).flatMap(split);
    if (again.length === 0) return;
    yield* this.#transfer(again);
  }

  /** Byte in `bytes` at which block `i` of the request begins. */
  at(i: number): number {
    return (this.#places[i] as number) * BLOCK_SIZE;
  }

  /** Why block `i` of the request could not be read, if it could not. */
  error(i: number): Error | undefined {
    return this.#errors[this.#places[i] as number];
  }

  /** Gives every block its place in the arena and joins neighbours. */
  #plan(keys: Float64Array): Transfer[] {
    const transfers: Transfer[] = [];
    let last: Transfer | undefined;
    for (let place = 0; place < keys.length; place++) {
      const key = keys[place] as number;
      const block = Math.floor(key / PLACES);
      this.#places[key - block * PLACES] = place;
      this.#errors[place] = undefined;
      if (last !== undefined && last.block + last.count === block && last.count < TRANSFER_BLOCKS) {
        last.count++;
        continue;
      }
      last = { place, block, count: 1, failed: false };
      transfers.push(last);
    }
    return transfers;
  }

  *#transfer(transfers: readonly Transfer[]): Steps {
    const waits: Promise<void>[] = [];
    for (const transfer of transfers) {
      const start = transfer.place * BLOCK_SIZE;
      const buffer = this.bytes.subarray(start, start + transfer.count * BLOCK_SIZE);
      try {
        const wait = this.#device.read(transfer.block * BLOCK_SIZE, buffer);
        if (wait !== undefined) waits.push(wait.catch((error) => this.#fail(transfer, error)));
      } catch (error) {
        this.#fail(transfer, error);
      }
    }
    if (waits.length > 0) yield Promise.all(waits).then(() => {});
  }

  #fail(transfer: Transfer, error: unknown): void {
    transfer.failed = true;
    if (transfer.count > 1) return;
    this.#errors[transfer.place] = error instanceof Error ? error : new Error(String(error));
  }
}

/** The blocks of a failed transfer, each alone; a single block has had its chance. */
function split({ place, block, count }: Transfer): Transfer[] {
  if (count === 1) return [];
  return Array.from({ length: count }, (_, i) => ({
    place: place + i,
    block: block + i,
    count: 1,
    failed: false,
  }));
}
