/**
 * Stored counts: what a root says of the use of each block, as plain numbers.
 *
 * A count that is 0 says that nothing of the root is there: what the block holds is of another
 * time. One that is not says that the block holds what some slot of this root names.
 */
import type { Block } from '../base/index.ts';
import {
  type CountWidth,
  getCount,
  groupLength,
  isFixedBlock,
  NARROWEST,
  readGroupEntry,
} from '../format/index.ts';
import { readCounts } from './counts.ts';
import type { Root } from './roots.ts';
import type { Answer, Session } from './session.ts';

/** The counts of a group; undefined if they cannot be used. */
export function* storedCounts(
  session: Session,
  { superblock, index }: Root,
  group: number,
): Answer<Uint16Array | undefined> {
  const { geometry } = superblock;
  const entry = readGroupEntry(index, group);
  const { txg, width, current } = entry;
  const counts = new Uint16Array(groupLength(geometry, group));
  if (txg === 0) {
    const start = group * geometry.groupBlocks;
    return counts.map((_, i) => Number(isFixedBlock(geometry, (start + i) as Block)));
  }
  const sane = width >= NARROWEST && width <= geometry.countCap && current <= 1;
  if (!sane) return undefined;
  const bytes = yield* readCounts(session, superblock, group, entry);
  if (typeof bytes === 'string') return undefined;
  return counts.map((_, i) => getCount(bytes, width as CountWidth, i));
}

/** The counts of all groups, kept. */
export class CountsOfRoot {
  readonly #groupBlocks: number;
  readonly #groups: (Uint16Array | undefined)[] = [];

  private constructor(groupBlocks: number) {
    this.#groupBlocks = groupBlocks;
  }

  static *read(session: Session, root: Root): Answer<CountsOfRoot> {
    const { groupBlocks, groupCount } = root.superblock.geometry;
    const counts = new CountsOfRoot(groupBlocks);
    for (let group = 0; group < groupCount; group++) {
      session.take(2 * groupBlocks);
      counts.#groups[group] = yield* storedCounts(session, root, group);
    }
    return counts;
  }

  /** The count of a block; undefined if it is not known. */
  of(block: number): number | undefined {
    const group = Math.floor(block / this.#groupBlocks);
    return this.#groups[group]?.[block - group * this.#groupBlocks];
  }
}
