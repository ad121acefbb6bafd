import { expect, it } from 'vitest';
import { clockOf } from './time-of-day.ts';

const ORIGIN = 1e12;

it('is as fine as the counter, and follows a clock that is set, forwards and back', () => {
  let [counted, set] = [0.25, 0];
  const wall = (): number => Math.floor(ORIGIN + counted + set);
  const clock = clockOf({ counter: () => counted, wall, origin: ORIGIN });
  expect(clock()).toBe(ORIGIN + 0.25);
  counted += 0.125;
  expect(clock()).toBe(ORIGIN + 0.375);
  for (const step of [3_600_000, -7_200_000, 86_400_000.5]) {
    set += step;
    expect(clock()).toBe(wall());
    const before = clock();
    counted += 0.125;
    expect(clock() - before).toBeCloseTo(0.125, 3);
    counted += 1e6;
    expect(Math.abs(clock() - wall())).toBeLessThanOrEqual(2);
  }
});

it('does not go back by itself, however long one of the two took to answer', () => {
  let [now, delay] = [0, 0];
  const counter = (): number => now;
  const wall = (): number => {
    now += delay;
    delay = 0;
    return Math.floor(ORIGIN + now);
  };
  const clock = clockOf({ counter, wall, origin: ORIGIN });
  let last = clock();
  for (let i = 0; i < 1000; i++) {
    now += 0.3;
    delay = i % 100 === 50 ? 7.7 : 0;
    const time = clock();
    expect(time).toBeGreaterThanOrEqual(last - 1);
    expect(time).toBeLessThanOrEqual(ORIGIN + now);
    last = time;
  }
});
