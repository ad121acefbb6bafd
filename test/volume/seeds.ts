/**
 * Seeds: how tests that draw by chance are run, and run again.
 *
 * A test draws everything from one seed. RAMET_SEED=7 runs that seed only, RAMET_SEED=1..500 that
 * range; RAMET_LONG=1 runs ten times as many as usual. What fails says how to see it again.
 */
import { expect, test } from 'vitest';
import { Random } from '../../src/testing/index.ts';

const asked = process.env['RAMET_SEED'];
const long = process.env['RAMET_LONG'] === '1';

interface SeededOptions {
  /** Seeds to run by default: 1 to `count`. */
  readonly count: number;
  readonly timeoutMs?: number;
}

/** A test that is run once for each seed. */
export function seeded(
  title: string,
  { count, timeoutMs = 120_000 }: SeededOptions,
  body: (random: Random) => void | Promise<void>,
): void {
  const timeout = asked === undefined ? timeoutMs * (long ? 10 : 1) : 2 ** 30;
  test(title, { timeout }, async () => {
    for (const seed of seedsOf(count)) {
      try {
        await body(new Random(seed));
      } catch (error) {
        throw replayable(error, seed, title);
      }
    }
  });
}

function seedsOf(count: number): number[] {
  const [first = '1', last = first] =
    asked === undefined ? ['1', String(long ? count * 10 : count)] : asked.split('..');
  const from = Number(first);
  return Array.from({ length: Number(last) - from + 1 }, (_, i) => from + i);
}

/** The failure, with the one line that replays it. */
function replayable(error: unknown, seed: number, title: string): Error {
  const file = expect.getState().testPath?.replace(`${process.cwd()}/`, '') ?? '';
  const found = error instanceof Error ? error : new Error(String(error));
  // What is drawn may depend on how long it may take.
  const how = `${long ? 'RAMET_LONG=1 ' : ''}RAMET_SEED=${seed}`;
  found.message += `\nSee it again: ${how} npx vitest run ${file} -t '${title}'`;
  return found;
}
