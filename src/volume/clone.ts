/**
 * Clone: a file, a directory with everything below it, or the live volume, once more.
 *
 * Whatever it is, it costs one count for each slot of its inode (a handful at the most) and one
 * record. What the source has in memory only is brought into its tree first: its dirty data is
 * written back, and in the turn of the clone its records are brought up to date. So the clone holds
 * exactly what a reader of the source would have seen in that turn.
 *
 * Y1. A cloned directory is the root of a new realm: inode numbers below it stay as they are, and
 *     mean other inodes there.
 * Y2. If linked files may be below it, it shares the link table of its realm too. Names of such a
 *     file outside the cloned directory still count in the clone's `nlink`.
 */
import { FilesystemError, type InodeNumber, type Plan } from '../base/index.ts';
import {
  type CloneMutation,
  InodeFlag,
  SETTABLE_FLAGS,
  SLOT_WORDS,
  SlotRole,
  slotHasBlock,
  TreeKind,
} from '../format/index.ts';
import type { IomapFile } from '../iomap/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { checkParent, Mutate, markGuardsBelow, stampDirectory } from './mutate.ts';
import { checkUnpinned } from './pin.ts';
import { forEachRoot } from './roots.ts';
import { LINKS_AT, Realm, type Vnode } from './vnode.ts';

/**
 * Flags that a cloned directory has too, as all inodes below it. A cloned file is a new one, but
 * for what its blocks depend on.
 */
const KEPT_FLAGS = SETTABLE_FLAGS | InodeFlag.HAS_LINKS_BELOW | InodeFlag.GUARDED_BELOW;

/** Rounds of draining before writers are made to wait. */
const OPEN_ROUNDS = 2;

/** Clones; its result is the new vnode, held for the caller. */
export class Clone extends Mutate<Vnode> {
  readonly #record: CloneMutation;
  readonly #source: Vnode;
  readonly #parent: Vnode;
  #rounds = 0;

  constructor(engine: Engine, record: CloneMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#source = engine.vnode(record.source);
    this.#parent = engine.vnode(record.parent);
    checkName(record.name);
  }

  protected override prepare(plan: Plan): void {
    const { store } = this.engine;
    // The gate that this very clone has shut does not hold it up.
    if (store.gate === this) store.gate = undefined;
    super.prepare(plan);
    if (this.#rounds > OPEN_ROUNDS && !plan.ready && store.gate === undefined) store.gate = this;
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const { directories, inodes, trees, cow } = engine;
    const source = this.#source;
    const parent = this.#parent;
    checkParent(engine, parent);
    for (const vnode of engine.pinned) if (this.#contains(vnode)) checkUnpinned(vnode);
    if (source.unlinked) throw new FilesystemError('ENOENT', 'Cannot clone what was removed');
    if (parent.children?.has(this.#record.name)) throw this.#exists();
    const found = directories.find(parent, this.#record.name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'found') throw this.#exists();
    const key = directories.keyFor(this.#record.name);
    const { pool } = engine;
    const isCloned = (file: IomapFile) => this.#contains(file as Vnode);
    if (pool.views.size > 0 && !pool.settled(plan, isCloned)) return false;
    if (!pool.drained(plan, isCloned)) {
      this.#rounds++;
      return false;
    }
    if (!inodes.planClaim(parent, plan, source)) return false;
    const above = inodes.planShared;
    if (!trees.planInsert(parent.entries, key, above, plan)) return false;
    forEachRoot(source, (at, role, detail) => {
      if (at !== LINKS_AT) cow.planShare(source.slots, at, role, detail, plan);
    });
    const links = this.#linkTable();
    if (links !== undefined) {
      cow.planShare(links.slots, LINKS_AT, SlotRole.KEYED, TreeKind.LINKS, plan);
    }
    return plan.ready;
  }

  protected override change(): Vnode {
    const { engine } = this;
    const { directories, inodes, table } = engine;
    const record = this.#record;
    const parent = this.#parent;
    const key = directories.keyFor(record.name);
    inodes.push(this.#source);
    const links = this.#linkTable();
    if (links !== undefined) inodes.push(links);
    const vnode = table.make();
    record.handle = vnode.id;
    this.#copyInode(vnode);
    this.#shareSlots(vnode, links);
    inodes.epoch++;
    engine.overwrites.shared((other) => this.#contains(other));
    inodes.claim(parent);
    inodes.insert(vnode, parent.entries, key);
    table.attach(vnode);
    parent.size++;
    if (vnode.isDirectory) parent.nlink++;
    if (vnode.has(InodeFlag.GUARDED_BELOW)) markGuardsBelow(engine, parent);
    stampDirectory(engine, parent, record.time);
    return vnode;
  }

  protected override release(): void {
    if (this.engine.store.gate === this) this.engine.store.gate = undefined;
    super.release();
  }

  /** True if the clone will contain the data of this inode. */
  #contains(vnode: Vnode): boolean {
    if (vnode.isWithin(this.#source)) return true;
    return vnode.has(InodeFlag.LINKED) && vnode.parent === this.#linkTable();
  }

  /** The root of the realm whose link table the clone shares, if it needs one. */
  #linkTable(): Vnode | undefined {
    const source = this.#source;
    const below = source.isDirectory && source.has(InodeFlag.HAS_LINKS_BELOW);
    return below && slotHasBlock(source.realm.root.slots, LINKS_AT) ? source.realm.root : undefined;
  }

  #copyInode(vnode: Vnode): void {
    const source = this.#source;
    const record = this.#record;
    const { engine } = this;
    vnode.kind = source.kind;
    vnode.depth = source.depth;
    vnode.flags = source.flags & (source.isDirectory ? KEPT_FLAGS : InodeFlag.INPLACE);
    vnode.mode = source.mode;
    vnode.uid = source.uid;
    vnode.gid = source.gid;
    vnode.rdev = source.rdev;
    vnode.nlink = source.isDirectory ? source.nlink : 1;
    vnode.generation = source.generation;
    vnode.size = source.size;
    vnode.blocks = source.blocks;
    vnode.atime = source.atime;
    vnode.mtime = source.mtime;
    vnode.ctime = record.time;
    vnode.btime = record.time;
    vnode.project = source.project;
    vnode.inline = source.inline;
    vnode.attributes = source.attributes;
    vnode.attributeBlocks = source.attributeBlocks;
    vnode.name = record.name;
    vnode.holds = 1;
    if (!source.isDirectory) {
      record.ino = engine.takeInode(record.ino);
      vnode.ino = record.ino as InodeNumber;
      vnode.realm = this.#parent.realm;
      return;
    }
    record.ino = source.ino;
    record.realm = engine.takeRealm(record.realm);
    vnode.ino = source.ino;
    vnode.flags |= InodeFlag.REALM | (record.readOnly ? InodeFlag.READ_ONLY : 0);
    vnode.ownRealm = record.realm;
    vnode.outerRealm = this.#parent.realm.id;
    vnode.realm = new Realm(record.realm, vnode, record.readOnly);
  }

  #shareSlots(vnode: Vnode, links: Vnode | undefined): void {
    const { cow } = this.engine;
    const { slots } = vnode;
    slots.set(this.#source.slots);
    slots.fill(0, LINKS_AT, LINKS_AT + SLOT_WORDS);
    forEachRoot(vnode, (at, role, detail) => cow.share(slots, at, role, detail));
    if (links === undefined) return;
    slots.set(links.slots.subarray(LINKS_AT, LINKS_AT + SLOT_WORDS), LINKS_AT);
    cow.share(slots, LINKS_AT, SlotRole.KEYED, TreeKind.LINKS);
  }

  #exists(): FilesystemError {
    const name = JSON.stringify(this.#record.name);
    return new FilesystemError('EEXIST', `Cannot clone to ${name}: the name exists`);
  }
}
