/**
 * Properties whose failures begin with the one line that shows them again.
 */
import { relative } from 'node:path';
import fc from 'fast-check';
import { expect } from 'vitest';

export interface Cases {
  readonly numRuns?: number;
  /** The same cases each time, for a failure that is known and need not be made small. */
  readonly casesFrom?: number;
}

/** Checks a property. */
export async function holds(
  property: fc.IRawProperty<unknown>,
  { numRuns, casesFrom: seed }: Cases = {},
): Promise<void> {
  await fc.assert(property, {
    reporter,
    ...(numRuns !== undefined && { numRuns }),
    ...(seed !== undefined && { seed, endOnFailure: true }),
  });
}

function reporter(details: fc.RunDetails<unknown>): void {
  if (!details.failed) return;
  const { currentTestName = '', testPath = '' } = expect.getState();
  const title = currentTestName.split(' > ').at(-1) ?? '';
  const file = relative('.', testPath);
  throw new Error(
    `RAMET_SEED=${details.seed} npx vitest run ${file} -t '${title}'\n` +
      fc.defaultReportMessage(details),
    { cause: details.errorInstance },
  );
}
