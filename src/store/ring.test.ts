/** Ring: what waits for it to turn, and what of the group index is written. */
import { describe, expect, it } from 'vitest';
import type { Block } from '../base/index.ts';
import { Ring } from './ring.ts';

describe('Ring', () => {
  it('lets go of blocks when all of its superblocks are alike', () => {
    const ring = new Ring(2);
    expect(ring.isTurning).toBe(false);
    ring.turn();
    ring.hold(7 as Block);
    for (let i = 0; i < 3; i++) expect(ring.written()).toEqual([]);
    expect(ring.isTurning).toBe(true);
    expect(ring.written()).toEqual([7]);
    expect(ring.isTurning).toBe(false);
    expect(ring.written()).toEqual([]);
  });

  it('writes the blocks of an index that a place does not hold yet, in runs', () => {
    const ring = new Ring(0);
    const runs = (place: 0 | 1, ...groups: number[]): [number, number][] =>
      ring.indexRuns(place, groups, 6).map(({ first, end }) => [first, end]);
    expect(runs(0)).toEqual([[0, 6]]);
    expect(runs(1, 3)).toEqual([[0, 6]]);
    // What was written to the other place meanwhile is not here yet.
    expect(runs(0)).toEqual([[0, 1]]);
    expect(runs(0)).toEqual([]);
    expect(runs(0, 1024, 0, 255, 1023)).toEqual([
      [0, 1],
      [3, 5],
    ]);
    expect(runs(1, 1535)).toEqual([
      [0, 1],
      [3, 6],
    ]);
    expect(runs(0)).toEqual([[5, 6]]);
    ring.turn();
    expect(runs(0)).toEqual([[0, 6]]);
  });
});
