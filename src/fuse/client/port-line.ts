/**
 * Port line: calls of a volume whose engine another thread of this process has.
 *
 * A call waits for its answer in this turn, or gives up its turn; any number may be under way. What
 * comes while one waits is taken too, and settled in its own turn: answers to others, and questions
 * about functions among the arguments, which are answered at once.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { isPromise, promiseError } from '../../api/node/index.ts';
import { FilesystemError } from '../../base/index.ts';
import type { Answer, Ask } from '../control/calls.ts';
import { decodeFrame, encodeFrame } from '../control/frame.ts';
import type { AnyFunction } from '../control/values.ts';
import { ANSWERS, BEATS, STATE } from './words.ts';

/** The mount has ended before there was an answer. */
export class LineEnded extends FilesystemError {
  /** The call was not made, and may be made elsewhere. */
  readonly mayBeMade: boolean;

  constructor(mayBeMade: boolean) {
    super('ECANCELED', 'Cannot go on: it was unmounted meanwhile');
    this.mayBeMade = mayBeMade;
  }
}

export interface LineUse {
  /** See `FrameFlag`. */
  readonly flags?: number;
  /** Functions among the arguments that are called here. */
  readonly functions?: readonly AnyFunction[];
  readonly signal?: AbortSignal | undefined;
}

/** A call that waits for its answer. */
interface Pending {
  readonly functions: readonly AnyFunction[];
  readonly isSync: boolean;
  /** Its place among all that was sent. */
  place: number;
  /** What a function of the caller has thrown: it ends the call. */
  thrown: { readonly error: unknown } | undefined;
  settle(answer: Answer | undefined): void;
}

/** The last that is sent to this end: how many of its messages were taken. */
export interface Taken {
  readonly taken: number;
}

/** How long one look at the other thread takes, and after how many without a beat it is dead. */
export const LOOK_MS = 1000;
export const LOOKS_MAX = 10;

export class PortLine {
  readonly #port: MessagePort;
  readonly #words: Int32Array;
  readonly #now: (() => number) | undefined;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended = false;
  /** Messages sent, and the first of those that nobody has taken in the end. */
  #sent = 0;
  #firstUntaken = Infinity;
  /** A port that is closed must not be touched. */
  #isClosed = false;

  /** `now`: the clock of the volume, if it has one of its own. */
  constructor(port: MessagePort, words: Int32Array, now: (() => number) | undefined) {
    this.#port = port;
    this.#words = words;
    this.#now = now;
    port.on('message', (message: Uint8Array | Taken) => this.#take(message));
    port.on('close', () => {
      this.#isClosed = true;
      this.end();
    });
  }

  /** Calls that have not been answered. */
  get underWay(): number {
    return this.#pending.size;
  }

  /** Calls, and waits in this turn. @throws {LineEnded} and the call was not made */
  callSync(call: string, args: readonly unknown[], use: LineUse = {}): unknown {
    let answered: { readonly answer: Answer | undefined } | undefined;
    const pending = this.#pend(use, true, (answer) => {
      answered = { answer };
    });
    this.#send(pending, call, args, use);
    let [beats, looks] = [Atomics.load(this.#words, BEATS), 0];
    while (answered === undefined) {
      const seen = Atomics.load(this.#words, ANSWERS);
      this.#takeAll();
      if (answered !== undefined) break;
      if (this.#ended || Atomics.load(this.#words, STATE) !== 0) this.end();
      else Atomics.wait(this.#words, ANSWERS, seen, LOOK_MS);
      const now = Atomics.load(this.#words, BEATS);
      looks = now === beats ? looks + 1 : 0;
      beats = now;
      if (looks > LOOKS_MAX) throw new FilesystemError('EIO', 'Cannot go on: the mount is stuck');
    }
    const { answer } = answered as { answer: Answer | undefined };
    return valueIn(answer, pending, this.#firstUntaken);
  }

  /** Calls, and gives up the turn. */
  async call(call: string, args: readonly unknown[], use: LineUse = {}): Promise<unknown> {
    const { signal } = use;
    signal?.throwIfAborted();
    let cancel = (): void => {};
    try {
      return await new Promise((resolve, reject) => {
        const pending = this.#pend(use, false, (answer) => {
          try {
            resolve(valueIn(answer, pending, this.#firstUntaken));
          } catch (error) {
            reject(error);
          }
        });
        const id = this.#send(pending, call, args, use);
        cancel = () => this.#post(encodeFrame({ id, cancel: true }));
        signal?.addEventListener('abort', cancel, { once: true });
      });
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Calls, and does not look at what comes of it. */
  tell(call: string, args: readonly unknown[]): void {
    if (!this.#ended) this.#post(encodeFrame({ id: this.#nextId++, call, args }));
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Nothing is answered any more. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#takeAll();
    this.#ended = true;
    for (const pending of this.#pending.values()) pending.settle(undefined);
    this.#pending.clear();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#port.close();
  }

  #pend(
    { functions = [] }: LineUse,
    isSync: boolean,
    settle: (answer: Answer | undefined) => void,
  ): Pending {
    return { functions, isSync, settle, thrown: undefined, place: 0 };
  }

  #send(pending: Pending, call: string, args: readonly unknown[], { flags }: LineUse): number {
    if (this.#ended) throw new LineEnded(true);
    const id = this.#nextId++;
    const { functions } = pending;
    const numberOf = (value: AnyFunction): number | undefined => {
      const number = functions.indexOf(value);
      return number < 0 ? undefined : number;
    };
    const now = this.#now?.();
    const request = { id, call, args, ...(now !== undefined && { now }) };
    const frame = encodeFrame(request, flags, { numberOf });
    this.#pending.set(id, pending);
    this.#post(frame);
    pending.place = this.#sent;
    return id;
  }

  #post(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#ended) return;
    this.#sent++;
    this.#port.postMessage(frame, [frame.buffer]);
  }

  #takeAll(): void {
    if (this.#isClosed) return;
    for (let got = receiveMessageOnPort(this.#port); got; got = receiveMessageOnPort(this.#port)) {
      this.#take(got.message as Uint8Array | Taken);
    }
  }

  #take(frame: Uint8Array | Taken): void {
    if ('taken' in frame) {
      this.#firstUntaken = frame.taken + 1;
      return;
    }
    const message = decodeFrame(frame) as Answer | Ask;
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if ('ask' in message) {
      this.#reply(message, pending);
      return;
    }
    this.#pending.delete(message.id);
    pending.settle(message);
  }

  /** Calls a function of the caller. What it throws ends the call. */
  #reply({ id, ask, number, args }: Ask, pending: Pending): void {
    const reply = (value: unknown): void => this.#post(encodeFrame({ id, reply: ask, value }));
    const failed = (error: unknown): void => {
      pending.thrown ??= { error };
      const sent = new FilesystemError('ECANCELED', 'Cannot go on: it was ended by its caller');
      this.#post(encodeFrame({ id, reply: ask, error: sent }));
      this.#post(encodeFrame({ id, cancel: true }));
    };
    try {
      const value = (pending.functions[number] as (...args: readonly unknown[]) => unknown)(
        ...args,
      );
      if (!isPromise(value)) reply(value);
      else if (pending.isSync) throw promiseError();
      else value.then(reply, failed);
    } catch (error) {
      failed(error);
    }
  }
}

/** What came of a call. Without an answer it was not made, if nobody has taken it. */
function valueIn(
  answer: Answer | undefined,
  { thrown, place }: Pending,
  firstUntaken: number,
): unknown {
  if (thrown !== undefined) throw thrown.error;
  if (answer === undefined) throw new LineEnded(place >= firstUntaken);
  if ('error' in answer) throw answer.error;
  return 'made' in answer ? answer.made : answer.value;
}
