/**
 * Repair of copies: what is stored twice, and is whole in one place only, is written there again.
 */
import { BLOCK_SIZE, checksum32 } from '../base/index.ts';
import { encodeSuperblock, imageSeed, superblockPlace } from '../format/index.ts';
import { type BlockTable, Use } from './block-table.ts';
import type { IssueCode } from './catalogue.ts';
import type { PlannedDevice } from './planned.ts';
import type { View } from './repair-structure.ts';
import { newestOf, type Place, type Root } from './roots.ts';
import type { Answer, Session } from './session.ts';

/** Nodes of which one copy is whole: the other becomes the same. Tells what, in words. */
export function* planCopies(
  planned: PlannedDevice,
  { session, root, table, report }: View,
): Answer<string[]> {
  const seed = imageSeed(root.superblock.uuid);
  let count = 0;
  const blocksOf = (code: IssueCode): number[] =>
    report.issues
      .filter((issue) => issue.code === code)
      .map((issue) => (issue as unknown as { block: number }).block);
  // Where a block is used for something else too, one of both is not what it seems to be.
  const disputed = new Set(blocksOf('role-conflict'));
  for (const block of blocksOf('copy-damaged')) {
    const first = firstCopy(table, block);
    if (disputed.has(first) || disputed.has(first + 1)) continue;
    const bytes = yield* otherCopy(session, table, block, seed);
    if (bytes === undefined) continue;
    planned.plan(block, bytes);
    count++;
  }
  return count > 0 ? [`write ${count} second copies of nodes again`] : [];
}

function firstCopy(table: BlockTable, block: number): number {
  return table.use(block) === Use.COPY ? block - 1 : block;
}

/** What one copy of a node has to be, from the other one; undefined if that is not whole either. */
export function* otherCopy(
  session: Session,
  table: BlockTable,
  block: number,
  seed: bigint,
): Answer<Uint8Array | undefined> {
  const first = firstCopy(table, block);
  // What lies beside a node may be something else, and as whole as can be.
  if (table.count(first) === 0 || table.use(first + 1) !== Use.COPY) return undefined;
  const bytes = yield* session.readRun(block === first ? first + 1 : first, 1);
  const whole = bytes instanceof Uint8Array && checksum32(bytes, seed) === table.checksum(first);
  return whole ? bytes : undefined;
}

/** Places of the ring of which one copy is whole and the other is not, or is older. */
export function planSuperblocks(
  planned: PlannedDevice,
  root: Root,
  places: readonly Place[],
): string[] {
  const seed = imageSeed(root.superblock.uuid);
  const ours = places.filter(
    ({ superblock }) => superblock !== undefined && imageSeed(superblock.uuid) === seed,
  );
  let count = 0;
  for (const { block, ring, superblock, empty } of places) {
    if (ring === root.ring && planned.hasLast) continue;
    // Of another geometry: what this root has there is something else.
    if (!isPlace(root, block, ring)) continue;
    const best = newestOf(ours.filter((place) => place.ring === ring));
    if (superblock !== undefined && superblock.state.txg === best?.state.txg) continue;
    // Of neither copy anything is left to be read.
    if (best === undefined && empty) continue;
    planned.plan(block, best === undefined ? new Uint8Array(BLOCK_SIZE) : encodeSuperblock(best));
    count++;
  }
  return count > 0 ? [`write ${count} copies of superblocks again`] : [];
}

function isPlace({ superblock }: Root, block: number, ring: number): boolean {
  const { blockCount } = superblock.geometry;
  return ([0, 1] as const).some((copy) => superblockPlace(blockCount, ring, copy) === block);
}
