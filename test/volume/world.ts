/**
 * World: a volume and its model side by side. Each call asks the model, lets the engine try, and
 * holds the two against each other.
 */
import { expect } from 'vitest';
import { errorCode, type Operation } from '../../src/base/index.ts';
import type { Device } from '../../src/device/index.ts';
import {
  AllocateMode,
  AttributeMask,
  InodeFlag,
  InodeKind,
  type Mutation,
  RenameFlag,
  type Time,
  UnlinkWhat,
} from '../../src/format/index.ts';
import { lookup, readEntries, type Vnode } from '../../src/volume/index.ts';
import {
  type AllocateWhat,
  type Kind,
  Model,
  ModelInode,
  type Place,
  type Verdict,
} from './model.ts';
import { create, mount, type Rig, type RigOptions } from './rig.ts';

const { KEEP_SIZE, COLLAPSE_RANGE, INSERT_RANGE, UNSHARE_RANGE } = AllocateMode;
const ALLOCATE_MODES: Readonly<Record<AllocateWhat, number>> = {
  reserve: 0,
  'reserve behind': KEEP_SIZE,
  collapse: COLLAPSE_RANGE,
  insert: INSERT_RANGE,
  unshare: UNSHARE_RANGE | KEEP_SIZE,
};

export const KINDS: Readonly<Record<Kind, InodeKind>> = {
  file: InodeKind.FILE,
  directory: InodeKind.DIRECTORY,
  symlink: InodeKind.SYMLINK,
  fifo: InodeKind.FIFO,
  device: InodeKind.CHARACTER,
};

const WHAT = {
  file: UnlinkWhat.FILE,
  directory: UnlinkWhat.DIRECTORY,
  tree: UnlinkWhat.TREE,
} as const;

export class World {
  readonly model: Model;
  readonly device: Device;
  readonly options: RigOptions;
  rig: Rig;
  /** Called before each operation. */
  before: (world: World) => void = () => {};
  /** Called after each mount, before anything is done. */
  mounted: (rig: Rig) => void = () => {};
  /** Seconds; every operation has its own time. */
  clock = 0;
  /** The volume is full: an operation that fails for that has to change nothing. */
  mayBeFull = false;
  /** Operations that failed because the volume was full. */
  refused = 0;
  readonly #open = new Map<ModelInode, Vnode>();

  /** A new volume; or, with a model, the volume on the device, which should be like it. */
  constructor(device: Device, options: RigOptions = {}, model?: Model) {
    this.device = device;
    this.options = options;
    this.model = model ?? new Model();
    this.rig = model === undefined ? create(device, options) : mount(device, options);
    if (model !== undefined) return;
    const { live, snapshots } = this.rig.engine;
    for (const [inode, vnode] of [
      [this.model.root, live],
      [this.model.snapshots, snapshots],
    ] as const) {
      inode.identity = identityOf(vnode);
      inode.atime = inode.mtime = inode.ctime = inode.btime = vnode.btime.sec;
    }
  }

  run<Result>(operation: Operation<Result>): Result {
    return this.rig.driver.run(operation);
  }

  commit(): void {
    this.run(this.rig.engine.commit());
  }

  /** Everything that was freed may be handed out again. */
  settle(): void {
    const { engine } = this.rig;
    for (let work = engine.reclaim(); work !== undefined; work = engine.reclaim()) this.run(work);
    for (let i = 0; i < 3; i++) this.commit();
  }

  /** Blocks that are free once everything that was deleted has been given back. */
  freeBlocks(): number {
    this.settle();
    // A node may have been made without its second copy, where no two blocks in a row were known
    // to be free; it gets one when it is made again.
    const place = { directory: this.model.root, name: 'nobody has this name' };
    for (let i = 0; i < 4; i++) {
      this.create(place, 'fifo');
      this.unlink(place, 'file');
      this.settle();
    }
    const { groups, space } = this.rig.engine.store;
    expect({ idle: groups.idle, reserved: space.reserved, pending: space.pending }).toEqual({
      idle: groups.free,
      reserved: 0,
      pending: 0,
    });
    return groups.free;
  }

  /** Commits and mounts anew; open files are closed by that. */
  remount(): void {
    this.commit();
    this.rig = mount(this.device, this.options);
    this.mounted(this.rig);
    for (const inode of this.#open.keys()) inode.opens = 0;
    this.#open.clear();
    this.model.orphans.clear();
    this.freeOrphans();
  }

  /** What a mount does with inodes that were open when the volume was last used. */
  freeOrphans(): void {
    const { engine } = this.rig;
    for (;;) {
      const entries = this.run(readEntries(engine, engine.orphans, 0));
      if (entries.length === 0) return;
      for (const { name } of entries) {
        const vnode = this.run(lookup(engine, engine.orphans, name));
        vnode.unlinked = true;
        vnode.holds--;
        this.run(engine.closed(vnode) as Operation<void>);
      }
    }
  }

  // --- Finding ----------------------------------------------------------------------------------

  /** The vnode of an inode that has a name or is open, held. */
  hold(inode: ModelInode, place?: Place): Vnode {
    const open = this.#open.get(inode);
    if (open !== undefined) {
      open.holds++;
      return open;
    }
    const { engine } = this.rig;
    if (inode === this.model.root || inode === this.model.snapshots) {
      const vnode = inode === this.model.root ? engine.live : engine.snapshots;
      vnode.holds++;
      return vnode;
    }
    const { directory, name } = place ?? {
      directory: inode.parent as ModelInode,
      name: inode.name,
    };
    const parent = this.hold(directory);
    try {
      return this.run(lookup(engine, parent, name));
    } finally {
      parent.holds--;
    }
  }

  /** Runs `body` with vnodes that are held meanwhile. */
  holding<Result>(vnodes: Vnode[], body: () => Result): Result {
    try {
      return body();
    } finally {
      for (const vnode of vnodes) vnode.holds--;
    }
  }

  open(place: Place): void {
    const inode = this.model.at(place) as ModelInode;
    const vnode = this.hold(inode, place);
    vnode.opens++;
    inode.opens++;
    if (this.#open.has(inode)) vnode.holds--;
    else this.#open.set(inode, vnode);
  }

  close(inode: ModelInode): void {
    const vnode = this.#open.get(inode) as Vnode;
    this.model.close(inode);
    vnode.opens--;
    if (vnode.opens > 0) return;
    this.#open.delete(inode);
    vnode.holds--;
    const end = this.rig.engine.closed(vnode);
    if (end !== undefined) this.run(end);
  }

  get openInodes(): ModelInode[] {
    return [...this.#open.keys()];
  }

  // --- Changing ---------------------------------------------------------------------------------

  create(place: Place, kind: Kind, { mode = 0o644, target = '' } = {}): void {
    const time = this.#tick();
    const parent = this.hold(place.directory);
    this.#apply([parent], this.model.create(place, kind, { mode, target }, time.sec), {
      type: 'create',
      parent: parent.id,
      name: place.name,
      kind: KINDS[kind],
      mode,
      uid: 0,
      gid: 0,
      rdev: 0,
      target,
      time,
      ino: 0,
      handle: 0,
    });
  }

  /** A file without a name, which stays open. */
  tmpfile(directory: ModelInode): void {
    const time = this.#tick();
    const parent = this.hold(directory);
    const inode = new ModelInode('file');
    const verdict = this.model.tmpfile(directory, inode, time.sec);
    const rest = { parent: parent.id, uid: 0, gid: 0, time, ino: 0, handle: 0 };
    this.#apply([parent], verdict, { type: 'tmpfile', mode: 0, ...rest }, (result) => {
      const vnode = result as Vnode;
      (verdict as () => void)();
      vnode.opens++;
      this.#open.set(inode, vnode);
    });
  }

  link(from: Place, to: Place): void {
    this.name(this.model.at(from) as ModelInode, from, to);
  }

  /** Gives an inode that has a name, or is open, one name more. */
  name(inode: ModelInode, from: Place | undefined, to: Place): void {
    const time = this.#tick();
    const target = this.hold(inode, from);
    const parent = this.hold(to.directory);
    this.#apply([target, parent], this.model.link(inode, to, time.sec), {
      type: 'link',
      target: target.id,
      parent: parent.id,
      name: to.name,
      time,
    });
  }

  unlink(place: Place, what: keyof typeof WHAT): void {
    const time = this.#tick();
    const parent = this.hold(place.directory);
    this.#apply([parent], this.model.unlink(place, what, time.sec), {
      type: 'unlink',
      parent: parent.id,
      name: place.name,
      what: WHAT[what],
      time,
    });
  }

  rename(from: Place, to: Place, noReplace = false): void {
    const time = this.#tick();
    const parent = this.hold(from.directory);
    const newParent = this.hold(to.directory);
    this.#apply([parent, newParent], this.model.rename(from, to, noReplace, time.sec), {
      type: 'rename',
      parent: parent.id,
      name: from.name,
      newParent: newParent.id,
      newName: to.name,
      flags: noReplace ? RenameFlag.NO_REPLACE : 0,
      time,
    });
  }

  exchange(left: Place, right: Place): void {
    const time = this.#tick();
    const parent = this.hold(left.directory);
    const newParent = this.hold(right.directory);
    this.#apply([parent, newParent], this.model.exchange(left, right, time.sec), {
      type: 'rename',
      parent: parent.id,
      name: left.name,
      newParent: newParent.id,
      newName: right.name,
      flags: RenameFlag.EXCHANGE,
      time,
    });
  }

  /** A rename that leaves a device under the old name. */
  whiteout(from: Place, to: Place): void {
    const time = this.#tick();
    const parent = this.hold(from.directory);
    const newParent = this.hold(to.directory);
    this.#apply([parent, newParent], this.model.whiteout(from, to, time.sec), {
      type: 'whiteout',
      parent: parent.id,
      name: from.name,
      newParent: newParent.id,
      newName: to.name,
      flags: 0,
      uid: 0,
      gid: 0,
      time,
      ino: 0,
    });
  }

  clone(from: Place | 'root', to: Place, readOnly = false): void {
    const time = this.#tick();
    const inode = from === 'root' ? this.model.root : (this.model.at(from) as ModelInode);
    const source = from === 'root' ? this.hold(inode) : this.hold(inode, from);
    const parent = this.hold(to.directory);
    this.#apply([source, parent], this.model.clone(inode, to, readOnly, time.sec), {
      type: 'clone',
      source: source.id,
      parent: parent.id,
      name: to.name,
      readOnly,
      time,
      ino: 0,
      realm: 0,
      handle: 0,
    });
  }

  setAttributes(
    inode: ModelInode,
    place: Place | undefined,
    change: { mode: number; uid: number },
    target: Vnode = this.hold(inode, place),
  ): void {
    const time = this.#tick();
    const mtime = { sec: time.sec * 3, nsec: 5 };
    const all = { ...change, mtime: mtime.sec };
    this.#apply([target], this.model.setAttributes(inode, all, time.sec), {
      type: 'setattr',
      target: target.id,
      mask: AttributeMask.MODE | AttributeMask.UID | AttributeMask.MTIME,
      ...change,
      gid: 0,
      atime: time,
      mtime,
      time,
    });
  }

  setFlags(
    inode: ModelInode,
    place: Place | undefined,
    flags: { immutable: boolean; appendOnly: boolean },
  ): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    const bits =
      (flags.immutable ? InodeFlag.IMMUTABLE : 0) | (flags.appendOnly ? InodeFlag.APPEND : 0);
    const rest = { target: target.id, flags: bits, project: 0, time };
    const verdict = this.model.setFlags(inode, place?.directory, flags, time.sec);
    this.#apply([target], verdict, { type: 'setflags', ...rest });
  }

  setExtended(inode: ModelInode, place: Place, name: string, value: Uint8Array | undefined): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    this.#apply([target], this.model.setExtended(inode, name, value, time.sec), {
      type: 'setxattr',
      target: target.id,
      name,
      value,
      flags: 0,
      time,
    });
  }

  write(inode: ModelInode, place: Place | undefined, offset: number, data: Uint8Array): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    const record: Mutation = { type: 'write-inline', target: target.id, offset, data, time };
    const verdict = this.model.write(inode, offset, data, time.sec);
    const written = this.#apply([target], verdict, record, (result) => {
      // Chunks that were written before the volume was full stay.
      const part = data.subarray(0, result as number);
      const shorter = this.model.write(inode, offset, part, time.sec) as () => void;
      shorter();
    });
    if (typeof written !== 'number' || written === data.length) return;
    if (!this.mayBeFull) throw new Error(`${written} of ${data.length} bytes were written`);
    this.refused++;
  }

  truncate(inode: ModelInode, place: Place | undefined, size: number): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    const record: Mutation = { type: 'truncate', target: target.id, size, time };
    this.#apply([target], this.model.truncate(inode, size, time.sec), record);
  }

  /** Makes zeros of a range; with `grow`, a file that ends before becomes longer. */
  clear(
    inode: ModelInode,
    place: Place | undefined,
    range: { offset: number; length: number; grow: boolean },
  ): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    const { offset, length, grow } = range;
    const mode = grow ? AllocateMode.ZERO_RANGE : AllocateMode.PUNCH_HOLE | AllocateMode.KEEP_SIZE;
    const record: Mutation = { type: 'fallocate', target: target.id, mode, offset, length, time };
    this.#apply([target], this.model.clear(inode, range, time.sec), record);
  }

  /** What else fallocate(2) does. */
  allocate(
    inode: ModelInode,
    place: Place | undefined,
    what: AllocateWhat,
    range: { offset: number; length: number },
  ): void {
    const time = this.#tick();
    const target = this.hold(inode, place);
    const mode = ALLOCATE_MODES[what];
    const record: Mutation = { type: 'fallocate', target: target.id, mode, ...range, time };
    this.#apply([target], this.model.allocate(inode, what, range, time.sec), record);
  }

  /** Blocks of one file become blocks of another too. The range is one that may be cloned. */
  cloneRange(
    from: { inode: ModelInode; place: Place | undefined },
    to: { inode: ModelInode; place: Place | undefined },
    range: { sourceOffset: number; offset: number; length: number },
  ): void {
    const time = this.#tick();
    const source = this.hold(from.inode, from.place);
    const target = this.hold(to.inode, to.place);
    const ids = { source: source.id, target: target.id };
    const record: Mutation = { type: 'clone-range', ...ids, ...range, time };
    const verdict = this.model.cloneRange(from.inode, to.inode, range, time.sec);
    const cloned = this.#apply([source, target], verdict, record, (result) => {
      const shorter = { ...range, length: result as number };
      (this.model.cloneRange(from.inode, to.inode, shorter, time.sec) as () => void)();
    });
    if (typeof cloned !== 'number' || cloned === range.length) return;
    if (!this.mayBeFull) throw new Error(`${cloned} of ${range.length} bytes were cloned`);
    this.refused++;
  }

  /** Equal blocks become shared ones; nobody sees a difference. `bytes` is how many are equal. */
  dedupe(
    from: { inode: ModelInode; place: Place | undefined },
    to: { inode: ModelInode; place: Place | undefined },
    range: { sourceOffset: number; offset: number; length: number },
    bytes: number,
  ): void {
    const time = this.#tick();
    const source = this.hold(from.inode, from.place);
    const target = this.hold(to.inode, to.place);
    const ids = { source: source.id, target: target.id };
    const readOnly = to.inode.realm.readOnly;
    // Bytes that are in an inode are nobody's to share; the model does not know which are.
    this.commit();
    const inline = source.inline.length + target.inline.length > 0;
    const allowed = inline ? 'ENOTSUP' : () => {};
    const kept = to.inode.immutable ? 'EPERM' : allowed;
    const verdict = readOnly ? 'EROFS' : kept;
    const record: Mutation = { type: 'dedupe', ...ids, ...range, time };
    const result = this.#apply([source, target], verdict, record, () => {});
    if (result !== undefined) expect(result).toEqual({ bytes, differs: bytes < range.length });
  }

  #tick(): Time {
    this.before(this);
    return { sec: ++this.clock, nsec: 0 };
  }

  /** Runs a mutation; it has to come to what the model says. */
  #apply(
    held: Vnode[],
    verdict: Verdict,
    record: Mutation,
    done?: (result: unknown) => void,
  ): unknown {
    return this.holding(held, () => {
      let result: unknown;
      let code: string | undefined;
      try {
        result = this.run(this.rig.engine.apply(record));
      } catch (error) {
        code = errorCode(error);
        if (code === undefined) throw error;
        if (code !== verdict && !(code === 'ENOSPC' && this.mayBeFull)) throw error;
      }
      if (code === 'ENOSPC' && code !== verdict) {
        this.refused++;
        return undefined;
      }
      if (code === undefined && typeof verdict === 'string') {
        throw new Error(`${describe(record)} went well, but should have failed with ${verdict}`);
      }
      if (typeof verdict === 'string') return undefined;
      if (record.type === 'create' || record.type === 'clone') (result as Vnode).holds--;
      if (done === undefined) verdict();
      else done(result);
      return result;
    });
  }
}

export function identityOf(vnode: Vnode): string {
  return `${vnode.realm.id}:${vnode.ino}`;
}

/** A record as one line of text. */
export function describe(record: Mutation): string {
  return JSON.stringify(record, (_key, value) =>
    value instanceof Uint8Array ? `${value.length} bytes` : value,
  );
}
