/**
 * Volume: the API's front door.
 */
import { FilesystemError } from '../base/index.ts';
import type { Device } from '../device/index.ts';
import type { Driver } from '../drive/index.ts';
import { InodeFlag, timeToMs, UnlinkWhat } from '../format/index.ts';
import type { Tracer } from '../iomap/index.ts';
import { checkName, type Engine, type Extent, lookup, type Vnode } from '../volume/index.ts';
import { Background } from './background.ts';
import { cloneTo } from './calls/copy.ts';
import { list } from './calls/directories.ts';
import { unlinkName } from './calls/names.ts';
import { Context, FileTable, holding, syncAll } from './context.ts';
import { giveDevice, makeDriver, takeDevice } from './device-use.ts';
import { asNodeError, type CallSite } from './errors.ts';
import { Caller, Home as CallerHome, makeFs, type RemoteCalls } from './fs.ts';
import { cloneSite, diffSite, type Locator, locatorText } from './locator.ts';
import { mountVolume, type VolumeOptions } from './mount.ts';
import { Names } from './names.ts';
import {
  childOf,
  isSpecial,
  type PathArgument,
  pathBytes,
  resolve,
  resolveParent,
} from './path.ts';
import { type Procedure, run, runAsync, runSync } from './procedure.ts';
import { type Change, DiffWalk, measure, readExtents, type SpaceReport } from './reports.ts';
import { Session } from './session.ts';
import type { PromisesFs, SyncFs } from './shapes.ts';
import type { LongOptions } from './upkeep.ts';
import { reclaimAll } from './volume-size.ts';

export interface SnapshotInfo {
  readonly name: string;
  readonly readOnly: boolean;
  readonly created: Date;
}

export interface SnapshotOptions {
  /** Whether the snapshot can be changed later; it cannot if this is left out. */
  readonly writable?: boolean | undefined;
}

const COMMIT_INTERVAL_MS = 5000;

/** An engine that runs, what runs its operations, and where its bytes are. */
export interface VolumeEngine {
  readonly device: Device;
  readonly driver: Driver;
  readonly engine: Engine;
}

interface Home extends VolumeEngine {
  readonly context: Context;
  readonly background: Background | undefined;
  /** What {@link heldIn} is when nobody uses anything. */
  readonly held: number;
}

/** How often inodes are held, or open, by anybody. */
function heldIn({ table }: Engine): number {
  return table.all.reduce((sum, { holds, opens }) => sum + holds + opens, 0);
}

/** Of views: what runs their calls. */
const CALLERS = new WeakMap<SnapshotView, Caller>();

/** What runs the calls of a view. */
export function callerOf(view: SnapshotView): Caller {
  return CALLERS.get(view) as Caller;
}

/** A filesystem view of a snapshot. Let go of it with `close`, or `using`. */
export class SnapshotView {
  readonly name: string;
  readonly fs: SyncFs;
  readonly #end: () => void;
  #open = true;

  constructor(name: string, caller: Caller, end: () => void) {
    this.name = name;
    this.#end = end;
    this.fs = makeFs(caller);
    CALLERS.set(this, caller);
  }

  get promises(): PromisesFs {
    return this.fs.promises;
  }

  /** Lets go of the view. Further calls of its `fs` are `EBADF`. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#end();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A volume that is open.
 *
 * Every change is visible to the next call at once and durable after {@link sync}, after
 * {@link close}, or by itself after a few seconds. `fsync` of a file makes that file durable, and
 * every name and attribute as they were. A crash leaves what was done up to some moment, all that
 * was durable included; of a file that nobody has made durable, each block is one of those that it
 * has been since the last commit.
 */
export class Volume extends Names {
  /** `node:fs`, synchronous; with promises as `fs.promises`. */
  readonly fs: SyncFs;
  protected readonly caller: Caller;
  protected readonly options: VolumeOptions;
  readonly #session = new Session('volume');
  /** Undefined while another thread has the engine. */
  #home: Home | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  protected constructor(device: Device, driver: Driver, engine: Engine, options: VolumeOptions) {
    super();
    this.options = options;
    this.#home = this.#moveIn({ device, driver, engine }, 0);
    this.caller = new Caller(new CallerHome(this.#home.context, driver));
    this.fs = makeFs(this.caller);
  }

  /** What the volume is made of, where it is. Open files are numbered from `firstFile` on. */
  #moveIn({ device, driver, engine }: VolumeEngine, firstFile: number): Home {
    const options = this.options;
    driver.onBroken = (error) => engine.store.latch(error);
    driver.concurrency = engine.pool.operationsMax;
    const context = new Context({
      engine,
      session: this.#session,
      root: engine.live,
      files: new FileTable(firstFile),
      now: options.now ?? Date.now,
      uid: options.uid ?? 0,
      gid: options.gid ?? 0,
      umask: options.umask ?? 0o022,
    });
    const interval = options.commitIntervalMs ?? COMMIT_INTERVAL_MS;
    const background =
      engine.store.readOnly || interval <= 0 ? undefined : new Background(engine, driver, interval);
    return { device, driver, engine, context, background, held: heldIn(engine) };
  }

  protected get engine(): Engine {
    return this.#here.engine;
  }

  protected get driver(): Driver {
    return this.#here.driver;
  }

  protected get device(): Device {
    return this.#here.device;
  }

  get #context(): Context {
    return this.#here.context;
  }

  get #here(): Home {
    if (this.#home !== undefined) return this.#home;
    throw new FilesystemError('EBUSY', 'Cannot do this here: another thread has the volume');
  }

  /**
   * Makes everything durable and lets go of the engine, in this turn: the caller hands the device
   * on, and calls of `fs` go to `remote`. The device answers at once.
   *
   * @throws {FilesystemError} `EBUSY` if something is open or under way, `EBADF`, and what a sync
   *   throws; the volume is what it was then
   */
  protected moveOut(remote: RemoteCalls): void {
    this.#session.check();
    const home = this.#here;
    const inUse = this.#whatIsInUse(home);
    if (inUse !== undefined) {
      throw new FilesystemError('EBUSY', `Cannot move the volume to another thread: ${inUse}`);
    }
    if (!home.engine.store.readOnly) runSync(home.driver, syncAll(home.engine));
    home.background?.stop();
    this.#home = undefined;
    this.caller.moveTo(remote);
  }

  /** The engine is here again. Open files get numbers from `firstFile` on. */
  protected moveBack(parts: VolumeEngine, firstFile: number): void {
    this.#home = this.#moveIn(parts, firstFile);
    this.caller.moveTo(new CallerHome(this.#home.context, parts.driver));
  }

  #whatIsInUse({ engine, driver, context, held }: Home): string | undefined {
    if (this.#closing !== undefined) return 'it is being closed';
    if (this.#session.calls > 0 || !driver.idle) return 'calls are under way; await them first';
    if (context.files.count > 0) return `${context.files.count} of its files are open`;
    const views = context.views.size + engine.pool.views.size;
    if (views > 0) return 'views of files, or pins, are open';
    if (heldIn(engine) === held) return undefined;
    return 'a directory, a snapshot or a comparison is open';
  }

  /**
   * Opens the volume on a device, or makes one there.
   *
   * @throws {FilesystemError} `EINVAL` if there is no volume or one of a newer format, `EIO` if it
   *   is damaged, `EEXIST` if one was to be made over something else, `EROFS`
   * @throws {RangeError} if an option is outside its limits
   */
  static async open(device: Device, options: VolumeOptions = {}): Promise<Volume> {
    takeDevice(device);
    try {
      const driver = makeDriver(device);
      const engine = await runAsync(driver, mountVolume(device, options), {});
      return new Volume(device, driver, engine, options);
    } catch (error) {
      giveDevice(device);
      throw error;
    }
  }

  /** The same, in this turn. `ENOTSUP` if the device is asynchronous. */
  static openSync(device: Device, options: VolumeOptions = {}): Volume {
    takeDevice(device);
    try {
      const driver = makeDriver(device);
      const engine = runSync(driver, mountVolume(device, options));
      return new Volume(device, driver, engine, options);
    } catch (error) {
      giveDevice(device);
      throw error;
    }
  }

  get label(): string {
    return this.engine.store.superblock.label;
  }

  get readOnly(): boolean {
    return this.engine.store.readOnly;
  }

  /**
   * Clones a file, or a directory with everything below it, to a path that must be free. Takes the
   * same time whatever the size. Both sides are independent from then on. Atomic.
   *
   * @throws `ENOENT`, `EEXIST`, `ENOTDIR`, `ENOSPC`, `EROFS`, as `node:fs` would
   */
  async clone(source: Locator, destination: PathArgument): Promise<void> {
    await this.#async(this.#clone(source, destination), cloneSite(source, destination));
  }

  cloneSync(source: Locator, destination: PathArgument): void {
    this.#sync(this.#clone(source, destination), cloneSite(source, destination));
  }

  /** Keeps the live volume as it is now under a name. Constant time, atomic. `EEXIST`. */
  async snapshot(name: string, options: SnapshotOptions = {}): Promise<void> {
    await this.#async(this.#snapshot(name, options), { syscall: 'snapshot', path: name });
  }

  snapshotSync(name: string, options: SnapshotOptions = {}): void {
    this.#sync(this.#snapshot(name, options), { syscall: 'snapshot', path: name });
  }

  /** All snapshots, oldest first. */
  async snapshots(): Promise<SnapshotInfo[]> {
    return await this.#async(this.#snapshots(), { syscall: 'snapshots' });
  }

  snapshotsSync(): SnapshotInfo[] {
    return this.#sync(this.#snapshots(), { syscall: 'snapshots' });
  }

  /** A view of a snapshot. `ENOENT`. */
  async openSnapshot(name: string): Promise<SnapshotView> {
    return this.#view(
      name,
      await this.#async(this.#findSnapshot(name), { syscall: 'snapshot', path: name }),
    );
  }

  openSnapshotSync(name: string): SnapshotView {
    return this.#view(
      name,
      this.#sync(this.#findSnapshot(name), { syscall: 'snapshot', path: name }),
    );
  }

  /** Deletes a snapshot. Constant time; its space comes back in the background. `ENOENT`. */
  async deleteSnapshot(name: string): Promise<void> {
    await this.#async(this.#deleteSnapshot(name), { syscall: 'snapshot', path: name });
  }

  deleteSnapshotSync(name: string): void {
    this.#sync(this.#deleteSnapshot(name), { syscall: 'snapshot', path: name });
  }

  /**
   * What differs between two files or trees, as it is found: parts that both share are passed over
   * unread. Paths are relative to the two. Names only on one side are reported once, at their top.
   */
  async *diff(left: Locator, right: Locator, options: LongOptions = {}): AsyncGenerator<Change> {
    const site = diffSite(left, right);
    const walk = await this.#async(this.#diff(left, right), site, options);
    try {
      for (;;) {
        const changes = await this.#async(walk.next(), site, options);
        if (changes.length === 0) return;
        yield* changes;
      }
    } finally {
      walk.close();
    }
  }

  *diffSync(left: Locator, right: Locator): Generator<Change> {
    const site = diffSite(left, right);
    const walk = this.#sync(this.#diff(left, right), site);
    try {
      for (;;) {
        const changes = this.#sync(walk.next(), site);
        if (changes.length === 0) return;
        yield* changes;
      }
    } finally {
      walk.close();
    }
  }

  /** How much a file or a tree takes, and how much of it would come back if it were removed. */
  async space(locator: Locator, options: LongOptions = {}): Promise<SpaceReport> {
    const site = { syscall: 'space', path: locatorText(locator) };
    return await this.#async(this.#with(locator, measure), site, options);
  }

  spaceSync(locator: Locator): SpaceReport {
    return this.#sync(this.#with(locator, measure), {
      syscall: 'space',
      path: locatorText(locator),
    });
  }

  /** Where the data of a file is. Holes are left out. */
  async extents(locator: Locator, options: LongOptions = {}): Promise<Extent[]> {
    const site = { syscall: 'extents', path: locatorText(locator) };
    return await this.#async(this.#with(locator, readExtents), site, options);
  }

  extentsSync(locator: Locator): Extent[] {
    return this.#sync(this.#with(locator, readExtents), {
      syscall: 'extents',
      path: locatorText(locator),
    });
  }

  /**
   * Lets `tracer` see every mapping, decision and wait of file data from now on, in the turn in
   * which it happens; undefined: nobody. It must not call the volume. While there is none, tracing
   * costs nothing.
   */
  trace(tracer: Tracer | undefined): void {
    this.engine.pool.trace = tracer;
  }

  /**
   * Works off what removing left to do, which otherwise happens in the background: afterwards all
   * the space that removed trees had to themselves is free. If it is ended early, the rest is left
   * for later.
   */
  async reclaim(options: LongOptions = {}): Promise<void> {
    await this.#async(reclaimAll(this.engine), { syscall: 'reclaim' }, options);
  }

  reclaimSync(): void {
    this.#sync(reclaimAll(this.engine), { syscall: 'reclaim' });
  }

  /**
   * Makes everything done so far durable, with what is stored in views. Two flushes of the device.
   *
   * @throws {FilesystemError} `ENOSPC` if what is stored in a view has no room: it is there still,
   *   and all the rest is durable; `EIO` if the device has failed, `EROFS` afterwards
   */
  async sync(): Promise<void> {
    await this.#async(syncAll(this.engine), { syscall: 'sync' });
  }

  syncSync(): void {
    this.#sync(syncAll(this.engine), { syscall: 'sync' });
  }

  /**
   * Waits for the calls under way, makes everything durable and lets go of the volume and of every
   * open file. Further calls are `EBADF`. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closed ? Promise.resolve() : this.#close();
    return this.#closing;
  }

  /**
   * The same in this turn: promises under way are rejected with `EBADF` at their next step.
   * `ENOTSUP`, and nothing is closed, if the device is asynchronous.
   */
  closeSync(): void {
    if (this.#closed) return;
    const { device, background } = this.#here;
    if (!device.sync) this.syncSync();
    background?.stop();
    try {
      if (!this.readOnly) this.syncSync();
    } finally {
      this.#end();
      void this.releaseDevice(device);
    }
  }

  [Symbol.dispose](): void {
    this.closeSync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#here.background?.stop();
    this.#session.end();
    try {
      await this.#session.settled();
      await this.driver.settled();
      if (!this.readOnly && !this.#closed) await this.sync();
    } finally {
      if (!this.#closed) {
        this.#end();
        await this.releaseDevice(this.device);
      }
    }
  }

  #end(): void {
    this.#closed = true;
    this.#session.close();
    this.#context.endViews();
    this.#context.files.clear();
    giveDevice(this.device);
  }

  /** A device that was given stays open; a subclass that has opened it closes it. */
  protected releaseDevice(_device: Device): Promise<void> | undefined {
    return undefined;
  }

  *#clone(source: Locator, destination: PathArgument): Procedure<void> {
    const to = pathBytes(destination, 'destination');
    const vnode = yield* this.#locate(source, false);
    yield* holding(vnode, () => this.#cloneInto(vnode, to));
  }

  *#cloneInto(vnode: Vnode, to: string): Procedure<void> {
    const place = yield* resolveParent(this.#context.walk(true), to);
    const context = this.#context;
    yield* holding(place.directory, function* () {
      if (isSpecial(place.name)) {
        throw new FilesystemError('EEXIST', 'Cannot clone over a directory that is there');
      }
      const found = yield* childOf(context.engine, place);
      if (found !== undefined) found.holds--;
      if (found === undefined && place.slash && !vnode.isDirectory) {
        throw new FilesystemError('ENOENT', 'Cannot clone a file to a name that ends with a slash');
      }
      const copy = yield* cloneTo(context, vnode, place);
      copy.holds--;
    });
  }

  *#snapshot(name: string, options: SnapshotOptions): Procedure<void> {
    const { engine } = this;
    const binary = pathBytes(name, 'name');
    checkName(binary);
    const place = { directory: engine.snapshots, name: binary, slash: false };
    const readOnly = options.writable !== true;
    const vnode = yield* cloneTo(this.#context, engine.live, place, readOnly);
    vnode.holds--;
  }

  *#snapshots(): Procedure<SnapshotInfo[]> {
    const { engine } = this;
    const found: (SnapshotInfo & { realm: number })[] = [];
    for (const { name } of yield* list(this.#context, engine.snapshots)) {
      const vnode = yield* run(lookup(engine, engine.snapshots, name));
      vnode.holds--;
      const readOnly = vnode.has(InodeFlag.READ_ONLY);
      const text = new TextDecoder().decode(Uint8Array.from(name, (char) => char.charCodeAt(0)));
      const created = new Date(timeToMs(vnode.btime));
      found.push({ name: text, readOnly, created, realm: vnode.realm.id });
    }
    // Realms are numbered as they come; clocks may stand still, or go back.
    found.sort((a, b) => a.realm - b.realm);
    return found.map(({ name, readOnly, created }) => ({ name, readOnly, created }));
  }

  #findSnapshot(name: string): Procedure<Vnode> {
    return run(lookup(this.engine, this.engine.snapshots, pathBytes(name, 'name')));
  }

  *#deleteSnapshot(name: string): Procedure<void> {
    const { snapshots } = this.engine;
    yield* unlinkName(this.#context, snapshots, pathBytes(name, 'name'), UnlinkWhat.TREE);
  }

  *#diff(left: Locator, right: Locator): Procedure<DiffWalk> {
    const a = yield* this.#locate(left, false);
    try {
      return new DiffWalk(this.engine, a, yield* this.#locate(right, false));
    } catch (error) {
      a.holds--;
      throw error;
    }
  }

  *#with<Result>(
    locator: Locator,
    body: (engine: Engine, vnode: Vnode) => Procedure<Result>,
  ): Procedure<Result> {
    const vnode = yield* this.#locate(locator, false);
    return yield* holding(vnode, () => body(this.engine, vnode));
  }

  #view(name: string, root: Vnode): SnapshotView {
    const { engine, files, uid, gid, umask } = this.#context;
    const { now } = engine.store;
    const session = new Session('view of the snapshot', this.#session);
    const context = new Context({ engine, session, root, files, now, uid, gid, umask });
    return new SnapshotView(name, new Caller(new CallerHome(context, this.driver)), () => {
      root.holds--;
      session.close();
    });
  }

  /** The inode at a place, held. */
  *#locate(locator: Locator, follow: boolean): Procedure<Vnode> {
    if (typeof locator !== 'object' || !('snapshot' in locator)) {
      return yield* resolve(this.#context.walk(follow), pathBytes(locator));
    }
    const root = yield* this.#findSnapshot(locator.snapshot);
    const { engine } = this;
    const path = pathBytes(locator.path ?? '/');
    return yield* holding(root, () => resolve({ engine, root, follow }, path));
  }

  #sync<Result>(procedure: Procedure<Result>, site: CallSite): Result {
    try {
      this.#session.check();
      return runSync(this.driver, procedure);
    } catch (error) {
      throw asNodeError(error, site);
    }
  }

  async #async<Result>(
    procedure: Procedure<Result>,
    site: CallSite,
    options: LongOptions = {},
  ): Promise<Result> {
    const { check } = this.#session;
    try {
      const { signal } = options;
      signal?.throwIfAborted();
      return await this.#session.during(() => runAsync(this.driver, procedure, { signal, check }));
    } catch (error) {
      throw asNodeError(error, site);
    }
  }
}
