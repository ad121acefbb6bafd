/**
 * Node table: which inodes the kernel knows, by the numbers it was given, and how often.
 *
 * N1. Every reply with an entry counts one lookup; FORGET takes some back. An inode stays in memory
 *     while its count is above 0.
 * N2. A file that the kernel knows counts as open once: opening it needs no request then, and its
 *     data outlives its last name until it is forgotten. Of a directory without names there is
 *     nothing to keep, so it is merely held.
 * N3. The number of a node is the handle of its vnode, which is not used again while there is one;
 *     that of the root is 1, whichever directory was mounted. With its generation it is not used
 *     for another inode at any time.
 */
import { FilesystemError, type Operation } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import type { Engine, Vnode } from '../volume/index.ts';
import { ROOT_NODE } from './constants.ts';

interface Node {
  readonly vnode: Vnode;
  lookups: number;
}

export class NodeTable {
  readonly root: Vnode;
  readonly #engine: Engine;
  readonly #nodes = new Map<number, Node>();
  /** Where {@link some} goes on. */
  #cursor: Iterator<number> | undefined;
  /** Number of a regular file that the kernel knows, if any is at hand; else 0. */
  anyFile = 0;

  /** The root is held as long as the table is used. */
  constructor(engine: Engine, root: Vnode) {
    this.#engine = engine;
    this.root = root;
    root.holds++;
  }

  /** Inodes that the kernel knows, but for the root. */
  get size(): number {
    return this.#nodes.size;
  }

  /** @throws {FilesystemError} `ENOENT` for a number that the kernel was not given */
  get(number: number): Vnode {
    if (number === ROOT_NODE) return this.root;
    const node = this.#nodes.get(number);
    if (node !== undefined) return node.vnode;
    throw new FilesystemError('ENOENT', `Cannot find node ${number}: it was forgotten`);
  }

  /** True if the kernel may have something of an inode. */
  knows(vnode: Vnode): boolean {
    return vnode === this.root || this.#nodes.get(vnode.id)?.vnode === vnode;
  }

  numberOf(vnode: Vnode): number {
    return vnode === this.root ? ROOT_NODE : vnode.id;
  }

  /** Counts a lookup. The hold of the caller is taken over. */
  remember(vnode: Vnode): number {
    vnode.holds--;
    if (vnode === this.root) return ROOT_NODE;
    const node = this.#nodes.get(vnode.id);
    if (node !== undefined) {
      node.lookups++;
      return vnode.id;
    }
    if (vnode.isDirectory) vnode.holds++;
    else vnode.opens++;
    this.#nodes.set(vnode.id, { vnode, lookups: 1 });
    if (vnode.kind === InodeKind.FILE) this.anyFile = vnode.id;
    return vnode.id;
  }

  /**
   * Takes lookups back. Returns what has to be run if the kernel was the last to use an inode that
   * has no name any more: the operation that ends it.
   */
  forget(number: number, lookups: number): Operation<void> | undefined {
    const node = this.#nodes.get(number);
    if (node === undefined) return undefined;
    node.lookups -= lookups;
    return node.lookups > 0 ? undefined : this.#drop(number, node.vnode);
  }

  /** All numbers that the kernel knows. */
  numbers(): number[] {
    return [ROOT_NODE, ...this.#nodes.keys()];
  }

  /**
   * Some of the numbers that the kernel knows, those first that it has known longest, and others at
   * the next call. Returns how many there are in `into` from `at` on.
   */
  some(into: Int32Array, at: number, most: number): number {
    for (let count = 0; count < most; count++) {
      this.#cursor ??= this.#nodes.keys();
      const next = this.#cursor.next();
      if (next.done === true) {
        this.#cursor = undefined;
        return count;
      }
      into[at + count] = next.value;
    }
    return most;
  }

  /** Forgets everything: the connection has ended. */
  *forgetAll(): Generator<Operation<void>, void> {
    for (const [number, { vnode }] of this.#nodes) {
      const end = this.#drop(number, vnode);
      if (end !== undefined) yield end;
    }
    this.root.holds--;
  }

  #drop(number: number, vnode: Vnode): Operation<void> | undefined {
    this.#nodes.delete(number);
    if (this.anyFile === number) this.anyFile = 0;
    if (vnode.isDirectory) vnode.holds--;
    else vnode.opens--;
    const gone = vnode.holder === undefined && vnode.holds === 0 && vnode.opens === 0;
    // Nothing is left of an inode that went while it was held, and no clock comes past it.
    if (gone) this.#engine.table.drop(vnode);
    return this.#engine.closed(vnode);
  }
}
