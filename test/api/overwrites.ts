/**
 * Overwrites: steps on a few files of which most overwrite, while these are cloned, kept in
 * snapshots, and deleted, again and again.
 */
import type { Random } from '../../src/testing/index.ts';
import { draw } from './draw.ts';
import type { Weights } from './history.ts';
import type { Argument, ModelRunner, Step } from './steps.ts';

const B = 4096;

/**
 * A file whose data is named by two nodes of its map, one with a node, and one without; they are
 * open, two past the cache.
 */
export const SCENE: readonly Step[] = [
  { call: 'mkdir', args: ['/d'] },
  { call: 'mkdir', args: ['/d/e'] },
  { call: 'writeFile', args: ['/d/a', 1, 0] },
  { call: 'writeFile', args: ['/d/e/b', 2, 9 * B] },
  { call: 'writeFile', args: ['/c', 3, 3 * B] },
  { call: 'open', args: [0, '/d/a', 'r+'] },
  { call: 'write', args: [0, 1, 16 * B + 100, 248 * B] },
  { call: 'open', args: [1, '/d/e/b', 'r+'] },
  { call: 'open', args: [2, '/c', 'r+d'] },
  { call: 'open', args: [3, '/d/a', 'r+d'] },
  { call: 'sync', args: [] },
  { call: 'sync', args: [] },
];

export const WEIGHTS: Weights = {
  appendFile: 1,
  clone: 4,
  deleteSnapshot: 4,
  fsync: 10,
  link: 1,
  range: 3,
  rename: 2,
  rm: 3,
  snapshot: 3,
  sync: 30,
  truncate: 1,
  write: 60,
};

const PLACES = ['/x', '/y', '/d/z'];

/** A step of this kind. */
export function drawOverwrite(call: Step['call'], random: Random, runner: ModelRunner): Step {
  const args = argumentsOf(call, random, runner);
  return args === undefined ? draw(call, random, runner) : { call, args };
}

function argumentsOf(
  call: Step['call'],
  random: Random,
  runner: ModelRunner,
): Argument[] | undefined {
  switch (call) {
    case 'write':
      return write(random, runner);
    case 'clone':
      return [random.pick(['/d', '/d', '/d/e', '/d/a', '/c', '/d/e/b']), random.pick(PLACES)];
    case 'rm':
      return [random.pick(PLACES), true, true];
    case 'rename':
      return random.pick([
        ['/d/a', '/d/f'],
        ['/d/f', '/d/a'],
        ['/x', '/y'],
        ['/x/a', '/d/a'],
        ['/d/e', '/e'],
        ['/e', '/d/e'],
      ]);
    case 'snapshot':
    case 'deleteSnapshot':
      return [random.pick(['s1', 's2'])];
    default:
      return undefined;
  }
}

/** Within a file that is open, mostly whole blocks; seldom beyond its end. */
function write(random: Random, { open }: ModelRunner): Argument[] | undefined {
  const files = [...open].filter(([, { node }]) => node.bytes.size >= B);
  if (files.length === 0) return undefined;
  const [slot, { node }] = random.pick(files);
  const size = node.bytes.size + (random.chance(0.05) ? B : 0);
  // What is before is a hole, if there is more.
  const near = random.between(Math.max(0, size - 17 * B), size - 1);
  const whole = random.chance(0.7);
  const at = whole ? near - (near % B) : near;
  const length = whole ? random.between(1, 3) * B : random.between(1, 2 * B);
  return [slot, random.next(), Math.min(length, size - at), at];
}
