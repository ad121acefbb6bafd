/**
 * Engine: a volume that is open, all its parts together.
 *
 * It answers with operations and never runs them: a driver does. Whoever changes a volume does so
 * with {@link Engine.apply} and a record of what is to change.
 */
import { FilesystemError, type Operation, Plan, type Txg } from '../base/index.ts';
import {
  InodeKind,
  MAP_FANOUT,
  MetaInode,
  MetaName,
  type Mutation,
  RenameFlag,
  ROOT_HANDLE,
  SNAPSHOTS_HANDLE,
  TreeKind,
} from '../format/index.ts';
import { BufferPool, type Memory } from '../iomap/index.ts';
import type { Store, StoreClient } from '../store/index.ts';
import { Cow, FileMaps, KeyedPosition, KeyedTrees } from '../tree/index.ts';
import { allocateFromRecord } from './allocate.ts';
import { SetAttributes, SetExtended } from './attributes.ts';
import { Clone } from './clone.ts';
import { CloneRange } from './clone-range.ts';
import { CowRuns } from './cow-runs.ts';
import { Create, CreateTmpfile } from './create.ts';
import { truncateFromRecord, writeFromRecord } from './data.ts';
import { Dedupe } from './dedupe.ts';
import { Directories } from './directories.ts';
import { Exchange } from './exchange.ts';
import { Inodes } from './inodes.ts';
import { VolumeIomapOps } from './iomap-ops.ts';
import { Link } from './link.ts';
import { LogRecords } from './log-records.ts';
import { Look, lookupBound } from './look.ts';
import { MapWritten } from './map-written.ts';
import { Overwrites } from './overwrite.ts';
import { Reclaimer } from './reclaim.ts';
import { Rename } from './rename.ts';
import { SetFlags } from './set-flags.ts';
import { FreeOrphan, Unlink } from './unlink.ts';
import { Realm, type Vnode } from './vnode.ts';
import { VnodeTable } from './vnode-table.ts';

/** Realm of the meta root and of what hangs from it, the live volume excepted. */
const META_REALM = 0;

/** What an engine has to know beside its store. */
export interface EngineTuning {
  /** Vnodes that are kept while nobody uses them, about. */
  readonly vnodeLimit: number;
  /** Blocks of the units in which overwritten data is kept together ({@link CowRuns}); 0: none. */
  readonly extentBlocks?: number | undefined;
  /** Whether a transfer is over when the turn is, in which it was asked for. */
  readonly immediate?: boolean | undefined;
  /** Where the device is memory; see {@link BufferPool.memory}. */
  readonly memory?: Memory | undefined;
}

export class Engine implements StoreClient {
  readonly store: Store;
  readonly cow: Cow;
  readonly maps: FileMaps;
  readonly trees: KeyedTrees;
  readonly pool: BufferPool;
  readonly iomapOps: VolumeIomapOps;
  readonly table: VnodeTable;
  readonly inodes: Inodes;
  readonly directories: Directories;
  readonly reclaimer: Reclaimer;
  readonly runs: CowRuns;
  /** The directory that holds everything, and what is in it. */
  readonly meta: Vnode;
  /** Root directory of the live volume. */
  readonly live: Vnode;
  /** Directory of the snapshots. */
  readonly snapshots: Vnode;
  readonly orphans: Vnode;
  /** The reclaim queue. */
  readonly queue: Vnode;
  /** For lookups within a turn. */
  readonly position: KeyedPosition = new KeyedPosition();
  /** For looking whether something is in memory; what it would need is forgotten at once. */
  readonly glancePlan: Plan = new Plan();
  /** For looking up, while applying, what has been planned for. */
  readonly noPlan: Plan = new Plan();
  readonly records: LogRecords;
  readonly overwrites: Overwrites;
  /** Files that are pinned. */
  readonly pinned: Set<Vnode> = new Set();
  /** Inodes that {@link stray} was given. */
  readonly #strays: Vnode[] = [];

  constructor(store: Store, { vnodeLimit, extentBlocks = 0, immediate, memory }: EngineTuning) {
    this.store = store;
    this.cow = new Cow(store);
    this.maps = new FileMaps(store, this.cow);
    this.trees = new KeyedTrees(store, this.cow);
    this.iomapOps = new VolumeIomapOps();
    this.pool = new BufferPool(store.blocks, this.iomapOps, { immediate, memory });
    this.table = new VnodeTable(this.pool, this.iomapOps, vnodeLimit);
    this.inodes = new Inodes(store, this.cow, this.trees, this.table);
    this.directories = new Directories(store, this.trees);
    this.meta = this.#own(InodeKind.DIRECTORY);
    this.meta.ino = MetaInode.META as Vnode['ino'];
    this.meta.realm = new Realm(META_REALM, this.meta, false);
    this.live = this.#own(InodeKind.DIRECTORY, ROOT_HANDLE);
    this.snapshots = this.#own(InodeKind.DIRECTORY, SNAPSHOTS_HANDLE);
    this.orphans = this.#own(InodeKind.DIRECTORY);
    this.queue = this.#own(InodeKind.TREE);
    this.queue.depth = TreeKind.RECLAIM;
    const { inodes, cow, trees, queue, maps } = this;
    this.reclaimer = new Reclaimer({ store, cow, trees, inodes, queue });
    this.runs = new CowRuns(store.space, extentBlocks);
    this.records = new LogRecords(store, this.vnode.bind(this));
    this.overwrites = new Overwrites(store, inodes, maps);
    const { reclaimer, runs, records, overwrites } = this;
    this.iomapOps.parts = { store, inodes, maps, reclaimer, runs, records, overwrites };
    this.table.onDrop = (vnode) => {
      inodes.dropped(vnode);
      this.runs.release(vnode);
      overwrites.forget(vnode);
      records.dropped(vnode);
    };
    store.blocks.relief = (asker) => this.#relieve(asker);
    store.client = this;
  }

  /** The vnode with this handle. @throws {FilesystemError} `EBADF` if there is none */
  vnode(handle: number): Vnode {
    const vnode = this.table.get(handle);
    if (vnode !== undefined) return vnode;
    throw new FilesystemError('EBADF', `Cannot find inode handle ${handle}`);
  }

  /**
   * An operation that does what a record says. `bind`, `create`, `tmpfile` and `clone` come to a
   * vnode, held for the caller; `write-inline` to the bytes written. The blocks of a `write` have
   * to be taken already; only a mount that replays the log knows of such.
   */
  apply(record: Mutation): Operation<unknown> {
    switch (record.type) {
      case 'bind':
        return lookupBound(this, this.vnode(record.parent), record.name);
      case 'create':
        return new Create(this, record);
      case 'link':
        return new Link(this, record);
      case 'unlink':
        return new Unlink(this, record);
      case 'rename':
        return (record.flags & RenameFlag.EXCHANGE) === 0
          ? new Rename(this, record)
          : new Exchange(this, record);
      case 'tmpfile':
        return new CreateTmpfile(this, record);
      case 'whiteout':
        return new Rename(this, record);
      case 'setattr':
        return new SetAttributes(this, record);
      case 'setflags':
        return new SetFlags(this, record);
      case 'setxattr':
        return new SetExtended(this, record);
      case 'truncate':
        return truncateFromRecord(this, record);
      case 'write-inline':
        return writeFromRecord(this, record);
      case 'fallocate':
        return allocateFromRecord(this, record);
      case 'clone':
        return new Clone(this, record);
      case 'clone-range':
        return new CloneRange(this, record);
      case 'dedupe':
        return new Dedupe(this, record);
      case 'write':
        return new MapWritten(this, record);
    }
  }

  /** A number for a new inode: the one asked for, or with 0 the next that was never used. */
  takeInode(wanted: number): number {
    const { state } = this.store;
    const ino = this.peekInode(wanted);
    state.nextInode = Math.max(state.nextInode, ino + 1);
    return ino;
  }

  /** Which number {@link takeInode} would give in this turn. */
  peekInode(wanted: number): number {
    return wanted === 0 ? this.store.state.nextInode : wanted;
  }

  /** The same for a new realm. */
  takeRealm(wanted: number): number {
    const { state } = this.store;
    const realm = wanted === 0 ? state.nextRealm : wanted;
    state.nextRealm = Math.max(state.nextRealm, realm + 1);
    return realm;
  }

  /** After the last close of an inode: the operation that ends an orphan, or undefined. */
  closed(vnode: Vnode): Operation<void> | undefined {
    const orphan = vnode.unlinked && vnode.opens === 0 && vnode.holder !== undefined;
    return orphan ? new FreeOrphan(this, vnode) : undefined;
  }

  /**
   * Blocks of which one turn shares the slots. Each may have to be loaded and copied, where its
   * count is at the limit (T5), and that must fit a small cache.
   */
  get turnBlocks(): number {
    return Math.min(MAP_FANOUT, this.store.blocks.frameCount >>> 3);
  }

  /** True if something was changed since the last commit closed. */
  get hasChanges(): boolean {
    return this.store.hasChanges || this.inodes.hasChanges || this.pool.dirtyBlocks > 0;
  }

  /** Makes everything done so far durable, but for what is stored in views: see sync.ts. */
  commit(): Operation<Txg> {
    return this.store.commit();
  }

  drained(plan: Plan): boolean {
    return this.pool.drained(plan);
  }

  seal(): void {
    this.records.timedAll();
    this.records.restart();
    this.inodes.seal(this.meta);
    this.store.state.metaRoot.set(this.meta.slots.subarray(0, 4));
  }

  /**
   * Takes over an inode without names that an operation has left when it failed, and the hold on
   * it: it goes with the next work of reclaiming.
   */
  stray(vnode: Vnode): void {
    if (vnode.holder !== undefined) {
      this.#strays.push(vnode);
      return;
    }
    vnode.holds--;
    this.table.drop(vnode);
  }

  yieldSpace(): boolean {
    return this.runs.releaseAll() || this.store.space.unpin();
  }

  reclaim(): Operation<unknown> | undefined {
    for (let vnode = this.#strays.at(-1); vnode !== undefined; vnode = this.#strays.at(-1)) {
      if (vnode.holder !== undefined) return new FreeOrphan(this, vnode, 1);
      this.#strays.pop();
    }
    return this.reclaimer.work();
  }

  /** Reads what hangs from the meta root: the first operation on a volume that was mounted. */
  load(): Operation<true> {
    return new Look(this, (plan) => {
      this.meta.slots.set(this.store.state.metaRoot);
      const found = [
        this.#loadOwn(this.live, MetaName.LIVE, plan),
        this.#loadOwn(this.snapshots, MetaName.SNAPSHOTS, plan),
        this.#loadOwn(this.orphans, MetaName.ORPHANS, plan),
        this.#loadOwn(this.queue, MetaName.RECLAIM, plan),
      ];
      if (found.includes(false)) return undefined;
      const last = this.trees.lastKey(this.queue.entries, plan);
      if (last === undefined) return undefined;
      if (!this.store.holdEnds(plan)) return undefined;
      this.reclaimer.startAfter(last);
      return true;
    });
  }

  #own(kind: InodeKind, id?: number): Vnode {
    const vnode = this.table.make(id);
    vnode.kind = kind;
    vnode.holds = 1;
    return vnode;
  }

  #loadOwn(vnode: Vnode, name: string, plan: Plan): boolean {
    const found = this.directories.find(this.meta, name, this.position, plan);
    if (found === 'none') {
      throw new FilesystemError('EIO', `Cannot mount: the meta root has no entry "${name}"`);
    }
    if (found === 'found') this.inodes.fill(vnode, this.meta, name, this.position);
    return found === 'found';
  }

  /** Where frames come from when all of them are busy; undefined if nothing of ours holds them. */
  #relieve(asker: Plan): Operation<unknown> | undefined {
    // On a volume that is read-only nothing can be written to make room.
    if (this.store.readOnly) return undefined;
    // A commit would wait for what is in flight, and that may be who asks.
    const { dirtyBlocks, active } = this.pool;
    if (dirtyBlocks > 0 || active.size > 0) return this.pool.relief(asker);
    return this.hasChanges || this.store.isCommitting ? this.store.commit() : undefined;
  }
}
