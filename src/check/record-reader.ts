/**
 * Record reader: the fields of an inode record, decoded from the bytes as docs/FORMAT.md has them,
 * and what in them contradicts itself. One reader is used for record after record.
 */
import { BLOCK_SIZE, binaryString, getU64, roundUp, TWO_32, viewOf } from '../base/index.ts';
import {
  ATTR_INLINE_MAX,
  embeddedSlots,
  getTime,
  INLINE_MAX,
  InodeFlag,
  InodeKind,
  KIND_MASK,
  LINK_NAME,
  layoutRecord,
  newLayout,
  newShape,
  type RecordLayout,
  type RecordShape,
  readShape,
  SLOT_SIZE,
  SlotKind,
  TARGET_MAX,
} from '../format/index.ts';

const KNOWN_FLAGS = 0x7fff;
const ATTRIBUTE_HEADER = 8;
const NSEC_MAX = 999_999_999;

/** Byte offsets of fields that a repair writes. */
export const RecordAt = { FLAGS: 4, NLINK: 24, SIZE: 32, TIMES: [48, 56, 64, 72] } as const;

export class RecordReader {
  readonly shape: RecordShape = newShape();
  readonly layout: RecordLayout = newLayout();
  kind: InodeKind = InodeKind.FILE;
  flags = 0;
  inode = 0;
  depth = 0;
  mode = 0;
  nlink = 0;
  size = 0;
  /** Stated identity, with REALM. */
  realm = 0;
  outer = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));

  /** Decodes a record that `recordFault` has nothing against, at byte `at` of a node's memory. */
  read(bytes: Uint8Array, at: number, length: number): this {
    const record = bytes.subarray(at, at + length);
    const view = viewOf(record);
    this.#bytes = record;
    this.#view = view;
    readShape(record, 0, this.shape);
    this.kind = this.shape.kind;
    this.flags = this.shape.flags >>> 0;
    this.inode = view.getUint8(12) * TWO_32 + view.getUint32(8, true);
    if (this.kind === InodeKind.LINK) return this;
    layoutRecord(this.shape, this.layout);
    this.depth = view.getUint8(13);
    this.mode = view.getUint16(14, true);
    this.nlink = view.getUint32(24, true);
    this.size = getU64(view, 32);
    const stated = this.has(InodeFlag.REALM);
    this.realm = stated ? getU64(view, this.layout.identity) : 0;
    this.outer = stated ? getU64(view, this.layout.identity + 8) : 0;
    return this;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  get isDirectory(): boolean {
    return this.kind === InodeKind.DIRECTORY;
  }

  /** The name, a binary string. */
  name(): string {
    const start = this.kind === InodeKind.LINK ? LINK_NAME : this.layout.name;
    return binaryString(this.#bytes.subarray(start, start + this.shape.nameLength));
  }

  /** Blocks of data the inode may name. */
  get blocks(): number {
    return Math.ceil(this.size / BLOCK_SIZE);
  }

  /** What contradicts itself in the record, or undefined. */
  fault(): string | undefined {
    if (this.kind === InodeKind.LINK) return this.flags === 0 ? undefined : 'a name has flags';
    if ((this.flags & ~KNOWN_FLAGS) !== 0) return `its flags are 0x${this.flags.toString(16)}`;
    if (this.mode > 0o7777) return `its mode is 0${this.mode.toString(8)}`;
    return (
      this.#slotFault() ??
      this.#shapeFault() ??
      this.#inlineFault() ??
      this.#realmFault() ??
      this.#attributeFault()
    );
  }

  /** True if a time has more nanoseconds than a second. */
  hasUnrealTime(): boolean {
    if (this.kind === InodeKind.LINK) return false;
    const words = new Uint32Array(8);
    for (let i = 0; i < 8; i++) words[i] = this.#view.getUint32(48 + 4 * i, true);
    return [0, 2, 4, 6].some((at) => getTime(words, at).nsec > NSEC_MAX);
  }

  #slotFault(): string | undefined {
    const count = embeddedSlots(this.flags);
    if (this.has(InodeFlag.EMBED4) && count === 0) return 'it embeds four slots and none';
    switch (this.kind) {
      case InodeKind.DIRECTORY:
      case InodeKind.TREE:
        return count === 1 ? undefined : `a tree hangs from ${count} slots`;
      case InodeKind.FILE:
        return this.depth > 0 && count > 1 ? 'a map node hangs from four slots' : undefined;
      case InodeKind.SYMLINK:
        return count > 1 || this.depth > 0 ? 'a symbolic link has more than a block' : undefined;
      default:
        return count > 0 ? 'a special file has data' : undefined;
    }
  }

  /** A record has room for what it has, and for no holes: a mount takes no other. */
  #shapeFault(): string | undefined {
    const { slots, slotCount, attributeSlot } = this.layout;
    const kindAt = (at: number): number => this.#view.getUint8(at + 5) & KIND_MASK;
    const kinds = Array.from({ length: slotCount }, (_, i) => kindAt(slots + i * SLOT_SIZE));
    if (kinds.includes(SlotKind.UNWRITTEN)) return 'it has a slot that is unwritten';
    if (this.has(InodeFlag.ATTR_BLOCKS) && kindAt(attributeSlot) === SlotKind.HOLE) {
      return 'its attributes are a hole';
    }
    if (this.kind === InodeKind.DIRECTORY || this.kind === InodeKind.TREE) return undefined;
    const needed = slotCount > 1 ? kinds.slice(1) : kinds;
    const idle = slotCount > 0 && needed.every((kind) => kind === SlotKind.HOLE);
    return idle ? 'it has slots that are holes, and no use for them' : undefined;
  }

  #inlineFault(): string | undefined {
    const { inlineLength } = this.shape;
    const inline = this.has(InodeFlag.INLINE);
    if (inline !== inlineLength > 0) return `it has ${inlineLength} bytes of inline data`;
    if (inline && this.has(InodeFlag.SLOTS)) return 'it has inline data and slots';
    if (inlineLength > INLINE_MAX) return `it has ${inlineLength} bytes of inline data`;
    if (this.kind === InodeKind.SYMLINK) {
      const least = this.has(InodeFlag.SLOTS) ? 1 : inlineLength;
      const most = this.has(InodeFlag.SLOTS) ? TARGET_MAX : inlineLength;
      if (this.size < least || this.size > most) return `its target has ${this.size} bytes`;
    } else if (this.kind === InodeKind.FILE) {
      if (inlineLength > this.size) return `it has more data than its size ${this.size}`;
    } else if (inline) return 'inline data is for files';
    return undefined;
  }

  #realmFault(): string | undefined {
    if (this.has(InodeFlag.LINKS) && !this.isDirectory) return 'a file has a link table';
    const root = this.has(InodeFlag.LINKS) || this.has(InodeFlag.READ_ONLY);
    return root && !this.has(InodeFlag.REALM) ? 'it is the root of no realm' : undefined;
  }

  /** Attributes in the record, or how many blocks of them there are. */
  #attributeFault(): string | undefined {
    const { attributesLength } = this.shape;
    if (this.has(InodeFlag.ATTR_BLOCKS)) {
      return attributesLength > 0 ? undefined : 'its attributes have no blocks';
    }
    if (attributesLength > ATTR_INLINE_MAX) return `its attributes have ${attributesLength} bytes`;
    const start = this.layout.attributes;
    let at = 0;
    while (at + ATTRIBUTE_HEADER <= attributesLength) {
      const nameLength = this.#view.getUint8(start + at);
      const length = this.#view.getUint32(start + at + 4, true);
      if (nameLength === 0) return 'an attribute has no name';
      at += ATTRIBUTE_HEADER + nameLength + length;
    }
    return at === attributesLength ? undefined : 'its attributes do not fill their place';
  }
}

/** What makes a name impossible in a directory, or undefined. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (name === '.' || name === '..') return 'it is not an entry';
  if (name.includes('/')) return 'it has a slash';
  return name.includes('\0') ? 'it has a NUL' : undefined;
}

/** Bytes in which a leaf's records overlap each other or leave gaps that nothing accounts for. */
export class LeafSpace {
  readonly #used = new Uint8Array(BLOCK_SIZE / 4);

  /** Forgets the leaf before. */
  clear(): void {
    this.#used.fill(0);
  }

  /** Takes the bytes of a record. False if another record has some of them. */
  take(offset: number, length: number): boolean {
    const end = roundUp(offset + length, 4) / 4;
    for (let i = offset / 4; i < end; i++) {
      if (this.#used[i] !== 0) return false;
      this.#used[i] = 1;
    }
    return true;
  }
}
