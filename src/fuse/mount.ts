/**
 * Mount: a volume of an image as a filesystem of this host.
 *
 * For root /dev/fuse is opened here and its descriptor handed to mount(8), which hands it to the
 * kernel; for others fusermount3 does both. A worker has the engine and serves the descriptor;
 * this thread has the clock. The kernel keeps the mount as long as any descriptor of the
 * connection is open, and both threads use one: a process that dies takes the connection with it,
 * and all that is left is a mount point that answers `ENOTCONN` until it is unmounted. Somebody
 * else may have mounted already, and hand his descriptor over (handed-over.ts).
 */
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { errorCode, FilesystemError } from '../base/index.ts';
import { KernelSide } from './control/kernel-side.ts';
import { ControlServer } from './control/server.ts';
import { mountByProgram, unmountByProgram } from './fusermount.ts';
import { checkHandedOver, descriptorIn, placeOf } from './handed-over.ts';
import { DATA_MAX } from './message.ts';
import { Notifier } from './notify.ts';
import { reasonIn, runProgram } from './programs.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './protocol.ts';
import { PENDING, PRUNE_AT, PRUNE_COUNT, SHARED_WORDS } from './upkeep.ts';

export interface MountOptions {
  readonly image: string;
  readonly snapshot?: string | undefined;
  /** Directory of the volume that becomes the root of the mount; `/` if it is left out. */
  readonly path?: string | undefined;
  /** Where to mount it; `/dev/fd/N` is mounted already, by that descriptor. */
  readonly directory: string;
  /** What the kernel's list of mounts calls it; the image if it is left out. */
  readonly source?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly cacheBytes?: number | undefined;
  /** Seconds for which the kernel may believe names and attributes; a day if it is left out. */
  readonly validSeconds?: number | undefined;
  readonly writeback?: boolean | undefined;
  readonly acl?: boolean | undefined;
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

const A_DAY = 86400;
const NODE_LIMIT = 262_144;
/** How often the worker is woken while it has something to do that nobody asks for. */
const WAKE_MS = 200;

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
  const shared = new SharedArrayBuffer(4 * SHARED_WORDS);
  const worker = startWorker(options, shared);
  const opened = await firstAnswer(worker);
  const ended = endOf(worker, options.onBroken);
  // It is awaited by whoever mounts; until then nothing is to complain.
  ended.catch(() => {});
  let fd: number;
  try {
    fd = handed ?? (await (isRoot() ? attach : attachAsUser)(options, opened.readOnly));
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
  const control = opened.readOnly ? undefined : await startControl(serving);
  const closed = ended.finally(serve(serving, control));
  closed.catch(() => {});
  await kernel.begin();
  raiseReadahead(place());
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
  const stop = keepAwake(notifier, kernel, shared);
  const close = (): void => {
    kernel.end();
    control?.server.close();
  };
  worker.on('message', (message: FromWorker) => {
    if (message.type === 'stale') {
      const { stale, reply } = message;
      const told = kernel.invalidate(stale).catch(() => {});
      void told.then(() => notifier.reply(reply)).catch(() => {});
    }
    if (message.type !== 'served') return;
    close();
    worker.postMessage({ type: 'close' } satisfies ToWorker);
  });
  return () => {
    stop();
    close();
    closeSync(fd);
  };
}

/** Makes the socket by which commands that name the image come to the worker. */
async function startControl({ options, kernel }: Serving): Promise<Control | undefined> {
  const { image, onBroken, onWarning } = options;
  const { ask, settle, invalidate } = kernel;
  const { port1, port2 } = new MessageChannel();
  try {
    const server = await ControlServer.start({
      image,
      desk: port1,
      ask,
      settle,
      invalidate,
      onBroken: (error) => onBroken?.(`Cannot tell the kernel what has changed: ${String(error)}`),
    });
    return { desk: port2, server };
  } catch (error) {
    port1.close();
    const reason = error instanceof Error ? error.message : String(error);
    onWarning?.(
      `commands cannot use ${image} while it is mounted, for want of a socket: ${reason}`,
    );
    return undefined;
  }
}

/** @throws {FilesystemError} `EBUSY` if it is in use, `EINVAL` if it is no mount */
export async function unmount(directory: string, lazy = false): Promise<void> {
  if (!isRoot()) return await unmountByProgram(resolve(directory), lazy);
  const { status, output } = await runProgram('umount', [
    ...(lazy ? ['-l'] : []),
    '--',
    resolve(directory),
  ]);
  if (status === 0) return;
  const code = /busy/u.test(output) ? 'EBUSY' : 'EINVAL';
  throw new FilesystemError(code, `Cannot unmount ${directory}: ${reasonIn(output, 'umount')}`);
}

/**
 * Gives a mount other options of mount(8). One whose server has the volume read-only stays so,
 * whatever the kernel lets through.
 *
 * @throws {FilesystemError} `EBUSY` if it is to be read-only and somebody writes, `EINVAL`, `EPERM`
 */
export async function remount(directory: string, options: readonly string[]): Promise<void> {
  const given = ['remount', ...options].join(',');
  const { status, output } = await runProgram('mount', [
    '-i',
    '-o',
    given,
    '--',
    resolve(directory),
  ]);
  if (status === 0) return;
  const code = /busy/u.test(output)
    ? 'EBUSY'
    : /permission|superuser/u.test(output)
      ? 'EPERM'
      : 'EINVAL';
  throw new FilesystemError(code, `Cannot remount ${directory}: ${reasonIn(output, 'mount')}`);
}

function checkDirectory(directory: string): void {
  try {
    if (statSync(directory).isDirectory()) return;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOTCONN') {
      const finding = 'a server that is gone has left it mounted; ramet umount cleans it up';
      throw new FilesystemError('EBUSY', `Cannot mount at ${directory}: ${finding}`);
    }
    if (code !== 'ENOENT') throw error;
    throw new FilesystemError('ENOENT', `Cannot mount at ${directory}: it does not exist`);
  }
  throw new FilesystemError('ENOTDIR', `Cannot mount at ${directory}: it is not a directory`);
}

function openDevice(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (error) {
    const known = errorCode(error) === 'EACCES' ? 'EACCES' : 'ENODEV';
    const finding = known === 'EACCES' ? 'permission denied' : 'there is none';
    throw new FilesystemError(known, `Cannot open /dev/fuse: ${finding}`, { cause: error });
  }
}

function startWorker(options: MountOptions, shared: SharedArrayBuffer): Worker {
  const data: WorkerOptions = {
    image: options.image,
    snapshot: options.snapshot,
    path: options.path ?? '/',
    readOnly: options.readOnly ?? options.snapshot !== undefined,
    cacheBytes: options.cacheBytes,
    validSeconds: options.validSeconds ?? A_DAY,
    writeback: options.writeback ?? false,
    acl: options.acl ?? false,
    locks: options.locks ?? false,
    uid: options.uid,
    gid: options.gid,
    nodeLimit: options.nodeLimit ?? NODE_LIMIT,
    noatime: options.options?.includes('noatime') ?? false,
    shared,
  };
  // So that whoever is refused the image is told which command has it.
  return new Worker(workerFile(), { workerData: data, argv: process.argv.slice(2) });
}

/** Where the worker's program is in the package, whichever file of it this is. */
function workerFile(): URL {
  return new URL('dist/fuse-worker.js', import.meta.resolve('ramet/package.json'));
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

function errorOf({ message, code }: { message: string; code: string | undefined }): Error {
  return Object.assign(new Error(message), { name: 'FilesystemError', code });
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Lets mount(8) hand the descriptor, which is returned, to the kernel. */
async function attach(options: MountOptions, readOnly: boolean): Promise<number> {
  const fd = openDevice();
  try {
    const { image, source = image, directory } = options;
    const given = ['fd=3', 'rootmode=40000', 'user_id=0', 'group_id=0', 'allow_other'];
    const all = [...given, ...common(options, readOnly)].join(',');
    const args = ['-i', '-t', 'fuse.ramet', '-o', all, '--', source, directory];
    const { status, output } = await runProgram('mount', args, { fd });
    if (status === 0) return fd;
    const code = /permission|superuser/u.test(output) ? 'EPERM' : 'EINVAL';
    const reason = reasonIn(output, 'mount');
    throw new FilesystemError(code, `Cannot mount at ${directory}: ${reason}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Only the user himself sees what is mounted, unless he asks for `allow_other` and may. */
async function attachAsUser(options: MountOptions, readOnly: boolean): Promise<number> {
  const { image, source = image, directory } = options;
  const name = `fsname=${source.replace(/[\\,]/gu, '\\$&')}`;
  const given = [name, 'subtype=ramet', ...common(options, readOnly)];
  return await mountByProgram(resolve(directory), given);
}

function common({ options = [] }: MountOptions, readOnly: boolean): string[] {
  return ['default_permissions', `max_read=${DATA_MAX}`, readOnly ? 'ro' : 'rw', ...options];
}

/** Does what the worker cannot: looks at the clock, and tells the kernel something unasked. */
function keepAwake(notifier: Notifier, kernel: KernelSide, shared: Int32Array): () => void {
  let pruning = false;
  const pruned = (): void => {
    pruning = false;
  };
  const timer = setInterval(() => {
    if (pruning) return;
    if (Atomics.load(shared, PRUNE_COUNT) > 0) {
      pruning = true;
      void prune(notifier, shared).then(pruned, pruned);
    } else if (Atomics.load(shared, PENDING) !== 0) kernel.wake();
  }, WAKE_MS);
  return () => clearInterval(timer);
}

/** Asks the kernel to forget the nodes that the worker has named. */
async function prune(notifier: Notifier, shared: Int32Array): Promise<void> {
  try {
    const count = Atomics.load(shared, PRUNE_COUNT);
    await notifier.prune(shared.subarray(PRUNE_AT, PRUNE_AT + count));
  } finally {
    Atomics.store(shared, PRUNE_COUNT, 0);
  }
}

/** The kernel reads ahead 128 KiB of a file by itself; a request can bring eight times as much. */
function raiseReadahead(directory: string | undefined): void {
  if (directory === undefined) return;
  try {
    const { dev } = statSync(directory);
    const name = `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
    writeFileSync(`/sys/class/bdi/${name}/read_ahead_kb`, String(DATA_MAX / 1024));
  } catch {
    // It is as fast as it is.
  }
}
