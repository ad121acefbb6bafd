/**
 * The clone matrix: what is cloned x what of it is in memory only x what is in it x the order in
 * which source, clone and clone of the clone are deleted. Each is changed after it was cloned; all
 * must stay what the model says, every count must be right, and in the end as many blocks must be
 * free as in the beginning.
 */
import { describe, expect, it } from 'vitest';
import type { ModelInode, Place } from './model.ts';
import { Scene } from './scene.ts';

const WHAT = ['file', 'directory', 'volume'] as const;
const STATE = ['dirty', 'clean', 'cold'] as const;
const CONTENT = ['plain', 'nested realm', 'hard links', 'both'] as const;
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

type What = (typeof WHAT)[number];
type Content = (typeof CONTENT)[number];

/** Files of all depths in a directory of its own, and what else is asked for. */
function plant(scene: Scene, content: Content): void {
  const { world, root } = scene;
  const directory = scene.makeDirectory(root, 'source');
  for (const [i, offset] of [0, 30_000, 3_000_000].entries()) {
    scene.makeFile(directory, `f${i}`);
    scene.write({ directory, name: `f${i}` }, offset, 9000);
  }
  scene.makeFile(directory, 'small', 100);
  const below = scene.makeDirectory(directory, 'below');
  scene.makeFile(below, 'deep', 20_000);
  if (content === 'nested realm' || content === 'both') {
    world.clone({ directory, name: 'below' }, { directory, name: 'realm' });
  }
  if (content === 'hard links' || content === 'both') {
    const f1 = { directory, name: 'f1' };
    world.link(f1, { directory: below, name: 'link' });
    world.link(f1, { directory: below, name: 'link 2' });
  }
}

/** A place whose inode is a file that the clone of `what` contains. */
function fileIn(scene: Scene, what: What, place: Place): Place {
  if (what === 'file') return place;
  const top = scene.at(place.directory, place.name);
  const directory = what === 'volume' ? scene.at(top, 'source') : top;
  return { directory, name: 'f1' };
}

function change(scene: Scene, what: What, place: Place, length: number): void {
  const file = fileIn(scene, what, place);
  scene.write(file, 30_000, length);
  const inode = scene.at(file.directory, file.name);
  scene.world.clear(inode, file, { offset: 36_864, length: 100, grow: false });
  if (what !== 'file') scene.makeFile(file.directory, `new ${length}`, length);
}

/** Removes what has a name: as one if it may go as one, else name by name. */
function remove(scene: Scene, place: Place): void {
  const { world } = scene;
  const inode = scene.at(place.directory, place.name);
  const asOne = !inode.linksBelow || inode.realm.root === inode;
  if (!inode.isDirectory) world.unlink(place, 'file');
  else if (asOne) world.unlink(place, 'tree');
  else {
    for (const name of [...inode.entries.keys()]) remove(scene, { directory: inode, name });
    world.unlink(place, 'directory');
  }
}

function places(scene: Scene, what: What): { from: Place | 'root'; all: [Place, Place, Place] } {
  const { root, snapshots } = scene;
  const source: Place = { directory: root, name: 'source' };
  if (what === 'volume') {
    const [one, two] = ['one', 'two'].map((name) => ({ directory: snapshots, name }));
    return { from: 'root', all: [source, one as Place, two as Place] };
  }
  const from = what === 'file' ? { directory: scene.at(root, 'source'), name: 'f1' } : source;
  const [one, two] = ['one', 'two'].map((name) => ({ directory: root, name }));
  return { from, all: [from, one as Place, two as Place] };
}

function live(
  what: What,
  state: (typeof STATE)[number],
  content: Content,
  order: readonly number[],
): void {
  const scene = new Scene();
  const { world } = scene;
  const free = world.freeBlocks();
  plant(scene, content);
  if (state === 'clean') world.commit();
  if (state === 'cold') scene.cool();
  const { from, all } = places(scene, what);
  const [source, one, two] = all;
  world.clone(from, one);
  if (what === 'volume') change(scene, 'directory', source, 5000);
  else change(scene, what, source, 5000);
  change(scene, what, one, 6000);
  world.clone(one, two);
  change(scene, what, two, 7000);
  scene.checkTwice();
  for (const index of order) {
    remove(scene, all[index] as Place);
    scene.check();
  }
  const rest: ModelInode | undefined = scene.root.entries.get('source');
  if (rest !== undefined) remove(scene, { directory: scene.root, name: 'source' });
  expect(world.freeBlocks()).toBe(free);
}

describe.each(WHAT)('a %s', { timeout: 120_000 }, (what) => {
  it.each(STATE.flatMap((state) => CONTENT.map((content) => [state, content] as const)))(
    'that is %s, with %s, and its clones go in any order',
    (state, content) => {
      for (const order of ORDERS) live(what, state, content, order);
    },
  );
});
