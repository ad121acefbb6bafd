/**
 * Stats and directory entries, as `node:fs` has them.
 */
import { BLOCK_SIZE } from '../base/index.ts';
import { InodeKind, type Time, timeToMs } from '../format/index.ts';
import { TYPE_BITS, type Vnode } from '../volume/index.ts';
import { decodeName, type Encoding } from './encoding.ts';

/** What an inode is, without its bits. */
export abstract class Kinded {
  readonly #kind: InodeKind;

  constructor(kind: InodeKind) {
    this.#kind = kind;
  }

  isFile(): boolean {
    return this.#kind === InodeKind.FILE;
  }

  isDirectory(): boolean {
    return this.#kind === InodeKind.DIRECTORY;
  }

  isSymbolicLink(): boolean {
    return this.#kind === InodeKind.SYMLINK;
  }

  isCharacterDevice(): boolean {
    return this.#kind === InodeKind.CHARACTER;
  }

  isBlockDevice(): boolean {
    return this.#kind === InodeKind.BLOCK;
  }

  isFIFO(): boolean {
    return this.#kind === InodeKind.FIFO;
  }

  isSocket(): boolean {
    return this.#kind === InodeKind.SOCKET;
  }
}

/** Times as dates, from what they are in milliseconds. */
export abstract class Timed extends Kinded {
  abstract readonly atimeMs: number | bigint;
  abstract readonly mtimeMs: number | bigint;
  abstract readonly ctimeMs: number | bigint;
  abstract readonly birthtimeMs: number | bigint;

  get atime(): Date {
    return new Date(Number(this.atimeMs));
  }

  get mtime(): Date {
    return new Date(Number(this.mtimeMs));
  }

  get ctime(): Date {
    return new Date(Number(this.ctimeMs));
  }

  get birthtime(): Date {
    return new Date(Number(this.birthtimeMs));
  }
}

/** Times in whole milliseconds, from what they are in nanoseconds. */
export abstract class FinelyTimed extends Timed {
  abstract readonly atimeNs: bigint;
  abstract readonly mtimeNs: bigint;
  abstract readonly ctimeNs: bigint;
  abstract readonly birthtimeNs: bigint;

  get atimeMs(): bigint {
    return this.atimeNs / 1_000_000n;
  }

  get mtimeMs(): bigint {
    return this.mtimeNs / 1_000_000n;
  }

  get ctimeMs(): bigint {
    return this.ctimeNs / 1_000_000n;
  }

  get birthtimeMs(): bigint {
    return this.birthtimeNs / 1_000_000n;
  }
}

/** Attributes as numbers; times in milliseconds, with a fraction. */
export class Stats extends Timed {
  /** The realm: one per clone of a directory. With `ino` it names the inode. */
  readonly dev: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly ino: number;
  readonly size: number;
  /** Units of 512 bytes. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;

  constructor(vnode: Vnode) {
    super(vnode.kind);
    this.dev = vnode.realm.id;
    this.mode = (TYPE_BITS[vnode.kind] as number) | vnode.mode;
    this.nlink = vnode.nlink;
    this.uid = vnode.uid;
    this.gid = vnode.gid;
    this.rdev = vnode.rdev;
    this.blksize = BLOCK_SIZE;
    this.ino = vnode.ino;
    this.size = vnode.size;
    this.blocks = vnode.sectors;
    this.atimeMs = timeToMs(vnode.atime);
    this.mtimeMs = timeToMs(vnode.mtime);
    this.ctimeMs = timeToMs(vnode.ctime);
    this.birthtimeMs = timeToMs(vnode.btime);
  }
}

/** Attributes as bigints; times in nanoseconds too. */
export class BigIntStats extends FinelyTimed {
  readonly dev: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly blksize: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;

  constructor(vnode: Vnode) {
    super(vnode.kind);
    const stats = new Stats(vnode);
    this.dev = BigInt(stats.dev);
    this.mode = BigInt(stats.mode);
    this.nlink = BigInt(stats.nlink);
    this.uid = BigInt(stats.uid);
    this.gid = BigInt(stats.gid);
    this.rdev = BigInt(stats.rdev);
    this.blksize = BigInt(stats.blksize);
    this.ino = BigInt(stats.ino);
    this.size = BigInt(stats.size);
    this.blocks = BigInt(stats.blocks);
    this.atimeNs = nanoseconds(vnode.atime);
    this.mtimeNs = nanoseconds(vnode.mtime);
    this.ctimeNs = nanoseconds(vnode.ctime);
    this.birthtimeNs = nanoseconds(vnode.btime);
  }
}

/** One entry of a directory. */
export class Dirent extends Kinded {
  readonly name: string | Uint8Array;
  readonly parentPath: string;

  constructor(name: string, kind: InodeKind, parentPath: string, encoding: Encoding) {
    super(kind);
    this.name = decodeName(name, encoding);
    this.parentPath = parentPath;
  }

  /** The older name of `parentPath`, which Node still has. */
  get path(): string {
    return this.parentPath;
  }
}

/** What a volume holds and has left, in blocks of `bsize` bytes. */
export interface StatFs<Value extends number | bigint> {
  type: Value;
  bsize: Value;
  blocks: Value;
  bfree: Value;
  bavail: Value;
  files: Value;
  ffree: Value;
}

function nanoseconds(time: Time): bigint {
  return BigInt(time.sec) * 1_000_000_000n + BigInt(time.nsec);
}
