/**
 * Vnode: an inode in memory.
 *
 * N1. There is at most one vnode per inode of a realm; whoever keeps one across turns holds it
 *     (`holds`). One that is held, open, dirty, has children in memory or is where a linked inode
 *     in memory was seen last is not dropped.
 * N2. A vnode that is `dirty` knows more than its record. Its record is changeable then (it lies in
 *     nodes of the open txg that nobody else sees) and is brought up to date by a push: when the
 *     txg closes, and before a tree that contains it is cloned, taken away or read past the vnodes.
 * N3. Otherwise the vnode and its record say the same.
 */
import { BLOCK_SIZE, blocksFor, type InodeNumber, type Txg } from '../base/index.ts';
import { InodeFlag, InodeKind, type Time, TreeKind } from '../format/index.ts';
import { type BufferPool, IomapFile, type MappingOps } from '../iomap/index.ts';
import type { MapRoot, TreeRoot } from '../tree/index.ts';

/** Words of the slots of an inode: four of the map, the attribute map, the link table. */
export const ATTRIBUTES_AT = 16;
export const LINKS_AT = 20;
const INODE_WORDS = 24;

/** Of `st_blocks`, whatever the blocks are. */
const SECTOR_SIZE = 512;

const NO_BYTES = new Uint8Array(0);
const SETTLED: readonly Unsettled[] = [];
const EPOCH: Time = { sec: 0, nsec: 0 };

/** A tree that hangs from a vnode. */
export class VnodeTree implements TreeRoot {
  readonly owner: Vnode;
  readonly tree: TreeKind;
  readonly rootAt: number;

  constructor(owner: Vnode, tree: TreeKind, rootAt: number) {
    this.owner = owner;
    this.tree = tree;
    this.rootAt = rootAt;
  }

  get slots(): Uint32Array {
    return this.owner.slots;
  }

  get ownerRealm(): number {
    return this.owner.realm.id;
  }

  get ownerInode(): number {
    return this.owner.ino;
  }
}

/** The scope of inode numbers: what a clone of a directory opens. */
export class Realm {
  readonly id: number;
  /** The directory at its root, which has its link table. */
  readonly root: Vnode;
  readonly readOnly: boolean;

  constructor(id: number, root: Vnode, readOnly: boolean) {
    this.id = id;
    this.root = root;
    this.readOnly = readOnly;
  }
}

/** From this byte on a file has changed otherwise than by an overwrite. */
export interface Unsettled {
  readonly txg: Txg;
  readonly from: number;
}

export class Vnode extends IomapFile implements MapRoot {
  id: number;
  readonly ops: MappingOps;
  readonly slots: Uint32Array = new Uint32Array(INODE_WORDS);
  depth = 0;

  /** The tree that holds its record, and the key there; undefined for the meta root alone. */
  holder: VnodeTree | undefined;
  key = 0;
  /** Its name; of several, the last one seen. */
  name = '';
  realm!: Realm;

  ino = 0 as InodeNumber;
  kind: InodeKind = InodeKind.FILE;
  flags = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  generation = 0;
  size = 0;
  /** Data blocks the map names; an upper bound once a sparse file was cut. */
  blocks = 0;
  atime: Time = EPOCH;
  mtime: Time = EPOCH;
  ctime: Time = EPOCH;
  btime: Time = EPOCH;
  change = 0;
  project = 0;
  rdev = 0;
  /** Stated identity, with REALM. */
  ownRealm = 0;
  outerRealm = 0;
  /** Inline data, or the target of a symbolic link. */
  inline: Uint8Array = NO_BYTES;
  /** Inline extended attributes. */
  attributes: Uint8Array = NO_BYTES;
  /** Blocks of the attribute map, with ATTR_BLOCKS. */
  attributeBlocks = 0;

  /** Vnodes of records in its trees: entries by name, linked inodes by {@link childName}. */
  children: Map<string, Vnode> | undefined;
  holds = 0;
  opens = 0;
  /** Linked inodes that were seen here last. */
  seen = 0;
  /** No name leads to it any more. */
  unlinked = false;
  /** It was made without a name, and may get one. */
  linkable = false;
  dirty = false;
  /** The record was changeable in this txg, at this count of clones. */
  claimTxg = 0 as Txg;
  claimEpoch = -1;
  /** No other vnode has its number in the same round. */
  round = 0;
  /** Clock bit of the vnode table, and its place there. */
  used = true;
  place = 0;

  /**
   * Bytes of the file for whoever replays the log, if `sizeTxg` is the open txg; else all of them.
   * Dirty data has made it longer, and is not all in its place.
   */
  loggedSize = 0;
  sizeTxg = 0 as Txg;
  /** How often it was made shorter since it came into memory. */
  cuts = 0;
  /** While the log is replayed: byte after the last block of it that the log has put in place. */
  mappedEnd = 0;

  /**
   * The txg in which its record was first seen to be nobody else's, if it has been so ever since;
   * and the parts that may not be written over yet. See overwrite.ts.
   */
  aloneTxg = 0 as Txg;
  unsettled: readonly Unsettled[] = SETTLED;
  /** Nobody may share its blocks, nor move them once it is fixed; see pin.ts. */
  pinned = false;
  fixed = false;

  /** What was promised for one dirty folio, and for how many. */
  folioCost = 0;
  promisedFolios = 0;

  #namedIn: Vnode | undefined;
  #entries: VnodeTree | undefined;
  #links: VnodeTree | undefined;

  constructor(id: number, pool: BufferPool, ops: MappingOps) {
    super(pool);
    this.id = id;
    this.ops = ops;
  }

  /**
   * Makes a vnode that was dropped a new one. Inodes come and go by the million; made anew each
   * time, they would fill the heap with garbage that only a full collection takes away.
   */
  renew(id: number): this {
    this.id = id;
    this.slots.fill(0);
    this.depth = 0;
    this.holder = undefined;
    this.key = 0;
    this.name = '';
    this.realm = undefined as unknown as Realm;
    this.ino = 0 as InodeNumber;
    this.kind = InodeKind.FILE;
    this.flags = 0;
    this.mode = 0;
    this.uid = 0;
    this.gid = 0;
    this.nlink = 0;
    this.generation = 0;
    this.size = 0;
    this.blocks = 0;
    this.atime = EPOCH;
    this.mtime = EPOCH;
    this.ctime = EPOCH;
    this.btime = EPOCH;
    this.change = 0;
    this.project = 0;
    this.rdev = 0;
    this.ownRealm = 0;
    this.outerRealm = 0;
    this.inline = NO_BYTES;
    this.attributes = NO_BYTES;
    this.attributeBlocks = 0;
    this.children = undefined;
    this.holds = 0;
    this.opens = 0;
    this.seen = 0;
    this.unlinked = false;
    this.linkable = false;
    this.dirty = false;
    this.claimTxg = 0 as Txg;
    this.claimEpoch = -1;
    this.round = 0;
    this.used = true;
    this.place = 0;
    this.loggedSize = 0;
    this.sizeTxg = 0 as Txg;
    this.cuts = 0;
    this.mappedEnd = 0;
    this.aloneTxg = 0 as Txg;
    this.unsettled = SETTLED;
    this.pinned = false;
    this.fixed = false;
    this.folioCost = 0;
    this.promisedFolios = 0;
    this.writebackIndex = 0;
    this.dataSequence = 0;
    this.cowSequence = 0;
    this.readNext = 0;
    this.readWindow = 0;
    this.#namedIn = undefined;
    this.#entries = undefined;
    this.#links = undefined;
    return this;
  }

  /** Of an inode with several names: the directory where it was seen last. It stays in memory. */
  get namedIn(): Vnode | undefined {
    return this.#namedIn;
  }

  set namedIn(directory: Vnode | undefined) {
    if (this.#namedIn !== undefined) this.#namedIn.seen--;
    if (directory !== undefined) directory.seen++;
    this.#namedIn = directory;
  }

  /** The tree of a directory's entries, or the tree that a TREE inode is. */
  get entries(): VnodeTree {
    this.#entries ??= new VnodeTree(
      this,
      this.kind === InodeKind.TREE ? (this.depth as TreeKind) : TreeKind.DIRECTORY,
      0,
    );
    return this.#entries;
  }

  /** The link table of the realm whose root this is. */
  get links(): VnodeTree {
    this.#links ??= new VnodeTree(this, TreeKind.LINKS, LINKS_AT);
    return this.#links;
  }

  /** Whose tree holds the record: the directory, or for a linked inode the root of its realm. */
  get parent(): Vnode | undefined {
    return this.holder?.owner;
  }

  /** Under which name it is among its parent's children. No name in a directory has a slash. */
  get childName(): string {
    return this.has(InodeFlag.LINKED) ? linkedName(this.ino) : this.name;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** True if the map names anything, or has nodes. */
  get hasMap(): boolean {
    return this.depth > 0 || this.slots.subarray(0, ATTRIBUTES_AT).some((word) => word !== 0);
  }

  /**
   * Sectors of data. Of dirty blocks it is not known yet which are new: they count as if all were,
   * up to the size. Inline data counts too: a file that seems to have none is taken for one hole.
   */
  get sectors(): number {
    const most = Math.max(this.blocks, blocksFor(this.size));
    const blocks = Math.min(this.blocks + this.dirtyBlocks, most);
    const inline = this.kind === InodeKind.FILE ? this.inline.length : 0;
    return blocks > 0 ? blocks * (BLOCK_SIZE / SECTOR_SIZE) : Math.ceil(inline / SECTOR_SIZE);
  }

  get isDirectory(): boolean {
    return this.kind === InodeKind.DIRECTORY;
  }

  /** True if it is `other`, or its record is somewhere below it. */
  isWithin(other: Vnode): boolean {
    for (let at: Vnode | undefined = this; at !== undefined; at = at.parent) {
      if (at === other) return true;
    }
    return false;
  }
}

/** File type bits of a mode, by kind of inode; four bits up from them is what a dirent has. */
export const TYPE_BITS: Readonly<Record<number, number>> = {
  [InodeKind.FILE]: 0o100000,
  [InodeKind.DIRECTORY]: 0o040000,
  [InodeKind.SYMLINK]: 0o120000,
  [InodeKind.CHARACTER]: 0o020000,
  [InodeKind.BLOCK]: 0o060000,
  [InodeKind.FIFO]: 0o010000,
  [InodeKind.SOCKET]: 0o140000,
};

/** The {@link Vnode.childName} of a linked inode. */
export function linkedName(ino: number): string {
  return `/${ino}`;
}

/** The inode number of such a name; undefined if it is another name. */
export function linkedNumber(name: string): number | undefined {
  return /^\/\d{1,13}$/.test(name) ? Number(name.slice(1)) : undefined;
}

/** Flags that follow from what an inode has, rather than being set. */
export const SHAPE_FLAGS =
  InodeFlag.INLINE | InodeFlag.EMBED4 | InodeFlag.SLOTS | InodeFlag.ATTR_BLOCKS | InodeFlag.LINKS;
