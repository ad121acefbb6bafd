/**
 * Random histories of a small cache, beside a model of what each frame must be. The cache chooses
 * what it evicts; the model says what it may, counts what is busy, and knows every byte.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, type Block, type Frame, type Io, NO_FRAME, Plan } from '../base/index.ts';
import { BlockCache, LoadFlag } from './block-cache.ts';

const FRAMES = 64;
const BLOCKS = 100;
const PLANS = 3;
const KIND = { name: 'test block' };

type State = 'held' | 'loading' | 'clean' | 'dirty' | 'stale';

interface Entry {
  state: State;
  /** Undefined if it is held or stale. */
  block: Block | undefined;
  /** Plans that have it pinned. */
  readonly pins: Set<number>;
  /** What its bytes are; undefined while they are not known. */
  mark: number | undefined;
}

const block = fc.nat(BLOCKS - 1).map((n) => n as Block);
const which = fc.nat(1000);
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('want'), plan: fc.nat(PLANS - 1), block }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('load', 'fail'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unpin'), plan: fc.nat(PLANS - 1) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('take', 'give', 'clean'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('adopt', 'move'), which, block }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('create', 'forget'), block }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fill'), block, count: fc.nat(FRAMES) }) },
) as fc.Arbitrary<Command>;

interface Command {
  readonly do:
    | ('want' | 'load' | 'fail' | 'unpin' | 'fill' | 'take' | 'create' | 'forget')
    | ('give' | 'adopt' | 'clean' | 'move');
  readonly plan: number;
  readonly block: Block;
  readonly which: number;
  readonly count: number;
}

class Model {
  readonly cache = new BlockCache({ capacity: FRAMES * BLOCK_SIZE, seed: 1n });
  readonly entries = new Map<Frame, Entry>();
  readonly plans = Array.from({ length: PLANS }, () => new Plan());
  readonly loads = new Map<Frame, Io>();
  #marks = 0;

  get busy(): number {
    return [...this.entries.values()].filter((it) => it.state !== 'clean' || it.pins.size > 0)
      .length;
  }

  frameOf(wanted: Block): Frame | undefined {
    return [...this.entries].find(([, it]) => it.block === wanted)?.[0];
  }

  /** One of the frames in a state. */
  #some(state: State, which: number): Frame | undefined {
    const frames = [...this.entries].filter(([, it]) => it.state === state).map(([frame]) => frame);
    return frames[which % frames.length];
  }

  /** The cache hands a frame out: one that was free, or clean and in nobody's hands. */
  taken(frame: Frame, state: State, of?: Block): Entry {
    const before = this.entries.get(frame);
    if (before !== undefined && (before.state !== 'clean' || before.pins.size > 0)) {
      expect.unreachable(`frame ${frame} is taken while it is ${before.state}`);
    }
    const entry: Entry = { state, block: of, pins: new Set(), mark: undefined };
    this.entries.set(frame, entry);
    return entry;
  }

  mark(frame: Frame): void {
    const entry = this.entries.get(frame) as Entry;
    entry.mark = ++this.#marks;
    this.cache.view(frame).fill(entry.mark & 255);
  }

  /** What the cache must do with the frame of a block that is forgotten. */
  forget(of: Block): void {
    const frame = this.frameOf(of);
    const entry = frame === undefined ? undefined : this.entries.get(frame);
    if (frame === undefined || entry === undefined) return;
    if (entry.pins.size === 0) this.entries.delete(frame);
    entry.state = 'stale';
    entry.block = undefined;
  }

  run(command: Command): void {
    // A new round of planning: what was found in the one before may be evicted.
    new Plan().restart();
    const { plan, block, which, count } = command;
    const doing: Record<Command['do'], () => void> = {
      want: () => this.#want(plan, block),
      load: () => this.#load(which, undefined),
      fail: () => this.#load(which, new Error('no')),
      unpin: () => this.#unpin(plan),
      fill: () => this.#fill(block, count),
      take: () => this.#take(),
      create: () => this.#create(block),
      forget: () => this.#forget(block),
      give: () => this.#change(command, this.#some('held', which)),
      adopt: () => this.#change(command, this.#some('held', which)),
      clean: () => this.#change(command, this.#some('dirty', which)),
      move: () => this.#change(command, this.#some('clean', which)),
    };
    doing[command.do]();
  }

  #want(number: number, of: Block): void {
    const { cache } = this;
    const plan = this.plans[number] as Plan;
    plan.restart();
    const frame = this.frameOf(of);
    const entry = frame === undefined ? undefined : (this.entries.get(frame) as Entry);
    const tooMany = plan.pinned.length >= FRAMES / 2 || cache.available === 0;
    if (entry === undefined && tooMany) return;
    const found = cache.want(plan, of, 0, LoadFlag.UNVERIFIED, KIND);
    if (entry !== undefined && entry.state !== 'loading') {
      expect(found).toBe(frame);
      return;
    }
    expect(found).toBe(NO_FRAME);
    const pinned = frame ?? (plan.pinned.at(-1) as Frame);
    const loading = entry ?? this.taken(pinned, 'loading', of);
    loading.pins.add(number);
    this.loads.set(pinned, plan.io[0] as Io);
  }

  #load(which: number, error: Error | undefined): void {
    const [frame, io] = [...this.loads][which % this.loads.size] ?? [];
    if (frame === undefined || io === undefined) return;
    const entry = this.entries.get(frame) as Entry;
    this.loads.delete(frame);
    this.mark(frame);
    if (error !== undefined) this.forget(entry.block as Block);
    else entry.state = 'clean';
    io.finish(error);
  }

  /** An operation ends only when nothing that it waits for is in flight. */
  #unpin(number: number): void {
    const mine = [...this.entries].filter(([, it]) => it.pins.has(number));
    if (mine.some(([, it]) => it.state === 'loading')) return;
    for (const [frame, entry] of mine) {
      entry.pins.delete(number);
      if (entry.state === 'stale' && entry.pins.size === 0) this.entries.delete(frame);
    }
    this.cache.unpin(this.plans[number] as Plan);
  }

  /** Loads blocks in a row, so that others have to go. */
  #fill(from: Block, count: number): void {
    for (let n = from; n < Math.min(BLOCKS, from + count); n++) this.#want(0, n as Block);
    while (this.loads.size > 0) this.#load(0, undefined);
    this.#unpin(0);
  }

  #forget(of: Block): void {
    if (this.cache.isLoading(of)) return;
    this.forget(of);
    this.cache.forget(of);
  }

  #take(): void {
    if (this.cache.available === 0) return;
    const frame = this.cache.take();
    this.taken(frame, 'held');
    this.mark(frame);
  }

  #create(of: Block): void {
    if (this.cache.isLoading(of) || this.cache.available === 0) return;
    this.forget(of);
    const frame = this.cache.create(of);
    this.taken(frame, 'dirty', of);
    this.mark(frame);
  }

  /** What is done with a frame that somebody has. */
  #change({ do: what, block: to }: Command, frame: Frame | undefined): void {
    const { cache } = this;
    if (frame === undefined) return;
    const entry = this.entries.get(frame) as Entry;
    if (what === 'give') {
      this.entries.delete(frame);
      cache.give(frame);
    } else if (what === 'clean') {
      entry.state = 'clean';
      cache.clean(frame);
    } else if (!cache.isLoading(to) && entry.block !== to) {
      const may = what === 'adopt' || entry.pins.size === 0;
      if (may) {
        this.forget(to);
        Object.assign(entry, { block: to, state: what === 'adopt' ? 'clean' : 'dirty' });
      }
      if (what === 'adopt') cache.adopt(frame, to);
      else expect(cache.move(frame, to)).toBe(may);
    }
  }

  check(): void {
    const { cache } = this;
    new Plan().restart();
    expect([cache.busy, cache.available]).toEqual([this.busy, FRAMES - this.busy]);
    const frames = new Map([...this.entries].map(([frame, { block }]) => [block, frame]));
    for (let n = 0; n < BLOCKS; n++) this.#checkBlock(n as Block, frames.get(n as Block));
    for (const [frame, { mark }] of this.entries) {
      const bytes = [cache.view(frame)[0], cache.view(frame)[BLOCK_SIZE - 1]];
      const same = mark === undefined || bytes.every((byte) => byte === (mark & 255));
      if (!same) expect.unreachable(`frame ${frame} was changed`);
    }
  }

  #checkBlock(of: Block, frame: Frame = NO_FRAME): void {
    const { cache } = this;
    const state = this.entries.get(frame)?.state;
    const found = cache.find(of);
    const right =
      found === (state === 'loading' ? NO_FRAME : frame) &&
      cache.isLoading(of) === (state === 'loading') &&
      (found === NO_FRAME || cache.isDirty(found) === (state === 'dirty'));
    if (!right) expect.unreachable(`block ${of} is ${state} and was found in frame ${found}`);
  }
}

describe('BlockCache and a model of its frames', () => {
  it('agree on every block and byte, and on how many frames are busy (C1 to C3)', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40, size: 'max' }), (commands) => {
        const model = new Model();
        for (const each of commands) {
          model.run(each);
          model.check();
        }
      }),
    );
  });
});
