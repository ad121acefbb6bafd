/**
 * Stranger: a reader of images that was written from docs/FORMAT.md and shares no code with the
 * engine, not even the checksum. What it cannot read, the document does not say.
 */
import { createXXHash64, type IHasher } from 'hash-wasm';

const BLOCK = 4096;

export interface StrangeRecord {
  readonly name: string;
  readonly kind: number;
  readonly flags: number;
  readonly inode: number;
  readonly depth: number;
  readonly mode: number;
  readonly owner: [number, number];
  readonly nlink: number;
  readonly size: number;
  readonly rdev: number;
  /** Seconds: atime, mtime, ctime, btime. */
  readonly times: number[];
  readonly slots: DataView[];
  readonly attributeSlot: DataView | undefined;
  readonly attributeBlocks: number;
  readonly inlineAttributes: Uint8Array;
  readonly identity: [number, number] | undefined;
  readonly links: DataView | undefined;
  readonly inline: Uint8Array;
}

/** A directory, with what its entries need of what is above it. */
export interface StrangeDirectory {
  readonly record: StrangeRecord;
  readonly realm: number;
  /** Slot of the link table of the realm. */
  readonly links: DataView | undefined;
}

/** An entry, with its realm; of a LINK the inode that the link table has. */
export interface StrangeEntry extends StrangeDirectory {
  readonly key: number;
}

export class Stranger {
  readonly #image: DataView;
  readonly #hasher: IHasher;
  readonly #plain: IHasher;
  readonly #names: IHasher;
  readonly #superblock: DataView;
  /** Second copies that were needed. */
  copies = 0;

  private constructor(image: DataView, superblock: DataView, hashers: IHasher[]) {
    this.#image = image;
    this.#superblock = superblock;
    [this.#hasher, this.#names, this.#plain] = hashers as [IHasher, IHasher, IHasher];
  }

  /** Finds the newest superblock that is whole, at the start of the image. */
  static async mount(image: Uint8Array): Promise<Stranger> {
    const view = new DataView(image.buffer, image.byteOffset, image.length);
    let newest: DataView | undefined;
    for (let r = 0; r < 4; r++) {
      const block = part(view, r * BLOCK, BLOCK);
      if (bytesOf(part(block, 0, 8)).join() !== '114,97,109,101,116,13,10,26') continue;
      const hasher = await seeded(block.getBigUint64(40, true));
      const self = hash(hasher, bytesOf(part(block, 0, 4088)));
      if (self !== block.getBigUint64(4088, true) || block.getUint16(8, true) !== 1) continue;
      if (newest === undefined || u64(newest, 64) < u64(block, 64)) newest = block;
    }
    if (newest === undefined) throw new Error('Cannot mount: there is no superblock');
    const seeds = [newest.getBigUint64(40, true), newest.getBigUint64(152, true), 0n];
    return new Stranger(view, newest, await Promise.all(seeds.map(seeded)));
  }

  /** The meta root, as if it had a record. */
  root(): StrangeDirectory {
    const slots = [part(this.#superblock, 128, 16)];
    return { record: { ...NOTHING, kind: 2, slots }, realm: 0, links: undefined };
  }

  /** All entries of a directory. */
  entries(directory: StrangeDirectory): StrangeEntry[] {
    return this.#leafRecords(directory.record.slots[0]).map(({ key, bytes }) => {
      const record = readRecord(bytes);
      const { name } = record;
      const hashed = Number(hash(this.#names, binary(name)) >> 19n);
      if (hashed !== Math.floor(key / 256)) throw new Error(`Cannot use name ${name}: its key`);
      if (record.kind === 8) {
        const linked = this.#leafRecords(directory.links).find((it) => it.key === record.inode);
        if (linked === undefined) throw new Error(`Cannot find linked inode ${record.inode}`);
        return { key, ...directory, record: { ...readRecord(linked.bytes), name } };
      }
      if (record.identity === undefined) return { key, ...directory, record };
      const [stated, outer] = record.identity;
      const { realm } = directory;
      const own = outer === realm ? stated : this.#standIn(this.#standIn(realm, outer), stated);
      return { key, record, realm: own, links: record.links };
    });
  }

  /** Items of the reclaim queue: role, detail, resume and block. */
  queue(): number[][] {
    const queue = this.entries(this.root()).find(({ record }) => record.name === 'reclaim');
    return this.#leafRecords(queue?.record.slots[0], 3).map(({ bytes }) => [
      bytes.getUint8(2),
      bytes.getUint8(3),
      bytes.getUint32(4, true),
      bytes.getUint32(8, true),
    ]);
  }

  /** Bytes of a file. */
  read(record: StrangeRecord, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    bytes.set(record.inline.subarray(offset, offset + length));
    for (let b = Math.floor(offset / BLOCK); b * BLOCK < offset + length; b++) {
      const data = this.#mapped(record.slots, record.depth, b);
      if (data === undefined) continue;
      const from = Math.max(offset, b * BLOCK);
      const to = Math.min(offset + length, (b + 1) * BLOCK);
      bytes.set(data.subarray(from - b * BLOCK, to - b * BLOCK), from - offset);
    }
    return bytes;
  }

  target(record: StrangeRecord): Uint8Array {
    return record.inline.length > 0 ? record.inline : this.read(record, 0, record.size);
  }

  attributes(record: StrangeRecord): [string, Uint8Array][] {
    let list = record.inlineAttributes;
    if (record.attributeSlot !== undefined) {
      list = new Uint8Array(record.attributeBlocks * BLOCK);
      for (let b = 0; b < record.attributeBlocks; b++) {
        const data = this.#mapped([record.attributeSlot], 1, b);
        if (data !== undefined) list.set(data, b * BLOCK);
      }
    }
    const view = new DataView(list.buffer, list.byteOffset, list.length);
    const found: [string, Uint8Array][] = [];
    for (let at = 0; at < list.length && list[at] !== 0; ) {
      const value = at + 8 + (list[at] as number);
      const end = value + view.getUint32(at + 4, true);
      found.push([text(list.subarray(at + 8, value)), list.slice(value, end)]);
      at = end;
    }
    return found;
  }

  #standIn(a: number, b: number): number {
    const bytes = new DataView(new ArrayBuffer(16));
    bytes.setBigUint64(0, BigInt(a), true);
    bytes.setBigUint64(8, BigInt(b), true);
    return 2 ** 52 + Number(hash(this.#plain, bytesOf(bytes)) >> 12n);
  }

  /** The data block `b` of a map, undefined for a hole. */
  #mapped(slots: readonly DataView[], depth: number, b: number): Uint8Array | undefined {
    if (depth === 0) return this.#optional(slots[b], 1);
    if (b >= 256 ** depth) return undefined;
    let slot = slots[0];
    for (let level = depth - 1; level >= 0; level--) {
      const node = this.#optional(slot, 2);
      if (node === undefined) return undefined;
      const digit = Math.floor(b / 256 ** level) % 256;
      slot = part(new DataView(node.buffer, node.byteOffset), digit * 16, 16);
    }
    return this.#optional(slot, 1);
  }

  /** The records of a keyed tree in the order of their keys. */
  #leafRecords(slot: DataView | undefined, tree?: number): { key: number; bytes: DataView }[] {
    const node = this.#optional(slot, 2);
    if (node === undefined) return [];
    const view = new DataView(node.buffer, node.byteOffset, BLOCK);
    if (text(node.subarray(0, 4)) !== 'RTKN') throw new Error('Cannot read a node: its magic');
    if (tree !== undefined && node[5] !== tree) throw new Error(`Cannot read tree ${node[5]}`);
    const count = view.getUint16(6, true);
    const each = Array.from({ length: count }, (_, i) => i);
    if (node[4] !== 0) {
      return each.flatMap((i) => this.#leafRecords(part(view, 1408 + 16 * i, 16), node[5]));
    }
    return each.map((i) => {
      const offset = view.getUint16(72 + 12 * i, true);
      const length = view.getUint16(74 + 12 * i, true);
      return { key: u64(view, 64 + 12 * i), bytes: part(view, offset, length) };
    });
  }

  /** The block that a slot names, verified; undefined if it names none. */
  #optional(slot: DataView | undefined, wanted: number): Uint8Array | undefined {
    const kind = (slot?.getUint8(5) ?? 0) & 0x0f;
    if (slot === undefined || kind === 0 || kind === 3) return undefined;
    if (kind !== wanted) throw new Error(`Cannot follow a slot of kind ${kind}`);
    const block = slot.getUint32(0, true);
    for (const copy of (slot.getUint8(5) & 0x20) === 0 ? [0] : [0, 1]) {
      const bytes = bytesOf(part(this.#image, (block + copy) * BLOCK, BLOCK));
      const found = Number(hash(this.#hasher, bytes) & 0xffffffffn);
      const unchecked = (slot.getUint8(5) & 0x10) !== 0;
      if (!unchecked && found !== slot.getUint32(12, true)) continue;
      this.copies += copy;
      return bytes;
    }
    throw new Error(`Cannot read block ${block}: its checksum is wrong`);
  }
}

const EMPTY = new Uint8Array(0);
const NOTHING: StrangeRecord = {
  name: '',
  kind: 0,
  flags: 0,
  inode: 1,
  depth: 0,
  mode: 0,
  owner: [0, 0],
  nlink: 0,
  size: 0,
  rdev: 0,
  times: [],
  slots: [],
  attributeSlot: undefined,
  attributeBlocks: 0,
  inlineAttributes: EMPTY,
  identity: undefined,
  links: undefined,
  inline: EMPTY,
};

function readRecord(view: DataView): StrangeRecord {
  const nameLength = view.getUint8(2);
  const kind = view.getUint8(3);
  const inode = view.getUint32(8, true) + view.getUint8(12) * 2 ** 32;
  if (kind === 8)
    return { ...NOTHING, kind, inode, name: text(bytesOf(part(view, 16, nameLength))) };
  const flags = view.getUint32(4, true);
  const lengths = { inline: view.getUint16(96, true), attributes: view.getUint16(98, true) };
  const blocks = (flags & 0x4) !== 0;
  let at = 100;
  const take = (length: number): DataView => {
    const taken = part(view, at, length);
    at += Math.ceil(length / 4) * 4;
    return taken;
  };
  const count = (flags & 0x100) === 0 ? 0 : (flags & 0x2) === 0 ? 1 : 4;
  const slots = Array.from({ length: count }, () => take(16));
  const attributeSlot = blocks ? take(16) : undefined;
  const identity = (flags & 0x8) === 0 ? undefined : take(16);
  const links = (flags & 0x10) === 0 ? undefined : take(16);
  const inlineAttributes = bytesOf(take(blocks ? 0 : lengths.attributes));
  const name = text(bytesOf(take(nameLength)));
  const inline = bytesOf(take(lengths.inline));
  return {
    name,
    kind,
    flags,
    inode,
    depth: view.getUint8(13),
    mode: view.getUint16(14, true),
    owner: [view.getUint32(16, true), view.getUint32(20, true)],
    nlink: view.getUint32(24, true),
    size: u64(view, 32),
    rdev: view.getUint32(92, true),
    times: [48, 56, 64, 72].map((offset) => seconds(view, offset)),
    slots,
    attributeSlot,
    attributeBlocks: blocks ? lengths.attributes : 0,
    inlineAttributes,
    identity: identity && [u64(identity, 0), u64(identity, 8)],
    links,
    inline,
  };
}

function seconds(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 4 + (view.getUint32(at, true) >>> 30);
}

function part(view: DataView, at: number, length: number): DataView {
  return new DataView(view.buffer, view.byteOffset + at, length);
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function u64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

/** One character a byte. */
function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

function binary(name: string): Uint8Array {
  return Uint8Array.from(name, (character) => character.charCodeAt(0));
}

function seeded(seed: bigint): Promise<IHasher> {
  return createXXHash64(Number(seed & 0xffffffffn), Number(seed >> 32n));
}

function hash(hasher: IHasher, bytes: Uint8Array): bigint {
  return BigInt(`0x${hasher.init().update(bytes).digest('hex')}`);
}
