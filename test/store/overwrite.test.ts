/**
 * What a commit writes over (I5): nothing that the two newest durable roots lead to. Only what has
 * a fixed place is written in place, and there only what the newest root does not use (I7).
 *
 * After a mount it is the newest root alone, until the next commit: what the last txg has freed is
 * known to nobody any more.
 */
import { expect } from 'vitest';
import { seeded } from '../volume/seeds.ts';
import { overwritten } from './overwrites.ts';

seeded('no write touches what the two newest roots need', { count: 8 }, (random) => {
  expect(overwritten(random, 25)).toEqual([]);
});
