/**
 * Plants: for every issue of the catalogue, an image that has it.
 *
 * An image is changed, and its checksums are put right up to the superblock, so that nothing but
 * the planted fault is wrong. What necessarily comes with it is listed.
 */
import { BLOCK_SIZE, BLOCK_WORDS, DeviceError, MIB, type Txg } from '../../src/base/index.ts';
import type { CheckOptions, IssueCode } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import {
  countSlotStart,
  encodeLogFrame,
  InodeFlag,
  InodeKind,
  imageSeed,
  indexPlace,
  interiorKey,
  type Mutation,
  readGroupEntry,
  SlotKind,
  setInteriorKey,
  slotBlock,
  superblockPlace,
  TreeKind,
  TWIN,
} from '../../src/format/index.ts';
import { goldenImage, imageOf } from '../format/golden.ts';
import { Hand, pattern } from './hand.ts';
import { ImageEditor, RecordAt, SuperblockAt } from './image-editor.ts';

export interface Plant {
  /** What it looks like in words. */
  readonly title: string;
  readonly image?: () => Uint8Array;
  /** Changes the image; checksums are put right afterwards. */
  readonly plant?: (editor: ImageEditor) => void;
  /** Changes it once more, and leaves checksums as they are. */
  readonly damage?: (editor: ImageEditor) => void;
  /** What else has to be found. */
  readonly also?: readonly IssueCode[];
  readonly options?: CheckOptions;
  readonly device?: (editor: ImageEditor) => Device;
}

/** Two directories with two files each, one without any, and two files with two names each. */
function smallImage(): Uint8Array {
  const device = new MemoryDevice({ size: MIB });
  const hand = Hand.format(device, { groupBlocks: 256, logBlocks: 4 });
  for (const name of ['left', 'right']) {
    const directory = hand.directory(hand.root, name);
    for (const file of ['east', 'west']) hand.file(directory, file, pattern(5000));
  }
  hand.directory(hand.root, 'void');
  for (const name of ['one', 'two'])
    hand.link(hand.file(hand.root, name), hand.root, `${name} too`);
  hand.commit();
  return imageOf(device);
}

/** Clones that are changed, with linked files: their link counts are compared one by one. */
function linkedClones(): Uint8Array {
  const device = new MemoryDevice({ size: MIB });
  const hand = Hand.format(device, { groupBlocks: 256, logBlocks: 4 });
  const directory = hand.directory(hand.root, 'directory');
  const below = hand.directory(directory, 'below');
  hand.link(hand.file(below, 'file'), below, 'again');
  for (let i = 0; i < 3; i++) {
    hand.file(hand.clone(directory, hand.root, `clone ${i}`), 'new');
  }
  hand.commit();
  return imageOf(device);
}

/** Adds to the 32-bit field of a record. */
function add(editor: ImageEditor, path: string, field: number, delta: number): void {
  const at = editor.find(path).at + field;
  editor.view.setUint32(at, editor.view.getUint32(at, true) + delta, true);
}

function flip(editor: ImageEditor, block: number, at = 1000): void {
  const byte = block * BLOCK_SIZE + at;
  editor.bytes[byte] = (editor.bytes[byte] as number) ^ 1;
}

/** The first frame of the log after the newest root, with one mutation. */
export function addFrame(editor: ImageEditor, mutation: Mutation): void {
  const { geometry, state, uuid } = editor.superblock;
  const header = { sequence: state.logSequence, operation: 0, previous: 0n };
  const epoch = (state.txg + 1) as Txg;
  const bytes = encodeLogFrame({ ...header, epoch, mutations: [mutation] }, imageSeed(uuid));
  editor.bytes.set(bytes, (geometry.logStart + state.logTail) * BLOCK_SIZE);
}

/** The word of the slot of file block 0 of `live/depth 2`, whose map has two levels. */
function deepSlot(editor: ImageEditor): number {
  return editor.mapSlot(editor.mapSlot(editor.slotsOf(editor.find('live/depth 2')), 0), 0);
}

/** The block of the first node of a directory. */
function rootOf(editor: ImageEditor, path: string): number {
  return slotBlock(editor.words, editor.slotsOf(editor.find(path)));
}

function setFlags(editor: ImageEditor, path: string, change: (flags: number) => number): void {
  const at = editor.find(path).at + RecordAt.FLAGS;
  editor.view.setUint32(at, change(editor.view.getUint32(at, true)), true);
}

/** A device on which one block cannot be read. */
function failing(editor: ImageEditor, bad: number): Device {
  const device = editor.device();
  const read = device.read.bind(device);
  device.read = (position, buffer) => {
    const hit = position <= bad * BLOCK_SIZE && bad * BLOCK_SIZE < position + buffer.length;
    if (!hit) return read(position, buffer);
    const { length } = buffer;
    throw new DeviceError('EIO', { operation: 'read', position, length, finding: 'bad sector' });
  };
  return device;
}

const roots: Partial<Record<IssueCode, Plant>> = {
  'no-volume': {
    title: 'all superblocks are zeros',
    damage: (editor) => {
      for (const block of editor.superblocks) editor.block(block).fill(0);
    },
  },
  'newer-format': {
    title: 'all superblocks have major version 2',
    damage: (editor) => {
      for (let ring = 0; ring < 4; ring++) {
        editor.view.setUint16(ring * BLOCK_SIZE + SuperblockAt.MAJOR, 2, true);
        editor.sealSuperblock(ring);
      }
    },
  },
  'image-cut': {
    title: 'the last blocks of the image are missing',
    device: (editor) => MemoryDevice.from(editor.bytes.subarray(0, -8 * BLOCK_SIZE)),
  },
  'no-root': {
    title: 'both places of the index are damaged',
    damage: (editor) => {
      const { geometry } = editor.superblock;
      for (const copy of [0, 1] as const) {
        flip(editor, indexPlace(geometry, 0, copy), 0);
        flip(editor, indexPlace(geometry, 1, copy), 0);
      }
    },
  },
  memory: { title: 'there is nearly no memory', options: { memory: 1000 } },
  'unknown-feature': {
    title: 'a read-only compatible feature is on',
    plant: (editor) => editor.view.setUint8(editor.superblockAt(SuperblockAt.READ_ONLY), 4),
  },
  'superblock-damaged': {
    title: 'a byte of a superblock is another one',
    damage: (editor) => flip(editor, editor.ring),
  },
  'superblock-stale': {
    title: 'the second copy of the newest superblock was not written',
    damage: (editor) => {
      const { blockCount } = editor.superblock.geometry;
      const older = editor.block((editor.ring + 3) % 4);
      editor.block(superblockPlace(blockCount, editor.ring, 1)).set(older);
    },
  },
  'root-damaged': {
    title: 'both copies of the newest index are damaged',
    damage: (editor) => {
      const { geometry, state } = editor.superblock;
      for (const copy of [0, 1] as const) {
        flip(editor, indexPlace(geometry, state.indexPlace, copy), 0);
      }
    },
  },
  'log-pending': {
    title: 'a frame of the log follows the root',
    plant: (editor) =>
      addFrame(editor, { type: 'truncate', target: 1, size: 0, time: { sec: 0, nsec: 0 } }),
  },
  'log-fault': {
    title: 'a write of the log names a superblock',
    plant: (editor) =>
      addFrame(editor, {
        type: 'write',
        target: 1,
        offset: 0,
        runs: [{ block: 0, length: 1 }],
        checksums: new Uint32Array(1),
        time: { sec: 0, nsec: 0 },
      }),
  },
  'index-copy': {
    title: 'one copy of the index is damaged',
    damage: (editor) => {
      const { geometry, state } = editor.superblock;
      flip(editor, indexPlace(geometry, state.indexPlace, 1), 0);
    },
  },
  'index-entry': {
    title: 'counts are said to have 512 bits',
    plant: (editor) => {
      editor.index[2] = ((editor.index[2] as number) & ~0xff) | 9;
    },
  },
  'next-number': {
    title: 'the next inode number is one that is in use',
    plant: (editor) => {
      editor.view.setUint32(editor.superblockAt(SuperblockAt.NEXT_INODE), 20, true);
    },
  },
  'meta-entry': {
    title: 'the directory of snapshots has another inode number',
    plant: (editor) => add(editor, 'snapshots', RecordAt.INODE, 7),
  },
};

const blocks: Partial<Record<IssueCode, Plant>> = {
  unreadable: {
    title: 'a sector under file data is bad',
    device: (editor) => failing(editor, slotBlock(editor.words, deepSlot(editor))),
  },
  checksum: {
    title: 'a byte of file data is another one',
    damage: (editor) => flip(editor, slotBlock(editor.words, deepSlot(editor))),
  },
  'copy-damaged': {
    title: 'the second copy of a node is damaged',
    damage: (editor) => flip(editor, rootOf(editor, 'live/directory') + 1),
  },
  'slot-outside': {
    title: 'a file names a block after the end of the volume',
    plant: (editor) => {
      editor.words[deepSlot(editor)] = 5000;
    },
  },
  'slot-fixed': {
    title: 'a file names a superblock',
    plant: (editor) => {
      editor.words[deepSlot(editor)] = 2;
    },
  },
  'slot-fault': {
    title: 'a slot has a flag without a meaning',
    plant: (editor) => {
      const at = deepSlot(editor) + 1;
      editor.words[at] = (editor.words[at] as number) | 0x4000;
    },
  },
  'slot-differs': {
    title: 'one of two slots says that there is no second copy',
    plant: (editor) => {
      const at = editor.slotsOf(editor.find('live/file clone 0')) + 1;
      editor.words[at] = (editor.words[at] as number) & ~(TWIN << 8);
    },
  },
  'slot-birth': {
    title: 'a block is younger than the node that names it',
    plant: (editor) => {
      editor.words[deepSlot(editor) + 2] = 99;
    },
  },
  'role-conflict': {
    title: 'a file names a directory node as its data',
    plant: (editor) => {
      editor.words[deepSlot(editor)] = rootOf(editor, 'live/directory');
    },
    also: ['count-low', 'leak'],
  },
  'beyond-size': {
    title: 'a file is shorter than its map',
    plant: (editor) => {
      const at = editor.find('live/depth 2').at + RecordAt.SIZE;
      editor.view.setUint32(at, 4096, true);
    },
  },
  'node-fault': {
    title: 'a directory node has no magic',
    plant: (editor) => {
      editor.words[editor.find('live/directory/moved').leaf * BLOCK_WORDS] = 0;
    },
  },
  'node-header': {
    title: 'a node says that it is of another image',
    plant: (editor) => {
      editor.words[editor.find('live/directory/moved').leaf * BLOCK_WORDS + 8] = 0;
    },
  },
  'record-fault': {
    title: 'a mode has more than permission bits',
    plant: (editor) => {
      editor.view.setUint16(editor.find('live/empty').at + RecordAt.MODE, 0xffff, true);
    },
  },
  'record-time': {
    title: 'a time has more nanoseconds than a second',
    plant: (editor) => {
      editor.view.setUint32(editor.find('live/empty').at + RecordAt.MTIME, 0x3fffffff, true);
    },
  },
  'name-fault': {
    title: 'a name was changed, and its key was not',
    plant: (editor) => {
      const place = editor.find('live/empty');
      editor.bytes[place.at + editor.layoutOf(place).name] = 0x45;
    },
  },
  'queue-item': {
    title: 'an item of the reclaim queue has an unknown role',
    plant: (editor) => {
      const [item] = editor.records(editor.slotsOf(editor.find('reclaim')));
      editor.bytes[(item?.at as number) + 2] = 7;
    },
  },
};

const names: Partial<Record<IssueCode, Plant>> = {
  level: {
    title: 'an interior node is two levels above its leaves',
    plant: (editor) => {
      const base = rootOf(editor, 'live/directory') * BLOCK_WORDS;
      editor.words[base + 1] = (editor.words[base + 1] as number) + 1;
    },
  },
  'key-order': {
    title: 'a separator is above keys of the child to its right',
    plant: (editor) => {
      const base = rootOf(editor, 'live/directory') * BLOCK_WORDS;
      setInteriorKey(editor.words, base, 1, interiorKey(editor.words, base, 1) + 2 ** 50);
    },
  },
  cycle: {
    title: 'a directory has its parent in it',
    plant: (editor) => {
      const inner = editor.slotsOf(editor.find('live/directory/é'));
      const outer = editor.slotsOf(editor.find('live/directory'));
      editor.words.set(editor.words.slice(outer, outer + 4), inner);
    },
    also: ['slot-differs', 'count-low', 'count-high'],
  },
  'directory-twice': {
    title: 'two directories of a realm have the same tree',
    image: smallImage,
    plant: (editor) => {
      const left = editor.slotsOf(editor.find('live/left'));
      const right = editor.slotsOf(editor.find('live/right'));
      editor.words.set(editor.words.slice(left, left + 4), right);
    },
    also: ['count-low', 'leak'],
  },
  'directory-size': {
    title: 'a directory has one entry less than it says',
    plant: (editor) => add(editor, 'live/directory', RecordAt.SIZE, 1),
  },
  'directory-links': {
    title: 'a directory has one subdirectory less than it says',
    plant: (editor) => add(editor, 'live/directory', RecordAt.NLINK, 1),
  },
  'directory-flag': {
    title: 'a directory does not say that it has linked files',
    plant: (editor) =>
      setFlags(editor, 'live/directory', (flags) => flags & ~InodeFlag.HAS_LINKS_BELOW),
  },
  'name-twice': {
    title: 'two entries have the same name',
    image: smallImage,
    plant: (editor) => {
      const [low, high] = editor.records(editor.slotsOf(editor.find('live/left')));
      if (low === undefined || high === undefined) return;
      const { name, data } = editor.layoutOf(low);
      editor.bytes.copyWithin(high.at + name, low.at + name, low.at + data);
      const entry = high.leaf * BLOCK_WORDS + 16 + 3 * high.index;
      editor.words[entry] = (low.key + 1) >>> 0;
      editor.words[entry + 1] = Math.floor((low.key + 1) / 2 ** 32);
    },
  },
  'inode-twice': {
    title: 'two files have the same inode number',
    plant: (editor) => add(editor, 'live/empty', RecordAt.INODE, 4),
  },
  'file-links': {
    title: 'a file with one name counts two',
    plant: (editor) => add(editor, 'live/empty', RecordAt.NLINK, 1),
  },
  'link-missing': {
    title: 'a name leads to an inode that is not in the link table',
    plant: (editor) => {
      const { at } = editor.find('live/directory/second');
      editor.view.setUint32(at + RecordAt.INODE, 16, true);
    },
    also: ['link-count'],
  },
  'link-count': {
    title: 'a linked file counts a name too many',
    plant: (editor) => {
      const [linked] = editor.records(editor.linksOf(editor.find('live')));
      const at = (linked?.at as number) + RecordAt.NLINK;
      editor.view.setUint32(at, editor.view.getUint32(at, true) + 1, true);
    },
  },
  'link-unnamed': {
    title: 'all names of a linked file lead to another',
    image: smallImage,
    plant: (editor) => {
      const [one, two] = editor.records(editor.linksOf(editor.find('live')));
      if (one === undefined || two === undefined) return;
      for (const place of editor.records(editor.slotsOf(editor.find('live')))) {
        const at = place.at + RecordAt.INODE;
        if (editor.view.getUint32(at, true) === one.key) editor.view.setUint32(at, two.key, true);
      }
      editor.view.setUint32(two.at + RecordAt.NLINK, 4, true);
    },
  },
  'realm-fault': {
    title: 'a clone says that it is of realm 0',
    plant: (editor) => {
      const place = editor.find('live/clone');
      editor.view.setUint32(place.at + editor.layoutOf(place).identity, 0, true);
    },
  },
  'stray-tree': {
    title: 'an empty directory says that it is a reclaim queue',
    image: smallImage,
    plant: (editor) => {
      const { at } = editor.find('live/void');
      editor.bytes[at + RecordAt.KIND] = InodeKind.TREE;
      editor.bytes[at + RecordAt.DEPTH] = TreeKind.RECLAIM;
    },
    also: ['directory-links'],
  },
  'orphan-fault': {
    title: 'an orphan is of another realm than its name says',
    plant: (editor) => {
      const [place] = editor.records(editor.slotsOf(editor.find('orphans')));
      if (place === undefined) return;
      editor.view.setUint32(place.at + editor.layoutOf(place).identity, 2, true);
    },
  },
  'names-skipped': {
    title: 'there are many changed clones with linked files',
    image: linkedClones,
    options: { revisits: 1 },
  },
};

const counts: Partial<Record<IssueCode, Plant>> = {
  'counts-damaged': {
    title: 'a byte of a count table is another one',
    damage: (editor) => {
      const { current } = readGroupEntry(editor.index, 0);
      flip(editor, countSlotStart(editor.superblock.geometry, 0, current), 40);
    },
  },
  'count-low': {
    title: 'a shared block counts one slot less',
    plant: (editor) => {
      const block = rootOf(editor, 'live/file clone 0');
      editor.setCount(block, editor.count(block) - 1);
    },
  },
  'count-high': {
    title: 'a shared block counts one slot more',
    plant: (editor) => {
      const block = rootOf(editor, 'live/file clone 0');
      editor.setCount(block, editor.count(block) + 1);
    },
  },
  leak: {
    title: 'blocks that nobody names have counts',
    plant: (editor) => {
      editor.setCount(240, 1);
      editor.setCount(241, 1);
    },
  },
  'free-count': {
    title: 'a group is said to have more free blocks than its counts',
    plant: (editor) => {
      editor.index[1] = (editor.index[1] as number) + 1;
      const at = editor.superblockAt(SuperblockAt.FREE);
      editor.view.setUint32(at, editor.view.getUint32(at, true) + 1, true);
    },
  },
  'free-total': {
    title: 'the superblock says that more blocks are free',
    plant: (editor) => {
      const at = editor.superblockAt(SuperblockAt.FREE);
      editor.view.setUint32(at, editor.view.getUint32(at, true) + 1, true);
    },
  },
  'promise-total': {
    title: 'an unwritten slot is promised no block',
    plant: (editor) => {
      const at = editor.mapSlot(editor.slotsOf(editor.find('live/depth 2')), 1);
      editor.words[at + 1] = SlotKind.UNWRITTEN << 8;
    },
  },
};

export const PLANTS: Partial<Record<IssueCode, Plant>> = {
  ...roots,
  ...blocks,
  ...names,
  ...counts,
};

/** The device with a planted fault. */
export function planted({ image = goldenImage, plant, damage, device }: Plant): Device {
  const editor = new ImageEditor(image());
  plant?.(editor);
  if (plant !== undefined) editor.seal();
  damage?.(editor);
  return device?.(editor) ?? editor.device();
}
