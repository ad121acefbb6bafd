/**
 * Pairs: every interleaving of any two operations on a file and its clone, which share blocks.
 *
 * Each pair is run once for each order in which the second may begin and the calls of the device
 * may be completed. Whatever the order, both have come to what they come to one after the other,
 * or part by part where the API says so; the volume is sound, and the same after a commit and a
 * mount. Of pairs with very many orders some are run and some drawn.
 */
import { afterAll, describe, it } from 'vitest';
import { Random } from '../../src/testing/index.ts';
import { everyPath } from './choices.ts';
import type { SceneTitle } from './scenes.ts';
import {
  askedSchedule,
  LONG,
  NAMES,
  type Pair,
  runSchedule,
  type Schedule,
  tell,
} from './schedules.ts';

/** The other scenes are for the long run. */
const SCENES: readonly SceneTitle[] = LONG ? ['dirty', 'clean', 'cold'] : ['dirty'];
/** Paths of one pair; of those that have more, some more are drawn. */
const MOST = LONG ? 120 : 6;

/** Operations of which any three meet on one file: the locks know them all. */
const THREES = [
  'append',
  'write unaligned',
  'truncate down',
  'punch',
  'collapse',
  'clone range',
  'dedupe',
  'writeback',
];
/** Paths of three. */
const MOST_OF_THREE = LONG ? 60 : 2;

const totals = { pairs: 0, complete: 0, runs: 0 };

async function everyInterleaving(pair: Pair, most: number): Promise<void> {
  const random = new Random(1);
  const { runs, all } = await everyPath(most, random, async (path) => {
    await runSchedule({ pair, path });
  });
  totals.pairs++;
  totals.runs += runs;
  if (all) totals.complete++;
}

function pairsOf(scene: SceneTitle, first: string): Pair[] {
  return NAMES.flatMap((second) =>
    (['f', 'c'] as const).map((on) => ({ scene, first, second, on })),
  );
}

const asked = askedSchedule();

async function everyPair(pairs: readonly Pair[], most: number): Promise<void> {
  for (const pair of pairs) await everyInterleaving(pair, most);
}

const timeout = LONG ? 2 ** 30 : 60_000;

describe.skipIf(asked !== undefined).each(SCENES)('%s files', (scene) => {
  it.each(NAMES)('%s beside any other', { timeout }, (first) =>
    everyPair(pairsOf(scene, first), MOST),
  );
});

describe.skipIf(asked !== undefined)('three on a file that is not in memory', () => {
  it.each(THREES)('%s before any two others', { timeout }, (first) =>
    everyPair(
      THREES.flatMap((second) =>
        THREES.map((third) => {
          return { scene: 'cold', first, second: `${second} + ${third}`, on: 'f' } as const;
        }),
      ),
      MOST_OF_THREE,
    ),
  );
});

it.runIf(asked !== undefined)('the schedule that was asked for', async () => {
  await runSchedule(asked as Schedule);
});

afterAll(() => {
  const { pairs, complete, runs } = totals;
  tell(`${runs} interleavings of ${pairs} pairs and threes; of ${complete} all there are`);
});
