/**
 * Report: how a mount is doing, as whoever may use its socket is told. All of it is at hand:
 * nothing is read, and nothing is looked for.
 */
import { BLOCK_SIZE } from '../../base/index.ts';
import { timeToMs } from '../../format/index.ts';
import type { Engine } from '../../volume/index.ts';
import type { RequestCounts, RequestTotals } from '../request-counts.ts';

/** Counts are since the mount began, sizes in bytes, times in milliseconds. */
export interface MountReport extends RequestTotals {
  /** Of a clock that does not go back; only differences mean something. */
  readonly now: number;
  readonly size: number;
  readonly free: number;
  /** Data and nodes in memory that the device does not have. */
  readonly dirtyData: number;
  readonly dirtyNodes: number;
  /** Frames of the log that a mount would replay now, and how many there can be. */
  readonly logUsed: number;
  readonly logSize: number;
  /** The newest commit that is durable, and how long ago it was. */
  readonly txg: number;
  readonly commitAge: number;
  /** Clones of directories and snapshots since the volume was made. */
  readonly clones: number;
  /** A write has failed: nothing is changed any more. */
  readonly failed: boolean;
}

export function reportOf({ store, pool, live }: Engine, counts: RequestCounts): MountReport {
  const { space, superblock, state, log } = store;
  return {
    ...counts.read(),
    now: performance.now(),
    size: superblock.geometry.blockCount * BLOCK_SIZE,
    free: space.available * BLOCK_SIZE,
    dirtyData: pool.dirtyBlocks * BLOCK_SIZE,
    dirtyNodes: store.dirty.count * BLOCK_SIZE,
    logUsed: log.used * BLOCK_SIZE,
    logSize: log.size * BLOCK_SIZE,
    txg: store.durableTxg,
    commitAge: Math.max(0, store.now() - timeToMs(state.committed)),
    clones: state.nextRealm - live.ownRealm - 1,
    failed: store.failure !== undefined,
  };
}
