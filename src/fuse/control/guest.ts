/**
 * Guest: one client at the volume: his open files and views, and his calls under way.
 *
 * G1. What a client sends is answered, whatever it is; nothing is thrown.
 * G2. When a client goes, his calls end at their next wait; then his files and views are closed.
 */
import type { Change, Locator, SnapshotView, SyncFs, Volume } from '../../api/index.ts';
import type { ServedVolume } from '../../api/node/index.ts';
import { BLOCK_SIZE, FilesystemError } from '../../base/index.ts';
import { SUPERBLOCKS } from '../../format/index.ts';
import { ApiCalls, Kept } from './api-calls.ts';
import { Asks } from './asks.ts';
import {
  type Answer,
  type Ask,
  CHANGES_MAX,
  type ChangeBatch,
  type Hello,
  isPlainFsCall,
  LONG_CALLS,
  LONG_FS_CALLS,
  type LongUse,
  PROTOCOL,
  type Request,
  SHORT_CALLS,
  type Welcome,
} from './calls.ts';
import { decodeFrame, encodeFrame, REQUEST_MAX } from './frame.ts';
import type { MountReport } from './report.ts';

/** A comparison that is asked for its differences batch by batch. */
interface Diff {
  readonly changes: AsyncGenerator<Change>;
  readonly controller: AbortController;
}

/** Progress may be left out for a client that does not listen. */
type Sender = (frame: Uint8Array<ArrayBuffer>, isProgress: boolean) => void;
type AnyCall = (...args: unknown[]) => unknown;

export interface GuestOptions {
  readonly served: ServedVolume;
  readonly send: Sender;
  /** How the mount is doing. */
  readonly report: () => MountReport;
  /** Whether every call fails by now. */
  readonly isShutDown: () => boolean;
  /** Told when a call that took its time has ended. */
  readonly ended: () => void;
}

/** Of a user or group, or of permission bits. */
const NUMBER_MAX = 0xffffffff;

export class Guest {
  readonly #served: ServedVolume;
  readonly #send: Sender;
  readonly #report: () => MountReport;
  readonly #isShutDown: () => boolean;
  readonly #ended: () => void;
  #volume: ServedVolume | undefined;
  #api: ApiCalls | undefined;
  /** What a client with a clock of his own has told last. */
  #now: number | undefined;
  readonly #jobs = new Map<number, { controller: AbortController; asks: Asks }>();
  readonly #files = new Set<number>();
  readonly #views = new Map<number, SnapshotView>();
  readonly #diffs = new Map<number, Diff>();
  #nextHandle = 1;
  #gone = false;

  constructor({ served, send, report, isShutDown, ended }: GuestOptions) {
    this.#served = served;
    this.#send = send;
    this.#report = report;
    this.#isShutDown = isShutDown;
    this.#ended = ended;
  }

  /** Calls that take their time and have not ended. */
  get jobs(): number {
    return this.#jobs.size;
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** Takes a message of the client. */
  take(frame: Uint8Array): void {
    let id = 0;
    try {
      const asks = new Asks((ask) => this.#ask({ id, ...ask }));
      const message = decodeFrame(frame, asks);
      if (typeof message !== 'object' || message === null) throw malformed('it is no object');
      const { id: number, call, args, cancel, reply, now } = message as Record<string, unknown>;
      if (!Number.isSafeInteger(number)) throw malformed('it has no number');
      id = number as number;
      if (reply !== undefined) {
        this.#jobs.get(id)?.asks.reply(reply, message);
        return;
      }
      if (typeof now === 'number') this.#now = now;
      if (cancel === true) {
        this.#jobs
          .get(id)
          ?.controller.abort(new FilesystemError('ECANCELED', 'Cannot go on: it was ended'));
        return;
      }
      if (typeof call !== 'string' || !Array.isArray(args)) throw malformed('it is no call');
      if (this.#jobs.has(id)) throw malformed('its number is in use');
      this.#begin({ id, call, args }, asks);
    } catch (error) {
      this.#answer({ id, error });
    }
  }

  /** The client has gone. */
  leave(): void {
    this.#gone = true;
    const reason = new FilesystemError('ECANCELED', 'Cannot go on: the client has gone');
    for (const { controller, asks } of this.#jobs.values()) {
      controller.abort(reason);
      asks.end(reason);
    }
    if (this.#jobs.size === 0) this.#close();
  }

  #begin({ id, call, args }: Request, asks: Asks): void {
    if (this.#isShutDown())
      throw new FilesystemError('EIO', 'Cannot do anything: it was shut down');
    if (call === 'hello') {
      this.#answer({ id, value: this.#hello(args[0]) });
      return;
    }
    const volume = this.#volume;
    if (volume === undefined) throw malformed('nobody has said hello');
    const long = Object.hasOwn(LONG_CALLS, call) ? LONG_CALLS[call] : undefined;
    if (long !== undefined) this.#start(id, (use) => long(volume, args, use));
    else if (call === 'fs' && isLong(args[1])) this.#start(id, () => this.#longFsCall(args));
    else if (call === 'nextChanges') this.#start(id, (use) => this.#nextChanges(args[0], use));
    else {
      const made = this.#api?.make(call, args, { signal: asks.signal, asks: asks.count > 0 });
      if (made === undefined) this.#answer({ id, value: this.#short(volume, call, args) });
      else if (made.answer instanceof Promise) {
        const { answer } = made;
        this.#start(id, () => answer, asks);
      } else this.#answer(answerOf(id, made.answer));
    }
  }

  #hello(value: unknown): Welcome {
    const { protocol, uid, gid, umask, firstFile } = (value ?? {}) as Partial<Hello>;
    if (protocol !== PROTOCOL) {
      const found = `the command speaks version ${String(protocol)} of the protocol`;
      throw new FilesystemError('ENOTSUP', `Cannot talk: ${found}, the mount ${PROTOCOL}`);
    }
    for (const number of [uid, gid, umask]) {
      const sane = Number.isSafeInteger(number) && (number as number) >= 0;
      if (!sane || (number as number) > NUMBER_MAX) throw malformed('it does not say who asks');
    }
    if (this.#volume === undefined) {
      const now = (): number => this.#now ?? Date.now();
      const own = Number.isSafeInteger(firstFile) ? (firstFile as number) : 0;
      this.#volume = this.#served.guest({ uid, gid, umask, now }, own);
      const kept = { views: this.#views, files: this.#files, handle: () => this.#nextHandle++ };
      this.#api = new ApiCalls(this.#volume, kept);
    }
    return { label: this.#served.label, readOnly: this.#served.readOnly };
  }

  #short(volume: Volume, call: string, args: readonly unknown[]): unknown {
    if (SHORT_CALLS.has(call)) {
      return (volume[call as keyof Volume] as AnyCall).apply(volume, [...args]);
    }
    switch (call) {
      case 'fs':
        return this.#fsCall(this.#filesOf(args[0]), String(args[1]), args.slice(2));
      case 'openView':
        return this.#handle(this.#views, volume.openSnapshotSync(args[0] as string));
      case 'closeView':
        this.#views.get(args[0] as number)?.close();
        return this.#views.delete(args[0] as number);
      case 'diff':
        return this.#handle(this.#diffs, beginDiff(volume, args[0], args[1]));
      case 'endDiff':
        void this.#diffs.get(args[0] as number)?.changes.return(undefined);
        return this.#diffs.delete(args[0] as number);
      case 'report':
        return this.#report();
      case 'superblocks': {
        const bytes = new Uint8Array(SUPERBLOCKS * BLOCK_SIZE);
        void this.#served.parts.device.read(0, bytes);
        return bytes;
      }
      default:
        throw new FilesystemError('ENOSYS', `Cannot do "${call}": there is no such call`);
    }
  }

  #handle<Value>(map: Map<number, Value>, value: Value): number {
    map.set(this.#nextHandle, value);
    return this.#nextHandle++;
  }

  /** Of the live volume, or of a view that is open. */
  #filesOf(view: unknown): SyncFs {
    if (view === undefined || view === null) return (this.#volume as Volume).fs;
    const found = this.#views.get(view as number);
    if (found === undefined) throw malformed('its view is not open');
    return found.fs;
  }

  #fsCall(fs: SyncFs, name: string, args: readonly unknown[]): unknown {
    switch (name) {
      case 'openSync': {
        const fd = (fs.openSync as AnyCall)(...args) as number;
        this.#files.add(fd);
        return fd;
      }
      case 'closeSync':
        this.#files.delete(args[0] as number);
        return fs.closeSync(args[0] as number);
      case 'readSync': {
        const [fd, length, position] = args as [number, number, number | null];
        const buffer = Buffer.allocUnsafe(Math.min(Math.max(Number(length) || 0, 0), REQUEST_MAX));
        const count = fs.readSync(fd, buffer, 0, buffer.length, position);
        return buffer.subarray(0, count);
      }
      default:
        if (isPlainFsCall(fs, name)) return (fs[name as keyof SyncFs] as AnyCall)(...args);
        throw new FilesystemError('ENOSYS', `Cannot do "${name}": there is no such call`);
    }
  }

  async #longFsCall([view, name, ...args]: readonly unknown[]): Promise<unknown> {
    const { promises } = this.#filesOf(view);
    return await (promises[LONG_FS_CALLS[name as string] as 'rm'] as AnyCall)(...args);
  }

  async #nextChanges(handle: unknown, { signal }: LongUse): Promise<ChangeBatch> {
    const diff = this.#diffs.get(handle as number);
    const changes: Change[] = [];
    signal.addEventListener('abort', () => diff?.controller.abort(signal.reason), { once: true });
    while (diff !== undefined && changes.length < CHANGES_MAX) {
      const { done, value } = await diff.changes.next();
      if (done === true) return { changes, done: true };
      changes.push(value);
    }
    return { changes, done: diff === undefined };
  }

  #start(id: number, body: (use: LongUse) => Promise<unknown>, asks = new Asks()): void {
    const { controller, signal } = asks;
    this.#jobs.set(id, { controller, asks });
    const progress = (value: unknown): void => this.#answer({ id, progress: value });
    const ended = (answer: Answer): void => {
      this.#jobs.delete(id);
      this.#answer(answer);
      if (this.#gone && this.#jobs.size === 0) this.#close();
      this.#ended();
    };
    body({ signal, progress }).then(
      (value) => ended(answerOf(id, value)),
      (error: unknown) => ended({ id, error }),
    );
  }

  #ask(ask: Ask): void {
    if (!this.#gone) this.#send(encodeFrame(ask), false);
  }

  #answer(answer: Answer): void {
    if (this.#gone) return;
    let frame: Uint8Array<ArrayBuffer>;
    try {
      frame = encodeFrame(answer);
    } catch (error) {
      const message = `Cannot send what came of a call: ${(error as Error).message}`;
      frame = encodeFrame({ id: answer.id, error: new FilesystemError('EIO', message) });
    }
    this.#send(frame, 'progress' in answer);
  }

  #close(): void {
    this.#api?.close();
    for (const { changes } of this.#diffs.values()) void changes.return(undefined);
    this.#diffs.clear();
    for (const fd of this.#files) {
      try {
        this.#volume?.fs.closeSync(fd);
      } catch {
        // What could not be told to the disk is told by the next call that changes something.
      }
    }
    this.#files.clear();
    for (const view of this.#views.values()) view.close();
    this.#views.clear();
  }
}

function answerOf(id: number, value: unknown): Answer {
  return value instanceof Kept ? { id, made: value.made } : { id, value };
}

function isLong(name: unknown): boolean {
  return typeof name === 'string' && Object.hasOwn(LONG_FS_CALLS, name);
}

function beginDiff(volume: Volume, left: unknown, right: unknown): Diff {
  const controller = new AbortController();
  const { signal } = controller;
  return { changes: volume.diff(left as Locator, right as Locator, { signal }), controller };
}

function malformed(finding: string): FilesystemError {
  return new FilesystemError('EINVAL', `Cannot understand a message: ${finding}`);
}
