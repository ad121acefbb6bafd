/**
 * Create and link: new names.
 */
import { assert, copyBinary, FilesystemError, type InodeNumber, type Plan } from '../base/index.ts';
import {
  type CreateMutation,
  INLINE_MAX,
  InodeFlag,
  InodeKind,
  type LinkMutation,
  linkRecordLength,
  SlotKind,
  TARGET_MAX,
} from '../format/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { writeLinkRecord } from './inode-record.ts';
import { checkParent, checkWritable, Mutate, markLinksBelow, stampDirectory } from './mutate.ts';
import type { Vnode } from './vnode.ts';

const EXISTS = (name: string): FilesystemError =>
  new FilesystemError('EEXIST', `Cannot create ${JSON.stringify(name)}: the name exists`);

/** Names an inode can have at the most. */
const LINKS_MAX = 65000;

/** What a new inode is told of itself. */
type NewInode = Pick<CreateMutation, 'kind' | 'mode' | 'uid' | 'gid' | 'rdev' | 'time' | 'ino'>;

/** A new inode that has no place yet. */
export function newInode(engine: Engine, of: NewInode): Vnode {
  const { kind, mode, uid, gid, rdev, time, ino } = of;
  const vnode = engine.table.make();
  vnode.ino = engine.takeInode(ino) as InodeNumber;
  vnode.kind = kind;
  vnode.mode = mode;
  vnode.uid = uid;
  vnode.gid = gid;
  vnode.rdev = rdev;
  vnode.nlink = kind === InodeKind.DIRECTORY ? 2 : 1;
  vnode.atime = time;
  vnode.mtime = time;
  vnode.ctime = time;
  vnode.btime = time;
  return vnode;
}

/** Makes an inode and its name; its result is the vnode, held for the caller. */
export class Create extends Mutate<Vnode> {
  readonly #record: CreateMutation;
  readonly #parent: Vnode;

  constructor(engine: Engine, record: CreateMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#parent = engine.vnode(record.parent);
    checkName(record.name);
    if (record.target.length > TARGET_MAX) {
      throw new FilesystemError(
        'ENAMETOOLONG',
        `Cannot create a symbolic link: its target has ${record.target.length} bytes, ` +
          `at most ${TARGET_MAX} are possible`,
      );
    }
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const { name, target } = this.#record;
    const parent = this.#parent;
    checkParent(parent);
    if (parent.children?.has(name)) throw EXISTS(name);
    const found = engine.directories.find(parent, name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'found') throw EXISTS(name);
    const key = engine.directories.keyFor(name);
    if (!engine.inodes.planClaim(parent, plan)) return false;
    if (target.length > INLINE_MAX) plan.blocks++;
    return engine.trees.planInsert(parent.entries, key, engine.inodes.planShared, plan);
  }

  protected override change(): Vnode {
    const { engine } = this;
    const record = this.#record;
    const parent = this.#parent;
    const key = engine.directories.keyFor(record.name);
    const vnode = newInode(engine, record);
    record.handle = vnode.id;
    record.ino = vnode.ino;
    vnode.realm = parent.realm;
    vnode.name = record.name;
    vnode.holds = 1;
    if (record.kind === InodeKind.SYMLINK) this.#setTarget(vnode);
    engine.inodes.claim(parent);
    engine.inodes.insert(vnode, parent.entries, key);
    engine.table.attach(vnode);
    parent.size++;
    if (record.kind === InodeKind.DIRECTORY) parent.nlink++;
    stampDirectory(engine, parent, record.time);
    return vnode;
  }

  /** A short target is kept in the record, a long one in a block. */
  #setTarget(vnode: Vnode): void {
    const { target } = this.#record;
    vnode.size = target.length;
    if (target.length <= INLINE_MAX) {
      vnode.inline = new Uint8Array(target.length);
      copyBinary(target, vnode.inline, 0);
      return;
    }
    const { store } = this.engine;
    const frame = store.allocate(vnode.slots, 0, SlotKind.DATA, false);
    const view = store.blocks.view(frame).fill(0);
    copyBinary(target, view, 0);
    vnode.blocks = 1;
  }
}

/**
 * Gives an inode one name more. With its second name an inode moves from its directory into the
 * link table of its realm, where all its names find it.
 */
export class Link extends Mutate<void> {
  readonly #record: LinkMutation;
  readonly #target: Vnode;
  readonly #parent: Vnode;

  constructor(engine: Engine, record: LinkMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#target = engine.vnode(record.target);
    this.#parent = engine.vnode(record.parent);
    checkName(record.name);
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const { directories, inodes, trees } = engine;
    const target = this.#target;
    const parent = this.#parent;
    checkParent(parent);
    this.#check();
    const { name } = this.#record;
    if (parent.children?.has(name)) throw EXISTS(name);
    const found = directories.find(parent, name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'found') throw EXISTS(name);
    const key = directories.keyFor(name);
    if (!inodes.planClaim(parent, plan)) return false;
    if (!trees.planInsert(parent.entries, key, inodes.planShared, plan)) return false;
    if (!inodes.planClaim(target, plan)) return false;
    const above = inodes.planShared;
    if (!target.has(InodeFlag.LINKED)) {
      if (!inodes.planRewrite(target, plan, above)) return false;
      const { root } = target.realm;
      if (!inodes.planClaim(root, plan)) return false;
      if (!trees.planInsert(root.links, target.ino, inodes.planShared, plan)) return false;
      inodes.planRewrite(root, plan);
    }
    return plan.ready;
  }

  protected override change(): void {
    const { engine } = this;
    const { directories, inodes, trees, store, table } = engine;
    const { name, time } = this.#record;
    const target = this.#target;
    const parent = this.#parent;
    if (!target.has(InodeFlag.LINKED)) this.#moveToTable();
    inodes.claim(parent);
    const found = directories.find(parent, name, engine.position, engine.noPlan);
    assert(found === 'none', 'the name was free when it was looked for');
    const length = linkRecordLength(name.length);
    trees.insert(parent.entries, directories.keyFor(name), length, engine.position);
    inodes.touch(parent);
    writeLinkRecord({ name, ino: target.ino }, store.blocks.bytes, engine.position.at);
    table.detach(target);
    target.name = name;
    target.namedIn = parent;
    table.attach(target);
    inodes.claim(target);
    target.nlink++;
    target.ctime = time;
    target.change++;
    inodes.touch(target);
    parent.size++;
    markLinksBelow(engine, parent);
    stampDirectory(engine, parent, time);
  }

  #check(): void {
    const target = this.#target;
    checkWritable(target);
    if (target.isDirectory) throw new FilesystemError('EPERM', 'Cannot link a directory');
    if (target.unlinked) throw new FilesystemError('ENOENT', 'Cannot link a file that was removed');
    if (target.realm.root.holder === undefined) {
      throw new FilesystemError('EPERM', 'Cannot link a file beside the snapshots');
    }
    if (target.realm !== this.#parent.realm) {
      throw new FilesystemError('EXDEV', 'Cannot link a file into another clone');
    }
    if (target.nlink >= LINKS_MAX) {
      throw new FilesystemError('EMLINK', `Cannot link the file: it has ${target.nlink} names`);
    }
  }

  /** The record becomes a mere name, and the inode goes into the link table. */
  #moveToTable(): void {
    const { inodes, trees, store, table } = this.engine;
    const target = this.#target;
    const directory = target.parent as Vnode;
    const { name } = target;
    inodes.claim(target);
    const position = this.engine.position;
    const entries = directory.entries;
    trees.resize(entries, target.key, linkRecordLength(name.length), position);
    inodes.touch(directory);
    writeLinkRecord({ name, ino: target.ino }, store.blocks.bytes, position.at);
    markLinksBelow(this.engine, directory);
    table.detach(target);
    target.flags |= InodeFlag.LINKED;
    target.namedIn = directory;
    const { root } = target.realm;
    inodes.claim(root);
    inodes.insert(target, root.links, target.ino);
    inodes.rewrite(root);
    table.attach(target);
  }
}
