/** Compare: everything a volume shows against everything its model has. */
import { expect } from 'vitest';
import { InodeFlag } from '../../src/format/index.ts';
import { BufferedRead } from '../../src/iomap/index.ts';
import {
  type DirectoryEntry,
  lookup,
  ReadExtended,
  readEntries,
  readTarget,
  type Vnode,
} from '../../src/volume/index.ts';
import { BLOCK, type ModelInode } from './model.ts';
import { identityOf, KINDS, type World } from './world.ts';

/** Under which paths each identity was seen; names of one inode are one. */
type Seen = Map<string, Map<ModelInode, string>>;

/** Fails unless the volume shows exactly what the model has, open inodes included. */
export function compare(world: World): void {
  const seen: Seen = new Map();
  const { root, snapshots } = world.model;
  for (const [top, name] of [
    [root, ''],
    [snapshots, 'snapshots:'],
  ] as const) {
    const vnode = world.hold(top);
    world.holding([vnode], () => compareInode(world, top, vnode, name, seen));
  }
  for (const [identity, paths] of seen) {
    if (paths.size > 1) throw new Error(`${[...paths.values()].join(' and ')} are ${identity}`);
  }
  for (const inode of world.openInodes) {
    const vnode = world.hold(inode);
    world.holding([vnode], () => compareData(world, inode, vnode, 'an open inode'));
  }
}

/** Compares an inode and everything below it. */
export function compareInode(
  world: World,
  inode: ModelInode,
  vnode: Vnode,
  path: string,
  seen: Seen = new Map(),
): void {
  compareAttributes(inode, vnode, path, seen);
  compareData(world, inode, vnode, path);
  const found = world.run(new ReadExtended(world.rig.engine, vnode));
  if (found.size + inode.extended.size > 0) {
    expect(sorted(found), `attributes of ${path}`).toEqual(sorted(inode.extended));
  }
  if (!inode.isDirectory) return;
  compareNames(world, inode, vnode, path);
  for (const [name, child] of inode.entries) {
    const below = world.run(lookup(world.rig.engine, vnode, name));
    world.holding([below], () => compareInode(world, child, below, `${path}/${name}`, seen));
  }
}

function compareAttributes(inode: ModelInode, vnode: Vnode, path: string, seen: Seen): void {
  const { atime, mtime, ctime, btime } = inode;
  const { kind, mode, uid, gid, nlink } = inode;
  const wanted = [
    KINDS[kind],
    flagsOf(inode),
    sizeOf(inode),
    mode,
    uid,
    gid,
    nlink,
    atime,
    mtime,
    ctime,
    btime,
  ];
  const times = [vnode.atime, vnode.mtime, vnode.ctime, vnode.btime].map(({ sec }) => sec);
  const flags = vnode.flags & (InodeFlag.IMMUTABLE | InodeFlag.APPEND);
  const found = [
    vnode.kind,
    flags,
    vnode.size,
    vnode.mode,
    vnode.uid,
    vnode.gid,
    vnode.nlink,
    ...times,
  ];
  if (found.join() !== wanted.join()) {
    expect(labelled(found), `inode of ${path}`).toEqual(labelled(wanted));
  }
  const identity = identityOf(vnode);
  inode.identity ??= identity;
  if (identity !== inode.identity) {
    expect(identity, `identity of ${path}`).toBe(inode.identity);
  }
  const known = seen.get(identity) ?? new Map<ModelInode, string>();
  seen.set(identity, known.set(inode, path));
}

const LABELS = [
  'kind',
  'flags',
  'size',
  'mode',
  'uid',
  'gid',
  'nlink',
  'atime',
  'mtime',
  'ctime',
  'btime',
];

function labelled(values: readonly number[]): Record<string, number> {
  return Object.fromEntries(values.map((value, i) => [LABELS[i] as string, value]));
}

function flagsOf({ immutable, appendOnly }: ModelInode): number {
  return (immutable ? InodeFlag.IMMUTABLE : 0) | (appendOnly ? InodeFlag.APPEND : 0);
}

function sizeOf(inode: ModelInode): number {
  if (inode.isDirectory) return inode.entries.size;
  return inode.kind === 'symlink' ? inode.target.length : inode.data.size;
}

function compareNames(world: World, inode: ModelInode, vnode: Vnode, path: string): void {
  const listed: DirectoryEntry[] = [];
  for (let cookie = 0; ; cookie = (listed.at(-1) as DirectoryEntry).cookie) {
    const more = world.run(readEntries(world.rig.engine, vnode, cookie));
    if (more.length === 0) break;
    listed.push(...more);
  }
  for (let i = 1; i < listed.length; i++) {
    const [before, after] = [listed[i - 1], listed[i]] as [DirectoryEntry, DirectoryEntry];
    if (after.cookie <= before.cookie) throw new Error(`A cookie of ${path} comes twice`);
  }
  const names = listed.map(({ name }) => name).sort();
  expect(names, `names in ${path}`).toEqual([...inode.entries.keys()].sort());
}

/** Compares all blocks with data, and the holes beside them. */
function compareData(world: World, inode: ModelInode, vnode: Vnode, path: string): void {
  if (inode.kind === 'symlink') {
    const target = world.run(readTarget(world.rig.engine, vnode));
    expect(String.fromCharCode(...target), `target of ${path}`).toBe(inode.target);
  }
  if (inode.kind !== 'file') return;
  const { size, blocks } = inode.data;
  const wanted = new Set([0, Math.floor(size / BLOCK)]);
  for (const index of blocks.keys()) wanted.add(index).add(index + 1);
  const order = [...wanted].filter((index) => index * BLOCK < size).sort((a, b) => a - b);
  for (let i = 0; i < order.length; ) {
    let end = i + 1;
    while (end < order.length && end - i < 64 && order[end] === (order[end - 1] as number) + 1) {
      end++;
    }
    const offset = (order[i] as number) * BLOCK;
    const model = inode.data.read(offset, (end - i) * BLOCK);
    const bytes = new Uint8Array(model.length);
    const got = world.run(new BufferedRead().begin(vnode, offset, model.length, bytes));
    if (got !== model.length || Buffer.compare(bytes, model) !== 0) {
      const at = bytes.findIndex((byte, k) => byte !== model[k]);
      throw new Error(
        `Data of ${path} differs at ${offset + at} (file block ` +
          `${Math.floor((offset + at) / BLOCK)}, size ${size}): found ${bytes[at]}, ` +
          `wanted ${model[at]}; read ${got} of ${model.length}`,
      );
    }
    i = end;
  }
}

function sorted(attributes: ReadonlyMap<string, Uint8Array>): [string, string][] {
  return [...attributes]
    .map(([name, value]): [string, string] => [name, Buffer.from(value).toString('hex')])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
