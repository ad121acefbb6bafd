/**
 * Serving: one volume and one connection with the kernel, in whichever thread has the engine.
 *
 * On a device that answers at once the thread blocks: a request is read, answered, and the next one
 * is read. On any other the event loop goes round, reads come from the thread pool, and several
 * requests are under way. All the rest is the same: the session, the upkeep, and others' turns.
 */
import type { MessagePort } from 'node:worker_threads';
import { type Procedure, run, type ServedVolume, type VolumeEngine } from '../api/node/index.ts';
import { FilesystemError } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import { type Engine, lookup, type Vnode } from '../volume/index.ts';
import { Between } from './between.ts';
import { wordOf } from './caller-memory.ts';
import { Desk } from './control/desk.ts';
import { StaleWatch } from './control/stale.ts';
import { Message } from './message.ts';
import { Served, type ServedOptions } from './served.ts';
import { Session } from './session.ts';
import { clockOf } from './time-of-day.ts';
import { DeviceTransport, Flights, serve } from './transport.ts';
import { REQUESTS, Upkeep } from './upkeep.ts';

/** What of a volume is mounted. */
export interface RootOptions {
  readonly snapshot: string | undefined;
  /** Directory that becomes the root, a binary string. */
  readonly path: string;
}

export type ServedSettings = Omit<
  ServedOptions,
  'engine' | 'root' | 'now' | 'wordOf' | 'generation'
>;

export interface ServingOptions extends ServedSettings {
  /** Held; let go of when it is served no more. */
  readonly root: Vnode;
  /** Descriptor of the connection, which stays open. */
  readonly fd: number;
  /** Inodes that the kernel may know before it is asked to forget some. */
  readonly nodeLimit: number;
  /** Memory of both threads, see upkeep.ts. */
  readonly shared: Int32Array;
  /** Served in turns that block; the device answers at once. */
  readonly blocking: boolean;
  /** See {@link Served.tellFirst}. */
  readonly tellFirst: NonNullable<Served['tellFirst']>;
  readonly onBroken: (error: unknown) => void;
}

/** The directory of the volume that is to be the root of a mount, held. */
export function* findRoot(engine: Engine, { snapshot, path }: RootOptions): Procedure<Vnode> {
  let at = engine.live;
  at.holds++;
  const names = path.split('/').filter((name) => name !== '');
  try {
    if (snapshot !== undefined) {
      const found = yield* run(lookup(engine, engine.snapshots, snapshot));
      at.holds--;
      at = found;
    }
    for (const name of names) {
      const next = yield* run(lookup(engine, at, name));
      at.holds--;
      at = next;
    }
    if (at.kind === InodeKind.DIRECTORY) return at;
  } catch (error) {
    at.holds--;
    throw error;
  }
  at.holds--;
  throw new FilesystemError('ENOTDIR', 'Cannot mount a file: wanted a directory');
}

export class Serving {
  readonly session: Session;
  readonly upkeep: Upkeep;
  readonly #root: Vnode;
  readonly #transport: DeviceTransport;
  readonly #shared: Int32Array;
  /** What others than the kernel change while requests are under way; see {@link watch}. */
  readonly #watch: StaleWatch;

  constructor(parts: VolumeEngine, options: ServingOptions) {
    const { engine, driver } = parts;
    const { root, fd, nodeLimit, shared, blocking, tellFirst, onBroken, ...settings } = options;
    this.#root = root;
    this.#shared = shared;
    this.#transport = new DeviceTransport(fd);
    const [generation = 0] = crypto.getRandomValues(new Uint32Array(1));
    const served = new Served({ engine, root, now: clock, wordOf, generation, ...settings });
    served.tellFirst = tellFirst;
    this.#watch = new StaleWatch(engine, served.nodes, driver);
    this.session = new Session({
      served,
      driver,
      async: !blocking,
      send: ({ reply }, length) => this.#transport.write(reply, length),
      own: (procedure) => this.#watch.own(procedure),
      onBroken,
    });
    this.upkeep = new Upkeep({
      engine,
      driver,
      served,
      nodeLimit,
      shared,
      now: () => performance.now(),
      async: !blocking,
    });
  }

  /** Serves in turns that block, until the connection ends; clients of `port` in between. */
  async serveBlocking(volume: ServedVolume, port: MessagePort | undefined): Promise<void> {
    const desk = port === undefined ? undefined : new Desk(volume, this.session, port);
    const message = new Message();
    const between = new Between(message, this.upkeep, desk, this.#shared);
    for (;;) {
      const others = serve(this.session, this.#transport, message, between.requests);
      if (others === undefined) break;
      await others;
      if (between.isStopped) break;
    }
    await desk?.end();
    this.#end();
  }

  /**
   * Serves beside whatever else this thread does, until the connection ends and all of it has.
   * `stale` is told when somebody else than the kernel has changed something.
   */
  async serveBeside(stale: (watch: StaleWatch) => void): Promise<void> {
    this.#watch.begin(() => stale(this.#watch));
    const flights = new Flights(this.session, this.#transport);
    const taken = (): void => {
      Atomics.add(this.#shared, REQUESTS, 1);
      this.upkeep.after(false);
    };
    try {
      await flights.serve(taken);
    } finally {
      this.#watch.end();
      await this.upkeep.settled();
      this.#end();
    }
  }

  /** The volume was shut down: nothing more is to be written to it. */
  get isShutDown(): boolean {
    return this.session.served.isShutDown;
  }

  #end(): void {
    this.session.close();
    this.#root.holds--;
  }
}

const clock = clockOf({
  counter: () => performance.now(),
  wall: Date.now,
  origin: performance.timeOrigin,
});
