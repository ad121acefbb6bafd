/**
 * Mutate: the shape of every operation that changes names or attributes.
 *
 * `look` finds everything and refuses what cannot be; then the space is there, and `change` does it
 * all in the same turn and cannot fail. What was done is told to the journal, which sees operations
 * in the order in which they happened.
 */
import { FilesystemError, type Plan, PlannedOperation } from '../base/index.ts';
import { InodeFlag, type Mutation, type Time } from '../format/index.ts';
import type { SpaceUse } from '../store/index.ts';
import type { Engine } from './engine.ts';
import type { Vnode } from './vnode.ts';

export abstract class Mutate<Result> extends PlannedOperation<Result> {
  protected readonly engine: Engine;
  readonly #record: Mutation | undefined;
  readonly #use: SpaceUse;

  /** Without a record it is a change of the volume's own that no journal needs to see. */
  constructor(engine: Engine, record: Mutation | undefined, use: SpaceUse) {
    super();
    this.engine = engine;
    this.#record = record;
    this.#use = use;
  }

  protected override prepare(plan: Plan): void {
    if (!this.engine.store.admit(plan)) return;
    if (this.look(plan)) this.engine.store.settle(plan, this.#use);
  }

  protected override apply(): boolean {
    const { engine } = this;
    if (this.#record !== undefined) engine.records.announceAll(this.#record);
    const result = this.change();
    if (this.#record !== undefined) engine.records.add(this.#record);
    engine.table.trim();
    return this.finish(result);
  }

  protected override release(): void {
    if (this.plan.pinned.length > 0) this.engine.store.blocks.unpin(this.plan);
  }

  /** Finds everything. False if the plan has needs. Throws to refuse. */
  protected abstract look(plan: Plan): boolean;
  protected abstract change(): Result;
}

/** A directory that is still there and may get names. */
export function checkParent(engine: Engine, directory: Vnode): void {
  if (!directory.isDirectory) throw new FilesystemError('ENOTDIR', 'Cannot use a name in a file');
  if (directory.unlinked) {
    throw new FilesystemError('ENOENT', 'Cannot use a name in a directory that was removed');
  }
  checkWritable(directory);
  checkMutable(engine, directory, InodeFlag.IMMUTABLE);
}

/**
 * An inode that may lose a name in a directory. A snapshot may, or a clone that is read-only:
 * nobody could take its flags away.
 */
export function checkLoses(engine: Engine, directory: Vnode, vnode: Vnode): void {
  checkMutable(engine, directory);
  if (!isDisposable(engine, directory, vnode)) checkMutable(engine, vnode);
}

/** It goes with whatever is in it, guarded or not. */
export function isDisposable(engine: Engine, directory: Vnode, vnode: Vnode): boolean {
  return directory === engine.snapshots || vnode.realm.readOnly;
}

/** Flags of which any keeps an inode as it is. */
export const GUARDS: number = InodeFlag.IMMUTABLE | InodeFlag.APPEND;

/**
 * Refuses to change an inode that has one of the flags. What a log has was allowed when it was
 * done, and data that was written before a flag was set may be told after it.
 *
 * @throws {FilesystemError} `EPERM`
 */
export function checkMutable({ store }: Engine, vnode: Vnode, flags = GUARDS): void {
  if (!vnode.has(flags) || store.recovering) return;
  const kind = vnode.has(InodeFlag.IMMUTABLE) ? 'immutable' : 'append-only';
  throw new FilesystemError('EPERM', `Cannot change the inode: it is ${kind}`);
}

/**
 * A directory that was removed while somebody has it: what is set is seen by him, and ends with it.
 * No record tells of it.
 */
export function isBereft({ holder, unlinked, isDirectory }: Vnode): boolean {
  return isDirectory && unlinked && holder === undefined;
}

/** @throws {FilesystemError} `ENOENT` if it is gone, `EROFS` if it is in a read-only snapshot */
export function checkWritable(vnode: Vnode): void {
  if (vnode.holder === undefined) {
    throw new FilesystemError('ENOENT', 'Cannot change an inode that was removed');
  }
  if (!vnode.realm.readOnly) return;
  throw new FilesystemError('EROFS', 'Cannot change anything in a read-only snapshot');
}

/** The times of a directory in which a name came or went. The directory was claimed. */
export function stampDirectory(engine: Engine, directory: Vnode, time: Time): void {
  directory.mtime = time;
  directory.ctime = time;
  directory.change++;
  engine.inodes.touch(directory);
}

/** Tells all directories above that a linked name is below them. They were claimed. */
export function markLinksBelow(engine: Engine, directory: Vnode): void {
  for (let at: Vnode | undefined = directory; at !== undefined; at = at.parent) {
    if (at.has(InodeFlag.HAS_LINKS_BELOW)) return;
    engine.inodes.claim(at);
    at.flags |= InodeFlag.HAS_LINKS_BELOW;
    engine.inodes.touch(at);
    if (at.realm.root === at) return;
  }
}

/**
 * Tells all directories above, from this one on, that something guarded is below: a tree that has
 * such does not go at once. They were claimed.
 */
export function markGuardsBelow(engine: Engine, directory: Vnode | undefined): void {
  for (let at = directory; at !== undefined && at !== engine.meta; at = at.parent) {
    if (at.has(InodeFlag.GUARDED_BELOW)) return;
    engine.inodes.claim(at);
    at.flags |= InodeFlag.GUARDED_BELOW;
    engine.inodes.touch(at);
  }
}

export function noEntry(name: string): FilesystemError {
  return new FilesystemError('ENOENT', `Cannot find ${JSON.stringify(name)} in the directory`);
}

export function nameExists(name: string): FilesystemError {
  return new FilesystemError('EEXIST', `Cannot create ${JSON.stringify(name)}: the name exists`);
}
