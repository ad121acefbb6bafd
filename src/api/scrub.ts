/**
 * Scrub: the volume's side of an online scrub.
 */
import { argumentError, BLOCK_SIZE } from '../base/index.ts';
import {
  OnlineScrub,
  type ScrubHost,
  type ScrubReport,
  type ScrubRequest,
} from '../check/index.ts';
import { type Device, run } from '../device/index.ts';
import type { Driver } from '../drive/index.ts';
import type { Engine } from '../volume/index.ts';

export interface ScrubOptions extends ScrubRequest {
  /** Bytes to be read in a second, at most. As many as there are if it is left out. */
  readonly bytesPerSecond?: number | undefined;
  /** Whether second copies are put right; false: only tell. Default true if it can be written. */
  readonly repair?: boolean | undefined;
  /** Ends the scrub with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What a scrub is done with. */
export interface ScrubParts {
  readonly engine: Engine;
  readonly driver: Driver;
  readonly device: Device;
  /** Called between two rounds; what it throws ends the scrub. */
  readonly check: () => void;
}

/** @throws {RangeError} if an option is outside its limits */
export async function scrub(parts: ScrubParts, options: ScrubOptions): Promise<ScrubReport> {
  checkOptions(options);
  const scrubbing = new OnlineScrub(new Host(parts, options), options);
  await run(scrubbing.steps());
  return scrubbing.report();
}

function checkOptions({ from = 0, bytesPerSecond = 1, memory = 1 }: ScrubOptions): void {
  if (!(Number.isSafeInteger(from) && from >= 0 && from % BLOCK_SIZE === 0)) {
    throw argumentError(`Cannot scrub from ${from}: wanted a multiple of ${BLOCK_SIZE}`);
  }
  for (const [name, value] of Object.entries({ bytesPerSecond, memory })) {
    if (!(value > 0)) throw argumentError(`Cannot scrub with ${name} ${value}: wanted more than 0`);
  }
}

class Host implements ScrubHost {
  readonly device: Device;
  readonly #parts: ScrubParts;
  readonly #repair: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #rate: number;
  readonly #started = performance.now();
  #read = 0;
  #pin: ReturnType<Engine['store']['space']['pin']> | undefined;

  constructor(parts: ScrubParts, { repair, signal, bytesPerSecond }: ScrubOptions) {
    this.#parts = parts;
    this.#signal = signal;
    this.#rate = bytesPerSecond ?? Infinity;
    this.device = parts.device;
    this.#repair = repair !== false;
  }

  get repair(): boolean {
    const { readOnly, failure } = this.#parts.engine.store;
    return this.#repair && !readOnly && failure === undefined;
  }

  pin(): void {
    this.#pin = this.#parts.engine.store.space.pin();
  }

  isPinned(): boolean {
    return this.#pin?.held === true;
  }

  hold(): boolean {
    return this.#pin?.hold() === true;
  }

  relax(): void {
    this.#pin?.relax();
  }

  unpin(): void {
    this.#pin?.release();
  }

  readonly commits = (): number | undefined => {
    const { store } = this.#parts.engine;
    return store.committing === undefined ? store.txg : undefined;
  };

  async renew(groups: readonly number[]): Promise<void> {
    const { engine, driver } = this.#parts;
    for (const group of groups) engine.store.groups.renew(group);
    const { ring } = engine.store;
    ring.turn();
    while (ring.isTurning) await driver.start(engine.commit());
  }

  failed(error: Error): void {
    this.#parts.engine.store.latch(error);
  }

  async rest(bytes: number): Promise<void> {
    const { driver, check } = this.#parts;
    check();
    this.#signal?.throwIfAborted();
    this.#read += bytes;
    const due = this.#started + (1000 * this.#read) / this.#rate;
    const ms = due - performance.now();
    if (ms < 1) await driver.pause();
    else await this.#sleep(ms);
    check();
    this.#signal?.throwIfAborted();
  }

  /** Sleeps, and looks up now and then: a slow scrub ends as soon as a fast one does. */
  async #sleep(ms: number): Promise<void> {
    const signal = this.#signal;
    for (let left = ms; left > 0 && signal?.aborted !== true; left -= NAP_MS) {
      await new Promise((resolve) => void setTimeout(resolve, Math.min(NAP_MS, left)));
      this.#parts.check();
    }
  }
}

const NAP_MS = 100;
