import { describe, expect, it } from 'vitest';
import {
  AssertionError,
  type Operation,
  PlainIo,
  type Plan,
  PlannedOperation,
} from '../base/index.ts';
import { type Device, MemoryDevice } from '../device/index.ts';
import { FaultDevice, Random, Schedule, SlowDevice } from '../testing/index.ts';
import { Driver } from './driver.ts';

const SIZE = 65536;

type Round = (plan: Plan) => void;

/** An operation of several turns; each goes on when what its round asked for has come. */
class Rounds extends PlannedOperation<string> {
  readonly name: string;
  /** Rounds of planning, the repeated ones included. */
  planned = 0;
  readonly #rounds: readonly Round[];
  #turn = 0;

  constructor(name: string, ...rounds: Round[]) {
    super();
    this.name = name;
    this.#rounds = rounds;
  }

  protected override prepare(plan: Plan): void {
    this.planned++;
    this.#rounds[this.#turn]?.(plan);
  }

  protected override apply(): boolean {
    return ++this.#turn < this.#rounds.length ? false : this.finish(this.name);
  }
}

/** The volume's own operation: a driver that cannot go on leaves it as it is. */
class SharedRounds extends Rounds {
  readonly shared = true;
}

/** Asks for transfers until they are finished. */
function until(...io: PlainIo[]): Round {
  return (plan) => {
    for (const each of io) if (!each.finished) plan.need(each);
  };
}

/** Asks that others end first, well or not. */
function following(...others: Operation<unknown>[]): Round {
  return (plan) => {
    for (const other of others) if (!other.done) plan.follow(other);
  };
}

const nothing: Round = () => {};
const pause: Round = (plan) => {
  plan.pause = true;
};

const reading = (position = 0, length = 4096): PlainIo =>
  new PlainIo('read', position, [new Uint8Array(length)]);
const writing = (position: number, byte: number): PlainIo =>
  new PlainIo('write', position, [new Uint8Array(4096).fill(byte)]);

interface Rig {
  readonly driver: Driver;
  readonly device: FaultDevice;
  readonly schedule: Schedule;
}

function rigOn(inner: (memory: Device, schedule: Schedule) => Device, concurrency?: number): Rig {
  const schedule = new Schedule(new Random(1));
  const device = new FaultDevice(inner(new MemoryDevice({ size: SIZE }), schedule));
  const driver = new Driver(device, {
    pause: () => schedule.submit(() => {}),
    ...(concurrency !== undefined && { concurrency }),
  });
  return { driver, device, schedule };
}

const rigs = {
  sync: (concurrency?: number) => rigOn((memory) => memory, concurrency),
  slow: (concurrency?: number) =>
    rigOn((memory, schedule) => new SlowDevice(memory, { schedule }), concurrency),
};

describe.each(['sync', 'slow'] as const)('Driver.start() on a %s device', (kind) => {
  it('takes an operation through its turns', async () => {
    const { driver, schedule } = rigs[kind]();
    const operation = new Rounds('done', until(writing(0, 1)), nothing, until(reading()));
    expect(await schedule.run(driver.start(operation))).toBe('done');
    expect(driver.idle).toBe(true);
  });

  it('fills the buffers that a plan names', async () => {
    const { driver, schedule } = rigs[kind]();
    const io = reading(4096);
    await schedule.run(driver.start(new Rounds('', until(writing(4096, 7)), until(io))));
    expect(io.buffers[0]).toEqual(new Uint8Array(4096).fill(7));
  });

  it('fails an operation with the first failure among its needs', async () => {
    const { driver, device, schedule } = rigs[kind]();
    device.inject({ on: 'read', effect: 'fail', within: { position: 8192, length: 1 } });
    const operation = new Rounds('', until(reading(0), reading(8192)));
    await expect(schedule.run(driver.start(operation))).rejects.toMatchObject({ code: 'EIO' });
    expect([operation.done, driver.idle]).toEqual([true, true]);
  });

  it('tries each part of a merged transfer alone when that has failed', async () => {
    const { driver, device, schedule } = rigs[kind]();
    device.inject({ on: 'read', effect: 'fail', within: { position: 4096, length: 1 } });
    const parts = [reading(0), reading(4096), reading(8192)];
    const all = new Rounds('', until(...parts));
    await expect(schedule.run(driver.start(all))).rejects.toMatchObject({ position: 4096 });
    expect(parts.map((io) => io.finished)).toEqual([true, false, true]);
    expect(device.counters.reads).toBe(4);
  });

  it('V3: follows an operation that it starts, and fails if that does', async () => {
    const { driver, device, schedule } = rigs[kind]();
    const other = new Rounds('other', until(reading()));
    const follower = new Rounds('follower', following(other));
    expect(await schedule.run(driver.start(follower))).toBe('follower');
    expect(other.done).toBe(true);

    device.inject({ on: 'read', effect: 'fail' });
    const failing = new Rounds('failing', following(new Rounds('other', until(reading()))));
    await expect(schedule.run(driver.start(failing))).rejects.toMatchObject({ code: 'EIO' });
    expect(failing.done).toBe(true);
  });

  it('V3: follows a transfer to its end, well or not', async () => {
    const { driver, device, schedule } = rigs[kind]();
    device.inject({ on: 'read', effect: 'fail', times: 1 });
    const io = reading();
    const follower = new Rounds('follower', (plan) => {
      if (io.error === undefined) plan.followIo(io);
    });
    expect(await schedule.run(driver.start(follower))).toBe('follower');
    expect([io.error, device.counters.reads]).toMatchObject([{ code: 'EIO' }, 1]);
  });

  it('V1: submits a transfer once though one that is followed needs it first', async () => {
    const { driver, device, schedule } = rigs[kind]();
    const io = reading();
    const other = new Rounds('other', until(io));
    const follower = new Rounds('follower', (plan) => {
      until(io)(plan);
      following(other)(plan);
    });
    expect(await schedule.run(driver.start(follower))).toBe('follower');
    expect(device.counters.reads).toBe(1);
  });

  it('tries another transfer if one names it, and only then is done with the first', async () => {
    const { driver, device, schedule } = rigs[kind]();
    const copy = reading(8192);
    class First extends PlainIo {
      override finish(error: Error | undefined): undefined {
        super.finish(error);
        return (error && copy) as undefined;
      }
    }
    const first = new First('read', 0, [new Uint8Array(4096)]);
    device.inject({ on: 'read', effect: 'fail', within: { position: 0, length: 1 } });
    const work = new Rounds('', until(first));
    await expect(schedule.run(driver.start(work))).rejects.toMatchObject({ position: 0 });
    expect(copy.finished).toBe(true);
  });

  it('admits as many as it may, first come first served', async () => {
    const { driver, schedule } = rigs[kind](2);
    const begun: string[] = [];
    const names = ['a', 'b', 'c', 'd', 'e'];
    const works = names.map((name) => {
      const begin: Round = (plan) => {
        begun.push(name);
        pause(plan);
      };
      return driver.start(new Rounds(name, begin, nothing));
    });
    expect(begun).toEqual(['a', 'b']);
    expect(await schedule.run(Promise.all(works))).toEqual(names);
    expect(begun).toEqual(names);
    expect(driver.idle).toBe(true);
  });

  it('gives the place of a failed operation to the next one', async () => {
    const { driver, schedule } = rigs[kind](1);
    const refuse: Round = () => {
      throw new Error('refused');
    };
    const works = [refuse, nothing, refuse, nothing].map((round) =>
      driver.start(new Rounds('done', pause, round)),
    );
    const ends = await schedule.run(Promise.allSettled(works));
    expect(ends.map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
  });

  it('pauses between turns where the plan asks for it', async () => {
    const { driver, schedule } = rigs[kind]();
    const long = new Rounds('long', pause, pause, nothing);
    const work = driver.start(long);
    expect([long.done, schedule.pending, driver.idle]).toEqual([false, 1, false]);
    expect(await driver.start(new Rounds('short', nothing))).toBe('short');
    expect(await schedule.run(work)).toBe('long');
    expect(schedule.nowUs).toBeGreaterThan(0);
  });

  it('ends an operation with the reason of its signal, at its next wait', async () => {
    const { driver, schedule } = rigs[kind]();
    const controller = new AbortController();
    const operation = new Rounds('', pause, pause, nothing);
    const work = driver.start(operation, { signal: controller.signal });
    const reason = new Error('no longer wanted');
    controller.abort(reason);
    await expect(schedule.run(work)).rejects.toBe(reason);
    expect([operation.done, operation.planned, driver.idle]).toEqual([true, 2, true]);
  });

  it('does not mind a signal if there is nothing to wait for', async () => {
    const { driver } = rigs[kind]();
    const signal = AbortSignal.abort();
    expect(await driver.start(new Rounds('done', nothing), { signal })).toBe('done');
  });

  it('settled() comes when everything has ended', async () => {
    const { driver, schedule } = rigs[kind]();
    const works = [new Rounds('', pause), new Rounds('', until(reading()), pause)];
    const started = works.map((work) => driver.start(work));
    await schedule.run(driver.settled());
    expect(works.map(({ done }) => done)).toEqual([true, true]);
    await Promise.all(started);
  });
});

describe('Driver on a sync device', () => {
  it('V2: has nothing in flight when it returns, from start() either', async () => {
    const { driver, device } = rigs.sync();
    const operation = new Rounds(
      'done',
      until(reading()),
      following(new Rounds('', until(reading()))),
    );
    const work = driver.start(operation);
    expect([operation.done, driver.idle, device.counters.reads]).toEqual([true, true, 2]);
    await work;
  });

  it('run() does not pause', () => {
    const { driver, schedule } = rigs.sync();
    expect(driver.run(new Rounds('done', pause, until(reading()), pause))).toBe('done');
    expect(schedule.pending).toBe(0);
  });

  it('run() takes an operation to its end that start() has left at a pause', async () => {
    const { driver, schedule } = rigs.sync();
    const long = new Rounds('long', pause, pause, nothing);
    const work = driver.start(long);
    expect(driver.run(new Rounds('follower', following(long)))).toBe('follower');
    expect(long.done).toBe(true);
    expect(await schedule.run(work)).toBe('long');
  });

  it('V3: run() goes on when another operation has failed that somebody else awaits', async () => {
    const { driver, schedule } = rigs.sync();
    const other = new Rounds('other', pause, () => {
      throw new Error('its own trouble');
    });
    const work = driver.start(other);
    const ended = expect(work).rejects.toThrow('its own trouble');
    expect(driver.run(new Rounds('follower', following(other)))).toBe('follower');
    await schedule.idle();
    await ended;
  });

  it('throws what the operation throws, once it has ended', () => {
    const { driver } = rigs.sync();
    const failing = new Rounds('', () => {
      throw new Error('refused');
    });
    expect(() => driver.run(failing)).toThrow('refused');
    expect(failing.done).toBe(true);
  });

  it('tells whoever wants to know of a broken invariant', async () => {
    const { driver } = rigs.sync();
    const broken: Error[] = [];
    driver.onBroken = (error) => broken.push(error);
    const error = new AssertionError('broken');
    const failing = () =>
      new Rounds('', () => {
        throw error;
      });
    expect(() => driver.run(failing())).toThrow(error);
    await expect(driver.start(failing())).rejects.toThrow(error);
    expect(broken).toEqual([error, error]);
  });
});

describe('Driver on a slow device', () => {
  it('V1: submits a transfer once, however many operations need it', async () => {
    const { driver, device, schedule } = rigs.slow();
    const io = reading();
    const works = ['a', 'b', 'c'].map((name) => driver.start(new Rounds(name, until(io))));
    expect(await schedule.run(Promise.all(works))).toEqual(['a', 'b', 'c']);
    expect(device.counters.reads).toBe(1);
  });

  it('V1: tells of a failure only when nothing of the plan is in flight any more', async () => {
    const { driver, device, schedule } = rigs.slow();
    const parts = Array.from({ length: 8 }, (_, i) => reading(i * 8192));
    device.inject({ on: 'read', effect: 'fail', within: { position: 24576, length: 1 } });
    const operation = new Rounds('', until(...parts));
    let inFlight = -1;
    const fail = operation.fail.bind(operation);
    operation.fail = (error) => {
      inFlight = parts.filter((io) => !io.finished && io.error === undefined).length;
      fail(error);
    };
    await expect(schedule.run(driver.start(operation))).rejects.toMatchObject({ code: 'EIO' });
    expect(inFlight).toBe(0);
  });

  it('V3: drives what many follow once, and each goes on when it has ended', async () => {
    const { driver, schedule } = rigs.slow();
    const other = new Rounds('other', until(reading()), until(reading(8192)));
    const works = ['a', 'b', 'c'].map((name) => driver.start(new Rounds(name, following(other))));
    expect(await schedule.run(Promise.all(works))).toEqual(['a', 'b', 'c']);
    // Once for each wait, once more when it was over, and no more for having three followers.
    expect(other.planned).toBe(4);
  });

  it('V3: goes on when another operation has failed that somebody else awaits', async () => {
    const { driver, device, schedule } = rigs.slow();
    device.inject({ on: 'read', effect: 'fail' });
    const other = new Rounds('other', until(reading()));
    const awaited = expect(driver.start(other)).rejects.toMatchObject({ code: 'EIO' });
    const follower = driver.start(new Rounds('follower', following(other)));
    expect(await schedule.run(follower)).toBe('follower');
    await awaited;
  });

  it('run() does in this turn what needs no device', () => {
    const { driver } = rigs.slow();
    const other = new Rounds('other', nothing);
    expect(driver.run(new Rounds('done', nothing, following(other)))).toBe('done');
  });

  it('run() refuses what needs the device, and names the way out', () => {
    const { driver, schedule } = rigs.slow();
    const operation = new Rounds('', until(reading()));
    expect(() => driver.run(operation)).toThrow(
      expect.objectContaining({
        code: 'ENOTSUP',
        message:
          'Cannot finish in this turn: device faulty slow memory is asynchronous, ' +
          'use the promise form of the call',
      }),
    );
    expect([operation.done, schedule.pending]).toEqual([true, 0]);
  });

  it('run() leaves alone what is not its own, and refuses whoever follows it', async () => {
    const { driver, schedule } = rigs.slow();
    const shared = new SharedRounds('shared', until(reading()));
    const started = new Rounds('started', until(reading(8192)));
    const work = driver.start(started);
    for (const other of [shared, started]) {
      const follower = new Rounds('', following(other));
      expect(() => driver.run(follower)).toThrow(expect.objectContaining({ code: 'ENOTSUP' }));
      expect([follower.done, other.done]).toEqual([true, false]);
    }
    expect(await schedule.run(work)).toBe('started');
    expect(await schedule.run(driver.start(shared))).toBe('shared');
  });

  it('does the same in the same order for the same seed', async () => {
    const trace = async () => {
      const { driver, schedule } = rigs.slow(3);
      const ends: string[] = [];
      const works = Array.from({ length: 20 }, (_, i) => {
        const rounds = [0, 1, 2].map((n) => until(reading(((i * 3 + n) % 16) * 4096)));
        return driver.start(new Rounds(`${i}`, ...rounds)).then((name) => ends.push(name));
      });
      await schedule.run(Promise.all(works));
      return `${ends.join()} after ${schedule.nowUs}`;
    };
    expect(await trace()).toBe(await trace());
  });
});
