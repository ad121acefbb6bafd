/**
 * Mount: a volume of an image as a filesystem of this host, served by a worker.
 *
 * The worker has the engine and serves the connection; this thread has the clock, tells the kernel
 * what it has to be told, and takes what others ask for. It has to go round its event loop: whoever
 * may block does this in a thread of its own (client/). Both threads use the descriptor of the
 * connection, which belongs to this one. Somebody else may have mounted already, and hand his
 * descriptor over (handed-over.ts).
 */
import { closeSync } from 'node:fs';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { FilesystemError } from '../base/index.ts';
import type { ImageLoan } from '../device/node.ts';
import { attach, checkDirectory, raiseReadahead, unmount } from './attach.ts';
import { startClock } from './clock.ts';
import { KernelSide } from './control/kernel-side.ts';
import { ControlServer } from './control/server.ts';
import { checkHandedOver, descriptorIn, placeOf } from './handed-over.ts';
import { Notifier } from './notify.ts';
import { errorOf, type FromWorker, type ToWorker, type WorkerOptions } from './protocol.ts';
import { SHARED_WORDS } from './upkeep.ts';

/** How a volume is served to the kernel. */
export interface ServeOptions {
  readonly snapshot?: string | undefined;
  /** Directory of the volume that becomes the root of the mount; `/` if it is left out. */
  readonly path?: string | undefined;
  /** What the kernel's list of mounts calls it; the image if it is left out. */
  readonly source?: string | undefined;
  /** Seconds for which the kernel may believe names and attributes; a day if it is left out. */
  readonly validSeconds?: number | undefined;
  /** Let the kernel keep what is written for a while. */
  readonly writeback?: boolean | undefined;
  /** Keep access control lists, by which the kernel judges then. */
  readonly acl?: boolean | undefined;
  /** Keep the locks of programs, which the kernel does otherwise. */
  readonly locks?: boolean | undefined;
  /** Whose all files seem to be; each its owner's if they are left out. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Inodes that the kernel may know before it is asked to forget some; 262,144 if left out. */
  readonly nodeLimit?: number | undefined;
  /** Options for mount(8) besides: `noatime`, `nosuid`, ... Of no use if it is mounted already. */
  readonly options?: readonly string[] | undefined;
  /** Told of what is a mistake of this program, and was answered with `EIO`. */
  readonly onBroken?: ((message: string) => void) | undefined;
  /** Told of what does not work, while the mount does. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface MountOptions extends ServeOptions {
  readonly image: string;
  readonly directory: string;
  readonly readOnly?: boolean | undefined;
  readonly cacheBytes?: number | undefined;
  readonly extentSize?: number | undefined;
  /** The image is open already, and locked; its lender waits until the mount has ended. */
  readonly loan?: ImageLoan | undefined;
  /** Memory that a third thread sees too, see upkeep.ts. */
  readonly shared?: SharedArrayBuffer | undefined;
  /** Commands of this process are taken too, whether there is a socket or not. */
  readonly onControl?: ((server: ControlServer) => void) | undefined;
}

const A_DAY = 86400;
const NODE_LIMIT = 262_144;

/** What is left out, as it is then. */
export function settingsOf({ options, ...given }: ServeOptions) {
  return {
    snapshot: given.snapshot,
    path: given.path ?? '/',
    validSeconds: given.validSeconds ?? A_DAY,
    writeback: given.writeback ?? false,
    acl: given.acl ?? false,
    locks: given.locks ?? false,
    uid: given.uid,
    gid: given.gid,
    nodeLimit: given.nodeLimit ?? NODE_LIMIT,
    noatime: options?.includes('noatime') ?? false,
  };
}

/** A mount that is being served. */
export class ServedMount {
  readonly directory: string;
  /** Resolves when it was unmounted and the volume is closed. */
  readonly ended: Promise<void>;
  readonly #stop: (() => void) | undefined;

  /** `stop` ends the serving of what is not ours to unmount. */
  constructor(directory: string, ended: Promise<void>, stop: (() => void) | undefined) {
    this.directory = directory;
    this.ended = ended;
    this.#stop = stop;
  }

  /**
   * Takes the mount off its directory. One that was handed over is left where it is, and is not
   * served any more.
   *
   * @throws {FilesystemError} `EBUSY` if it is in use and `lazy` is not set
   */
  async unmount(lazy = false): Promise<void> {
    if (this.#stop === undefined) await unmount(this.directory, lazy);
    else this.#stop();
    if (!lazy) await this.ended;
  }
}

/**
 * Mounts a volume and serves it; resolves when the mount answers.
 *
 * @throws {FilesystemError} what opening the image throws; `ENODEV` without /dev/fuse, `EPERM`
 *   without the right to mount, `ENOENT` and `ENOTDIR` for the directory
 */
export async function mountVolume(options: MountOptions): Promise<ServedMount> {
  const { directory } = options;
  const handed = descriptorIn(directory);
  if (handed === undefined) checkDirectory(directory);
  else checkHandedOver(handed);
  const { shared = new SharedArrayBuffer(4 * SHARED_WORDS) } = options;
  const worker = startWorker(options, shared);
  const opened = await firstAnswer(worker);
  const ended = endOf(worker, options.onBroken);
  // It is awaited by whoever mounts; until then nothing is to complain.
  ended.catch(() => {});
  let fd: number;
  try {
    const { source = options.image } = options;
    fd = handed ?? (await attach({ ...options, source }, opened.readOnly));
  } catch (error) {
    worker.postMessage({ type: 'serve', fd: undefined, desk: undefined } satisfies ToWorker);
    await ended;
    throw error;
  }
  const words = new Int32Array(shared);
  const notifier = new Notifier(fd);
  const place = (): string | undefined => (handed === undefined ? directory : placeOf(fd));
  const kernel = new KernelSide(notifier, place, words);
  const serving = { options, worker, fd, notifier, kernel, shared: words };
  const control = await startControl(serving, opened.readOnly);
  const closed = ended.finally(serve(serving, control));
  closed.catch(() => {});
  raiseReadahead(await kernel.begin());
  return new ServedMount(directory, closed, handed === undefined ? undefined : kernel.stop);
}

interface Serving {
  readonly options: MountOptions;
  readonly worker: Worker;
  readonly fd: number;
  readonly notifier: Notifier;
  readonly kernel: KernelSide;
  readonly shared: Int32Array;
}

/** Where commands of others come in. */
interface Control {
  /** The worker's end of what is passed on. */
  readonly desk: MessagePort;
  readonly server: ControlServer;
}

/** Lets the worker serve; what has to be done when the volume is closed is returned. */
function serve(serving: Serving, control: Control | undefined): () => void {
  const { worker, fd, notifier, kernel, shared } = serving;
  const desk = control?.desk;
  const start: ToWorker = { type: 'serve', fd, desk };
  worker.postMessage(start, desk === undefined ? [] : [desk]);
  const stop = startClock({ notifier, shared, wake: kernel.wake });
  const close = (): void => {
    kernel.end();
    control?.server.close();
  };
  worker.on('message', (message: FromWorker) => {
    if (message.type === 'stale') kernel.tellFirst(message.stale, message.reply);
    if (message.type !== 'served') return;
    void (control?.server.drained() ?? Promise.resolve()).finally(() => {
      close();
      worker.postMessage({ type: 'close' } satisfies ToWorker);
    });
  });
  return () => {
    stop();
    close();
    closeSync(fd);
  };
}

/** Makes what brings commands to the worker: a socket, for those that name the image. */
async function startControl(
  { options, kernel }: Serving,
  readOnly: boolean,
): Promise<Control | undefined> {
  const { image, onBroken, onWarning, onControl } = options;
  if (readOnly && onControl === undefined) return undefined;
  const { ask, settle, invalidate } = kernel;
  const { port1, port2 } = new MessageChannel();
  const server = new ControlServer({
    desk: port1,
    ask,
    settle,
    invalidate,
    onBroken: (error) => onBroken?.(`Cannot tell the kernel what has changed: ${String(error)}`),
  });
  const control = { desk: port2, server };
  try {
    // Several may have an image mounted that is only read; they have no place for a socket each.
    if (!readOnly) await server.listen(image);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    onWarning?.(
      `commands cannot use ${image} while it is mounted, for want of a socket: ${reason}`,
    );
    if (onControl === undefined) {
      server.close();
      return undefined;
    }
  }
  onControl?.(server);
  return control;
}

function startWorker(options: MountOptions, shared: SharedArrayBuffer): Worker {
  const data: WorkerOptions = {
    ...settingsOf(options),
    image: options.image,
    loan: options.loan,
    readOnly: options.readOnly ?? options.snapshot !== undefined,
    cacheBytes: options.cacheBytes,
    extentSize: options.extentSize,
    shared,
  };
  // So that whoever is refused the image is told which command has it.
  return new Worker(programFile('fuse-worker'), {
    workerData: data,
    argv: process.argv.slice(2),
    execArgv: [],
  });
}

/** Where the program of a worker is in the package, whichever file of it this is. */
export function programFile(name: string): URL {
  return new URL(`dist/${name}.js`, import.meta.resolve('ramet/package.json'));
}

function firstAnswer(worker: Worker): Promise<{ readOnly: boolean }> {
  return new Promise((answer, reject) => {
    worker.once('error', reject);
    worker.once('message', (message: FromWorker) => {
      if (message.type === 'opened') answer(message);
      else if (message.type === 'failed') reject(errorOf(message));
    });
  });
}

function endOf(worker: Worker, onBroken: MountOptions['onBroken']): Promise<void> {
  return new Promise((end, reject) => {
    let ended = false;
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'broken') onBroken?.(message.message);
      else if (message.type === 'failed') reject(errorOf(message));
      else if (message.type === 'ended') ended = true;
    });
    worker.once('error', reject);
    worker.once('exit', () => {
      if (ended) end();
      else reject(new FilesystemError('EIO', 'Cannot go on serving: the worker has ended'));
    });
  });
}
