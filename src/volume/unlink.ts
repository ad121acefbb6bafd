/**
 * Unlink: names go, one by one or a whole tree at once.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import { InodeFlag, type UnlinkMutation, UnlinkWhat } from '../format/index.ts';
import type { KeyedPosition } from '../tree/index.ts';
import type { Engine } from './engine.ts';
import {
  checkLoses,
  checkParent,
  checkWritable,
  isDisposable,
  Mutate,
  noEntry,
  stampDirectory,
} from './mutate.ts';
import {
  forget,
  forgetBelow,
  freeOrphan,
  planForget,
  planForgetBelow,
  planFreeOrphan,
  planRemoveName,
  removeName,
} from './removal.ts';
import type { Vnode } from './vnode.ts';

/** Takes a name away. */
export class Unlink extends Mutate<void> {
  readonly #record: UnlinkMutation;
  readonly #parent: Vnode;
  #key = 0;
  #target: Vnode | undefined;

  constructor(engine: Engine, record: UnlinkMutation) {
    super(engine, record, 'delete');
    this.#record = record;
    this.#parent = engine.vnode(record.parent);
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const { name, what } = this.#record;
    const parent = this.#parent;
    checkParent(engine, parent);
    const found = engine.directories.find(parent, name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'none') throw noEntry(name);
    this.#key = engine.position.key;
    const target = engine.inodes.load(parent, name, engine.position as KeyedPosition, plan);
    if (target === undefined) return false;
    this.#target = target;
    checkLoses(engine, parent, target);
    if (what === UnlinkWhat.TREE) return this.#lookTree(target, plan);
    checkKind(target, what === UnlinkWhat.DIRECTORY);
    if (!this.#planEntry(plan)) return false;
    return planRemoveName(engine, target, this, plan);
  }

  protected override change(): void {
    const { engine } = this;
    const { name, what, time } = this.#record;
    const parent = this.#parent;
    const target = this.#target as Vnode;
    if (target.opens + target.holds > 0) engine.records.announce(target);
    if (what === UnlinkWhat.TREE) engine.inodes.push(target);
    engine.inodes.claim(parent);
    engine.trees.remove(parent.entries, this.#key);
    if (target.has(InodeFlag.LINKED) && target.namedIn === parent && target.name === name) {
      target.namedIn = undefined;
    }
    parent.size--;
    if (target.isDirectory) parent.nlink--;
    stampDirectory(engine, parent, time);
    if (what === UnlinkWhat.TREE) this.#removeTree(target);
    else removeName(engine, target, time);
  }

  #planEntry(plan: Plan): boolean {
    const { inodes, trees } = this.engine;
    if (!inodes.planClaim(this.#parent, plan)) return false;
    return trees.planRemove(this.#parent.entries, this.#key, inodes.planShared, plan);
  }

  /**
   * A tree goes as one: its root moves into the reclaim queue. Nothing of it may be in flight.
   * Inodes in it that are open become orphans in the same turn.
   */
  #lookTree(target: Vnode, plan: Plan): boolean {
    const { engine } = this;
    if (!target.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot remove a file as a tree');
    const guarded = target.has(InodeFlag.GUARDED_BELOW);
    if (guarded && !isDisposable(engine, this.#parent, target)) {
      throw new FilesystemError(
        'ENOTSUP',
        'Cannot remove the directory at once: it has guarded files',
      );
    }
    if (target.has(InodeFlag.HAS_LINKS_BELOW) && target.realm.root !== target) {
      throw new FilesystemError(
        'ENOTSUP',
        'Cannot remove the directory at once: files below it may have names elsewhere',
      );
    }
    if (!this.#planEntry(plan)) return false;
    return planForgetBelow(engine, target, this, plan) && planForget(engine, target, this, plan);
  }

  #removeTree(target: Vnode): void {
    const { engine } = this;
    engine.table.detach(target);
    engine.inodes.untouch(target);
    forgetBelow(engine, target);
    target.nlink = 0;
    forget(engine, target);
  }
}

/** The end of an inode without names that was closed last. Not a change anybody can see. */
export class FreeOrphan extends Mutate<void> {
  readonly #vnode: Vnode;
  readonly #holds: number;

  /** `holds` are those of whoever ends it: they go in the same turn. */
  constructor(engine: Engine, vnode: Vnode, holds = 0) {
    super(engine, undefined, 'delete');
    this.#vnode = vnode;
    this.#holds = holds;
  }

  protected override look(plan: Plan): boolean {
    const gone = !this.#vnode.unlinked || this.#vnode.opens > 0 || this.#vnode.holder === undefined;
    return gone || planFreeOrphan(this.engine, this.#vnode, this, plan);
  }

  protected override change(): void {
    const vnode = this.#vnode;
    if (vnode.unlinked && vnode.opens === 0 && vnode.holder !== undefined) {
      vnode.holds -= this.#holds;
      freeOrphan(this.engine, vnode);
    }
  }
}

/** @throws {FilesystemError} `EISDIR`, `ENOTDIR` or `ENOTEMPTY` */
export function checkKind(target: Vnode, directory: boolean): void {
  checkWritable(target);
  if (!directory && target.isDirectory) {
    throw new FilesystemError('EISDIR', 'Cannot unlink a directory as a file');
  }
  if (directory && !target.isDirectory) {
    throw new FilesystemError('ENOTDIR', 'Cannot remove a file as a directory');
  }
  if (directory && target.size > 0) {
    throw new FilesystemError('ENOTEMPTY', `Cannot remove a directory with ${target.size} entries`);
  }
}
