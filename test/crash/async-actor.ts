/**
 * Actor: one of several that use a volume at once. It draws what it does, waits for it, and tells
 * the life what has been acknowledged.
 */
import type { PromisesFs, Volume, WritableFileView } from '../../src/api/index.ts';
import { errorCode } from '../../src/base/index.ts';
import type { ModelVolume, Random } from '../../src/testing/index.ts';
import type { ModelNode } from '../../src/testing/model-node.ts';
import type { Stores } from './async-stores.ts';

/** What an actor has of the life in which it takes part. */
export interface Stage {
  readonly volume: Volume;
  readonly model: ModelVolume;
  readonly stores: Stores;
  /** The state that there is now. */
  readonly state: number;
  /** A number that no write has had. */
  nextStamp(): number;
  /** The state that has all of a write of these bytes; undefined if it was not told. */
  landed(bytes: Uint8Array): number | undefined;
  nodeOf(fd: number): ModelNode;
  /** All that was done by `state` is durable, or of files only `file`. */
  acknowledge(state: number, file: ModelNode | undefined): void;
  /** Lets simulated time pass. */
  rest(): Promise<void>;
  note(line: string): void;
}

/** What may be answered to one who does not know what the others do. */
const REFUSALS: ReadonlySet<string> = new Set([
  'EBUSY',
  'EEXIST',
  'EINVAL',
  'EISDIR',
  'ENOENT',
  'ENOTDIR',
  'ENOTEMPTY',
  'EPERM',
  'EXDEV',
]);

type FileHandle = Awaited<ReturnType<PromisesFs['open']>>;

export interface OpenFile {
  readonly handle: FileHandle;
  readonly path: string;
  readonly node: ModelNode;
  readonly synchronous: boolean;
  readonly views: WritableFileView[];
}

export interface Step {
  readonly weight: number;
  readonly run: (actor: Actor) => Promise<void>;
}

/** What the actors of a life have in common. Lives differ in it, so that each has its own bugs. */
export interface Habits {
  /** How often a step is drawn, by comparison. */
  readonly steps: readonly Step[];
  /** How often one rests between two steps. */
  readonly rests: number;
  /** How often a file is the one that all know. */
  readonly crowd: number;
  /** How often a write has many blocks: too many for the log. */
  readonly large: number;
}

export function drawHabits(random: Random, steps: readonly Step[]): Habits {
  return {
    steps: steps.map((step) => {
      const factor = step.weight >= OFTEN ? random.pick([1, 2]) : random.pick([0, 0, 1, 3]);
      return { ...step, weight: step.weight * factor };
    }),
    rests: random.pick([0, 1 / 3, 1 / 2]),
    crowd: random.pick([0, 1 / 2, 7 / 8]),
    large: random.pick([0, 1 / 4, 3 / 4]),
  };
}

/** Steps of this weight are drawn in each life. */
const OFTEN = 12;

export class Actor {
  readonly name: string;
  readonly stage: Stage;
  readonly random: Random;
  readonly files: OpenFile[] = [];
  /** What it waits for. */
  doing: string | undefined;
  done = 0;
  refused = 0;

  readonly habits: Habits;

  constructor(name: string, stage: Stage, habits: Habits, random: Random) {
    this.name = name;
    this.habits = habits;
    this.stage = stage;
    this.random = random;
  }

  async run(count: number): Promise<void> {
    for (; this.done < count; this.done++) {
      await this.#try(this.#draw());
      while (this.random.chance(this.habits.rests)) await this.stage.rest();
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.files) await handle.close();
  }

  /** Waits for a call, and says so. */
  async wait<Result>(doing: string, call: (volume: Volume) => Promise<Result>): Promise<Result> {
    this.doing = doing;
    this.stage.note(`${this.name} begins: ${doing}`);
    const result = await call(this.stage.volume);
    this.stage.note(`${this.name} ends: ${doing}`);
    this.doing = undefined;
    return result;
  }

  /** One of the open files. */
  get file(): OpenFile | undefined {
    return this.files.length === 0 ? undefined : this.random.pick(this.files);
  }

  async #try(step: Step): Promise<void> {
    try {
      await step.run(this);
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined || !REFUSALS.has(code)) throw error;
      this.refused++;
      this.stage.note(`${this.name}: ${this.doing}: ${code}`);
      this.doing = undefined;
    }
  }

  #draw(): Step {
    const { steps } = this.habits;
    let left = this.random.below(steps.reduce((sum, { weight }) => sum + weight, 0));
    for (const step of steps) {
      if (left < step.weight) return step;
      left -= step.weight;
    }
    return steps[0] as Step;
  }
}
