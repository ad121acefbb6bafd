/**
 * Needs: who waits for a call of the device, be it for the sake of another operation.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Operation } from '../../src/base/index.ts';
import type { Driver } from '../../src/drive/index.ts';
import type { Call } from './choice-device.ts';

type AnyOperation = Operation<unknown>;

/** Who has started what runs: one store for all, since each makes every promise slower. */
const OWNER = new AsyncLocalStorage<number>();

export class Needs {
  /** Operations of the engine, with the number of the call that has started them. */
  readonly #started = new Map<AnyOperation, number>();

  /** From now on remembers what a driver starts. */
  watch(driver: Driver): void {
    const start = driver.start.bind(driver);
    driver.start = (operation, options) => {
      const owner = OWNER.getStore();
      if (owner !== undefined) this.#started.set(operation, owner);
      return start(operation, options);
    };
  }

  /** Runs `body`; what it starts, now or later, is for the call with this number. */
  owning<Result>(owner: number, body: () => Result): Result {
    return OWNER.run(owner, body);
  }

  /** Numbers of the calls that cannot go on without this one. */
  waitingFor(call: Call): Set<number> {
    const waiting = new Set<number>();
    for (const [operation, owner] of this.#started) {
      if (reaches(operation, call, new Set())) waiting.add(owner);
    }
    return waiting;
  }
}

function reaches(operation: AnyOperation, call: Call, seen: Set<AnyOperation>): boolean {
  if (operation.done || seen.has(operation)) return false;
  seen.add(operation);
  const { io, after } = operation.plan;
  const end = call.position + call.length;
  const own = io.some(
    ({ kind, position, length }) =>
      kind === call.kind && position <= end && position + length >= call.position,
  );
  return own || after.some((other) => reaches(other, call, seen));
}
