/**
 * Shrink plan: how far the end of the volume can come down now, without anything being moved.
 */
import type { Block, Plan } from '../base/index.ts';
import { type Geometry, resizedGeometry, SUPERBLOCKS } from '../format/index.ts';
import type { Store } from './store.ts';

/**
 * The smallest layout that has all blocks in use, room for the second copies of the superblocks,
 * and room for what is promised. Undefined after the plan was told which counts are missing.
 */
export function leastGeometry(store: Store, plan: Plan): Geometry | undefined {
  const { groups, space } = store;
  const { geometry } = groups;
  const used = groups.usedEnd(plan);
  if (used === undefined) return undefined;
  for (let blocks = used + SUPERBLOCKS; blocks <= geometry.blockCount - SUPERBLOCKS; ) {
    const layout = atLeast(geometry, blocks);
    if (layout === undefined || layout.blockCount > geometry.blockCount - SUPERBLOCKS) break;
    if (!groups.wantBlock((layout.blockCount - SUPERBLOCKS) as Block, plan)) return undefined;
    if (space.fits(layout.blockCount)) return layout;
    blocks = layout.blockCount + 1;
  }
  return geometry;
}

/** The smallest layout of at least so many blocks. */
function atLeast(geometry: Geometry, blocks: number): Geometry | undefined {
  // A last group is not shorter than its own counts and a few blocks.
  const most = Math.min(geometry.blockCount, blocks + geometry.groupBlocks);
  for (let wanted = blocks; wanted <= most; wanted++) {
    const layout = resizedGeometry(geometry, wanted);
    if (layout !== undefined && layout.blockCount >= blocks) return layout;
  }
  return undefined;
}
