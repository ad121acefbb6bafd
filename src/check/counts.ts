/**
 * Counts: what the device says about the use of each block, against what the walk has found.
 *
 * A count that is too low is the worst there can be: the block is handed out again while somebody
 * still reads it. One that is too high only loses space. If parts of the trees could not be
 * followed, blocks that seem unused may be theirs, so then only low counts are reported.
 */
import { BLOCK_SIZE, type Block, checksum32, checksumFault } from '../base/index.ts';
import type { Steps } from '../device/index.ts';
import {
  countSlotStart,
  countTableSize,
  type Geometry,
  type GroupEntry,
  getCount,
  groupLength,
  groupReserved,
  imageSeed,
  isFixedBlock,
  NARROWEST,
  readGroupEntry,
  SUPERBLOCKS,
  type Superblock,
} from '../format/index.ts';
import type { BlockTable } from './block-table.ts';
import type { Root } from './roots.ts';
import type { Answer, Session } from './session.ts';

/** Groups between two turns. */
const TURN_GROUPS = 64;

/** Neighbours whose counts are wrong in the same way. */
interface Run {
  readonly block: number;
  blocks: number;
  readonly stored: number;
  readonly found: number;
}

export class CountCheck {
  readonly #session: Session;
  readonly #superblock: Superblock;
  readonly #geometry: Geometry;
  readonly #index: Uint32Array;
  readonly #table: BlockTable;
  #run: Run | undefined;

  constructor(session: Session, { superblock, index }: Root, table: BlockTable) {
    this.#session = session;
    this.#superblock = superblock;
    this.#geometry = superblock.geometry;
    this.#index = index;
    this.#table = table;
  }

  *compare(): Steps {
    const { issues } = this.#session;
    const { groupCount } = this.#geometry;
    let free = 0;
    for (let group = 0; group < groupCount; group++) {
      const entry = readGroupEntry(this.#index, group);
      free += entry.free;
      const finding = entryFault(this.#superblock, group, entry);
      if (finding !== undefined) issues.add('index-entry', { group, finding });
      else if (entry.txg === 0) this.#compareNew(group, entry);
      else yield* this.#compareGroup(group, entry);
      if (group % TURN_GROUPS === 0) yield* this.#session.turn('counts', group, groupCount);
    }
    const stored = this.#superblock.state.freeBlocks;
    if (stored !== free) issues.add('free-total', { stored, found: free });
    this.#session.statistics.blocks.free = free;
  }

  /** A group that was never written: only its fixed blocks are in use. */
  #compareNew(group: number, { free }: GroupEntry): void {
    const length = groupLength(this.#geometry, group);
    const fixed = this.#fixedIn(group);
    this.#session.statistics.blocks.fixed += fixed;
    if (free !== length - fixed) {
      const found = length - fixed;
      this.#session.issues.add('free-count', { group, stored: free, found });
    }
    if (this.#table.touches(group)) this.#compareBlocks(group, (i) => this.#fixed(group, i));
  }

  *#compareGroup(group: number, entry: GroupEntry): Steps {
    const { issues } = this.#session;
    const counts = yield* readCounts(this.#session, this.#superblock, group, entry);
    if (typeof counts === 'string') {
      issues.add('counts-damaged', { group, finding: counts });
      return;
    }
    const { width } = entry;
    let free = 0;
    const length = groupLength(this.#geometry, group);
    for (let i = 0; i < length; i++) if (getCount(counts, width, i) === 0) free++;
    this.#session.statistics.blocks.fixed += this.#fixedIn(group);
    if (free !== entry.free) {
      issues.add('free-count', { group, stored: entry.free, found: free });
    }
    this.#compareBlocks(group, (i) => getCount(counts, width, i));
  }

  #compareBlocks(group: number, storedOf: (i: number) => number): void {
    const start = group * this.#geometry.groupBlocks;
    const length = groupLength(this.#geometry, group);
    for (let i = 0; i < length; i++) {
      const stored = storedOf(i);
      const found = this.#table.count(start + i) + this.#fixed(group, i);
      if (stored !== found) this.#note(start + i, stored, found);
    }
    this.#report();
  }

  /** 1 for a block with a fixed place, else 0. */
  #fixed(group: number, i: number): number {
    const block = group * this.#geometry.groupBlocks + i;
    return isFixedBlock(this.#geometry, block as Block) ? 1 : 0;
  }

  #fixedIn(group: number): number {
    const last = group === this.#geometry.groupCount - 1;
    return groupReserved(this.#geometry, group) + (last ? SUPERBLOCKS : 0);
  }

  #note(block: number, stored: number, found: number): void {
    const run = this.#run;
    const follows = run !== undefined && run.block + run.blocks === block;
    if (follows && run.stored === stored && run.found === found) run.blocks++;
    else {
      this.#report();
      this.#run = { block, blocks: 1, stored, found };
    }
  }

  #report(): void {
    const run = this.#run;
    this.#run = undefined;
    if (run === undefined) return;
    const { issues, incomplete } = this.#session;
    if (run.stored < run.found) issues.add('count-low', run);
    else if (incomplete) return;
    else if (run.found === 0) issues.add('leak', run);
    else issues.add('count-high', run);
  }
}

/** What makes the entry of a group one that cannot be, or undefined. */
export function entryFault(
  { geometry, state }: Superblock,
  group: number,
  { width, current, free, txg }: GroupEntry,
): string | undefined {
  if (width < NARROWEST || width > geometry.countCap) return `its counts have width ${width}`;
  if (current > 1) return `its counts are in slot ${current}`;
  if (free > groupLength(geometry, group)) return `it has ${free} free blocks`;
  return txg <= state.txg ? undefined : `it is of txg ${txg}, after ${state.txg}`;
}

/** The count table of a group whose entry has no fault, or why it cannot be used. */
export function* readCounts(
  session: Session,
  { geometry, uuid }: Superblock,
  group: number,
  { width, current, checksum }: GroupEntry,
): Answer<Uint8Array | string> {
  const size = countTableSize(groupLength(geometry, group), width);
  const start = countSlotStart(geometry, group, current);
  const bytes = yield* session.readRun(start, Math.ceil(size / BLOCK_SIZE));
  if (bytes instanceof Error) return bytes.message;
  const found = checksum32(bytes, imageSeed(uuid));
  if (found === checksum) return bytes;
  return checksumFault(found, checksum);
}
