/**
 * The whole API against a plain model in which a clone is a deep copy: random calls by both faces,
 * on a device that answers at once and on one that answers in any order.
 */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { holds } from '../iomap/property.ts';
import { type Life, live, turns, type Weights } from './history.ts';
import type { Step } from './steps.ts';

/** Four groups of 1,024 blocks, and counts of two bits. */
const ODD: Life = {
  size: 16 * MIB,
  groupBlocks: 1024,
  countCap: 1,
  logBlocks: 8,
  cacheBytes: 4 * MIB,
};
/** Copying a node whose children are all saturated takes that much at once. */
const COPYING = 16 * MIB;
const PLAIN: Life = { size: 32 * MIB, logBlocks: 8, cacheBytes: 4 * MIB };

/** Names and contents so long that four fill a leaf: 168 leaves are more than one node can name. */
const CROWD: Step[] = [
  { call: 'mkdir', args: ['/crowd'] },
  ...Array.from({ length: 800 }, (_, i): Step => {
    const name = `${i} `.padEnd(200, 'abcdefgh');
    return { call: 'writeFile', args: [`/crowd/${name}`, i, 700] };
  }),
];

const long = process.env['RAMET_LONG'] === '1';

/** Far more than the histories need: a failure is made small before it is reported. */
const TIMEOUT_MS = long ? 3_600_000 : 300_000;

function history(life: Life, count: number, runs: number, weights: Weights = {}): Promise<void> {
  return holds(
    fc.asyncProperty(turns(count, weights), fc.noShrink(fc.nat()), (steps, seed) =>
      live(steps, seed, life),
    ),
    { numRuns: long ? runs * 20 : runs },
  );
}

describe('the API does as the model', { timeout: TIMEOUT_MS }, () => {
  it('on a volume of one group', async () => {
    await history(PLAIN, 120, 30);
  });

  it('on four groups with counts of two bits', async () => {
    await history(ODD, 120, 30, { clone: 14, snapshot: 4 });
  });

  it('with names in several clones', async () => {
    const weights = { clone: 20, link: 25, rename: 20, rm: 6, rmdir: 10, unlink: 10 };
    await history(ODD, 120, 40, weights);
  });

  it('on trees of three levels', async () => {
    await history({ ...ODD, cacheBytes: COPYING, before: CROWD, levels: 3 }, 60, 5);
  });
});
