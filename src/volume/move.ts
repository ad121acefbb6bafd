/**
 * Move: what renames have in common. An inode keeps its identity and gets another place.
 *
 * Across realms too: the record then states its realm, and a directory that moves takes its realm
 * along. Only linked files cannot leave their realm (their other names could not find them), nor
 * directories with such files below, unless they bring the link table with them.
 */
import { assert, FilesystemError } from '../base/index.ts';
import { InodeFlag, linkRecordLength, type Time } from '../format/index.ts';
import type { Engine } from './engine.ts';
import { writeLinkRecord } from './inode-record.ts';
import { markGuardsBelow, markLinksBelow } from './mutate.ts';
import { Realm, type Vnode } from './vnode.ts';

/** A name in a directory, and the key of its entry. */
export interface Entry {
  readonly directory: Vnode;
  readonly name: string;
  readonly key: number;
}

/** @throws {FilesystemError} `EINVAL`, `EXDEV` if an inode cannot go to another directory */
export function checkMove(moved: Vnode, from: Vnode, to: Vnode): void {
  if (moved.isDirectory && to.isWithin(moved)) {
    throw new FilesystemError('EINVAL', 'Cannot move a directory into itself');
  }
  if (bringsLinks(moved) && from.realm !== to.realm) {
    throw new FilesystemError('EXDEV', 'Cannot move files with several names to another clone');
  }
}

/** It is a linked file, or has such below. A realm's root keeps its links to itself. */
function bringsLinks(vnode: Vnode): boolean {
  if (vnode.has(InodeFlag.LINKED)) return true;
  return vnode.has(InodeFlag.HAS_LINKS_BELOW) && vnode.realm.root !== vnode;
}

/**
 * Puts the record of an inode, or the name of a linked one, under an entry; with `taken` over the
 * record that has it. The leaf is changeable, and that of the record it has had.
 */
export function moveTo(
  engine: Engine,
  vnode: Vnode,
  { directory, name, key }: Entry,
  taken: boolean,
): void {
  const { inodes, trees, table, store, position } = engine;
  table.detach(vnode);
  vnode.name = name;
  if (vnode.has(InodeFlag.LINKED)) {
    vnode.namedIn = directory;
    const length = linkRecordLength(name.length);
    if (taken) trees.resize(directory.entries, key, length, position);
    else trees.insert(directory.entries, key, length, position);
    inodes.touch(directory);
    writeLinkRecord({ name, ino: vnode.ino }, store.blocks.bytes, position.at);
  } else {
    inodes.untouch(vnode);
    stateRealm(engine, vnode, directory.realm);
    inodes.insert(vnode, directory.entries, key, taken);
  }
  table.attach(vnode);
  assert(vnode.parent !== undefined, 'a renamed inode has a parent');
}

/** After {@link moveTo}: the times of the inode, and the marks above it. */
export function settleMove(engine: Engine, vnode: Vnode, to: Vnode, time: Time): void {
  if (bringsLinks(vnode)) markLinksBelow(engine, to);
  if (vnode.has(InodeFlag.GUARDED_BELOW)) markGuardsBelow(engine, to);
  engine.inodes.claim(vnode);
  vnode.ctime = time;
  vnode.change++;
  engine.inodes.touch(vnode);
}

/** An inode that leaves its realm, or that has one of its own, says so in its record. */
function stateRealm(engine: Engine, vnode: Vnode, outer: Realm): void {
  const { realm } = vnode;
  if (!vnode.has(InodeFlag.REALM) && realm === outer) return;
  const first = !vnode.has(InodeFlag.REALM);
  vnode.flags |= InodeFlag.REALM;
  vnode.ownRealm = realm.id;
  vnode.outerRealm = outer.id;
  if (!first) return;
  const own = new Realm(realm.id, vnode, outer.readOnly);
  for (const each of engine.table.all) {
    if (each.realm === realm && each.isWithin(vnode)) each.realm = own;
  }
}
