/**
 * Removal: what happens to an inode when one of its names goes.
 *
 * With its last name an inode goes too, unless somebody has it open: then it waits among the
 * orphans, where the next mount finds it if the last close never comes.
 */
import { assert, type Operation, type Plan } from '../base/index.ts';
import { InodeFlag, InodeKind, SlotRole, type Time } from '../format/index.ts';
import { EVERYTHING } from '../iomap/index.ts';
import type { Engine } from './engine.ts';
import { forEachRoot } from './roots.ts';
import type { Vnode } from './vnode.ts';

/** Plans {@link removeName}. False if the plan has needs. */
export function planRemoveName(
  engine: Engine,
  vnode: Vnode,
  by: Operation<unknown>,
  plan: Plan,
): boolean {
  const { inodes, trees } = engine;
  const linked = vnode.has(InodeFlag.LINKED);
  if (linked && !inodes.planClaim(vnode, plan)) return false;
  if (linked && vnode.nlink > 1) return true;
  if (linked && vnode.holder !== undefined) {
    if (!trees.planRemove(vnode.holder, vnode.key, inodes.planShared, plan)) return false;
  }
  if (vnode.children !== undefined && !planForgetBelow(engine, vnode, by, plan)) return false;
  return planForget(engine, vnode, by, plan);
}

/** Plans {@link forget}: what is in flight has to end, and what the inode has needs a place. */
export function planForget(
  engine: Engine,
  vnode: Vnode,
  by: Operation<unknown>,
  plan: Plan,
): boolean {
  if (!vnode.cowLock.free(by, EVERYTHING, plan)) return false;
  if (vnode.opens > 0) return planOrphan(engine, vnode, plan);
  return planDiscard(engine, vnode, plan);
}

/**
 * One name of an inode is gone: its entry was taken out of the directory, and with it the record if
 * it was there. With the last name the inode goes.
 */
export function removeName(engine: Engine, vnode: Vnode, time: Time): void {
  const { inodes, table } = engine;
  const linked = vnode.has(InodeFlag.LINKED);
  vnode.ctime = time;
  vnode.change++;
  // An inode that is not in the link table has one name, whatever its record may say.
  vnode.nlink = linked ? vnode.nlink - 1 : 0;
  if (vnode.nlink > 0) {
    inodes.claim(vnode);
    inodes.touch(vnode);
    return;
  }
  // Claiming may move what the inode has: it still has to be where that is looked for.
  if (linked) inodes.claim(vnode);
  table.detach(vnode);
  if (linked) inodes.remove(vnode);
  else inodes.untouch(vnode);
  // An empty directory may be the root of a realm, with files in its link table that have lost all
  // their names there.
  forgetBelow(engine, vnode);
  vnode.flags &= ~InodeFlag.LINKED;
  vnode.namedIn = undefined;
  forget(engine, vnode);
}

/** An inode without names: freed, or kept among the orphans while it is open. */
export function forget(engine: Engine, vnode: Vnode): void {
  vnode.unlinked = true;
  if (vnode.opens > 0) makeOrphan(engine, vnode);
  else discard(engine, vnode);
}

/** Plans {@link forgetBelow}: nothing below may be in flight. False if the plan has needs. */
export function planForgetBelow(
  engine: Engine,
  top: Vnode,
  by: Operation<unknown>,
  plan: Plan,
): boolean {
  for (const vnode of engine.table.all) {
    if (vnode === top || !vnode.isWithin(top)) continue;
    vnode.cowLock.free(by, EVERYTHING, plan);
    if (vnode.opens > 0) planEstrange(engine, vnode, plan);
  }
  return plan.ready;
}

/** Vnodes below a directory that goes: what is not open has nothing any more. */
export function forgetBelow(engine: Engine, top: Vnode): void {
  for (const child of [...(top.children?.values() ?? [])]) {
    forgetBelow(engine, child);
    engine.inodes.untouch(child);
    engine.table.detach(child);
    if (child.opens > 0) {
      estrange(engine, child);
      continue;
    }
    engine.iomapOps.release(child, child.dropDirty(0));
    child.unlinked = true;
    child.holder = undefined;
    child.slots.fill(0);
    child.size = 0;
    if (child.holds === 0) engine.table.drop(child);
  }
}

/** Plans {@link estrange}. */
function planEstrange(engine: Engine, vnode: Vnode, plan: Plan): void {
  planOrphan(engine, vnode, plan);
  if (vnode.isDirectory) return;
  forEachRoot(vnode, (at, role, detail) => {
    engine.cow.planShare(vnode.slots, at, role, detail, plan);
  });
}

/**
 * An open inode in a tree that goes becomes an orphan. Its record goes with the tree, which may be
 * anybody's, so the orphan gets references of its own; a directory gets none, since nobody sees
 * what is in a directory that was removed.
 */
function estrange(engine: Engine, vnode: Vnode): void {
  engine.records.announce(vnode);
  if (vnode.isDirectory) {
    vnode.slots.fill(0);
    vnode.size = 0;
  } else {
    forEachRoot(vnode, (at, role, detail) => engine.cow.share(vnode.slots, at, role, detail));
  }
  vnode.nlink = 0;
  vnode.flags &= ~InodeFlag.LINKED;
  vnode.namedIn = undefined;
  forget(engine, vnode);
}

/** Plans the end of an orphan whose last user has closed it. */
export function planFreeOrphan(
  engine: Engine,
  vnode: Vnode,
  by: Operation<unknown>,
  plan: Plan,
): boolean {
  const { inodes, trees } = engine;
  if (!inodes.planClaim(vnode, plan) || vnode.holder === undefined) return false;
  if (!trees.planRemove(vnode.holder, vnode.key, inodes.planShared, plan)) return false;
  return planForget(engine, vnode, by, plan);
}

/** Ends an orphan. */
export function freeOrphan(engine: Engine, vnode: Vnode): void {
  engine.inodes.claim(vnode);
  engine.table.detach(vnode);
  engine.inodes.remove(vnode);
  engine.orphans.size--;
  discard(engine, vnode);
}

/** Plans {@link makeOrphan}. False if the plan has needs. */
export function planOrphan(engine: Engine, vnode: Identity, plan: Plan): boolean {
  const { inodes, trees, orphans, directories } = engine;
  const found = directories.find(orphans, orphanName(vnode), engine.position, plan);
  if (found === 'missing' || !inodes.planClaim(orphans, plan)) return false;
  const key = directories.keyFor(orphanName(vnode));
  return trees.planInsert(orphans.entries, key, inodes.planShared, plan);
}

/** Puts an inode without names among the orphans. */
export function makeOrphan(engine: Engine, vnode: Vnode): void {
  const { inodes, orphans, directories, table } = engine;
  const name = orphanName(vnode);
  const found = directories.find(orphans, name, engine.position, engine.noPlan);
  assert(found === 'none', 'an inode becomes an orphan once');
  vnode.flags |= InodeFlag.REALM;
  vnode.ownRealm = vnode.realm.id;
  vnode.outerRealm = orphans.realm.id;
  vnode.name = name;
  inodes.claim(orphans);
  inodes.insert(vnode, orphans.entries, directories.keyFor(name));
  orphans.size++;
  table.attach(vnode);
}

function planDiscard(engine: Engine, vnode: Vnode, plan: Plan): boolean {
  const { cow, reclaimer } = engine;
  let trees = 0;
  forEachRoot(vnode, (at, role) => {
    if (role === SlotRole.DATA) cow.planRelease(vnode.slots, at, plan);
    else trees++;
  });
  reclaimer.planAdd(trees, plan);
  return plan.ready;
}

/** Gives everything back that an inode has: single blocks at once, trees to the queue. */
function discard(engine: Engine, vnode: Vnode): void {
  const { cow, reclaimer, iomapOps, table } = engine;
  iomapOps.release(vnode, vnode.dropDirty(0));
  forEachRoot(vnode, (at, role, detail) => {
    if (role === SlotRole.DATA) cow.release(vnode.slots, at);
    else reclaimer.add(vnode.slots, at, role, detail);
  });
  vnode.slots.fill(0);
  vnode.depth = vnode.kind === InodeKind.TREE ? vnode.depth : 0;
  vnode.size = 0;
  engine.inodes.untouch(vnode);
  vnode.holder = undefined;
  if (vnode.holds === 0) table.drop(vnode);
}

/** What an orphan is named by. */
type Identity = Pick<Vnode, 'realm'> & { readonly ino: number };

function orphanName(vnode: Identity): string {
  return `${vnode.realm.id}.${vnode.ino}`;
}
