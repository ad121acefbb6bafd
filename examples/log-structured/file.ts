/**
 * A file of the log, and its map: which block of the image has which block of the file.
 *
 * A map block is in the block cache, like data, until it is changed; then it is copied out. The
 * copy goes to the log with the next sync and is forgotten when that is durable.
 *
 * M1. A map block that is being written does not change: a change meanwhile makes another copy.
 */
import {
  assert,
  BLOCK_SIZE,
  BLOCK_WORDS,
  FilesystemError,
  type Frame,
  NO_FRAME,
  type Plan,
} from 'ramet/base';
import { type BufferPool, IomapFile, type MappingOps } from 'ramet/iomap';
import { bytesOf, emptyMap, MAPS_MAX, NO_SLOT, SLOTS_PER_BLOCK, type Slot } from './format.ts';

/** Bytes of a file that one map block covers. */
export const MAP_SPAN = SLOTS_PER_BLOCK * BLOCK_SIZE;

const MAP_BLOCK = { name: 'map block' };
const HOLES: Entries = { words: emptyMap(), at: 0 };

/** Where the slots of a map block are: slot i is `words[at + 2 * i]` and the word after it. */
export interface Entries {
  readonly words: Uint32Array;
  readonly at: number;
}

/** A map block that is not in the log yet, or not for sure. */
export interface MapCopy {
  readonly words: Uint32Array;
  /** False while it is being written (M1). */
  readonly dirty: boolean;
}

/** Numbers of the map blocks that cover a range. */
export function* mapsIn(start: number, end: number): Generator<number> {
  for (let map = Math.floor(start / MAP_SPAN); map * MAP_SPAN < end; map++) yield map;
}

export class LogFile extends IomapFile {
  readonly id: number;
  readonly ops: MappingOps;
  name: string;
  size = 0;
  removed = false;
  /** Where the inode is in the log. */
  slot: Slot = NO_SLOT;
  /** Where the map blocks are. */
  readonly maps: Slot[] = [];
  readonly copies: Map<number, MapCopy> = new Map();

  constructor(pool: BufferPool, ops: MappingOps, id: number, name: string) {
    super(pool);
    this.ops = ops;
    this.id = id;
    this.name = name;
  }

  /** Every map block has to be in memory at once when the file is removed: half of the cache. */
  static sizeMax(pool: BufferPool): number {
    return Math.min(MAPS_MAX, pool.blocks.frameCount >>> 2) * MAP_SPAN;
  }

  /** The slots of a map block; undefined if it is not in memory and the plan was told. */
  entries(map: number, plan: Plan): Entries | undefined {
    const copy = this.copies.get(map);
    if (copy !== undefined) return { words: copy.words, at: 0 };
    const { block, checksum } = this.maps[map] ?? NO_SLOT;
    if (block === NO_SLOT.block) return HOLES;
    const frame = this.pool.blocks.want(plan, block, checksum, 0, MAP_BLOCK);
    return frame === NO_FRAME ? undefined : this.#inCache(frame);
  }

  /** The same for a map block that was planned for in this turn. */
  known(map: number): Entries {
    const copy = this.copies.get(map);
    if (copy !== undefined) return { words: copy.words, at: 0 };
    const { block } = this.maps[map] ?? NO_SLOT;
    return block === NO_SLOT.block ? HOLES : this.#inCache(this.pool.blocks.resident(block));
  }

  /** The slots of a map block that may be changed; `opened` if a copy had to be made. */
  change(map: number): { words: Uint32Array; opened: boolean } {
    assert(map < MAPS_MAX, () => `map ${map} of a file`);
    const copy = this.copies.get(map);
    if (copy?.dirty) return { words: copy.words, opened: false };
    const { words, at } = this.known(map);
    const changed = words.slice(at, at + BLOCK_WORDS);
    this.copies.set(map, { words: changed, dirty: true });
    return { words: changed, opened: true };
  }

  /** Numbers of the map blocks in a range, as far as there are any. */
  *mapsWithin(start: number, end: number): Generator<number> {
    for (const map of new Set([...this.copies.keys(), ...this.maps.keys()])) {
      const { block } = this.maps[map] ?? NO_SLOT;
      const there = this.copies.has(map) || block !== NO_SLOT.block;
      if (there && map * MAP_SPAN < end && (map + 1) * MAP_SPAN > start) yield map;
    }
  }

  /** What is to be written of a map block; it does not change any more (M1). */
  freeze(map: number): Uint8Array {
    const { words } = this.copies.get(map) as MapCopy;
    this.copies.set(map, { words, dirty: false });
    return bytesOf(words);
  }

  /** The log has these map blocks, durably. */
  forgetClean(): void {
    for (const [map, { dirty }] of this.copies) if (!dirty) this.copies.delete(map);
  }

  /** An operation may have waited for the one that removed its file. */
  checkPresent(): void {
    if (!this.removed) return;
    throw new FilesystemError('ENOENT', `Cannot change ${this.name}: it was removed`);
  }

  #inCache(frame: Frame): Entries {
    return { words: this.pool.blocks.words, at: frame * BLOCK_WORDS };
  }
}
