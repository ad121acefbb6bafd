/**
 * Workloads: every sequence of one and two operations on a small tree, with every way of making
 * something durable after each, and a power cut at once. What was acknowledged is there.
 *
 * The idea is ACE's: most bugs of file systems that crashes have shown need no more than two
 * operations, and all come after something was said to be durable.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/testing/index.ts';
import type { Step } from '../api/steps.ts';
import { seeded } from '../volume/seeds.ts';
import { cut } from './cut.ts';
import { Life } from './life.ts';
import { OPERATIONS, SAVES, SCENE, WORKLOAD_OPTIONS } from './workloads.ts';

const long = process.env['RAMET_LONG'] === '1';

let workloads = 0;
let images = 0;

afterAll(() => process.stdout.write(`${workloads} workloads, ${images} power cuts\n`));

function play(...steps: readonly Step[]): void {
  const random = new Random(workloads++);
  const life = new Life(random, WORKLOAD_OPTIONS);
  for (const step of [...SCENE, ...steps]) life.step(step);
  images += cut(life, random, [life.tape.calls.length]);
}

/** What is durable in the end is what is judged: each ends with a save. */
function playAll(first: Step, seconds: readonly Step[], saves: typeof SAVES): void {
  const last = SAVES.slice(1);
  for (const second of seconds) {
    for (const between of saves) for (const end of last) play(first, ...between, second, ...end);
  }
}

describe('workloads of one operation', () => {
  it.each(OPERATIONS.map((step) => [`${step.call} ${step.args.join(' ')}`, step] as const))(
    '%s',
    (_, step) => {
      for (const save of SAVES.slice(1)) play(step, ...save);
    },
  );
});

describe('workloads of two operations', { timeout: 900_000 }, () => {
  const each = OPERATIONS.map(
    (step, i) => [`${step.call} ${step.args.join(' ')}`, step, i] as const,
  );
  it.each(each)('%s, and any other', (_, first, i) => {
    // By default every pair comes once, with one way of saving between its operations.
    const seconds = OPERATIONS.filter((_, k) => long || k % 4 === i % 4);
    const saves = long ? SAVES : [SAVES[i % SAVES.length] as readonly Step[]];
    playAll(first, seconds, saves);
    expect(workloads).toBeGreaterThan(0);
  });
});

seeded('workloads of three operations', { count: 100 }, (random) => {
  const steps: Step[] = [];
  for (let i = 0; i < 3; i++) steps.push(random.pick(OPERATIONS), ...random.pick(SAVES));
  play(...steps, ...random.pick(SAVES.slice(1)));
});
