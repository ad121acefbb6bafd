/**
 * Groups: the counts of every block, and with them the free map, one allocation group at a time.
 *
 * G1. count(b) is the number of slots that name b, in distinct reachable nodes, in records, in the
 *     reclaim queue and in the superblock. Blocks with a fixed place have 1.
 * G2. A block may be handed out exactly if its bit in `idle` is set: count 0, not promised to a run
 *     in flight, not freed since the last but one commit.
 * G3. A group that was changed, or has a block that is count 0 but not idle, stays in memory.
 * G4. A group whose index entry has txg 0 was never written: only its fixed blocks have counts.
 *
 * Counts are kept as they lie on the device, packed; `idle` exists in memory only.
 */
import {
  assert,
  BLOCK_SIZE,
  BLOCK_WORDS,
  type Block,
  CorruptionError,
  checksum32,
  checksumFault,
  Io,
  type Plan,
  type Txg,
} from '../base/index.ts';
import {
  type CountWidth,
  countLimit,
  countSlotStart,
  countTableSize,
  type Geometry,
  type GroupEntry,
  getCount,
  groupLength,
  groupReserved,
  INDEX_ENTRY_WORDS,
  indexLength,
  isFixedBlock,
  NARROWEST,
  readGroupEntry,
  repackCounts,
  SUPERBLOCKS,
  setCount,
  WIDEST,
  writeGroupEntry,
} from '../format/index.ts';
import { Group, newGroup, nextIdle, writeNewEntry } from './group.ts';
import { Unshared } from './unshared.ts';

export interface GroupsOptions {
  readonly geometry: Geometry;
  readonly seed: bigint;
  /** The index as the superblock names it. */
  readonly index: Uint32Array;
  /** Bytes that loaded counts may take before unused ones are dropped. */
  readonly capacity: number;
}

/** A group's counts as they are to be written by a commit. */
export interface CountWrite {
  readonly group: number;
  readonly position: number;
  readonly bytes: Uint8Array;
}

export class Groups {
  /** Changed by {@link resize} only. */
  geometry: Geometry;
  /** The index of the open transaction group; entries of changed groups are set when it closes. */
  index: Uint32Array;
  /** Blocks with count 0, in all groups. */
  free = 0;
  /** Blocks that may be handed out, in all groups. */
  idle = 0;
  /** Told when counts turn out to be wrong while a change is being applied. */
  onContradiction: (error: Error) => void = () => {};
  /** Largest count; a block that has it is copied instead of shared. */
  readonly limit: number;
  /** Blocks that lost one of several references lately. */
  readonly unshared: Unshared = new Unshared();

  readonly #seed: bigint;
  readonly #groups: (Group | undefined)[];
  readonly #loads = new Map<number, LoadGroup>();
  #idleCounts: Uint32Array;
  readonly #capacity: number;
  #bytes = 0;
  #hand = 0;
  readonly #changed = new Set<Group>();

  constructor(options: GroupsOptions) {
    const { geometry } = options;
    this.geometry = geometry;
    this.index = options.index;
    this.limit = countLimit(geometry.countCap);
    this.#seed = options.seed;
    this.#capacity = options.capacity;
    this.#groups = new Array(geometry.groupCount);
    this.#idleCounts = new Uint32Array(geometry.groupCount);
    for (let g = 0; g < geometry.groupCount; g++) {
      const { free } = readGroupEntry(this.index, g);
      this.#idleCounts[g] = free;
      this.free += free;
    }
    this.idle = this.free;
  }

  groupOf(block: Block): number {
    return Math.floor(block / this.geometry.groupBlocks);
  }

  /** Blocks of `group` that may be handed out, in memory or not. */
  idleIn(group: number): number {
    return this.#idleCounts[group] as number;
  }

  /** The group with this number if its counts are in memory. */
  loaded(group: number): Group | undefined {
    const found = this.#groups[group];
    if (found !== undefined) found.used = true;
    return found;
  }

  /** Brings the counts of a group in. False if the plan got the load. */
  want(group: number, plan: Plan): boolean {
    if (this.loaded(group) !== undefined) return true;
    if (group >= this.geometry.groupCount) {
      const address = group * this.geometry.groupBlocks * BLOCK_SIZE;
      throw new CorruptionError('slot', address, 'it names a block outside the volume');
    }
    const entry = readGroupEntry(this.index, group);
    if (entry.txg === 0) {
      const fresh = newGroup(this.geometry, group);
      if (fresh.free !== entry.free) throw indexError(this.geometry, group, entry);
      this.#enter(fresh);
      return true;
    }
    if (entry.width < NARROWEST || entry.width > this.geometry.countCap || entry.current > 1) {
      throw indexError(this.geometry, group, entry);
    }
    let load = this.#loads.get(group);
    if (load === undefined) {
      load = new LoadGroup(this, group, this.#seed);
      this.#loads.set(group, load);
    }
    plan.need(load);
    return false;
  }

  /** Brings in the counts that say who uses `block`. */
  wantBlock(block: Block, plan: Plan): boolean {
    return this.want(this.groupOf(block), plan);
  }

  /**
   * The same for a block that a slot names.
   * @throws {CorruptionError} if no slot may name it, or if it counts as free
   */
  wantNamed(block: Block, plan: Plan): boolean {
    if (!this.wantStale(block, plan)) return false;
    if (this.count(block) > 0) return true;
    throw new CorruptionError('count', block * BLOCK_SIZE, 'it is 0, and a slot names the block');
  }

  /** The same where the slot may be one that an inode in memory has replaced: it may be free. */
  wantStale(block: Block, plan: Plan): boolean {
    if (block >= this.geometry.blockCount || isFixedBlock(this.geometry, block)) {
      const finding = 'it names a block that is outside the volume, or has a fixed use';
      throw new CorruptionError('slot', block * BLOCK_SIZE, finding);
    }
    return this.wantBlock(block, plan);
  }

  /** The same for the second copy of a node, which nothing else names. */
  wantTwin(block: Block, plan: Plan): boolean {
    if (!this.wantNamed(block, plan)) return false;
    const count = this.count(block);
    if (count === 1) return true;
    throw new CorruptionError('count', block * BLOCK_SIZE, `it is ${count} for a second copy`);
  }

  count(block: Block): number {
    const group = this.#resident(block);
    return getCount(group.counts, group.width, block - group.start);
  }

  /** True if one slot names a block, and no other. */
  isExclusive(block: Block): boolean {
    return this.count(block) === 1;
  }

  isSaturated(block: Block): boolean {
    return this.count(block) === this.limit;
  }

  /** One slot more names `block`. From 0 only for a block that was handed out. */
  increment(block: Block): void {
    const group = this.#resident(block);
    const i = block - group.start;
    const count = getCount(group.counts, group.width, i) + 1;
    assert(count <= this.limit, () => `block ${block} is shared beyond its limit`);
    if (count > countLimit(group.width)) this.#widen(group);
    if (count === 1) {
      if (group.isIdle(i)) throw this.#contradiction(block, 'is used without being handed out');
      group.free--;
      this.free--;
    }
    setCount(group.counts, group.width, i, count);
    this.#touch(group);
  }

  /**
   * One slot less names `block`. Returns how many still do; 0: the caller decides when it is idle.
   * @throws {CorruptionError} if several slots of one node name it and the counts do not know
   */
  decrement(block: Block): number {
    const group = this.#resident(block);
    const i = block - group.start;
    const count = getCount(group.counts, group.width, i) - 1;
    if (count < 0) throw this.#contradiction(block, 'is released more often than it is used');
    setCount(group.counts, group.width, i, count);
    if (count === 0) {
      group.free++;
      this.free++;
    } else this.unshared.add(block);
    this.#touch(group);
    return count;
  }

  /** True if a block may be handed out. Its counts are in memory. */
  isIdle(block: Block): boolean {
    const group = this.#resident(block);
    return group.isIdle(block - group.start);
  }

  /** Hands a block out: it is nobody else's from now on, though its count is still 0. */
  handOut(block: Block): void {
    const group = this.#resident(block);
    group.clearIdle(block - group.start);
    this.#idleCounts[group.index] = group.idleCount;
    this.idle--;
  }

  /** A block with count 0 may be handed out again. */
  makeIdle(block: Block): void {
    const group = this.#resident(block);
    group.setIdle(block - group.start);
    this.#idleCounts[group.index] = group.idleCount;
    this.idle++;
  }

  /** The same for a block that was freed: not where the counts have let it be freed twice. */
  freed(block: Block): void {
    if (!this.isIdle(block) && this.count(block) === 0) this.makeIdle(block);
    else this.#contradiction(block, 'is freed more often than it is used');
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** Has the counts of a group written anew by the next commit. False: they are not in memory. */
  renew(index: number): boolean {
    const group = this.#groups[index];
    if (group !== undefined) this.#touch(group);
    return group !== undefined;
  }

  /**
   * The end of the volume moves. The counts of the last group, before and after, are in memory. No
   * block that is new is idle before {@link open}; those that are cut off were withdrawn.
   */
  resize(geometry: Geometry): void {
    const before = this.geometry;
    this.geometry = geometry;
    const count = geometry.groupCount;
    for (let g = count; g < before.groupCount; g++) this.#drop(g);
    this.#groups.length = count;
    this.#idleCounts = resized(this.#idleCounts, count);
    this.index = resized(this.index, indexLength(geometry) * BLOCK_WORDS);
    for (let g = before.groupCount; g < count; g++) {
      this.free += writeNewEntry(this.index, geometry, g);
    }
    const last = Math.min(before.groupCount, count) - 1;
    const old = this.#groups[last];
    assert(old !== undefined, 'the counts of the last group are in memory');
    const group = old.moved(geometry);
    this.free += group.free - old.free;
    this.#changed.delete(old);
    this.#bytes -= footprint(old);
    this.#enter(group);
    this.#touch(group);
  }

  /**
   * Takes the free blocks from `first` on, all of which are idle, out of what may be handed out.
   * If `first` is not the first of its group, its counts are in memory. Returns how many they are.
   */
  withdraw(first: Block): number {
    const before = this.idle;
    this.#forEachFrom(first, (group, from) => {
      for (let i = nextIdle(group, from); i < group.length; i = nextIdle(group, i + 1)) {
        this.handOut((group.start + i) as Block);
      }
    });
    for (let g = this.#wholeFrom(first); g < this.geometry.groupCount; g++) {
      this.idle -= this.#idleCounts[g] as number;
      this.#idleCounts[g] = 0;
    }
    return before - this.idle;
  }

  /** All blocks from `first` on that have no count may be handed out (again); none of them may. */
  open(first: Block): void {
    this.#forEachFrom(first, (group, from) => {
      for (let i = from; i < group.length; i++) {
        if (getCount(group.counts, group.width, i) > 0 || group.isIdle(i)) continue;
        this.makeIdle((group.start + i) as Block);
      }
    });
    for (let g = this.#wholeFrom(first); g < this.geometry.groupCount; g++) {
      this.#idleCounts[g] = this.freeIn(g);
      this.idle += this.#idleCounts[g] as number;
    }
  }

  /**
   * How many blocks from `first` on are idle. If it is not the first of its group, the counts of
   * the group are in memory.
   */
  idleFrom(first: Block): number {
    let idle = 0;
    this.#forEachFrom(first, (group, from) => {
      for (let i = nextIdle(group, from); i < group.length; i = nextIdle(group, i + 1)) idle++;
    });
    for (let g = this.#wholeFrom(first); g < this.geometry.groupCount; g++) idle += this.idleIn(g);
    return idle;
  }

  /**
   * The first block behind all that are not idle, those with fixed places from the second group on
   * apart; undefined if counts have to be brought in.
   */
  usedEnd(plan: Plan): Block | undefined {
    const { geometry } = this;
    for (let g = geometry.groupCount - 1; g >= 0; g--) {
      const last = g === geometry.groupCount - 1 ? SUPERBLOCKS : 0;
      const reserved = groupReserved(geometry, g);
      const length = groupLength(geometry, g) - last;
      if (g > 0 && this.idleIn(g) === length - reserved) continue;
      if (!this.want(g, plan)) return undefined;
      const group = this.loaded(g) as Group;
      let end = length;
      while (end > reserved && group.isIdle(end - 1)) end--;
      return (group.start + end) as Block;
    }
    return 0 as Block;
  }

  /** Blocks of `group` with count 0, in memory or not. */
  freeIn(group: number): number {
    return this.#groups[group]?.free ?? readGroupEntry(this.index, group).free;
  }

  /** Visits the group of which only the blocks from `first` on are meant, if there is one. */
  #forEachFrom(first: Block, visit: (group: Group, from: number) => void): void {
    const from = first % this.geometry.groupBlocks;
    if (from > 0) visit(this.#resident(first), from);
  }

  #wholeFrom(first: Block): number {
    return Math.ceil(first / this.geometry.groupBlocks);
  }

  /** A group that is behind the end now. */
  #drop(index: number): void {
    this.free -= this.freeIn(index);
    const group = this.#groups[index];
    if (group !== undefined) {
      this.#changed.delete(group);
      this.#bytes -= footprint(group);
    }
    const at = index * INDEX_ENTRY_WORDS;
    this.index.fill(0, at, at + INDEX_ENTRY_WORDS);
  }

  /**
   * Closes the changed groups for a commit: their entries go into the index, and copies of their
   * counts, for the slot that does not hold the present ones, are returned.
   */
  close(txg: Txg): CountWrite[] {
    const writes: CountWrite[] = [];
    for (const group of this.#changed) {
      const current = readGroupEntry(this.index, group.index).current === 0 ? 1 : 0;
      const bytes = new Uint8Array(slotBytes(group.length, group.width));
      bytes.set(group.counts);
      writeGroupEntry(this.index, group.index, {
        checksum: checksum32(bytes, this.#seed),
        free: group.free,
        width: group.width,
        current,
        txg,
      });
      const start = countSlotStart(this.geometry, group.index, current);
      writes.push({ group: group.index, position: start * BLOCK_SIZE, bytes });
      group.changed = false;
    }
    this.#changed.clear();
    return writes;
  }

  /** Drops counts that nobody needs now, until what is loaded fits its bound. */
  trim(): void {
    const count = this.#groups.length;
    for (let looked = 0; looked < 2 * count && this.#bytes > this.#capacity; looked++) {
      const group = this.#groups[this.#hand];
      this.#hand = (this.#hand + 1) % count;
      if (group === undefined || group.changed || group.free !== group.idleCount) continue;
      if (group.used) {
        group.used = false;
        continue;
      }
      this.#groups[group.index] = undefined;
      this.#bytes -= footprint(group);
    }
  }

  /** Called by {@link LoadGroup}. */
  entered(group: Group | undefined, index: number): void {
    this.#loads.delete(index);
    if (group !== undefined && index < this.geometry.groupCount) this.#enter(group);
  }

  /** The plan waits for counts that are on their way from behind the end. */
  followBehind(plan: Plan): void {
    for (const [group, load] of this.#loads) {
      if (group >= this.geometry.groupCount) plan.followIo(load);
    }
  }

  #enter(group: Group): void {
    this.#groups[group.index] = group;
    this.#bytes += footprint(group);
  }

  /** Counts that are too low show when it is too late: half of a change has been applied. */
  #contradiction(block: Block, finding: string): CorruptionError {
    const error = new CorruptionError('count', block * BLOCK_SIZE, `block ${block} ${finding}`);
    this.onContradiction(error);
    return error;
  }

  #resident(block: Block): Group {
    const group = this.#groups[Math.floor(block / this.geometry.groupBlocks)];
    assert(group !== undefined, () => `the counts of block ${block} were not planned for`);
    group.used = true;
    return group;
  }

  #touch(group: Group): void {
    if (group.changed) return;
    group.changed = true;
    this.#changed.add(group);
  }

  #widen(group: Group): void {
    assert(group.width < WIDEST, 'counts are at their widest');
    const width = (group.width + 1) as CountWidth;
    this.#bytes -= footprint(group);
    group.counts = repackCounts(group.counts, group.width, width, group.length);
    group.width = width;
    this.#bytes += footprint(group);
  }
}

/** The same numbers, and zeros behind them; or fewer. */
function resized(words: Uint32Array, length: number): Uint32Array {
  const longer = new Uint32Array(length);
  longer.set(words.subarray(0, length));
  return longer;
}

/** The index says of a group what cannot be. */
function indexError(geometry: Geometry, group: number, entry: GroupEntry): CorruptionError {
  const { width, current, free } = entry;
  const finding = `the entry of group ${group} has width ${width}, slot ${current}, ${free} free`;
  return new CorruptionError('group index', geometry.indexStart * BLOCK_SIZE, finding);
}

/** Bytes of a count table on the device: whole blocks. */
function slotBytes(length: number, width: CountWidth): number {
  return Math.ceil(countTableSize(length, width) / BLOCK_SIZE) * BLOCK_SIZE;
}

function footprint(group: Group): number {
  return group.counts.length + group.idle.byteLength + 256;
}

/** Reads the counts of a group and verifies them against the index. */
class LoadGroup extends Io {
  readonly kind = 'read';
  readonly position: number;
  readonly length: number;
  readonly buffers: readonly Uint8Array[];
  readonly #groups: Groups;
  readonly #geometry: Geometry;
  readonly #group: number;
  readonly #seed: bigint;
  readonly #width: CountWidth;
  readonly #checksum: number;

  constructor(groups: Groups, group: number, seed: bigint) {
    super();
    const { geometry } = groups;
    const entry = readGroupEntry(groups.index, group);
    this.#groups = groups;
    this.#geometry = geometry;
    this.#group = group;
    this.#seed = seed;
    this.#width = entry.width;
    this.#checksum = entry.checksum;
    this.position = countSlotStart(geometry, group, entry.current) * BLOCK_SIZE;
    this.length = slotBytes(groupLength(geometry, group), entry.width);
    this.buffers = [new Uint8Array(this.length)];
  }

  finish(error: Error | undefined): undefined {
    const bytes = this.buffers[0] as Uint8Array;
    const found = error === undefined ? checksum32(bytes, this.#seed) : 0;
    if (error === undefined && found !== this.#checksum) {
      this.error = new CorruptionError(
        `counts of group ${this.#group}`,
        this.position,
        checksumFault(found, this.#checksum),
      );
    } else {
      this.error = error;
    }
    if (this.error !== undefined) {
      this.#groups.entered(undefined, this.#group);
      return undefined;
    }
    const geometry = this.#geometry;
    const counts = bytes.subarray(
      0,
      countTableSize(groupLength(geometry, this.#group), this.#width),
    );
    const group = new Group(geometry, this.#group, counts, this.#width);
    const entry = readGroupEntry(this.#groups.index, this.#group);
    if (group.free === entry.free) this.#groups.entered(group, this.#group);
    else {
      this.error = indexError(geometry, this.#group, entry);
      this.#groups.entered(undefined, this.#group);
    }
    return undefined;
  }
}
