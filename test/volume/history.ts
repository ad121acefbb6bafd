/**
 * History: random operations on a {@link World}, drawn from one seed.
 *
 * Names are few, so that they clash; sizes are mostly small, sometimes beyond the next depth of a
 * file map; directories and clones are chosen as often inside each other as beside each other.
 */
import { GIB, KIB, MIB } from '../../src/base/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { BLOCK, type Kind, type ModelInode, type Place } from './model.ts';
import type { World } from './world.ts';

/** How often each kind of step is drawn, relative to the others. */
export type Weights = Readonly<Partial<Record<Step, number>>>;
export type Step = keyof typeof STEPS;

const EVEN: Weights = {
  create: 12,
  write: 16,
  truncate: 6,
  clear: 6,
  allocate: 8,
  cloneRange: 8,
  dedupe: 4,
  unlink: 7,
  rename: 10,
  exchange: 6,
  whiteout: 2,
  link: 6,
  tmpfile: 3,
  nameOpen: 3,
  clone: 5,
  snapshot: 1,
  attributes: 3,
  extended: 4,
  guard: 2,
  unguard: 4,
  open: 2,
  close: 2,
  crowd: 1,
  commit: 2,
  reclaim: 1,
  remount: 1,
};

const WHAT = ['reserve', 'reserve behind', 'collapse', 'insert', 'unshare'] as const;
const NAMES = [...'abcdefgh', 'long'.padEnd(120, '-'), 'longer'.padEnd(255, '~')];

/** Names of a model; beyond it no clone is made, since copies of copies grow fast. */
const INODES_MAX = 400;

export interface HistoryOptions {
  readonly random: Random;
  readonly weights?: Weights;
  /** Bytes of a file, where nothing bigger was drawn on purpose. */
  readonly sizeMax?: number;
  /** Files beyond 256 MiB, nearly all of them holes. */
  readonly sparse?: boolean;
}

export class History {
  readonly world: World;
  readonly random: Random;
  readonly options: HistoryOptions;
  /** What was done, for whoever looks for the cause of a failure. */
  readonly log: string[] = [];
  readonly #steps: Step[];

  constructor(world: World, options: HistoryOptions) {
    this.world = world;
    this.random = options.random;
    this.options = options;
    const weights = Object.entries({ ...EVEN, ...options.weights }) as [Step, number][];
    this.#steps = weights.flatMap(([step, weight]) => new Array<Step>(weight).fill(step));
  }

  run(count: number): void {
    for (let i = 0; i < count; i++) this.step();
  }

  step(): void {
    const step = this.random.pick(this.#steps);
    this.log.push(step);
    STEPS[step](this);
  }

  /**
   * Takes everything away again. Names in a clone may need room first, since what leads to them is
   * copied; but what hangs from the root can always be deleted.
   */
  deleteAll(): void {
    const { random, world } = this;
    for (const inode of world.openInodes) while (inode.opens > 0) world.close(inode);
    this.#unguardAll();
    const { root, snapshots } = world.model;
    while (root.entries.size + snapshots.entries.size > 0) {
      if (this.#deleteOne([root, snapshots])) continue;
      // What is left there are directories with linked files below, to be emptied name by name.
      const below = [...world.model.all].filter(({ isDirectory, realm }) => {
        return isDirectory && !realm.readOnly;
      });
      if (!this.#deleteOne(random.shuffle(below))) throw new Error('Nothing can be deleted');
    }
  }

  #unguardAll(): void {
    const { model } = this.world;
    for (const directory of model.all) {
      for (const [name, inode] of directory.entries) {
        if (!inode.guarded || inode.realm.readOnly) continue;
        this.world.setFlags(inode, { directory, name }, { immutable: false, appendOnly: false });
      }
    }
  }

  /** Deletes one thing from one of the directories. False if none can be. */
  #deleteOne(directories: readonly ModelInode[]): boolean {
    const places = directories.flatMap((directory) =>
      [...directory.entries.keys()].map((name) => ({ directory, name })),
    );
    return this.random.shuffle(places).some((place) => this.#delete(place));
  }

  #delete(place: Place): boolean {
    const { world } = this;
    const inode = world.model.at(place) as ModelInode;
    const { isDirectory, linksBelow, guardedBelow, realm, entries } = inode;
    const { refused } = world;
    const goes = place.directory === world.model.snapshots || realm.readOnly;
    const apart = !linksBelow || realm.root === inode;
    if (!isDirectory) world.unlink(place, 'file');
    else if (apart && (!guardedBelow || goes)) world.unlink(place, 'tree');
    else if (entries.size === 0) world.unlink(place, 'directory');
    else return false;
    return world.refused === refused;
  }

  /** A directory anywhere, sometimes one that cannot be changed. */
  directory(): ModelInode {
    const all = [...this.world.model.all].filter(
      (inode) => inode.isDirectory && inode !== this.world.model.snapshots,
    );
    const writable = all.filter(({ realm }) => !realm.readOnly);
    return this.random.pick(this.random.chance(0.95) ? writable : all);
  }

  /** A name in any directory, taken or not. */
  place(): Place {
    return { directory: this.directory(), name: this.random.pick(NAMES) };
  }

  /** A name that exists; undefined if there is none. */
  taken(fits: (inode: ModelInode) => boolean = () => true): Place | undefined {
    const directories = this.random.shuffle(
      [...this.world.model.all].filter(({ isDirectory }) => isDirectory),
    );
    for (const directory of directories) {
      if (directory === this.world.model.snapshots && this.random.chance(0.9)) continue;
      const names = [...directory.entries].filter(([, inode]) => fits(inode));
      if (names.length > 0) return { directory, name: this.random.pick(names)[0] };
    }
    return undefined;
  }

  /** A file to write to: one that is open, or one with a name. */
  file(): { inode: ModelInode; place: Place | undefined } | undefined {
    const { world, random } = this;
    const open = world.openInodes.filter(({ kind }) => kind === 'file');
    if (open.length > 0 && random.chance(0.3)) {
      return { inode: random.pick(open), place: undefined };
    }
    const place = this.taken(({ kind }) => kind === 'file');
    if (place === undefined) return undefined;
    return { inode: world.model.at(place) as ModelInode, place };
  }

  /** An offset or a size. */
  offset(): number {
    const { random, options } = this;
    const { sizeMax = 96 * KIB } = options;
    if (options.sparse === true && random.chance(0.08)) {
      return random.pick([MIB, 256 * MIB, GIB, 64 * GIB]) + random.between(-9000, 9000);
    }
    const near = random.chance(0.5) ? random.below(20000) : random.below(sizeMax);
    return random.chance(0.4) ? near - (near % BLOCK) : near;
  }

  bytes(): Uint8Array {
    const { random } = this;
    const length = random.pick([1, 100, 700, 5000, 20000, 50000]);
    const aligned = random.chance(0.4) ? random.between(1, 6) * BLOCK : random.between(1, length);
    return random.bytes(aligned);
  }
}

const STEPS = {
  create(history: History): void {
    const { random, world } = history;
    const kinds: Kind[] = ['file', 'file', 'file', 'directory', 'directory', 'symlink', 'fifo'];
    const kind = random.pick(kinds);
    const length = random.pick([5, 700, 768, 769, 4000]);
    const target = kind === 'symlink' ? String(random.below(1e6)).padEnd(length, 't') : '';
    world.create(history.place(), kind, { mode: random.below(0o10000), target });
  },

  write(history: History): void {
    const file = history.file();
    if (file === undefined) return;
    history.world.write(file.inode, file.place, history.offset(), history.bytes());
  },

  truncate(history: History): void {
    const file = history.file();
    if (file === undefined) return;
    const size = history.random.chance(0.2) ? 0 : history.offset();
    history.world.truncate(file.inode, file.place, size);
  },

  clear(history: History): void {
    const file = history.file();
    if (file === undefined) return;
    const { random } = history;
    const length = random.pick([1, 100, 4096, 5000, 40_000, 3_000_000]);
    const range = { offset: history.offset(), length, grow: random.chance(0.2) };
    history.world.clear(file.inode, file.place, range);
  },

  allocate(history: History): void {
    const file = history.file();
    if (file === undefined) return;
    const { random } = history;
    const what = random.pick(WHAT);
    const block = Math.floor(history.offset() / BLOCK) * BLOCK;
    const aligned = what === 'collapse' || what === 'insert' ? 0.95 : 0.5;
    const offset = random.chance(aligned) ? block : history.offset();
    const length = random.pick([1, 2, 3, 70, 256, 600]) * BLOCK - (random.chance(0.1) ? 1 : 0);
    history.world.allocate(file.inode, file.place, what, { offset, length });
  },

  cloneRange(history: History): void {
    const [from, to] = [history.file(), history.file()];
    if (from === undefined || to === undefined) return;
    const { random, world } = history;
    const { size } = from.inode.data;
    const blocks = Math.ceil(size / BLOCK);
    if (blocks === 0) return;
    const first = random.chance(0.4) ? 0 : random.below(blocks);
    const count = random.chance(0.4)
      ? blocks - first
      : random.between(1, Math.min(blocks - first, 600));
    const sourceOffset = first * BLOCK;
    let length = Math.min(count * BLOCK, size - sourceOffset);
    const offset = random.chance(0.4) ? 0 : Math.floor(history.offset() / BLOCK) * BLOCK;
    // A last part of a block may not be put before other bytes of the target.
    if (length % BLOCK !== 0 && offset + length < to.inode.data.size) length -= length % BLOCK;
    const onto = sourceOffset < offset + length && offset < sourceOffset + length;
    if (length === 0 || (from.inode === to.inode && onto)) return;
    world.cloneRange(from, to, { sourceOffset, offset, length });
  },

  dedupe(history: History): void {
    const [from, to] = [history.file(), history.file()];
    if (from === undefined || to === undefined || from.inode === to.inode) return;
    const { random, world } = history;
    const [source, target] = [from.inode.data, to.inode.data];
    const first = random.below(Math.ceil(source.size / BLOCK) || 1) * BLOCK;
    const offset = random.chance(0.7) ? first : 0;
    const most = Math.min(source.size - first, target.size - offset);
    const length = Math.min(300, Math.floor(most / BLOCK)) * BLOCK;
    if (length <= 0) return;
    let bytes = 0;
    const equal = (at: number): boolean => {
      const left = source.read(first + at, BLOCK);
      return Buffer.compare(left, target.read(offset + at, BLOCK)) === 0;
    };
    while (bytes < length && equal(bytes)) bytes += BLOCK;
    world.dedupe(from, to, { sourceOffset: first, offset, length }, bytes);
  },

  unlink(history: History): void {
    const { random, world } = history;
    const place = random.chance(0.1) ? history.place() : history.taken();
    if (place === undefined) return;
    const fits = world.model.at(place)?.isDirectory
      ? (['directory', 'tree'] as const)
      : (['file'] as const);
    const any = ['file', 'directory', 'tree'] as const;
    world.unlink(place, random.pick(random.chance(0.9) ? fits : any));
  },

  rename(history: History): void {
    const { random, world } = history;
    const from = random.chance(0.05) ? history.place() : history.taken();
    if (from === undefined) return;
    const directory = random.chance(0.4) ? from.directory : history.directory();
    const name = random.pick(NAMES);
    world.rename(from, { directory, name }, random.chance(0.1));
  },

  exchange(history: History): void {
    const { random, world } = history;
    const left = history.taken();
    const right = random.chance(0.05) ? history.place() : history.taken();
    if (left !== undefined && right !== undefined) world.exchange(left, right);
  },

  whiteout(history: History): void {
    const { random, world } = history;
    const from = history.taken();
    if (from === undefined) return;
    const directory = random.chance(0.4) ? from.directory : history.directory();
    world.whiteout(from, { directory, name: random.pick(NAMES) });
  },

  link(history: History): void {
    const { random, world } = history;
    const from = history.taken((inode) => !inode.isDirectory || random.chance(0.02));
    if (from === undefined) return;
    const near = random.chance(0.5) ? from.directory : history.directory();
    world.link(from, { directory: near, name: random.pick(NAMES) });
  },

  tmpfile(history: History): void {
    const { world } = history;
    if (world.openInodes.length < 6) world.tmpfile(history.directory());
  },

  nameOpen(history: History): void {
    const { random, world } = history;
    const open = world.openInodes;
    const fresh = open.filter(({ linkable }) => linkable);
    const some = fresh.length > 0 && random.chance(0.8) ? fresh : open;
    if (some.length === 0) return;
    const inode = random.pick(some);
    const near = [...world.model.all].filter(({ realm, isDirectory }) => {
      return isDirectory && realm === inode.realm;
    });
    const directory =
      near.length > 0 && random.chance(0.8) ? random.pick(near) : history.directory();
    world.name(inode, undefined, { directory, name: random.pick(NAMES) });
  },

  clone(history: History): void {
    const { random, world } = history;
    const small = world.model.all.size < INODES_MAX;
    const from = history.taken((inode) => small || !inode.isDirectory);
    if (from === undefined) return;
    const root = small && random.chance(0.05);
    world.clone(root ? 'root' : from, history.place(), random.chance(0.1));
  },

  snapshot(history: History): void {
    const { random, world } = history;
    const { model } = world;
    if (model.all.size > INODES_MAX) return;
    const place = { directory: model.snapshots, name: random.pick(NAMES) };
    world.clone('root', place, random.chance(0.7));
  },

  attributes(history: History): void {
    const { random, world } = history;
    const place = history.taken();
    if (place === undefined) return;
    const inode = world.model.at(place) as ModelInode;
    world.setAttributes(inode, place, { mode: random.below(0o10000), uid: random.below(9) });
  },

  extended(history: History): void {
    const { random, world } = history;
    const place = history.taken();
    if (place === undefined) return;
    const inode = world.model.at(place) as ModelInode;
    const length = random.pick([0, 3, 60, 200, 5000, 30000]);
    const value = random.chance(0.25) ? undefined : random.bytes(length);
    world.setExtended(inode, place, `user.${random.pick([...'abc'])}`, value);
  },

  guard(history: History): void {
    const { random, world } = history;
    const place = history.taken();
    if (place === undefined) return;
    const inode = world.model.at(place) as ModelInode;
    const immutable = random.chance(0.5);
    world.setFlags(inode, place, { immutable, appendOnly: !immutable || random.chance(0.2) });
  },

  /** Of all that were guarded one is not any more. */
  unguard(history: History): void {
    const { random, world } = history;
    const place = history.taken(({ guarded }) => guarded);
    if (place === undefined) return;
    const inode = world.model.at(place) as ModelInode;
    world.setFlags(inode, place, { immutable: false, appendOnly: random.chance(0.1) });
  },

  open(history: History): void {
    const place = history.taken();
    if (place !== undefined && history.world.openInodes.length < 6) history.world.open(place);
  },

  close(history: History): void {
    const { random, world } = history;
    if (world.openInodes.length > 0) world.close(random.pick(world.openInodes));
  },

  /** Enough names for a second level of the directory's tree. */
  crowd(history: History): void {
    const { random, world } = history;
    const directory = history.directory();
    const count = random.between(10, 60);
    for (let i = 0; i < count; i++) {
      const name = `n${random.below(200)}`.padEnd(random.pick([4, 4, 100]), '.');
      if (directory.entries.has(name)) world.unlink({ directory, name }, 'file');
      else world.create({ directory, name }, 'file');
    }
  },

  commit(history: History): void {
    history.world.commit();
  },

  reclaim(history: History): void {
    const { engine } = history.world.rig;
    const work = engine.reclaim();
    if (work !== undefined) history.world.run(work);
  },

  remount(history: History): void {
    history.world.remount();
  },
};
