/**
 * Vnode table: the inodes in memory, by number and by their place in the tree of names.
 *
 * Children are reached through their directory's `children`; whoever has a child in memory has its
 * directory, and so on up to the root. Unused vnodes are dropped by a clock when there are too
 * many.
 */
import { assert } from '../base/index.ts';
import { ROOT_HANDLE, SNAPSHOTS_HANDLE } from '../format/index.ts';
import type { BufferPool, MappingOps } from '../iomap/index.ts';
import { Vnode } from './vnode.ts';

/** Dropped vnodes that are kept for the next inodes. */
const SPARE_MAX = 1024;

const RESERVED_IDS = Math.max(ROOT_HANDLE, SNAPSHOTS_HANDLE);

export class VnodeTable {
  readonly #pool: BufferPool;
  readonly #ops: MappingOps;
  readonly #limit: number;
  readonly #byId = new Map<number, Vnode>();
  #list: Vnode[] = [];
  /** Vnodes that were dropped, to be used again (N1: nobody knows them any more). */
  readonly #spare: Vnode[] = [];
  #hand = 0;
  #lastId: number;
  /** How often the numbers have begun anew. */
  #round = 0;
  /** Told of every vnode that leaves. */
  onDrop: (vnode: Vnode) => void = () => {};

  /** At most about `limit` vnodes are kept that nobody uses. Numbers begin above `lastId`. */
  constructor(pool: BufferPool, ops: MappingOps, limit: number, lastId = RESERVED_IDS + 1) {
    this.#lastId = lastId;
    this.#pool = pool;
    this.#ops = ops;
    this.#limit = limit;
  }

  get count(): number {
    return this.#list.length;
  }

  /** A new vnode, in the table but in no directory yet. */
  make(id: number = this.#takeId()): Vnode {
    const vnode = this.#spare.pop()?.renew(id) ?? new Vnode(id, this.#pool, this.#ops);
    vnode.round = this.#round;
    vnode.place = this.#list.length;
    this.#list.push(vnode);
    this.#byId.set(id, vnode);
    return vnode;
  }

  get(id: number): Vnode | undefined {
    return this.#byId.get(id);
  }

  /** All vnodes in memory. The list must not be changed while it is walked. */
  get all(): readonly Vnode[] {
    return this.#list;
  }

  /** Enters a vnode among its parent's children. */
  attach(vnode: Vnode): void {
    const parent = vnode.parent as Vnode;
    parent.children ??= new Map();
    parent.children.set(vnode.childName, vnode);
  }

  /** Takes it out again: before its name, its holder or its being linked changes. */
  detach(vnode: Vnode): void {
    const { parent, childName } = vnode;
    if (parent?.children?.get(childName) !== vnode) return;
    parent.children.delete(childName);
    if (parent.children.size === 0) parent.children = undefined;
  }

  /** Takes a vnode out of memory. It is not dirty and has no children there. */
  drop(vnode: Vnode): void {
    assert(!vnode.dirty && vnode.folioCount === 0, 'a dirty vnode is not dropped');
    this.detach(vnode);
    vnode.namedIn = undefined;
    this.onDrop(vnode);
    this.#byId.delete(vnode.id);
    const last = this.#list.pop() as Vnode;
    if (last !== vnode) {
      this.#list[vnode.place] = last;
      last.place = vnode.place;
    }
    vnode.place = -1;
    if (this.#spare.length < SPARE_MAX) this.#spare.push(vnode);
  }

  /** Drops vnodes that nobody uses, while there are more than the limit. A few at a time. */
  trim(): void {
    let looks = 16;
    while (this.#list.length > this.#limit && looks-- > 0) {
      if (this.#hand >= this.#list.length) this.#hand = 0;
      const vnode = this.#list[this.#hand] as Vnode;
      if (!isIdle(vnode)) this.#hand++;
      else if (vnode.used) {
        vnode.used = false;
        this.#hand++;
      } else {
        this.drop(vnode);
      }
    }
  }

  #takeId(): number {
    do {
      const isLast = this.#lastId === 0xffffffff;
      this.#lastId = isLast ? RESERVED_IDS + 1 : this.#lastId + 1;
      if (isLast) this.#round++;
    } while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }
}

/** True if a vnode could be made again from its record at any time (N1), or has none any more. */
function isIdle(vnode: Vnode): boolean {
  return (
    vnode.holds === 0 &&
    vnode.opens === 0 &&
    vnode.seen === 0 &&
    !vnode.dirty &&
    vnode.folioCount === 0 &&
    vnode.children === undefined &&
    (vnode.parent !== undefined || (vnode.unlinked && vnode.holder === undefined)) &&
    vnode.lock.idle &&
    vnode.cowLock.idle
  );
}
