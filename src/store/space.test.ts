/** Space: who may be handed which blocks, and when what was freed may be handed out again. */
import { describe, expect, it } from 'vitest';
import { seeded } from '../../test/volume/seeds.ts';
import { type Block, MIB, Plan } from '../base/index.ts';
import { BlockCache } from '../cache/index.ts';
import { type Geometry, groupReserved, isFixedBlock } from '../format/index.ts';
import { Groups, newSuperblock, Space } from './index.ts';

const SEED = 5n;

interface Scene {
  readonly geometry: Geometry;
  readonly groups: Groups;
  readonly space: Space;
}

/** A new volume with all counts in memory: new groups need no reading. */
function scene(size = 4 * MIB): Scene {
  const { superblock, index } = newSuperblock({
    size,
    groupBlocks: 256,
    logBlocks: 8,
    uuid: new Uint8Array(16),
    hashSeed: 0n,
    now: 0,
  });
  const { geometry } = superblock;
  const groups = new Groups({ geometry, seed: SEED, index, capacity: MIB });
  const blocks = new BlockCache({ capacity: MIB, seed: SEED });
  for (let g = 0; g < geometry.groupCount; g++) groups.want(g, new Plan());
  return { geometry, groups, space: new Space(groups, blocks) };
}

/** Uses blocks that were handed out. */
function use({ groups }: Scene, first: Block, count: number): void {
  for (let i = 0; i < count; i++) groups.increment((first + i) as Block);
}

/** Takes the last reference from a block. */
function free({ groups, space }: Scene, block: Block): void {
  expect(groups.decrement(block)).toBe(0);
  space.free(block);
}

/** A commit, as far as space is concerned. */
function commit({ space }: Scene): void {
  space.committed(space.close());
}

describe('Space', () => {
  it('hands a freed block out again when the commit after the next is durable (A2)', () => {
    const it = scene();
    const { block } = it.space.allocateNode(false);
    use(it, block, 1);
    commit(it);
    free(it, block);
    const idle = () => it.groups.loaded(0)?.isIdle(block);
    expect([idle(), it.space.pending]).toEqual([false, 1]);
    commit(it);
    expect([idle(), it.space.pending]).toEqual([false, 1]);
    commit(it);
    expect([idle(), it.space.pending]).toEqual([true, 0]);
  });

  it('has nothing to wait for with blocks that were never used', () => {
    const it = scene();
    const { idle } = it.groups;
    const run = it.space.allocateData(50);
    expect(it.groups.idle).toBe(idle - 50);
    it.space.takeBack(run.block, run.length);
    expect(it.groups.idle).toBe(idle);
  });

  // Each of 4,000 blocks was looked for in all of the volume.
  it('looks for a long run once, where there is none, until blocks become idle', () => {
    const it = scene(16 * MIB);
    const all: Block[] = [];
    while (it.groups.idle > 0) {
      const { block, length } = it.space.allocateData(64);
      for (let i = 0; i < length; i++) all.push((block + i) as Block);
    }
    for (let i = 0; i < all.length; i += 2) it.space.takeBack(all[i] as Block, 1);
    let looks = 0;
    const { loaded } = it.groups;
    it.groups.loaded = (group) => {
      looks++;
      return loaded.call(it.groups, group);
    };
    for (let i = 0; i < 500; i++) expect(it.space.allocateData(500 - i).length).toBe(1);
    expect(looks).toBeLessThan(600);
    for (const at of [1, 3]) it.space.takeBack(all[at] as Block, 1);
    const run = it.space.allocateData(100);
    expect(run.length, 'a run that came back').toBeGreaterThan(1);
  });

  it('finds pairs for twins while there are any, and then single blocks', () => {
    const it = scene(MIB);
    const { groups, space, geometry } = it;
    const all = space.allocateData(geometry.blockCount);
    use(it, all.block, all.length);
    // Every other block is given back: no two of them are neighbours.
    for (let i = 0; i < all.length; i += 2) free(it, (all.block + i) as Block);
    for (let i = 0; i < 2; i++) commit(it);
    const rest = groups.idle;
    for (let i = 0; i < rest; i++) {
      const { block, twin } = space.allocateNode(true);
      if (twin) expect(block < all.block || block >= all.block + all.length - 1).toBe(true);
      use(it, block, twin ? 2 : 1);
      if (groups.idle === 0) return;
    }
    expect(groups.idle).toBe(0);
  });

  it('gives data a long run although shorter ones come first', () => {
    const it = scene();
    const { space } = it;
    const run = space.allocateData(256);
    use(it, run.block, run.length);
    for (let i = 0; i < 100; i += 3) free(it, (run.block + i) as Block);
    for (let i = 0; i < 2; i++) commit(it);
    for (let i = 0; i < 8; i++) {
      const next = space.allocateData(64);
      expect(next.length).toBe(64);
      use(it, next.block, next.length);
    }
  });

  it('keeps the last blocks for deleting, and the very last for reclaiming (A3)', () => {
    const it = scene();
    const { groups, space } = it;
    const most = { normal: groups.idle - space.kept, delete: 0, reclaim: groups.idle };
    most.delete = groups.idle - Math.floor(space.kept / 4);
    for (const kind of ['normal', 'delete', 'reclaim'] as const) {
      expect(space.has(most[kind], kind)).toBe(true);
      expect(space.has(most[kind] + 1, kind)).toBe(false);
      expect(space.couldHave(most[kind] + 1, kind)).toBe(false);
    }
    space.reserved = 10;
    expect(space.has(most.normal - 9, 'normal')).toBe(false);
    expect(space.available).toBe(most.normal - 10);
  });

  it.each([
    [256 * 1024, 16],
    [MIB, 51],
    [4 * MIB, 64],
    [64 * MIB, 512],
    [4096 * MIB, 4096],
  ])('of a volume of %d bytes keeps %d blocks', (size, kept) => {
    const { superblock, index } = newSuperblock({
      size,
      uuid: new Uint8Array(16),
      hashSeed: 0n,
      now: 0,
    });
    const { geometry } = superblock;
    const groups = new Groups({ geometry, seed: SEED, index, capacity: MIB });
    expect(new Space(groups, new BlockCache({ capacity: MIB, seed: SEED })).kept).toBe(kept);
  });

  seeded('never hands out what somebody has or a root may need', { count: 10 }, (random) => {
    const it = scene(2 * MIB);
    const { groups, space, geometry } = it;
    const used = new Set<Block>();
    /** Freed in the open txg, and in the one before. */
    let now = new Set<Block>();
    let before = new Set<Block>();
    const take = (first: Block, count: number): void => {
      for (let i = 0; i < count; i++) {
        const block = (first + i) as Block;
        expect(isFixedBlock(geometry, block)).toBe(false);
        expect(used.has(block) || now.has(block) || before.has(block)).toBe(false);
        used.add(block);
      }
      use(it, first, count);
    };
    for (let i = 0; i < 2000; i++) {
      const draw = random.fraction();
      if (draw < 0.3 && groups.idle >= 2) {
        const { block, twin } = space.allocateNode(random.chance(0.5));
        take(block, twin ? 2 : 1);
      } else if (draw < 0.45 && groups.idle > 0) {
        const run = space.allocateData(random.between(1, 80));
        take(run.block, run.length);
      } else if (draw < 0.97 && used.size > 0) {
        const block = random.pick([...used]);
        used.delete(block);
        now.add(block);
        free(it, block);
      } else {
        commit(it);
        [before, now] = [now, new Set()];
      }
      const fixed = groupReserved(geometry, 0) + groupReserved(geometry, 1) + 4;
      const gone = used.size + now.size + before.size;
      expect(groups.idle).toBe(geometry.blockCount - fixed - gone);
    }
  });
});
