/**
 * Repair of copies: what is stored twice, and is whole in one place only, is written there again.
 */
import { BLOCK_SIZE, checksum32 } from '../base/index.ts';
import { encodeSuperblock, imageSeed } from '../format/index.ts';
import type { PlannedDevice } from './planned.ts';
import type { View } from './repair-structure.ts';
import { newestOf, type Place, type Root } from './roots.ts';
import type { Answer } from './session.ts';

/** Nodes of which one copy is whole: the other becomes the same. Tells what, in words. */
export function* planCopies(
  planned: PlannedDevice,
  { session, root, table, report }: View,
): Answer<string[]> {
  const seed = imageSeed(root.superblock.uuid);
  let count = 0;
  for (const issue of report.issues) {
    if (issue.code !== 'copy-damaged') continue;
    const { block } = issue;
    for (const good of [block - 1, block + 1]) {
      const bytes = yield* session.readRun(good, 1);
      const first = Math.min(good, block);
      if (bytes instanceof Error || table.count(first) === 0) continue;
      if (checksum32(bytes, seed) !== table.checksum(first)) continue;
      planned.plan(block, bytes);
      count++;
      break;
    }
  }
  return count > 0 ? [`write ${count} second copies of nodes again`] : [];
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
    const best = newestOf(ours.filter((place) => place.ring === ring));
    if (superblock !== undefined && superblock.state.txg === best?.state.txg) continue;
    // Of neither copy anything is left to be read.
    if (best === undefined && empty) continue;
    planned.plan(block, best === undefined ? new Uint8Array(BLOCK_SIZE) : encodeSuperblock(best));
    count++;
  }
  return count > 0 ? [`write ${count} copies of superblocks again`] : [];
}
