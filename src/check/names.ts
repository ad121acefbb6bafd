/**
 * Names: directories as a reader sees them, depth first.
 *
 * What clones share is seen by a reader more often than once, and is not walked more often than
 * needed: a directory that was walked before is known by the root of its tree, and a leaf by its
 * block. Only if linked files are below are they walked again in another realm, because link counts
 * are the realm's. So numbers that are used twice are found in the live volume, which is walked
 * first, and in what clones do not share.
 *
 * J1. A directory is not walked below itself: what is open is marked.
 * J2. It is walked at most once in a realm, and a realm with the same root and link table once at
 *     all. A hostile image could still make that many, so nodes that are read again have a limit.
 */
import type { Steps } from '../device/index.ts';
import {
  InodeFlag,
  InodeKind,
  imageSeed,
  leafKey,
  MetaInode,
  MetaName,
  nodeCount,
  recordLength,
  recordOffset,
  type Superblock,
  slotBlock,
  slotHasBlock,
  standIn,
  TreeKind,
} from '../format/index.ts';
import { type BlockTable, Mark } from './block-table.ts';
import type { NodeView } from './graph.ts';
import { NONE, type RealmFault, Realms } from './realms.ts';
import { RecordReader } from './record-reader.ts';
import type { Answer, Session } from './session.ts';
import { type KeyRange, TreeWalk } from './tree-walk.ts';

/** Names that differ in nothing but the low bits of their keys have the same hash. */
const COLLISIONS = 256;
/** Memory of a directory that waits, or of a node that is remembered. */
const DIRECTORY_BYTES = 200;

/** Directories to which some rule does not apply. */
type Rank = 'meta' | 'live' | 'orphans' | 'orphan' | 'plain';

/** A directory that is to be walked: what its record says. */
interface Directory {
  readonly rank: Rank;
  readonly inode: number;
  /** The realm of its entries. */
  readonly realm: number;
  readonly opensRealm: boolean;
  /** Blocks of its tree and its link table, or NONE. */
  readonly root: number;
  readonly links: number;
  readonly size: number;
  readonly nlink: number;
  readonly linksBelow: boolean;
  /** A node above it has more than one slot: it may be reached again. */
  readonly shared: boolean;
}

/** What a walked directory came to. */
interface Walked {
  entries: number;
  directories: number;
  readonly links: number;
  readonly serial: number;
}

/** What a leaf came to that was reached by way of a shared node, and has no linked files below. */
interface KnownLeaf extends KeyRange {
  readonly entries: number;
  readonly directories: number;
}

/** The end of a directory, waiting below its subdirectories. */
interface Leave {
  readonly leave: Directory;
}

const META_ENTRIES: ReadonlyMap<string, { kind: InodeKind; inode: number; rank: Rank }> = new Map([
  [MetaName.LIVE, { kind: InodeKind.DIRECTORY, inode: MetaInode.LIVE, rank: 'live' }],
  [MetaName.SNAPSHOTS, { kind: InodeKind.DIRECTORY, inode: MetaInode.SNAPSHOTS, rank: 'plain' }],
  [MetaName.ORPHANS, { kind: InodeKind.DIRECTORY, inode: MetaInode.ORPHANS, rank: 'orphans' }],
  [MetaName.RECLAIM, { kind: InodeKind.TREE, inode: MetaInode.RECLAIM, rank: 'meta' }],
]);

export class NameCheck {
  readonly #session: Session;
  readonly #superblock: Superblock;
  readonly #table: BlockTable;
  readonly #trees: TreeWalk;
  readonly #realms: Realms;
  readonly #record = new RecordReader();
  readonly #stack: (Directory | Leave)[] = [];
  readonly #walked = new Map<number, Walked>();
  readonly #leaves = new Map<number, KnownLeaf>();
  /** Names with the hash of the last key. */
  readonly #names: string[] = [];
  #hash = -1;
  readonly #metaFound = new Set<string>();
  #queue = NONE;
  /** Put on the stack last, so that it is walked first. */
  #live: Directory | undefined;
  #revisits = 0;
  #done = 0;

  constructor(session: Session, superblock: Superblock, table: BlockTable) {
    this.#session = session;
    this.#superblock = superblock;
    this.#table = table;
    this.#trees = new TreeWalk(session, table, imageSeed(superblock.uuid));
    this.#realms = new Realms(session, this.#trees);
  }

  /** What is wrong with linked files, realm by realm. */
  get realmFaults(): readonly RealmFault[] {
    return this.#realms.faults;
  }

  *walk(): Steps {
    this.#push(metaRoot(this.#superblock));
    for (let next = this.#stack.pop(); next !== undefined; next = this.#stack.pop()) {
      this.#session.give(DIRECTORY_BYTES);
      if ('leave' in next) yield* this.#leave(next.leave);
      else yield* this.#enter(next);
      if (this.#done++ % 256 === 0) yield* this.#turn();
    }
    if (this.#queue === NONE) return;
    const tree = TreeKind.RECLAIM;
    yield* this.#trees.visit({ root: this.#queue, tree, inode: MetaInode.RECLAIM, leaf: () => {} });
  }

  #push(next: Directory | Leave): void {
    this.#session.take(DIRECTORY_BYTES);
    this.#stack.push(next);
  }

  *#enter(directory: Directory): Steps {
    const { root, realm: id, links, inode } = directory;
    const known = root === NONE ? undefined : this.#walked.get(root);
    if (root !== NONE && this.#table.has(root, Mark.OPEN)) {
      this.#session.issues.add('cycle', { realm: id, inode, block: root });
      this.#realms.current.whole = false;
      return;
    }
    if (known !== undefined && !this.#isWalkedAgain(directory, known)) return;
    if (directory.opensRealm) {
      this.#realms.begin({ id, root, links, exact: directory.rank === 'live' });
      this.#realms.addInode(inode);
    }
    if (root !== NONE) this.#table.mark(root, Mark.OPEN);
    this.#push({ leave: directory });
    const { serial } = this.#realms.current;
    const walked: Walked = { entries: 0, directories: 0, links, serial };
    const before = this.#trees.visits;
    const whole = root === NONE || (yield* this.#readEntries(directory, walked));
    if (whole) this.#compare(directory, walked);
    else this.#realms.current.whole = false;
    if (directory.rank === 'meta') this.#endMeta(whole);
    if (known !== undefined) this.#revisits += this.#trees.visits - before;
    if (root !== NONE && (directory.shared || this.#table.count(root) > 1)) {
      if (known === undefined) this.#session.take(DIRECTORY_BYTES);
      this.#walked.set(root, walked);
    }
  }

  /** The meta root was read; of what it has, the live volume comes next. */
  #endMeta(whole: boolean): void {
    for (const name of META_ENTRIES.keys()) {
      if (!whole || this.#metaFound.has(name)) continue;
      this.#session.issues.add('meta-entry', { name, finding: 'it is missing' });
    }
    if (this.#live !== undefined) this.#push(this.#live);
  }

  *#leave({ root, opensRealm }: Directory): Steps {
    if (root !== NONE) this.#table.unmark(root, Mark.OPEN);
    if (opensRealm) yield* this.#realms.end();
  }

  /** False if what was found the first time will do. */
  #isWalkedAgain(directory: Directory, known: Walked): boolean {
    const { issues } = this.#session;
    const { root, realm, inode, opensRealm, links } = directory;
    const { current } = this.#realms;
    if (!opensRealm && known.serial === current.serial) {
      issues.add('directory-twice', { realm, inode, block: root });
      current.whole = false;
      return false;
    }
    const seen = !directory.linksBelow || (opensRealm && known.links === links);
    if (!seen && this.#revisits < this.#session.revisitsMax) return true;
    this.#compare(directory, known);
    if (seen) return false;
    if (!issues.found.has('names-skipped')) issues.add('names-skipped', { visits: this.#revisits });
    current.whole = false;
    return false;
  }

  #readEntries(directory: Directory, walked: Walked): Answer<boolean> {
    this.#hash = -1;
    return this.#trees.visit({
      root: directory.root,
      tree: TreeKind.DIRECTORY,
      inode: directory.inode,
      leaf: (node, block, shared) => {
        const before = { ...walked };
        const below = shared || directory.shared;
        const linked = this.#readLeaf(node, directory, walked, below);
        if (below && !linked) this.#remember(node, block, before, walked);
      },
      known: (block) => this.#knownLeaf(block, walked),
    });
  }

  #remember({ words, base }: NodeView, block: number, before: Walked, after: Walked): void {
    const count = nodeCount(words, base);
    if (count === 0) return;
    this.#session.take(DIRECTORY_BYTES);
    this.#leaves.set(block, {
      first: leafKey(words, base, 0),
      last: leafKey(words, base, count - 1),
      entries: after.entries - before.entries,
      directories: after.directories - before.directories,
    });
  }

  #knownLeaf(block: number, walked: Walked): KeyRange | undefined {
    const known = this.#leaves.get(block);
    walked.entries += known?.entries ?? 0;
    walked.directories += known?.directories ?? 0;
    return known;
  }

  /** Reads the entries of a leaf. True if there are linked files in it or below. */
  #readLeaf(node: NodeView, directory: Directory, walked: Walked, shared: boolean): boolean {
    const { words, bytes, base } = node;
    let linked = false;
    for (let i = 0; i < nodeCount(words, base); i++) {
      const at = base * 4 + recordOffset(words, base, i);
      const record = this.#record.read(bytes, at, recordLength(words, base, i));
      this.#checkName(directory, leafKey(words, base, i), record.name());
      linked ||= record.kind === InodeKind.LINK || record.has(InodeFlag.HAS_LINKS_BELOW);
      walked.entries++;
      if (directory.rank === 'meta') this.#readMeta(node, at, shared);
      else if (record.isDirectory) {
        walked.directories++;
        const rank = directory.rank === 'orphans' ? 'orphan' : 'plain';
        this.#found(directory, this.#childOf(directory, node, at, shared, rank));
      } else this.#readFile(directory);
      if (directory.rank === 'orphans') this.#checkOrphan(record);
    }
    return linked;
  }

  /** A subdirectory. */
  #found(directory: Directory, child: Directory): void {
    if (child.linksBelow && !child.opensRealm && !directory.linksBelow) this.#unflagged(directory);
    this.#push(child);
  }

  /** The record read last is not a directory. */
  #readFile(directory: Directory): void {
    const { inode, kind, nlink } = this.#record;
    if (kind === InodeKind.LINK) {
      this.#realms.addName(inode);
      if (!directory.linksBelow) this.#unflagged(directory);
      return;
    }
    const found = directory.rank === 'orphans' ? 0 : 1;
    if (kind === InodeKind.TREE) {
      this.#session.issues.add('stray-tree', { realm: directory.realm, inode });
    } else if (nlink !== found) {
      const facts = { realm: directory.realm, inode, stored: nlink, found };
      this.#session.issues.add('file-links', facts);
    }
    // A record that states its realm has its number from there, where others may not have it.
    if (!this.#record.has(InodeFlag.REALM)) this.#realms.addInode(inode);
    else this.#checkRealm(directory.realm);
  }

  #unflagged({ realm, inode }: Directory): void {
    this.#session.issues.add('directory-flag', { realm, inode });
  }

  /** Realm 0 is the volume's own, and nothing else states it. */
  #checkRealm(outer: number): void {
    const { inode, realm } = this.#record;
    if (realm > 0) return;
    const facts = { realm: outer, inode, finding: `its realm is ${realm}` };
    this.#session.issues.add('realm-fault', facts);
  }

  /** The directory whose record was read last. */
  #childOf(
    parent: Directory,
    { words }: NodeView,
    at: number,
    shared: boolean,
    rank: Rank,
  ): Directory {
    const record = this.#record;
    const opensRealm = record.has(InodeFlag.REALM);
    if (opensRealm) this.#checkRealm(parent.realm);
    else this.#realms.addInode(record.inode);
    const { layout } = record;
    const rootAt = (at + layout.slots) / 4;
    const linksAt = (at + layout.links) / 4;
    const linked = record.has(InodeFlag.LINKS) && slotHasBlock(words, linksAt);
    const { realm, outer } = record;
    const own = outer === parent.realm ? realm : standIn(standIn(parent.realm, outer), realm);
    return {
      rank,
      inode: record.inode,
      realm: opensRealm ? own : parent.realm,
      opensRealm,
      root: layout.slotCount > 0 && slotHasBlock(words, rootAt) ? slotBlock(words, rootAt) : NONE,
      links: linked ? slotBlock(words, linksAt) : NONE,
      size: record.size,
      nlink: record.nlink,
      linksBelow: record.has(InodeFlag.HAS_LINKS_BELOW),
      shared,
    };
  }

  /** An entry of the meta root. */
  #readMeta(node: NodeView, at: number, shared: boolean): void {
    const record = this.#record;
    const name = record.name();
    const wanted = META_ENTRIES.get(name);
    const fault = (finding: string): void => {
      this.#session.issues.add('meta-entry', { name, finding });
    };
    if (wanted === undefined) {
      fault('there is no use for it');
      return;
    }
    this.#metaFound.add(name);
    if (record.kind !== wanted.kind || record.inode !== wanted.inode) {
      fault(`its inode is ${record.inode} of kind ${record.kind}`);
      return;
    }
    if (wanted.rank === 'live' && (!record.has(InodeFlag.REALM) || record.outer !== 0)) {
      fault('it is not the root of a realm');
    }
    const meta = metaRoot(this.#superblock);
    const child = this.#childOf(meta, node, at, shared, wanted.rank);
    if (wanted.rank === 'live') this.#live = child;
    else if (record.isDirectory) this.#push(child);
    else this.#queue = child.root;
  }

  #checkOrphan(record: RecordReader): void {
    const { inode, realm, nlink } = record;
    const name = `${realm}.${inode}`;
    let finding: string | undefined;
    if (!record.has(InodeFlag.REALM)) finding = 'it does not state its realm';
    else if (record.name() !== name) finding = `its name is not ${name}`;
    else if (record.isDirectory && nlink !== 0) finding = `its link count is ${nlink}`;
    if (finding !== undefined) this.#session.issues.add('orphan-fault', { realm, inode, finding });
  }

  #checkName({ realm, inode }: Directory, key: number, name: string): void {
    const hash = Math.floor(key / COLLISIONS);
    if (hash !== this.#hash) this.#names.length = 0;
    this.#hash = hash;
    if (this.#names.includes(name)) {
      this.#session.issues.add('name-twice', { realm, inode, name });
    }
    this.#names.push(name);
  }

  /** Size and link count against what was found. The meta root has none, orphans no link count. */
  #compare(directory: Directory, { entries, directories }: Walked): void {
    const { rank, realm, inode, size, nlink } = directory;
    const { issues } = this.#session;
    if (rank === 'meta') return;
    if (size !== entries) {
      issues.add('directory-size', { realm, inode, stored: size, found: entries });
    }
    const counted = rank === 'plain' || rank === 'live';
    const links = 2 + directories;
    if (counted && nlink !== links) {
      issues.add('directory-links', { realm, inode, stored: nlink, found: links });
    }
  }

  #turn(): Steps {
    const total = Math.max(this.#done, 2 * this.#session.statistics.directories);
    return this.#session.turn('names', this.#done, total);
  }
}

function metaRoot({ state }: Superblock): Directory {
  return {
    rank: 'meta',
    inode: MetaInode.META,
    realm: 0,
    opensRealm: true,
    root: slotBlock(state.metaRoot, 0),
    links: NONE,
    size: 0,
    nlink: 0,
    linksBelow: false,
    shared: false,
  };
}
