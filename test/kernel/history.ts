/** History: steps drawn from a seed, run on both sides, and made fewer if they fail. */
import type { CountWidth } from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import { Draw } from './draw.ts';
import { Exerciser } from './exerciser.ts';
import type { KernelSide } from './kernel-side.ts';
import { RametSide } from './ramet-side.ts';
import { type Step, showStep } from './steps.ts';

/** Steps that are run, at the most, to make a history smaller. */
const TRIED = 80_000;

/** Steps that are shown of one that cannot be made small. */
const SHOWN = 40;

interface Layout {
  readonly groupBlocks: number | undefined;
  /** Width 1 makes counts saturate at 3, so that blocks are copied instead of shared. */
  readonly countCap: CountWidth | undefined;
}

/** Runs so many steps. @throws if the sides disagree; the message has the steps that show it */
export async function runHistory(kernel: KernelSide, random: Random, count: number): Promise<void> {
  const layout = {
    groupBlocks: random.chance(0.5) ? 256 : undefined,
    countCap: random.chance(0.2) ? (1 as CountWidth) : undefined,
  };
  const draw = new Draw(random);
  const steps: Step[] = [];
  const failure = await failureOf(kernel, layout, (exerciser) => {
    if (steps.length === count) return undefined;
    const step = draw.next(exerciser.sizes);
    steps.push(step);
    return step;
  });
  if (failure === undefined) return;
  const fewer = await shrink(steps, (some) => failureOf(kernel, layout, () => some.shift()));
  const found = fewer.failure ?? failure;
  const shown = fewer.steps.slice(-SHOWN).map((step) => `  ${showStep(step)}`);
  found.message += `\nAfter ${steps.length} steps; ${fewer.steps.length} of them show it, at last:`;
  found.message += `\n${shown.join('\n')}\nThe volume: ${JSON.stringify(layout)}`;
  throw found;
}

/** What goes wrong in a life of new files, if anything does. */
async function failureOf(
  kernel: KernelSide,
  layout: Layout,
  next: (exerciser: Exerciser) => Step | undefined,
): Promise<Error | undefined> {
  try {
    using ramet = new RametSide(layout);
    const exerciser = new Exerciser(ramet, kernel);
    for (let step = next(exerciser); step !== undefined; step = next(exerciser)) {
      await exerciser.run(step);
    }
    await exerciser.compare();
    const faults = ramet.faults();
    return faults.length === 0 ? undefined : new Error(faults.join('\n'));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Leaves out what is not needed to fail, in ever smaller parts. */
async function shrink(
  steps: readonly Step[],
  run: (steps: Step[]) => Promise<Error | undefined>,
): Promise<{ steps: readonly Step[]; failure: Error | undefined }> {
  let least = steps;
  let failure: Error | undefined;
  let tried = 0;
  for (let part = Math.ceil(steps.length / 2); part > 0; part = part >> 1) {
    for (let at = 0; at < least.length && tried < TRIED; ) {
      const some = [...least.slice(0, at), ...least.slice(at + part)];
      tried += some.length + 1;
      const found = await run([...some]);
      if (found === undefined) {
        at += part;
        continue;
      }
      least = some;
      failure = found;
    }
  }
  return { steps: least, failure };
}
