/**
 * Block dump: what the bytes of one block say, by the place where it lies or by what it holds.
 *
 * Superblocks, counts, the index and the log have fixed places; a node of a keyed tree says that it
 * is one. A map node has no mark of its own, and data may be anything: what such a block is has to
 * be said.
 */
import { BLOCK_SIZE, type Block, wordsOf } from '../base/index.ts';
import {
  type CountWidth,
  countSlotStart,
  decodeSuperblock,
  type Geometry,
  getCount,
  groupLength,
  INTERIOR_FANOUT,
  InodeKind,
  imageSeed,
  interiorKey,
  interiorSlot,
  isFault,
  leafKey,
  logFrameBlocks,
  MAP_FANOUT,
  mutationsOf,
  nodeBirth,
  nodeCount,
  nodeImage,
  nodeLevel,
  nodeOwner,
  nodeTree,
  openLogFrame,
  readGroupEntry,
  recordKind,
  recordNameLength,
  recordNameOffset,
  recordOffset,
  SLOT_WORDS,
  SlotKind,
  SUPERBLOCKS,
  type Superblock,
  slotBirth,
  slotBlock,
  slotChecksum,
  slotHasBlock,
  slotKind,
  TreeKind,
} from '../format/index.ts';

/** What a block may be said to be. */
export const BLOCK_KINDS = ['superblock', 'index', 'counts', 'log', 'node', 'map', 'data'] as const;
export type BlockKind = (typeof BLOCK_KINDS)[number];

/** A value of a JSON text. */
type Value = string | number | boolean | null;
type Facts = Readonly<Record<string, Value>>;

export interface Dumped {
  readonly kind: BlockKind;
  readonly facts: Facts;
  /** What the block lists: all with the same names. */
  readonly rows: readonly Facts[];
}

/** Rows that a damaged leaf is taken for at most. */
const LEAF_ROWS = 330;

/** Where blocks come from. */
export interface DumpSource {
  readonly superblock: Superblock;
  read(block: number, count: number): Uint8Array<ArrayBuffer>;
}

/** What a block holds, as `kind`; or as what it seems to be. */
export function dumpBlock(source: DumpSource, block: number, kind?: BlockKind): Dumped {
  const as = kind ?? kindOf(source, block);
  return { kind: as, ...DUMPS[as](source, block) };
}

type Dump = (source: DumpSource, block: number) => Omit<Dumped, 'kind'>;

const DUMPS: Readonly<Record<BlockKind, Dump>> = {
  superblock: dumpSuperblock,
  index: dumpIndex,
  counts: dumpCounts,
  log: dumpLog,
  node: dumpNode,
  map: dumpMap,
  data: dumpData,
};

function kindOf({ superblock, read }: DumpSource, block: number): BlockKind {
  const { geometry } = superblock;
  const { blockCount, indexStart, indexBlocks, logStart, logBlocks } = geometry;
  if (block < SUPERBLOCKS || block >= blockCount - SUPERBLOCKS) return 'superblock';
  if (block >= indexStart && block < indexStart + 4 * indexBlocks) return 'index';
  if (block >= logStart && block < logStart + logBlocks) return 'log';
  if (countsOf(geometry, block) !== undefined) return 'counts';
  const words = wordsOf(read(block, 1));
  return nodeImage(words, 0) === imageSeed(superblock.uuid) ? 'node' : 'data';
}

/** The group and the slot whose counts lie in a block. */
function countsOf(geometry: Geometry, block: number): { group: number; slot: 0 | 1 } | undefined {
  const group = Math.floor(block / geometry.groupBlocks);
  for (const slot of [0, 1] as const) {
    const start = countSlotStart(geometry, group, slot);
    if (block >= start && block < start + geometry.countSlotBlocks) return { group, slot };
  }
  return undefined;
}

function dumpSuperblock({ read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const found = decodeSuperblock(read(block, 1));
  if (isFault(found)) return { facts: { fault: found.finding }, rows: [] };
  const { state, geometry, label, hashSeed } = found;
  const { metaRoot, indexChecksum, committed: _, ...numbers } = state;
  const facts = {
    label,
    ...numbers,
    metaRoot: slotBlock(metaRoot, 0),
    indexChecksum: `0x${indexChecksum.toString(16)}`,
    hashSeed: `0x${hashSeed.toString(16)}`,
    ...geometry,
  };
  return { facts, rows: [] };
}

/** The copy of the index to which a block belongs, whole. */
function dumpIndex({ superblock, read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const { indexStart, indexBlocks, groupCount } = superblock.geometry;
  const copy = Math.floor((block - indexStart) / indexBlocks);
  const words = wordsOf(read(indexStart + copy * indexBlocks, indexBlocks));
  const rows = Array.from({ length: groupCount }, (_, group) => {
    const { free, width, current, txg, checksum } = readGroupEntry(words, group);
    return { group, free, width, current, txg, checksum: hex32(checksum) };
  });
  return { facts: { place: copy < 2 ? 0 : 1, copy: copy % 2 }, rows };
}

/** The counts of a group, neighbours with the same count together. */
function dumpCounts({ superblock, read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const { geometry, state } = superblock;
  const { group, slot } = countsOf(geometry, block) ?? { group: 0, slot: 0 };
  const place = geometry.indexStart + state.indexPlace * 2 * geometry.indexBlocks;
  const entry = readGroupEntry(wordsOf(read(place, geometry.indexBlocks)), group);
  const table = read(countSlotStart(geometry, group, slot), geometry.countSlotBlocks);
  const width = Math.min(4, Math.max(1, entry.width)) as CountWidth;
  const rows: { block: number; blocks: number; count: number }[] = [];
  const start = group * geometry.groupBlocks;
  for (let i = 0; i < groupLength(geometry, group); i++) {
    const count = getCount(table, width, i);
    const last = rows.at(-1);
    if (last?.count === count) last.blocks++;
    else rows.push({ block: start + i, blocks: 1, count });
  }
  return { facts: { group, slot, current: entry.current === slot, bits: 2 ** width }, rows };
}

/** The frame that begins at a block of the log. */
function dumpLog({ superblock, read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const { logStart, logBlocks } = superblock.geometry;
  const count = logFrameBlocks(read(block, 1));
  const fits = count > 0 && block + count <= logStart + logBlocks;
  const frame = fits ? openLogFrame(read(block, count), imageSeed(superblock.uuid)) : undefined;
  if (frame === undefined) return { facts: { fault: 'no frame begins here' }, rows: [] };
  const { sequence, epoch, operation, records } = frame;
  const needed = epoch > superblock.state.txg;
  const rows = [...mutationsOf(frame)].map((mutation, i) => {
    const { type, ...fields } = mutation;
    return { operation: operation + i, type, fields: JSON.stringify(fields, plain) };
  });
  return { facts: { sequence, epoch, operation, records, blocks: count, needed }, rows };
}

/** Bytes and words as their number. */
function plain(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) ? `${value.byteLength} bytes` : value;
}

function dumpNode({ read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const bytes = read(block, 1);
  const words = wordsOf(bytes);
  const [level, tree] = [nodeLevel(words, 0), nodeTree(words, 0)];
  const { realm, inode } = nodeOwner(words, 0);
  const facts = { level, tree: nameOf(TreeKind, tree), realm, inode, birth: nodeBirth(words, 0) };
  const count = Math.min(nodeCount(words, 0), level > 0 ? INTERIOR_FANOUT : LEAF_ROWS);
  const rows = Array.from({ length: count }, (_, i) =>
    level > 0
      ? { key: interiorKey(words, 0, i), ...slotFacts(words, interiorSlot(0, i)) }
      : { key: leafKey(words, 0, i), ...recordFacts(bytes, words, i, tree) },
  );
  return { facts: { ...facts, entries: count }, rows };
}

function recordFacts(bytes: Uint8Array, words: Uint32Array, i: number, tree: TreeKind): Facts {
  const at = recordOffset(words, 0, i);
  if (tree === TreeKind.RECLAIM || at + 100 > BLOCK_SIZE) return { kind: '', name: '', inode: 0 };
  const kind = recordKind(bytes, at);
  const nameAt = at + recordNameOffset(bytes, at);
  const name = bytes.subarray(nameAt, nameAt + recordNameLength(bytes, at));
  const view = new DataView(bytes.buffer);
  const inode = view.getUint32(at + 8, true) + (bytes[at + 12] as number) * 2 ** 32;
  const size = kind === InodeKind.LINK ? 0 : Number(view.getBigUint64(at + 32, true));
  return {
    kind: nameOf(InodeKind, kind),
    name: new TextDecoder().decode(name),
    inode,
    size,
  };
}

function dumpMap({ read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const words = wordsOf(read(block, 1));
  const rows: Facts[] = [];
  for (let i = 0; i < MAP_FANOUT; i++) {
    const at = i * SLOT_WORDS;
    if (slotKind(words, at) !== SlotKind.HOLE) rows.push({ index: i, ...slotFacts(words, at) });
  }
  return { facts: { slots: rows.length }, rows };
}

function slotFacts(words: Uint32Array, at: number): Facts {
  const kind = nameOf(SlotKind, slotKind(words, at));
  const block = slotHasBlock(words, at) ? slotBlock(words, at) : null;
  return { kind, block, birth: slotBirth(words, at), checksum: hex32(slotChecksum(words, at)) };
}

/** Bytes, sixteen in a row; rows of zeros are left out. */
function dumpData({ read }: DumpSource, block: number): Omit<Dumped, 'kind'> {
  const bytes = Buffer.from(read(block, 1));
  const rows: Facts[] = [];
  for (let at = 0; at < BLOCK_SIZE; at += 16) {
    const row = bytes.subarray(at, at + 16);
    if (row.every((byte) => byte === 0)) continue;
    const text = row.toString('latin1').replace(/[^\x20-\x7e]/gu, '.');
    rows.push({ offset: at, hex: row.toString('hex').replace(/(..)(?=.)/gu, '$1 '), text });
  }
  return { facts: { block: block as Block, zeros: rows.length === 0 }, rows };
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(names).find(([, each]) => each === value);
  return found === undefined ? String(value) : found[0].toLowerCase().replaceAll('_', ' ');
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
