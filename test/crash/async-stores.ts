/**
 * Stores: what actors store in views, and which state has it.
 *
 * Nobody is told of a store before it is copied out. So each is watched: it has landed in the first
 * state in which the file has its bytes. Where others have changed the range since, it may never.
 */
import type { ModelNode } from '../../src/testing/model-node.ts';

export interface Stored {
  readonly node: ModelNode;
  readonly from: number;
  readonly bytes: Uint8Array;
  /** The first state that has it. */
  landed: number | undefined;
  /** The file has changed there since. */
  touched: boolean;
}

export class Stores {
  readonly #all = new Set<Stored>();

  add(node: ModelNode, from: number, bytes: Uint8Array): void {
    // What is stored over another that has not landed may take its place.
    for (const other of this.#over(node, from, from + bytes.length)) this.#all.delete(other);
    this.#all.add({ node, from, bytes, landed: undefined, touched: false });
  }

  /** Bytes `from` to `to` of a file are others in `state`. */
  changed(node: ModelNode, from: number, to: number, state: number): void {
    for (const stored of this.#over(node, from, to)) {
      stored.touched = true;
      const { length } = stored.bytes;
      const found = node.bytes.read(stored.from, length);
      if (found.length === length && found.every((byte, i) => byte === stored.bytes[i])) {
        stored.landed ??= state;
      }
    }
  }

  /** What has been stored so far in views of a file, or of any. */
  of(node?: ModelNode): Stored[] {
    return [...this.#all].filter((stored) => node === undefined || stored.node === node);
  }

  /** The state that has all of these. Throws if one is nowhere, and nobody has been there since. */
  landed(some: readonly Stored[]): number {
    let state = 0;
    for (const stored of some) {
      const { landed, touched, from } = stored;
      if (landed === undefined && !touched) throw new Error(`a store at ${from} is not there`);
      state = Math.max(state, landed ?? 0);
      this.#all.delete(stored);
    }
    return state;
  }

  *#over(node: ModelNode, from: number, to: number): Generator<Stored> {
    for (const stored of [...this.#all]) {
      const { length } = stored.bytes;
      if (stored.node === node && stored.from < to && stored.from + length > from) yield stored;
    }
  }
}
