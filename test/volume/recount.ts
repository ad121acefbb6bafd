/**
 * Recount: walks everything that hangs from some roots, block by block, and counts.
 *
 * It knows the format and nothing of the engine. Every node is looked at once, every slot in it is
 * counted, and on the way whatever can be seen of a tree's health is checked: checksums, levels,
 * the order of keys, the bytes of leaves, births that do not rise on the way down.
 */
import { BLOCK_SIZE, type Block, checksum32, checksum64, wordsOf } from '../../src/base/index.ts';
import {
  countSlotStart,
  countTableSize,
  DIRTY,
  decodeSuperblock,
  type Geometry,
  getCount,
  groupLength,
  imageSeed,
  indexLength,
  indexPlace,
  interiorKey,
  interiorSlot,
  isFault,
  isFixedBlock,
  leafKey,
  MAP_FANOUT,
  NOCSUM,
  nodeBirth,
  nodeCount,
  nodeFault,
  nodeLevel,
  nodeTree,
  RECLAIM_RESUME,
  RECLAIM_SLOT,
  readGroupEntry,
  recordFault,
  recordLength,
  recordOffset,
  SLOT_WORDS,
  SlotKind,
  SlotRole,
  type SlotVisitor,
  SUPERBLOCKS,
  type Superblock,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotFlags,
  slotHasBlock,
  slotKind,
  superblockPlace,
  TreeKind,
  TWIN,
  unwrittenBlocks,
  visitRecordSlots,
} from '../../src/format/index.ts';

/** The 4 KiB of a block, 4-aligned. */
export type BlockReader = (block: Block) => Uint8Array;

export interface WalkOptions {
  readonly read: BlockReader;
  /** Reads second copies, which nobody keeps in memory; `read` if it is left out. */
  readonly readCopy?: BlockReader;
  readonly geometry: Geometry;
  /** Seed of the checksums. */
  readonly seed: bigint;
  /** Slots may be dirty: their checksum is not known yet. */
  readonly open?: boolean;
}

/** What a slot is expected to lead to. */
interface Expected {
  readonly role: SlotRole;
  readonly detail: number;
  /** Children with blocks that belong to nobody any more. */
  readonly resume: number;
  readonly level: number | undefined;
  readonly low: number;
  readonly high: number;
}

const ANY_KEY = { low: 0, high: Number.POSITIVE_INFINITY };

export class Walk {
  /** Slots that name a block. */
  readonly counts = new Map<Block, number>();
  /** Blocks that unwritten slots promise. */
  promised = 0;
  /** What is wrong. */
  readonly findings: string[] = [];
  /** Nodes of keyed trees by level. */
  readonly levels: number[] = [];
  readonly #options: WalkOptions;

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  /** Counts a slot and, if nobody has been there, everything below it. */
  follow(words: Uint32Array, at: number, role: SlotRole, detail: number, resume = 0): void {
    if (!slotHasBlock(words, at)) return;
    this.#slot(words, at, { role, detail, resume, level: undefined, ...ANY_KEY });
  }

  /** What a block's count should be. */
  countOf(block: Block): number {
    return isFixedBlock(this.#options.geometry, block) ? 1 : (this.counts.get(block) ?? 0);
  }

  #slot(words: Uint32Array, at: number, expected: Expected): void {
    const block = slotBlock(words, at);
    const flags = slotFlags(words, at);
    const before = this.#add(block);
    if (this.#options.open !== true && (flags & DIRTY) !== 0) {
      this.#report(block, 'its slot is dirty');
    }
    if (before > 0) return;
    if ((flags & TWIN) !== 0) this.#add((block + 1) as Block);
    const bytes = this.#options.read(block);
    if ((flags & DIRTY) === 0) this.#verify(bytes, block, slotChecksum(words, at), flags);
    if (expected.role === SlotRole.MAP) this.#map(bytes, block, slotBirth(words, at), expected);
    if (expected.role === SlotRole.KEYED) {
      this.#keyed(bytes, block, { words, at }, expected);
    }
  }

  /** Counts one reference; returns how many there were. */
  #add(block: Block): number {
    const before = this.counts.get(block) ?? 0;
    this.counts.set(block, before + 1);
    return before;
  }

  #verify(bytes: Uint8Array, block: Block, checksum: number, flags: number): void {
    const { seed, read, readCopy = read } = this.#options;
    if ((flags & NOCSUM) !== 0) return;
    if (checksum32(bytes, seed) !== checksum) this.#report(block, 'its checksum does not match');
    if ((flags & TWIN) === 0) return;
    const second = readCopy((block + 1) as Block);
    if (checksum32(second, seed) !== checksum) this.#report(block, 'its second copy differs');
  }

  #map(bytes: Uint8Array, block: Block, birth: number, expected: Expected): void {
    const words = wordsOf(bytes.slice());
    const level = expected.detail;
    const role = level === 0 ? SlotRole.DATA : SlotRole.MAP;
    let index = 0;
    for (let i = 0; i < MAP_FANOUT; i++) {
      const at = i * SLOT_WORDS;
      if (slotKind(words, at) === SlotKind.UNWRITTEN) this.promised += unwrittenBlocks(level);
      if (!slotHasBlock(words, at) || index++ < expected.resume) continue;
      if (slotBirth(words, at) > birth) this.#report(block, `child ${i} is younger than it`);
      const detail = Math.max(0, level - 1);
      this.#slot(words, at, { role, detail, resume: 0, level: undefined, ...ANY_KEY });
    }
  }

  #keyed(
    bytes: Uint8Array,
    block: Block,
    slot: { words: Uint32Array; at: number },
    expected: Expected,
  ): void {
    const copy = bytes.slice();
    const words = wordsOf(copy);
    const tree = expected.detail as TreeKind;
    const fault = nodeFault(words, 0, { tree, level: expected.level, levelMax: 8 });
    if (fault !== undefined) {
      this.#report(block, fault);
      return;
    }
    const birth = slotBirth(slot.words, slot.at);
    const sealed = (slotFlags(slot.words, slot.at) & DIRTY) === 0;
    if (sealed && nodeBirth(words, 0) !== birth) this.#report(block, 'its birth is not its slot’s');
    const level = nodeLevel(words, 0);
    this.levels[level] = (this.levels[level] ?? 0) + 1;
    if (nodeCount(words, 0) === 0) this.#report(block, 'it is empty (K3)');
    if (level > 0) this.#interior(words, block, birth, expected);
    else this.#leaf(words, copy, block, birth, expected);
  }

  #interior(words: Uint32Array, block: Block, birth: number, expected: Expected): void {
    const count = nodeCount(words, 0);
    const level = nodeLevel(words, 0) - 1;
    for (let i = 0; i < count; i++) {
      const at = interiorSlot(0, i);
      if (!slotHasBlock(words, at)) this.#report(block, `child ${i} is missing`);
      else if (i >= expected.resume) {
        if (slotBirth(words, at) > birth) this.#report(block, `child ${i} is younger than it`);
        const low = i === 0 ? expected.low : interiorKey(words, 0, i);
        const high = i + 1 < count ? interiorKey(words, 0, i + 1) : expected.high;
        const { role, detail } = expected;
        this.#slot(words, at, { role, detail, resume: 0, level, low, high });
      }
    }
  }

  #leaf(
    words: Uint32Array,
    bytes: Uint8Array,
    block: Block,
    birth: number,
    expected: Expected,
  ): void {
    let index = 0;
    const visit: SlotVisitor = (slots, at, role, detail) => {
      if (!slotHasBlock(slots, at) || index++ < expected.resume) return;
      if (slotBirth(slots, at) > birth) this.#report(block, 'a record’s slot is younger than it');
      this.#slot(slots, at, { role, detail, resume: 0, level: undefined, ...ANY_KEY });
    };
    for (let i = 0; i < nodeCount(words, 0); i++) {
      const key = leafKey(words, 0, i);
      if (key < expected.low || key >= expected.high) {
        this.#report(block, `key ${key} is not from ${expected.low} to ${expected.high} (K1)`);
      }
      const at = recordOffset(words, 0, i);
      if (nodeTree(words, 0) === TreeKind.RECLAIM) this.#item(words, bytes, at);
      else {
        const wrong = recordFault(bytes, at, recordLength(words, 0, i));
        if (wrong !== undefined) this.#report(block, `record ${i}: ${wrong}`);
        else visitRecordSlots(words, bytes, at, visit);
      }
    }
  }

  /** An item of the reclaim queue. */
  #item(words: Uint32Array, bytes: Uint8Array, at: number): void {
    const resume = words[(at + RECLAIM_RESUME) / 4] as number;
    const role = bytes[at + 2] as SlotRole;
    this.follow(words, (at + RECLAIM_SLOT) / 4, role, bytes[at + 3] as number, resume);
  }

  #report(block: Block, finding: string): void {
    this.findings.push(`block ${block}: ${finding}`);
  }
}

/** A root of an image, newest first. */
export interface ImageRoot {
  readonly superblock: Superblock;
  readonly ring: number;
}

/** Reads blocks of an image. */
export function blockReader(image: Uint8Array): BlockReader {
  return (block) => image.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
}

/** All roots that have a superblock, newest first. */
export function rootsOf(image: Uint8Array): ImageRoot[] {
  const read = blockReader(image);
  const found = new Map<number, ImageRoot>();
  for (let ring = 0; ring < SUPERBLOCKS; ring++) {
    for (const copy of [1, 0] as const) {
      const place = superblockPlace(image.length / BLOCK_SIZE, ring, copy);
      const superblock = decodeSuperblock(read(place).slice());
      if (!isFault(superblock)) found.set(superblock.state.txg, { superblock, ring });
    }
  }
  return [...found.values()].sort((a, b) => b.superblock.state.txg - a.superblock.state.txg);
}

/** Walks everything below a root of an image. */
export function walkRoot(image: Uint8Array, { superblock }: ImageRoot): Walk {
  const { geometry, state, uuid } = superblock;
  const walk = new Walk({ read: blockReader(image), geometry, seed: imageSeed(uuid) });
  walk.follow(state.metaRoot, 0, SlotRole.KEYED, TreeKind.DIRECTORY);
  return walk;
}

/**
 * What is wrong with a root of an image, the newest if none is named: in its trees, and in the
 * counts it keeps against a recount of every block. Empty if all is well.
 */
export function recount(image: Uint8Array, root = rootsOf(image)[0]): string[] {
  if (root === undefined) return ['there is no superblock'];
  const walk = walkRoot(image, root);
  const { geometry, state, uuid } = root.superblock;
  const findings = [...walk.findings];
  const index = readIndex(image, root.superblock);
  if (index === undefined) return [...findings, 'no copy of the group index is whole'];
  let free = 0;
  for (let g = 0; g < geometry.groupCount; g++) {
    const entry = readGroupEntry(index, g);
    const start = countSlotStart(geometry, g, entry.current) * BLOCK_SIZE;
    const size = Math.ceil(countTableSize(groupLength(geometry, g), entry.width) / BLOCK_SIZE);
    const table = image.subarray(start, start + size * BLOCK_SIZE);
    const written = entry.txg !== 0;
    if (written && checksum32(table, imageSeed(uuid)) !== entry.checksum) {
      findings.push(`counts of group ${g}: the checksum does not match`);
    }
    let groupFree = 0;
    for (let i = 0; i < groupLength(geometry, g); i++) {
      const block = (g * geometry.groupBlocks + i) as Block;
      const fixed = isFixedBlock(geometry, block) ? 1 : 0;
      const kept = written ? getCount(table, entry.width, i) : fixed;
      const counted = walk.countOf(block);
      if (kept !== counted) findings.push(`block ${block}: its count is ${kept}, not ${counted}`);
      if (kept === 0) groupFree++;
    }
    free += groupFree;
    if (groupFree !== entry.free) findings.push(`group ${g}: ${entry.free} free, not ${groupFree}`);
  }
  if (free !== state.freeBlocks) findings.push(`${state.freeBlocks} blocks free, not ${free}`);
  if (walk.promised !== state.reservedBlocks) {
    findings.push(`${state.reservedBlocks} blocks are promised, not ${walk.promised}`);
  }
  return findings;
}

export function readIndex(image: Uint8Array, { geometry, state, uuid }: Superblock) {
  for (const copy of [0, 1] as const) {
    const start = indexPlace(geometry, state.indexPlace, copy) * BLOCK_SIZE;
    const bytes = image.slice(start, start + indexLength(geometry) * BLOCK_SIZE);
    if (checksum64(bytes, imageSeed(uuid)) === state.indexChecksum) return wordsOf(bytes);
  }
  return undefined;
}

/** The bytes of a whole device that answers at once. */
export function imageOf(device: {
  readonly size: number;
  read(position: number, buffer: Uint8Array): unknown;
}): Uint8Array {
  const image = new Uint8Array(device.size);
  device.read(0, image);
  return image;
}
