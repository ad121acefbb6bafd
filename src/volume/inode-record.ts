/**
 * Inode records: a vnode to the bytes of its record, and back.
 */
import {
  assert,
  BLOCK_SIZE,
  binaryString,
  CorruptionError,
  copyBinary,
  type InodeNumber,
  join64,
  setU64,
  TWO_32,
  viewOf,
  wordsOf,
} from '../base/index.ts';
import type { BlockCache } from '../cache/index.ts';
import {
  getTime,
  InodeFlag,
  InodeKind,
  LINK_NAME,
  layoutRecord,
  linkRecordLength,
  nameFault,
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
  type Time,
} from '../format/index.ts';
import type { KeyedPosition } from '../tree/index.ts';
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

/**
 * Fills a vnode from the record at byte `at`. Name, place and realm are the caller's. It reads the
 * arena's words in place: views of each record were a third of what a cold `stat` costs.
 */
export function readRecord(vnode: Vnode, { bytes, words }: BlockCache, at: number): void {
  const parts = layoutRecord(readShape(bytes, at, shape), layout);
  const word = at >>> 2;
  vnode.kind = shape.kind;
  vnode.flags = shape.flags >>> 0;
  vnode.ino = ((bytes[at + 12] as number) * TWO_32 + (words[word + 2] as number)) as InodeNumber;
  vnode.depth = bytes[at + 13] as number;
  vnode.mode = (words[word + 3] as number) >>> 16;
  vnode.uid = words[word + 4] as number;
  vnode.gid = words[word + 5] as number;
  vnode.nlink = words[word + 6] as number;
  vnode.generation = words[word + 7] as number;
  vnode.size = u64At(words, word + 8);
  vnode.blocks = u64At(words, word + 10);
  vnode.mtime = getTime(words, word + 14);
  vnode.atime = timeLike(words, word + 12, vnode.mtime);
  vnode.ctime = timeLike(words, word + 16, vnode.mtime);
  vnode.btime = timeLike(words, word + 18, vnode.mtime);
  vnode.change = u64At(words, word + 20);
  vnode.project = words[word + 22] as number;
  vnode.rdev = words[word + 23] as number;
  copySlots(vnode, words, word, parts);
  const { attributesLength, inlineLength } = shape;
  const data = at + parts.data;
  const attributes = at + parts.attributes;
  if (vnode.has(InodeFlag.ATTR_BLOCKS)) vnode.attributeBlocks = attributesLength;
  else if (attributesLength > 0) {
    vnode.attributes = bytes.slice(attributes, attributes + attributesLength);
  }
  if (vnode.has(InodeFlag.REALM)) {
    vnode.ownRealm = u64At(words, word + parts.identity / 4);
    vnode.outerRealm = u64At(words, word + parts.identity / 4 + 2);
  }
  if (inlineLength > 0) vnode.inline = bytes.slice(data, data + inlineLength);
}

/** Reads only the slots of a record again. */
export function readSlots(vnode: Vnode, { bytes, words }: BlockCache, at: number): void {
  const parts = layoutRecord(readShape(bytes, at, shape), layout);
  copySlots(vnode, words, at >>> 2, parts);
}

function copySlots(vnode: Vnode, words: Uint32Array, word: number, parts: RecordLayout): void {
  const { slots } = vnode;
  slots.fill(0);
  for (let i = 0; i < parts.slotCount * 4; i++) {
    slots[i] = words[word + parts.slots / 4 + i] as number;
  }
  for (let i = 0; i < 4; i++) {
    if ((shape.flags & InodeFlag.ATTR_BLOCKS) !== 0) {
      slots[ATTRIBUTES_AT + i] = words[word + parts.attributeSlot / 4 + i] as number;
    }
    if ((shape.flags & InodeFlag.LINKS) !== 0) {
      slots[LINKS_AT + i] = words[word + parts.links / 4 + i] as number;
    }
  }
}

function u64At(words: Uint32Array, at: number): number {
  return join64(words[at] as number, words[at + 1] as number);
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
  const low =
    (bytes[at + 8] as number) +
    (bytes[at + 9] as number) * 0x100 +
    (bytes[at + 10] as number) * 0x10000 +
    (bytes[at + 11] as number) * 0x1000000;
  return ((bytes[at + 12] as number) * TWO_32 + low) as InodeNumber;
}

/**
 * The name in the record of a directory, as a binary string.
 * @throws {CorruptionError} if it is none: it would lead elsewhere, or nowhere
 */
export function recordName(blocks: BlockCache, { at, frame }: KeyedPosition): string {
  const { bytes } = blocks;
  const start = at + recordNameOffset(bytes, at);
  const fault = nameFault(bytes, start, bytes[at + 2] as number);
  if (fault !== undefined) {
    throw new CorruptionError('directory node', blocks.blockOf(frame) * BLOCK_SIZE, fault);
  }
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

/** A time of a record; mostly the four of an inode are the same, and one object serves them all. */
function timeLike(words: Uint32Array, at: number, other: Time): Time {
  const time = getTime(words, at);
  return time.sec === other.sec && time.nsec === other.nsec ? other : time;
}
