/**
 * Reports: what differs, how much is used, where data is.
 */
import { textFromBinary } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import {
  CompareDirectories,
  compareInodes,
  type Engine,
  type EntryPair,
  type Extent,
  MeasureUsage,
  ReadExtents,
  TakeInventory,
  type Vnode,
} from '../volume/index.ts';
import { type Procedure, run } from './procedure.ts';

export type InodeType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'character'
  | 'block'
  | 'fifo'
  | 'socket';

/** One difference between two trees. */
export interface Change {
  /** From the two that are compared; names that are no UTF-8 are shown with U+FFFD. */
  readonly path: string;
  readonly type: 'added' | 'removed' | 'modified';
  readonly kind: InodeType;
  /** Of `modified`: the data, or the target of a link, may differ. */
  readonly data: boolean;
  /** Of `modified`: mode, owner, times or extended attributes differ. */
  readonly attributes: boolean;
  /** Inode numbers on each side: a rename is a removal and an addition of the same inode. */
  readonly ino: { readonly left: number | undefined; readonly right: number | undefined };
}

const TYPES: Readonly<Record<number, InodeType>> = {
  [InodeKind.FILE]: 'file',
  [InodeKind.DIRECTORY]: 'directory',
  [InodeKind.SYMLINK]: 'symlink',
  [InodeKind.CHARACTER]: 'character',
  [InodeKind.BLOCK]: 'block',
  [InodeKind.FIFO]: 'fifo',
  [InodeKind.SOCKET]: 'socket',
};

/** Two directories that are still to be compared from `key` on; both are held. */
interface Pending {
  readonly left: Vnode;
  readonly right: Vnode;
  readonly path: string;
  key: number;
}

/** Walks two trees and comes to their differences, batch by batch. */
export class DiffWalk {
  readonly #engine: Engine;
  readonly #stack: Pending[] = [];
  readonly #first: Change[] = [];

  /** Takes over both holds. */
  constructor(engine: Engine, left: Vnode, right: Vnode) {
    this.#engine = engine;
    if (left.isDirectory && right.isDirectory) {
      this.#stack.push({ left, right, path: '', key: 0 });
    } else {
      this.#compare({ name: '', left, right }, '', this.#first);
    }
  }

  /** The next differences; none at the end. */
  *next(): Procedure<Change[]> {
    const changes = this.#first.splice(0);
    while (changes.length === 0) {
      const top = this.#stack.at(-1);
      if (top === undefined) break;
      if (top.key === Number.POSITIVE_INFINITY) {
        this.#stack.pop();
        drop(top.left, top.right);
        continue;
      }
      const compare = new CompareDirectories(this.#engine, top.left, top.right, top.key);
      const { pairs, next } = yield* run(compare);
      top.key = next;
      for (const pair of pairs) this.#compare(pair, top.path, changes);
    }
    return changes;
  }

  /** Lets go of what is left; needed if the walk is not taken to its end. */
  close(): void {
    for (const { left, right } of this.#stack.splice(0)) drop(left, right);
  }

  /** Takes over the holds of the pair. */
  #compare(pair: EntryPair, parent: string, changes: Change[]): void {
    const { left, right } = pair;
    const path =
      parent === '' ? textFromBinary(pair.name) : `${parent}/${textFromBinary(pair.name)}`;
    if (left !== undefined && right !== undefined && left.kind === right.kind) {
      const { data, attributes } = compareInodes(left, right);
      if (data || attributes) changes.push(change('modified', path, pair, { data, attributes }));
      if (left.isDirectory) this.#stack.push({ left, right, path, key: 0 });
      else drop(left, right);
      return;
    }
    const whole = { data: false, attributes: false };
    if (left !== undefined) changes.push(change('removed', path, pair, whole));
    if (right !== undefined) changes.push(change('added', path, pair, whole));
    drop(left, right);
  }
}

function change(
  type: Change['type'],
  path: string,
  pair: EntryPair,
  what: { data: boolean; attributes: boolean },
): Change {
  const of = (type === 'removed' ? pair.left : pair.right) as Vnode;
  const ino = {
    left: type === 'added' ? undefined : pair.left?.ino,
    right: type === 'removed' ? undefined : pair.right?.ino,
  };
  return { path, type, kind: TYPES[of.kind] as InodeType, ...what, ino };
}

function drop(...vnodes: (Vnode | undefined)[]): void {
  for (const vnode of vnodes) if (vnode !== undefined) vnode.holds--;
}

/** All in bytes, but for the numbers of files and directories. */
export interface SpaceReport {
  /** Sizes of all files, holes included; what clones share counts for each of them. */
  readonly logical: number;
  /** Blocks that the tree names, data and metadata, each once. */
  readonly allocated: number;
  /** Those that would come back if the tree were removed. */
  readonly exclusive: number;
  readonly files: number;
  readonly directories: number;
}

/** How much a file or a tree takes. */
export function* measure(engine: Engine, vnode: Vnode): Procedure<SpaceReport> {
  const { allocated, exclusive, linked } = yield* run(new MeasureUsage(engine, vnode));
  if (!vnode.isDirectory) {
    return { logical: vnode.size, allocated, exclusive, files: 1, directories: 0 };
  }
  const { files, directories, logical } = yield* run(new TakeInventory(engine, vnode));
  return { logical: logical + linked, allocated, exclusive, files, directories };
}

/** The extents of a file, from its beginning. */
export function* readExtents(engine: Engine, vnode: Vnode): Procedure<Extent[]> {
  const extents: Extent[] = [];
  for (let at = 0; at !== Number.POSITIVE_INFINITY; ) {
    const part = yield* run(new ReadExtents(engine, vnode, at));
    extents.push(...part.extents);
    at = part.next;
  }
  return extents;
}
