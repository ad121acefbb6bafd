import { describe, expect, it } from 'vitest';
import { AssertionError } from './assert.ts';
import { PlainIo, Plan, PlannedOperation } from './operation.ts';

/** Plans and applies as it is told, and keeps a record. */
class Scripted extends PlannedOperation<string> {
  readonly log: string[] = [];
  /** What each round of planning does. */
  readonly rounds: ((plan: Plan) => void)[];
  #applied = 0;

  constructor(...rounds: ((plan: Plan) => void)[]) {
    super();
    this.rounds = rounds;
  }

  again(): this {
    this.#applied = 0;
    this.renew();
    return this;
  }

  protected override prepare(plan: Plan): void {
    this.log.push('prepare');
    this.rounds[this.#applied]?.(plan);
  }

  protected override apply(): boolean {
    this.log.push('apply');
    return ++this.#applied < this.rounds.length ? false : this.finish('done');
  }

  protected override release(): void {
    this.log.push('release');
  }
}

const nothing = (): void => {};

describe('Plan', () => {
  it('names each need once in a round', () => {
    const plan = new Plan();
    const io = new PlainIo('flush');
    const other = new Scripted();
    plan.restart();
    expect(plan.ready).toBe(true);
    for (let i = 0; i < 3; i++) {
      plan.need(io);
      plan.follow(other);
    }
    expect([plan.io, plan.after, plan.ready]).toEqual([[io], [other], false]);
  });

  it('starts each round without needs, and with its pins', () => {
    const plan = new Plan();
    const io = new PlainIo('flush');
    plan.restart();
    plan.need(io);
    plan.follow(new Scripted());
    plan.pinned.push(3 as never);
    Object.assign(plan, { pause: true, blocks: 7 });
    plan.restart();
    expect(plan).toMatchObject({ io: [], after: [], blocks: 0, pause: false, pinned: [3] });
    plan.need(io);
    expect(plan.io).toEqual([io]);
  });

  it('may share a transfer with other plans', () => {
    const [one, two] = [new Plan(), new Plan()];
    const io = new PlainIo('flush');
    for (const plan of [one, two]) {
      plan.restart();
      plan.need(io);
      plan.need(io);
    }
    expect([one.io, two.io]).toEqual([[io], [io]]);
  });
});

describe('PlainIo', () => {
  it('is as long as its buffers, if nothing else is said', () => {
    expect(new PlainIo('read', 8, [new Uint8Array(3), new Uint8Array(4)]).length).toBe(7);
    expect(new PlainIo('discard', 8, [], 100).length).toBe(100);
    expect(new PlainIo('flush')).toMatchObject({ position: 0, length: 0 });
  });

  it('has failed, or is finished, and may fail first and succeed later', () => {
    const io = new PlainIo('flush');
    const error = new Error('no');
    io.finish(error);
    expect(io).toMatchObject({ error, finished: false });
    io.finish(undefined);
    expect(io).toMatchObject({ error: undefined, finished: true });
  });
});

describe('PlannedOperation', () => {
  it('plans and applies in one turn if nothing is missing', () => {
    const operation = new Scripted(nothing);
    expect(operation.step()).toBe(true);
    expect(operation).toMatchObject({ done: true, result: 'done' });
    expect(operation.log).toEqual(['prepare', 'apply', 'release']);
  });

  it('plans anew at each step until nothing is missing', () => {
    let missing = 2;
    const operation = new Scripted((plan) => {
      if (missing-- > 0) plan.need(new PlainIo('flush'));
    });
    expect([operation.step(), operation.step(), operation.done]).toEqual([false, false, false]);
    expect(operation.step()).toBe(true);
    expect(operation.log).toEqual(['prepare', 'prepare', 'prepare', 'apply', 'release']);
  });

  it('takes turn after turn, and gives up the last one only where it asks for a pause', () => {
    const pausing = (plan: Plan): void => {
      plan.pause = true;
    };
    const operation = new Scripted(nothing, pausing, nothing);
    expect(operation.step()).toBe(false);
    expect(operation.plan).toMatchObject({ ready: true, pause: true });
    expect(operation.log).toEqual(['prepare', 'apply', 'prepare', 'apply']);
    expect(operation.step()).toBe(true);
  });

  it('ends with the error that planning throws', () => {
    const refusal = new Error('refused');
    const operation = new Scripted(() => {
      throw refusal;
    });
    expect(() => operation.step()).toThrow(refusal);
    expect(operation.done).toBe(true);
    expect(operation.log).toEqual(['prepare', 'release']);
    expect(() => operation.step()).toThrow(refusal);
    expect(operation.log).toEqual(['prepare', 'release']);
  });

  it('is released once, whoever ends it and how often', () => {
    const operation = new Scripted((plan) => plan.need(new PlainIo('flush')));
    operation.step();
    expect(() => operation.fail(new Error('first'))).toThrow('first');
    expect(() => operation.fail(new Error('second'))).toThrow('second');
    expect(() => operation.step()).toThrow('first');
    expect(operation.log).toEqual(['prepare', 'release']);
  });

  it('may come to a part of its result although it failed', () => {
    class Partial extends Scripted {
      override fail(error: Error): void {
        if (this.done) super.fail(error);
        else this.finish('a part');
      }
    }
    const operation = new Partial(() => {
      throw new Error('no more');
    });
    expect(operation.step()).toBe(true);
    expect(operation.result).toBe('a part');
  });

  it('never takes a broken invariant for a part of a result', () => {
    class Partial extends Scripted {
      override fail(error: Error): void {
        if (this.done) super.fail(error);
        else this.finish('a part');
      }
    }
    const operation = new Partial(() => {
      throw new AssertionError('broken');
    });
    expect(() => operation.step()).toThrow(AssertionError);
    expect(() => operation.step()).toThrow('broken');
    expect(operation.log).toEqual(['prepare', 'release']);
  });

  it('can be run again once it has ended, well or not', () => {
    const operation = new Scripted(nothing);
    operation.step();
    expect(operation.again().done).toBe(false);
    expect(operation.step()).toBe(true);
    operation.again().rounds[0] = () => {
      throw new Error('no');
    };
    expect(() => operation.step()).toThrow('no');
    operation.rounds[0] = nothing;
    expect(operation.again().step()).toBe(true);
  });
});
