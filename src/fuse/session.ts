/**
 * Session: one connection with the kernel, from INIT to its end.
 *
 * Every request gets exactly one reply, but FORGET, BATCH_FORGET, INTERRUPT and NOTIFY_REPLY, which
 * get none.
 * Whatever a request says, and whatever goes wrong behind it, is answered with an errno: nothing
 * is ever thrown out of {@link Session.handle}.
 *
 * On a device that answers at once a request is done when `handle` returns. Otherwise it gives up
 * its turn, others are taken meanwhile, and INTERRUPT ends it at its next wait; each needs a
 * {@link Message} of its own until its reply is sent.
 */
import { type Procedure, runAsync, runSync } from '../api/node/index.ts';
import { AssertionError, ERRNO, FilesystemError, type Operation } from '../base/index.ts';
import type { Driver } from '../drive/index.ts';
import { errnoOf, MAJOR, Opcode } from './constants.ts';
import type { Opaque } from './layout.ts';
import { Message, NO_REPLY } from './message.ts';
import { negotiate } from './negotiate.ts';
import { OPERATIONS } from './operations/index.ts';
import { RequestCounts } from './request-counts.ts';
import type { Served } from './served.ts';
import {
  BATCH_FORGET_IN,
  FORGET_IN,
  FORGET_ONE,
  INIT_IN,
  INIT_IN_SHORT,
  INTERRUPT_IN,
} from './wire.ts';

export interface SessionOptions {
  readonly served: Served;
  readonly driver: Driver;
  /** Operations of the device may take their time. */
  readonly async: boolean;
  /** Sends the first `length` bytes of a message's reply. */
  readonly send: (message: Message, length: number) => void;
  /** Told of the work of each request that may take its time; what it returns is done. */
  readonly own?: (procedure: Procedure<number>) => Procedure<number>;
  /** Told of what is a mistake of this program, once it was answered with `EIO`. */
  readonly onBroken?: (error: unknown) => void;
  /** Milliseconds since some moment, for the times of requests. */
  readonly now?: () => number;
}

export class Session {
  readonly served: Served;
  readonly counts: RequestCounts;
  readonly #driver: Driver;
  readonly #async: boolean;
  readonly #send: (message: Message, length: number) => void;
  readonly #own: (procedure: Procedure<number>) => Procedure<number>;
  readonly #onBroken: (error: unknown) => void;
  /** Requests that have given up their turn, by their number. */
  readonly #flights = new Map<string, AbortController>();
  /** For replies without a body to requests that have waited. */
  readonly #later = new Message();
  #begun = false;
  /** The kernel has said that it is done. */
  ended = false;

  constructor({ served, driver, async, send, own, onBroken, now }: SessionOptions) {
    this.served = served;
    const { blocks } = served.engine.store;
    this.counts = new RequestCounts({ blocks, now });
    this.#driver = driver;
    this.#async = async;
    this.#send = send;
    this.#own = own ?? ((procedure) => procedure);
    this.#onBroken = onBroken ?? (() => {});
    served.answerLater = (unique, answer) => this.#answerLater(unique, answer);
  }

  /** Requests that have given up their turn. */
  get inFlight(): number {
    return this.#flights.size;
  }

  /**
   * Takes the request of `length` bytes in a message. The promise, if there is one, is resolved
   * when the message can be used again.
   */
  handle(message: Message, length: number): Promise<void> | undefined {
    if (!message.accept(length)) return undefined;
    this.counts.begin();
    let answer: number | Procedure<number>;
    try {
      answer = message.open() ? this.#dispatch(message) : -ERRNO.EINVAL[0];
      if (typeof answer !== 'number') {
        if (this.#async) return this.#fly(message, this.#own(answer));
        answer = runSync(this.#driver, answer);
      }
    } catch (error) {
      answer = this.#refusal(error);
    }
    this.#answer(message, answer);
    this.counts.end(message, answer);
    return undefined;
  }

  /** Lets go of every inode that the kernel knew: the connection has ended. */
  close(): void {
    for (const end of this.served.nodes.forgetAll()) {
      // What has failed is found among the orphans by the next mount.
      this.#quietly(end);
    }
  }

  /** Whoever asked waits for a reply: one that the kernel does not take is followed by another. */
  #answer(message: Message, answer: number): void {
    if (answer === NO_REPLY || isOneWay(message.opcode)) return;
    try {
      this.#send(message, message.seal(answer));
    } catch (error) {
      this.#onBroken(error);
      this.#send(message, message.seal(-ERRNO.EIO[0]));
    }
  }

  /** Answers a request whose message is in use for another one by now. */
  #answerLater(unique: Opaque, answer: number): void {
    const message = this.#later;
    [message.uniqueLow, message.uniqueHigh] = unique;
    this.#answer(message, answer);
  }

  #dispatch(message: Message): number | Procedure<number> {
    const { opcode } = message;
    if (opcode === Opcode.INIT) return this.#init(message);
    if (!this.#begun || this.ended) return -ERRNO.EIO[0];
    switch (opcode) {
      case Opcode.FORGET:
        return this.#forget(message);
      case Opcode.BATCH_FORGET:
        return this.#batchForget(message);
      case Opcode.INTERRUPT:
        return this.#interrupt(message);
      case Opcode.DESTROY:
        this.ended = true;
        return this.#destroy();
    }
    // How much room there is may be asked: it wakes this thread, too.
    if (this.served.isShutDown && opcode !== Opcode.STATFS) return -ERRNO.EIO[0];
    const operation = OPERATIONS[opcode];
    if (operation === undefined) return -ERRNO.ENOSYS[0];
    if (!message.holds(operation.least)) return -ERRNO.EINVAL[0];
    return operation.handler(this.served, message);
  }

  #init(message: Message): number {
    if (this.#begun) return -ERRNO.EIO[0];
    if (!message.holds(INIT_IN_SHORT)) return -ERRNO.EINVAL[0];
    const answer = negotiate(this.served, message);
    // A newer major version is told ours, and asks once more.
    this.#begun = answer > 0 && message.u32(INIT_IN.at.major) === MAJOR;
    return answer;
  }

  *#destroy(): Procedure<number> {
    if (this.served.readOnly || this.served.isShutDown) return 0;
    yield this.served.engine.commit();
    return 0;
  }

  #forget(message: Message): number {
    if (message.holds(FORGET_IN.size)) {
      this.#drop(message.node, message.u64(FORGET_IN.at.nlookup));
    }
    return NO_REPLY;
  }

  #batchForget(message: Message): number {
    if (!message.holds(BATCH_FORGET_IN.size)) return NO_REPLY;
    const count = message.u32(BATCH_FORGET_IN.at.count);
    let at = BATCH_FORGET_IN.size;
    for (let i = 0; i < count && message.holds(at + FORGET_ONE.size); i++) {
      const node = message.nodeAt(at + FORGET_ONE.at.nodeid);
      this.#drop(node, message.u64(at + FORGET_ONE.at.nlookup));
      at += FORGET_ONE.size;
    }
    return NO_REPLY;
  }

  #drop(node: number, lookups: number): void {
    const end = this.served.nodes.forget(node, lookups);
    if (end !== undefined) this.#quietly(end);
  }

  /** Runs what nobody waits for. */
  #quietly(operation: Operation<unknown>): void {
    if (this.#async) {
      this.#driver.start(operation).catch((error: unknown) => this.#refusal(error));
      return;
    }
    try {
      this.#driver.run(operation);
    } catch (error) {
      this.#refusal(error);
    }
  }

  #interrupt(message: Message): number {
    if (message.holds(INTERRUPT_IN.size)) {
      const low = message.u32(INTERRUPT_IN.at.unique);
      const high = message.u32(INTERRUPT_IN.at.unique + 4);
      if (this.served.locks.giveUp([low, high])) {
        this.#answerLater([low, high], -ERRNO.EINTR[0]);
        return NO_REPLY;
      }
      // Otherwise it has been answered already.
      const reason = new FilesystemError('EINTR', 'Cannot go on: whoever asked gave up');
      this.#flights.get(flightKey(low, high))?.abort(reason);
    }
    return NO_REPLY;
  }

  async #fly(message: Message, procedure: Procedure<number>): Promise<void> {
    const { started } = this.counts;
    const controller = new AbortController();
    const key = flightKey(message.uniqueLow, message.uniqueHigh);
    this.#flights.set(key, controller);
    let answer: number;
    try {
      answer = await runAsync(this.#driver, procedure, { signal: controller.signal });
    } catch (error) {
      answer = this.#refusal(error);
    }
    this.#flights.delete(key);
    this.#answer(message, answer);
    this.counts.end(message, answer, started);
  }

  /** The negative errno of an error; what no caller has to expect is told. */
  #refusal(error: unknown): number {
    const errno = errnoOf(error);
    const known = error instanceof Error && 'code' in error && !(error instanceof AssertionError);
    if (!known) this.#onBroken(error);
    return -errno;
  }
}

/** Requests that have no reply. */
function isOneWay(opcode: number): boolean {
  return (
    opcode === Opcode.FORGET ||
    opcode === Opcode.BATCH_FORGET ||
    opcode === Opcode.INTERRUPT ||
    opcode === Opcode.NOTIFY_REPLY
  );
}

function flightKey(low: number, high: number): string {
  return `${high}.${low}`;
}
