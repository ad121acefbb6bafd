/**
 * Golden: the image that every later version has to read, how it was made, and what is in it.
 *
 * It is made through the engine, one mutation at a time, and has every structure of the format in
 * it that the engine can make. Once it is released it is not made again: the stored bytes are what
 * counts, and this file says what they are.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { binaryFromText, KIB, MIB, textFromBinary } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind, UnlinkWhat } from '../../src/format/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { Hand, pattern } from '../check/hand.ts';
import type { RigOptions } from '../volume/rig.ts';

/** The version whose image is kept, and where. */
export const GOLDEN = 'v1.0';
const DIRECTORY = new URL('./golden/', import.meta.url);
export const GOLDEN_IMAGE = new URL(`${GOLDEN}.img.gz`, DIRECTORY).pathname;
export const GOLDEN_LISTING = new URL(`${GOLDEN}.jsonl`, DIRECTORY).pathname;

/** A name of two bytes. */
const E_ACUTE = binaryFromText('é');

const LAYOUT: RigOptions = { groupBlocks: 256, logBlocks: 4 };

/** The bytes that are kept. */
export function goldenImage(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gunzipSync(readFileSync(GOLDEN_IMAGE)));
}

/** Makes the image anew. */
export function buildGolden(): Uint8Array<ArrayBuffer> {
  const device = new MemoryDevice({ size: MIB });
  const hand = Hand.format(device, LAYOUT);
  makeFiles(hand);
  makeDirectory(hand);
  makeClones(hand);
  hand.clone(hand.root, hand.snapshots, 'before', true);
  hand.clone(hand.find(hand.root, 'directory'), hand.snapshots, 'writable');
  hand.commit();
  changeLive(hand);
  leaveWork(hand);
  return imageOf(device);
}

export function imageOf(device: MemoryDevice): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(device.size);
  device.read(0, image);
  return image;
}

/** Files of every shape. */
function makeFiles(hand: Hand): void {
  const { root } = hand;
  hand.file(root, 'empty');
  hand.setExtended(hand.file(root, 'inline', pattern(300)), 'user.small', pattern(40));
  hand.file(root, 'block', pattern(4 * KIB));
  const embedded = hand.file(root, 'embedded', pattern(10_000));
  hand.setExtended(embedded, 'user.small', pattern(20));
  hand.setExtended(embedded, 'user.large', pattern(6000));
  hand.file(root, 'depth 1', pattern(40_000));
  const deep = hand.file(root, 'depth 2', pattern(5000));
  hand.write(deep, 2 * MIB, pattern(5000, 2));
  const sparse = hand.file(root, 'depth 3');
  hand.write(sparse, 300 * MIB, pattern(100, 3));
  hand.truncate(hand.file(root, 'hole'), 7 * MIB + 1);
  hand.create(root, 'short link', InodeKind.SYMLINK, { target: 'directory/é' });
  hand.create(root, 'long link', InodeKind.SYMLINK, { target: 'long/'.repeat(300) });
  hand.create(root, 'fifo', InodeKind.FIFO, { mode: 0o600 });
  hand.create(root, 'socket', InodeKind.SOCKET, { mode: 0o700 });
  hand.create(root, 'character', InodeKind.CHARACTER, { rdev: (5 << 20) | 1 });
  hand.create(root, 'device', InodeKind.BLOCK, { rdev: (8 << 20) | 17 });
  hand.commit();
}

/** A directory whose tree has an interior node, and links out of it and into it. */
function makeDirectory(hand: Hand): void {
  const directory = hand.directory(hand.root, 'directory');
  for (let i = 0; i < 30; i++) {
    hand.file(directory, `${i}${' name'.repeat(i)}`, pattern(i));
  }
  const below = hand.directory(directory, E_ACUTE);
  const linked = hand.file(below, 'first', pattern(4100));
  hand.link(linked, directory, 'second');
  hand.link(linked, hand.root, 'third');
  hand.link(hand.find(hand.root, 'inline'), below, 'inline');
  hand.commit();
}

/** Clones of a file, of a directory, of a clone, and of what contains one. */
function makeClones(hand: Hand): void {
  const { root } = hand;
  const source = hand.find(root, 'depth 1');
  for (let i = 0; i < 5; i++) hand.clone(source, root, `file clone ${i}`);
  const clone = hand.clone(hand.find(root, 'directory'), root, 'clone');
  hand.write(hand.find(clone, `7${' name'.repeat(7)}`), 3, pattern(900, 9));
  hand.clone(hand.find(clone, E_ACUTE), clone, 'inner');
  hand.clone(clone, root, 'clone of clone');
  hand.write(hand.find(root, 'file clone 3'), 5000, pattern(10, 4));
  hand.commit();
}

/** What the snapshots do not have. */
function changeLive(hand: Hand): void {
  const { root } = hand;
  const directory = hand.find(root, 'directory');
  hand.unlink(root, 'third');
  hand.unlink(directory, `11${' name'.repeat(11)}`);
  hand.write(hand.find(root, 'depth 2'), 0, pattern(4096, 5));
  hand.truncate(hand.find(root, 'embedded'), 4500);
  hand.rename(root, 'block', directory, 'moved');
  const clone = hand.find(root, 'clone');
  hand.rename(clone, '3 name name name', root, 'from clone');
  hand.setMode(hand.find(root, 'fifo'), 0o4711);
  hand.commit();
}

/** An orphan, and a reclaim queue with an item that was begun. */
function leaveWork(hand: Hand): void {
  const { root } = hand;
  const doomed = hand.directory(root, 'doomed');
  for (let i = 0; i < 3; i++) hand.file(doomed, `file ${i}`, pattern(30_000, i));
  hand.directory(doomed, 'empty');
  const orphan = hand.file(root, 'orphan', pattern(9000, 6));
  orphan.opens++;
  hand.commit();
  hand.unlink(root, 'orphan');
  hand.unlink(root, 'doomed', UnlinkWhat.TREE);
  hand.remount();
  reclaimPartly(hand, 4);
  hand.commit();
}

/** Lets the volume's own work go on until it has had to read `rounds` times. */
export function reclaimPartly(hand: Hand, rounds: number): void {
  const work = hand.rig.engine.reclaim();
  if (work === undefined) throw new Error('Cannot reclaim: the queue is empty');
  for (let round = 0; round < rounds && !work.step(); round++) {
    for (const io of work.plan.io) {
      hand.device.readv(io.position, io.buffers);
      io.finish(undefined);
    }
  }
  try {
    work.fail(new Error('enough'));
  } catch {
    // It was told to fail; what it had done stays done.
  }
}

/** What a reader has to find under a name. */
export interface Listed {
  readonly path: string;
  readonly kind: number;
  readonly realm: number;
  readonly inode: number;
  readonly mode: number;
  readonly owner: readonly [number, number];
  readonly nlink: number;
  readonly size: number;
  readonly rdev?: number;
  /** Seconds: atime, mtime, ctime, btime. */
  readonly times: readonly number[];
  readonly target?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  /** SHA-256 of the first MiB of the data, and of the last. */
  readonly data?: readonly [string, string];
}

/** The live volume, the snapshots and the orphans with all that is below, sorted by path. */
export function listVolume(hand: Hand): Listed[] {
  const listed: Listed[] = [];
  list(hand, hand.root, 'live', listed);
  list(hand, hand.snapshots, 'snapshots', listed);
  list(hand, hand.rig.engine.orphans, 'orphans', listed);
  return listed.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function list(hand: Hand, vnode: Vnode, path: string, into: Listed[]): void {
  into.push(describe(hand, vnode, path));
  if (!vnode.isDirectory) return;
  for (const { name } of hand.entries(vnode)) {
    const child = hand.find(vnode, name);
    list(hand, child, `${path}/${textFromBinary(name)}`, into);
    child.holds--;
  }
}

function describe(hand: Hand, vnode: Vnode, path: string): Listed {
  const { kind, mode, nlink, size, rdev, ino: inode } = vnode;
  const times = [vnode.atime, vnode.mtime, vnode.ctime, vnode.btime].map(({ sec }) => sec);
  const attributes = [...hand.extended(vnode)].map(([name, value]) => [name, digest(value)]);
  return {
    path,
    kind,
    realm: vnode.realm.id,
    inode,
    mode,
    owner: [vnode.uid, vnode.gid],
    nlink,
    size,
    ...(rdev === 0 ? {} : { rdev }),
    times,
    ...(kind === InodeKind.SYMLINK ? { target: new TextDecoder().decode(hand.target(vnode)) } : {}),
    ...(attributes.length === 0 ? {} : { attributes: Object.fromEntries(attributes) }),
    ...(kind === InodeKind.FILE ? { data: ends(size, (at, n) => hand.read(vnode, at, n)) } : {}),
  };
}

/** Digests of the first MiB of a file and of its last. */
export function ends(
  size: number,
  read: (offset: number, length: number) => Uint8Array,
): [string, string] {
  const length = Math.min(size, MIB);
  return [digest(read(0, length)), digest(read(size - length, length))];
}

export function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}
