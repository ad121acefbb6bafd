/**
 * Faults: two operations side by side, and one call of the device fails, each in turn.
 *
 * Who needed the call fails with `EIO` and has done nothing, or only whole parts of what it does in
 * several; nobody else notices. Once more it works, and everything can be made durable. Where the
 * call was of a commit that had closed, nothing changes any more, and the device has what it had.
 */
import { afterAll, describe, it } from 'vitest';
import { Path } from './choices.ts';
import {
  askedSchedule,
  LONG,
  NAMES,
  type Pair,
  runSchedule,
  type Schedule,
  tell,
} from './schedules.ts';

/** Both at once; and in the long run the second after the first or second call of the first. */
const PATHS: readonly string[] = LONG ? ['0', '1', '1.1'] : ['0'];

const totals = { pairs: 0, runs: 0, failed: 0 };

async function everyFault(pair: Pair, path: string): Promise<void> {
  for (let fault = 0; ; fault++) {
    const played = await runSchedule({ pair, path: Path.parse(path), fault });
    totals.runs++;
    totals.failed += played.failed;
    if (played.faults === 0) break;
  }
  totals.pairs++;
}

function pairsOf(first: string): Pair[] {
  const scenes = LONG ? (['dirty', 'clean', 'cold'] as const) : (['dirty'] as const);
  return scenes.flatMap((scene) =>
    NAMES.flatMap((second, i) => {
      const sides = LONG ? (['f', 'c'] as const) : ([i % 2 === 0 ? 'f' : 'c'] as const);
      return sides.map((on) => ({ scene, first, second, on }));
    }),
  );
}

describe.skipIf(askedSchedule() !== undefined)('a call of the device fails', () => {
  it.each(NAMES)('during %s', { timeout: LONG ? 2 ** 30 : 60_000 }, async (first) => {
    for (const pair of pairsOf(first)) {
      for (const path of PATHS) await everyFault(pair, path);
    }
  });
});

it.runIf(askedSchedule() !== undefined)('the schedule that was asked for', async () => {
  await runSchedule(askedSchedule() as Schedule);
});

afterAll(() => {
  const { pairs, runs, failed } = totals;
  tell(`${runs} faults of ${pairs} pairs, ${failed} operations failed`);
});
