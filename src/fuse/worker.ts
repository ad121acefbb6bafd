/**
 * Worker: the thread that has the engine. It opens the volume, waits for the descriptor that was
 * given to the mount, and serves it until the connection ends; then the volume is closed.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { runSync, ServedVolume } from '../api/node/index.ts';
import { FileDevice } from '../device/node.ts';
import type { Vnode } from '../volume/index.ts';
import { type FromWorker, type ToWorker, told, type WorkerOptions } from './protocol.ts';
import { findRoot, Serving } from './serving.ts';

const options = workerData as WorkerOptions;
const port = parentPort;

function tell(message: FromWorker): void {
  port?.postMessage(message);
}

/** Serves until there is nobody to be served. True if the volume was shut down. */
async function serveVolume(
  volume: ServedVolume,
  fd: number,
  port: MessagePort | undefined,
): Promise<boolean> {
  const root = rootOf(volume);
  const { validSeconds, writeback, acl, locks, uid, gid, noatime, nodeLimit } = options;
  const serving = new Serving(volume.parts, {
    ...{ root, fd, validSeconds, writeback, acl, locks, uid, gid, noatime, nodeLimit },
    shared: new Int32Array(options.shared),
    blocking: true,
    tellFirst: (stale, reply) => tell({ type: 'stale', stale, reply }),
    onBroken: (error) => tell({ type: 'broken', ...told(error) }),
  });
  await serving.serveBlocking(volume, port);
  return serving.isShutDown;
}

function rootOf({ parts: { engine, driver } }: ServedVolume): Vnode {
  return runSync(driver, findRoot(engine, options));
}

function begin(): void {
  let volume: ServedVolume;
  try {
    const { image, loan, readOnly, cacheBytes, extentSize } = options;
    const settings = { readOnly, cacheBytes, extentSize, commitIntervalMs: 0 };
    const device = loan === undefined ? image : FileDevice.borrow(loan);
    volume = ServedVolume.openSync(device, settings);
    rootOf(volume).holds--;
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
