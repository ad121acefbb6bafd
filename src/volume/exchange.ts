/**
 * Exchange: two names change places, and with them what they name. Each inode keeps its identity;
 * neither name is ever missing, not even for whoever mounts after a crash.
 */
import { FilesystemError, type Plan } from '../base/index.ts';
import { InodeFlag, RenameFlag, type RenameMutation } from '../format/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { checkMove, type Entry, moveTo, settleMove } from './move.ts';
import { checkLoses, checkParent, Mutate, noEntry, stampDirectory } from './mutate.ts';
import type { Vnode } from './vnode.ts';

/** One of the two names, and what it names now. */
interface Side extends Entry {
  readonly vnode: Vnode;
}

export class Exchange extends Mutate<void> {
  readonly #record: RenameMutation;
  readonly #from: Vnode;
  readonly #to: Vnode;
  #left!: Side;
  #right!: Side;

  constructor(engine: Engine, record: RenameMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#from = engine.vnode(record.parent);
    this.#to = engine.vnode(record.newParent);
    checkName(record.newName);
    if (record.flags !== RenameFlag.EXCHANGE) {
      throw new FilesystemError('EINVAL', `Cannot exchange: flags ${record.flags} contradict it`);
    }
  }

  protected override look(plan: Plan): boolean {
    const { name, newName } = this.#record;
    checkParent(this.engine, this.#from);
    checkParent(this.engine, this.#to);
    const left = this.#find(this.#from, name, plan);
    if (left === undefined) return false;
    const right = this.#find(this.#to, newName, plan);
    if (right === undefined) return false;
    this.#left = left;
    this.#right = right;
    if (left.vnode === right.vnode) return plan.ready;
    checkLoses(this.engine, this.#from, left.vnode);
    checkLoses(this.engine, this.#to, right.vnode);
    checkMove(left.vnode, this.#from, this.#to);
    checkMove(right.vnode, this.#to, this.#from);
    return this.#planSide(left, plan) && this.#planSide(right, plan) && plan.ready;
  }

  protected override change(): void {
    const { engine } = this;
    const [left, right] = [this.#left, this.#right];
    // Two names of one inode: nothing is done, as POSIX has it of renames.
    if (left.vnode === right.vnode) return;
    const { inodes } = engine;
    const { time } = this.#record;
    for (const { directory } of [left, right]) inodes.claim(directory);
    for (const { directory, key, vnode } of [left, right]) {
      // All leaves are changeable before any slot changes hands: what is copied later would be
      // read again by vnodes whose records have been written over.
      engine.trees.update(directory.entries, key, engine.position);
      inodes.claim(vnode);
      inodes.touch(directory);
      inodes.touch(vnode);
    }
    moveTo(engine, left.vnode, right, true);
    moveTo(engine, right.vnode, left, true);
    const more = Number(right.vnode.isDirectory) - Number(left.vnode.isDirectory);
    left.directory.nlink += more;
    right.directory.nlink -= more;
    settleMove(engine, left.vnode, right.directory, time);
    settleMove(engine, right.vnode, left.directory, time);
    stampDirectory(engine, left.directory, time);
    if (right.directory !== left.directory) stampDirectory(engine, right.directory, time);
  }

  #find(directory: Vnode, name: string, plan: Plan): Side | undefined {
    const { directories, inodes, position } = this.engine;
    const found = directories.find(directory, name, position, plan);
    if (found === 'missing') return undefined;
    if (found === 'none') throw noEntry(name);
    const { key } = position;
    const vnode = inodes.load(directory, name, position, plan);
    return vnode && { directory, name, key, vnode };
  }

  #planSide({ directory, key, vnode }: Side, plan: Plan): boolean {
    const { inodes, trees } = this.engine;
    if (!inodes.planClaim(directory, plan)) return false;
    if (!trees.planInsert(directory.entries, key, inodes.planShared, plan)) return false;
    return !vnode.has(InodeFlag.LINKED) || inodes.planClaim(vnode, plan);
  }
}
