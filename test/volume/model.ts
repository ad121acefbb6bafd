/**
 * Model: what a volume should look like, in plain objects. A clone is a deep copy here.
 *
 * It shares no code with the engine. Every operation is a *verdict*: the error that has to come, or
 * a function that does it. So a test can ask first, let the engine try, and change the model only
 * if the engine changed the volume.
 */
import type { ErrorCode } from '../../src/base/index.ts';
import { BLOCK, SparseBytes } from './sparse-bytes.ts';

export { BLOCK } from './sparse-bytes.ts';

export type Kind = 'file' | 'directory' | 'symlink' | 'fifo' | 'device';
export type AllocateWhat = 'reserve' | 'reserve behind' | 'collapse' | 'insert' | 'unshare';
export type Verdict = ErrorCode | (() => void);

/** The scope of hard links. */
export class ModelRealm {
  readonly root: ModelInode;
  readonly readOnly: boolean;
  /** What numbers of inodes belong to: what leaves a realm keeps its numbers. */
  readonly scope: object;

  constructor(root: ModelInode, readOnly: boolean, scope: object = {}) {
    this.root = root;
    this.readOnly = readOnly;
    this.scope = scope;
  }
}

export class ModelInode {
  readonly kind: Kind;
  realm!: ModelRealm;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 1;
  atime = 0;
  mtime = 0;
  ctime = 0;
  btime = 0;
  data = new SparseBytes();
  target = '';
  readonly extended = new Map<string, Uint8Array>();
  readonly entries = new Map<string, ModelInode>();
  /** Of a directory. */
  parent: ModelInode | undefined;
  name = '';
  /** It had two names once: it cannot leave its realm. */
  linked = false;
  /** Such a file may be below. */
  linksBelow = false;
  /** It was made without a name, and may get one. */
  linkable = false;
  immutable = false;
  appendOnly = false;
  /** Something that is one of them, or was, is below, or it is itself. */
  guardedBelow = false;
  /** It was cloned read-only. */
  readOnly = false;
  opens = 0;
  /** Realm and number, once they were seen: they never change. */
  identity: string | undefined;

  constructor(kind: Kind) {
    this.kind = kind;
  }

  get guarded(): boolean {
    return this.immutable || this.appendOnly;
  }

  get isDirectory(): boolean {
    return this.kind === 'directory';
  }

  isWithin(other: ModelInode): boolean {
    for (let at: ModelInode | undefined = this; at !== undefined; at = at.parent) {
      if (at === other) return true;
    }
    return false;
  }
}

/** A name in a directory. */
export interface Place {
  readonly directory: ModelInode;
  readonly name: string;
}

export class Model {
  readonly root = directory();
  readonly snapshots = directory();
  /** Open inodes without names. */
  readonly orphans = new Set<ModelInode>();

  constructor() {
    this.root.realm = new ModelRealm(this.root, false);
    this.snapshots.realm = new ModelRealm(this.snapshots, false);
  }

  at({ directory, name }: Place): ModelInode | undefined {
    return directory.entries.get(name);
  }

  create(place: Place, kind: Kind, attributes: { mode: number; target: string }, time: number) {
    return this.#new(place, () => {
      const inode = new ModelInode(kind);
      Object.assign(inode, attributes, { atime: time, mtime: time, btime: time });
      inode.realm = place.directory.realm;
      if (inode.isDirectory) inode.nlink = 2;
      this.#enter(place, inode, time);
    });
  }

  /** A file that is open and has no name; it gets one by a link. */
  tmpfile(directory: ModelInode, inode: ModelInode, time: number): Verdict {
    const refusal = refuseNames(directory);
    if (refusal !== undefined) return refusal;
    return () => {
      Object.assign(inode, { nlink: 0, linkable: true, opens: 1 });
      Object.assign(inode, { atime: time, mtime: time, ctime: time, btime: time });
      inode.realm = directory.realm;
      this.orphans.add(inode);
    };
  }

  link(target: ModelInode, place: Place, time: number): Verdict {
    const refusal = refuseNames(place.directory);
    if (refusal !== undefined) return refusal;
    if (target.realm.readOnly) return 'EROFS';
    if (target.guarded || target.isDirectory) return 'EPERM';
    if (this.orphans.has(target) && !target.linkable) return 'ENOENT';
    const { realm } = place.directory;
    if (target.linkable && target.realm.scope !== realm.scope) return 'EXDEV';
    if (!target.linkable && target.realm !== realm) return 'EXDEV';
    if (target.linkable) {
      return this.#new(place, () => {
        target.realm = realm;
        Object.assign(target, { nlink: 1, linkable: false });
        this.orphans.delete(target);
        this.#enter(place, target, time);
      });
    }
    return this.#new(place, () => {
      // Of the first name too, which becomes a mere name.
      for (const directory of this.#namesOf(target)) markLinksBelow(directory);
      target.linked = true;
      target.nlink++;
      this.#enter(place, target, time);
      markLinksBelow(place.directory);
    });
  }

  unlink(place: Place, what: 'file' | 'directory' | 'tree', time: number): Verdict {
    const target = this.at(place);
    const closed = refuseNames(place.directory);
    if (closed !== undefined) return closed;
    if (target === undefined) return 'ENOENT';
    if (this.#keeps(place, target)) return 'EPERM';
    if (what === 'tree' && target.guardedBelow && !this.#goes(place, target)) return 'ENOTSUP';
    const refusal = what === 'tree' ? refuseTree(target) : refuseRemoval(target, what);
    if (refusal !== undefined) return refusal;
    return () => {
      this.#leave(place, target, time);
      if (what === 'tree') this.#dropTree(target);
      else this.#dropName(target, time);
    };
  }

  rename(from: Place, to: Place, noReplace: boolean, time: number): Verdict {
    const source = this.at(from);
    const target = this.at(to);
    const closed = refuseNames(from.directory) ?? refuseNames(to.directory);
    if (closed !== undefined) return closed;
    if (source === undefined) return 'ENOENT';
    if (source === target) return () => {};
    if (this.#keeps(from, source)) return 'EPERM';
    if (target !== undefined) {
      if (noReplace) return 'EEXIST';
      if (this.#keeps(to, target)) return 'EPERM';
      const refusal = refuseRemoval(target, source.isDirectory ? 'directory' : 'file');
      if (refusal !== undefined) return refusal;
    }
    if (source.isDirectory && to.directory.isWithin(source)) return 'EINVAL';
    const bound = source.linked || (source.linksBelow && source.realm.root !== source);
    if (bound && from.directory.realm !== to.directory.realm) return 'EXDEV';
    return () => {
      if (target !== undefined) {
        this.#leave(to, target, time);
        this.#dropName(target, time);
      }
      this.#leave(from, source, time);
      if (source.realm.root !== source && source.realm !== to.directory.realm) openRealm(source);
      this.#enter(to, source, time);
      if (source.guardedBelow) markGuardsBelow(to.directory);
      if (source.linked || (source.linksBelow && source.realm.root !== source)) {
        markLinksBelow(to.directory);
      }
    };
  }

  exchange(left: Place, right: Place, time: number): Verdict {
    const [one, other] = [this.at(left), this.at(right)];
    const closed = refuseNames(left.directory) ?? refuseNames(right.directory);
    if (closed !== undefined) return closed;
    if (one === undefined || other === undefined) return 'ENOENT';
    if (one === other) return () => {};
    if (this.#keeps(left, one) || this.#keeps(right, other)) return 'EPERM';
    const moves = [
      { inode: one, from: left, to: right },
      { inode: other, from: right, to: left },
    ];
    for (const { inode, from, to } of moves) {
      if (inode.isDirectory && to.directory.isWithin(inode)) return 'EINVAL';
      const bound = inode.linked || (inode.linksBelow && inode.realm.root !== inode);
      if (bound && from.directory.realm !== to.directory.realm) return 'EXDEV';
    }
    return () => {
      for (const { inode, from } of moves) this.#leave(from, inode, time);
      for (const { inode, to } of moves) {
        const { realm } = to.directory;
        if (inode.realm.root !== inode && inode.realm !== realm) openRealm(inode);
        this.#enter(to, inode, time);
        if (inode.guardedBelow) markGuardsBelow(to.directory);
        if (inode.linked || (inode.linksBelow && inode.realm.root !== inode)) {
          markLinksBelow(to.directory);
        }
      }
    };
  }

  /** A rename that leaves a device under the old name. */
  whiteout(from: Place, to: Place, time: number): Verdict {
    const verdict = this.rename(from, to, false, time);
    if (typeof verdict === 'string' || this.at(from) === this.at(to)) return verdict;
    return () => {
      verdict();
      const made = this.create(from, 'device', { mode: 0, target: '' }, time);
      if (typeof made === 'string') throw new Error(`A whiteout is ${made}`);
      made();
    };
  }

  clone(source: ModelInode, place: Place, readOnly: boolean, time: number): Verdict {
    return this.#new(place, () => {
      const copy = deepCopy(source, place.directory.realm, readOnly);
      copy.btime = time;
      this.#enter(place, copy, time);
      if (copy.guardedBelow) markGuardsBelow(place.directory);
    });
  }

  setAttributes(
    target: ModelInode,
    change: { mode: number; uid: number; mtime: number },
    time: number,
  ) {
    const refusal = target.guarded ? 'EPERM' : undefined;
    return this.#change(target, () => Object.assign(target, change, { ctime: time }), refusal);
  }

  setExtended(
    target: ModelInode,
    name: string,
    value: Uint8Array | undefined,
    time: number,
  ): Verdict {
    const open = !target.realm.readOnly && !target.guarded;
    if (open && value === undefined && !target.extended.has(name)) {
      return 'ENODATA';
    }
    const change = (): void => {
      if (value === undefined) target.extended.delete(name);
      else target.extended.set(name, value);
      target.ctime = time;
    };
    return this.#change(target, change, target.guarded ? 'EPERM' : undefined);
  }

  write(target: ModelInode, offset: number, data: Uint8Array, time: number): Verdict {
    if (target.isDirectory) return 'EISDIR';
    if (target.kind !== 'file') return 'EINVAL';
    const appends = offset >= target.data.size;
    if (target.immutable || (target.appendOnly && !appends)) return 'EPERM';
    return this.#change(target, () => {
      target.data.write(offset, data);
      target.mtime = time;
      target.ctime = time;
    });
  }

  truncate(target: ModelInode, size: number, time: number): Verdict {
    if (target.isDirectory) return 'EISDIR';
    if (target.kind !== 'file') return 'EINVAL';
    if (target.guarded) return 'EPERM';
    return this.#change(target, () => {
      target.data.truncate(size);
      target.mtime = time;
      target.ctime = time;
    });
  }

  /** Makes zeros of a range; with `grow`, a file that ends before becomes longer. */
  clear(
    target: ModelInode,
    { offset, length, grow }: { offset: number; length: number; grow: boolean },
    time: number,
  ): Verdict {
    if (target.isDirectory) return 'EISDIR';
    if (target.kind !== 'file') return 'EINVAL';
    if (target.guarded) return 'EPERM';
    return this.#change(target, () => {
      target.data.punch(offset, length);
      if (grow) target.data.size = Math.max(target.data.size, offset + length);
      target.mtime = time;
      target.ctime = time;
    });
  }

  /** What fallocate(2) does that does not make zeros of bytes. */
  allocate(
    target: ModelInode,
    what: AllocateWhat,
    { offset, length }: { offset: number; length: number },
    time: number,
  ): Verdict {
    if (target.isDirectory) return 'EISDIR';
    if (target.kind !== 'file') return 'EINVAL';
    const reserves = what === 'reserve' || what === 'reserve behind';
    if (reserves ? target.immutable : target.guarded) return 'EPERM';
    const { data } = target;
    const shifts = what === 'collapse' || what === 'insert';
    const beyond = what === 'insert' ? offset >= data.size : offset + length >= data.size;
    const uneven = offset % BLOCK !== 0 || length % BLOCK !== 0;
    if (shifts && uneven) return 'EINVAL';
    return this.#change(
      target,
      () => {
        if (shifts) data.shift(what, offset, length);
        if (what === 'reserve') data.size = Math.max(data.size, offset + length);
        target.mtime = time;
        target.ctime = time;
      },
      shifts && beyond ? 'EINVAL' : undefined,
    );
  }

  cloneRange(
    source: ModelInode,
    target: ModelInode,
    { sourceOffset, offset, length }: { sourceOffset: number; offset: number; length: number },
    time: number,
  ): Verdict {
    for (const inode of [source, target]) {
      if (inode.isDirectory) return 'EISDIR';
      if (inode.kind !== 'file') return 'EINVAL';
    }
    const appends = offset >= target.data.size;
    const refused = target.immutable || (target.appendOnly && !appends);
    if (!target.realm.readOnly && refused) return 'EPERM';
    return this.#change(target, () => {
      if (length > 0) target.data.cloneRange(source.data, sourceOffset, offset, length);
      if (length > 0) target.mtime = target.ctime = time;
    });
  }

  /** What chattr(1) does; `directory` has one of its names, if it has any. */
  setFlags(
    target: ModelInode,
    directory: ModelInode | undefined,
    flags: { immutable: boolean; appendOnly: boolean },
    time: number,
  ): Verdict {
    const stays = target.immutable && flags.immutable;
    const refused = stays && target.appendOnly !== flags.appendOnly;
    return this.#change(
      target,
      () => {
        Object.assign(target, flags, { ctime: time });
        if (!target.guarded || target.nlink === 0) return;
        const inside = target.linked ? target.realm.root : directory;
        markGuardsBelow(target.isDirectory ? target : (inside as ModelInode));
      },
      refused ? 'EPERM' : undefined,
    );
  }

  /** True if a name may not be taken from an inode, or from a directory. */
  #keeps(place: Place, target: ModelInode): boolean {
    return place.directory.guarded || (target.guarded && !this.#goes(place, target));
  }

  /** True if a tree goes with whatever is in it. */
  #goes({ directory }: Place, target: ModelInode): boolean {
    return directory === this.snapshots || target.realm.readOnly;
  }

  /** The last close of an inode without names ends it. */
  close(inode: ModelInode): void {
    inode.opens--;
    if (inode.opens === 0) this.orphans.delete(inode);
  }

  /** The same once more, to compare with later. Nothing is open there. */
  copy(): Model {
    const copy = new Model();
    const inodes = new Map<ModelInode, ModelInode>([
      [this.root, copy.root],
      [this.snapshots, copy.snapshots],
    ]);
    const realms = new Map<ModelRealm, ModelRealm>();
    for (const inode of this.all)
      if (!inodes.has(inode)) inodes.set(inode, new ModelInode(inode.kind));
    for (const [from, to] of inodes) {
      copyFields(from, to);
      to.identity = from.identity;
      to.readOnly = from.readOnly;
      to.name = from.name;
      to.parent = from.parent && inodes.get(from.parent);
      for (const [name, child] of from.entries)
        to.entries.set(name, inodes.get(child) as ModelInode);
    }
    for (const [from, to] of inodes) {
      const { root, readOnly } = from.realm;
      const realm = realms.get(from.realm) ?? new ModelRealm(inodes.get(root) ?? root, readOnly);
      realms.set(from.realm, realm);
      to.realm = realm;
    }
    return copy;
  }

  /** Every inode that has a name, each once. */
  get all(): Set<ModelInode> {
    const found = new Set<ModelInode>();
    const visit = (inode: ModelInode): void => {
      found.add(inode);
      for (const child of inode.entries.values()) visit(child);
    };
    visit(this.root);
    visit(this.snapshots);
    return found;
  }

  #change(target: ModelInode, change: () => void, refusal?: ErrorCode): Verdict {
    return target.realm.readOnly ? 'EROFS' : (refusal ?? change);
  }

  #new({ directory, name }: Place, change: () => void): Verdict {
    const refusal = refuseNames(directory);
    if (refusal !== undefined) return refusal;
    return directory.entries.has(name) ? 'EEXIST' : change;
  }

  #enter({ directory, name }: Place, inode: ModelInode, time: number): void {
    directory.entries.set(name, inode);
    if (inode.isDirectory) {
      directory.nlink++;
      inode.parent = directory;
      inode.name = name;
    }
    inode.ctime = time;
    directory.mtime = time;
    directory.ctime = time;
  }

  #leave({ directory, name }: Place, inode: ModelInode, time: number): void {
    directory.entries.delete(name);
    if (inode.isDirectory) {
      directory.nlink--;
      inode.parent = undefined;
    }
    directory.mtime = time;
    directory.ctime = time;
  }

  #dropName(inode: ModelInode, time: number): void {
    inode.ctime = time;
    inode.nlink = inode.isDirectory ? 0 : inode.nlink - 1;
    if (inode.nlink === 0 && inode.opens > 0) this.orphans.add(inode);
  }

  #dropTree(top: ModelInode): void {
    const gone = new Set<ModelInode>();
    const visit = (inode: ModelInode): void => {
      gone.add(inode);
      for (const child of inode.entries.values()) visit(child);
    };
    visit(top);
    for (const inode of gone) if (inode.opens > 0) this.orphans.add(inode);
  }

  #namesOf(target: ModelInode): ModelInode[] {
    const named = (inode: ModelInode) => [...inode.entries.values()].includes(target);
    return [...this.all].filter(named);
  }
}

function directory(): ModelInode {
  const inode = new ModelInode('directory');
  inode.nlink = 2;
  inode.mode = 0o755;
  return inode;
}

/** What keeps a directory from getting names. */
function refuseNames(directory: ModelInode): ErrorCode | undefined {
  if (directory.realm.readOnly) return 'EROFS';
  return directory.immutable ? 'EPERM' : undefined;
}

function markGuardsBelow(from: ModelInode): void {
  for (let at: ModelInode | undefined = from; at !== undefined; at = at.parent) {
    at.guardedBelow = true;
  }
}

function refuseRemoval(target: ModelInode, what: 'file' | 'directory'): ErrorCode | undefined {
  if (target.realm.readOnly) return 'EROFS';
  if (what === 'file') return target.isDirectory ? 'EISDIR' : undefined;
  if (!target.isDirectory) return 'ENOTDIR';
  return target.entries.size > 0 ? 'ENOTEMPTY' : undefined;
}

function refuseTree(target: ModelInode): ErrorCode | undefined {
  if (!target.isDirectory) return 'ENOTDIR';
  return target.linksBelow && target.realm.root !== target ? 'ENOTSUP' : undefined;
}

/** Up to the root of the realm, or to where it is known already. */
function markLinksBelow(from: ModelInode): void {
  for (let at: ModelInode | undefined = from; at !== undefined; at = at.parent) {
    if (at.linksBelow) return;
    at.linksBelow = true;
    if (at.realm.root === at) return;
  }
}

/** What leaves its realm becomes one. */
function openRealm(source: ModelInode): void {
  const old = source.realm;
  const own = new ModelRealm(source, false, old.scope);
  const visit = (inode: ModelInode): void => {
    if (inode.realm !== old) return;
    inode.realm = own;
    for (const child of inode.entries.values()) visit(child);
  };
  visit(source);
}

/** Everything once more; what was one inode with several names below is one again. */
function deepCopy(source: ModelInode, realm: ModelRealm, readOnly: boolean): ModelInode {
  if (!source.isDirectory) {
    const copy = copyOf(source);
    copy.nlink = 1;
    copy.linked = false;
    copy.immutable = false;
    copy.appendOnly = false;
    copy.realm = realm;
    return copy;
  }
  const copies = new Map<ModelInode, ModelInode>();
  const visit = (inode: ModelInode, outer: ModelRealm): ModelInode => {
    const known = copies.get(inode);
    if (known !== undefined) return known;
    const copy = copyOf(inode);
    copies.set(inode, copy);
    const isRoot = inode === source || inode.realm.root === inode;
    copy.readOnly = inode === source ? readOnly : inode.readOnly;
    // A realm inside a read-only one cannot be changed either.
    copy.realm = isRoot ? new ModelRealm(copy, outer.readOnly || copy.readOnly) : outer;
    for (const [name, child] of inode.entries) {
      const made = visit(child, copy.realm);
      copy.entries.set(name, made);
      if (made.isDirectory) {
        made.parent = copy;
        made.name = name;
      }
    }
    return copy;
  };
  return visit(source, realm);
}

function copyOf(source: ModelInode): ModelInode {
  const copy = new ModelInode(source.kind);
  copyFields(source, copy);
  return copy;
}

function copyFields(source: ModelInode, copy: ModelInode): void {
  const { mode, uid, gid, nlink, atime, mtime, ctime, btime, target, linked, linksBelow } = source;
  Object.assign(copy, { mode, uid, gid, nlink, atime, mtime, ctime, btime, target });
  Object.assign(copy, { linked, linksBelow });
  const { immutable, appendOnly, guardedBelow } = source;
  Object.assign(copy, { immutable, appendOnly, guardedBelow });
  copy.data = source.data.copy();
  for (const [name, value] of source.extended) copy.extended.set(name, value);
}
