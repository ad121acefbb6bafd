/**
 * Worker: the thread that has the engine. It opens the volume, waits for the descriptor that was
 * given to the mount, and serves it until the connection ends; then the volume is closed.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ServedVolume } from '../api/node/index.ts';
import { FilesystemError } from '../base/index.ts';
import { InodeKind } from '../format/index.ts';
import { lookup, type Vnode } from '../volume/index.ts';
import { Opcode } from './constants.ts';
import { Message } from './message.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { Served } from './served.ts';
import { Session } from './session.ts';
import { DeviceTransport, serve } from './transport.ts';
import { Upkeep } from './upkeep.ts';

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

function serveVolume(volume: ServedVolume, fd: number): void {
  const { engine, driver } = volume.parts;
  const root = findRoot(volume, options);
  const { validSeconds, writeback, acl, locks, uid, gid, noatime } = options;
  const wanted = { validSeconds, writeback, acl, locks, uid, gid, noatime };
  const served = new Served({ engine, root, now: clock, ...wanted });
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
  serve(session, transport, message, () => {
    const woken = message.opcode === Opcode.NOTIFY_REPLY || message.opcode === Opcode.STATFS;
    upkeep.after(woken);
  });
  session.close();
  root.holds--;
}

/** Milliseconds since 1970 with a fraction, as fine as the process can tell. */
function clock(): number {
  return performance.timeOrigin + performance.now();
}

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
  port?.once('message', ({ fd }: ToWorker) => {
    try {
      if (fd !== undefined) serveVolume(volume, fd);
      volume.closeSync();
      tell({ type: 'ended' });
    } catch (error) {
      tell({ type: 'failed', ...told(error) });
    }
    port.close();
  });
}

begin();
