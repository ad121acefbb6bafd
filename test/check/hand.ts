/**
 * Hand: changes a volume one mutation at a time, in one turn each, at times that only count up.
 * Names are binary strings, as they are everywhere in the engine.
 */
import { binaryFromText } from '../../src/base/index.ts';
import type { MemoryDevice } from '../../src/device/index.ts';
import { InodeKind, type Mutation, type Time, UnlinkWhat } from '../../src/format/index.ts';
import { BufferedRead } from '../../src/iomap/index.ts';
import {
  type DirectoryEntry,
  lookup,
  ReadExtended,
  readEntries,
  readTarget,
  type Vnode,
} from '../../src/volume/index.ts';
import { create, mount, type Rig, type RigOptions } from '../volume/rig.ts';

export class Hand {
  readonly device: MemoryDevice;
  rig: Rig;
  readonly #options: RigOptions;
  #clock = 1000;

  private constructor(device: MemoryDevice, options: RigOptions, rig: Rig) {
    this.device = device;
    this.#options = options;
    this.rig = rig;
  }

  /** A new volume. */
  static format(device: MemoryDevice, options: RigOptions = {}): Hand {
    return new Hand(device, options, create(device, options));
  }

  /** The volume that is there. */
  static mount(device: MemoryDevice, options: RigOptions = {}): Hand {
    return new Hand(device, options, mount(device, options));
  }

  get root(): Vnode {
    return this.rig.engine.live;
  }

  get snapshots(): Vnode {
    return this.rig.engine.snapshots;
  }

  apply<Result>(mutation: Mutation): Result {
    return this.rig.driver.run(this.rig.engine.apply(mutation)) as Result;
  }

  commit(): void {
    this.rig.driver.run(this.rig.engine.commit());
  }

  /** Commits, and forgets everything that is in memory. */
  remount(): void {
    this.commit();
    this.rig = mount(this.device, this.#options);
  }

  /** Works the reclaim queue off. */
  reclaim(): void {
    for (let work = this.rig.engine.reclaim(); work !== undefined; ) {
      this.rig.driver.run(work);
      work = this.rig.engine.reclaim();
    }
  }

  create(
    parent: Vnode,
    name: string,
    kind: InodeKind,
    more: { target?: string; rdev?: number; mode?: number } = {},
  ): Vnode {
    const { target = '', rdev = 0, mode = 0o644 } = more;
    const owner = { uid: 1000, gid: 1000 };
    const made = { mode, ...owner, rdev, target: binaryFromText(target), time: this.time() };
    const type = 'create' as const;
    return this.apply({ type, parent: parent.id, name, kind, ...made, ino: 0, handle: 0 });
  }

  directory(parent: Vnode, name: string): Vnode {
    return this.create(parent, name, InodeKind.DIRECTORY, { mode: 0o755 });
  }

  /** A file with this content. */
  file(parent: Vnode, name: string, data: Uint8Array = new Uint8Array(0)): Vnode {
    const vnode = this.create(parent, name, InodeKind.FILE);
    if (data.length > 0) this.write(vnode, 0, data);
    return vnode;
  }

  write({ id: target }: Vnode, offset: number, data: Uint8Array): void {
    this.apply({ type: 'write-inline', target, offset, data, time: this.time() });
  }

  truncate({ id: target }: Vnode, size: number): void {
    this.apply({ type: 'truncate', target, size, time: this.time() });
  }

  link({ id: target }: Vnode, { id: parent }: Vnode, name: string): void {
    this.apply({ type: 'link', target, parent, name, time: this.time() });
  }

  unlink({ id: parent }: Vnode, name: string, what: UnlinkWhat = UnlinkWhat.FILE): void {
    this.apply({ type: 'unlink', parent, name, what, time: this.time() });
  }

  rename({ id: parent }: Vnode, name: string, { id: newParent }: Vnode, newName: string): void {
    this.apply({ type: 'rename', parent, name, newParent, newName, flags: 0, time: this.time() });
  }

  clone({ id: source }: Vnode, { id: parent }: Vnode, name: string, readOnly = false): Vnode {
    const made = { readOnly, time: this.time(), ino: 0, realm: 0, handle: 0 };
    return this.apply({ type: 'clone', source, parent, name, ...made });
  }

  setExtended({ id: target }: Vnode, name: string, value: Uint8Array | undefined): void {
    this.apply({ type: 'setxattr', target, name, value, flags: 0, time: this.time() });
  }

  setMode({ id: target }: Vnode, mode: number): void {
    const time = this.time();
    const times = { atime: time, mtime: time, time };
    this.apply({ type: 'setattr', target, mask: 1, mode, uid: 0, gid: 0, ...times });
  }

  find(directory: Vnode, name: string): Vnode {
    return this.rig.driver.run(lookup(this.rig.engine, directory, name));
  }

  entries(directory: Vnode): DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    for (let cookie = 0; ; cookie = (entries.at(-1) as DirectoryEntry).cookie) {
      const more = this.rig.driver.run(readEntries(this.rig.engine, directory, cookie));
      if (more.length === 0) return entries;
      entries.push(...more);
    }
  }

  read(vnode: Vnode, offset = 0, length = vnode.size - offset): Uint8Array {
    const bytes = new Uint8Array(length);
    const read = this.rig.driver.run(new BufferedRead().begin(vnode, offset, length, bytes));
    return bytes.subarray(0, read);
  }

  target(vnode: Vnode): Uint8Array {
    return this.rig.driver.run(readTarget(this.rig.engine, vnode));
  }

  extended(vnode: Vnode): Map<string, Uint8Array> {
    return this.rig.driver.run(new ReadExtended(this.rig.engine, vnode));
  }

  time(): Time {
    return { sec: this.#clock++, nsec: 5 };
  }
}

/** Bytes in which every block differs from every other. */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++)
    bytes[i] = (i * 7 + (i >>> 8) * 13 + (i >>> 12) + seed * 31) & 255;
  return bytes;
}
