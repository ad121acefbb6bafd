/**
 * tree: file maps and keyed trees over shared blocks, and the rule by which they are copied.
 * It knows where records are, not what they mean.
 */
export { sharedBound } from './compare.ts';
export { Cow, type Target } from './cow.ts';
export { FileMaps, type MapRun } from './file-map.ts';
export { KeyedPosition, KeyedTrees, type SeekResult, type TreeRoot } from './keyed-tree.ts';
export { type BlockRange, MapPosition, type MapRoot, unwrittenIn } from './map-nodes.ts';
export { blockKind, DATA_BLOCK, KEYED_NODE, LEVEL_MAX, MAP_NODE, visitSlots } from './nodes.ts';
export { Sealer } from './seal.ts';
