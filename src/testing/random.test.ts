import { describe, expect, it } from 'vitest';
import { Random } from './random.ts';

function draw(seed: number, count = 5): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => random.next());
}

describe('Random', () => {
  it('follows from its seed', () => {
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(2 ** 32 + 7)).not.toEqual(draw(7));
    expect(draw(-1)).not.toEqual(draw(1));
  });

  it('agrees with sfc32 written in another language', () => {
    expect(draw(1, 3)).toEqual([2012149540, 1872316204, 1707632675]);
    expect(draw(2 ** 40 + 3, 2)).toEqual([3280681355, 3448732634]);
  });

  it.each([0.5, Number.NaN, 2 ** 53])('refuses seed %d', (seed) => {
    expect(() => new Random(seed)).toThrow('is not a safe integer');
  });

  it('below() is even over its range', () => {
    const random = new Random(1);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10000; i++) {
      const drawn = random.below(10);
      counts[drawn] = (counts[drawn] as number) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(Math.max(...counts)).toBeLessThan(1200);
  });

  it('between() includes both ends', () => {
    const random = new Random(1);
    const drawn = new Set(Array.from({ length: 100 }, () => random.between(3, 5)));
    expect([...drawn].sort()).toEqual([3, 4, 5]);
    expect(random.between(4, 4)).toBe(4);
  });

  it('chance() is as likely as asked for', () => {
    const random = new Random(1);
    const hits = Array.from({ length: 1000 }, () => random.chance(1 / 4)).filter(Boolean).length;
    expect(hits).toBeGreaterThan(200);
    expect(hits).toBeLessThan(300);
    expect(random.chance(0)).toBe(false);
    expect(random.chance(1)).toBe(true);
  });

  it('pick() reaches every item and refuses an empty list', () => {
    const random = new Random(1);
    const picked = new Set(Array.from({ length: 50 }, () => random.pick(['a', 'b', 'c'])));
    expect(picked.size).toBe(3);
    expect(() => random.pick([])).toThrow(RangeError);
  });

  it('shuffle() reaches every order and leaves its argument alone', () => {
    const random = new Random(1);
    const items = [1, 2, 3];
    const orders = new Set(Array.from({ length: 100 }, () => random.shuffle(items).join()));
    expect(orders.size).toBe(6);
    expect(items).toEqual([1, 2, 3]);
  });

  it.each([0, 1, 3, 4, 7, 4096])('bytes() answers %d bytes', (length) => {
    const bytes = new Random(1).bytes(length);
    expect(bytes.length).toBe(length);
    expect(bytes.buffer.byteLength).toBe(length);
    if (length > 100) expect(new Set(bytes).size).toBe(256);
  });

  it('fork() draws independently of what it came from', () => {
    const used = new Random(1);
    const fork = used.fork();
    fork.next();
    const unused = new Random(1);
    unused.fork();
    expect(used.next()).toBe(unused.next());
  });
});
