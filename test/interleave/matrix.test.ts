/**
 * The matrix: every operation x what lies where it works x how its range is aligned x whether data
 * is dirty there. No cell is left out without a reason that is tested.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { cellsOf, IMPOSSIBLE, OPERATIONS, REFUSED } from './cells.ts';
import { runCell } from './matrix.ts';
import { tell } from './schedules.ts';

const totals = { done: 0, refused: 0, impossible: 0 };
/** Reasons that were met. */
const met = new Set<string>();

describe('every source, alignment and cache', () => {
  it.each(Object.keys(OPERATIONS))('%s', { timeout: 60_000 }, async (operation) => {
    for (const cell of cellsOf(operation)) {
      const { kind, reason } = await runCell(cell);
      totals[kind]++;
      if (reason !== undefined) met.add(reason);
    }
  });

  it('meets every reason', () => {
    const reasons = [...REFUSED, ...IMPOSSIBLE].map(({ reason }) => reason);
    expect([...met].sort()).toEqual(reasons.sort());
  });
});

afterAll(() => {
  const { done, refused, impossible } = totals;
  tell(`${done + refused} cells, ${refused} refused; ${impossible} impossible`);
});
