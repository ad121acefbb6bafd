/**
 * Compare: what two keyed trees have in common, without looking at it.
 */
import { type Frame, NO_FRAME, type Plan } from '../base/index.ts';
import {
  interiorKey,
  interiorSearch,
  interiorSlot,
  nodeCount,
  nodeLevel,
  slotBlock,
  slotHasBlock,
} from '../format/index.ts';
import type { Store } from '../store/index.ts';
import type { TreeRoot } from './keyed-tree.ts';
import { KEYED_NODE, LEVEL_MAX } from './nodes.ts';

/** The way to a key: the blocks on it, and for each the lowest key after all that is below it. */
interface Way {
  readonly blocks: number[];
  readonly bounds: number[];
}

/**
 * If the ways to `key` in two trees meet in a node that both share, the lowest key after that node:
 * up to there the trees are equal. 0 if they do not meet; undefined if the plan has needs.
 */
export function sharedBound(
  store: Store,
  left: TreeRoot,
  right: TreeRoot,
  key: number,
  plan: Plan,
): number | undefined {
  const a = descend(store, left, key, plan);
  const b = descend(store, right, key, plan);
  if (a === undefined || b === undefined) return undefined;
  for (let i = 0; i < a.blocks.length; i++) {
    const j = b.blocks.indexOf(a.blocks[i] as number);
    if (j !== -1) return Math.min(a.bounds[i] as number, b.bounds[j] as number);
  }
  return 0;
}

function descend(store: Store, root: TreeRoot, key: number, plan: Plan): Way | undefined {
  const way: Way = { blocks: [], bounds: [] };
  let { slots: words, rootAt: at } = root;
  let bound = Number.POSITIVE_INFINITY;
  while (slotHasBlock(words, at) && way.blocks.length <= LEVEL_MAX) {
    way.blocks.push(slotBlock(words, at));
    way.bounds.push(bound);
    const frame: Frame = store.want(words, at, KEYED_NODE[root.tree], plan);
    if (frame === NO_FRAME) return undefined;
    const base = store.base(frame);
    words = store.blocks.words;
    if (nodeLevel(words, base) === 0) break;
    const child = interiorSearch(words, base, key);
    if (child + 1 < nodeCount(words, base)) bound = interiorKey(words, base, child + 1);
    at = interiorSlot(base, child);
  }
  return way;
}
