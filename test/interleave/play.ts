/**
 * Play: operations side by side on one volume, each completion of the device where it was chosen,
 * and the verdict on what they came to.
 */
import { expect } from 'vitest';
import type { Random } from '../../src/testing/index.ts';
import { Bench } from './bench.ts';
import type { Call } from './choice-device.ts';
import type { Path } from './choices.ts';
import { describeState, digest, type State } from './files.ts';
import { applied, type Event, FAILED, isExplained } from './judge.ts';
import { type FileOperation, failureOf, outcomeOf } from './operations.ts';
import type { Scene } from './scenes.ts';

/** Takes a guard of the engine away. */
export type Harm = (bench: Bench) => void;

export interface PlayOptions {
  readonly scene: Scene;
  readonly operations: readonly FileOperation[];
  readonly path: Path;
  readonly harm?: Harm | undefined;
  /** Whether a call of the device fails, by its number. */
  readonly fails?: ((call: number) => boolean) | undefined;
  /** Draws when a second completion comes in the same turn. */
  readonly bursts?: Random | undefined;
}

/** An operation that was started. */
interface Run {
  readonly operation: FileOperation;
  readonly began: number;
  ended: number;
  outcome: string;
}

export interface Played {
  /** Calls of the device that were completed. */
  readonly calls: number;
  /** Those that failed. */
  readonly faults: number;
  readonly failed: number;
}

/** Plays and judges. Throws if anything is not as it should be. */
export async function play(options: PlayOptions): Promise<Played> {
  const { scene, harm } = options;
  const bench = new Bench(scene.image);
  await scene.prepare(bench);
  harm?.(bench);
  const stage = new Stage(bench, options);
  await stage.perform();
  const { runs, calls, faults } = stage;
  if (faults === 0) expect(bench.latched, 'the volume is read-only').toBe(false);
  // Without a flush there is no other root.
  const durable = bench.device.flushes > 0 ? bench.durable() : scene.durable;
  const after = bench.state();
  const seen = { before: scene.before, durableBefore: scene.durable, after, durable };
  if (!isExplained(runs, seen)) throw new Error(unexplained(runs, scene, after, durable));
  const failed = runs.filter(({ outcome }) => outcome === FAILED);
  if (!bench.latched) await expectSound(bench, after, failed);
  return { calls, faults, failed: failed.length };
}

/** What failed is tried again; everything becomes durable, and is found there by a mount. */
async function expectSound(bench: Bench, after: State, failed: readonly Run[]): Promise<void> {
  let state = after;
  for (const { operation } of failed) {
    const wanted = applied(operation, state);
    const found = await operation.run(bench).then(outcomeOf, failureOf);
    expect(found, `${operation.title}, once more`).toBe(wanted.outcome);
    state = wanted.state;
  }
  bench.volume.syncSync();
  expectSame(bench.state(), state, 'after a commit');
  bench.audit();
  bench.remount();
  expectSame(bench.state(), state, 'after a mount');
  expect(bench.endsClean(state), 'there is nothing behind the end of a file').toBe(true);
}

/** Of so many completions one more comes in the same turn. */
const BURST = 1 / 4;

class Stage {
  readonly runs: Run[] = [];
  calls = 0;
  faults = 0;
  readonly #bench: Bench;
  readonly #options: PlayOptions;

  constructor(bench: Bench, options: PlayOptions) {
    this.#bench = bench;
    this.#options = options;
  }

  /** Starts the operations in their order; the path says what comes when. */
  async perform(): Promise<void> {
    const { device } = this.#bench;
    const { operations, path, bursts } = this.#options;
    device.sync = false;
    for (;;) {
      const next = operations[this.runs.length];
      const groups = groupsOf(device.pending);
      const starts = next === undefined ? 0 : 1;
      if (starts + groups.length === 0) break;
      const choice = path.choose(starts + groups.length);
      device.turn++;
      if (next !== undefined && choice === 0) this.#start(next);
      else this.#complete(groups[choice - starts] as Call[]);
      this.#blame();
      if (bursts?.chance(BURST) && device.pending.length > 0) continue;
      await turn();
      this.#failing = [];
    }
    const waiting = this.runs.filter(({ ended }) => ended === 0);
    if (waiting.length > 0) {
      const titles = waiting.map(({ operation }) => operation.title).join();
      throw new Error(`Nothing is pending any more, and these have not ended: ${titles}`);
    }
    device.sync = true;
  }

  #start(operation: FileOperation): void {
    const bench = this.#bench;
    const run: Run = { operation, began: bench.device.turn, ended: 0, outcome: '' };
    const end = (outcome: string): void => {
      run.ended = bench.device.turn;
      run.outcome = outcome;
    };
    const owner = this.runs.length;
    this.runs.push(run);
    const going =
      this.#options.fails === undefined
        ? operation.run(bench)
        : bench.needs.owning(owner, () => operation.run(bench));
    going
      .then(
        (result) => end(outcomeOf(result)),
        (error) => end(this.#failureOf(error, owner)),
      )
      .catch((error) => end(`broken: ${(error as Error).message}`));
  }

  /** Only who needed what has failed fails with it; and everybody who wants to change something. */
  #failureOf(error: unknown, owner: number): string {
    const outcome = failureOf(error);
    if (this.#bench.latched && (outcome === FAILED || outcome === 'EROFS')) return FAILED;
    if (outcome === FAILED && !this.#blamed.has(owner)) return 'EIO, for no reason';
    return outcome;
  }

  /** Calls that failed in this turn, and who needed any that ever failed. */
  #failing: Call[] = [];
  readonly #blamed = new Set<number>();

  #blame(): void {
    for (const call of this.#failing) {
      for (const owner of this.#bench.needs.waitingFor(call)) this.#blamed.add(owner);
    }
  }

  #complete(calls: readonly Call[]): void {
    const { device } = this.#bench;
    for (const call of calls) {
      const fail = call.kind !== 'pause' && this.#options.fails?.(this.calls) === true;
      if (call.kind !== 'pause') this.calls++;
      if (fail) {
        this.faults++;
        this.#failing.push(call);
      }
      device.complete([call], fail);
    }
  }
}

/**
 * What is completed together: writes of one turn, since whoever asked for them waits for all of
 * them, and nobody reads what is being written. Everything else comes by itself.
 */
function groupsOf(pending: readonly Call[]): Call[][] {
  const groups: Call[][] = [];
  for (const call of pending) {
    const last = groups.at(-1);
    const first = last?.[0];
    const together = first?.kind === 'write' && call.kind === 'write' && first.turn === call.turn;
    if (last !== undefined && together) last.push(call);
    else groups.push([call]);
  }
  return groups;
}

/** Ends when all that follows without the device has happened. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function expectSame(found: State, wanted: State, when: string): void {
  if (digest(found) === digest(wanted)) return;
  expect.unreachable(`${when}:\n${describeState(found)}\nwanted:\n${describeState(wanted)}`);
}

function unexplained(events: readonly Event[], scene: Scene, after: State, durable: State): string {
  const lines = events.map(
    ({ operation, began, ended, outcome }) =>
      `  ${operation.title}: turns ${began} to ${ended}, ${outcome}`,
  );
  return [
    'No order of the operations explains what was seen',
    ...lines,
    `before:\n${describeState(scene.before)}`,
    `after:\n${describeState(after)}`,
    `durable:\n${describeState(durable)}`,
  ].join('\n');
}
