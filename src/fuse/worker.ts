/**
 * Worker: the thread that has the engine. It opens the volume, waits for the descriptor that was
 * given to the mount, and serves it until the connection ends; then the volume is closed.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { ServedVolume } from '../api/node/index.ts';
import { FilesystemError } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import { lookup, type Vnode } from '../volume/index.ts';
import { wordOf } from './caller-memory.ts';
import { Opcode } from './constants.ts';
import { Desk } from './control/desk.ts';
import { Message } from './message.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { Served } from './served.ts';
import { Session } from './session.ts';
import { clockOf } from './time-of-day.ts';
import { DeviceTransport, serve } from './transport.ts';
import { ASKED, REQUESTS, STOP, Upkeep } from './upkeep.ts';

const options = workerData as WorkerOptions;
const port = parentPort;

function tell(message: FromWorker): void {
  port?.postMessage(message);
}

/** What an error is told by, across threads. */
function told(error: unknown): { message: string; code: string | undefined } {
  const { message, code } = error as { message?: unknown; code?: unknown };
  return {
    message: error instanceof Error ? String(message) : String(error),
    code: typeof code === 'string' ? code : undefined,
  };
}

/** The directory of the volume that is to be the root of the mount, held. */
function findRoot(volume: ServedVolume, { snapshot, path }: WorkerOptions): Vnode {
  const { engine, driver } = volume.parts;
  let at = engine.live;
  at.holds++;
  const names = path.split('/').filter((name) => name !== '');
  const steps = snapshot === undefined ? [] : [[engine.snapshots, snapshot] as const];
  for (const [directory, name] of steps) {
    at.holds--;
    at = driver.run(lookup(engine, directory, name));
  }
  for (const name of names) {
    const next = driver.run(lookup(engine, at, name));
    at.holds--;
    at = next;
  }
  if (at.kind === InodeKind.DIRECTORY) return at;
  throw new FilesystemError('ENOTDIR', 'Cannot mount a file: wanted a directory');
}

/** Serves until there is nobody to be served. True if the volume was shut down. */
async function serveVolume(
  volume: ServedVolume,
  fd: number,
  deskPort: MessagePort | undefined,
): Promise<boolean> {
  const { engine, driver } = volume.parts;
  const root = findRoot(volume, options);
  const { validSeconds, writeback, acl, locks, uid, gid, noatime } = options;
  const wanted = { validSeconds, writeback, acl, locks, uid, gid, noatime };
  const [generation = 0] = crypto.getRandomValues(new Uint32Array(1));
  const served = new Served({ engine, root, now: clock, wordOf, generation, ...wanted });
  served.tellFirst = (stale, reply) => tell({ type: 'stale', stale, reply });
  const transport = new DeviceTransport(fd);
  const message = new Message();
  const session = new Session({
    served,
    driver,
    async: false,
    send: ({ reply }, length) => transport.write(reply, length),
    onBroken: (error) => tell({ type: 'broken', ...told(error) }),
  });
  const shared = new Int32Array(options.shared);
  const upkeep = new Upkeep({
    engine,
    driver,
    served,
    nodeLimit: options.nodeLimit,
    shared,
    now: () => performance.now(),
  });
  const desk = deskPort === undefined ? undefined : new Desk(volume, session, deskPort);
  const between = new Between(message, upkeep, desk, shared);
  for (;;) {
    const others = serve(session, transport, message, between.requests);
    if (others === undefined) break;
    await others;
    if (Atomics.load(shared, STOP) !== 0) break;
  }
  await desk?.end();
  session.close();
  root.holds--;
  return served.isShutDown;
}

/** What this thread does between two requests. */
class Between {
  readonly #message: Message;
  readonly #upkeep: Upkeep;
  readonly #desk: Desk | undefined;
  readonly #shared: Int32Array;
  /** Requests but for those that wake this thread; and how many there were at the last turn. */
  #requests = 0;
  #atTurn = 0;

  constructor(message: Message, upkeep: Upkeep, desk: Desk | undefined, shared: Int32Array) {
    this.#message = message;
    this.#upkeep = upkeep;
    this.#desk = desk;
    this.#shared = shared;
  }

  readonly requests = (): Promise<void> | undefined => {
    const { opcode } = this.#message;
    const woken = opcode === Opcode.NOTIFY_REPLY || opcode === Opcode.STATFS;
    Atomics.add(this.#shared, REQUESTS, 1);
    if (!woken) this.#requests++;
    if (Atomics.load(this.#shared, STOP) !== 0) return Promise.resolve();
    const desk = this.#desk;
    if (desk === undefined || Atomics.load(this.#shared, ASKED) === 0) {
      this.#upkeep.after(woken);
      return undefined;
    }
    Atomics.store(this.#shared, ASKED, 0);
    const isQuiet = this.#requests === this.#atTurn;
    this.#atTurn = this.#requests;
    const turn = desk.turn(isQuiet);
    if (turn !== undefined) return turn.then(() => this.#upkeep.worked());
    // Who watches keeps nothing from becoming durable, however often he looks (U1).
    if (desk.onlyWatched) this.#upkeep.after(true);
    else this.#upkeep.worked();
    return undefined;
  };
}

const clock = clockOf({
  counter: () => performance.now(),
  wall: Date.now,
  origin: performance.timeOrigin,
});

function begin(): void {
  let volume: ServedVolume;
  try {
    const { image, readOnly, cacheBytes } = options;
    volume = ServedVolume.openSync(image, { readOnly, cacheBytes, commitIntervalMs: 0 });
    findRoot(volume, options).holds--;
  } catch (error) {
    tell({ type: 'failed', ...told(error) });
    return;
  }
  tell({ type: 'opened', readOnly: volume.readOnly });
  port?.once('message', (message: ToWorker) => {
    serveAndClose(volume, message)
      .then(
        () => tell({ type: 'ended' }),
        (error: unknown) => tell({ type: 'failed', ...told(error) }),
      )
      .finally(() => port.close());
  });
}

async function serveAndClose(volume: ServedVolume, message: ToWorker): Promise<void> {
  let isShutDown = false;
  if (message.type === 'serve' && message.fd !== undefined) {
    isShutDown = await serveVolume(volume, message.fd, message.desk);
    // The socket has to be gone before somebody else can be given the lock.
    tell({ type: 'served' });
    await new Promise((resolve) => void port?.once('message', resolve));
  }
  try {
    volume.closeSync();
  } catch (error) {
    // Closed it is, and that nothing is durable any more was asked for.
    if (!isShutDown) throw error;
  }
}

begin();
