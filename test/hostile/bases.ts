/**
 * Bases: the small images that are mutated. Together they have every structure of the format, and
 * each is small, so that a hundred thousand can be tried. `bases.test.ts` counts what is in them.
 *
 * They are the same at every run: nothing here is drawn, and no clock is read.
 */
import { BLOCK_SIZE, binaryFromText, KIB, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { type AllocateMode, InodeFlag, InodeKind, UnlinkWhat } from '../../src/format/index.ts';
import { Fsync, type Vnode } from '../../src/volume/index.ts';
import { Hand, pattern } from '../check/hand.ts';
import { imageOf, reclaimPartly } from '../format/golden.ts';
import type { RigOptions } from '../volume/rig.ts';

/** A base by its name; made when it is first asked for. */
export const BASES = {
  tiny: once(tiny),
  files: once(files),
  clones: once(clones),
  work: once(work),
  groups: once(groups),
  log: once(log),
} as const;
export type BaseName = keyof typeof BASES;

function once(make: () => Uint8Array<ArrayBuffer>): () => Uint8Array<ArrayBuffer> {
  let made: Uint8Array<ArrayBuffer> | undefined;
  return () => (made ??= make());
}

function begin(size: number, options: RigOptions): Hand {
  return Hand.format(new MemoryDevice({ size }), { groupBlocks: 256, ...options });
}

function fallocate(hand: Hand, { id: target }: Vnode, offset: number, length: number): void {
  const mode = 0 as (typeof AllocateMode)['KEEP_SIZE'];
  hand.apply({ type: 'fallocate', target, mode, offset, length, time: hand.time() });
}

function cloneRange(hand: Hand, from: Vnode, to: Vnode, offset: number, length: number): void {
  const [source, target] = [from.id, to.id];
  const range = { source, sourceOffset: 0, target, offset, length };
  hand.apply({ type: 'clone-range', ...range, time: hand.time() });
}

function fsync(hand: Hand, vnode: Vnode): void {
  hand.rig.driver.run(new Fsync(hand.rig.engine, vnode));
}

function setFlags(hand: Hand, { id: target }: Vnode, flags: number): void {
  hand.apply({ type: 'setflags', target, flags, project: 3, time: hand.time() });
}

/** What only names have in a log: a whiteout, a file that had no name, flags. */
function nameLate(hand: Hand): void {
  const { id: parent } = hand.root;
  const owner = { uid: 1, gid: 2, time: hand.time(), ino: 0 };
  const names = { parent, name: 'other', newParent: parent, newName: 'moved', flags: 0 };
  hand.apply({ type: 'whiteout', ...names, ...owner });
  const file: Vnode = hand.apply({ type: 'tmpfile', parent, mode: 0o600, handle: 0, ...owner });
  hand.write(file, 0, pattern(5000, 4));
  hand.link(file, hand.root, 'late');
  setFlags(hand, file, InodeFlag.NODUMP);
  fsync(hand, file);
}

/** The least that has a map, a clone, a snapshot, attributes, an orphan and a log to replay. */
function tiny(): Uint8Array<ArrayBuffer> {
  const hand = begin(400 * KIB, { logBlocks: 3, seed: 21 });
  const { root } = hand;
  const directory = hand.directory(root, 'directory');
  const file = hand.file(directory, 'file', pattern(9000));
  hand.setExtended(file, 'user.small', pattern(30));
  hand.setExtended(hand.file(root, 'inline', pattern(50)), 'user.large', pattern(300, 3));
  hand.link(file, directory, 'linked');
  hand.create(root, 'link', InodeKind.SYMLINK, { target: 'directory/file' });
  hand.file(root, 'mapped', pattern(18_000, 4));
  hand.clone(directory, root, 'clone');
  hand.clone(root, hand.snapshots, 'before', true);
  hand.commit();
  hand.file(root, 'orphan', pattern(100)).opens++;
  hand.unlink(root, 'orphan');
  hand.commit();
  hand.write(hand.find(root, 'mapped'), 5000, pattern(3000, 5));
  hand.rename(root, 'inline', root, 'renamed');
  fsync(hand, hand.find(root, 'mapped'));
  fsync(hand, hand.file(root, 'late', pattern(5000, 6)));
  return imageOf(hand.device);
}

/** Files of every shape. */
function files(): Uint8Array<ArrayBuffer> {
  const hand = begin(400 * KIB, { logBlocks: 2, seed: 22 });
  const { root } = hand;
  hand.setExtended(hand.file(root, 'inline', pattern(100)), 'user.small', pattern(20));
  const embedded = hand.file(root, 'embedded', pattern(9000));
  hand.setExtended(embedded, 'user.small', pattern(20));
  hand.setExtended(embedded, 'user.large', pattern(6000));
  const deep = hand.file(root, 'depth 2', pattern(5000));
  hand.write(deep, 1 * MIB + 5000, pattern(5000, 2));
  const deepest = hand.file(root, 'depth 5');
  hand.write(deepest, 20 * 2 ** 40, pattern(100, 3));
  const reserved = hand.file(root, 'unwritten');
  fallocate(hand, reserved, 0, 30_000);
  hand.write(reserved, 9000, pattern(5000, 4));
  hand.truncate(hand.file(root, 'hole'), 7 * MIB + 1);
  hand.create(root, 'short link', InodeKind.SYMLINK, { target: 'sub/é' });
  hand.create(root, 'long link', InodeKind.SYMLINK, { target: 'long/'.repeat(200) });
  hand.create(root, 'fifo', InodeKind.FIFO, { mode: 0o600 });
  hand.create(root, 'socket', InodeKind.SOCKET, { mode: 0o700 });
  hand.create(root, 'character', InodeKind.CHARACTER, { rdev: (5 << 20) | 1 });
  hand.create(root, 'device', InodeKind.BLOCK, { rdev: (8 << 20) | 17 });
  const sub = hand.directory(root, 'sub');
  hand.file(sub, binaryFromText('é'), pattern(20));
  const guarded = hand.directory(root, 'guarded');
  const { IMMUTABLE, APPEND, NODUMP, NOATIME } = InodeFlag;
  setFlags(hand, hand.file(guarded, 'immutable', pattern(10)), IMMUTABLE | NODUMP);
  setFlags(hand, hand.file(guarded, 'log', pattern(5000)), APPEND | NOATIME);
  hand.commit();
  return imageOf(hand.device);
}

/** A tree with an interior node and links, its clones, a clone in a clone, and snapshots. */
function clones(): Uint8Array<ArrayBuffer> {
  const hand = begin(512 * KIB, { logBlocks: 2, seed: 23 });
  const { root } = hand;
  const tree = hand.directory(root, 'tree');
  for (let i = 0; i < 7; i++) hand.file(tree, `inline ${i}`, pattern(700, i));
  const below = hand.directory(tree, 'below');
  const linked = hand.file(below, 'first', pattern(4100));
  hand.link(linked, tree, 'second');
  hand.link(linked, root, 'third');
  const mapped = hand.file(root, 'mapped', pattern(20_000));
  hand.clone(mapped, root, 'mapped too');
  hand.write(hand.clone(mapped, root, 'mapped three'), 5000, pattern(10, 4));
  hand.commit();
  const clone = hand.clone(tree, root, 'clone');
  hand.clone(hand.find(clone, 'below'), clone, 'inner');
  hand.clone(clone, root, 'clone of clone');
  hand.write(hand.find(clone, 'inline 2'), 3, pattern(90, 9));
  hand.clone(root, hand.snapshots, 'before', true);
  hand.clone(below, hand.snapshots, 'writable');
  hand.commit();
  hand.unlink(root, 'third');
  hand.rename(clone, 'inline 3', root, 'from clone');
  hand.write(mapped, 0, pattern(4096, 5));
  hand.commit();
  return imageOf(hand.device);
}

/** Orphans, a reclaim queue with an item that was begun, and a log that is still to be replayed. */
function work(): Uint8Array<ArrayBuffer> {
  const hand = begin(800 * KIB, { logBlocks: 16, seed: 24 });
  const { root } = hand;
  const doomed = hand.directory(root, 'doomed');
  for (let i = 0; i < 3; i++) hand.file(doomed, `file ${i}`, pattern(30_000, i));
  hand.directory(doomed, 'empty');
  hand.file(root, 'kept', pattern(17_000, 2));
  for (const name of ['orphan', 'other orphan']) hand.file(root, name, pattern(5000, 6)).opens++;
  hand.directory(hand.directory(root, 'directory'), 'below');
  hand.commit();
  for (const name of ['orphan', 'other orphan']) hand.unlink(root, name);
  hand.unlink(root, 'doomed', UnlinkWhat.TREE);
  hand.remount();
  reclaimPartly(hand, 4);
  hand.commit();
  logged(hand);
  return imageOf(hand.device);
}

/** One record of each kind that a log has, in frames of their own. */
function logged(hand: Hand): void {
  const { root } = hand;
  const kept = hand.find(root, 'kept');
  const directory = hand.find(root, 'directory');
  hand.write(kept, 3000, pattern(6000, 7));
  hand.setMode(kept, 0o600);
  hand.setExtended(kept, 'user.late', pattern(60, 8));
  fsync(hand, kept);
  const made = hand.file(directory, 'made', pattern(9000, 9));
  hand.link(made, root, 'linked');
  hand.rename(root, 'directory', root, 'renamed');
  fsync(hand, made);
  hand.truncate(made, 7000);
  fsync(hand, made);
  hand.clone(directory, root, 'clone');
  hand.clone(directory, hand.snapshots, 'late', true);
  hand.unlink(root, 'linked');
  const small = hand.file(root, 'small', pattern(60));
  fsync(hand, small);
}

/** A log that shares and reserves ranges: to replay it, a mount makes its cache a large one. */
function log(): Uint8Array<ArrayBuffer> {
  const hand = begin(400 * KIB, { logBlocks: 8, seed: 26 });
  const { root } = hand;
  const file = hand.file(root, 'file', pattern(17_000));
  const other = hand.file(root, 'other', pattern(9000, 2));
  hand.commit();
  cloneRange(hand, other, file, 4096, 4096);
  fsync(hand, file);
  fallocate(hand, file, 20_000, 9000);
  hand.truncate(other, 5000);
  fsync(hand, other);
  hand.write(file, 22_000, pattern(3000, 3));
  fsync(hand, file);
  nameLate(hand);
  return imageOf(hand.device);
}

/** Two groups, the last of them short, and counts of 16 and of 8 bits. */
function groups(): Uint8Array<ArrayBuffer> {
  const hand = begin((256 + 110) * BLOCK_SIZE, { logBlocks: 2, seed: 25 });
  const { root } = hand;
  const source = hand.file(root, 'source', pattern(4096));
  hand.commit();
  // One block under 290 slots: its count is 16 bits wide.
  const wide = hand.file(root, 'wide');
  for (let i = 0; i < 290; i++) cloneRange(hand, source, wide, i * BLOCK_SIZE, BLOCK_SIZE);
  // The first group is full while the rest is made, which so comes to lie in the second.
  const filler = hand.file(root, 'filler');
  for (let i = 0; i < 9; i++) {
    hand.write(filler, i * 24 * BLOCK_SIZE, new Uint8Array(24 * BLOCK_SIZE).fill(1));
    hand.commit();
  }
  const second = hand.file(root, 'second', pattern(4096, 2));
  const some = hand.file(root, 'some');
  hand.commit();
  for (let i = 0; i < 20; i++) cloneRange(hand, second, some, i * BLOCK_SIZE, BLOCK_SIZE);
  hand.clone(hand.directory(root, 'directory'), hand.snapshots, 'before', true);
  hand.commit();
  hand.truncate(filler, 30_000);
  hand.reclaim();
  hand.commit();
  return imageOf(hand.device);
}
