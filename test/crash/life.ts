/**
 * Life: random calls on a volume and on a model, on a device that remembers everything.
 *
 * It keeps what has to be known to judge a power cut at any of the device's calls: the states that
 * there had been by then, and what had been acknowledged.
 */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { ModelVolume, type Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { draw } from '../api/draw.ts';
import { ModelRunner, type Step, show, VolumeRunner } from '../api/steps.ts';
import { TapeDevice } from '../store/tape.ts';
import { type Ack, States } from './states.ts';

export type Weights = Readonly<Partial<Record<Step['call'], number>>>;

export const WEIGHTS: Weights = {
  appendFile: 6,
  chmod: 2,
  clone: 5,
  close: 3,
  copyFile: 3,
  defrag: 1,
  deleteSnapshot: 1,
  exchange: 5,
  fsync: 14,
  ftruncate: 4,
  link: 4,
  linkFile: 5,
  mkdir: 5,
  open: 8,
  range: 8,
  rename: 8,
  rm: 2,
  rmdir: 1,
  snapshot: 1,
  symlink: 2,
  sync: 1,
  tmpfile: 6,
  truncate: 4,
  unlink: 3,
  utimes: 2,
  write: 12,
  writeFile: 6,
};

export interface LifeOptions extends VolumeOptions {
  readonly size: number;
  readonly weights?: Weights;
  /** Draws the steps; see draw.ts. */
  readonly draw?: typeof draw;
  /** All files are overwritten in place, and what is deleted is given back at once. */
  readonly inplace?: boolean;
  /** A step that finds no room ends the life: what it has done till then is not known. */
  readonly mayBeFull?: boolean;
}

const GIVES_BACK: ReadonlySet<Step['call']> = new Set(['deleteSnapshot', 'rm', 'unlink']);

const START = 1_000_000_000_000;

interface Acknowledged extends Ack {
  /** Calls of the device by then. */
  readonly calls: number;
}

/** The end of a step: calls of the device, and the last state. */
interface Mark {
  readonly calls: number;
  readonly state: number;
}

export class Life {
  readonly tape: TapeDevice;
  readonly states: States;
  readonly options: VolumeOptions;
  readonly #random: Random;
  readonly #weights: [Step['call'], number][];
  readonly #model: ModelRunner;
  readonly #volume: Volume;
  readonly #runner: VolumeRunner;
  readonly #acks: Acknowledged[] = [];
  readonly #marks: Mark[] = [];
  readonly #log: { readonly calls: number; readonly line: string }[] = [];
  readonly #mayBeFull: boolean;
  readonly #inplace: boolean;
  readonly #drawStep: typeof draw;
  #now = START;
  #over = false;

  constructor(random: Random, { size, weights, mayBeFull, inplace, ...others }: LifeOptions) {
    const { draw: drawStep = draw, ...options } = others;
    this.#drawStep = drawStep;
    this.#inplace = inplace === true;
    this.states = new States(this.#inplace);
    this.#mayBeFull = mayBeFull === true;
    this.#random = random;
    this.#weights = Object.entries(weights ?? WEIGHTS) as [Step['call'], number][];
    const now = (): number => this.#now;
    this.options = { cacheBytes: 4 * MIB, ...COMMON, ...options, now };
    this.tape = new TapeDevice(new Uint8Array(size));
    this.#model = new ModelRunner(new ModelVolume(now));
    this.#volume = Volume.openSync(this.tape, { ...this.options, create: true });
    this.#runner = new VolumeRunner(this.#volume, 'sync');
    if (this.#inplace) {
      this.#volume.setInplaceSync('/', true);
      this.#volume.syncSync();
    }
    this.tape.rewind();
    this.states.capture(this.#model.model);
    this.#acks.push({ calls: 0, state: 0, file: undefined });
    this.#model.model.onChange = () => this.states.capture(this.#model.model);
  }

  run(steps: number): void {
    for (let i = 0; i < steps && !this.#over; i++) this.step(this.#draw());
  }

  step(step: Step): void {
    this.#now += 1000;
    const handle = step.call === 'fsync' ? this.#model.open.get(step.args[0] as number) : undefined;
    const wanted = this.#model.run(step);
    const found = this.#runner.run(step);
    this.#over = this.#mayBeFull && found === 'ENOSPC';
    if (!this.#over) expect(found, show(step)).toBe(wanted);
    if (this.#inplace && GIVES_BACK.has(step.call)) this.#volume.reclaimSync();
    const calls = this.tape.calls.length;
    const said = `${show(step).slice(0, 100)}: ${wanted.slice(0, 40)}`;
    this.#log.push({ calls, line: `${said} (call ${calls}, state ${this.states.last})` });
    this.#marks.push({ calls, state: this.states.last });
    const ack = { calls, state: this.states.last };
    if (step.call === 'sync') this.#acks.push({ ...ack, file: undefined });
    else if (handle !== undefined) this.#acks.push({ ...ack, file: handle.node });
  }

  /** What a cut after so many calls must not lose, and the last state that it may show. */
  promises(calls: number): { acks: Ack[]; upper: number } {
    const acks = this.#acks.filter((ack) => ack.calls <= calls);
    // The call that was cut off belongs to the step that ends with or after it.
    const mark = this.#marks.find((each) => each.calls > calls) ?? this.#marks.at(-1);
    return { acks, upper: mark?.state ?? 0 };
  }

  /** The last steps before a call, and the one in which it was made. */
  story(calls: number): string {
    const until = this.#log.findIndex((each) => each.calls > calls);
    const end = until < 0 ? this.#log.length : until + 1;
    const lines = this.#log.slice(Math.max(0, end - 14), end).map(({ line }) => line);
    return `Cut after call ${calls}; the last steps were:\n  ${lines.join('\n  ')}`;
  }

  #draw(): Step {
    const total = this.#weights.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.#random.below(total);
    for (const [call, weight] of this.#weights) {
      if (left < weight) return this.#drawStep(call, this.#random.fork(), this.#model);
      left -= weight;
    }
    return { call: 'sync', args: [] };
  }
}
