import { describe, expect, it } from 'vitest';
import { all, Latch, run, type Steps, Turnstile } from './completion.ts';
import type { Completion } from './device.ts';

const later = (): Completion => Promise.resolve();

describe('run()', () => {
  it('ends in the same turn when nothing has to be waited for', () => {
    const seen: number[] = [];
    const completion = run(
      (function* (): Steps {
        seen.push(1);
        yield undefined;
        seen.push(2);
      })(),
    );
    expect(completion).toBeUndefined();
    expect(seen).toEqual([1, 2]);
  });

  it('returns a promise from the first wait on', async () => {
    const seen: number[] = [];
    const completion = run(
      (function* (): Steps {
        seen.push(1);
        yield later();
        yield undefined;
        yield later();
        seen.push(2);
      })(),
    );
    expect(seen).toEqual([1]);
    await completion;
    expect(seen).toEqual([1, 2]);
  });

  it('throws at once what is thrown before the first wait', () => {
    expect(() =>
      run(
        // biome-ignore lint/correctness/useYield: it fails before it would
        (function* (): Steps {
          throw new Error('early');
        })(),
      ),
    ).toThrow('early');
  });

  it('rejects with what is thrown after a wait', async () => {
    const completion = run(
      (function* (): Steps {
        yield later();
        throw new Error('late');
      })(),
    );
    await expect(completion).rejects.toThrow('late');
  });

  it('throws a rejection at its yield, where it can be caught', async () => {
    const seen: string[] = [];
    await run(
      (function* (): Steps {
        try {
          yield Promise.reject(new Error('no'));
        } catch (error) {
          seen.push(String(error));
        }
        yield later();
        seen.push('end');
      })(),
    );
    expect(seen).toEqual(['Error: no', 'end']);
  });
});

describe('all()', () => {
  it('is done at once if every call is', () => {
    expect(all([])).toBeUndefined();
    expect(all([() => undefined])).toBeUndefined();
    expect(all([() => undefined, () => undefined])).toBeUndefined();
  });

  it('starts every call before it waits for the first', async () => {
    const seen: number[] = [];
    const call = (number: number) => () => {
      seen.push(number);
      return later();
    };
    const completion = all([call(1), call(2), call(3)]);
    expect(seen).toEqual([1, 2, 3]);
    await completion;
  });

  it('waits for those in flight before it fails', async () => {
    const slow = new Latch();
    let ended = false;
    const completion = all([
      () => Promise.reject(new Error('first')),
      () => slow.opened,
      () => Promise.reject(new Error('second')),
    ]);
    const outcome = completion?.catch((error: Error) => {
      ended = true;
      return error.message;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ended).toBe(false);
    slow.open();
    expect(await outcome).toBe('first');
  });

  it('starts nothing more after a call that throws', async () => {
    const seen: string[] = [];
    const completion = all([
      () => later(),
      () => {
        throw new Error('at once');
      },
      () => {
        seen.push('started');
        return undefined;
      },
    ]);
    await expect(completion).rejects.toThrow('at once');
    expect(seen).toEqual([]);
  });

  it('throws at once if nothing is in flight', () => {
    const fail = () => {
      throw new Error('at once');
    };
    expect(() => all([() => undefined, fail])).toThrow('at once');
  });
});

describe('Turnstile', () => {
  it('lets one procedure at a time through', async () => {
    const turnstile = new Turnstile();
    const seen: string[] = [];
    function* steps(name: string): Steps {
      seen.push(`${name} in`);
      yield later();
      seen.push(`${name} out`);
    }
    await Promise.all([
      run(turnstile.pass(steps('a'))),
      run(turnstile.pass(steps('b'))),
      run(turnstile.pass(steps('c'))),
    ]);
    expect(seen).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
  });

  it('opens again after a failure', () => {
    const turnstile = new Turnstile();
    // biome-ignore lint/correctness/useYield: it fails before it would
    const failing = (function* (): Steps {
      throw new Error('inside');
    })();
    expect(() => run(turnstile.pass(failing))).toThrow('inside');
    const passing = (function* (): Steps {
      yield undefined;
    })();
    expect(run(turnstile.pass(passing))).toBeUndefined();
  });
});
