/**
 * Assemble: an engine from what a mount has found, or from the parts of a volume that is new.
 * Nothing is read or written: {@link Engine.load} or {@link FormatVolume} come next.
 */
import type { Txg } from '../base/index.ts';
import { BlockCache } from '../cache/index.ts';
import { imageSeed, type Superblock } from '../format/index.ts';
import { Store } from '../store/index.ts';
import { Engine, type EngineTuning } from './engine.ts';

/** What a mount finds, or what a volume is made of. */
export interface VolumeParts {
  readonly superblock: Superblock;
  /** The group index that the superblock names. */
  readonly index: Uint32Array;
  /** Place in the ring of the superblock; -1 for a volume that has none yet. */
  readonly ring: number;
  /** The txg of the root, if it is not that of the superblock: a newer one was passed over. */
  readonly rootTxg?: Txg;
  /** Blocks that the volume has according to other superblocks, where they say otherwise. */
  readonly sizes?: readonly number[] | undefined;
}

export interface EngineOptions extends EngineTuning {
  /** Memory for cached and dirty blocks. */
  readonly cacheBytes: number;
  /** Bytes of counts that are kept in memory, beside the cache. */
  readonly countCapacity: number;
  readonly readOnly: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** An engine that nobody drives yet. */
export function assembleEngine(parts: VolumeParts, options: EngineOptions): Engine {
  const { superblock, index, ring, rootTxg, sizes } = parts;
  const { cacheBytes, countCapacity, readOnly, now } = options;
  const blocks = new BlockCache({ capacity: cacheBytes, seed: imageSeed(superblock.uuid) });
  const root = { superblock, index, ring, rootTxg, sizes };
  const store = new Store({ blocks, ...root, readOnly, countCapacity, now });
  return new Engine(store, options);
}
