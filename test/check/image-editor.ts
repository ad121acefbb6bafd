/**
 * Image editor: changes bytes of an image behind the engine's back, and puts the checksums right
 * again, so that what was planted is found for what it is.
 */
import {
  BLOCK_SIZE,
  BLOCK_WORDS,
  binaryFromText,
  binaryString,
  checksum32,
  checksum64,
  setU64,
  viewOf,
  wordsOf,
} from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  type CountWidth,
  countSlotStart,
  countTableSize,
  decodeSuperblock,
  getCount,
  groupLength,
  imageSeed,
  indexLength,
  indexPlace,
  interiorSlot,
  isFault,
  layoutRecord,
  leafKey,
  MAP_FANOUT,
  newLayout,
  newShape,
  nodeCount,
  nodeLevel,
  nodeTree,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  type RecordLayout,
  readGroupEntry,
  readShape,
  recordLength,
  recordNameOffset,
  recordOffset,
  SLOT_WORDS,
  SlotRole,
  SUPERBLOCKS,
  type Superblock,
  sealSlot,
  setCount,
  slotBlock,
  slotFlags,
  slotHasBlock,
  superblockPlace,
  TreeKind,
  TWIN,
  visitRecordSlots,
  writeGroupEntry,
} from '../../src/format/index.ts';

/** Byte offsets of superblock fields. */
export const SuperblockAt = {
  READ_ONLY: 24,
  MAJOR: 8,
  META_ROOT: 128,
  NEXT_INODE: 144,
  FREE: 160,
  PROMISED: 168,
} as const;

/** Byte offsets of record fields. */
export const RecordAt = {
  KIND: 3,
  FLAGS: 4,
  INODE: 8,
  DEPTH: 13,
  MODE: 14,
  NLINK: 24,
  SIZE: 32,
  MTIME: 56,
} as const;

/** Where a record is in the image. */
export interface RecordPlace {
  /** Block of the leaf. */
  readonly leaf: number;
  /** Its entry there. */
  readonly index: number;
  readonly key: number;
  /** Byte in the image, and length. */
  readonly at: number;
  readonly length: number;
}

export class ImageEditor {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array;
  readonly view: DataView;
  /** The newest superblock as it was at first, and its block. */
  readonly superblock: Superblock;
  readonly ring: number;
  readonly #seed: bigint;
  #lenient = false;

  /** Works on a copy. */
  constructor(image: Uint8Array) {
    this.bytes = new Uint8Array(image);
    this.words = wordsOf(this.bytes);
    this.view = viewOf(this.bytes);
    const found = Array.from({ length: SUPERBLOCKS }, (_, ring) => ({
      ring,
      superblock: decodeSuperblock(this.block(ring).slice()),
    }));
    let newest: { ring: number; superblock: Superblock } | undefined;
    for (const { ring, superblock } of found) {
      if (isFault(superblock)) continue;
      if (newest === undefined || superblock.state.txg > newest.superblock.state.txg) {
        newest = { ring, superblock };
      }
    }
    if (newest === undefined) throw new Error('Cannot edit the image: it has no superblock');
    this.superblock = newest.superblock;
    this.ring = newest.ring;
    this.#seed = imageSeed(newest.superblock.uuid);
  }

  device(): MemoryDevice {
    return MemoryDevice.from(this.bytes);
  }

  block(block: number): Uint8Array {
    return this.bytes.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
  }

  /** Byte of a field of the newest superblock, in the image. */
  superblockAt(field: number): number {
    return this.ring * BLOCK_SIZE + field;
  }

  /** Blocks of the copies of all superblocks. */
  get superblocks(): number[] {
    const { blockCount } = this.superblock.geometry;
    return [0, 1].flatMap((copy) =>
      Array.from({ length: SUPERBLOCKS }, (_, ring) =>
        superblockPlace(blockCount, ring, copy as 0 | 1),
      ),
    );
  }

  /** The word of the slot of the meta root. */
  get metaRoot(): number {
    return this.superblockAt(SuperblockAt.META_ROOT) / 4;
  }

  /** The record of a path from the meta root: `live/directory/file`. */
  find(path: string): RecordPlace {
    let slot = this.metaRoot;
    let place: RecordPlace | undefined;
    for (const name of path.split('/')) {
      place = this.records(slot).find((it) => this.nameOf(it) === binaryFromText(name));
      if (place === undefined) throw new Error(`Cannot find ${name} of ${path}`);
      slot = this.slotsOf(place);
    }
    return place as RecordPlace;
  }

  /** The records of a keyed tree, from the word of its root slot. */
  records(slot: number): RecordPlace[] {
    if (!slotHasBlock(this.words, slot)) return [];
    const leaf = slotBlock(this.words, slot);
    const base = leaf * BLOCK_WORDS;
    const each = Array.from({ length: nodeCount(this.words, base) }, (_, i) => i);
    if (nodeLevel(this.words, base) > 0) {
      return each.flatMap((i) => this.records(interiorSlot(base, i)));
    }
    return each.map((index) => ({
      leaf,
      index,
      key: leafKey(this.words, base, index),
      at: base * 4 + recordOffset(this.words, base, index),
      length: recordLength(this.words, base, index),
    }));
  }

  nameOf({ at }: RecordPlace): string {
    const start = at + recordNameOffset(this.bytes, at);
    return binaryString(this.bytes.subarray(start, start + (this.bytes[at + 2] as number)));
  }

  layoutOf({ at }: RecordPlace): RecordLayout {
    return layoutRecord(readShape(this.bytes, at, newShape()), newLayout());
  }

  /** Word of the first embedded slot. */
  slotsOf(place: RecordPlace): number {
    return (place.at + this.layoutOf(place).slots) / 4;
  }

  /** Word of the slot of the link table. */
  linksOf(place: RecordPlace): number {
    return (place.at + this.layoutOf(place).links) / 4;
  }

  /** Word of slot `i` of the map node that the slot at `word` names. */
  mapSlot(word: number, i: number): number {
    return slotBlock(this.words, word) * BLOCK_WORDS + i * SLOT_WORDS;
  }

  count(block: number): number {
    const { table, width, index } = this.#countsOf(block);
    return getCount(table, width, index);
  }

  /** Changes a count, and the free numbers that follow from it. */
  setCount(block: number, count: number): void {
    const { table, width, index, group, words } = this.#countsOf(block);
    const freed = (count === 0 ? 1 : 0) - (getCount(table, width, index) === 0 ? 1 : 0);
    setCount(table, width, index, count);
    const entry = readGroupEntry(words, group);
    writeGroupEntry(words, group, { ...entry, free: entry.free + freed });
    const at = this.superblockAt(SuperblockAt.FREE);
    setU64(this.view, at, this.view.getUint32(at, true) + freed);
  }

  /** The group index as the newest superblock names it, first copy. */
  get index(): Uint32Array {
    const { geometry, state } = this.superblock;
    const start = indexPlace(geometry, state.indexPlace, 0) * BLOCK_WORDS;
    return this.words.subarray(start, start + indexLength(geometry) * BLOCK_WORDS);
  }

  /** Puts right every checksum from the leaves up to the newest superblock, and every copy. */
  seal(): this {
    this.#sealSlot(this.metaRoot, SlotRole.KEYED, TreeKind.DIRECTORY, new Map());
    this.#sealCounts();
    this.#sealIndex();
    this.sealSuperblock(this.ring);
    return this;
  }

  /**
   * The same of an image that leads anywhere: what hangs from a node that cannot be understood
   * keeps its checksums, the node itself and all above it get theirs.
   */
  sealWhatIsThere(): this {
    this.#lenient = true;
    this.#sealSlot(this.metaRoot, SlotRole.KEYED, TreeKind.DIRECTORY, new Map());
    for (const seal of [() => this.#sealCounts(), () => this.#sealIndex()]) {
      try {
        seal();
      } catch {
        // It lies outside the image; the superblock that says so is still sealed.
      }
    }
    this.sealSuperblock(this.ring);
    return this;
  }

  /** Gives a superblock its checksum, and writes its second copy. */
  sealSuperblock(ring: number): void {
    const block = this.block(ring);
    const self = checksum64(block.subarray(0, BLOCK_SIZE - 8), this.#seed);
    viewOf(block).setBigUint64(BLOCK_SIZE - 8, self, true);
    const { blockCount } = this.superblock.geometry;
    this.block(superblockPlace(blockCount, ring, 1)).set(block);
  }

  #countsOf(block: number): {
    table: Uint8Array;
    width: CountWidth;
    index: number;
    group: number;
    words: Uint32Array;
  } {
    const { geometry } = this.superblock;
    const group = Math.floor(block / geometry.groupBlocks);
    const words = this.index;
    const { width, current } = readGroupEntry(words, group);
    const table = this.bytes.subarray(countSlotStart(geometry, group, current) * BLOCK_SIZE);
    return { table, width, index: block - group * geometry.groupBlocks, group, words };
  }

  /** `done`: blocks that are sealed, or on the way to it. */
  #sealSlot(
    at: number,
    role: SlotRole,
    detail: number,
    done: Map<number, number>,
    resume = 0,
  ): void {
    const { words } = this;
    const block = slotBlock(words, at);
    const inside = block < this.superblock.geometry.blockCount;
    if (!slotHasBlock(words, at) || !inside) return;
    if (!done.has(block)) {
      done.set(block, 0);
      if (role !== SlotRole.DATA) {
        try {
          this.#sealChildren(block, role, detail, resume, done);
        } catch (error) {
          if (!this.#lenient) throw error;
        }
      }
      done.set(block, checksum32(this.block(block), this.#seed));
      const twin = (slotFlags(words, at) & TWIN) !== 0;
      if (twin) this.block(block + 1).set(this.block(block).subarray(0, this.#lengthOf(block + 1)));
    }
    const flags = words[at + 1] as number;
    sealSlot(words, at, done.get(block) as number);
    words[at + 1] = flags;
  }

  #sealChildren(
    block: number,
    role: SlotRole,
    detail: number,
    resume: number,
    done: Map<number, number>,
  ): void {
    const base = block * BLOCK_WORDS;
    let skip = resume;
    const visit = (at: number, childRole: SlotRole, childDetail: number, childResume = 0): void => {
      if (slotHasBlock(this.words, at) && skip-- > 0) return;
      this.#sealSlot(at, childRole, childDetail, done, childResume);
    };
    if (role === SlotRole.MAP) {
      const childRole = detail === 0 ? SlotRole.DATA : SlotRole.MAP;
      for (let i = 0; i < MAP_FANOUT; i++) {
        visit(base + i * SLOT_WORDS, childRole, Math.max(0, detail - 1));
      }
      return;
    }
    const tree = nodeTree(this.words, base);
    for (let i = 0; i < nodeCount(this.words, base) && i < 1000; i++) {
      const record = base * 4 + recordOffset(this.words, base, i);
      if (nodeLevel(this.words, base) > 0) visit(interiorSlot(base, i), SlotRole.KEYED, tree);
      else if (tree === TreeKind.RECLAIM) {
        const [, , itemRole, itemDetail] = this.bytes.subarray(record, record + 4);
        const itemResume = this.words[(record + RECLAIM_RESUME) / 4] as number;
        const slot = (record + RECLAIM_SLOT) / 4;
        visit(slot, itemRole as SlotRole, itemDetail as number, itemResume);
      } else {
        visitRecordSlots(this.words, this.bytes, record, (_, at, r, d) => visit(at, r, d));
      }
    }
  }

  /** Bytes of a block that lie in the image. */
  #lengthOf(block: number): number {
    return this.block(block).length;
  }

  #sealCounts(): void {
    const { geometry } = this.superblock;
    for (let group = 0; group < geometry.groupCount; group++) {
      const entry = readGroupEntry(this.index, group);
      if (entry.txg === 0 || entry.width > 4 || entry.current > 1) continue;
      const size = countTableSize(groupLength(geometry, group), entry.width);
      const start = countSlotStart(geometry, group, entry.current) * BLOCK_SIZE;
      const end = start + Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE;
      const checksum = checksum32(this.bytes.subarray(start, end), this.#seed);
      writeGroupEntry(this.index, group, { ...entry, checksum });
    }
  }

  #sealIndex(): void {
    const { geometry, state } = this.superblock;
    const bytes = new Uint8Array(this.index.slice().buffer);
    this.bytes.set(bytes, indexPlace(geometry, state.indexPlace, 1) * BLOCK_SIZE);
    const checksum = checksum64(bytes, this.#seed);
    this.view.setBigUint64(this.superblockAt(120), checksum, true);
  }
}
