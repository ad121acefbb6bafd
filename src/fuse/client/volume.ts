/**
 * Mountable volume: what programs open here, which can be mounted while it is in use.
 *
 * The engine of an image moves into a worker that waits for the kernel, and back in the end: this
 * thread may block meanwhile, on a program that works on the mount say. An engine on any other
 * device stays here (here-mount.ts).
 */
import { resolve } from 'node:path';
import type { Change, Locator, LongOptions, VolumeOptions } from '../../api/index.ts';
import { asNodeError, imageOf, NodeVolume } from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import type { Device } from '../../device/index.ts';
import type { FileDevice } from '../../device/node.ts';
import { checkDirectory } from '../attach.ts';
import { METHODS, PROTOCOL, type Welcome } from '../control/calls.ts';
import type { ServeOptions } from '../mount.ts';
import { type AtHome, Away, settles } from './away.ts';
import { diffLater, diffNow } from './far-diff.ts';
import { FarMount } from './far-mount.ts';
import { HereMount } from './here-mount.ts';
import type { PortLine } from './port-line.ts';

/** Numbers of open files of one stay of the engine somewhere. */
const FILES = 1 << 20;
/** After so many stays numbers begin anew. */
const STAYS = 1 << 10;

type Args = readonly unknown[];

/** A mount of a volume that this process has open. */
export class VolumeMount {
  readonly directory: string;
  /**
   * Resolves when it is unmounted, by {@link unmount} or by somebody else, and the volume is used
   * in this thread again. Rejected if what served it has failed: the volume is of no use then.
   */
  readonly ended: Promise<void>;
  readonly #end: (lazy: boolean) => Promise<void>;
  readonly #caughtUp: () => Promise<void>;
  #hasEnded = false;

  constructor(
    directory: string,
    how: {
      readonly ended: Promise<void>;
      readonly end: (lazy: boolean) => Promise<void>;
      readonly caughtUp: () => Promise<void>;
    },
  ) {
    this.directory = directory;
    this.#end = how.end;
    this.#caughtUp = how.caughtUp;
    const over = (): void => {
      this.#hasEnded = true;
    };
    this.ended = how.ended.finally(over);
    this.ended.catch(() => {});
  }

  /**
   * Unmounts; the volume is used in this thread again when this resolves. `lazy`: at once from the
   * sight of others, and for those who use it when they are done. Nothing is done if it has ended.
   *
   * @throws {FilesystemError} `EBUSY` if programs use it, or this one has files, views, directories
   *   or pins of the volume open; it stays mounted then
   */
  async unmount({ lazy = false }: { readonly lazy?: boolean } = {}): Promise<void> {
    if (this.#hasEnded) return;
    await this.#end(lazy);
    if (!lazy) await this.ended;
  }

  /**
   * Resolves when the kernel knows of everything that this program has changed by its own calls so
   * far. It is told soon by itself.
   */
  async caughtUp(): Promise<void> {
    await this.#caughtUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
  }
}

export class MountableVolume extends NodeVolume {
  #mount: VolumeMount | undefined;
  #away: Away | undefined;
  #stays = 0;
  /** The image, while others use it. */
  #lent: FileDevice | undefined;
  #mounting = false;
  /** What this program has open of the volume is closed with it. */
  #closingMount = false;
  /** Of a mount that this thread serves: has the kernel hand over what it keeps. */
  #settle: (() => Promise<void>) | undefined;

  static override async open(
    pathOrDevice: string | Device,
    options?: VolumeOptions,
  ): Promise<MountableVolume> {
    // biome-ignore lint/complexity/noThisInStatic: it is opened as what this class is.
    return (await super.open(pathOrDevice, options)) as MountableVolume;
  }

  static override openSync(
    pathOrDevice: string | Device,
    options?: VolumeOptions,
  ): MountableVolume {
    // biome-ignore lint/complexity/noThisInStatic: it is opened as what this class is.
    return super.openSync(pathOrDevice, options) as MountableVolume;
  }

  /**
   * Makes the volume a filesystem of this host, at a directory, for every program; needs Linux, and
   * root or fusermount3. Resolves when it answers. The volume stays in use: what it is asked to do
   * is seen on the mount, and the other way round. It is unmounted by {@link VolumeMount.unmount},
   * by whoever may, and before the volume is closed.
   *
   * A volume of an image, opened by its path, is served by other threads, which have it until it
   * is unmounted: this one may block, with `execSync` say. All calls go on, with the same answers,
   * but views of files ({@link map}) and tracers, which are `ENOTSUP`; each takes the way to the
   * other thread and back. **A volume on any other device is served by this thread: whoever blocks
   * it, waiting for somebody who uses the mount, waits for ever**, with `execSync`, a synchronous
   * call of `node:fs` on the mount, or a child whose `cwd` is there, since Node waits until it has
   * begun. Each such mount takes a thread of Node's pool, of which there are four unless
   * UV_THREADPOOL_SIZE says more.
   *
   * @throws {FilesystemError} `EBUSY` if files, views, directories or pins of the volume are open,
   *   calls are under way, or it is mounted; `ENOENT`, `ENOTDIR` for the directory; `ENODEV`
   *   without /dev/fuse, `EPERM` without the right to mount, `EAGAIN` if the pool has too few
   *   threads. The volume is what it was then.
   * @example A program on a mount of a volume in use
   * ```ts
   * import { execSync } from 'node:child_process';
   * import { mkdtempSync } from 'node:fs';
   * import { tmpdir } from 'node:os';
   * import { join } from 'node:path';
   * import { Volume } from 'ramet';
   *
   * const vol = await Volume.open('work.img');
   * const directory = mkdtempSync(join(tmpdir(), 'work-'));
   * const mount = await vol.mount(directory);
   * vol.fs.writeFileSync('/greeting', 'hello');
   * execSync('tr a-z A-Z < greeting > answer', { cwd: directory });
   * console.log(vol.fs.readFileSync('/answer', 'utf8')); // HELLO
   * await mount.unmount();
   * console.log(vol.fs.readFileSync('/answer', 'utf8')); // HELLO
   * await vol.close();
   * ```
   */
  async mount(at: string, options: ServeOptions = {}): Promise<VolumeMount> {
    const directory = resolve(at);
    if (this.#away?.failure !== undefined) throw this.#away.failure;
    if (this.#mount !== undefined || this.#mounting || this.#away !== undefined) {
      throw new FilesystemError('EBUSY', `Cannot mount at ${directory}: the volume is mounted`);
    }
    checkDirectory(directory);
    this.#mounting = true;
    try {
      const image = imageOf(this.device);
      const mount = await (image === undefined
        ? this.#mountHere(directory, options)
        : this.#mountAway(image, directory, options));
      this.#mount = mount;
      const ended = (): void => {
        this.#mount = undefined;
      };
      mount.ended.then(ended, ended);
      return mount;
    } finally {
      this.#mounting = false;
    }
  }

  override get label(): string {
    const here = (): string => super.label;
    return this.#away?.ask((line) => this.#welcome(line).label, here) ?? here();
  }

  override get readOnly(): boolean {
    const here = (): boolean => super.readOnly;
    return this.#away?.ask((line) => this.#welcome(line).readOnly, here) ?? here();
  }

  override diff(left: Locator, right: Locator, options?: LongOptions): AsyncGenerator<Change> {
    const here = () => super.diff(left, right, options);
    return this.#away?.ask((line) => diffLater(line, left, right, options), here) ?? here();
  }

  override diffSync(left: Locator, right: Locator): Generator<Change> {
    const here = () => super.diffSync(left, right);
    return this.#away?.ask((line) => diffNow(line, left, right), here) ?? here();
  }

  /** As ever; unmounts first. @throws `EBUSY` if programs use the mount: nothing is closed then */
  override async close(): Promise<void> {
    if (this.#away?.failure !== undefined) {
      this.#lent?.close();
      return;
    }
    if (this.#mounting) {
      throw new FilesystemError('EBUSY', 'Cannot close the volume: it is being mounted');
    }
    await this.#unmount();
    await super.close();
  }

  /** As ever. @throws `EBUSY` if it is mounted */
  override closeSync(): void {
    if (this.#away?.failure !== undefined) this.#lent?.close();
    else if (this.#mount === undefined && !this.#mounting) super.closeSync();
    else throw new FilesystemError('EBUSY', 'Cannot close the volume in this turn: it is mounted');
  }

  async #unmount(): Promise<void> {
    const mount = this.#mount;
    if (mount === undefined) return;
    this.#closingMount = true;
    try {
      await mount.unmount();
    } finally {
      this.#closingMount = false;
    }
  }

  async #mountHere(directory: string, options: ServeOptions): Promise<VolumeMount> {
    const { engine, driver, device } = this;
    const mount = await HereMount.start({ engine, driver, device }, directory, options);
    this.#settle = () => mount.settle();
    const ended = mount.ended.finally(() => {
      this.#settle = undefined;
    });
    return new VolumeMount(directory, {
      ended,
      end: (lazy) => mount.unmount(lazy),
      caughtUp: () => mount.caughtUp(),
    });
  }

  async #mountAway(
    image: FileDevice,
    directory: string,
    options: ServeOptions,
  ): Promise<VolumeMount> {
    const { readOnly } = this;
    const { cacheBytes, extentSize, now } = this.options;
    const away = new Away(this.#atHome);
    this.moveOut(away);
    this.#away = away;
    this.#lent = image;
    let mount: FarMount;
    try {
      mount = await FarMount.start({
        ...options,
        ...{
          directory,
          image: image.name,
          loan: image.loan,
          readOnly,
          cacheBytes,
          extentSize,
          now,
        },
      });
    } catch (error) {
      this.#comeBack();
      throw error;
    }
    this.#stays++;
    mount.line.callSync('hello', [this.#hello]);
    away.arrive(mount);
    const ended = mount.ended.then(
      () => this.#comeBack(),
      (error: unknown) => {
        away.fail(error);
        throw error;
      },
    );
    const end = async (lazy: boolean): Promise<void> => {
      if (!lazy && !this.#closingMount) await this.#checkUse(mount);
      await mount.unmount(lazy);
    };
    return new VolumeMount(directory, { ended, end, caughtUp: async () => {} });
  }

  async #checkUse({ line }: FarMount): Promise<void> {
    const inUse = line.underWay > 0 ? 'calls are under way' : await line.call('inUse', []);
    if (typeof inUse !== 'string') return;
    throw new FilesystemError('EBUSY', `Cannot take the volume out of its mount: ${inUse}`);
  }

  get #hello() {
    const { uid = 0, gid = 0, umask = 0o022 } = this.options;
    return { protocol: PROTOCOL, uid, gid, umask, firstFile: this.#firstFile };
  }

  /** Numbers of files that are left from one stay are none of the next one's. */
  get #firstFile(): number {
    return (this.#stays % STAYS) * FILES;
  }

  #welcome(line: PortLine): Welcome {
    return line.callSync('hello', [this.#hello]) as Welcome;
  }

  /** The engine is here again. */
  #comeBack(): void {
    const [away, lent] = [this.#away, this.#lent];
    if (away === undefined || lent === undefined) return;
    this.#stays++;
    try {
      this.openAgain(lent, this.#firstFile);
    } catch (error) {
      away.fail(error);
      throw error;
    }
    this.#away = undefined;
    this.#lent = undefined;
    away.back();
  }

  get #atHome(): AtHome {
    const { caller } = this;
    return {
      comeBack: () => this.#comeBack(),
      fs: caller,
      invoke: (method, args) => this.#own(method, args),
    };
  }

  #own(method: string, args: Args): unknown {
    return (this as unknown as Record<string, (...given: Args) => unknown>)[method]?.(...args);
  }

  /** A method where the engine is; undefined if that is here. */
  #elsewhere(method: string, args: Args): { readonly answer: unknown } | undefined {
    if (this.#away === undefined) return undefined;
    if (METHODS.has(method)) return { answer: this.#away.invoke(method, args) };
    const finding = 'another thread has the volume while it is mounted';
    const error = new FilesystemError('ENOTSUP', `Cannot do this here: ${finding}`);
    throw asNodeError(error, { syscall: method });
  }

  static {
    const inherited = NodeVolume.prototype as unknown as Record<string, (...args: Args) => unknown>;
    for (const name of [...METHODS, 'map', 'mapSync', 'trace']) {
      const here = inherited[name] as (...args: Args) => unknown;
      const isPromise = !name.endsWith('Sync') && name !== 'trace';
      const value = {
        [name](this: MountableVolume, ...args: Args): unknown {
          const settle = isPromise && settles(name) ? this.#settle : undefined;
          if (settle !== undefined) return settle().then(() => here.apply(this, [...args]));
          if (this.#away === undefined) return here.apply(this, [...args]);
          if (!isPromise) return this.#elsewhere(name, args)?.answer;
          return (async () => await this.#elsewhere(name, args)?.answer)();
        },
      }[name];
      Object.defineProperty(MountableVolume.prototype, name, {
        value,
        writable: true,
        configurable: true,
      });
    }
  }
}
