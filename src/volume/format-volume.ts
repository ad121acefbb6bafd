/**
 * Format: what hangs from the meta root of a new volume.
 */
import { type Plan, PlannedOperation } from '../base/index.ts';
import { InodeFlag, InodeKind, MetaInode, MetaName, type Time } from '../format/index.ts';
import { FIRST_REALM } from '../store/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

/** Who owns the root directory, and with which permissions. */
export interface RootAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly time: Time;
}

/** Makes the root directory and the volume's own directories. A commit has to follow. */
export class FormatVolume extends PlannedOperation<void> {
  readonly #engine: Engine;
  readonly #root: RootAttributes;

  constructor(engine: Engine, root: RootAttributes) {
    super();
    this.#engine = engine;
    this.#root = root;
  }

  protected override prepare(plan: Plan): void {
    const { store } = this.#engine;
    if (!store.admit(plan)) return;
    plan.blocks = 4;
    store.settle(plan, 'delete');
  }

  protected override apply(): boolean {
    const { live, snapshots, orphans, queue } = this.#engine;
    live.flags = InodeFlag.REALM;
    live.ownRealm = FIRST_REALM;
    this.#add(live, MetaName.LIVE, MetaInode.LIVE);
    this.#add(snapshots, MetaName.SNAPSHOTS, MetaInode.SNAPSHOTS);
    this.#add(orphans, MetaName.ORPHANS, MetaInode.ORPHANS);
    this.#add(queue, MetaName.RECLAIM, MetaInode.RECLAIM);
    return this.finish(undefined);
  }

  #add(vnode: Vnode, name: string, ino: number): void {
    const { inodes, directories, meta, position, noPlan, table } = this.#engine;
    const { mode, uid, gid, time } = this.#root;
    vnode.ino = ino as Vnode['ino'];
    vnode.name = name;
    vnode.nlink = vnode.kind === InodeKind.DIRECTORY ? 2 : 1;
    vnode.mode = mode;
    vnode.uid = uid;
    vnode.gid = gid;
    vnode.atime = time;
    vnode.mtime = time;
    vnode.ctime = time;
    vnode.btime = time;
    directories.find(meta, name, position, noPlan);
    inodes.insert(vnode, meta.entries, directories.keyFor(name));
    vnode.realm = inodes.realmOf(vnode, meta.realm);
    table.attach(vnode);
  }
}
