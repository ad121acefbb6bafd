import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Operation, Plan, PlannedOperation } from '../base/index.ts';
import { type LockRange, RangeLock } from './range-lock.ts';

class Somebody extends PlannedOperation<void> {
  protected override prepare(): void {}
  protected override apply(): boolean {
    return this.finish(undefined);
  }
}

const exclusive = (start: number, end: number): LockRange => ({ start, end, exclusive: true });
const shared = (start: number, end: number): LockRange => ({ start, end, exclusive: false });

/** Who is in the way of `owner`, if he asks for `range`; undefined if he holds it now. */
function asking(lock: RangeLock, owner: Operation<unknown>, range: LockRange): unknown {
  const plan = new Plan();
  const held = lock.acquire(owner, range, plan);
  expect(held).toBe(plan.after.length === 0);
  return plan.after[0];
}

/** The same for somebody who needs the range in this turn only. */
function passing(lock: RangeLock, owner: Operation<unknown>, range: LockRange): unknown {
  const plan = new Plan();
  expect(lock.free(owner, range, plan)).toBe(plan.after.length === 0);
  return plan.after[0];
}

describe('RangeLock', () => {
  const [a, b, c] = [new Somebody(), new Somebody(), new Somebody()];

  it('lets ranges that do not touch be held at once', () => {
    const lock = new RangeLock();
    expect(asking(lock, a, exclusive(0, 10))).toBeUndefined();
    expect(asking(lock, b, exclusive(10, 20))).toBeUndefined();
    expect(asking(lock, c, exclusive(20, Infinity))).toBeUndefined();
  });

  it('lets shared ranges overlap, and an exclusive one wait for them', () => {
    const lock = new RangeLock();
    expect(asking(lock, a, shared(0, 10))).toBeUndefined();
    expect(asking(lock, b, shared(5, 15))).toBeUndefined();
    expect(asking(lock, c, exclusive(9, 11))).toBe(a);
    lock.release(a);
    expect(asking(lock, c, exclusive(9, 11))).toBe(b);
    lock.release(b);
    expect(asking(lock, c, exclusive(9, 11))).toBeUndefined();
  });

  it('lets nobody pass a waiter in whose way he would be', () => {
    const lock = new RangeLock();
    asking(lock, a, shared(0, 10));
    asking(lock, b, exclusive(0, 20));
    expect(asking(lock, c, shared(5, 10))).toBe(b);
    expect(passing(lock, new Somebody(), shared(15, 16))).toBe(b);
    expect(passing(lock, new Somebody(), shared(20, 30))).toBeUndefined();
  });

  it('gives the same answer to whoever asks again', () => {
    const lock = new RangeLock();
    for (let i = 0; i < 3; i++) expect(asking(lock, a, exclusive(0, 10))).toBeUndefined();
    for (let i = 0; i < 3; i++) expect(asking(lock, b, exclusive(0, 10))).toBe(a);
    lock.release(a);
    expect(lock.idle).toBe(false);
    lock.release(b);
    expect(lock.idle).toBe(true);
  });

  it('lets an owner hold several ranges, and give them back together', () => {
    const lock = new RangeLock();
    asking(lock, a, exclusive(0, 10));
    asking(lock, a, exclusive(20, 30));
    expect(asking(lock, b, exclusive(25, 26))).toBe(a);
    lock.release(a);
    expect(asking(lock, b, exclusive(25, 26))).toBeUndefined();
  });

  it('refuses an owner who would wait for himself', () => {
    const lock = new RangeLock();
    asking(lock, a, exclusive(0, 10));
    expect(() => asking(lock, a, exclusive(5, 15))).toThrow(
      expect.objectContaining({
        code: 'EDEADLK',
        message: 'Cannot lock bytes 5 to 15: the same operation has locked 0 to 10',
      }),
    );
    expect(passing(lock, a, exclusive(5, 15))).toBeUndefined();
  });

  it('tryAcquire() takes what is free, and asks for nothing else', () => {
    const lock = new RangeLock();
    expect(lock.tryAcquire(a, exclusive(0, 10))).toBe(true);
    expect(lock.tryAcquire(b, shared(9, 20))).toBe(false);
    expect(asking(lock, c, shared(5, 20))).toBe(a);
    // A waiter counts as somebody in the way.
    expect(lock.tryAcquire(b, exclusive(15, 16))).toBe(false);
    lock.release(a);
    lock.release(c);
    expect(lock.idle).toBe(true);
    expect(lock.tryAcquire(b, shared(0, 20))).toBe(true);
    expect(lock.tryAcquire(a, shared(9, 20))).toBe(true);
    expect(lock.tryAcquire(a, exclusive(9, 20))).toBe(false);
  });

  it('release() of somebody who holds nothing changes nothing', () => {
    const lock = new RangeLock();
    asking(lock, a, exclusive(0, 10));
    lock.release(b);
    expect(asking(lock, b, exclusive(0, 1))).toBe(a);
  });
});

const OWNERS = 6;

interface Asked extends LockRange {
  readonly owner: number;
}

const conflict = (one: LockRange, other: LockRange): boolean =>
  one.start < other.end && other.start < one.end && (one.exclusive || other.exclusive);

const range = fc
  .tuple(fc.nat(20), fc.integer({ min: 1, max: 10 }), fc.boolean())
  .map(([start, length, exclusive]) => ({ start, end: start + length, exclusive }));
const command = fc.oneof(
  fc.record({ do: fc.constant('ask' as const), owner: fc.nat(OWNERS - 1), range }),
  fc.record({ do: fc.constant('pass' as const), owner: fc.nat(OWNERS - 1), range }),
  fc.record({ do: fc.constant('release' as const), owner: fc.nat(OWNERS - 1) }),
);
type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

class Model {
  readonly lock = new RangeLock();
  readonly owners = Array.from({ length: OWNERS }, () => new Somebody());
  queue: Asked[] = [];

  /** The first in the queue that is in the way of an entry at `place`, or of a newcomer. */
  inTheWay(asked: Asked, place = this.queue.length): Somebody | undefined {
    const before = this.queue.slice(0, place);
    const first = before.find((it) => it.owner !== asked.owner && conflict(it, asked));
    return first && this.owners[first.owner];
  }

  run(command: Command): void {
    const owner = this.owners[command.owner] as Somebody;
    if (command.do === 'release') {
      this.lock.release(owner);
      this.queue = this.queue.filter((asked) => asked.owner !== command.owner);
      return;
    }
    const asked = { owner: command.owner, ...command.range };
    if (command.do === 'pass') {
      expect(passing(this.lock, owner, command.range)).toBe(this.inTheWay(asked));
      return;
    }
    // One range for each owner: a second one that overlaps is refused, see above.
    if (this.queue.some((it) => it.owner === command.owner)) return;
    expect(asking(this.lock, owner, command.range)).toBe(this.inTheWay(asked));
    this.queue.push(asked);
  }

  /** Everybody asks again: nobody holds what an earlier one is after, the first always holds. */
  check(): void {
    for (const [place, asked] of this.queue.entries()) {
      const { owner, ...range } = asked;
      const found = asking(this.lock, this.owners[owner] as Somebody, range);
      expect(found).toBe(this.inTheWay(asked, place));
    }
    expect(this.lock.idle).toBe(this.queue.length === 0);
  }
}

describe('RangeLock and a list of who asked', () => {
  it('holds exactly what no earlier conflicting entry asks for (W1)', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        const model = new Model();
        for (const each of commands) {
          model.run(each);
          model.check();
        }
      }),
    );
  });

  it('comes to everybody if each gives back what he holds', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: OWNERS }), (ranges) => {
        const model = new Model();
        for (const [owner, asked] of ranges.entries())
          model.run({ do: 'ask', owner, range: asked });
        for (let turns = 0; model.queue.length > 0; turns++) {
          expect(turns).toBeLessThan(OWNERS);
          const holders = model.queue.filter((asked, i) => model.inTheWay(asked, i) === undefined);
          for (const { owner } of holders) model.run({ do: 'release', owner });
        }
        expect(model.lock.idle).toBe(true);
      }),
    );
  });
});
