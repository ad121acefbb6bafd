/**
 * Workloads: every sequence of one and two operations on a small tree, with every way of making
 * something durable after each, and a power cut at once. What was acknowledged is there.
 *
 * The idea is ACE's: most bugs of file systems that crashes have shown need no more than two
 * operations, and all come after something was said to be durable.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Step } from '../api/steps.ts';
import { seeded } from '../volume/seeds.ts';
import { cut } from './cut.ts';
import { Life } from './life.ts';

const long = process.env['RAMET_LONG'] === '1';

const OPTIONS = { size: MIB / 2, groupBlocks: 256, logBlocks: 8 } as const;

/** Two directories, three files; the files are open as 0, 1 and 2, the directories as 3 to 5. */
const SCENE: readonly Step[] = [
  { call: 'mkdir', args: ['/A'] },
  { call: 'mkdir', args: ['/B'] },
  { call: 'writeFile', args: ['/A/f', 1, 9000] },
  { call: 'writeFile', args: ['/A/g', 2, 300] },
  { call: 'writeFile', args: ['/B/f', 3, 4096] },
  { call: 'sync', args: [] },
  { call: 'open', args: [0, '/A/f', 'r+'] },
  { call: 'open', args: [1, '/A/g', 'r+'] },
  { call: 'open', args: [2, '/B/f', 'r+'] },
];

const OPERATIONS: readonly Step[] = [
  { call: 'writeFile', args: ['/A/new', 10, 5000] },
  { call: 'mkdir', args: ['/A/d'] },
  { call: 'symlink', args: ['f', '/B/s'] },
  { call: 'link', args: ['/A/f', '/B/l'] },
  { call: 'link', args: ['/A/g', '/A/l'] },
  { call: 'unlink', args: ['/A/f'] },
  { call: 'unlink', args: ['/A/g'] },
  { call: 'rm', args: ['/A', true] },
  { call: 'rename', args: ['/A/f', '/B/r'] },
  { call: 'rename', args: ['/A/f', '/B/f'] },
  { call: 'rename', args: ['/A/g', '/A/f'] },
  { call: 'rename', args: ['/A/f', '/A/f'] },
  { call: 'rename', args: ['/A', '/B/A'] },
  { call: 'rename', args: ['/A', '/C'] },
  { call: 'write', args: [0, 11, 4096, 4096] },
  { call: 'write', args: [0, 12, 5000, 8000] },
  { call: 'write', args: [1, 13, 200, 200] },
  { call: 'write', args: [1, 14, 6000, 0] },
  { call: 'truncate', args: ['/A/f', 4096] },
  { call: 'truncate', args: ['/A/f', 5000] },
  { call: 'truncate', args: ['/A/f', 20_000] },
  { call: 'truncate', args: ['/A/g', 0] },
  { call: 'range', args: ['punch', 0, 4096, 4096] },
  { call: 'range', args: ['punch', 0, 100, 5000] },
  { call: 'range', args: ['zero', 0, 8000, 8000] },
  { call: 'range', args: ['allocate', 0, 4096, 20_480] },
  { call: 'range', args: ['collapse', 0, 0, 4096] },
  { call: 'range', args: ['insert', 0, 4096, 4096] },
  { call: 'range', args: ['unshare', 0, 0, 9000] },
  { call: 'range', args: ['clone', 2, 4096, 0, 0, 0] },
  { call: 'clone', args: ['/A/f', '/B/c'] },
  { call: 'clone', args: ['/A', '/B/c'] },
  { call: 'copyFile', args: ['/A/f', '/B/f', 0] },
  { call: 'snapshot', args: ['s'] },
  { call: 'chmod', args: ['/A/f', 0o600] },
  { call: 'utimes', args: ['/A/f', 5, 6] },
];

/** Ways of making something durable; nothing, first. */
const SAVES: readonly (readonly Step[])[] = [
  [],
  [{ call: 'fsync', args: [0] }],
  [{ call: 'fsync', args: [1] }],
  [{ call: 'fsync', args: [2] }],
  [{ call: 'sync', args: [] }],
];

let workloads = 0;
let images = 0;

afterAll(() => process.stdout.write(`${workloads} workloads, ${images} power cuts\n`));

function play(...steps: readonly Step[]): void {
  const random = new Random(workloads++);
  const life = new Life(random, OPTIONS);
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
