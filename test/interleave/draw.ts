/**
 * Draw: operations of any kind, with ranges of any kind, on small files.
 */
import type { Random } from '../../src/testing/index.ts';
import { B } from './files.ts';
import type { FileOperation, Name } from './operations.ts';
import * as operations from './operations.ts';

/** Blocks that ranges reach to. */
const BLOCKS = 8;

type Drawer = (random: Random, name: Name, tag: number) => FileOperation;

interface DrawnRange {
  readonly at: number;
  readonly length: number;
}

/** Bytes, as they come. */
function bytesFrom(random: Random): DrawnRange {
  const at = random.below((BLOCKS - 2) * B);
  return { at, length: random.between(1, random.pick([50, B, 3 * B])) };
}

/** Whole blocks. */
function blocksFrom(random: Random): DrawnRange {
  return { at: random.below(BLOCKS - 2) * B, length: random.between(1, 3) * B };
}

const either = (random: Random): DrawnRange =>
  random.chance(0.5) ? bytesFrom(random) : blocksFrom(random);

function twoRanges(
  random: Random,
  alike: boolean,
): {
  sourceAt: number;
  at: number;
  length: number;
} {
  const { at, length } = alike ? blocksFrom(random) : bytesFrom(random);
  const within = alike ? 0 : random.pick([0, at % B]);
  return { sourceAt: random.below(4) * B + within, at, length };
}

/** The other file mostly, else the same. */
const sourceFor = (random: Random, name: Name): Name =>
  random.chance(0.2) ? name : name === 'f' ? 'c' : 'f';

const DRAWERS: readonly Drawer[] = [
  (random, name) => operations.reading(name, ...values(either(random))),
  (random, name, tag) => operations.writing(name, ...values(either(random)), tag),
  (random, name, tag) => operations.writing(name, ...values(either(random)), tag),
  (random, name) => operations.reading(name, ...values(either(random)), 'direct'),
  (random, name, tag) => operations.writing(name, ...values(either(random)), tag, 'direct'),
  (random, name) => operations.viewing(name, ...values(either(random))),
  (random, name, tag) => operations.storing(name, ...values(either(random)), tag),
  (random, name, tag) => operations.appending(name, random.between(1, 2 * B), tag),
  (random, name) => operations.truncating(name, random.below(BLOCKS * B)),
  (random, name) => operations.truncating(name, random.below(BLOCKS) * B),
  (random, name) => operations.punching(name, ...values(either(random))),
  (random, name) => operations.zeroing(name, ...values(either(random))),
  (random, name) => operations.allocating(name, ...values(either(random)), random.chance(0.3)),
  (random, name) => operations.collapsing(name, ...values(blocksFrom(random))),
  (random, name) => operations.inserting(name, ...values(blocksFrom(random))),
  (random, name) => operations.unsharing(name, ...values(either(random))),
  (random, name) => operations.makingWritable(name, ...values(blocksFrom(random))),
  (random, name) => operations.cloningRange(sourceFor(random, name), name, twoRanges(random, true)),
  (random, name) => operations.cloningRange(sourceFor(random, name), name, twoRanges(random, true)),
  (_, name) =>
    operations.cloningRange(name === 'f' ? 'c' : 'f', name, { sourceAt: 0, at: 0, length: 0 }),
  (random, name) => operations.deduping(sourceFor(random, name), name, twoRanges(random, true)),
  (random, name) =>
    operations.copyingRange(name === 'f' ? 'c' : 'f', name, twoRanges(random, random.chance(0.5))),
  (_, name, tag) => operations.cloningFile(name, `n${tag}`),
  (_, name) => operations.writingBack(name),
  (_, name) => operations.syncing(name),
  (random, name) => operations.seeking(name, bytesFrom(random).at, random.pick(['data', 'hole'])),
];

const values = ({ at, length }: DrawnRange): [at: number, length: number] => [at, length];

/** Those that meet data on its way to where it came from. */
const OVERWRITERS: readonly Drawer[] = [
  ...DRAWERS.slice(0, 7),
  (random, name, tag) => operations.writing(name, ...values(either(random)), tag, 'direct'),
  (_, name) => operations.syncing(name),
  (_, name) => operations.writingBack(name),
  (_, name) => operations.writingBack(name),
  (_, name) => operations.syncing(name),
  ...DRAWERS.slice(-10),
];

/** Operations on the file or its clone; what each of them writes is told apart. */
export function drawOperations(random: Random, count: number, inplace = false): FileOperation[] {
  const drawers = inplace ? OVERWRITERS : DRAWERS;
  const drawn: FileOperation[] = [];
  while (drawn.length < count) {
    const draw = random.pick(drawers);
    drawn.push(draw(random, random.pick(['f', 'c'] as const), drawn.length + 1));
  }
  return drawn;
}
