/**
 * A bug: an operation that waited for its range asked for what was stored in a view that had been
 * made meanwhile. The copy out of that waited for the range, and both for ever.
 */
import { expect, it } from 'vitest';
import { Random } from '../../src/testing/index.ts';
import { Path } from './choices.ts';
import { drawOperations } from './draw.ts';
import { play } from './play.ts';
import { makeScene } from './scenes.ts';

/** One of a thousand histories showed it. Its clone range waits for a map of the range. */
const HISTORY = 200;

it('who has asked for a range before a view was made does not wait for that', async () => {
  const random = new Random(HISTORY);
  const operations = drawOperations(random, random.between(2, 8));
  const path = new Path([], random.fork());
  const scene = await makeScene('inplace');
  const played = await play({ scene, operations, path, bursts: random.fork() });
  expect(played.failed).toBe(0);
});
