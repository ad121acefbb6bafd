/**
 * History: the same random steps on a model, on a volume by synchronous calls, and on one by
 * promises on a slow device. All three have to come to the same, step by step, and in the end.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import { ModelVolume, Random } from '../../src/testing/index.ts';
import { recount, rootsOf, walkRoot } from '../volume/recount.ts';
import { Bench, type BenchOptions, COMMON } from './bench.ts';
import { draw } from './draw.ts';
import type { Face } from './dump.ts';
import { ModelRunner, type Outcome, type Step, show } from './steps.ts';

/** What is done to a volume between steps. None of it shows. */
const CHORES = ['compare', 'evict', 'reclaim', 'remount'] as const;
type Chore = (typeof CHORES)[number];
type Kind = Step['call'] | Chore;

/** One step to come: its kind, and a seed for the rest, which depends on what is there by then. */
export interface Turn {
  readonly kind: Kind;
  readonly seed: number;
}

export type Weights = Readonly<Partial<Record<Kind, number>>>;

const EVEN: Weights = {
  appendFile: 4,
  chmod: 2,
  clone: 6,
  close: 3,
  compare: 1,
  copyFile: 4,
  cp: 2,
  defrag: 1,
  deleteSnapshot: 1,
  exchange: 4,
  evict: 4,
  fstat: 1,
  fsync: 2,
  ftruncate: 4,
  lchown: 1,
  link: 4,
  linkFile: 3,
  lstat: 2,
  mkdir: 7,
  open: 6,
  range: 8,
  read: 4,
  readFile: 3,
  readdir: 2,
  readlink: 1,
  reclaim: 1,
  remount: 1,
  rename: 8,
  rm: 3,
  rmdir: 1,
  snapshot: 2,
  stat: 2,
  symlink: 3,
  sync: 2,
  tmpfile: 3,
  truncate: 5,
  unlink: 3,
  utimes: 1,
  write: 8,
  writeFile: 10,
};

/** Histories of up to so many turns. */
export function turns(count: number, weights: Weights = {}): fc.Arbitrary<Turn[]> {
  return turnsOf(count, { ...EVEN, ...weights });
}

/** The same of these kinds only. */
export function turnsOf(count: number, weights: Weights): fc.Arbitrary<Turn[]> {
  const kinds = Object.entries(weights) as [Kind, number][];
  const kind = fc.oneof(...kinds.map(([of, weight]) => ({ arbitrary: fc.constant(of), weight })));
  const seed = fc.noShrink(fc.nat());
  return fc.array(fc.record({ kind, seed }), {
    minLength: 1,
    maxLength: count,
    size: 'max',
  });
}

export interface Life extends Omit<BenchOptions, 'now' | 'commitIntervalMs'> {
  /** Which volumes there are beside the model; both if it is left out. */
  readonly faces?: readonly Face[];
  /** Draws the steps; see draw.ts. */
  readonly draw?: typeof draw;
  /** What is there when the history begins. */
  readonly before?: readonly Step[];
  /** Makes a model that is wrong. */
  readonly model?: (now: () => number) => ModelVolume;
  /** Levels that a tree of the image has to have before the history begins. */
  readonly levels?: number;
}

const START = 1_000_000_000_000;

/** One life of a volume, from new to empty again. Throws if anything is not as it should be. */
export async function live(history: readonly Turn[], seed: number, life: Life): Promise<void> {
  const trial = await Trial.begin(seed, life);
  try {
    for (const step of life.before ?? []) await trial.step(step);
    await trial.step({ call: 'sync', args: [] });
    await trial.begun();
    for (const turn of history) await trial.turn(turn);
    await trial.end();
  } catch (error) {
    (error as Error).message += `\nThe last steps were:\n  ${trial.log.slice(-12).join('\n  ')}`;
    throw error;
  }
}

class Trial {
  readonly log: string[] = [];
  readonly #life: Life;
  readonly #model: ModelRunner;
  readonly #benches: readonly Bench[];
  /** Free blocks of each bench when it was new. */
  #free: number[] = [];
  #levels = 0;
  readonly #clock: { ms: number };

  private constructor(life: Life, model: ModelRunner, benches: Bench[], clock: { ms: number }) {
    this.#life = life;
    this.#model = model;
    this.#benches = benches;
    this.#clock = clock;
  }

  static async begin(seed: number, life: Life): Promise<Trial> {
    const random = new Random(seed);
    const clock = { ms: START };
    const now = (): number => clock.ms;
    const model = new ModelRunner(life.model?.(now) ?? new ModelVolume(now));
    const benches: Bench[] = [];
    for (const face of life.faces ?? (['sync', 'promises'] as const)) {
      benches.push(await Bench.make(face, { ...COMMON, ...life, now }, random.fork()));
    }
    const trial = new Trial(life, model, benches, clock);
    for (const bench of benches) trial.#free.push(await freeBlocks(bench));
    clock.ms += 1000;
    return trial;
  }

  async turn({ kind, seed }: Turn): Promise<void> {
    if (isChore(kind)) await this.#chore(kind);
    else await this.step((this.#life.draw ?? draw)(kind, new Random(seed), this.#model));
  }

  /** Everybody takes the step, and has to come to the same. */
  async step(step: Step): Promise<void> {
    this.#clock.ms += 1000;
    const wanted = this.#model.run(step);
    this.log.push(`${shorter(show(step))}: ${shorter(wanted)}`);
    const found: Record<string, Outcome> = {};
    for (const bench of this.#benches) found[bench.face] = await bench.step(step);
    expect(found, show(step)).toEqual(
      Object.fromEntries(this.#benches.map(({ face }) => [face, wanted])),
    );
  }

  async #chore(chore: Chore): Promise<void> {
    this.log.push(chore);
    if (chore === 'compare') return await this.#compare();
    if (chore === 'remount') this.#model.remount();
    for (const bench of this.#benches) await bench[chore]();
  }

  /** What is seen is what the model has, and after a commit every count is right. */
  async #compare(): Promise<void> {
    const wanted = this.#model.model.dump();
    for (const bench of this.#benches) {
      expect(await bench.dump(), `tree by ${bench.face}`).toEqual(wanted);
    }
  }

  async #recount(): Promise<void> {
    for (const { face, image, volume } of this.#benches) {
      expect(volume.inside.store.space.reserved, `reserved by ${face}`).toBe(0);
      expect(recount(image), `counts by ${face}`).toEqual([]);
      const [root] = rootsOf(image);
      if (root !== undefined) {
        this.#levels = Math.max(this.#levels, walkRoot(image, root).levels.length);
      }
    }
  }

  /** Everything is there that the history wants to begin with. */
  async begun(): Promise<void> {
    await this.#recount();
    expect(this.#levels).toBeGreaterThanOrEqual(this.#life.levels ?? 0);
  }

  /** Compares all there is, mounts and compares again, deletes all of it, and wants its space. */
  async end(): Promise<void> {
    await this.#compare();
    await this.step({ call: 'sync', args: [] });
    await this.#recount();
    await this.#chore('remount');
    await this.#compare();
    const { root, snapshots } = this.#model.model;
    for (const name of [...root.entries.keys()]) {
      await this.step({ call: 'rm', args: [`/${name}`, true] });
    }
    for (const name of [...snapshots.keys()]) {
      await this.step({ call: 'deleteSnapshot', args: [name] });
    }
    await this.#compare();
    for (const [i, bench] of this.#benches.entries()) {
      expect(await freeBlocks(bench), `free blocks by ${bench.face}`).toBe(this.#free[i]);
    }
    await this.#recount();
    for (const bench of this.#benches) {
      await bench.close();
      expect(bench.volume.idle).toBe(true);
    }
  }
}

function isChore(kind: Kind): kind is Chore {
  return (CHORES as readonly string[]).includes(kind);
}

/** Blocks that are free once all that was deleted has been given back. */
async function freeBlocks(bench: Bench): Promise<number> {
  await bench.reclaim();
  for (let i = 0; i < 4; i++) await bench.step({ call: 'sync', args: [] });
  const { groups, space } = bench.volume.inside.store;
  expect(space.pending, `blocks that wait, by ${bench.face}`).toBe(0);
  return groups.free;
}

function shorter(text: string): string {
  return text.length > 160 ? `${text.slice(0, 150)}...` : text;
}
