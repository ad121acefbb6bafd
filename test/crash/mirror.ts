/**
 * Mirror: a model that does what a volume says it does, in the same turn.
 *
 * Several calls at once come to nothing that could be foretold, but the volume tells each change in
 * the turn in which it is made. So the order is known, and with it the states that a power cut may
 * show.
 */
import {
  AllocateMode,
  AttributeMask,
  InodeKind,
  type Mutation,
  RenameFlag,
  ROOT_HANDLE,
  SNAPSHOTS_HANDLE,
  type Time,
  timeToMs,
  UnlinkWhat,
} from '../../src/format/index.ts';
import { ModelVolume } from '../../src/testing/index.ts';
import type { ModelNode } from '../../src/testing/model-node.ts';
import { changeRange, type ModelRange } from '../../src/testing/model-ranges.ts';
import { leave, loseNames, type ModelHandle, stamp } from '../../src/testing/model-rules.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { Stores } from './async-stores.ts';
import { States } from './states.ts';

type Of<Type extends Mutation['type']> = Extract<Mutation, { type: Type }>;

export class Mirror {
  readonly model: ModelVolume;
  readonly states: States = new States();
  /** Of the memory of each write that was told: the state that has all of it. */
  readonly landed: WeakMap<object, number> = new WeakMap();
  readonly stores: Stores = new Stores();
  #now: number;
  readonly #nodes = new Map<number, ModelNode>();
  readonly #numbers = new WeakMap<ModelNode, number>();

  constructor(now: number) {
    this.#now = now;
    this.model = new ModelVolume(() => this.#now, 0);
    this.#nodes.set(ROOT_HANDLE, this.model.root);
    this.states.capture(this.model);
    this.model.onChange = () => this.states.capture(this.model);
  }

  /** The inode that a vnode stands for. */
  nodeOf(vnode: Vnode): ModelNode {
    const { id, parent, unlinked, childName } = vnode;
    if (id === ROOT_HANDLE || unlinked || parent === undefined) return this.#node(id);
    const node = this.#child(this.nodeOf(parent), childName) ?? this.#node(id);
    this.#nodes.set(id, node);
    return node;
  }

  tell(record: Mutation): void {
    if ('time' in record) this.#now = timeToMs(record.time);
    switch (record.type) {
      case 'bind':
        this.#nodes.set(record.handle, this.#bound(record));
        break;
      case 'create':
        this.#create(record);
        break;
      case 'link':
        this.model.live.linkFile(open(this.#node(record.target)), this.#path(record));
        break;
      case 'unlink':
        this.#unlink(record);
        break;
      case 'rename':
        this.#rename(record);
        break;
      case 'clone':
        this.#clone(record);
        break;
      case 'setattr':
        this.#setAttributes(record);
        break;
      default:
        this.#tellContent(record);
    }
  }

  #tellContent(record: Mutation): void {
    switch (record.type) {
      case 'truncate': {
        const node = this.#node(record.target);
        if (record.shrink === true && node.size < record.size) return;
        node.bytes.truncate(record.size);
        this.#changed(node, record.time, record.size);
        break;
      }
      case 'write-inline':
        this.#write(record);
        break;
      case 'fallocate':
        this.#allocate(record);
        break;
      case 'clone-range': {
        const node = this.#node(record.target);
        const bytes = this.#node(record.source).bytes.read(record.sourceOffset, record.length);
        node.bytes.write(record.offset, bytes);
        this.#changed(node, record.time, record.offset, record.length);
        break;
      }
      default:
        throw new Error(`a mirror knows no ${record.type}`);
    }
  }

  #create(record: Of<'create'>): void {
    const { live } = this.model;
    const path = this.#path(record);
    const mode = record.mode & 0o7777;
    if (record.kind === InodeKind.DIRECTORY) live.mkdir(path, { mode });
    else live.close(live.open(path, 'wx', mode));
    this.#introduce(record.handle, live.find(path, false), record.ino);
  }

  #unlink(record: Of<'unlink'>): void {
    const { model } = this;
    if (record.parent === SNAPSHOTS_HANDLE) model.deleteSnapshot(record.name);
    else if (record.what === UnlinkWhat.FILE) model.live.unlink(this.#path(record));
    else if (record.what === UnlinkWhat.DIRECTORY) model.live.rmdir(this.#path(record));
    else this.#removeTree(this.#node(record.parent), record.name);
  }

  #removeTree(directory: ModelNode, name: string): void {
    const node = this.#child(directory, name) as ModelNode;
    leave({ directory, name, slash: false }, node, this.#now);
    node.ctime = this.#now;
    loseNames(node, this.model.handles);
    this.model.onChange();
  }

  #rename(record: Of<'rename'>): void {
    const { live } = this.model;
    const from = this.#path(record);
    const to = this.#path({ parent: record.newParent, name: record.newName });
    if ((record.flags & RenameFlag.EXCHANGE) !== 0) live.exchange(from, to);
    else live.rename(from, to);
  }

  #clone(record: Of<'clone'>): void {
    const { model } = this;
    const source = this.#node(record.source);
    let copy: ModelNode;
    if (record.parent === SNAPSHOTS_HANDLE) {
      model.snapshot(record.name, !record.readOnly);
      copy = model.snapshots.get(record.name) as ModelNode;
    } else {
      const path = this.#path(record);
      model.live.cloneTo(source, path);
      copy = model.live.find(path, false);
    }
    this.#number(source, copy);
    this.#introduce(record.handle, copy, record.ino);
  }

  /** Inodes of a clone have the numbers that they have in its source. */
  #number(source: ModelNode, copy: ModelNode): void {
    const ino = this.#numbers.get(source);
    if (ino !== undefined) this.#numbers.set(copy, ino);
    for (const [name, child] of copy.entries) {
      const from = source.entries.get(name);
      // A directory that is cloned into itself is in its clone, and has changed since.
      if (from !== undefined && from !== copy) this.#number(from, child);
    }
  }

  #setAttributes(record: Of<'setattr'>): void {
    const node = this.#node(record.target);
    const { MODE, UID, GID, ATIME, MTIME } = AttributeMask;
    if ((record.mask & MODE) !== 0) node.mode = record.mode & 0o7777;
    if ((record.mask & UID) !== 0) node.uid = record.uid;
    if ((record.mask & GID) !== 0) node.gid = record.gid;
    if ((record.mask & ATIME) !== 0) node.atime = timeToMs(record.atime);
    if ((record.mask & MTIME) !== 0) node.mtime = timeToMs(record.mtime);
    node.ctime = this.#now;
    this.model.onChange();
  }

  #write({ target, offset, data, time }: Of<'write-inline'>): void {
    const node = this.#node(target);
    node.bytes.write(offset, data);
    this.#changed(node, time, offset, data.length);
    this.landed.set(data.buffer, this.states.last);
  }

  #allocate({ target, mode, offset, length }: Of<'fallocate'>): void {
    const node = this.#node(target);
    changeRange(this.model, open(node), rangeOf(mode), offset, length);
    this.stores.changed(node, offset, Number.POSITIVE_INFINITY, this.states.last);
  }

  #changed(node: ModelNode, time: Time, from: number, length = Number.POSITIVE_INFINITY): void {
    stamp(node, timeToMs(time));
    this.model.onChange();
    this.stores.changed(node, from, from + length, this.states.last);
  }

  #introduce(handle: number, node: ModelNode, ino: number): void {
    this.#nodes.set(handle, node);
    this.#numbers.set(node, ino);
  }

  #node(handle: number): ModelNode {
    const node = this.#nodes.get(handle);
    if (node === undefined) throw new Error(`nobody has introduced inode ${handle}`);
    return node;
  }

  #bound({ handle, parent, name }: Of<'bind'>): ModelNode {
    const { snapshots } = this.model;
    if (parent === SNAPSHOTS_HANDLE) return snapshots.get(name) as ModelNode;
    // In a clone the last name of a file may have gone, and others count that are outside.
    return this.#child(this.#node(parent), name) ?? this.#node(handle);
  }

  /** By its name, or by its number if it has, or had, several names. */
  #child(directory: ModelNode, name: string): ModelNode | undefined {
    if (!name.startsWith('/')) return directory.entries.get(name);
    for (const node of directory.all()) {
      const isHere = node.realm === directory.realm && !node.isDirectory;
      if (isHere && this.#numbers.get(node) === Number(name.slice(1))) return node;
    }
    return undefined;
  }

  #path({ parent, name }: { parent: number; name: string }): string {
    let path = `/${name}`;
    for (let at = this.#node(parent); at !== this.model.root; at = at.parent as ModelNode) {
      const above = at.parent;
      if (above === undefined) throw new Error(`${path} is in a directory that was removed`);
      const found = [...above.entries].find(([, node]) => node === at) as [string, ModelNode];
      path = `/${found[0]}${path}`;
    }
    return path;
  }
}

function open(node: ModelNode): ModelHandle {
  const may = { readable: true, writable: true, append: false };
  return { node, ...may, position: 0, open: true };
}

function rangeOf(mode: number): ModelRange {
  const { PUNCH_HOLE, COLLAPSE_RANGE, INSERT_RANGE, ZERO_RANGE } = AllocateMode;
  if ((mode & PUNCH_HOLE) !== 0) return 'punch';
  if ((mode & COLLAPSE_RANGE) !== 0) return 'collapse';
  if ((mode & INSERT_RANGE) !== 0) return 'insert';
  return (mode & ZERO_RANGE) !== 0 ? 'zero' : 'allocate';
}
