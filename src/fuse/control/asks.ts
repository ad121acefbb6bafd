/**
 * Asks: what stands here for functions and the signal among the arguments of a client's call.
 *
 * To call such a function is to ask the client, and to have a promise of what he replies. He may
 * not reply before it is of no use any more: nobody has to wait for it.
 */
import type { Ask } from './calls.ts';
import type { AnyFunction, Inlets } from './values.ts';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Sender = (ask: Omit<Ask, 'id'>) => void;

export class Asks implements Inlets {
  readonly controller: AbortController = new AbortController();
  readonly #send: Sender;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  /** Functions among the arguments. */
  count = 0;

  constructor(send: Sender = () => {}) {
    this.#send = send;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  functionOf(number: number): AnyFunction {
    this.count++;
    return (...args: unknown[]) => {
      const ask = this.#next++;
      const reply = new Promise((resolve, reject) => {
        this.#waiting.set(ask, { resolve, reject });
      });
      // Whoever reports progress does not look at what comes of it.
      reply.catch(() => {});
      this.#send({ ask, number, args });
      return reply;
    };
  }

  /** The client has replied to a question. */
  reply(ask: unknown, message: object): void {
    const waiting = this.#waiting.get(ask as number);
    this.#waiting.delete(ask as number);
    if (waiting === undefined) return;
    if ('error' in message) waiting.reject(message.error);
    else waiting.resolve('value' in message ? message.value : undefined);
  }

  /** No replies come any more. */
  end(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }
}
