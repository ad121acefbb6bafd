/**
 * Random histories of a whole volume against the model in which a clone is a deep copy: everything
 * that can be seen is compared, every count is counted anew, and in the end all space comes back.
 */

import { live, ODD, PLAIN, TIGHT } from './lives.ts';
import { seeded } from './seeds.ts';

seeded('a history with few inodes in memory', { count: 6 }, (random) => {
  const extentBlocks = random.pick([0, 4, 16]);
  live(random, { ...PLAIN, vnodeLimit: random.pick([1, 8, 256]), extentBlocks });
});

seeded('a history with nothing in memory between two steps', { count: 6 }, (random) => {
  live(random, { ...ODD, countCap: random.pick([2, 4]), cold: true });
});

seeded('a history with counts of two bits', { count: 6 }, (random) => {
  live(random, { ...ODD, countCap: 1, cold: random.chance(0.5) });
});

seeded('a history with little memory', { count: 4 }, (random) => {
  live(random, { ...TIGHT, countCap: 4 });
});
