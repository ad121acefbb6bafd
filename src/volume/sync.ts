/**
 * Sync: makes everything done so far durable, and with it what is stored in views.
 *
 * A commit by itself leaves views alone. It is what others wait for when they find no space, a copy
 * out among them, and whoever has locked the range that a copy out wants.
 */
import { type Operation, type Plan, PlannedOperation, type Txg } from '../base/index.ts';
import type { Engine } from './engine.ts';

export class Sync extends PlannedOperation<Txg> {
  readonly #engine: Engine;
  #commit: Operation<Txg> | undefined;

  constructor(engine: Engine) {
    super();
    this.#engine = engine;
  }

  protected override prepare(plan: Plan): void {
    const { store, pool } = this.#engine;
    if (store.failure !== undefined) throw store.failure;
    if (this.#commit === undefined) {
      if (!pool.settled(plan)) return;
      this.#commit = this.#engine.commit();
    }
    if (!this.#commit.done) plan.follow(this.#commit);
  }

  protected override apply(): boolean {
    const commit = this.#commit as Operation<Txg>;
    // Of one that has failed, whoever waited for it, this throws why.
    commit.step();
    return this.finish(commit.result);
  }
}
