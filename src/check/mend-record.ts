/**
 * Mend record: what an inode's record says of what hangs from it, made to agree.
 *
 * Sizes and link counts of directories, times that cannot be, link counts of files with one name;
 * slots of what cannot be read become holes. What a record says of itself is left as it is.
 */
import { getU64, setU64, viewOf, wordsOf } from '../base/index.ts';
import {
  getTime,
  InodeFlag,
  InodeKind,
  layoutRecord,
  MetaInode,
  newLayout,
  SlotKind,
  SlotRole,
  setTime,
  slotKind,
  TreeKind,
  visitRecordSlots,
} from '../format/index.ts';
import type { MendParts } from './mend.ts';
import { RecordAt, RecordReader } from './record-reader.ts';
import { realmKeyOf } from './repair-links.ts';
import type { Item } from './survey.ts';

/** What is in a part of a directory. */
export interface Below {
  readonly entries: number;
  readonly directories: number;
  /** Some name is a LINK, or may be one further below in the same realm. */
  readonly links: boolean;
  /** There is something that was not gone through yet. */
  readonly unknown: boolean;
}

export interface RecordContext {
  readonly item: Item;
  /** Of the leaf; the record is added to it. */
  readonly below: { entries: number; directories: number; links: boolean };
  readonly follow: (
    words: Uint32Array,
    at: number,
    role: SlotRole,
    detail: number,
  ) => Below | 'hole' | undefined;
  readonly parts: MendParts;
}

const NSEC_MAX = 999_999_999;
/** Byte offset of the length of inline attributes. */
const ATTRIBUTES = 98;

const reader = new RecordReader();

/**
 * Mends a sound record where it lies; returns it, or what takes its place, or undefined if it has
 * to go.
 */
export function mendRecord(record: Uint8Array, context: RecordContext): Uint8Array | undefined {
  const { item, below, parts } = context;
  const own = reader.read(record, 0, record.length);
  const { inode, kind } = own;
  if (item.rank === 'orphans' && orphanIsWrong(own)) {
    parts.notes.add(`drop orphan ${inode}, which no mount would know`);
    return undefined;
  }
  below.entries++;
  if (kind === InodeKind.DIRECTORY) below.directories++;
  if (kind === InodeKind.LINK) {
    below.links = true;
    return record;
  }
  if (kind === InodeKind.TREE) {
    if (parts.emptyQueue && item.rank === 'meta') emptyQueue(record, own, parts);
    return record;
  }
  const flags = own.flags;
  const realm = realmOf(record, own);
  const { root, attributesLost } = followSlots(record, context, inode);
  mendTimes(record, parts, inode);
  const roots = parts.realms.get(realm);
  if (roots?.root !== undefined) record.set(bytesOf(roots.root), own.layout.slots);
  if (roots?.links !== undefined) record.set(bytesOf(roots.links), own.layout.links);
  if (kind === InodeKind.DIRECTORY) mendDirectory(record, context, root);
  else if (item.detail === TreeKind.DIRECTORY && (flags & InodeFlag.LINKED) === 0) {
    setNlink(record, item.rank === 'orphans' ? 0 : 1, context, inode);
  }
  const kept = reshaped(record, own.read(record, 0, record.length));
  if (kept !== record && !attributesLost)
    parts.notes.add(`let inode ${inode} have no slots of holes`);
  return kept;
}

/** Slots of a record, each made what its target asks for. */
function followSlots(
  record: Uint8Array,
  { follow, parts: { notes } }: RecordContext,
  inode: number,
): { root: Below | undefined; attributesLost: boolean } {
  const { kind, layout } = reader;
  const attributesAt = reader.has(InodeFlag.ATTR_BLOCKS) ? layout.attributeSlot / 4 : -1;
  let root: Below | undefined;
  let attributesLost = false;
  visitRecordSlots(wordsOf(record), record, 0, (words, at, role, detail) => {
    // A target of zeros would be another target.
    if (kind === InodeKind.SYMLINK && role === SlotRole.DATA) return;
    // A record has no room for promises; a hole reads the same.
    if (slotKind(words, at) === SlotKind.UNWRITTEN) words.fill(0, at, at + 4);
    const result = follow(words, at, role, detail);
    if (role === SlotRole.KEYED && detail === TreeKind.DIRECTORY && result !== 'hole')
      root = result;
    if (result !== 'hole') return;
    attributesLost ||= at === attributesAt;
    let what = `make a hole of what cannot be reached in file ${inode}`;
    if (at === attributesAt) what = `drop the attributes of inode ${inode}, which cannot be read`;
    else if (role === SlotRole.KEYED && detail === TreeKind.LINKS) {
      what = `drop the link table of inode ${inode}, which cannot be read`;
    } else if (role === SlotRole.KEYED) what = `drop what cannot be read of directory ${inode}`;
    notes.add(what);
  });
  return { root, attributesLost };
}

/** Which realm a record opens; nothing if it opens none. */
function realmOf(record: Uint8Array, { layout, kind, flags }: RecordReader): string {
  if (kind !== InodeKind.DIRECTORY || (flags & InodeFlag.REALM) === 0) return '';
  const slot = (at: number): Uint32Array => new Uint32Array(record.slice(at, at + 16).buffer);
  const linked = (flags & InodeFlag.LINKS) !== 0;
  return realmKeyOf(slot(layout.slots), linked ? slot(layout.links) : undefined);
}

function bytesOf(slot: Uint32Array): Uint8Array {
  return new Uint8Array(slot.slice().buffer);
}

function orphanIsWrong(own: RecordReader): boolean {
  if (!own.has(InodeFlag.REALM) || own.name() !== `${own.realm}.${own.inode}`) return true;
  return own.isDirectory && own.nlink !== 0;
}

function emptyQueue(record: Uint8Array, { layout }: RecordReader, { notes }: MendParts): void {
  record.fill(0, layout.slots, layout.slots + 16);
  notes.add('give up the reclaim queue: what was deleted is free at once');
}

function mendTimes(record: Uint8Array, { notes }: MendParts, inode: number): void {
  const words = wordsOf(record);
  for (const at of RecordAt.TIMES) {
    const { sec, nsec } = getTime(words, at / 4);
    if (nsec <= NSEC_MAX) continue;
    setTime(words, at / 4, { sec, nsec: NSEC_MAX });
    notes.add(`put a time of inode ${inode} right`);
  }
}

function mendDirectory(record: Uint8Array, context: RecordContext, root: Below | undefined): void {
  const { item, below, parts } = context;
  const view = viewOf(record);
  const { inode } = reader;
  const inRealm = !reader.has(InodeFlag.REALM);
  const found = root ?? { entries: 0, directories: 0, links: false, unknown: false };
  const linked = view.getUint32(RecordAt.FLAGS, true);
  if (found.links && (linked & InodeFlag.HAS_LINKS_BELOW) === 0) {
    view.setUint32(RecordAt.FLAGS, linked | InodeFlag.HAS_LINKS_BELOW, true);
    parts.notes.add(`let directory ${inode} say that it has linked files below`);
  }
  if (inRealm && (view.getUint32(RecordAt.FLAGS, true) & InodeFlag.HAS_LINKS_BELOW) !== 0) {
    below.links = true;
  }
  if (found.unknown) return;
  const size = getU64(view, RecordAt.SIZE);
  if (size !== found.entries) {
    setU64(view, RecordAt.SIZE, found.entries);
    parts.notes.add(`let directory ${inode} have ${found.entries} entries, not ${size}`);
  }
  const counted = item.rank === 'plain' || (item.rank === 'meta' && inode !== MetaInode.ORPHANS);
  if (counted) setNlink(record, 2 + found.directories, context, inode);
}

function setNlink(
  record: Uint8Array,
  nlink: number,
  { parts }: RecordContext,
  inode: number,
): void {
  const view = viewOf(record);
  const stored = view.getUint32(RecordAt.NLINK, true);
  if (stored === nlink) return;
  view.setUint32(RecordAt.NLINK, nlink, true);
  parts.notes.add(`let inode ${inode} have link count ${nlink}, not ${stored}`);
}

/** The record with room for what it has, and for no holes: a mount takes no other. */
function reshaped(record: Uint8Array, { shape, layout, kind }: RecordReader): Uint8Array {
  const words = wordsOf(record);
  const used = (at: number): boolean => slotKind(words, at / 4) !== SlotKind.HOLE;
  let { flags, attributesLength } = shape;
  if (kind !== InodeKind.DIRECTORY && kind !== InodeKind.TREE) {
    const slots = Array.from({ length: layout.slotCount }, (_, i) => layout.slots + 16 * i);
    if (!slots.slice(1).some(used)) flags &= ~InodeFlag.EMBED4;
    if (!slots.some(used)) flags &= ~InodeFlag.SLOTS;
  }
  if ((flags & InodeFlag.ATTR_BLOCKS) !== 0 && !used(layout.attributeSlot)) {
    flags &= ~InodeFlag.ATTR_BLOCKS;
    attributesLength = 0;
  }
  if (flags === shape.flags) return record;
  const to = layoutRecord({ ...shape, flags, attributesLength }, newLayout());
  const result = new Uint8Array(to.length);
  result.set(record.subarray(0, layout.slots));
  result.set(record.subarray(layout.slots, layout.slots + 16 * to.slotCount), to.slots);
  if ((flags & InodeFlag.ATTR_BLOCKS) !== 0) {
    result.set(record.subarray(layout.attributeSlot, layout.attributeSlot + 16), to.attributeSlot);
  }
  result.set(record.subarray(layout.identity, layout.attributes), to.identity);
  result.set(record.subarray(layout.attributes, layout.name), to.attributes);
  result.set(record.subarray(layout.name), to.name);
  const view = viewOf(result);
  view.setUint16(0, to.length, true);
  view.setUint32(RecordAt.FLAGS, flags, true);
  view.setUint16(ATTRIBUTES, attributesLength, true);
  return result;
}
