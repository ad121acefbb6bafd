/**
 * The bytes of the log: four kinds of blocks, and data. Numbers are little-endian.
 *
 *   checkpoint   names the tables     the only blocks with a fixed place: 0 and 1
 *   table        names the inodes     512 slots; slot i of table t is file 512 t + i
 *   inode        names the maps       one file
 *   map          names the data       512 slots: 2 MiB of a file
 *
 * A slot is 8 bytes: a block and the checksum of what is in it. Block 0 means nothing, or a hole.
 *
 *   checkpoint              inode
 *     0  8  magic             0  4  magic
 *     8  8  checksum, see L2  4  4  number of the file
 *    16  8  generation        8  8  size
 *    24  4  blocks           16  2  bytes of the name
 *    28  4  segment blocks   18     name, UTF-8
 *    32  4  tables          256     480 slots of maps
 *    64     504 slots of tables
 *
 * L1. Generation g is written to block g mod 2, after everything it names is durable. So a torn
 *     write leaves the checkpoint before it, with all that it names.
 * L2. A checkpoint counts if its checksum is right: XXH64 of the block with this field zero.
 */
import {
  BLOCK_SIZE,
  BLOCK_WORDS,
  type Block,
  CorruptionError,
  checksum32,
  checksum64,
  fromUtf8,
  getU64,
  setU64,
  utf8,
  viewOf,
  wordsOf,
} from 'ramet/base';

/** Blocks with a fixed place, at the front. */
export const CHECKPOINTS = 2;
export const SLOTS_PER_BLOCK = 512;
export const NAME_MAX = 238;
/** Map blocks of the longest file: 960 MiB. */
export const MAPS_MAX = 480;
export const TABLES_MAX = 504;

const CHECKPOINT_MAGIC = 0x31_47_4f_4c_54_45_4d_52n;
const INODE_MAGIC = 0x45_44_4f_4e;
const SLOT_SIZE = 8;
const TABLES_AT = 64;
const NAME_AT = 18;
const MAPS_AT = 256;
/** All blocks of an image have this seed. */
export const SEED = 0n;

export interface Slot {
  readonly block: Block;
  readonly checksum: number;
}

export const NO_SLOT: Slot = { block: 0 as Block, checksum: 0 };

export interface Checkpoint {
  readonly generation: number;
  /** Blocks of the image, and of a segment. */
  readonly blocks: number;
  readonly segmentBlocks: number;
  readonly tables: readonly Slot[];
}

export interface Inode {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly maps: readonly Slot[];
}

/** The slot of a block with this content. */
export function slotOf(block: Block, bytes: Uint8Array): Slot {
  return { block, checksum: checksum32(bytes, SEED) };
}

export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(bytes);
  view.setBigUint64(0, CHECKPOINT_MAGIC, true);
  setU64(view, 16, checkpoint.generation);
  view.setUint32(24, checkpoint.blocks, true);
  view.setUint32(28, checkpoint.segmentBlocks, true);
  view.setUint32(32, checkpoint.tables.length, true);
  writeSlots(bytes, TABLES_AT, checkpoint.tables);
  view.setBigUint64(8, checksum64(bytes, SEED), true);
  return bytes;
}

/** Undefined if this is none: a new device, another filesystem, a write that was torn (L2). */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint | undefined {
  const view = viewOf(bytes);
  if (view.getBigUint64(0, true) !== CHECKPOINT_MAGIC) return undefined;
  const blank = bytes.slice().fill(0, 8, 16);
  if (view.getBigUint64(8, true) !== checksum64(blank, SEED)) return undefined;
  const tables = view.getUint32(32, true);
  if (tables > TABLES_MAX) return undefined;
  return {
    generation: getU64(view, 16),
    blocks: view.getUint32(24, true),
    segmentBlocks: view.getUint32(28, true),
    tables: readSlots(bytes, TABLES_AT, tables),
  };
}

export function encodeInode({ id, name, size, maps }: Inode): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = viewOf(bytes);
  const encoded = utf8(name);
  view.setUint32(0, INODE_MAGIC, true);
  view.setUint32(4, id, true);
  setU64(view, 8, size);
  view.setUint16(16, encoded.length, true);
  bytes.set(encoded, NAME_AT);
  writeSlots(bytes, MAPS_AT, maps);
  return bytes;
}

/** @throws {CorruptionError} if this is not the inode of file `id`; `block` is where it is */
export function decodeInode(bytes: Uint8Array, id: number, block: Block): Inode {
  const view = viewOf(bytes);
  const nameLength = view.getUint16(16, true);
  const fault = (finding: string) => new CorruptionError('inode', block * BLOCK_SIZE, finding);
  if (view.getUint32(0, true) !== INODE_MAGIC) throw fault('the magic number is wrong');
  if (view.getUint32(4, true) !== id) throw fault(`it is of another file than ${id}`);
  if (nameLength > NAME_MAX) throw fault(`a name of ${nameLength} bytes, at most ${NAME_MAX}`);
  return {
    id,
    name: fromUtf8(bytes.subarray(NAME_AT, NAME_AT + nameLength)),
    size: getU64(view, 8),
    maps: readSlots(bytes, MAPS_AT, MAPS_MAX),
  };
}

export function encodeTable(slots: readonly Slot[]): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  writeSlots(bytes, 0, slots);
  return bytes;
}

export function decodeTable(bytes: Uint8Array): Slot[] {
  return readSlots(bytes, 0, SLOTS_PER_BLOCK);
}

/** A map block with nothing in it. */
export function emptyMap(): Uint32Array {
  return new Uint32Array(BLOCK_WORDS);
}

/** The bytes of a map block. */
export function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function writeSlots(bytes: Uint8Array, at: number, slots: readonly Slot[]): void {
  const words = wordsOf(bytes);
  for (const [i, slot] of slots.entries()) {
    words[at / 4 + 2 * i] = slot.block;
    words[at / 4 + 2 * i + 1] = slot.checksum;
  }
}

function readSlots(bytes: Uint8Array, at: number, count: number): Slot[] {
  const words = wordsOf(bytes.subarray(at, at + count * SLOT_SIZE));
  return Array.from({ length: count }, (_, i) => ({
    block: words[2 * i] as Block,
    checksum: words[2 * i + 1] as number,
  }));
}
