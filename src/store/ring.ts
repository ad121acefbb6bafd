/**
 * Ring: the four superblocks, and what waits until all of them are alike.
 *
 * When the end of a volume moves, older superblocks go on saying where it was, and a mount looks
 * for second copies there.
 *
 * S4. A place where a superblock of the ring says that a second copy is, is used for nothing else,
 *     before that superblock was written over.
 */
import { BLOCK_SIZE, type Block } from '../base/index.ts';
import { SUPERBLOCKS } from '../format/index.ts';

export class Ring {
  /** Place of the newest superblock. */
  #place: number;
  /** How many of the newest, in a row, say that the volume ends where it does. */
  #alike = SUPERBLOCKS;
  /** Blocks that are free, and were second copies (S4). */
  #held: Block[] = [];
  /** Per place of the group index, what the device has there; unknown before it was written. */
  readonly #indexes: [Uint8Array | undefined, Uint8Array | undefined] = [undefined, undefined];

  constructor(place: number) {
    this.#place = place;
  }

  /** True while superblocks differ in where the volume ends. */
  get isTurning(): boolean {
    return this.#alike < SUPERBLOCKS;
  }

  /** True if no superblock says yet where the volume ends. */
  get isNew(): boolean {
    return this.#alike === 0;
  }

  /** The place after the newest superblock; the caller writes there. */
  next(): number {
    this.#place = (this.#place + 1) % SUPERBLOCKS;
    return this.#place;
  }

  /** The end has moved: no superblock is like the next ones. */
  turn(): void {
    this.#alike = 0;
  }

  /** Has the next commits write all of it, and all of the group index, anew: some is damaged. */
  renew(): void {
    this.#alike = 0;
    this.#indexes.fill(undefined);
  }

  /** Keeps a block, which may not be handed out, until the ring has turned. */
  hold(block: Block): void {
    this.#held.push(block);
  }

  /** A superblock with the present end is durable. The blocks that may be handed out from now on. */
  written(): readonly Block[] {
    this.#alike = Math.min(SUPERBLOCKS, this.#alike + 1);
    if (this.isTurning) return [];
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /**
   * What has to be written so that a place of the group index holds `bytes`: runs of blocks that
   * are not there yet. An index has room for a far larger volume, and a commit changes little.
   */
  indexRuns(
    place: 0 | 1,
    bytes: Uint8Array,
  ): { readonly at: number; readonly bytes: Uint8Array }[] {
    const known = this.#indexes[place];
    this.#indexes[place] = bytes;
    const runs: { at: number; bytes: Uint8Array }[] = [];
    let start = 0;
    for (let at = 0; at <= bytes.length; at += BLOCK_SIZE) {
      const end = at + BLOCK_SIZE;
      if (at < bytes.length && (known === undefined || !isSame(known, bytes, at, end))) continue;
      if (at > start) runs.push({ at: start, bytes: bytes.subarray(start, at) });
      start = end;
    }
    return runs;
  }
}

function isSame(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return false;
  return true;
}
