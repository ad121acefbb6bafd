/**
 * Repair of counts: counts, sums and the index, as they follow from what a walk has found.
 *
 * New counts and a new index go to the places that the root does not use; the superblock that names
 * them comes last.
 */
import { BLOCK_SIZE, type Block, checksum32, checksum64 } from '../base/index.ts';
import {
  type CountWidth,
  countLimit,
  countSlotStart,
  countTableSize,
  encodeSuperblock,
  groupLength,
  hasSaneState,
  imageSeed,
  indexPlace,
  isFixedBlock,
  NARROWEST,
  readGroupEntry,
  type Superblock,
  setCount,
  superblockPlace,
  type VolumeState,
  WIDEST,
  writeGroupEntry,
} from '../format/index.ts';
import type { BlockTable } from './block-table.ts';
import type { PlannedDevice } from './planned.ts';
import type { Root } from './roots.ts';
import type { Answer, Session } from './session.ts';
import { storedCounts } from './stored-counts.ts';

/** Both copies of the superblock at its place in the ring, after everything else. */
export function planSuperblock(planned: PlannedDevice, superblock: Superblock, ring: number): void {
  const bytes = encodeSuperblock(superblock);
  for (const copy of [0, 1] as const) {
    planned.planLast(superblockPlace(superblock.geometry.blockCount, ring, copy), bytes);
  }
}

export class CountRepair {
  readonly #session: Session;
  readonly #planned: PlannedDevice;
  readonly #root: Root;
  readonly #table: BlockTable;
  readonly #seed: bigint;

  constructor(session: Session, planned: PlannedDevice, root: Root, table: BlockTable) {
    this.#session = session;
    this.#planned = planned;
    this.#root = root;
    this.#table = table;
    this.#seed = imageSeed(root.superblock.uuid);
  }

  /** Plans what differs, or an index that is the same, `anyway`. Tells what, in words. */
  *plan(promised: number, anyway: boolean): Answer<string[]> {
    const { superblock, ring } = this.#root;
    const { geometry } = superblock;
    const index = this.#root.index.slice();
    let groups = 0;
    let free = 0;
    for (let group = 0; group < geometry.groupCount; group++) {
      if (yield* this.#count(group, index)) groups++;
      free += readGroupEntry(index, group).free;
    }
    const bytes = new Uint8Array(index.slice().buffer);
    const place = superblock.state.indexPlace === 0 ? 1 : 0;
    const state: VolumeState = {
      ...superblock.state,
      indexPlace: place,
      indexChecksum: checksum64(bytes, this.#seed),
      freeBlocks: free,
      // More than there is cannot have been promised: no mount would take that for sane.
      reservedBlocks: promised <= free ? promised : superblock.state.reservedBlocks,
    };
    const { freeBlocks, reservedBlocks } = superblock.state;
    const sums = free !== freeBlocks || state.reservedBlocks !== reservedBlocks;
    if (!anyway && groups === 0 && !sums) return [];
    if (!hasSaneState({ ...superblock, state })) return [];
    for (const copy of [0, 1] as const) {
      this.#planned.plan(indexPlace(geometry, place, copy), bytes);
    }
    planSuperblock(this.#planned, { ...superblock, state }, ring);
    const done = groups > 0 ? [`write the counts of ${groups} groups anew`] : [];
    return [...done, 'write the index and both copies of the superblock anew'];
  }

  /** The counts of a group, if they differ from what is stored. True if they do. */
  *#count(group: number, index: Uint32Array): Answer<boolean> {
    const { geometry, state } = this.#root.superblock;
    const entry = readGroupEntry(index, group);
    const stored = yield* storedCounts(this.#session, this.#root, group);
    const length = groupLength(geometry, group);
    const start = group * geometry.groupBlocks;
    const counts = Array.from({ length }, (_, i) => {
      const fixed = isFixedBlock(geometry, (start + i) as Block) ? 1 : 0;
      const found = this.#table.count(start + i) + fixed;
      // Where not everything could be followed, what seems unused may be in use.
      return this.#session.incomplete ? Math.max(found, stored?.[i] ?? 1) : found;
    });
    const same = stored?.every((count, i) => count === counts[i]) === true;
    const free = counts.filter((count) => count === 0).length;
    if (same && free === entry.free) return false;
    let width: CountWidth = NARROWEST;
    const most = counts.reduce((a, b) => Math.max(a, b), 0);
    while (width < WIDEST && countLimit(width) < most) width++;
    const size = countTableSize(length, width);
    const bytes = new Uint8Array(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE);
    counts.forEach((count, i) => {
      setCount(bytes, width, i, Math.min(count, countLimit(width)));
    });
    const current = entry.current === 0 ? 1 : 0;
    const checksum = checksum32(bytes, this.#seed);
    writeGroupEntry(index, group, { checksum, free, width, current, txg: state.txg });
    this.#planned.plan(countSlotStart(geometry, group, current), bytes);
    return true;
  }
}
