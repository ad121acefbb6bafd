/**
 * Group: the counts of one allocation group, and which of its blocks are idle (G1-G4 in groups.ts).
 */
import { assert, type Block, type Txg } from '../base/index.ts';
import {
  type CountWidth,
  countTableSize,
  type Geometry,
  getCount,
  groupLength,
  groupReserved,
  isFixedBlock,
  NARROWEST,
  SUPERBLOCKS,
  setCount,
  writeGroupEntry,
} from '../format/index.ts';

/** A group whose counts are in memory. */
export class Group {
  readonly index: number;
  /** First block of the group. */
  readonly start: number;
  readonly length: number;
  counts: Uint8Array;
  width: CountWidth;
  /** Bit per block, 32 to a word: may be handed out (G2). */
  readonly idle: Uint32Array;
  /** Blocks with count 0. */
  free = 0;
  /** Bits set in `idle`. */
  idleCount = 0;
  /** Counts differ from what the last commit wrote. */
  changed = false;
  /** Clock bit for eviction. */
  used = true;

  constructor(geometry: Geometry, index: number, counts: Uint8Array, width: CountWidth) {
    this.index = index;
    this.start = index * geometry.groupBlocks;
    this.length = groupLength(geometry, index);
    this.counts = counts;
    this.width = width;
    this.idle = new Uint32Array(Math.ceil(this.length / 32));
    for (let i = 0; i < this.length; i++) {
      if (getCount(counts, width, i) !== 0) continue;
      this.idle[i >>> 5] = (this.idle[i >>> 5] as number) | (1 << (i & 31));
      this.free++;
    }
    this.idleCount = this.free;
  }

  isIdle(i: number): boolean {
    return ((this.idle[i >>> 5] as number) & (1 << (i & 31))) !== 0;
  }

  setIdle(i: number): void {
    assert(!this.isIdle(i), () => `block ${this.start + i} is set idle twice`);
    this.idle[i >>> 5] = (this.idle[i >>> 5] as number) | (1 << (i & 31));
    this.idleCount++;
  }

  clearIdle(i: number): void {
    assert(this.isIdle(i), () => `block ${this.start + i} is handed out twice`);
    this.idle[i >>> 5] = (this.idle[i >>> 5] as number) & ~(1 << (i & 31));
    this.idleCount--;
  }

  /**
   * The same group when the end of the volume is elsewhere, in it or behind it. What is idle stays
   * so, what is new is not. Counts behind the end are zeros.
   */
  moved(geometry: Geometry): Group {
    const { index, width } = this;
    const length = groupLength(geometry, index);
    const counts = new Uint8Array(countTableSize(length, width));
    for (let i = 0; i < length; i++) {
      const fixed = isFixedBlock(geometry, (this.start + i) as Block);
      const wasFixed = i < this.length && i >= this.length - SUPERBLOCKS;
      const count = i < this.length && !wasFixed ? getCount(this.counts, width, i) : 0;
      setCount(counts, width, i, fixed ? 1 : count);
    }
    const group = new Group(geometry, index, counts, width);
    group.idle.fill(0);
    group.idleCount = 0;
    for (let i = nextIdle(this, 0); i < Math.min(length, this.length); i = nextIdle(this, i + 1)) {
      group.setIdle(i);
    }
    return group;
  }
}

/** Index of the first idle block from `from` on; `group.length` if there is none. */
export function nextIdle(group: Group, from: number): number {
  const { idle, length } = group;
  let word = from >>> 5;
  if (from >= length) return length;
  let bits = (idle[word] as number) & (-1 << (from & 31));
  while (bits === 0) {
    if (++word >= idle.length) return length;
    bits = idle[word] as number;
  }
  return Math.min(length, word * 32 + (31 - Math.clz32(bits & -bits)));
}

/** The index entry of a group to which nothing was ever written (G4). Returns its free blocks. */
export function writeNewEntry(index: Uint32Array, geometry: Geometry, group: number): number {
  const last = group === geometry.groupCount - 1;
  const fixed = groupReserved(geometry, group) + (last ? SUPERBLOCKS : 0);
  const free = groupLength(geometry, group) - fixed;
  writeGroupEntry(index, group, { checksum: 0, free, width: NARROWEST, current: 1, txg: 0 as Txg });
  return free;
}

/** A group as it is before anything was ever written to it (G4). */
export function newGroup(geometry: Geometry, index: number): Group {
  const length = groupLength(geometry, index);
  const counts = new Uint8Array(countTableSize(length, NARROWEST));
  const start = index * geometry.groupBlocks;
  for (let i = 0; i < length; i++) {
    if (isFixedBlock(geometry, (start + i) as Block)) setCount(counts, NARROWEST, i, 1);
  }
  return new Group(geometry, index, counts, NARROWEST);
}
