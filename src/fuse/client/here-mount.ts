/**
 * Here mount: the mount of a volume whose device belongs to its caller: the engine stays in this
 * thread, and serves beside whatever else the program does.
 *
 * Requests are read by a thread of the pool, which waits there for the next one. What the program
 * changes by its own calls the kernel is told of by another: it may wait there for locks of a
 * program whose request waits for this thread. So the pool needs a thread for each mount of this
 * kind, and two more.
 */
import { closeSync } from 'node:fs';
import { runAsync, type VolumeEngine } from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import { attach, detachNow, raiseReadahead, unmount } from '../attach.ts';
import { startClock } from '../clock.ts';
import { KernelSide } from '../control/kernel-side.ts';
import type { StaleWatch } from '../control/stale.ts';
import { type ServeOptions, settingsOf } from '../mount.ts';
import { Notifier } from '../notify.ts';
import { findRoot, Serving } from '../serving.ts';
import { SHARED_WORDS } from '../upkeep.ts';

/** Threads that have to be left for everything but reading requests. */
const POOL_LEFT = 2;
const POOL_SIZE = 4;
let mounts = 0;

export class HereMount {
  readonly directory: string;
  readonly ended: Promise<void>;
  readonly #kernel: KernelSide;
  readonly #onBroken: (error: unknown) => void;
  #telling: Promise<void> | undefined;

  private constructor(directory: string, fd: number, serving: Serving, parts: HereParts) {
    const { notifier, kernel, shared, onBroken } = parts;
    this.directory = directory;
    this.#kernel = kernel;
    this.#onBroken = onBroken;
    mounts++;
    const stop = startClock({ notifier, shared, wake: () => serving.upkeep.after(true) });
    const leave = (): void => detachNow(directory);
    process.on('exit', leave);
    const end = (): void => {
      mounts--;
      stop();
      kernel.end();
      process.off('exit', leave);
      // What is being told uses it still.
      void this.caughtUp().then(() => closeSync(fd));
    };
    this.ended = serving.serveBeside(this.#tell).finally(end);
    this.ended.catch(() => {});
  }

  /** @throws {FilesystemError} `EAGAIN` if the pool has too few threads; what mounting throws */
  static async start(
    engineParts: VolumeEngine,
    directory: string,
    options: ServeOptions,
  ): Promise<HereMount> {
    const size = Number(process.env['UV_THREADPOOL_SIZE'] ?? POOL_SIZE);
    if (mounts + 1 + POOL_LEFT > size) {
      const finding = `it takes a thread of ${size}, of which ${mounts} serve mounts already`;
      throw new FilesystemError('EAGAIN', `Cannot mount: ${finding}; see UV_THREADPOOL_SIZE`);
    }
    const { engine, driver, device } = engineParts;
    const { snapshot, path, ...settings } = settingsOf(options);
    const root = await runAsync(driver, findRoot(engine, { snapshot, path }), {});
    const { readOnly } = engine.store;
    let fd: number;
    try {
      const { source = device.name } = options;
      fd = await attach({ directory, source, options: options.options }, readOnly);
    } catch (error) {
      root.holds--;
      throw error;
    }
    const shared = new Int32Array(SHARED_WORDS);
    const notifier = new Notifier(fd);
    const kernel = new KernelSide(notifier, () => directory, shared);
    const onBroken = (error: unknown): void => options.onBroken?.(String(error));
    const { tellFirst } = kernel;
    const more = { root, fd, shared, blocking: false, tellFirst, onBroken };
    const serving = new Serving(engineParts, { ...settings, ...more });
    const parts = { notifier, kernel, shared, onBroken };
    const mount = new HereMount(directory, fd, serving, parts);
    raiseReadahead(await kernel.begin());
    return mount;
  }

  /** @throws {FilesystemError} `EBUSY` if it is in use and `lazy` is not set */
  async unmount(lazy: boolean): Promise<void> {
    await unmount(this.directory, lazy);
  }

  /** Has the kernel hand over what programs have written by now. */
  async settle(): Promise<void> {
    await this.#kernel.settle();
  }

  /** Resolves when the kernel knows what was changed in this thread by now. */
  async caughtUp(): Promise<void> {
    await this.#telling;
  }

  readonly #tell = (watch: StaleWatch): void => {
    this.#telling ??= this.#tellAll(watch)
      .catch(this.#onBroken)
      .finally(() => {
        this.#telling = undefined;
      });
  };

  async #tellAll(watch: StaleWatch): Promise<void> {
    // What one call changes is told together.
    await Promise.resolve();
    for (;;) {
      const stale = watch.take();
      if (stale.names.length + stale.nodes.length === 0) return;
      await this.#kernel.invalidate(stale);
    }
  }
}

interface HereParts {
  readonly notifier: Notifier;
  readonly kernel: KernelSide;
  readonly shared: Int32Array;
  readonly onBroken: (error: unknown) => void;
}
