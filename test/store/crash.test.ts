/**
 * Power cuts: a commit that is cut off anywhere leaves the volume as it was before or as it was to
 * be, nothing in between, and a volume that can go on.
 */
import { MIB } from '../../src/base/index.ts';
import { History } from '../volume/history.ts';
import { seeded } from '../volume/seeds.ts';
import { World } from '../volume/world.ts';
import { CUT_OPTIONS, cutEverywhere } from './cuts.ts';
import { TapeDevice } from './tape.ts';

/** Steps that commit on their own would make two commits of one. */
const WEIGHTS = { commit: 0, remount: 0, crowd: 0, snapshot: 2 };

seeded('crash: a commit leaves the state before it or after it', { count: 6 }, (random) => {
  const tape = new TapeDevice(new Uint8Array(random.pick([1, 2]) * MIB));
  const world = new World(tape, { ...CUT_OPTIONS, countCap: random.pick([1, 2, 4]) });
  world.mayBeFull = true;
  const history = new History(world, { random, sizeMax: 40_000, weights: WEIGHTS });
  for (let i = 0; i < 5; i++) {
    tape.rewind();
    const before = world.model.copy();
    history.run(random.between(1, 12));
    world.commit();
    // A volume that ran full has committed more than once.
    if (tape.flushes === 2) cutEverywhere(tape, { before, after: world.model.copy() }, random);
  }
});
