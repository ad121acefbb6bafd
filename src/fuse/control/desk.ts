/**
 * Desk: where clients of the socket have their turn at the volume, between requests of the kernel.
 *
 * D1. A turn is taken when the other thread has said that there is something, and while calls are
 *     under way that take their time. Calls that end at once end in it.
 * D2. Of calls that take their time a turn does a slice; then the kernel's requests have theirs. If
 *     there were some since the last turn, the slice is one round of the event loop.
 * D3. What a turn has made stale is told with its answers: the other thread tells the kernel first.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { ServedVolume } from '../../api/node/index.ts';
import type { NodeTable } from '../node-table.ts';
import type { RequestCounts } from '../request-counts.ts';
import { Guest } from './guest.ts';
import { reportOf } from './report.ts';
import { type Stale, StaleWatch } from './stale.ts';

/** To the thread that has the volume. */
export type ToDesk =
  | { readonly type: 'frame'; readonly client: number; readonly frame: Uint8Array<ArrayBuffer> }
  | { readonly type: 'gone'; readonly client: number };

export interface Reply {
  readonly client: number;
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly isProgress: boolean;
}

/** From it: what came of a turn. */
export interface FromDesk {
  /** The client of each message that was taken. */
  readonly taken: readonly number[];
  readonly replies: readonly Reply[];
  readonly stale: Stale;
  /** When there has to be another turn: at once, in a while, or only if there is something. */
  readonly again: 'now' | 'soon' | 'never';
}

/** What is served beside clients: the kernel's requests, or what stands for them. */
export interface Watched {
  readonly served: { readonly nodes: NodeTable; readonly isShutDown?: boolean };
  readonly counts: RequestCounts;
}

const SLICE_MS = 5;
/** A round of the event loop that is shorter has done nothing: calls wait for the clock. */
const IDLE_MS = 0.05;

export class Desk {
  readonly #served: ServedVolume;
  readonly #watched: Watched;
  readonly #port: MessagePort;
  readonly #watch: StaleWatch;
  readonly #guests = new Map<number, Guest>();
  #replies: Reply[] = [];
  #taken: number[] = [];
  #onlyWatched = false;
  #reports = 0;

  constructor(volume: ServedVolume, watched: Watched, port: MessagePort) {
    this.#served = volume;
    this.#watched = watched;
    this.#port = port;
    const { engine, driver } = volume.parts;
    this.#watch = new StaleWatch(engine, watched.served.nodes, driver);
  }

  /** True if there are calls that take their time. */
  get isBusy(): boolean {
    for (const { jobs } of this.#guests.values()) if (jobs > 0) return true;
    return false;
  }

  /** In the last turn clients asked for nothing but how the mount is doing. */
  get onlyWatched(): boolean {
    return this.#onlyWatched && !this.isBusy;
  }

  /** Clients have their turn. A promise, if it goes on beyond this turn of the event loop. */
  turn(isQuiet: boolean): Promise<void> | undefined {
    this.#watch.during(() => this.#takeAll());
    if (this.isBusy) return this.#slice(isQuiet ? SLICE_MS : 0);
    this.#tell('never');
    return undefined;
  }

  /** Nothing is served any more: all clients go, and what they have under way is ended. */
  async end(): Promise<void> {
    for (const guest of this.#guests.values()) guest.leave();
    while (this.isBusy) await new Promise((resolve) => void setTimeout(resolve, 1));
    this.#port.close();
  }

  #takeAll(): void {
    let messages = 0;
    this.#reports = 0;
    for (let got = receiveMessageOnPort(this.#port); got; got = receiveMessageOnPort(this.#port)) {
      const message = got.message as ToDesk;
      messages++;
      const { client } = message;
      if (message.type === 'gone') {
        this.#guests.get(client)?.leave();
        this.#forget(client);
      } else {
        this.#taken.push(client);
        this.#guest(client).take(message.frame);
      }
    }
    this.#onlyWatched = messages > 0 && messages === this.#reports;
  }

  #guest(client: number): Guest {
    let guest = this.#guests.get(client);
    if (guest === undefined) {
      const send = (frame: Uint8Array<ArrayBuffer>, isProgress: boolean): void => {
        this.#replies.push({ client, frame, isProgress });
      };
      guest = new Guest({
        served: this.#served,
        send,
        report: () => {
          this.#reports++;
          return reportOf(this.#served.parts.engine, this.#watched.counts);
        },
        isShutDown: () => this.#watched.served.isShutDown === true,
        ended: () => this.#forget(client),
      });
      this.#guests.set(client, guest);
    }
    return guest;
  }

  /** Nothing of a client is kept once it has gone, and its calls have ended. */
  #forget(client: number): void {
    const guest = this.#guests.get(client);
    if (guest?.isGone === true && guest.jobs === 0) this.#guests.delete(client);
  }

  async #slice(ms: number): Promise<void> {
    const end = performance.now() + ms;
    let again: FromDesk['again'] = 'now';
    this.#watch.begin();
    for (;;) {
      const start = performance.now();
      await new Promise((resolve) => void setImmediate(resolve));
      const now = performance.now();
      if (!this.isBusy) again = 'never';
      else if (now - start < IDLE_MS) again = 'soon';
      else if (now < end) continue;
      break;
    }
    this.#watch.end();
    this.#tell(again);
  }

  #tell(again: FromDesk['again']): void {
    const [taken, replies] = [this.#taken, this.#replies];
    const stale = this.#watch.take();
    this.#taken = [];
    this.#replies = [];
    const count = taken.length + replies.length + stale.names.length + stale.nodes.length;
    if (count === 0 && again === 'never') return;
    this.#port.postMessage(
      { taken, replies, stale, again } satisfies FromDesk,
      replies.map(({ frame }) => frame.buffer),
    );
  }
}
