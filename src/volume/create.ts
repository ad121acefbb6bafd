/**
 * Create: new inodes.
 */
import { copyBinary, FilesystemError, type InodeNumber, type Plan } from '../base/index.ts';
import {
  type CreateMutation,
  INLINE_MAX,
  InodeFlag,
  InodeKind,
  SlotKind,
  TARGET_MAX,
  type TmpfileMutation,
} from '../format/index.ts';
import { checkName } from './directories.ts';
import type { Engine } from './engine.ts';
import { checkParent, Mutate, nameExists, stampDirectory } from './mutate.ts';
import { makeOrphan, planOrphan } from './removal.ts';
import type { Vnode } from './vnode.ts';

/** What a new inode is told of itself. */
type NewInode = Pick<CreateMutation, 'kind' | 'mode' | 'uid' | 'gid' | 'rdev' | 'time' | 'ino'>;

/** Flags that what is made in a directory has too. */
const INHERITED = InodeFlag.NODUMP | InodeFlag.NOATIME;

/** A new inode of the realm of a directory, that has no place yet. */
export function newInode(engine: Engine, directory: Vnode, of: NewInode): Vnode {
  const { kind, mode, uid, gid, rdev, time, ino } = of;
  const vnode = engine.table.make();
  vnode.ino = engine.takeInode(ino) as InodeNumber;
  vnode.kind = kind;
  const holdsData = kind === InodeKind.FILE || kind === InodeKind.DIRECTORY;
  vnode.flags = directory.flags & (holdsData ? INHERITED | InodeFlag.INPLACE : INHERITED);
  vnode.realm = directory.realm;
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
    checkParent(engine, parent);
    if (parent.children?.has(name)) throw nameExists(name);
    const found = engine.directories.find(parent, name, engine.position, plan);
    if (found === 'missing') return false;
    if (found === 'found') throw nameExists(name);
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
    const vnode = newInode(engine, parent, record);
    record.handle = vnode.id;
    record.ino = vnode.ino;
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
 * Makes a file without a name: an orphan from birth, that goes with its last user, or with a crash,
 * unless it gets a name before. Its result is the vnode, held for the caller, who has to open it.
 */
export class CreateTmpfile extends Mutate<Vnode> {
  readonly #record: TmpfileMutation;
  readonly #parent: Vnode;

  constructor(engine: Engine, record: TmpfileMutation) {
    super(engine, record, 'normal');
    this.#record = record;
    this.#parent = engine.vnode(record.parent);
  }

  protected override look(plan: Plan): boolean {
    const { engine } = this;
    const { realm } = this.#parent;
    checkParent(engine, this.#parent);
    return planOrphan(engine, { realm, ino: engine.peekInode(this.#record.ino) }, plan);
  }

  protected override change(): Vnode {
    const { engine } = this;
    const record = this.#record;
    const vnode = newInode(engine, this.#parent, { ...record, kind: InodeKind.FILE, rdev: 0 });
    record.handle = vnode.id;
    record.ino = vnode.ino;
    vnode.nlink = 0;
    vnode.unlinked = true;
    vnode.linkable = true;
    vnode.holds = 1;
    makeOrphan(engine, vnode);
    return vnode;
  }
}
