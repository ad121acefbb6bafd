/**
 * Unshared: blocks that had several owners in a root that a mount may still take.
 *
 * What several slots name in such a root must not be written over, though one slot names it by now:
 * after a crash the others are back, and would show what was written. A block is in the set from
 * the change that leaves it with fewer references, in txg N, until N + 1 is durable: the two newest
 * roots are of N and later then. Blocks that are freed become idle by the same rule (A2).
 *
 * A set in memory is enough. What was unshared before a mount is of its root or older, and nobody
 * writes over a block before two commits have been made since.
 */
import type { Block, Txg } from '../base/index.ts';
import { BlockSet } from '../cache/index.ts';

export class Unshared {
  /** Of the open txg; made when it is needed. */
  #open: BlockSet | undefined;
  /** Of txgs that have closed. */
  #closed: { readonly txg: Txg; readonly blocks: BlockSet }[] = [];

  add(block: Block): void {
    this.#open ??= new BlockSet();
    this.#open.add(block);
  }

  has(block: Block): boolean {
    if (this.#open?.has(block) === true) return true;
    return this.#closed.some(({ blocks }) => blocks.has(block));
  }

  /** The open txg closes. */
  close(txg: Txg): void {
    if (this.#open !== undefined) this.#closed.push({ txg, blocks: this.#open });
    this.#open = undefined;
  }

  /** The root of `txg` is durable. */
  committed(txg: Txg): void {
    if (this.#closed.length > 0) this.#closed = this.#closed.filter((set) => set.txg >= txg);
  }
}
