/**
 * Between: what a thread that blocks does between two requests of the kernel.
 */
import { Opcode } from './constants.ts';
import type { Desk } from './control/desk.ts';
import type { Message } from './message.ts';
import { ASKED, REQUESTS, STOP, type Upkeep } from './upkeep.ts';

export class Between {
  readonly #message: Message;
  readonly #upkeep: Upkeep;
  readonly #desk: Desk | undefined;
  readonly #shared: Int32Array;
  /** Requests but for those that wake this thread; and how many there were at the last turn. */
  #requests = 0;
  #atTurn = 0;

  constructor(message: Message, upkeep: Upkeep, desk: Desk | undefined, shared: Int32Array) {
    this.#message = message;
    this.#upkeep = upkeep;
    this.#desk = desk;
    this.#shared = shared;
  }

  /** Nothing more is to be served. */
  get isStopped(): boolean {
    return Atomics.load(this.#shared, STOP) !== 0;
  }

  /** After each request: a promise if others have to have their turn, `'stop'` at the end. */
  readonly requests = (): Promise<void> | 'stop' | undefined => {
    const { opcode } = this.#message;
    const woken = opcode === Opcode.NOTIFY_REPLY || opcode === Opcode.STATFS;
    Atomics.add(this.#shared, REQUESTS, 1);
    if (this.isStopped) return 'stop';
    if (!woken) this.#requests++;
    const desk = this.#desk;
    if (desk === undefined || Atomics.load(this.#shared, ASKED) === 0) {
      this.#upkeep.after(woken);
      return undefined;
    }
    Atomics.store(this.#shared, ASKED, 0);
    const isQuiet = this.#requests === this.#atTurn;
    this.#atTurn = this.#requests;
    const turn = desk.turn(isQuiet);
    if (turn !== undefined) return turn.then(() => this.#upkeep.worked());
    // Who watches keeps nothing from becoming durable, however often he looks (U1).
    if (desk.onlyWatched) this.#upkeep.after(true);
    else this.#upkeep.worked();
    return undefined;
  };
}
