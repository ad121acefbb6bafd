/**
 * Block set: a bit for each block of a device, in memory that is taken as it is needed.
 */

/** Blocks of one piece of memory: 4 KiB of bits. */
const PIECE = 32768;

export class BlockSet {
  readonly #pieces: (Uint32Array | undefined)[] = [];

  /** Adds a block. True if it was not there. */
  add(block: number): boolean {
    const index = Math.floor(block / PIECE);
    let piece = this.#pieces[index];
    if (piece === undefined) {
      piece = new Uint32Array(PIECE / 32);
      this.#pieces[index] = piece;
    }
    const at = (block % PIECE) >>> 5;
    const word = piece[at] as number;
    const bit = 1 << (block & 31);
    if ((word & bit) !== 0) return false;
    piece[at] = word | bit;
    return true;
  }

  has(block: number): boolean {
    const piece = this.#pieces[Math.floor(block / PIECE)];
    if (piece === undefined) return false;
    return ((piece[(block % PIECE) >>> 5] as number) & (1 << (block & 31))) !== 0;
  }

  remove(block: number): void {
    const piece = this.#pieces[Math.floor(block / PIECE)];
    const at = (block % PIECE) >>> 5;
    if (piece !== undefined) piece[at] = (piece[at] as number) & ~(1 << (block & 31));
  }
}
