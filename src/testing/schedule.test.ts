import { describe, expect, it } from 'vitest';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';

/** The order in which twenty submissions complete, each of which submits another one. */
async function order(seed: number): Promise<string> {
  const schedule = new Schedule(new Random(seed));
  const seen: string[] = [];
  const work = async (name: number) => {
    await schedule.submit(() => seen.push(`${name}`));
    await schedule.submit(() => seen.push(`${name}'`));
  };
  await schedule.run(Promise.all(Array.from({ length: 20 }, (_, i) => work(i))));
  return seen.join(' ');
}

describe('Schedule', () => {
  it('has one order for one seed, and others for others', async () => {
    expect(await order(1)).toBe(await order(1));
    const orders = new Set(await Promise.all([1, 2, 3, 4, 5].map(order)));
    expect(orders.size).toBe(5);
  });

  it('completes nothing by itself', async () => {
    const schedule = new Schedule(new Random(1));
    let done = false;
    const work = schedule.submit(() => {
      done = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(done).toBe(false);
    expect(schedule.pending).toBe(1);
    await schedule.run(work);
    expect(done).toBe(true);
    expect(schedule.pending).toBe(0);
  });

  it('step() moves time to what is due next', () => {
    const schedule = new Schedule(new Random(1));
    const due: number[] = [];
    for (let i = 0; i < 50; i++) {
      void schedule.submit(() => due.push(schedule.nowUs), { minUs: 10, maxUs: 90 });
    }
    expect(schedule.nowUs).toBe(0);
    while (schedule.step());
    expect(due).toEqual([...due].sort((a, b) => a - b));
    expect(due[0]).toBeGreaterThanOrEqual(10);
    expect(due.at(-1)).toBeGreaterThan(90);
    expect(schedule.step()).toBe(false);
  });

  it('drain() completes everything in this turn', () => {
    const schedule = new Schedule(new Random(1));
    let done = 0;
    for (let i = 0; i < 10; i++) void schedule.submit(() => done++);
    schedule.drain();
    expect(done).toBe(10);
  });

  it('hands out what work answers and throws', async () => {
    const schedule = new Schedule(new Random(1));
    expect(await schedule.run(schedule.submit(() => 42))).toBe(42);
    const failing = schedule.submit(() => {
      throw new Error('no');
    });
    await expect(schedule.run(failing)).rejects.toThrow('no');
  });

  it('mostly lets everything follow from one completion before the next', async () => {
    const schedule = new Schedule(new Random(1));
    let inTurn = 0;
    let together = 0;
    const work = async () => {
      await schedule.submit(() => {
        if (inTurn++ > 0) together++;
      });
      for (let i = 0; i < 20; i++) await Promise.resolve();
      inTurn = 0;
    };
    await schedule.run(Promise.all(Array.from({ length: 100 }, work)));
    expect(together).toBeGreaterThan(5);
    expect(together).toBeLessThan(50);
  });

  it('run() notices work that waits for nothing', async () => {
    const schedule = new Schedule(new Random(1));
    const stuck = schedule.submit(() => new Promise<void>(() => {}));
    await expect(schedule.run(stuck)).rejects.toThrow('Stalled');
  });

  it('idle() ends when nothing more comes', async () => {
    const schedule = new Schedule(new Random(1));
    let left = 10;
    const again = async (): Promise<void> => {
      await schedule.submit(() => left--);
      if (left > 0) await again();
    };
    void again();
    await schedule.idle();
    expect(left).toBe(0);
  });
});
