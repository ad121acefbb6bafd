/**
 * Background: what happens by itself while a volume is open.
 *
 * Changes become durable after a while, and what deleting left in the reclaim queue is worked off,
 * a slice at a time. Neither keeps a process alive. A failure stays in the volume, which is
 * read-only from then on; the next call that wants to change something tells it.
 */
import type { Driver } from '../drive/index.ts';
import { type Engine, Sync } from '../volume/index.ts';

export class Background {
  readonly #engine: Engine;
  readonly #driver: Driver;
  readonly #timer: ReturnType<typeof setInterval>;
  #busy = false;
  #stopped = false;

  constructor(engine: Engine, driver: Driver, intervalMs: number) {
    this.#engine = engine;
    this.#driver = driver;
    this.#timer = setInterval(() => void this.#tick(), intervalMs);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #tick(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      if (this.#engine.hasChanges) await this.#driver.start(new Sync(this.#engine));
      await this.#reclaim();
    } catch {
      // The store has latched the cause.
    } finally {
      this.#busy = false;
    }
  }

  async #reclaim(): Promise<void> {
    for (let work = this.#engine.reclaim(); work !== undefined; work = this.#engine.reclaim()) {
      if (this.#stopped) return;
      await this.#driver.start(work);
      await this.#driver.pause();
    }
  }
}
