/**
 * The same histories on a volume and on the kernel's XFS come to the same, byte for byte and hole
 * for hole. Needs root, mkfs.xfs and python3; tools/ci-packages.sh installs what is missing.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { seeded } from '../volume/seeds.ts';
import { DIFFERENCES } from './differences.ts';
import { runHistory } from './history.ts';
import { KernelSide } from './kernel-side.ts';
import { RametSide } from './ramet-side.ts';
import { type FileName, type Outcome, STEP, type Step, showOutcome } from './steps.ts';

/** Seeds, and the steps of each. The first steps of a longer history are those of a shorter one. */
const SEEDS = 40;
const long = process.env['RAMET_LONG'] === '1' || process.env['RAMET_SEED'] !== undefined;
const STEPS = long ? 2500 : 500;

const kernel = KernelSide.start();
const missing = typeof kernel === 'string';
if (missing) process.stderr.write(`WARNING: Skipped, no XFS to compare with: ${kernel}\n`);

afterAll(() => {
  if (!missing) kernel[Symbol.dispose]();
});

describe.skipIf(missing)('a volume and the kernel', () => {
  seeded('agree on random histories', { count: SEEDS, timeoutMs: 360_000 }, async (random) => {
    await runHistory(kernel as KernelSide, random, STEPS);
  });

  const cases = DIFFERENCES.map(
    (difference) => [difference.name, difference.why, difference] as const,
  );
  it.each(cases)('differ: %s, %s', async (_name, _why, { steps, ...wanted }) => {
    using ramet = new RametSide({});
    const theirs = kernel as KernelSide;
    theirs.clear();
    const found = { ramet: '', kernel: '' };
    for (const part of steps) {
      const step = { ...STEP, ...part };
      found.ramet = await say(ramet, step);
      found.kernel = await say(theirs, step);
    }
    expect(found).toEqual({ ramet: wanted.ramet, kernel: wanted.kernel });
  });
});

interface Side {
  apply(step: Step): Outcome | Promise<Outcome>;
  runs(file: FileName): readonly number[] | Promise<readonly number[]>;
}

/** The outcome of a step, and where there is data in its file then. */
async function say(side: Side, step: Step): Promise<string> {
  let said: string;
  try {
    said = showOutcome(await side.apply(step));
  } catch (error) {
    said = errorCode(error) ?? String(error);
  }
  const runs = await side.runs(step.file);
  const ends = runs.flatMap((at, i) => (i % 2 === 0 ? [`${at}-${runs[i + 1]}`] : []));
  return [said, ...ends].join(' ');
}
