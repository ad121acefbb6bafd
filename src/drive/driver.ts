/**
 * Driver: does for operations what they cannot do themselves, that is, wait.
 *
 * V1. A transfer is submitted once, however many operations need it, and its buffers stay with it
 *     until the device has answered: an operation is told of a failure only when nothing of its
 *     plan is in flight any more.
 * V2. On a device that declares `sync` nothing is in flight when JavaScript returns to the event
 *     loop, through {@link Driver.start} too.
 * V3. An operation that follows another, or a transfer, goes on when that has ended, well or not.
 *     Only if the other operation was started for its sake does its error become the follower's.
 */
import { AssertionError, DeviceError, type Io, type Operation } from '../base/index.ts';
import type { Completion, Device } from '../device/index.ts';
import { mergeIo, type Transfer } from './transfer.ts';

type AnyOperation = Operation<unknown>;

export interface StartOptions {
  /** Ends the operation with the signal's reason, at its next wait. */
  readonly signal?: AbortSignal | undefined;
}

export interface DriverOptions {
  /** See {@link Driver.concurrency}; no limit if it is left out. */
  readonly concurrency?: number;
  /** Lets others run: resolves in a later turn of the event loop. */
  readonly pause: () => Promise<void>;
}

export class Driver {
  readonly #device: Device;
  /** Operations that may be under way at once; more wait their turn, first come first served. */
  concurrency: number;
  /** Resolves in a later turn of the event loop, after others had theirs. */
  readonly pause: () => Promise<void>;
  /** Transfers the device has not answered yet, each with the end of all its tries. */
  readonly #inFlight = new Map<Io, Promise<void>>();
  /** Operations that have given up their turn, with what tells that they ended. */
  readonly #running = new Map<AnyOperation, Promise<void>>();
  readonly #queue: (() => void)[] = [];
  /** Told when an operation has found one of our own invariants broken. */
  onBroken: (error: AssertionError) => void = () => {};
  /** The operation that is being stepped: whatever changes now is its work. */
  stepping: AnyOperation | undefined;
  #admitted = 0;

  constructor(device: Device, options: DriverOptions) {
    this.#device = device;
    this.concurrency = options.concurrency ?? Infinity;
    this.pause = options.pause;
  }

  /** True if nothing that was started is under way any more. */
  get idle(): boolean {
    return this.#running.size === 0 && this.#inFlight.size === 0;
  }

  /** Resolves when the driver is idle. */
  async settled(): Promise<void> {
    while (!this.idle) await Promise.all([...this.#running.values(), ...this.#inFlight.values()]);
  }

  /**
   * Runs an operation to its end in this turn.
   *
   * @throws {DeviceError} `ENOTSUP` if the device would have to be waited for
   */
  run<Result>(operation: Operation<Result>): Result {
    while (!this.#step(operation)) this.#satisfyNow(operation);
    return operation.result;
  }

  /** Runs an operation to its end, giving up the turn whenever the device needs time. */
  async start<Result>(operation: Operation<Result>, options: StartOptions = {}): Promise<Result> {
    if (this.#admitted < this.concurrency) this.#admitted++;
    else await new Promise<void>((admitted) => this.#queue.push(admitted));
    try {
      return await this.#drive(operation, options.signal);
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#admitted--;
      else next();
    }
  }

  async #drive<Result>(operation: Operation<Result>, signal?: AbortSignal): Promise<Result> {
    let ended = (): void => {};
    try {
      while (!this.#step(operation)) {
        if (signal?.aborted) operation.fail(signal.reason);
        const wait = this.#device.sync ? this.#satisfyAtOnce(operation) : this.#satisfy(operation);
        if (wait === undefined) continue;
        if (!this.#running.has(operation)) {
          this.#running.set(
            operation,
            new Promise((resolve) => {
              ended = resolve;
            }),
          );
        }
        await wait;
      }
      return operation.result;
    } finally {
      this.#running.delete(operation);
      ended();
    }
  }

  #step(operation: AnyOperation): boolean {
    const outer = this.stepping;
    this.stepping = operation;
    try {
      return operation.step();
    } catch (error) {
      if (error instanceof AssertionError) this.onBroken(error);
      throw error;
    } finally {
      this.stepping = outer;
    }
  }

  /** On a synchronous device only a pause gives up the turn. */
  #satisfyAtOnce(operation: AnyOperation): Promise<void> | undefined {
    this.#satisfyNow(operation);
    return operation.plan.pause ? this.pause() : undefined;
  }

  async #satisfy(operation: AnyOperation): Promise<void> {
    const { plan } = operation;
    const waits = plan.after.map((other) => this.#follow(other));
    if (plan.pause) waits.push(this.pause());
    this.#submit(plan.io);
    this.#submit(plan.ahead);
    this.#submit(plan.behind);
    for (const needs of [plan.io, plan.behind]) {
      for (const io of needs) {
        const flight = this.#inFlight.get(io);
        if (flight !== undefined) waits.push(flight);
      }
    }
    const failed = (await Promise.allSettled(waits)).find(({ status }) => status === 'rejected');
    if (operation.done) return;
    if (failed?.status === 'rejected') operation.fail(failed.reason);
    else this.#report(operation);
  }

  /** Rejects only if `other` was started here (V3). */
  async #follow(other: AnyOperation): Promise<void> {
    if (other.done) return;
    const running = this.#running.get(other);
    if (running !== undefined) await running;
    else await this.#drive(other);
  }

  #satisfyNow(operation: AnyOperation): void {
    const { plan } = operation;
    try {
      for (const other of [...plan.after]) this.#runOther(other);
    } catch (error) {
      // On a slow device it goes on with the driver that waits for it.
      if (!this.#device.sync && this.#running.has(operation)) throw error;
      operation.fail(error as Error);
      return;
    }
    if (plan.io.length > 0 || plan.behind.length > 0) {
      if (!this.#device.sync) this.#refuse(operation);
      const more = plan.ahead.length > 0 || plan.behind.length > 0;
      this.#submit(more ? [...plan.io, ...plan.ahead, ...plan.behind] : plan.io);
    }
    this.#report(operation);
  }

  /** Takes another operation to its end; if somebody awaits it, its error is for him (V3). */
  #runOther(other: AnyOperation): void {
    const awaited = this.#running.has(other);
    try {
      this.run(other);
    } catch (error) {
      if (!awaited || !other.done) throw error;
    }
  }

  /** An operation that is not ours alone goes on with the next driver; one of our own ends here. */
  #refuse(operation: AnyOperation): void {
    const refusal = new DeviceError('ENOTSUP', {
      operation: 'finish in this turn',
      position: 0,
      length: 0,
      finding: `device ${this.#device.name} is asynchronous, use the promise form of the call`,
    });
    if (operation.shared === true || this.#running.has(operation)) throw refusal;
    operation.fail(refusal);
  }

  #submit(requests: readonly Io[]): void {
    const fresh: Io[] = [];
    for (const io of requests) {
      if (io.submitted) continue;
      io.submitted = true;
      fresh.push(io);
    }
    for (const transfer of mergeIo(fresh)) {
      const flight = this.#transfer(transfer);
      if (flight === undefined) continue;
      const ended = flight.then(() => {
        for (const io of transfer.io) this.#inFlight.delete(io);
      });
      for (const io of transfer.io) this.#inFlight.set(io, ended);
    }
  }

  /** Moves one transfer, with all its tries; never rejects: a failure is in each `io.error`. */
  #transfer(transfer: Transfer): Promise<void> | undefined {
    let completion: Completion;
    try {
      completion = submit(this.#device, transfer);
    } catch (error) {
      return this.#answered(transfer, error as Error);
    }
    if (completion === undefined) return this.#answered(transfer, undefined);
    return completion.then(
      () => this.#answered(transfer, undefined),
      (error) => this.#answered(transfer, error),
    );
  }

  /** Tells every part how it went; what failed together, or has another copy, is tried alone. */
  #answered(transfer: Transfer, error: Error | undefined): Promise<void> | undefined {
    const apart = error !== undefined && transfer.io.length > 1;
    const again = apart ? transfer.io : transfer.io.map((io) => io.finish(error));
    const waits: Promise<void>[] = [];
    for (const io of again) {
      if (io === undefined) continue;
      for (const retry of mergeIo([io])) {
        const flight = this.#transfer(retry);
        if (flight !== undefined) waits.push(flight);
      }
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => {});
  }

  /** Tells an operation of the first failure among what it needed. */
  #report(operation: AnyOperation): void {
    const failed = operation.plan.io.find((io) => io.error !== undefined);
    if (failed !== undefined && !operation.done) operation.fail(failed.error as Error);
  }
}

function submit(device: Device, transfer: Transfer): Completion {
  const { kind, position, length, buffers } = transfer;
  const only = buffers.length === 1 ? (buffers[0] as Uint8Array) : undefined;
  switch (kind) {
    case 'read':
      return only ? device.read(position, only) : device.readv(position, buffers);
    case 'write':
      return only ? device.write(position, only) : device.writev(position, buffers);
    case 'flush':
      return device.flush();
    case 'discard':
      return device.discard(position, length);
    case 'prepare':
      return device.prepare(position, length);
    case 'grow':
      return device.grow(position);
    case 'shrink':
      return device.shrink?.(position);
  }
}
