/**
 * Random changes of keyed trees and their clones, each held against a sorted map.
 */

import type { Random } from '../../src/testing/index.ts';
import { KeyedPosition } from '../../src/tree/index.ts';
import { BareTree, type TreeRig } from './rig.ts';
import { type ModelRecord, readModelRecord, SHORTEST, writeModelRecord } from './sorted-model.ts';

/** A tree and what should be in it. */
export class ModelTree {
  readonly root = new BareTree();
  readonly records = new Map<number, ModelRecord>();

  get keys(): number[] {
    return [...this.records.keys()].sort((a, b) => a - b);
  }
}

export class TreeHistory {
  readonly rig: TreeRig;
  readonly random: Random;
  readonly position = new KeyedPosition();
  trees: ModelTree[] = [];

  constructor(rig: TreeRig, random: Random) {
    this.rig = rig;
    this.random = random;
    this.plant();
  }

  /** A tree without records. */
  plant(): ModelTree {
    const tree = new ModelTree();
    this.rig.roots.add(tree.root);
    this.trees.push(tree);
    return tree;
  }

  insert(tree: ModelTree, key: number, record: ModelRecord): void {
    const { trees, store } = this.rig;
    const { position } = this;
    this.rig.change(
      (plan) => {
        const found = trees.find(tree.root, key, position, plan);
        if (found === 'found') throw new Error(`key ${key} is there already`);
        return found === 'none' && trees.planInsert(tree.root, key, false, plan);
      },
      () => {
        trees.insert(tree.root, key, record.length, position);
        writeModelRecord(store.blocks.bytes, position.at, record);
      },
    );
    tree.records.set(key, record);
  }

  remove(tree: ModelTree, key: number): void {
    const { trees } = this.rig;
    this.rig.change(
      (plan) => this.#find(tree, key, plan) && trees.planRemove(tree.root, key, false, plan),
      () => trees.remove(tree.root, key),
    );
    tree.records.delete(key);
  }

  resize(tree: ModelTree, key: number, record: ModelRecord): void {
    const { trees, store } = this.rig;
    const { position } = this;
    this.rig.change(
      (plan) => this.#find(tree, key, plan) && trees.planInsert(tree.root, key, false, plan),
      () => {
        trees.resize(tree.root, key, record.length, position);
        writeModelRecord(store.blocks.bytes, position.at, record);
      },
    );
    tree.records.set(key, record);
  }

  clone(tree: ModelTree): ModelTree {
    const copy = new ModelTree();
    this.rig.clone(tree.root, copy.root);
    for (const [key, record] of tree.records) copy.records.set(key, record);
    this.trees.push(copy);
    return copy;
  }

  drop(tree: ModelTree): void {
    this.rig.drop(tree.root);
    this.trees = this.trees.filter((other) => other !== tree);
  }

  /** Does one thing to one of the trees; keys are drawn below `span`. */
  step(span: number): void {
    const { random, rig } = this;
    const tree = random.pick(this.trees);
    const keys = [...tree.records.keys()];
    const draw = random.fraction();
    if (draw < 0.02 && this.trees.length < 5) this.clone(tree);
    else if (draw < 0.03 && this.trees.length > 1) this.drop(tree);
    else if (draw < 0.05) rig.commit();
    else if (draw < 0.6 || keys.length === 0) {
      const key = this.#newKey(keys, span);
      if (!tree.records.has(key)) this.insert(tree, key, this.record());
    } else if (draw < 0.7) this.resize(tree, random.pick(keys), this.record());
    else this.#removeSome(tree, random.pick([1, 1, 1, 10, 40]));
  }

  /** The same with records of which few fit a leaf: inserts with probability `grow`, or removes. */
  bigStep(grow: number): void {
    const { random } = this;
    const tree = random.pick(this.trees);
    const key = random.below(1_000_000);
    if (random.chance(grow) || tree.records.size === 0) {
      const length = random.between(700 / 4, 1328 / 4) * 4;
      if (!tree.records.has(key)) this.insert(tree, key, { length, fill: random.below(256) });
    } else {
      this.#removeSome(tree, random.chance(0.05) ? random.pick([5, 100, 300]) : 1);
    }
  }

  /** A key beside another one, after all others or anywhere. */
  #newKey(keys: readonly number[], span: number): number {
    const { random } = this;
    if (keys.length > 0 && random.chance(0.3)) return random.pick(keys) + random.between(1, 3);
    if (random.chance(0.2)) return Math.max(0, ...keys) + 1;
    return Math.floor(random.fraction() * span);
  }

  /** Removes a record and those that follow it. */
  #removeSome(tree: ModelTree, count: number): void {
    const { keys } = tree;
    const at = this.random.below(keys.length);
    for (const key of keys.slice(at, at + count)) this.remove(tree, key);
  }

  /** A record of any length, mostly a short one. */
  record(): ModelRecord {
    const longest = this.random.pick([40, 160, 400, 1328]);
    const length = this.random.between(SHORTEST / 4, longest / 4) * 4;
    return { length, fill: this.random.below(256) };
  }

  /** Everything in order, seeks between the keys, and the last key. Returns what differs. */
  differences(tree: ModelTree): string[] {
    const { rig, position } = this;
    const { trees, store } = rig;
    const found: [number, ModelRecord | undefined][] = [];
    for (let from = 0; ; ) {
      const answer = rig.look((plan) => {
        const result = trees.seek(tree.root, from, position, plan);
        return result === 'missing' ? undefined : result;
      });
      if (answer === 'none') break;
      do {
        const { bytes } = store.blocks;
        found.push([position.key, readModelRecord(bytes, position.at, position.length)]);
      } while (trees.nextInLeaf(position));
      from = position.key + 1;
    }
    const wanted = tree.keys.map((key) => [key, tree.records.get(key)]);
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      const i = wanted.findIndex((entry, k) => JSON.stringify(entry) !== JSON.stringify(found[k]));
      return [
        `entry ${i} of ${wanted.length} is ${JSON.stringify(found[i])}, ` +
          `wanted ${JSON.stringify(wanted[i])}; ${found.length} were found`,
      ];
    }
    return [...this.#seeks(tree), ...this.#last(tree)];
  }

  /** One seek between two random keys. */
  #seeks(tree: ModelTree): string[] {
    const { rig, position } = this;
    const { keys } = tree;
    const key = keys.length === 0 ? 5 : this.random.pick(keys) + this.random.between(-2, 2);
    if (key < 0) return [];
    const answer = rig.look((plan) => {
      const result = rig.trees.seek(tree.root, key, position, plan);
      return result === 'missing' ? undefined : result;
    });
    const wanted = keys.find((other) => other >= key);
    const got = answer === 'found' ? position.key : undefined;
    return got === wanted ? [] : [`seek(${key}) found ${got}, wanted ${wanted}`];
  }

  #last(tree: ModelTree): string[] {
    const last = this.rig.look((plan) => this.rig.trees.lastKey(tree.root, plan));
    const wanted = tree.keys.at(-1) ?? -1;
    return last === wanted ? [] : [`lastKey() is ${last}, wanted ${wanted}`];
  }

  #find(tree: ModelTree, key: number, plan: Parameters<TreeRig['trees']['find']>[3]): boolean {
    const found = this.rig.trees.find(tree.root, key, this.position, plan);
    if (found === 'none') throw new Error(`key ${key} is missing`);
    return found === 'found';
  }
}
