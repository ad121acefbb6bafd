/**
 * Leaves: the records of directories, link tables and the reclaim queue, each looked at by itself.
 */
import { HASH_BITS, hashName } from '../base/index.ts';
import {
  InodeFlag,
  InodeKind,
  leafKey,
  MAP_DEPTH_MAX,
  nodeCount,
  RECLAIM_RECORD_SIZE,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  recordFault,
  recordLength,
  recordOffset,
  rootDetail,
  rootRole,
  SLOT_WORDS,
  SlotRole,
  STAND_IN,
  slotHasBlock,
  TreeKind,
} from '../format/index.ts';
import type { NodeView } from './graph.ts';
import { LeafSpace, nameFault, RecordReader } from './record-reader.ts';
import type { Session } from './session.ts';
import type { Place, Targets } from './targets.ts';

/** Collision numbers of a name's hash. */
const COLLISIONS = 2 ** (53 - HASH_BITS);

export class Leaves {
  readonly #session: Session;
  readonly #targets: Targets;
  readonly #hashSeed: bigint;
  readonly #record = new RecordReader();
  readonly #space = new LeafSpace();
  #highestInode = 0;
  #highestRealm = 0;

  constructor(session: Session, targets: Targets, hashSeed: bigint) {
    this.#session = session;
    this.#targets = targets;
    this.#hashSeed = hashSeed;
  }

  /** Looks at the records of a leaf. False if one of them is none. */
  open(node: NodeView, tree: TreeKind, place: Place): boolean {
    const { words, base } = node;
    const { block, what, inode } = place;
    let sound = true;
    this.#space.clear();
    for (let i = 0; i < nodeCount(words, base); i++) {
      const offset = recordOffset(words, base, i);
      const length = recordLength(words, base, i);
      const key = leafKey(words, base, i);
      const apart = this.#space.take(offset, length);
      const finding = apart ? this.#fault(node, tree, offset, length) : 'it overlaps another';
      if (finding === undefined && tree === TreeKind.RECLAIM) {
        this.#openItem(node, offset, key, place);
      } else if (finding === undefined) {
        this.#openRecord(node, { tree, key, offset, length }, place);
      } else {
        const facts = { block, what, inode, finding: `record ${i}: ${finding}` };
        this.#session.issues.add('record-fault', facts);
        this.#session.incomplete = true;
        sound = false;
      }
    }
    return sound;
  }

  /** All numbers in use are below those that are given out next. */
  checkNumbers(nextInode: number, nextRealm: number): void {
    const { issues } = this.#session;
    const numbers = [
      { which: 'inode', stored: nextInode, found: this.#highestInode },
      { which: 'realm', stored: nextRealm, found: this.#highestRealm },
    ] as const;
    for (const facts of numbers) if (facts.found >= facts.stored) issues.add('next-number', facts);
  }

  #fault(
    { bytes, base }: NodeView,
    tree: TreeKind,
    offset: number,
    length: number,
  ): string | undefined {
    const at = base * 4 + offset;
    if (tree !== TreeKind.RECLAIM) return recordFault(bytes, at, length);
    const stated = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
    const good = length === RECLAIM_RECORD_SIZE && stated === length;
    return good ? undefined : `it has ${length} bytes`;
  }

  #openRecord(
    { bytes, words, base }: NodeView,
    entry: { tree: TreeKind; key: number; offset: number; length: number },
    place: Place,
  ): void {
    const { issues } = this.#session;
    const start = base * 4 + entry.offset;
    const record = this.#record.read(bytes, start, entry.length);
    const of = { block: place.block, what: place.what, inode: record.inode };
    const finding = record.fault() ?? placeFault(record, entry.tree, entry.key);
    if (finding !== undefined) issues.add('record-fault', { ...of, finding });
    if (record.hasUnrealTime()) issues.add('record-time', of);
    if (entry.tree === TreeKind.DIRECTORY) this.#checkName(record, entry.key, of);
    if (!place.dead) this.#count(record);
    this.#noteNumbers(record);
    if (record.kind === InodeKind.LINK) return;
    const { layout, shape } = record;
    const own: Place = { ...place, inode: record.inode, end: record.blocks };
    const role = rootRole(record.kind, record.depth);
    const detail = rootDetail(record.kind, record.depth);
    for (let i = 0; i < layout.slotCount; i++) {
      const at = (start + layout.slots) / 4 + i * SLOT_WORDS;
      this.#targets.name(words, at, { role, detail, fileBlock: i }, own);
    }
    if (record.has(InodeFlag.ATTR_BLOCKS)) {
      const meaning = { role: SlotRole.MAP, detail: 0 };
      const end = shape.attributesLength;
      this.#targets.name(words, (start + layout.attributeSlot) / 4, meaning, { ...own, end });
    }
    if (record.has(InodeFlag.LINKS)) {
      const meaning = { role: SlotRole.KEYED, detail: TreeKind.LINKS };
      this.#targets.name(words, (start + layout.links) / 4, meaning, own);
    }
  }

  #checkName(
    record: RecordReader,
    key: number,
    of: { block: number; what: string; inode: number },
  ): void {
    const name = record.name();
    const hash = Math.floor(key / COLLISIONS);
    const finding =
      nameFault(name) ??
      (hash === hashName(name, this.#hashSeed) ? undefined : 'its key is of another name');
    if (finding !== undefined) this.#session.issues.add('name-fault', { ...of, name, finding });
  }

  #count(record: RecordReader): void {
    const { statistics } = this.#session;
    switch (record.kind) {
      case InodeKind.FILE:
        statistics.files++;
        statistics.bytes += record.size;
        break;
      case InodeKind.DIRECTORY:
        statistics.directories++;
        break;
      case InodeKind.SYMLINK:
        statistics.symlinks++;
        break;
      case InodeKind.LINK:
        statistics.links++;
        break;
      case InodeKind.TREE:
        break;
      default:
        statistics.specials++;
    }
  }

  #noteNumbers(record: RecordReader): void {
    this.#highestInode = Math.max(this.#highestInode, record.inode);
    for (const realm of [record.realm, record.outer]) {
      if (realm < STAND_IN) this.#highestRealm = Math.max(this.#highestRealm, realm);
    }
  }

  #openItem(node: NodeView, offset: number, key: number, place: Place): void {
    const { bytes, words, base } = node;
    const at = base * 4 + offset;
    const role = bytes[at + 2] as SlotRole;
    const detail = bytes[at + 3] as number;
    const resume = words[(at + RECLAIM_RESUME) / 4] as number;
    const slot = (at + RECLAIM_SLOT) / 4;
    const finding = itemFault(role, detail, resume, slotHasBlock(words, slot));
    if (finding !== undefined) {
      const { block, what, inode } = place;
      const facts = { block, what, inode, finding: `item ${key}: ${finding}` };
      this.#session.issues.add('queue-item', facts);
      this.#session.incomplete = true;
      return;
    }
    const own: Place = { ...place, inode: 0, end: Infinity, dead: true };
    this.#targets.name(words, slot, { role, detail, resume }, own);
  }
}

/** What makes a record unfit for the tree it is in, or undefined. */
function placeFault(record: RecordReader, tree: TreeKind, key: number): string | undefined {
  if (tree === TreeKind.DIRECTORY) {
    return record.has(InodeFlag.LINKED) ? 'a linked inode is in a directory' : undefined;
  }
  const { kind } = record;
  if (kind === InodeKind.LINK || kind === InodeKind.DIRECTORY || kind === InodeKind.TREE) {
    return `kind ${kind} is not for link tables`;
  }
  if (!record.has(InodeFlag.LINKED)) return 'it does not say that it is linked';
  if (record.shape.nameLength > 0) return 'it has a name, and is in a link table';
  return record.inode === key ? undefined : `it is under key ${key}`;
}

function itemFault(
  role: SlotRole,
  detail: number,
  resume: number,
  named: boolean,
): string | undefined {
  if (!named) return 'it names no block';
  switch (role) {
    case SlotRole.DATA:
      return resume === 0 ? undefined : 'data has no children';
    case SlotRole.MAP:
      return detail < MAP_DEPTH_MAX ? undefined : `its map has level ${detail}`;
    case SlotRole.KEYED:
      return detail === TreeKind.DIRECTORY || detail === TreeKind.LINKS
        ? undefined
        : `its tree is of kind ${detail}`;
    default:
      return `its role is ${role}`;
  }
}
