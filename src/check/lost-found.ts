/**
 * Lost and found: what was salvaged of directories, and has no place in the tree any more, is
 * connected under `/lost+found`.
 *
 * Each directory gets a name that says which one it was, `#<realm>-<inode>`. What comes from the
 * live tree becomes part of it again, if no number below it is in use there by now. All others get
 * a realm of their own, as a clone would: the numbers below stay what they were, whoever else has
 * them. Names of linked files are looked up in the link table that was salvaged with it, or in that
 * of the live tree if it comes from there.
 */
import { copyBinary, hashName, setU64, TWO_32, viewOf, wordsOf } from '../base/index.ts';
import {
  INODE_MAX,
  InodeFlag,
  InodeKind,
  LINK_NAME,
  layoutRecord,
  linkRecordLength,
  MetaInode,
  MetaName,
  newLayout,
  nodeLevel,
  REALM_MAX,
  SLOT_WORDS,
  setTime,
  slotHasBlock,
  TreeKind,
  type VolumeState,
} from '../format/index.ts';
import type { Entry, NodeWriter, TreeName } from './build-tree.ts';
import type { Notes } from './notes.ts';
import { RecordAt, RecordReader } from './record-reader.ts';
import type { Root } from './roots.ts';
import { asChild, type Unclaimed } from './salvage.ts';
import type { Answer, Session } from './session.ts';
import { childrenOf, entriesOf, readKeyed, TreeEdit } from './tree-edit.ts';

export const LOST_AND_FOUND = 'lost+found';
/** Names whose hashes are equal. */
const COLLISIONS = 256;
/** The live tree's realm. */
const LIVE_REALM = 1;
const SLOT_BYTES = SLOT_WORDS * 4;
const MODE = 0o700;

export interface LostFoundParts {
  readonly session: Session;
  readonly root: Root;
  readonly writer: NodeWriter;
  readonly notes: Notes;
}

/** What is to be connected. */
export interface Lost {
  readonly unclaimed: readonly Unclaimed[];
  /** Inodes of the live tree's link table. */
  readonly unnamed: readonly number[];
  readonly manner: Manner;
}

/**
 * How directories are connected, from what keeps most to what goes with anything: those that come
 * from the live tree as part of it again; in realms of their own; each node in one; and without a
 * link table, which may be of another time than the names.
 */
export const MANNERS = ['part', 'realm', 'single', 'bare'] as const;
export type Manner = (typeof MANNERS)[number];

/** A record and its key. */
interface Found {
  readonly key: number;
  readonly record: Uint8Array;
}

/** What was salvaged of one directory, of one time. */
interface Group {
  readonly name: TreeName;
  readonly nodes: Unclaimed[];
  /** Of its link table, if it was the root of a realm. */
  readonly links: Unclaimed[];
}

export class LostFound {
  readonly #parts: LostFoundParts;
  readonly #edit: TreeEdit;
  readonly #state: VolumeState;

  constructor(parts: LostFoundParts) {
    this.#parts = parts;
    this.#edit = new TreeEdit(parts.session, parts.writer);
    this.#state = { ...parts.root.superblock.state };
  }

  /** Connects what there is. Returns the new state; undefined if nothing was connected. */
  *connect({ unclaimed, unnamed, manner }: Lost): Answer<VolumeState | undefined> {
    const groups = groupsOf(unclaimed, manner === 'single' || manner === 'bare');
    const { writer } = this.#parts;
    const live = yield* this.#named(this.#state.metaRoot, MetaName.LIVE);
    if (groups.length + unnamed.length === 0 || live === undefined) return undefined;
    const place = yield* this.#place(slotIn(live.record, 'root'));
    if (place === undefined) return undefined;
    const inode = new RecordReader().read(place.record, 0, place.record.length).inode;
    const entries = yield* this.#entries(slotIn(place.record, 'root'));
    if (entries === undefined) return undefined;
    const links = slotIn(live.record, 'links');
    for (const group of groups) this.#addDirectory(group, entries, { links, manner });
    for (const linked of unnamed) this.#addName(linked, entries);
    entries.sort((left, right) => left.key - right.key);
    const name = { tree: TreeKind.DIRECTORY, realm: LIVE_REALM, inode };
    const slot = writer.root(name, writer.leaves(name, entries), 0);
    place.record.set(new Uint8Array(slot.slice().buffer), slotAt(place.record, 'root'));
    const path = [{ key: live.key, slotAt: slotAt(live.record, 'root') }];
    const root = { tree: TreeKind.DIRECTORY, realm: LIVE_REALM, inode: MetaInode.LIVE };
    const { metaRoot } = this.#state;
    const meta = yield* this.#edit.putAt(metaRoot, path, root, place.key, place.record);
    return meta === undefined ? undefined : { ...this.#state, metaRoot: meta };
  }

  /** The directory lost+found, a new one if there is none. */
  *#place(root: Uint32Array): Answer<Found | undefined> {
    for (let again = 0; again < COLLISIONS; again++) {
      const name = again === 0 ? LOST_AND_FOUND : `${LOST_AND_FOUND}.${again}`;
      const found = yield* this.#named(root, name);
      if (found === undefined) {
        const key = yield* this.#freeKey(root, name);
        if (key === undefined) return undefined;
        return { key, record: this.#directory(name, this.#newInode(), undefined) };
      }
      const record = new RecordReader().read(found.record, 0, found.record.length);
      if (record.isDirectory && !record.has(InodeFlag.REALM)) return found;
    }
    return undefined;
  }

  #addDirectory(
    { name, nodes, links: own }: Group,
    entries: Entry[],
    { links: live, manner }: { links: Uint32Array; manner: Manner },
  ): void {
    const { writer, notes } = this.#parts;
    const build = (parts: readonly Unclaimed[], of: TreeName): Uint32Array => {
      const level = Math.max(...parts.map((node) => node.level));
      return writer.root(of, writer.gather(of, parts.map(asChild), level), level);
    };
    const fromLive = name.realm === LIVE_REALM;
    let links = fromLive ? live : new Uint32Array(SLOT_WORDS);
    if (manner === 'bare') links = new Uint32Array(SLOT_WORDS);
    else if (own.length > 0) links = build(own, { ...name, tree: TreeKind.LINKS });
    const realm = this.#state.nextRealm;
    if (realm + 1 >= REALM_MAX) return;
    const identity =
      manner === 'part' && fromLive ? undefined : { realm, outer: LIVE_REALM, links };
    const { text, key } = this.#nameFor(name, entries);
    const record = this.#directory(text, name.inode, identity);
    record.set(new Uint8Array(build(nodes, name).slice().buffer), slotAt(record, 'root'));
    if (identity !== undefined) this.#state.nextRealm = realm + 1;
    entries.push({ key, bytes: record });
    notes.add(`connect what is left of directory ${name.inode} as /${LOST_AND_FOUND}/${text}`);
  }

  /** A name for an inode of the live tree's link table. */
  #addName(inode: number, entries: Entry[]): void {
    const { text, key } = this.#nameFor({ realm: LIVE_REALM, inode }, entries);
    const record = new Uint8Array(linkRecordLength(text.length));
    const view = viewOf(record);
    view.setUint16(0, record.length, true);
    record[2] = text.length;
    record[3] = InodeKind.LINK;
    view.setUint32(8, inode, true);
    record[12] = Math.floor(inode / TWO_32);
    copyBinary(text, record, LINK_NAME);
    entries.push({ key, bytes: record });
    this.#parts.notes.add(
      `connect inode ${inode}, which has no name, as /${LOST_AND_FOUND}/${text}`,
    );
  }

  /** A name that says what it was, and that nothing has yet. */
  #nameFor(
    { realm, inode }: { realm: number; inode: number },
    entries: readonly Entry[],
  ): { text: string; key: number } {
    const base = `#${realm}-${inode}`;
    const taken = new Set(entries.map(({ bytes }) => nameIn(bytes)));
    const keys = new Set(entries.map((entry) => entry.key));
    for (let i = 0; ; i++) {
      const text = i === 0 ? base : `${base}.${i}`;
      const hash = hashName(text, this.#hashSeed) * COLLISIONS;
      let key = hash;
      while (keys.has(key)) key++;
      if (!taken.has(text) && key < hash + COLLISIONS) return { text, key };
    }
  }

  get #hashSeed(): bigint {
    return this.#parts.root.superblock.hashSeed;
  }

  #newInode(): number {
    return Math.min(this.#state.nextInode++, INODE_MAX - 1);
  }

  /** A record of a directory; its size and its link count are those of an empty one. */
  #directory(
    name: string,
    inode: number,
    identity: { realm: number; outer: number; links: Uint32Array } | undefined,
  ): Uint8Array {
    const linked = identity !== undefined && slotHasBlock(identity.links, 0);
    const own = identity === undefined ? 0 : InodeFlag.REALM | (linked ? InodeFlag.LINKS : 0);
    const flags = InodeFlag.SLOTS | own;
    const shape = { kind: InodeKind.DIRECTORY, flags, nameLength: name.length };
    const layout = layoutRecord({ ...shape, inlineLength: 0, attributesLength: 0 }, newLayout());
    const record = new Uint8Array(layout.length);
    const view = viewOf(record);
    view.setUint16(0, layout.length, true);
    record[2] = name.length;
    record[3] = InodeKind.DIRECTORY;
    view.setUint32(4, flags, true);
    view.setUint32(8, inode, true);
    record[12] = Math.floor(inode / TWO_32);
    view.setUint16(14, MODE, true);
    view.setUint32(24, 2, true);
    const { committed } = this.#state;
    for (const at of RecordAt.TIMES) setTime(wordsOf(record), at / 4, committed);
    if (identity !== undefined) {
      setU64(view, layout.identity, identity.realm);
      setU64(view, layout.identity + 8, identity.outer);
      if (linked) record.set(new Uint8Array(identity.links.slice().buffer), layout.links);
    }
    copyBinary(name, record, layout.name);
    return record;
  }

  /** The record of a name in a tree. */
  *#named(root: Uint32Array, name: string): Answer<Found | undefined> {
    const hash = hashName(name, this.#hashSeed) * COLLISIONS;
    for (let key = hash; key < hash + COLLISIONS; key++) {
      const record = yield* this.#edit.find(root, TreeKind.DIRECTORY, key);
      if (record !== undefined && nameIn(record) === name) return { key, record };
    }
    return undefined;
  }

  *#freeKey(root: Uint32Array, name: string): Answer<number | undefined> {
    const hash = hashName(name, this.#hashSeed) * COLLISIONS;
    for (let key = hash; key < hash + COLLISIONS; key++) {
      if ((yield* this.#edit.find(root, TreeKind.DIRECTORY, key)) === undefined) return key;
    }
    return undefined;
  }

  /** All records of a tree; undefined if one cannot be read. */
  *#entries(root: Uint32Array): Answer<Entry[] | undefined> {
    const entries: Entry[] = [];
    const stack = slotHasBlock(root, 0) ? [root] : [];
    const { seed } = this.#parts.writer;
    for (let slot = stack.pop(); slot !== undefined; slot = stack.pop()) {
      const tree = TreeKind.DIRECTORY;
      const words = yield* readKeyed(this.#parts.session, slot, { seed, tree });
      if (words === undefined) return undefined;
      if (nodeLevel(words, 0) === 0) entries.push(...entriesOf(words));
      else stack.push(...childrenOf(words).map((child) => child.slot));
    }
    return entries;
  }
}

/**
 * Nodes of one directory that lie apart, newest first; what lies among the keys of a newer one is
 * of another time, and a group of its own.
 */
function groupsOf(unclaimed: readonly Unclaimed[], single: boolean): Group[] {
  const groups: Group[] = [];
  const sorted = [...unclaimed].sort((left, right) => right.birth - left.birth);
  const isOf = (node: Unclaimed, { name }: Group): boolean =>
    name.realm === node.name.realm && name.inode === node.name.inode;
  for (const node of sorted) {
    if (node.name.tree !== TreeKind.DIRECTORY) continue;
    const group = groups.find((it) => !single && isOf(node, it) && isApart(node, it.nodes));
    if (group !== undefined) group.nodes.push(node);
    else groups.push({ name: node.name, nodes: [node], links: [] });
  }
  for (const node of sorted) {
    if (node.name.tree !== TreeKind.LINKS) continue;
    groups.find((it) => isOf(node, it) && isApart(node, it.links))?.links.push(node);
  }
  for (const { nodes, links } of groups) {
    nodes.sort((left, right) => left.first - right.first);
    links.sort((left, right) => left.first - right.first);
  }
  return groups;
}

function isApart({ first, last }: Unclaimed, others: readonly Unclaimed[]): boolean {
  return others.every((other) => last < other.first || first > other.last);
}

/** Where in a record of a directory the slot of its tree is, or of its link table. */
function slotAt(record: Uint8Array, which: 'root' | 'links'): number {
  const { layout } = new RecordReader().read(record, 0, record.length);
  return which === 'root' ? layout.slots : layout.links;
}

function slotIn(record: Uint8Array, which: 'root' | 'links'): Uint32Array {
  const own = new RecordReader().read(record, 0, record.length);
  if (which === 'links' && !own.has(InodeFlag.LINKS)) return new Uint32Array(SLOT_WORDS);
  const at = slotAt(record, which);
  return new Uint32Array(record.slice(at, at + SLOT_BYTES).buffer);
}

function nameIn(record: Uint8Array): string {
  return new RecordReader().read(record, 0, record.length).name();
}
