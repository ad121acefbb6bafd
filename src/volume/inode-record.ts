/**
 * Inode records: a vnode to the bytes of its record, and back.
 */
import {
  assert,
  binaryString,
  copyBinary,
  getU64,
  type InodeNumber,
  setU64,
  TWO_32,
  viewOf,
  wordsOf,
} from '../base/index.ts';
import {
  getTime,
  InodeFlag,
  InodeKind,
  LINK_NAME,
  layoutRecord,
  linkRecordLength,
  newLayout,
  newShape,
  RECORD_MAX,
  type RecordLayout,
  type RecordShape,
  readShape,
  recordNameOffset,
  SlotKind,
  setTime,
  slotKind,
} from '../format/index.ts';
import { ATTRIBUTES_AT, LINKS_AT, SHAPE_FLAGS, type Vnode } from './vnode.ts';

const shape: RecordShape = newShape();
const layout: RecordLayout = newLayout();

/**
 * Flags as the present state of the inode asks for. What may come and go without a rewrite of the
 * record keeps its place: the root of a directory, and a link table once there is one.
 */
export function shapeFlags(vnode: Vnode): number {
  let flags = vnode.flags & ~SHAPE_FLAGS;
  const { slots } = vnode;
  if (vnode.isDirectory || vnode.kind === InodeKind.TREE) flags |= InodeFlag.SLOTS;
  else if (used(slots, 4) || used(slots, 8) || used(slots, 12)) {
    flags |= InodeFlag.SLOTS | InodeFlag.EMBED4;
  } else if (used(slots, 0)) {
    flags |= InodeFlag.SLOTS;
  } else if (vnode.inline.length > 0) {
    flags |= InodeFlag.INLINE;
  }
  if (used(slots, ATTRIBUTES_AT)) flags |= InodeFlag.ATTR_BLOCKS;
  if (used(slots, LINKS_AT) || vnode.has(InodeFlag.LINKS)) flags |= InodeFlag.LINKS;
  return flags;
}

function used(slots: Uint32Array, at: number): boolean {
  return slotKind(slots, at) !== SlotKind.HOLE;
}

/** Bytes that the record of an inode takes as it is now. */
export function recordLengthOf(vnode: Vnode): number {
  const length = layOut(vnode).length;
  assert(length <= RECORD_MAX, () => `the record of inode ${vnode.ino} has ${length} bytes`);
  return length;
}

/** Bytes that it would take with other inline data. */
export function recordLengthWith(vnode: Vnode, inlineLength: number): number {
  layOut(vnode);
  shape.inlineLength = inlineLength;
  return layoutRecord(shape, layout).length;
}

function layOut(vnode: Vnode): RecordLayout {
  shape.kind = vnode.kind;
  shape.flags = shapeFlags(vnode);
  shape.nameLength = vnode.has(InodeFlag.LINKED) ? 0 : vnode.name.length;
  shape.inlineLength = vnode.inline.length;
  shape.attributesLength =
    (shape.flags & InodeFlag.ATTR_BLOCKS) !== 0 ? vnode.attributeBlocks : vnode.attributes.length;
  return layoutRecord(shape, layout);
}

/** Writes the record of an inode at byte `at`; it takes `length` bytes there. */
export function writeRecord(vnode: Vnode, bytes: Uint8Array, at: number, length: number): void {
  const parts = layOut(vnode);
  assert(parts.length === length, () => `a record of ${parts.length} bytes was given ${length}`);
  vnode.flags = shape.flags;
  const record = bytes.subarray(at, at + length);
  const view = viewOf(record);
  const words = wordsOf(record);
  view.setUint16(0, length, true);
  record[2] = shape.nameLength;
  record[3] = vnode.kind;
  view.setUint32(4, vnode.flags, true);
  view.setUint32(8, vnode.ino, true);
  record[12] = Math.floor(vnode.ino / TWO_32);
  record[13] = vnode.depth;
  view.setUint16(14, vnode.mode, true);
  view.setUint32(16, vnode.uid, true);
  view.setUint32(20, vnode.gid, true);
  view.setUint32(24, vnode.nlink, true);
  view.setUint32(28, vnode.generation, true);
  setU64(view, 32, vnode.size);
  setU64(view, 40, vnode.blocks);
  setTime(words, 12, vnode.atime);
  setTime(words, 14, vnode.mtime);
  setTime(words, 16, vnode.ctime);
  setTime(words, 18, vnode.btime);
  setU64(view, 80, vnode.change);
  view.setUint32(88, vnode.project, true);
  view.setUint32(92, vnode.rdev, true);
  view.setUint16(96, shape.inlineLength, true);
  view.setUint16(98, shape.attributesLength, true);
  words.set(vnode.slots.subarray(0, parts.slotCount * 4), parts.slots / 4);
  writeParts(vnode, parts, record, words);
}

function writeParts(
  vnode: Vnode,
  parts: RecordLayout,
  record: Uint8Array,
  words: Uint32Array,
): void {
  const view = viewOf(record);
  if (vnode.has(InodeFlag.ATTR_BLOCKS)) {
    words.set(vnode.slots.subarray(ATTRIBUTES_AT, ATTRIBUTES_AT + 4), parts.attributeSlot / 4);
  } else {
    putPadded(record, parts.attributes, vnode.attributes, parts.name);
  }
  if (vnode.has(InodeFlag.REALM)) {
    setU64(view, parts.identity, vnode.ownRealm);
    setU64(view, parts.identity + 8, vnode.outerRealm);
  }
  if (vnode.has(InodeFlag.LINKS)) {
    words.set(vnode.slots.subarray(LINKS_AT, LINKS_AT + 4), parts.links / 4);
  }
  record.fill(0, parts.name, parts.data);
  if (!vnode.has(InodeFlag.LINKED)) copyBinary(vnode.name, record, parts.name);
  putPadded(record, parts.data, vnode.inline, parts.length);
}

function putPadded(record: Uint8Array, at: number, data: Uint8Array, end: number): void {
  record.set(data, at);
  record.fill(0, at + data.length, end);
}

/** Fills a vnode from the record at byte `at`. Name, place and realm are the caller's. */
export function readRecord(vnode: Vnode, bytes: Uint8Array, at: number, length: number): void {
  const record = bytes.subarray(at, at + length);
  const parts = layoutRecord(readShape(record, 0, shape), layout);
  const view = viewOf(record);
  const words = wordsOf(record);
  vnode.kind = shape.kind;
  vnode.flags = shape.flags >>> 0;
  vnode.ino = ((record[12] as number) * TWO_32 + view.getUint32(8, true)) as InodeNumber;
  vnode.depth = record[13] as number;
  vnode.mode = view.getUint16(14, true);
  vnode.uid = view.getUint32(16, true);
  vnode.gid = view.getUint32(20, true);
  vnode.nlink = view.getUint32(24, true);
  vnode.generation = view.getUint32(28, true);
  vnode.size = getU64(view, 32);
  vnode.blocks = getU64(view, 40);
  vnode.atime = getTime(words, 12);
  vnode.mtime = getTime(words, 14);
  vnode.ctime = getTime(words, 16);
  vnode.btime = getTime(words, 18);
  vnode.change = getU64(view, 80);
  vnode.project = view.getUint32(88, true);
  vnode.rdev = view.getUint32(92, true);
  readSlots(vnode, bytes, at, length);
  if (vnode.has(InodeFlag.ATTR_BLOCKS)) vnode.attributeBlocks = shape.attributesLength;
  else {
    vnode.attributes = record.slice(parts.attributes, parts.attributes + shape.attributesLength);
  }
  if (vnode.has(InodeFlag.REALM)) {
    vnode.ownRealm = getU64(view, parts.identity);
    vnode.outerRealm = getU64(view, parts.identity + 8);
  }
  if (shape.inlineLength > 0) {
    vnode.inline = record.slice(parts.data, parts.data + shape.inlineLength);
  }
}

/** Reads only the slots of a record again. */
export function readSlots(vnode: Vnode, bytes: Uint8Array, at: number, length: number): void {
  const record = bytes.subarray(at, at + length);
  const { flags } = readShape(record, 0, shape);
  const parts = layoutRecord(shape, layout);
  const words = wordsOf(record);
  const { slots } = vnode;
  slots.fill(0);
  slots.set(words.subarray(parts.slots / 4, parts.slots / 4 + parts.slotCount * 4));
  if ((flags & InodeFlag.ATTR_BLOCKS) !== 0) {
    slots.set(words.subarray(parts.attributeSlot / 4, parts.attributeSlot / 4 + 4), ATTRIBUTES_AT);
  }
  if ((flags & InodeFlag.LINKS) !== 0) {
    slots.set(words.subarray(parts.links / 4, parts.links / 4 + 4), LINKS_AT);
  }
}

/** Writes a LINK record: a name whose inode is in the link table. */
export function writeLinkRecord(
  link: { name: string; ino: number },
  bytes: Uint8Array,
  at: number,
): void {
  const length = linkRecordLength(link.name.length);
  const record = bytes.subarray(at, at + length);
  record.fill(0);
  const view = viewOf(record);
  view.setUint16(0, length, true);
  record[2] = link.name.length;
  record[3] = InodeKind.LINK;
  view.setUint32(8, link.ino, true);
  record[12] = Math.floor(link.ino / TWO_32);
  copyBinary(link.name, record, LINK_NAME);
}

/** The inode number in a record of any kind. */
export function recordInode(bytes: Uint8Array, at: number): InodeNumber {
  const view = viewOf(bytes.subarray(at, at + 13));
  return (view.getUint8(12) * TWO_32 + view.getUint32(8, true)) as InodeNumber;
}

/** The name in a record of any kind, as a binary string. */
export function recordName(bytes: Uint8Array, at: number): string {
  const start = at + recordNameOffset(bytes, at);
  return binaryString(bytes.subarray(start, start + (bytes[at + 2] as number)));
}

/** True if a record's name is `name`, without making a string of it. */
export function nameEquals(bytes: Uint8Array, at: number, name: string): boolean {
  if (bytes[at + 2] !== name.length) return false;
  const start = at + recordNameOffset(bytes, at);
  for (let i = 0; i < name.length; i++) {
    if (bytes[start + i] !== name.charCodeAt(i)) return false;
  }
  return true;
}
