/**
 * Clock: what a thread that serves a mount cannot do itself, done beside it now and then.
 */
import type { Notifier } from './notify.ts';
import { PENDING, PRUNE_AT, PRUNE_COUNT } from './upkeep.ts';

/** How often the thread that serves is looked after. */
const WAKE_MS = 200;

export interface ClockOptions {
  readonly notifier: Notifier;
  /** See upkeep.ts. */
  readonly shared: Int32Array;
  /** Lets the thread that serves look at the clock; it has something to do that nobody asks for. */
  readonly wake: () => void;
}

/** Begins; what is returned ends it. */
export function startClock({ notifier, shared, wake }: ClockOptions): () => void {
  let pruning = false;
  const pruned = (): void => {
    pruning = false;
  };
  const timer = setInterval(() => {
    if (pruning) return;
    if (Atomics.load(shared, PRUNE_COUNT) > 0) {
      pruning = true;
      void prune(notifier, shared).then(pruned, pruned);
    } else if (Atomics.load(shared, PENDING) !== 0) wake();
  }, WAKE_MS);
  return () => clearInterval(timer);
}

/** Asks the kernel to forget the nodes that the worker has named. */
async function prune(notifier: Notifier, shared: Int32Array): Promise<void> {
  try {
    const count = Atomics.load(shared, PRUNE_COUNT);
    await notifier.prune(shared.subarray(PRUNE_AT, PRUNE_AT + count));
  } finally {
    Atomics.store(shared, PRUNE_COUNT, 0);
  }
}
