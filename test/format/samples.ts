/**
 * Samples: every structure of the format, encoded by the code that writes it, with values that
 * differ in every byte. What they are hashed to is the fingerprint of the layout; what changes when
 * one value changes tells where a field is.
 */
import type { Block, Txg } from '../../src/base/index.ts';
import { wordsOf } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  encodeLogFrame,
  encodeMutation,
  encodeSuperblock,
  InodeFlag,
  InodeKind,
  initNode,
  interiorSlot,
  type LogFrame,
  type Mutation,
  mutationSize,
  planGeometry,
  type Superblock,
  setInteriorKey,
  setLeafEntry,
  setLeafHeap,
  setNodeCount,
  setSlot,
  setTime,
  TreeKind,
  writeGroupEntry,
} from '../../src/format/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { recordLengthOf, writeLinkRecord, writeRecord } from '../../src/volume/inode-record.ts';
import { Hand, pattern } from '../check/hand.ts';

/** Values of a structure's fields, by the names docs/FORMAT.md gives them. */
export type Values = Readonly<Record<string, number>>;

const TIME = { sec: 0x12345678, nsec: 0x1a2b3c4d & 0x1fffffff };

export function superblockSample(values: Values = {}): Uint8Array {
  const at = (name: string, otherwise: number): number => values[name] ?? otherwise;
  const geometry = planGeometry({ size: 2 ** 33, groupBlocks: 32768 });
  const sample: Superblock = {
    major: at('major', 1),
    minor: at('minor', 0),
    compatible: at('compatible', 0x1112131415),
    readOnlyCompatible: at('read-only', 0x2122232425),
    incompatible: at('incompatible', 0),
    uuid: Uint8Array.from({ length: 16 }, (_, i) => 0x30 + i + (i > 7 ? at('uuid', 0) : 0)),
    created: { sec: at('created', 0x41424344), nsec: 0x11121314 },
    hashSeed: BigInt(at('hash seed', 0x51525354)) * 0x100000001n,
    label: String.fromCharCode(at('label', 0x61)).repeat(64),
    geometry: {
      ...geometry,
      blockCount: at('block count', geometry.blockCount),
      groupBlocks: at('group blocks', geometry.groupBlocks),
      countCap: at('count cap', 4) as 4,
      indexStart: at('index start', geometry.indexStart) as Block,
      indexBlocks: at('index blocks', geometry.indexBlocks),
      logStart: at('log start', geometry.logStart) as Block,
      logBlocks: at('log blocks', geometry.logBlocks),
    },
    state: {
      txg: at('txg', 0x717273747576) as Txg,
      committed: { sec: at('committed', 0x31323334), nsec: 0x15161718 },
      indexPlace: at('index place', 1) as 1,
      indexChecksum: BigInt(at('index checksum', 0x61626364)) * 0x100000001n,
      metaRoot: new Uint32Array(4).fill(at('meta root', 0x81828384)),
      nextInode: at('next inode', 0x9192939495),
      nextRealm: at('next realm', 0xa1a2a3a4a5),
      freeBlocks: at('free blocks', 0xb1b2b3b4),
      reservedBlocks: at('reserved', 0xc1c2c3c4),
      logTail: at('log tail', 0x05060708),
      logSequence: at('log sequence', 0xd1d2d3d4d5),
    },
  };
  return encodeSuperblock(sample);
}

export function timeSample(values: Values = {}): Uint8Array {
  const words = new Uint32Array(2);
  const seconds = values['seconds'] ?? TIME.sec;
  setTime(words, 0, { sec: seconds, nsec: values['nanoseconds'] ?? TIME.nsec });
  return new Uint8Array(words.buffer);
}

export function entrySample(values: Values = {}): Uint8Array {
  const words = new Uint32Array(4);
  const high = values['txg high'] ?? 0x1122;
  writeGroupEntry(words, 0, {
    checksum: values['checksum'] ?? 0x31323334,
    free: values['free'] ?? 0x4142,
    width: (values['width'] ?? 3) as 3,
    current: (values['current'] ?? 1) as 1,
    txg: (high * 2 ** 32 + (values['txg low'] ?? 0x51525354)) as Txg,
  });
  return new Uint8Array(words.buffer);
}

export function slotSample(values: Values = {}): Uint8Array {
  const words = new Uint32Array(4);
  const high = values['birth high'] ?? 0x1122;
  setSlot(words, 0, {
    block: (values['block'] ?? 0x31323334) as Block,
    flags: values['flags'] ?? 0x21,
    birth: (high * 2 ** 32 + (values['birth low'] ?? 0x51525354)) as Txg,
    checksum: values['checksum'] ?? 0x61626364,
  });
  return new Uint8Array(words.buffer);
}

/** A node header, with an entry of a leaf or a child behind it. */
export function nodeSample(values: Values = {}, leaf = true): Uint8Array {
  const words = new Uint32Array(1024);
  initNode(words, 0, {
    level: values['level'] ?? (leaf ? 0 : 1),
    tree: (values['tree'] ?? TreeKind.LINKS) as TreeKind,
    realm: values['realm'] ?? 0x1112131415,
    inode: values['inode'] ?? 0x2122232425,
    birth: (values['birth'] ?? 0x313233343536) as Txg,
    image: BigInt(values['image'] ?? 0x41424344) * 0x100000001n,
  });
  setNodeCount(words, 0, values['count'] ?? 1);
  setLeafHeap(words, 0, values['heap'] ?? 0x0e00, values['dead'] ?? 0x0101);
  const key = values['key'] ?? 0x1152535455565;
  if (leaf) {
    const offset = values['offset'] ?? 0x0f00;
    setLeafEntry(words, 0, 0, { key, offset, length: values['length'] ?? 0x0110 });
  } else {
    setInteriorKey(words, 0, 0, key);
    const slot = wordsOf(slotSample());
    words.set(slot.fill(values['slot'] ?? 0x61626364), interiorSlot(0, 0));
  }
  return new Uint8Array(words.buffer);
}

/** Vnodes come from a volume only. */
function sampleVnode(): Vnode {
  const hand = Hand.format(new MemoryDevice({ size: 2 ** 20 }));
  return hand.file(hand.root, 'sample');
}

/** A record with every part there is, or, of `kind` 3, one with inline data. */
export function recordSample(values: Values = {}): Uint8Array {
  const vnode = sampleVnode();
  const at = (name: string, otherwise: number): number => values[name] ?? otherwise;
  const time = (name: string, otherwise: number): { sec: number; nsec: number } => ({
    sec: at(name, otherwise),
    nsec: otherwise,
  });
  vnode.name = 'n'.repeat(at('name length', 8));
  vnode.kind = at('kind', InodeKind.FILE) as InodeKind;
  vnode.flags = at('flags', InodeFlag.HAS_LINKS_BELOW);
  vnode.ino = at('inode', 0x1112131415) as Vnode['ino'];
  vnode.depth = at('depth', 2);
  vnode.mode = at('mode', 0o754);
  vnode.uid = at('uid', 0x21222324);
  vnode.gid = at('gid', 0x31323334);
  vnode.nlink = at('nlink', 0x41424344);
  vnode.generation = at('generation', 0x51525354);
  vnode.size = at('size', 0x1162636465666);
  vnode.blocks = at('blocks', 0x71727374757);
  vnode.atime = time('atime', 0x01020304);
  vnode.mtime = time('mtime', 0x05060708);
  vnode.ctime = time('ctime', 0x090a0b0c);
  vnode.btime = time('btime', 0x0d0e0f10);
  vnode.change = at('change', 0x81828384858);
  vnode.project = at('project', 0x91929394);
  vnode.rdev = at('rdev', 0xa1a2a3a4);
  vnode.inline = new Uint8Array(at('inline', 12)).fill(0xb1);
  vnode.attributes = new Uint8Array(at('attributes', 16)).fill(0xc1);
  const bytes = new Uint8Array(recordLengthOf(vnode));
  writeRecord(vnode, bytes, 0, bytes.length);
  return bytes;
}

/** A record with slots and identity instead of inline parts. */
export function slottedRecordSample(): Uint8Array {
  const vnode = sampleVnode();
  vnode.flags = InodeFlag.REALM;
  vnode.ownRealm = 0x1112131415;
  vnode.outerRealm = 0x2122232425;
  for (let at = 0; at < vnode.slots.length; at += 4) {
    vnode.slots.set(wordsOf(slotSample({ block: 0x100 + at })), at);
  }
  vnode.attributeBlocks = 3;
  const bytes = new Uint8Array(recordLengthOf(vnode));
  writeRecord(vnode, bytes, 0, bytes.length);
  return bytes;
}

export function linkSample(values: Values = {}): Uint8Array {
  const length = values['name length'] ?? 7;
  const name = String.fromCharCode(values['name'] ?? 0x6e).repeat(length);
  const bytes = new Uint8Array(16 + Math.ceil(length / 4) * 4);
  writeLinkRecord({ name, ino: values['inode'] ?? 0x1112131415 }, bytes, 0);
  return bytes;
}

/** The list of one extended attribute, as the engine writes it. */
export function attributesSample(values: Values = {}): Uint8Array {
  const hand = Hand.format(new MemoryDevice({ size: 2 ** 20 }));
  const vnode = hand.file(hand.root, 'sample');
  const name = String.fromCharCode(values['name'] ?? 0x6e).repeat(values['name length'] ?? 9);
  hand.setExtended(vnode, name, pattern(values['value length'] ?? 17));
  return vnode.attributes;
}

const FRAME: LogFrame = {
  sequence: 0x1112131415,
  epoch: 0x212223242526 as Txg,
  operation: 0x3132333435,
  previous: 0x4142434445464748n,
  mutations: [],
};

export function frameSample(values: Values = {}): Uint8Array {
  const records = values['records'] ?? 2;
  const truncate: Mutation = { type: 'truncate', target: 1, size: 2, time: TIME };
  return encodeLogFrame(
    {
      sequence: values['sequence'] ?? FRAME.sequence,
      epoch: (values['epoch'] ?? FRAME.epoch) as Txg,
      operation: values['operation'] ?? FRAME.operation,
      previous: BigInt(values['previous'] ?? 0x41424344) * 0x100000001n,
      mutations: new Array(records).fill(truncate),
    },
    7n,
  );
}

/** One mutation of every type. */
export const MUTATIONS: readonly Mutation[] = [
  { type: 'bind', handle: 0x11121314, parent: 0x21222324, name: 'bound' },
  {
    type: 'create',
    parent: 0x11121314,
    name: 'created',
    kind: InodeKind.SYMLINK,
    mode: 0o777,
    uid: 0x21222324,
    gid: 0x31323334,
    rdev: 0x41424344,
    target: 'somewhere',
    time: TIME,
    ino: 0x5152535455,
    handle: 0x61626364,
  },
  { type: 'link', target: 0x11121314, parent: 0x21222324, name: 'linked', time: TIME },
  { type: 'unlink', parent: 0x11121314, name: 'unlinked', what: 2, time: TIME },
  {
    type: 'rename',
    parent: 0x11121314,
    name: 'old',
    newParent: 0x21222324,
    newName: 'newer',
    flags: 1,
    time: TIME,
  },
  {
    type: 'setattr',
    target: 0x11121314,
    mask: 31,
    mode: 0o644,
    uid: 0x21222324,
    gid: 0x31323334,
    atime: { sec: -5, nsec: 1 },
    mtime: { sec: 5, nsec: 2 },
    time: TIME,
  },
  {
    type: 'setxattr',
    target: 0x11121314,
    name: 'user.name',
    value: Uint8Array.of(1, 2, 3),
    flags: 2,
    time: TIME,
  },
  { type: 'truncate', target: 0x11121314, size: 0x2122232425, time: TIME },
  {
    type: 'write-inline',
    target: 0x11121314,
    offset: 0x2122232425,
    data: Uint8Array.of(1, 2, 3, 4, 5),
    time: TIME,
  },
  {
    type: 'write',
    target: 0x11121314,
    offset: 0x2122232425,
    runs: [
      { block: 0x41424344, length: 2 },
      { block: 0x51525354, length: 1 },
    ],
    checksums: Uint32Array.of(0x61626364, 0x71727374, 0x81828384),
    time: TIME,
  },
  {
    type: 'fallocate',
    target: 0x11121314,
    mode: 3,
    offset: 0x2122232425,
    length: 0x3132333435,
    time: TIME,
  },
  {
    type: 'clone',
    source: 0x11121314,
    parent: 0x21222324,
    name: 'cloned',
    readOnly: true,
    time: TIME,
    ino: 0x3132333435,
    realm: 0x4142434445,
    handle: 0x51525354,
  },
  {
    type: 'clone-range',
    source: 0x11121314,
    sourceOffset: 0x2122232425,
    target: 0x31323334,
    offset: 0x4142434445,
    length: 0x5152535455,
    time: TIME,
  },
  {
    type: 'dedupe',
    source: 0x11121314,
    sourceOffset: 0x2122232425,
    target: 0x31323334,
    offset: 0x4142434445,
    length: 0x5152535455,
    time: TIME,
  },
  {
    type: 'whiteout',
    parent: 0x11121314,
    name: 'old',
    newParent: 0x21222324,
    newName: 'newer',
    flags: 1,
    uid: 0x31323334,
    gid: 0x41424344,
    time: TIME,
    ino: 0x5152535455,
  },
  {
    type: 'tmpfile',
    parent: 0x11121314,
    mode: 0o640,
    uid: 0x21222324,
    gid: 0x31323334,
    time: TIME,
    ino: 0x4142434445,
    handle: 0x51525354,
  },
  { type: 'setflags', target: 0x11121314, flags: 0x3e00, project: 0x21222324, time: TIME },
];

export function mutationSample(mutation: Mutation): Uint8Array {
  const bytes = new Uint8Array(mutationSize(mutation));
  encodeMutation(mutation, bytes, 0);
  return bytes;
}
