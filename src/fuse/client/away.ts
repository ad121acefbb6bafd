/**
 * Away: where the calls of a volume go while another thread has its engine.
 *
 * W1. Until the mount answers, calls that cannot wait are `EBUSY`, and promises wait.
 * W2. A call that was not made before the mount ended is made here once the engine is back; whoever
 *     cannot wait fetches it in his own turn.
 * W3. If the other threads have failed, every call is `EIO`.
 */
import { SnapshotView } from '../../api/index.ts';
import {
  asNodeError,
  Caller,
  type CallName,
  type RemoteCalls,
  signalOf,
  siteOf,
} from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import type { Made } from '../control/calls.ts';
import { FrameFlag } from '../control/frame.ts';
import type { AnyFunction } from '../control/values.ts';
import { FarFs } from './far-fs.ts';
import type { FarMount } from './far-mount.ts';
import { FarPin } from './far-pin.ts';
import { LineEnded, type LineUse, type PortLine } from './port-line.ts';

type Args = readonly unknown[];

/** Calls before which the kernel hands over what programs have written. */
const SETTLES: ReadonlySet<string> = new Set([
  'clone',
  'cloneRange',
  'copyRange',
  'dedupeRange',
  'diff',
  'snapshot',
  'space',
  'sync',
]);

/** Calls that tell a function of their caller how far they are. */
const REPORTING: ReadonlySet<string> = new Set(['defrag', 'defragSync', 'scrub']);

/** True if a call has to have what programs have written by then, whatever the kernel keeps. */
export function settles(method: string): boolean {
  return SETTLES.has(method.replace(/Sync$/u, ''));
}

/** What the volume does at home. */
export interface AtHome {
  /** Brings the engine back, in this turn: it is nobody else's any more. */
  comeBack(): void;
  readonly fs: RemoteCalls;
  invoke(method: string, args: Args): unknown;
}

export class Away implements RemoteCalls {
  readonly #home: AtHome;
  #mount: FarMount | undefined;
  #fs: FarFs | undefined;
  #failure: FilesystemError | undefined;
  #isBack = false;
  #arrived = (): void => {};
  readonly #arrival = new Promise<void>((arrived) => {
    this.#arrived = arrived;
  });

  constructor(home: AtHome) {
    this.#home = home;
  }

  /** The engine has arrived where it is served. */
  arrive(mount: FarMount): void {
    this.#mount = mount;
    this.#fs = new FarFs(mount.line);
    this.#arrived();
  }

  /** The engine is back. */
  back(): void {
    this.#isBack = true;
    this.#arrived();
  }

  /** Nobody has the engine any more. */
  fail(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot use the volume: the thread that had it has failed: ${reason}`;
    this.#failure ??= new FilesystemError('EIO', message, { cause });
    this.#arrived();
  }

  /** Why nobody has the engine; undefined if somebody has. */
  get failure(): FilesystemError | undefined {
    return this.#failure;
  }

  sync(name: CallName, args: Args): unknown {
    try {
      return this.#orHere(
        () => this.#there.sync(name, args),
        () => this.#home.fs.sync(name, args),
      );
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  async async(name: CallName, args: Args, signal?: AbortSignal): Promise<unknown> {
    try {
      await this.#arrival;
      return await this.#orHereLater(
        () => this.#there.async(name, args, signal),
        () => this.#home.fs.async(name, args, signal),
      );
    } catch (error) {
      throw asNodeError(error, siteOf(name, args, error));
    }
  }

  /** A method of the volume. */
  invoke(method: string, args: Args): unknown {
    const here = (): unknown => this.#home.invoke(method, args);
    const call = [method, args];
    try {
      if (method.endsWith('Sync')) {
        const use = useOf(method, args);
        return this.#orHere(() => this.#made(this.line.callSync('volume', call, use)), here);
      }
    } catch (error) {
      throw asNodeError(error, { syscall: method });
    }
    return this.#invokeLater(method, args, here);
  }

  async #invokeLater(method: string, args: Args, here: () => unknown): Promise<unknown> {
    try {
      await this.#arrival;
      const use = { ...useOf(method, args), signal: signalOf(args) };
      const there = async () => this.#made(await this.line.call('volume', [method, args], use));
      return await this.#orHereLater(there, here);
    } catch (error) {
      throw asNodeError(error, { syscall: method });
    }
  }

  /** Where calls are made. @throws {FilesystemError} `EBUSY`, `EIO`; {LineEnded} if it has ended */
  get line(): PortLine {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isBack || this.#mount?.isServing === false) throw new LineEnded(true);
    if (this.#mount !== undefined) return this.#mount.line;
    throw new FilesystemError('EBUSY', 'Cannot use the volume: it is on its way into a mount');
  }

  get #there(): FarFs {
    void this.line;
    return this.#fs as FarFs;
  }

  #orHere(there: () => unknown, here: () => unknown): unknown {
    try {
      return there();
    } catch (error) {
      this.#checkEnd(error);
    }
    this.#fetch();
    return here();
  }

  /** Makes something of its own there, or here if the engine is back, or can be fetched. */
  ask<Result>(there: (line: PortLine) => Result, here: () => Result): Result {
    return this.#orHere(() => there(this.line), here) as Result;
  }

  /** Throws why a call cannot be made at all; returns if it can be made here. */
  #checkEnd(error: unknown): void {
    if (!(error instanceof LineEnded)) throw error;
    if (this.#mount?.hasFailed === true) this.fail('it has ended');
    if (this.#failure !== undefined) throw this.#failure;
    if (!error.mayBeMade) throw error;
  }

  async #orHereLater(there: () => Promise<unknown>, here: () => unknown): Promise<unknown> {
    try {
      return await there();
    } catch (error) {
      this.#checkEnd(error);
    }
    // It has ended already, or does so without this thread.
    await this.#mount?.ended.catch(() => {});
    this.#fetch();
    return await here();
  }

  /** W2. */
  #fetch(): void {
    if (this.#isBack) return;
    this.#mount?.waitForEnd();
    if (this.#mount?.hasFailed === true) this.fail('it has ended');
    if (this.#failure !== undefined) throw this.#failure;
    this.#home.comeBack();
  }

  /** What a call has made where the engine is, to be used here. */
  #made(value: unknown): unknown {
    const made = value as Partial<Made> | null | undefined;
    if (typeof made !== 'object' || made?.handle === undefined) return value;
    const { line } = this;
    if (made.kind === 'pin') return new FarPin(line, made as Extract<Made, { kind: 'pin' }>);
    const { handle, name = '' } = made as Extract<Made, { kind: 'view' }>;
    return new SnapshotView(name, new Caller(new FarFs(line, handle)), () => {
      line.tell('closeView', [handle]);
    });
  }
}

/** What a method's call is given beside its arguments. @throws {FilesystemError} `ENOTSUP` */
function useOf(method: string, args: Args): LineUse {
  const options = (args.at(-1) ?? {}) as { compare?: unknown; progress?: unknown };
  if (method.startsWith('dedupeRange') && typeof options.compare === 'function') {
    const finding = 'a comparer of its caller has no place in the thread that has the volume';
    throw new FilesystemError('ENOTSUP', `Cannot do this while it is mounted: ${finding}`);
  }
  const reports = REPORTING.has(method) && typeof options.progress === 'function';
  return {
    flags: settles(method) ? FrameFlag.SETTLE : 0,
    functions: reports ? [options.progress as AnyFunction] : [],
  };
}
