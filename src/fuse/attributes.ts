/**
 * Attributes of an inode, as replies have them.
 */
import { BLOCK_SIZE, high32, low32, setU64, TWO_32 } from '../base/index.ts';
import { InodeKind, type Time } from '../format/index.ts';
import { TYPE_BITS, type Vnode } from '../volume/index.ts';
import { FlagBit } from './constants.ts';
import { FLAGS, theirs } from './flag-bits.ts';
import { setI64 } from './layout.ts';
import { REPLY_BODY } from './message.ts';
import type { Served } from './served.ts';
import { ATTR, ATTR_OUT, ENTRY_OUT, STATX_OUT } from './wire.ts';

/** The kind of inode that a mode is of; undefined if there is none such. */
export function kindOf(mode: number): InodeKind | undefined {
  for (const [kind, bits] of Object.entries(TYPE_BITS)) {
    if ((mode & 0o170000) === bits) return Number(kind) as InodeKind;
  }
  return undefined;
}

export function modeOf(vnode: Vnode): number {
  return (TYPE_BITS[vnode.kind] as number) | vnode.mode;
}

/** `d_type` of an entry. */
export function direntType(vnode: Vnode): number {
  return (TYPE_BITS[vnode.kind] as number) >>> 12;
}

/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_MASK = 0x7ff | 0x800;
/** STATX_ATTR_IMMUTABLE, _APPEND and _NODUMP, which are the bits that flags of files have. */
const STATX_ATTRIBUTES = FlagBit.IMMUTABLE | FlagBit.APPEND | FlagBit.NODUMP;
/** Bits of `st_ino` for the number of the inode; the others are for the realm. */
const INO_HIGH_BITS = 8;

/**
 * `st_ino`: the number of the inode in the low 40 bits, its realm in the high 24. Realms of 53 bits
 * are folded, so that the first 16 million of a volume differ; inodes of the mounted volume's own
 * realm have the numbers that they have in process.
 */
export function inodeHalves(served: Served, vnode: Vnode): readonly [low: number, high: number] {
  const realm = foldRealm(vnode.realm.id) ^ foldRealm(served.engine.live.realm.id);
  return [low32(vnode.ino), ((realm << INO_HIGH_BITS) | (high32(vnode.ino) & 0xff)) >>> 0];
}

function foldRealm(realm: number): number {
  const [low, high] = [low32(realm), high32(realm)];
  return (low & 0xffffff) ^ (low >>> 24) ^ (high & 0xffffff);
}

/** Writes a `fuse_attr`. */
export function putAttributes(served: Served, view: DataView, start: number, vnode: Vnode): void {
  const { at } = ATTR;
  putInode(served, view, start + at.ino, vnode);
  setU64(view, start + at.size, sizeOf(vnode));
  setU64(view, start + at.blocks, sectorsOf(served, vnode));
  setI64(view, start + at.atime, vnode.atime.sec);
  setI64(view, start + at.mtime, vnode.mtime.sec);
  setI64(view, start + at.ctime, vnode.ctime.sec);
  view.setUint32(start + at.atimensec, vnode.atime.nsec, true);
  view.setUint32(start + at.mtimensec, vnode.mtime.nsec, true);
  view.setUint32(start + at.ctimensec, vnode.ctime.nsec, true);
  view.setUint32(start + at.mode, modeOf(vnode), true);
  view.setUint32(start + at.nlink, vnode.unlinked ? 0 : vnode.nlink, true);
  const { uid, gid } = served.options;
  view.setUint32(start + at.uid, uid ?? vnode.uid, true);
  view.setUint32(start + at.gid, gid ?? vnode.gid, true);
  view.setUint32(start + at.rdev, wireDevice(vnode.rdev), true);
  view.setUint32(start + at.blksize, BLOCK_SIZE, true);
  view.setUint32(start + at.flags, 0, true);
}

export function putInode(served: Served, view: DataView, at: number, vnode: Vnode): void {
  const [low, high] = inodeHalves(served, vnode);
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}

/** A directory's size is its number of entries in here; others have bytes, and so has this. */
function sizeOf(vnode: Vnode): number {
  return vnode.isDirectory ? BLOCK_SIZE * Math.max(1, Math.ceil(vnode.size / 32)) : vnode.size;
}

/**
 * With the writeback cache the kernel may have data that is not here yet, and asks for sectors only
 * when a file is closed: so that nobody takes it for one hole meanwhile, each file has one.
 */
function sectorsOf({ options }: Served, vnode: Vnode): number {
  const least = options.writeback && vnode.kind === InodeKind.FILE ? 1 : 0;
  return Math.max(vnode.sectors, least);
}

/** Writes a `fuse_entry_out` at `start` of a reply, and counts the lookup. The hold is taken. */
export function putEntry(served: Served, view: DataView, start: number, vnode: Vnode): void {
  const { at } = ENTRY_OUT;
  const { validSeconds } = served.options;
  putAttributes(served, view, start + at.ino, vnode);
  setU64(view, start + at.nodeid, served.nodes.remember(vnode));
  view.setUint32(start + at.generation, generationOf(served, vnode), true);
  view.setUint32(start + at.generation + 4, 0, true);
  setU64(view, start + at.entry_valid, validSeconds);
  setU64(view, start + at.attr_valid, validSeconds);
  view.setUint32(start + at.entry_valid_nsec, 0, true);
  view.setUint32(start + at.attr_valid_nsec, 0, true);
}

/**
 * What makes the number of a node another one than the same number at another time, or of another
 * mount: handles of inodes have both (name_to_handle_at(2), and NFS). Of the root the kernel wants
 * 0.
 */
function generationOf({ nodes, options }: Served, vnode: Vnode): number {
  return vnode === nodes.root ? 0 : (options.generation + vnode.round) >>> 0;
}

/** An entry that says: there is no such name, and that may be believed for a while. */
export function putAbsence(served: Served, view: DataView, start: number): void {
  for (let i = 0; i < ENTRY_OUT.size; i += 4) view.setUint32(start + i, 0, true);
  setU64(view, start + ENTRY_OUT.at.entry_valid, served.options.validSeconds);
}

/** The body of a reply with attributes; its length. */
export function answerAttributes(served: Served, view: DataView, vnode: Vnode): number {
  const { at, size } = ATTR_OUT;
  setU64(view, REPLY_BODY + at.attr_valid, served.options.validSeconds);
  setU64(view, REPLY_BODY + at.attr_valid_nsec, 0);
  putAttributes(served, view, REPLY_BODY + at.ino, vnode);
  return size;
}

/** The body of a reply to STATX; its length. */
export function answerStatx(served: Served, view: DataView, vnode: Vnode): number {
  const { at, size } = STATX_OUT;
  const put = (offset: number, value: number): void =>
    view.setUint32(REPLY_BODY + offset, value, true);
  for (let i = 0; i < size; i += 4) put(i, 0);
  setU64(view, REPLY_BODY + at.attr_valid, served.options.validSeconds);
  put(at.mask, STATX_MASK);
  put(at.blksize, BLOCK_SIZE);
  put(at.nlink, vnode.unlinked ? 0 : vnode.nlink);
  put(at.uid, served.options.uid ?? vnode.uid);
  put(at.gid, served.options.gid ?? vnode.gid);
  view.setUint16(REPLY_BODY + at.mode, modeOf(vnode), true);
  putInode(served, view, REPLY_BODY + at.ino, vnode);
  setU64(view, REPLY_BODY + at.size, sizeOf(vnode));
  setU64(view, REPLY_BODY + at.blocks, sectorsOf(served, vnode));
  putTime(view, at.atime, vnode.atime);
  putTime(view, at.btime, vnode.btime);
  putTime(view, at.ctime, vnode.ctime);
  putTime(view, at.mtime, vnode.mtime);
  put(at.attributes, theirs(FLAGS, vnode.flags) & STATX_ATTRIBUTES);
  put(at.attributes_mask, STATX_ATTRIBUTES);
  put(at.rdev_major, vnode.rdev >>> 20);
  put(at.rdev_minor, vnode.rdev & 0xfffff);
  return size;
}

function putTime(view: DataView, at: number, { sec, nsec }: Time): void {
  setI64(view, REPLY_BODY + at, sec);
  view.setUint32(REPLY_BODY + at + 8, nsec, true);
}

/**
 * Device numbers: records have major << 20 | minor, the protocol has the kernel's 32-bit form, in
 * which the minor lies around the major.
 */
function wireDevice(rdev: number): number {
  const [major, minor] = [rdev >>> 20, rdev & 0xfffff];
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

export function recordDevice(wire: number): number {
  const [major, minor] = [(wire & 0xfff00) >>> 8, (wire & 0xff) | ((wire >>> 12) & 0xfff00)];
  return (major * 2 ** 20 + minor) % TWO_32;
}
