/**
 * Directories: names in keyed trees.
 *
 * The key of an entry is the 45-bit hash of its name, seeded by the image, and an 8-bit number that
 * tells names of the same hash apart. A key never changes while its name exists, so it is also the
 * cookie of readdir: stateless, and stable under inserts, removals and splits.
 */
import {
  BLOCK_SIZE,
  CorruptionError,
  FilesystemError,
  hashName,
  type Plan,
} from '../base/index.ts';
import { type InodeKind, NAME_MAX, recordKind } from '../format/index.ts';
import type { Store } from '../store/index.ts';
import { KeyedPosition, type KeyedTrees } from '../tree/index.ts';
import { nameEquals, recordInode, recordName } from './inode-record.ts';
import type { Vnode } from './vnode.ts';

const COLLISIONS = 256;

/** One name of a directory, as readdir tells it. */
export interface DirectoryEntry {
  /** Binary string. */
  readonly name: string;
  readonly ino: number;
  /** Kind of the inode; of a name with several, LINK: the inode itself has to be asked. */
  readonly kind: InodeKind;
  /** Where to go on after this entry. */
  readonly cookie: number;
}

export class Directories {
  readonly #store: Store;
  readonly #trees: KeyedTrees;
  /** Lowest key that is free for the name looked for last, if it was not found. */
  freeKey = 0;

  constructor(store: Store, trees: KeyedTrees) {
    this.#store = store;
    this.#trees = trees;
  }

  /** Finds a name. `missing`: the plan has needs. Otherwise `freeKey` is where it would go. */
  find(
    directory: Vnode,
    name: string,
    position: KeyedPosition,
    plan: Plan,
  ): 'found' | 'none' | 'missing' {
    const first = hashName(name, this.#store.superblock.hashSeed) * COLLISIONS;
    let free = first;
    let key = first;
    for (;;) {
      const result = this.#trees.seek(directory.entries, key, position, plan);
      if (result === 'missing') return 'missing';
      if (result === 'none' || position.key >= first + COLLISIONS) break;
      if (nameEquals(this.#store.blocks.bytes, position.at, name)) return 'found';
      if (position.key === free) free++;
      key = position.key + 1;
    }
    this.freeKey = free;
    return 'none';
  }

  /**
   * The key for a name that was not found.
   * @throws {FilesystemError} `ENOSPC` if 256 names have this hash
   */
  keyFor(name: string): number {
    const first = hashName(name, this.#store.superblock.hashSeed) * COLLISIONS;
    if (this.freeKey < first + COLLISIONS) return this.freeKey;
    throw new FilesystemError('ENOSPC', `Cannot add a name: ${COLLISIONS} names have its hash`);
  }

  /** Reads entries from the cookie on, to the end of a leaf. False if the plan has needs. */
  read(directory: Vnode, cookie: number, into: DirectoryEntry[], plan: Plan): boolean {
    const position = new KeyedPosition();
    const result = this.#trees.seek(directory.entries, cookie, position, plan);
    if (result !== 'found') return result === 'none';
    const { bytes } = this.#store.blocks;
    do {
      into.push({
        name: this.#nameAt(position),
        ino: recordInode(bytes, position.at),
        kind: recordKind(bytes, position.at),
        cookie: position.key + 1,
      });
    } while (this.#trees.nextInLeaf(position));
    return true;
  }

  /** The name of an entry, which can be found by it: what is listed can be opened and removed. */
  #nameAt(position: KeyedPosition): string {
    const { blocks, superblock } = this.#store;
    const name = recordName(blocks, position);
    const first = hashName(name, superblock.hashSeed) * COLLISIONS;
    if (position.key >= first && position.key < first + COLLISIONS) return name;
    const address = blocks.blockOf(position.frame) * BLOCK_SIZE;
    throw new CorruptionError('directory node', address, 'the key of an entry is of another name');
  }
}

/** @throws {FilesystemError} `ENAMETOOLONG` or `EINVAL` if no entry can have this name */
export function checkName(name: string): void {
  if (name.length > NAME_MAX) {
    throw new FilesystemError(
      'ENAMETOOLONG',
      `Cannot use the name: it has ${name.length} bytes, at most ${NAME_MAX} are possible`,
    );
  }
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new FilesystemError('EINVAL', `Cannot use the name ${JSON.stringify(name)}`);
  }
}
