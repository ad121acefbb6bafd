/** Keyed trees against sorted maps, alone and shared; and what once went wrong in them. */
import { describe, expect, it } from 'vitest';
import { TreeRig } from '../../test/tree/rig.ts';
import { type ModelTree, TreeHistory } from '../../test/tree/tree-history.ts';
import { seeded } from '../../test/volume/seeds.ts';
import { MIB } from '../base/index.ts';
import { LEAF_ENTRY_SIZE, NODE_HEADER_SIZE, RECORD_MAX } from '../format/index.ts';
import { Random } from '../testing/index.ts';

/** A record of which three fill a leaf. */
const BIG = { length: RECORD_MAX, fill: 1 };
const SMALL = { length: 120, fill: 2 };
/** Full leaves that an interior node has when it is split at its end. */
const FULL = 167;

interface Scene {
  readonly rig: TreeRig;
  readonly history: TreeHistory;
  readonly tree: ModelTree;
}

function scene(): Scene {
  const rig = new TreeRig({ size: 32 * MIB });
  const history = new TreeHistory(rig, new Random(1));
  return { rig, history, tree: history.trees[0] as ModelTree };
}

/** Fails unless all trees hold what they should and every count is right, read from the device. */
function check({ rig, history }: Pick<Scene, 'rig' | 'history'>): void {
  rig.commit();
  rig.store.blocks.evictAll();
  for (const tree of history.trees) expect(history.differences(tree)).toEqual([]);
  expect(rig.audit()).toEqual([]);
}

function insertAll({ history, tree }: Scene, keys: Iterable<number>, record = SMALL): void {
  for (const key of keys) history.insert(tree, key, record);
}

function removeAll({ history, tree }: Scene, keys: Iterable<number>): void {
  for (const key of keys) history.remove(tree, key);
}

/** Keys 100 apart, from the one with index `first` to before the one with index `end`. */
function steps(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => 100 * (first + i));
}

/** How full the leaves are on average, and how many there are. */
function leaves({ rig, tree }: Scene): { count: number; fill: number } {
  const count = rig.walk().levels[0] ?? 0;
  let used = 0;
  for (const { length } of tree.records.values()) used += length + LEAF_ENTRY_SIZE;
  return { count, fill: used / (count * (4096 - NODE_HEADER_SIZE)) };
}

describe('a keyed tree', () => {
  it('has no node without records, and none again when the last one goes', () => {
    const it = scene();
    check(it);
    const { free } = it.rig.store.groups;
    insertAll(it, steps(0, 700), BIG);
    check(it);
    removeAll(it, new Random(7).shuffle(it.tree.keys));
    check(it);
    expect(it.rig.store.groups.free).toBe(free);
  });

  it.each([
    ['ascending', (keys: number[]) => keys, 0.9],
    ['descending', (keys: number[]) => keys.reverse(), 0.45],
    ['random', (keys: number[]) => new Random(3).shuffle(keys), 0.55],
  ])('fills its leaves when keys come in %s order', (_order, arrange, least) => {
    const it = scene();
    insertAll(it, arrange(steps(0, 1500)));
    check(it);
    expect(leaves(it).fill).toBeGreaterThan(least);
  });

  // A full leaf stayed full when a key came after all of its keys, as is right at the end of the
  // tree. Before another leaf, keys in descending order were given a leaf each.
  it('does not give keys a leaf each that come between two leaves, highest first', () => {
    const it = scene();
    insertAll(it, steps(0, 60));
    insertAll(it, steps(100_000, 100_060));
    insertAll(it, steps(50_000, 50_300).reverse());
    check(it);
    expect(leaves(it).fill).toBeGreaterThan(0.4);
  });

  it('is small again when it was emptied at random', () => {
    const it = scene();
    insertAll(it, steps(0, 2000));
    const before = leaves(it).count;
    removeAll(it, new Random(5).shuffle(it.tree.keys).slice(100));
    check(it);
    expect(leaves(it).count).toBeLessThan(before / 5);
  });

  // The key of a first child rose when the child before it went. Lower keys came in below it, their
  // leaf was split, and the second child had a lower key than the first: the node could be written
  // but not be read again.
  it('takes keys below the first one again when its first leaf is gone', () => {
    const it = scene();
    insertAll(it, steps(1, 10), BIG);
    removeAll(it, steps(1, 4));
    insertAll(it, [50, 40, 30, 20], BIG);
    check(it);
  });

  // The same, and then the node was joined with the one before it. The key of its first child stood
  // between both; records below that key were looked for on the wrong side of it.
  it('finds records below the first key of a node that was joined', () => {
    const it = scene();
    insertAll(it, steps(0, 600), BIG);
    const first = 3 * FULL;
    removeAll(it, steps(first, first + 3));
    insertAll(it, [100 * first + 50], BIG);
    removeAll(it, steps(0, 300));
    removeAll(it, steps(597, 600));
    check(it);
  });

  // A node that two trees shared and that had one child became the root of one of them, and gave
  // way to its child at once: the child then had two references and a count of one.
  it('keeps a shared root with one child', () => {
    const it = scene();
    const { history, tree } = it;
    insertAll(it, steps(0, 3 * FULL + 4), BIG);
    removeAll(it, steps(3 * FULL + 3, 3 * FULL + 4));
    history.clone(tree);
    removeAll(it, steps(0, 3 * FULL));
    check(it);
    history.drop(tree);
    check(it);
  });

  // Two records went in one operation, as in a rename over another name. One alone would not have
  // left the leaf sparse, so the neighbour with which it was to be joined had not been asked for.
  it('leaves a neighbour alone that is not at hand', () => {
    const it = scene();
    const { rig, tree, history } = it;
    insertAll(it, steps(0, 3), BIG);
    insertAll(it, [1000, 1100], BIG);
    insertAll(it, [1200], { length: 600, fill: 3 });
    insertAll(it, steps(20, 26), BIG);
    rig.commit();
    rig.store.blocks.evictAll();
    const gone = [1000, 1100];
    rig.change(
      (plan) => gone.every((key) => rig.trees.planRemove(tree.root, key, false, plan)),
      () => {
        for (const key of gone) rig.trees.remove(tree.root, key);
      },
    );
    for (const key of gone) tree.records.delete(key);
    check({ rig, history });
  });
});

describe('keyed trees and their clones', () => {
  seeded('are what sorted maps are', { count: 12 }, (random) => {
    const rig = new TreeRig({
      size: random.pick([8, 16]) * MIB,
      groupBlocks: random.pick([256, 4096]),
      countCap: random.pick([1, 2, 4]),
    });
    const history = new TreeHistory(rig, random);
    const cold = random.chance(0.5);
    const span = random.pick([50, 3000, 2 ** 52]);
    for (let i = 0; i < 500; i++) {
      if (cold) rig.store.blocks.evictAll();
      history.step(span);
      if (i % 50 === 49) check({ rig, history });
    }
  });

  seeded('are what sorted maps are when they are high', { count: 3 }, (random) => {
    const rig = new TreeRig({ size: 40 * MIB, countCap: random.pick([1, 2, 4]) });
    const history = new TreeHistory(rig, random);
    for (let round = 0; round < 10; round++) {
      const grow = round < 3 ? 0.9 : random.fraction();
      for (let i = 0; i < 250; i++) history.bigStep(grow);
      if (random.chance(0.3)) history.clone(random.pick(history.trees));
      check({ rig, history });
    }
  });
});
