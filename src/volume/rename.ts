/**
 * Rename: an inode keeps its identity and gets another name.
 *
 * Across realms too: the record then states its realm, and a directory that moves takes its realm
 * along. Only linked files cannot leave their realm (their other names could not find them), nor
 * directories with such files below, unless they bring the link table with them.
 */
import { assert, FilesystemError, type Plan } from '../base/index.ts';
import { InodeFlag, linkRecordLength, RenameFlag, type RenameMutation } from '../format/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { writeLinkRecord } from './inode-record.ts';
import { checkParent, Mutate, markLinksBelow, noEntry, stampDirectory } from './mutate.ts';
import { planRemoveName, removeName } from './removal.ts';
import { checkKind } from './unlink.ts';
import { Realm, type Vnode } from './vnode.ts';

export class Rename extends Mutate<void> {
  readonly #record: RenameMutation;
  readonly #from: Vnode;
  readonly #to: Vnode;
  #source!: Vnode;
  #sourceKey = 0;
  #target: Vnode | undefined;
  #targetKey = 0;
  /** Both names are the same inode: nothing is done, as POSIX has it. */
  #same = false;

  constructor(engine: Engine, record: RenameMutation) {
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
    checkParent(this.#from);
    checkParent(this.#to);
    if (!this.#find(plan)) return false;
    if (this.#same) return plan.ready;
    this.#check();
    const { inodes, trees } = this.engine;
    if (!inodes.planClaim(this.#from, plan)) return false;
    const fromShared = inodes.planShared;
    if (!trees.planRemove(this.#from.entries, this.#sourceKey, fromShared, plan)) return false;
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
    this.#insert();
    trees.remove(from.entries, this.#sourceKey);
    from.size--;
    to.size++;
    if (source.isDirectory) from.nlink--;
    if (source.isDirectory) to.nlink++;
    // A realm's root keeps its links to itself.
    const links = source.has(InodeFlag.HAS_LINKS_BELOW) && source.realm.root !== source;
    if (links || source.has(InodeFlag.LINKED)) markLinksBelow(engine, to);
    inodes.claim(source);
    source.ctime = time;
    source.change++;
    inodes.touch(source);
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
    if (target !== undefined) {
      if ((this.#record.flags & RenameFlag.NO_REPLACE) !== 0) {
        throw new FilesystemError('EEXIST', 'Cannot rename: the new name exists');
      }
      checkKind(target, source.isDirectory);
    }
    if (source.isDirectory && this.#to.isWithin(source)) {
      throw new FilesystemError('EINVAL', 'Cannot move a directory into itself');
    }
    const linked =
      source.has(InodeFlag.LINKED) ||
      (source.has(InodeFlag.HAS_LINKS_BELOW) && source.realm.root !== source);
    if (linked && this.#from.realm !== this.#to.realm) {
      throw new FilesystemError('EXDEV', 'Cannot move files with several names to another clone');
    }
  }

  /** What had the new name loses it; the record that says so is written over by {@link #insert}. */
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

  #insert(): void {
    const { engine } = this;
    const { inodes, trees, table, store, position } = engine;
    const { newName } = this.#record;
    const source = this.#source;
    const to = this.#to;
    const key = this.#targetKey;
    const taken = this.#target !== undefined;
    table.detach(source);
    source.name = newName;
    if (source.has(InodeFlag.LINKED)) {
      source.namedIn = to;
      const length = linkRecordLength(newName.length);
      if (taken) trees.resize(to.entries, key, length, position);
      else trees.insert(to.entries, key, length, position);
      inodes.touch(to);
      writeLinkRecord({ name: newName, ino: source.ino }, store.blocks.bytes, position.at);
    } else {
      inodes.untouch(source);
      this.#stateRealm();
      inodes.insert(source, to.entries, key, taken);
    }
    table.attach(source);
    assert(source.parent !== undefined, 'a renamed inode has a parent');
  }

  /** An inode that leaves its realm, or that has one of its own, says so in its record. */
  #stateRealm(): void {
    const source = this.#source;
    const { realm } = source;
    const outer = this.#to.realm;
    if (!source.has(InodeFlag.REALM) && realm === outer) return;
    const first = !source.has(InodeFlag.REALM);
    source.flags |= InodeFlag.REALM;
    source.ownRealm = realm.id;
    source.outerRealm = outer.id;
    if (!first) return;
    const own = new Realm(realm.id, source, outer.readOnly);
    for (const vnode of this.engine.table.all) {
      if (vnode.realm === realm && vnode.isWithin(source)) vnode.realm = own;
    }
  }
}
