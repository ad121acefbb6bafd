/**
 * cache: memory for file data and blocks.
 * Clean data and nodes by device block (block-cache.ts), dirty data by file range (folios.ts).
 */
export {
  BlockCache,
  type BlockCacheOptions,
  type BlockKind,
  LoadFlag,
} from './block-cache.ts';
export { BlockSet } from './block-set.ts';
export {
  FOLIO_BLOCKS,
  FOLIO_SIZE,
  type Folio,
  type FolioOwner,
  FolioTable,
  NO_FOLIO,
} from './folios.ts';
export type { BlockRun, HeldRuns } from './held-runs.ts';
