/**
 * Link: inodes get names.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import { InodeFlag, type LinkMutation, linkRecordLength } from '../format/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { writeLinkRecord } from './inode-record.ts';
import {
  checkMutable,
  checkParent,
  checkWritable,
  Mutate,
  markLinksBelow,
  nameExists,
  stampDirectory,
} from './mutate.ts';
import type { Vnode, VnodeTree } from './vnode.ts';

/** Names an inode can have at the most. */
const LINKS_MAX = 65000;

/**
 * Gives an inode one name more. With its second name an inode moves from its directory into the
 * link table of its realm, where all its names find it; with its first one, if it was made without,
 * from the orphans into the directory.
 */
export class Link extends Mutate<void> {
  readonly #record: LinkMutation;
  readonly #target: Vnode;
  readonly #parent: Vnode;
  #key = 0;

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
    checkParent(engine, parent);
    this.#check();
    const { name } = this.#record;
    if (parent.children?.has(name)) throw nameExists(name);
    const found = directories.find(parent, name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'found') throw nameExists(name);
    const key = directories.keyFor(name);
    this.#key = key;
    if (!inodes.planClaim(parent, plan)) return false;
    if (!trees.planInsert(parent.entries, key, inodes.planShared, plan)) return false;
    if (!inodes.planClaim(target, plan)) return false;
    const above = inodes.planShared;
    if (target.unlinked) {
      return trees.planRemove(target.holder as VnodeTree, target.key, above, plan) && plan.ready;
    }
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
    const { inodes } = engine;
    const { time } = this.#record;
    const target = this.#target;
    const parent = this.#parent;
    if (target.unlinked) this.#moveFromOrphans();
    else this.#addName();
    target.nlink++;
    target.ctime = time;
    target.change++;
    inodes.touch(target);
    parent.size++;
    stampDirectory(engine, parent, time);
  }

  #addName(): void {
    const { engine } = this;
    const { inodes, trees, store, table } = engine;
    const { name } = this.#record;
    const target = this.#target;
    const parent = this.#parent;
    if (!target.has(InodeFlag.LINKED)) this.#moveToTable();
    inodes.claim(parent);
    trees.insert(parent.entries, this.#key, linkRecordLength(name.length), engine.position);
    inodes.touch(parent);
    writeLinkRecord({ name, ino: target.ino }, store.blocks.bytes, engine.position.at);
    table.detach(target);
    target.name = name;
    target.namedIn = parent;
    table.attach(target);
    inodes.claim(target);
    markLinksBelow(engine, parent);
  }

  /** The record that waits among the orphans gets its name, and loses what told whose it is. */
  #moveFromOrphans(): void {
    const { inodes, orphans, table } = this.engine;
    const target = this.#target;
    const parent = this.#parent;
    inodes.claim(parent);
    inodes.claim(target);
    table.detach(target);
    inodes.remove(target);
    orphans.size--;
    target.flags &= ~InodeFlag.REALM;
    target.realm = parent.realm;
    target.ownRealm = 0;
    target.outerRealm = 0;
    target.unlinked = false;
    target.linkable = false;
    target.name = this.#record.name;
    inodes.insert(target, parent.entries, this.#key);
    table.attach(target);
  }

  #check(): void {
    const target = this.#target;
    checkWritable(target);
    checkMutable(this.engine, target);
    if (target.isDirectory) throw new FilesystemError('EPERM', 'Cannot link a directory');
    if (target.unlinked && !target.linkable) {
      throw new FilesystemError('ENOENT', 'Cannot link a file that was removed');
    }
    if (!target.linkable && target.realm.root.holder === undefined) {
      throw new FilesystemError('EPERM', 'Cannot link a file beside the snapshots');
    }
    if (!this.#isHome()) {
      throw new FilesystemError('EXDEV', 'Cannot link a file into another clone');
    }
    if (target.nlink >= LINKS_MAX) {
      throw new FilesystemError('EMLINK', `Cannot link the file: it has ${target.nlink} names`);
    }
  }

  /**
   * Whether the inode would be the same in the directory. Nothing that is named keeps the root of
   * its realm in memory if it has no name yet, so its realm may be known there by a newer object.
   */
  #isHome(): boolean {
    const [own, other] = [this.#target.realm, this.#parent.realm];
    return this.#target.linkable ? own.id === other.id : own === other;
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
