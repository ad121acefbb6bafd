/**
 * Model calls: what can be done with one tree of a model, the live one or a snapshot.
 */
import type { ModelVolume } from './model.ts';
import {
  copyFileNode,
  copyTree,
  type ModelKind,
  type ModelNode,
  markLinksBelow,
  openRealm,
} from './model-node.ts';
import {
  checkOpen,
  checkPath,
  checkRemovable,
  checkReplaceable,
  checkWritable,
  childOf,
  codeOf,
  isSpecial,
  leave,
  loseNames,
  ModelError,
  type ModelHandle,
  type ModelStat,
  newNode,
  type Place,
  present,
  stamp,
  statOf,
} from './model-rules.ts';

/** What `open` may be asked for, by the letters of its flags. */
const FLAGS: Readonly<
  Record<
    string,
    { write?: true; read?: true; create?: true; trunc?: true; excl?: true; append?: true }
  >
> = {
  r: { read: true },
  'r+': { read: true, write: true },
  w: { write: true, create: true, trunc: true },
  wx: { write: true, create: true, trunc: true, excl: true },
  'w+': { read: true, write: true, create: true, trunc: true },
  'wx+': { read: true, write: true, create: true, trunc: true, excl: true },
  a: { write: true, create: true, append: true },
  ax: { write: true, create: true, append: true, excl: true },
  'a+': { read: true, write: true, create: true, append: true },
};

const LINKS_MAX = 40;
/** The longest target of a symbolic link is one shorter. */
const TARGET_LIMIT = 4096;
const EXCL = 1;

/** The calls on one tree. */
export class ModelFs {
  readonly #volume: ModelVolume;
  readonly root: ModelNode;

  constructor(volume: ModelVolume, root: ModelNode) {
    this.#volume = volume;
    this.root = root;
  }

  // --- Paths ------------------------------------------------------------------------------------

  find(path: string, follow: boolean): ModelNode {
    checkPath(path);
    return this.#walk(this.root, path, follow, { left: LINKS_MAX });
  }

  #walk(start: ModelNode, path: string, follow: boolean, links: { left: number }): ModelNode {
    let at = path.startsWith('/') ? this.root : start;
    const slash = path.endsWith('/');
    const names = path.split('/').filter((name) => name !== '');
    for (const [i, name] of names.entries()) {
      const last = i === names.length - 1 && !slash;
      at = this.#step(at, name, follow || !last, links);
    }
    if (slash && !at.isDirectory) throw new ModelError('ENOTDIR');
    return at;
  }

  #step(at: ModelNode, name: string, follow: boolean, links: { left: number }): ModelNode {
    if (!at.isDirectory) throw new ModelError('ENOTDIR');
    if (name === '.') return at;
    if (name === '..') return at === this.root ? at : (at.parent as ModelNode);
    const child = childOf(at, name);
    if (child === undefined) throw new ModelError('ENOENT');
    if (child.kind !== 'symlink' || !follow) return child;
    if (--links.left < 0) throw new ModelError('ELOOP');
    return this.#walk(at, child.target, true, links);
  }

  #place(path: string, start = this.root, links = { left: LINKS_MAX }): Place {
    checkPath(path);
    const trimmed = path.replace(/\/+$/u, '');
    const cut = trimmed.lastIndexOf('/');
    const above = cut < 0 && trimmed !== '' ? '.' : trimmed.slice(0, cut + 1) || '/';
    const directory = this.#walk(start, above, true, links);
    if (!directory.isDirectory) throw new ModelError('ENOTDIR');
    return { directory, name: trimmed.slice(cut + 1), slash: trimmed.length < path.length };
  }

  /** The place behind the symbolic links that the path ends with. */
  #target(path: string, follow: boolean): { place: Place; found: ModelNode | undefined } {
    const links = { left: LINKS_MAX };
    let place = this.#place(path, this.root, links);
    for (;;) {
      if (isSpecial(place.name) || place.slash) return { place, found: undefined };
      const found = childOf(place.directory, place.name);
      if (found?.kind !== 'symlink' || !follow) return { place, found };
      if (--links.left < 0) throw new ModelError('ELOOP');
      place = this.#place(found.target, place.directory, links);
    }
  }

  // --- Names ------------------------------------------------------------------------------------

  mkdir(path: string, options: { recursive?: boolean; mode?: number } = {}): void {
    if (!options.recursive) {
      this.#make(this.#vacant(path, true), 'directory', options.mode ?? 0o777);
      return;
    }
    const missing = [path];
    for (let next = missing.pop(); next !== undefined; next = missing.pop()) {
      try {
        this.mkdir(next, { ...options, recursive: false });
      } catch (error) {
        const above = next.slice(0, Math.max(0, next.replace(/\/+$/u, '').lastIndexOf('/')));
        if (codeOf(error) === 'ENOENT' && above !== '') missing.push(next, above);
        else if (codeOf(error) !== 'EEXIST') throw error;
        else if (!this.find(next, true).isDirectory) {
          throw missing.length > 0 ? new ModelError('ENOTDIR') : error;
        }
      }
    }
  }

  symlink(target: string, path: string): void {
    if (target === '') throw new ModelError('ENOENT');
    const place = this.#vacant(path, false);
    if (target.length >= TARGET_LIMIT) throw new ModelError('ENAMETOOLONG');
    this.#make(place, 'symlink', 0o777, target);
  }

  link(existing: string, path: string): void {
    this.#addName(this.find(existing, false), this.#vacant(path, false));
  }

  /** Gives an open file one name more. */
  linkFile(handle: ModelHandle, path: string): void {
    checkOpen(handle);
    this.#addName(handle.node, this.#vacant(path, false));
  }

  #addName(node: ModelNode, place: Place): void {
    checkWritable(place.directory);
    checkWritable(node);
    if (node.isDirectory) throw new ModelError('EPERM');
    if (node.nlink === 0 && !node.linkable) throw new ModelError('ENOENT');
    const { realm } = place.directory;
    const home = node.linkable ? node.realm.scope === realm.scope : node.realm === realm;
    if (!home) throw new ModelError('EXDEV');
    if (node.linkable) {
      node.realm = realm;
      node.linkable = false;
      node.nlink = 1;
      node.ctime = this.#volume.now();
      this.#enter(place, node);
      this.#volume.onChange();
      return;
    }
    for (const above of this.#namesOf(node)) markLinksBelow(above);
    node.linked = true;
    node.nlink++;
    node.ctime = this.#volume.now();
    this.#enter(place, node);
    markLinksBelow(place.directory);
    this.#volume.onChange();
  }

  unlink(path: string): void {
    const place = this.#place(path);
    if (isSpecial(place.name)) throw new ModelError('EISDIR');
    checkWritable(place.directory);
    const node = present(place);
    if (place.slash && !node.isDirectory) throw new ModelError('ENOTDIR');
    if (node.isDirectory) throw new ModelError('EISDIR');
    this.#remove(place, node);
  }

  rmdir(path: string): void {
    const place = this.#place(path);
    checkRemovable(place);
    const node = present(place);
    if (node.entries.size > 0) throw new ModelError('ENOTEMPTY');
    this.#remove(place, node);
  }

  rm(path: string, options: { recursive?: boolean; force?: boolean } = {}): void {
    const { recursive = false, force = false } = options;
    let node: ModelNode;
    try {
      node = this.find(path, false);
    } catch (error) {
      if (force && codeOf(error) === 'ENOENT') return;
      if (!force || !recursive) throw error;
      this.unlink(path);
      return;
    }
    if (!node.isDirectory) this.unlink(path);
    else if (!recursive) throw new ModelError('ERR_FS_EISDIR');
    else {
      const place = this.#place(path);
      checkRemovable(place);
      this.#removeTree(place);
    }
  }

  rename(from: string, to: string): void {
    const source = this.#place(from);
    const target = this.#place(to);
    if (isSpecial(source.name) || isSpecial(target.name)) throw new ModelError('EBUSY');
    checkWritable(source.directory);
    const node = present(source);
    const replaced = childOf(target.directory, target.name);
    if (!node.isDirectory && (source.slash || target.slash)) throw new ModelError('ENOTDIR');
    if (target.directory.isWithin(node)) throw new ModelError('EINVAL');
    if (replaced !== undefined && source.directory.isWithin(replaced)) {
      throw new ModelError('ENOTEMPTY');
    }
    checkWritable(target.directory);
    if (replaced === node) return;
    if (replaced !== undefined) checkReplaceable(node, replaced);
    if (node.isBound && source.directory.realm !== target.directory.realm) {
      throw new ModelError('EXDEV');
    }
    if (replaced !== undefined) this.#lose(target, replaced);
    leave(source, node, this.#volume.now());
    if (node.realm.root !== node && node.realm !== target.directory.realm) openRealm(node);
    node.ctime = this.#volume.now();
    this.#enter(target, node);
    if (node.isBound) markLinksBelow(target.directory);
    this.#volume.onChange();
  }

  exchange(path: string, otherPath: string): void {
    const places = [this.#place(path), this.#place(otherPath)] as const;
    if (places.some(({ name }) => isSpecial(name))) throw new ModelError('EBUSY');
    checkWritable(places[0].directory);
    const [left, right] = places.map((place) => {
      const node = present(place);
      if (place.slash && !node.isDirectory) throw new ModelError('ENOTDIR');
      return node;
    }) as [ModelNode, ModelNode];
    if (left === right) return;
    const moves = [
      { node: left, from: places[0], to: places[1] },
      { node: right, from: places[1], to: places[0] },
    ];
    for (const { node, from, to } of moves) {
      if (to.directory.isWithin(node)) throw new ModelError('EINVAL');
      const apart = from.directory.realm !== to.directory.realm;
      if (node.isBound && apart) throw new ModelError('EXDEV');
    }
    for (const { node, from } of moves) leave(from, node, this.#volume.now());
    for (const { node, to } of moves) {
      if (node.realm.root !== node && node.realm !== to.directory.realm) openRealm(node);
      node.ctime = this.#volume.now();
      this.#enter(to, node);
      if (node.isBound) markLinksBelow(to.directory);
    }
    this.#volume.onChange();
  }

  readlink(path: string): string {
    const node = this.find(path, false);
    if (node.kind !== 'symlink') throw new ModelError('EINVAL');
    return node.target;
  }

  /** Sorted. */
  readdir(path: string): string[] {
    const node = this.find(path, true);
    if (!node.isDirectory) throw new ModelError('ENOTDIR');
    return [...node.entries.keys()].sort();
  }

  /** A clone of a node of any tree of the volume. */
  cloneTo(node: ModelNode, destination: string): void {
    const place = this.#place(destination);
    if (isSpecial(place.name)) throw new ModelError('EEXIST');
    const found = childOf(place.directory, place.name);
    if (found === undefined && place.slash && !node.isDirectory) throw new ModelError('ENOENT');
    checkWritable(place.directory);
    if (found !== undefined) throw new ModelError('EEXIST');
    this.#clone(node, place);
  }

  #clone(node: ModelNode, place: Place): ModelNode {
    checkWritable(place.directory);
    const { realm } = place.directory;
    const copy = node.isDirectory ? copyTree(node, realm, false) : copyFileNode(node, realm);
    copy.ctime = this.#volume.now();
    copy.btime = copy.ctime;
    this.#enter(place, copy);
    this.#volume.onChange();
    return copy;
  }

  #vacant(path: string, directory: boolean): Place {
    const place = this.#place(path);
    if (isSpecial(place.name) || childOf(place.directory, place.name) !== undefined) {
      throw new ModelError('EEXIST');
    }
    if (place.slash && !directory) throw new ModelError('ENOENT');
    return place;
  }

  #make(place: Place, kind: ModelKind, mode: number, target = ''): ModelNode {
    checkWritable(place.directory);
    const bits = kind === 'symlink' ? mode : mode & ~this.#volume.umask;
    const node = newNode(kind, bits & 0o7777, this.#volume.now());
    node.target = target;
    node.realm = place.directory.realm;
    this.#enter(place, node);
    this.#volume.onChange();
    return node;
  }

  #enter({ directory, name }: Place, node: ModelNode): void {
    directory.entries.set(name, node);
    if (node.isDirectory) {
      directory.nlink++;
      node.parent = directory;
    }
    stamp(directory, this.#volume.now());
  }

  #remove(place: Place, node: ModelNode): void {
    this.#lose(place, node);
    this.#volume.onChange();
  }

  /** One name of a node goes. */
  #lose(place: Place, node: ModelNode): void {
    leave(place, node, this.#volume.now());
    node.ctime = this.#volume.now();
    if (node.isDirectory) loseNames(node, this.#volume.handles);
    else node.nlink--;
  }

  #removeTree(place: Place): void {
    const node = present(place);
    if (!node.linksBelow || node.realm.root === node) {
      leave(place, node, this.#volume.now());
      node.ctime = this.#volume.now();
      loseNames(node, this.#volume.handles);
      this.#volume.onChange();
      return;
    }
    for (const name of this.#volume.order([...node.entries.keys()])) {
      const child = node.entries.get(name) as ModelNode;
      const below = { directory: node, name, slash: false };
      if (child.isDirectory) this.#removeTree(below);
      else this.#remove(below, child);
    }
    this.#remove(place, node);
  }

  #namesOf(node: ModelNode): ModelNode[] {
    return [...node.realm.root.all()].filter((above) => [...above.entries.values()].includes(node));
  }

  // --- Files ------------------------------------------------------------------------------------

  open(path: string, flags = 'r', mode = 0o666): ModelHandle {
    const how = FLAGS[flags] ?? {};
    const node = how.create
      ? this.#findOrMake(path, how.excl === true, mode)
      : this.find(path, true);
    if (node.isDirectory && (how.write || how.create)) throw new ModelError('EISDIR');
    if (how.write && node.realm.readOnly) throw new ModelError('EROFS');
    if (how.trunc && node.bytes.size > 0) this.#setSize(node, 0);
    const handle = {
      node,
      readable: how.read === true,
      writable: how.write === true,
      append: how.append === true,
      position: 0,
      open: true,
    };
    this.#volume.keep(handle);
    return handle;
  }

  /** A file without a name, in the realm of a directory. */
  openTmpfile(path: string, mode = 0o666): ModelHandle {
    const directory = this.find(path, true);
    if (!directory.isDirectory) throw new ModelError('ENOTDIR');
    checkWritable(directory);
    const node = newNode('file', mode & ~this.#volume.umask & 0o7777, this.#volume.now());
    node.realm = directory.realm;
    node.nlink = 0;
    node.linkable = true;
    const handle = {
      node,
      readable: true,
      writable: true,
      append: false,
      position: 0,
      open: true,
    };
    this.#volume.keep(handle);
    return handle;
  }

  #findOrMake(path: string, exclusive: boolean, mode: number): ModelNode {
    const { place, found } = this.#target(path, !exclusive);
    if (found !== undefined) {
      if (exclusive) throw new ModelError('EEXIST');
      return found;
    }
    if (place.slash || isSpecial(place.name)) {
      throw new ModelError(exclusive && !place.slash ? 'EEXIST' : 'EISDIR');
    }
    return this.#make(place, 'file', mode);
  }

  close(handle: ModelHandle): void {
    checkOpen(handle);
    this.#volume.drop(handle);
  }

  read(handle: ModelHandle, length: number, position?: number): Uint8Array {
    checkOpen(handle);
    if (!handle.readable) throw new ModelError('EBADF');
    if (handle.node.isDirectory) throw new ModelError('EISDIR');
    const bytes = handle.node.bytes.read(position ?? handle.position, length);
    if (position === undefined) handle.position += bytes.length;
    return bytes;
  }

  write(handle: ModelHandle, bytes: Uint8Array, position?: number): void {
    checkOpen(handle);
    if (!handle.writable) throw new ModelError('EBADF');
    const at = handle.append ? handle.node.bytes.size : (position ?? handle.position);
    this.#put(handle.node, at, bytes);
    if (handle.append || position === undefined) handle.position = at + bytes.length;
  }

  ftruncate(handle: ModelHandle, size: number): void {
    checkOpen(handle);
    if (!handle.writable) throw new ModelError('EINVAL');
    this.#setSize(handle.node, size);
  }

  truncate(path: string, size: number): void {
    this.#with(path, 'r+', (handle) => this.ftruncate(handle, size));
  }

  readFile(path: string): Uint8Array {
    return this.#with(path, 'r', (handle) => this.read(handle, handle.node.size));
  }

  writeFile(path: string, bytes: Uint8Array): void {
    this.#with(path, 'w', (handle) => this.write(handle, bytes));
  }

  appendFile(path: string, bytes: Uint8Array): void {
    this.#with(path, 'a', (handle) => this.write(handle, bytes));
  }

  #with<Result>(path: string, flags: string, body: (handle: ModelHandle) => Result): Result {
    const handle = this.open(path, flags);
    try {
      return body(handle);
    } finally {
      this.close(handle);
    }
  }

  /** `mode` as of Node's copyFile. */
  copyFile(from: string, to: string, mode = 0): void {
    const source = this.find(from, true);
    const exclusive = (mode & EXCL) !== 0;
    const { place, found } = this.#target(to, !exclusive);
    if (place.slash || isSpecial(place.name)) {
      throw new ModelError(exclusive && !place.slash ? 'EEXIST' : 'EISDIR');
    }
    if (found !== undefined && exclusive) throw new ModelError('EEXIST');
    if (found?.isDirectory || source.isDirectory) throw new ModelError('EISDIR');
    if (found === source) return;
    if (found === undefined) this.#copyNew(source, place);
    else this.#copyOver(source, found);
  }

  #copyNew(source: ModelNode, place: Place): void {
    const copy = this.#clone(source, place);
    const time = this.#volume.now();
    this.#change(copy, { uid: 0, gid: 0, atime: time, mtime: time });
  }

  #copyOver(source: ModelNode, target: ModelNode): void {
    this.#setSize(target, 0);
    target.bytes = source.bytes.copy();
    this.#volume.onChange();
    this.#change(target, { mode: source.mode });
  }

  /** Node's cp, recursive and with forced or tried clones. */
  cloneTree(from: string, to: string): void {
    const source = this.find(from, false);
    if (!source.isDirectory) throw new ModelError('ENOTSUP');
    this.cloneTo(source, to);
  }

  // --- Attributes -------------------------------------------------------------------------------

  stat(path: string): ModelStat {
    return statOf(this.find(path, true));
  }

  lstat(path: string): ModelStat {
    return statOf(this.find(path, false));
  }

  fstat(handle: ModelHandle): ModelStat {
    checkOpen(handle);
    return statOf(handle.node);
  }

  chmod(path: string, mode: number): void {
    this.#change(this.find(path, true), { mode });
  }

  lchown(path: string, uid: number, gid: number): void {
    this.#change(this.find(path, false), { uid, gid });
  }

  /** Seconds. */
  utimes(path: string, atime: number, mtime: number): void {
    this.#change(this.find(path, true), { atime: atime * 1000, mtime: mtime * 1000 });
  }

  #change(node: ModelNode, change: Partial<ModelNode>): void {
    checkWritable(node);
    Object.assign(node, change);
    node.ctime = this.#volume.now();
    this.#volume.onChange();
  }

  #setSize(node: ModelNode, size: number): void {
    checkWritable(node);
    if (node.isDirectory) throw new ModelError('EISDIR');
    node.bytes.truncate(size);
    stamp(node, this.#volume.now());
    this.#volume.onChange();
  }

  #put(node: ModelNode, position: number, bytes: Uint8Array): void {
    checkWritable(node);
    if (bytes.length === 0) return;
    node.bytes.write(position, bytes);
    stamp(node, this.#volume.now());
    this.#volume.onChange();
  }
}
