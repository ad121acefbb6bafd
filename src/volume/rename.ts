/**
 * Rename: an inode gets another name. What had that name loses it; under the old name nothing is
 * left, or, if that was asked for, a *whiteout*: a character device 0/0, by which an overlay of the
 * kernel says that the name is gone. All of it is one step.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import {
  InodeFlag,
  InodeKind,
  RenameFlag,
  type RenameMutation,
  type WhiteoutMutation,
} from '../format/index.ts';
import { newInode } from './create.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { checkMove, moveTo, settleMove } from './move.ts';
import { checkLoses, checkParent, Mutate, noEntry, stampDirectory } from './mutate.ts';
import { planRemoveName, removeName } from './removal.ts';
import { checkKind } from './unlink.ts';
import type { Vnode } from './vnode.ts';

export class Rename extends Mutate<void> {
  readonly #record: RenameMutation | WhiteoutMutation;
  readonly #from: Vnode;
  readonly #to: Vnode;
  #source!: Vnode;
  #sourceKey = 0;
  #target: Vnode | undefined;
  #targetKey = 0;
  /** Both names are the same inode: nothing is done, as POSIX has it. */
  #same = false;

  constructor(engine: Engine, record: RenameMutation | WhiteoutMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#from = engine.vnode(record.parent);
    this.#to = engine.vnode(record.newParent);
    checkName(record.newName);
    if ((record.flags & ~RenameFlag.NO_REPLACE) !== 0) {
      throw new FilesystemError('EINVAL', `Cannot rename: flags ${record.flags} are not supported`);
    }
  }

  protected override look(plan: Plan): boolean {
    checkParent(this.engine, this.#from);
    checkParent(this.engine, this.#to);
    if (!this.#find(plan)) return false;
    if (this.#same) return plan.ready;
    this.#check();
    const { inodes, trees } = this.engine;
    if (!inodes.planClaim(this.#from, plan)) return false;
    if (!this.#planOldName(inodes.planShared, plan)) return false;
    if (!inodes.planClaim(this.#to, plan)) return false;
    const toShared = inodes.planShared;
    if (!trees.planInsert(this.#to.entries, this.#targetKey, toShared, plan)) return false;
    if (this.#source.has(InodeFlag.LINKED) && !inodes.planClaim(this.#source, plan)) return false;
    if (this.#target === undefined) return plan.ready;
    return planRemoveName(this.engine, this.#target, this, plan);
  }

  protected override change(): void {
    if (this.#same) return;
    const { engine } = this;
    const { inodes, trees } = engine;
    const { time } = this.#record;
    const from = this.#from;
    const to = this.#to;
    const source = this.#source;
    inodes.claim(from);
    inodes.claim(to);
    inodes.touch(from);
    inodes.touch(to);
    // Both leaves are changeable before any slot changes hands, and the old name goes last: taking
    // a record out may take its leaf along, and then nobody has planned where the new one goes.
    trees.update(from.entries, this.#sourceKey, engine.position);
    if (this.#target !== undefined) this.#replace(this.#target);
    const entry = { directory: to, name: this.#record.newName, key: this.#targetKey };
    moveTo(engine, source, entry, this.#target !== undefined);
    if (this.#target !== undefined) engine.records.replaces(source);
    to.size++;
    this.#endOldName();
    if (source.isDirectory) from.nlink--;
    if (source.isDirectory) to.nlink++;
    settleMove(engine, source, to, time);
    stampDirectory(engine, from, time);
    if (to !== from) stampDirectory(engine, to, time);
  }

  #find(plan: Plan): boolean {
    const { engine } = this;
    const { directories, inodes, position } = engine;
    const { name, newName } = this.#record;
    const found = directories.find(this.#from, name, position, plan);
    if (found === 'missing') return false;
    if (found === 'none') throw noEntry(name);
    this.#sourceKey = position.key;
    const source = inodes.load(this.#from, name, position, plan);
    if (source === undefined) return false;
    this.#source = source;
    const taken = directories.find(this.#to, newName, position, plan);
    if (taken === 'missing') return false;
    this.#target = undefined;
    this.#targetKey = taken === 'found' ? position.key : directories.keyFor(newName);
    if (taken === 'none') return true;
    this.#target = inodes.load(this.#to, newName, position, plan);
    this.#same = this.#target === source;
    return this.#target !== undefined;
  }

  #check(): void {
    const source = this.#source;
    const target = this.#target;
    checkLoses(this.engine, this.#from, source);
    if (target !== undefined) {
      if ((this.#record.flags & RenameFlag.NO_REPLACE) !== 0) {
        throw new FilesystemError('EEXIST', 'Cannot rename: the new name exists');
      }
      checkLoses(this.engine, this.#to, target);
      checkKind(target, source.isDirectory);
    }
    checkMove(source, this.#from, this.#to);
  }

  /** What had the new name loses it; the record that says so is written over by {@link moveTo}. */
  #replace(target: Vnode): void {
    const { engine } = this;
    const { newName, time } = this.#record;
    if (target.opens + target.holds > 0) engine.records.announce(target);
    engine.trees.update(this.#to.entries, this.#targetKey, engine.position);
    if (target.namedIn === this.#to && target.name === newName) target.namedIn = undefined;
    this.#to.size--;
    if (target.isDirectory) this.#to.nlink--;
    removeName(engine, target, time);
  }

  #planOldName(shared: boolean, plan: Plan): boolean {
    const { trees } = this.engine;
    const { entries } = this.#from;
    if (this.#record.type === 'rename') {
      return trees.planRemove(entries, this.#sourceKey, shared, plan);
    }
    return trees.planInsert(entries, this.#sourceKey, shared, plan);
  }

  #endOldName(): void {
    const { engine } = this;
    const from = this.#from;
    const record = this.#record;
    if (record.type === 'rename') {
      engine.trees.remove(from.entries, this.#sourceKey);
      from.size--;
      return;
    }
    const { name, uid, gid, time, ino } = record;
    const kind = InodeKind.CHARACTER;
    const whiteout = newInode(engine, from, { kind, mode: 0, uid, gid, rdev: 0, time, ino });
    record.ino = whiteout.ino;
    whiteout.name = name;
    engine.inodes.insert(whiteout, from.entries, this.#sourceKey, true);
    engine.table.attach(whiteout);
  }
}
