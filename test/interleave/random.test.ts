/**
 * Random: up to eight operations under way at once on a file and its clone. What comes when is
 * drawn, two completions may come in one turn, and in the last suite calls of the device fail.
 */
import { afterAll } from 'vitest';
import type { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { Path } from './choices.ts';
import { drawOperations } from './draw.ts';
import { type PlayOptions, play } from './play.ts';
import { makeScene, type SceneTitle } from './scenes.ts';
import { tell } from './schedules.ts';

const scenes = new Map(
  (['clean', 'dirty', 'cold', 'inplace'] as const).map(
    (title) => [title, makeScene(title)] as const,
  ),
);

const totals = { histories: 0, operations: 0, calls: 0, faults: 0 };

async function history(
  random: Random,
  most: number,
  more: Partial<PlayOptions> = {},
): Promise<void> {
  const title = random.pick<SceneTitle>(['clean', 'dirty', 'cold']);
  const operations = drawOperations(random, random.between(2, most));
  const scene = await (scenes.get(title) as ReturnType<typeof makeScene>);
  const path = new Path([], random.fork());
  const played = await play({ scene, operations, path, bursts: random.fork(), ...more });
  totals.histories++;
  totals.operations += operations.length;
  totals.calls += played.calls;
  totals.faults += played.faults;
}

seeded('up to four operations at once', { count: 250 }, (random) => history(random, 4));

seeded('up to eight operations at once', { count: 250 }, (random) => history(random, 8));

seeded(
  'up to eight operations at once on files that are overwritten in place',
  { count: 100 },
  async (random) => {
    const scene = await (scenes.get('inplace') as ReturnType<typeof makeScene>);
    const operations = drawOperations(random, random.between(2, 8), true);
    await play({ scene, operations, path: new Path([], random.fork()), bursts: random.fork() });
  },
);

seeded('up to six operations at once, and calls that fail', { count: 250 }, (random) => {
  const dice = random.fork();
  return history(random, 6, { fails: () => dice.chance(0.05) });
});

afterAll(() => {
  const { histories, operations, calls, faults } = totals;
  tell(`${histories} histories of ${operations} operations, ${calls} calls, ${faults} failed`);
});
