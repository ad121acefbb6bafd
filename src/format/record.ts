/**
 * Inode record: a directory entry with the inode in it. The entry of a link table has no name.
 *
 *   offset  size  field
 *        0     2  length       of the record, a multiple of 4
 *        2     1  name length  0 to 255
 *        3     1  kind         see {@link InodeKind}
 *        4     4  flags        see {@link InodeFlag}
 *        8     5  inode
 *       13     1  depth        of the file map; of a TREE its TreeKind
 *       14     2  mode         permission bits, 07777
 *       16     4  uid
 *       20     4  gid
 *       24     4  nlink
 *       28     4  generation
 *       32     8  size         bytes; of a directory: its entries
 *       40     8  blocks       blocks the map names, data only
 *       48     8  atime        see time.ts
 *       56     8  mtime
 *       64     8  ctime
 *       72     8  btime
 *       80     8  change       counts changes of the inode
 *       88     4  project
 *       92     4  rdev         of a device node: major << 20 | minor
 *       96     2  inline       bytes of inline data
 *       98     2  attributes   bytes of inline extended attributes, or blocks of the attribute map
 *      100        then, in this order, each only if present:
 *            16n  slots        one, or four with EMBED4; none with INLINE or where nothing hangs
 *             16  attributes   slot of a map node of level 0, with ATTR_BLOCKS
 *             16  identity     u64 realm, u64 outer realm, with REALM
 *             16  links        slot of the realm's link table, with LINKS
 *                 attributes   inline, padded to 4
 *                 name         padded to 4
 *                 data         inline data or the target of a symbolic link, padded to 4
 *
 * Kind LINK is a name only: length, name length, kind, flags 0, inode, u8 zero, u16 zero, name. Its
 * inode is in the link table of the realm.
 *
 * R1. A record is at most a third of a leaf, {@link RECORD_MAX}.
 * R2. The root of a directory, or of another keyed tree, is the first slot and not embedded data.
 * R3. REALM: the record's inode number belongs to `realm` if `outer realm` is the realm in which
 *     the record is found, and otherwise to a stand-in ({@link standIn}): first of the realm in
 *     which it is found and `outer realm`, then of that and `realm`.
 */
import { assert, checksum64, high32, low32, roundUp } from '../base/index.ts';
import { TreeKind } from './keyed-node.ts';
import { EMBEDDED_SLOTS, MAP_DEPTH_MAX, MAP_FANOUT } from './map-node.ts';
import { KIND_MASK, SLOT_SIZE, SLOT_WORDS, SlotKind, slotFault } from './slot.ts';

export const InodeKind = {
  FILE: 1,
  DIRECTORY: 2,
  SYMLINK: 3,
  CHARACTER: 4,
  BLOCK: 5,
  FIFO: 6,
  SOCKET: 7,
  /** A name whose inode is in the link table. */
  LINK: 8,
  /** A keyed tree of the volume itself: the reclaim queue. */
  TREE: 9,
} as const;
export type InodeKind = (typeof InodeKind)[keyof typeof InodeKind];

export const InodeFlag = {
  /** The data is in the record. */
  INLINE: 0x01,
  /** Four slots are embedded instead of one. */
  EMBED4: 0x02,
  /** The extended attributes are in blocks. */
  ATTR_BLOCKS: 0x04,
  /** The record states its identity. */
  REALM: 0x08,
  /** The record is the root of a realm that has a link table. */
  LINKS: 0x10,
  /** Some name below this directory may be a LINK. Sticky. */
  HAS_LINKS_BELOW: 0x20,
  /** The inode lives in the link table of its realm. */
  LINKED: 0x40,
  /** A snapshot that cannot be changed. */
  READ_ONLY: 0x80,
  /** A slot is embedded (the only one, or the first of four). */
  SLOTS: 0x100,
  /** A file that is overwritten in place, or a directory in which new ones are such. */
  INPLACE: 0x200,
  /** Nothing of the inode may be changed. */
  IMMUTABLE: 0x400,
  /** Data is only added to a file, and names to a directory. */
  APPEND: 0x800,
  /** Backups may leave it out. Names made in such a directory have it too. */
  NODUMP: 0x1000,
  /** Nobody asks when it was read last; inherited likewise. */
  NOATIME: 0x2000,
  /** Something below, or this directory, is or was IMMUTABLE or APPEND. Sticky. */
  GUARDED_BELOW: 0x4000,
} as const;

/** Flags that are set and taken away by a `setflags`. */
export const SETTABLE_FLAGS =
  InodeFlag.INPLACE | InodeFlag.IMMUTABLE | InodeFlag.APPEND | InodeFlag.NODUMP | InodeFlag.NOATIME;

/** Bytes before the parts that may be absent. */
export const RECORD_FIXED = 100;
export const INLINE_MAX = 768;
export const ATTR_INLINE_MAX = 128;
export const NAME_MAX = 255;
/** Longest target of a symbolic link. */
export const TARGET_MAX = 4095;

/** Word offsets of fields that are read in place. */
export const RecordWord = {
  FLAGS: 1,
  INODE: 2,
  SIZE: 8,
} as const;

/** What a record's layout depends on. */
export interface RecordShape {
  kind: InodeKind;
  flags: number;
  nameLength: number;
  inlineLength: number;
  attributesLength: number;
}

/** Byte offsets of a record's parts; a part that is absent has length 0. */
export interface RecordLayout {
  slots: number;
  slotCount: number;
  attributeSlot: number;
  identity: number;
  links: number;
  attributes: number;
  name: number;
  data: number;
  length: number;
}

/** How many slots a record of these flags embeds. */
export function embeddedSlots(flags: number): number {
  if ((flags & InodeFlag.SLOTS) === 0) return 0;
  return (flags & InodeFlag.EMBED4) !== 0 ? EMBEDDED_SLOTS : 1;
}

/** Where the parts of a record lie. Fills and returns `out`. */
export function layoutRecord(shape: RecordShape, out: RecordLayout): RecordLayout {
  const { flags } = shape;
  let at = RECORD_FIXED;
  out.slots = at;
  out.slotCount = embeddedSlots(flags);
  at += out.slotCount * SLOT_SIZE;
  out.attributeSlot = at;
  if ((flags & InodeFlag.ATTR_BLOCKS) !== 0) at += SLOT_SIZE;
  out.identity = at;
  if ((flags & InodeFlag.REALM) !== 0) at += 16;
  out.links = at;
  if ((flags & InodeFlag.LINKS) !== 0) at += SLOT_SIZE;
  out.attributes = at;
  if ((flags & InodeFlag.ATTR_BLOCKS) === 0) at += roundUp(shape.attributesLength, 4);
  out.name = at;
  at += roundUp(shape.nameLength, 4);
  out.data = at;
  at += roundUp(shape.inlineLength, 4);
  out.length = at;
  return out;
}

export function newLayout(): RecordLayout {
  return {
    slots: 0,
    slotCount: 0,
    attributeSlot: 0,
    identity: 0,
    links: 0,
    attributes: 0,
    name: 0,
    data: 0,
    length: 0,
  };
}

/** Bytes of a LINK record. */
export function linkRecordLength(nameLength: number): number {
  return 16 + roundUp(nameLength, 4);
}

/** Offset of the name in a LINK record. */
export const LINK_NAME = 16;

export function recordKind(bytes: Uint8Array, at: number): InodeKind {
  return bytes[at + 3] as InodeKind;
}

export function recordNameLength(bytes: Uint8Array, at: number): number {
  return bytes[at + 2] as number;
}

/** Reads the shape of the record at byte `at`. Fills and returns `out`. */
export function readShape(bytes: Uint8Array, at: number, out: RecordShape): RecordShape {
  out.nameLength = bytes[at + 2] as number;
  out.kind = bytes[at + 3] as InodeKind;
  out.flags = u16(bytes, at + 4) | (u16(bytes, at + 6) << 16);
  out.inlineLength = out.kind === InodeKind.LINK ? 0 : u16(bytes, at + 96);
  out.attributesLength = out.kind === InodeKind.LINK ? 0 : u16(bytes, at + 98);
  return out;
}

export function newShape(): RecordShape {
  return { kind: InodeKind.FILE, flags: 0, nameLength: 0, inlineLength: 0, attributesLength: 0 };
}

const scratchShape = newShape();
const scratchLayout = newLayout();

/** Offset of the name in the record at byte `at`, from the start of the record. */
export function recordNameOffset(bytes: Uint8Array, at: number): number {
  if (recordKind(bytes, at) === InodeKind.LINK) return LINK_NAME;
  return layoutRecord(readShape(bytes, at, scratchShape), scratchLayout).name;
}

/** Told of a slot: where it is, and what hangs there, see {@link SlotRole}. */
export type SlotVisitor = (words: Uint32Array, at: number, role: SlotRole, detail: number) => void;

/** Calls `visit` for every slot in the record at byte `at`, holes included. Allocates nothing. */
export function visitRecordSlots(
  words: Uint32Array,
  bytes: Uint8Array,
  at: number,
  visit: SlotVisitor,
): void {
  if (recordKind(bytes, at) === InodeKind.LINK) return;
  const shape = readShape(bytes, at, scratchShape);
  const { kind, flags } = shape;
  const { slots, slotCount, attributeSlot, links } = layoutRecord(shape, scratchLayout);
  const depth = bytes[at + 13] as number;
  const role = rootRole(kind, depth);
  const detail = rootDetail(kind, depth);
  for (let i = 0; i < slotCount; i++) {
    visit(words, ((at + slots) >>> 2) + SLOT_WORDS * i, role, detail);
  }
  if ((flags & InodeFlag.ATTR_BLOCKS) !== 0) {
    visit(words, (at + attributeSlot) >>> 2, SlotRole.MAP, 0);
  }
  if ((flags & InodeFlag.LINKS) !== 0) {
    visit(words, (at + links) >>> 2, SlotRole.KEYED, TreeKind.LINKS);
  }
}

/** What hangs from a slot, which its kind alone does not tell; with it goes a detail. */
export const SlotRole = {
  /** A data block; no detail. */
  DATA: 0,
  /** A map node; the detail is its level. */
  MAP: 1,
  /** A node of a keyed tree; the detail is its {@link TreeKind}. */
  KEYED: 2,
} as const;
export type SlotRole = (typeof SlotRole)[keyof typeof SlotRole];

export function rootRole(kind: InodeKind, depth: number): SlotRole {
  if (kind === InodeKind.DIRECTORY || kind === InodeKind.TREE) return SlotRole.KEYED;
  return depth === 0 ? SlotRole.DATA : SlotRole.MAP;
}

/** Realms that were opened by a clone have numbers below this one, stand-ins have the rest. */
export const STAND_IN = 2 ** 52;

/**
 * The realm of a record that was cloned together with the realm around it: a number made of the
 * realm in which it is found and the one it states. Nothing has to be written down for it, so it
 * is the same at every look, in read-only snapshots too.
 */
export function standIn(outer: number, stored: number): number {
  const words = new Uint32Array([low32(outer), high32(outer), low32(stored), high32(stored)]);
  return STAND_IN + Number(checksum64(new Uint8Array(words.buffer), 0n) >> 12n);
}

/** The detail that goes with {@link rootRole}. */
export function rootDetail(kind: InodeKind, depth: number): number {
  if (kind === InodeKind.DIRECTORY) return TreeKind.DIRECTORY;
  return kind === InodeKind.TREE ? depth : Math.max(0, depth - 1);
}

/**
 * Says what makes the bytes at `at` unfit to be a record of `length` bytes, or undefined. After it,
 * no access through the record leaves the record.
 */
export function recordFault(bytes: Uint8Array, at: number, length: number): string | undefined {
  if (length < LINK_NAME || u16(bytes, at) !== length) {
    return `its length is ${u16(bytes, at)}, its entry says ${length}`;
  }
  const shape = readShape(bytes, at, scratchShape);
  if (shape.kind === InodeKind.LINK) {
    return linkRecordLength(shape.nameLength) === length ? undefined : 'its name overflows it';
  }
  if (shape.kind < InodeKind.FILE || shape.kind > InodeKind.TREE) {
    return `its kind is ${shape.kind}`;
  }
  if (length < RECORD_FIXED) return `it has ${length} bytes, fewer than ${RECORD_FIXED}`;
  if (layoutRecord(shape, scratchLayout).length !== length) return 'its parts do not fill it';
  const depth = bytes[at + 13] as number;
  const tree = shape.kind === InodeKind.TREE;
  if (depth > MAP_DEPTH_MAX || (tree && depth !== TreeKind.RECLAIM)) return `its depth is ${depth}`;
  if ((shape.flags & InodeFlag.ATTR_BLOCKS) !== 0 && shape.attributesLength > MAP_FANOUT) {
    return `its attributes have ${shape.attributesLength} blocks`;
  }
  return undefined;
}

/** What makes a slot of a record that is fit otherwise one that no volume has, or undefined. */
export function recordSlotFault(bytes: Uint8Array, at: number): string | undefined {
  if (recordKind(bytes, at) === InodeKind.LINK) return undefined;
  const { flags } = readShape(bytes, at, scratchShape);
  const { slots, slotCount, attributeSlot, links } = layoutRecord(scratchShape, scratchLayout);
  for (let i = 0; i < slotCount; i++) {
    const fault = slotFault(bytes, at + slots + i * SLOT_SIZE);
    if (fault !== undefined) return `in slot ${i}, ${fault}`;
    if (((bytes[at + slots + i * SLOT_SIZE + 5] as number) & KIND_MASK) === SlotKind.UNWRITTEN) {
      return `slot ${i} is unwritten`;
    }
  }
  const others = [
    (flags & InodeFlag.ATTR_BLOCKS) !== 0 ? attributeSlot : 0,
    (flags & InodeFlag.LINKS) !== 0 ? links : 0,
  ];
  for (const other of others) {
    const fault = other === 0 ? undefined : slotFault(bytes, at + other);
    if (fault !== undefined) return `in the slot at ${other}, ${fault}`;
  }
  return undefined;
}

const DOT = 0x2e;
const SLASH = 0x2f;

/** What makes `length` bytes at `at` a name that no directory has, or undefined. */
export function nameFault(bytes: Uint8Array, at: number, length: number): string | undefined {
  let dots = 0;
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i] as number;
    if (byte === 0 || byte === SLASH) return 'its name has a NUL or a slash';
    if (byte === DOT) dots++;
  }
  return length === 0 || (dots === length && dots <= 2) ? 'its name is no name' : undefined;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

/** Asserts R1 where a record is made. */
export function assertRecordFits(length: number, max: number): void {
  assert(length <= max, () => `a record of ${length} bytes exceeds ${max}`);
}
