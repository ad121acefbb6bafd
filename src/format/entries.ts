/**
 * Records of the volume's own trees.
 *
 *   reclaim queue (key: a sequence number)
 *   offset  size  field
 *        0     2  length   24
 *        2     1  role     what hangs from the slot: 0 data, 1 map, 2 keyed tree
 *        3     1  detail   level of a map node, tree kind of a keyed node
 *        4     4  resume   children of the node before this one have been given back already
 *        8    16  slot     the reference that is to be given back
 */
import { SLOT_SIZE } from './slot.ts';

export const RECLAIM_RESUME = 4;
export const RECLAIM_SLOT = 8;
export const RECLAIM_RECORD_SIZE = RECLAIM_SLOT + SLOT_SIZE;

/** Names of what the meta root holds. */
export const MetaName = {
  LIVE: 'live',
  SNAPSHOTS: 'snapshots',
  ORPHANS: 'orphans',
  RECLAIM: 'reclaim',
} as const;

/** Inode numbers of the same, in realm 0. The meta root itself is 1. */
export const MetaInode = {
  META: 1,
  LIVE: 2,
  SNAPSHOTS: 3,
  ORPHANS: 4,
  RECLAIM: 5,
} as const;
