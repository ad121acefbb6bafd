/** File maps against plain maps from file block to content, alone and shared. */
import { describe, expect, it } from 'vitest';
import { MapHistory, type ModelMap } from '../../test/tree/map-history.ts';
import { BareMap, TreeRig } from '../../test/tree/rig.ts';
import { seeded } from '../../test/volume/seeds.ts';
import { MIB } from '../base/index.ts';
import { SlotKind, slotBlock, slotHasBlock } from '../format/index.ts';
import { Random } from '../testing/index.ts';
import { MapPosition } from './index.ts';

interface Scene {
  readonly rig: TreeRig;
  readonly history: MapHistory;
  readonly model: ModelMap;
}

function scene(): Scene {
  const rig = new TreeRig({ size: 8 * MIB });
  const history = new MapHistory(rig, new Random(1));
  return { rig, history, model: history.maps[0] as ModelMap };
}

/** Fails unless all maps name what they should, and every count is right. */
function check({ rig, history }: Pick<Scene, 'rig' | 'history'>): void {
  for (const model of history.maps) expect(history.differences(model)).toEqual([]);
  expect(rig.audit()).toEqual([]);
}

/** Where a file block is, and for how far the answer holds. */
function locate({ rig, model }: Scene, fileBlock: number): MapPosition {
  const position = new MapPosition();
  rig.look((plan) => rig.maps.locate(model.map, fileBlock, position, plan) || undefined);
  return position;
}

describe('FileMaps.setRun()', () => {
  it.each([
    [0, 0],
    [3, 0],
    [4, 1],
    [255, 1],
    [256, 2],
    [65535, 2],
    [65536, 3],
    [2 ** 24, 4],
    [2 ** 30, 4],
  ])('maps file block %d at depth %d', (block, depth) => {
    const it = scene();
    it.history.set(it.model, block, 1);
    expect(it.model.map.depth).toBe(depth);
    check(it);
  });

  it('keeps what was embedded when the map grows, level by level', () => {
    const it = scene();
    it.history.set(it.model, 0, 4);
    for (const block of [10, 1000, 100_000, 2 ** 25]) {
      it.history.set(it.model, block, 2);
      check(it);
    }
    expect(it.model.map.depth).toBe(4);
  });

  it('gives back what it replaces, and says how many blocks are new', () => {
    const it = scene();
    it.history.set(it.model, 250, 20);
    const { free } = it.rig.store.groups;
    it.history.set(it.model, 240, 30);
    expect(it.rig.store.groups.free).toBe(free - 10);
    check(it);
  });

  // Behind the four slots of the map an inode keeps others. They were taken along into the first
  // map node, as the fifth and the sixth block of the file.
  it('leaves slots alone that lie behind those of the map', () => {
    const { rig } = scene();
    const behind = Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const slots = new Uint32Array(24);
    slots.set(behind, 16);
    const map = Object.assign(new BareMap(), { slots });
    rig.change(
      () => true,
      () => {
        const { block } = rig.store.space.allocateData(1);
        rig.maps.setRun(map, { first: 9, block, checksums: Uint32Array.of(0) });
      },
      20,
    );
    expect(slots.subarray(16)).toEqual(behind);
    const { words } = rig.store.blocks;
    const base = rig.store.base(rig.store.resident(slots, 0));
    const named = Array.from({ length: 256 }, (_, i) => i).filter((i) =>
      slotHasBlock(words, base + 4 * i),
    );
    expect(named).toEqual([9]);
  });
});

describe('FileMaps.locate()', () => {
  it('tells how far a hole goes, beyond the depth of the map too', () => {
    const it = scene();
    it.history.set(it.model, 300, 1);
    expect(locate(it, 0)).toMatchObject({ kind: SlotKind.HOLE, hasSlot: false, left: 256 });
    expect(locate(it, 299)).toMatchObject({ kind: SlotKind.HOLE, hasSlot: true, left: 256 - 43 });
    expect(locate(it, 70_000)).toMatchObject({ kind: SlotKind.HOLE, hasSlot: false });
    const { words, at } = locate(it, 300);
    expect(slotBlock(words, at)).toBeGreaterThan(0);
  });
});

describe('FileMaps.cut()', () => {
  it.each([0, 1, 4, 5, 255, 256, 257, 65536, 65537, 100_000])(
    'at file block %d leaves what is before it',
    (from) => {
      const it = scene();
      for (const block of [0, 4, 250, 1000, 65530, 100_000, 2 ** 25]) {
        it.history.set(it.model, block, 8);
      }
      it.history.cut(it.model, from);
      check(it);
      it.history.reclaim();
      check(it);
      it.history.set(it.model, 70_000, 3);
      check(it);
    },
  );

  it('shrinks the map and embeds the last few blocks again', () => {
    const it = scene();
    const { free } = it.rig.store.groups;
    it.history.set(it.model, 0, 3);
    it.history.set(it.model, 2 ** 25, 3);
    it.history.cut(it.model, 3);
    it.history.reclaim();
    expect(it.model.map.depth).toBe(0);
    for (let i = 0; i < 3; i++) it.rig.commit();
    expect(it.rig.store.groups.free).toBe(free - 3);
    check(it);
  });

  it('of one of two clones leaves the other as it is', () => {
    const it = scene();
    it.history.set(it.model, 200, 300);
    const copy = it.history.clone(it.model);
    it.history.cut(copy, 220);
    it.history.set(it.model, 210, 5);
    check(it);
    it.history.drop(it.model);
    check(it);
  });
});

describe('file maps and their clones', () => {
  seeded('are what plain maps are', { count: 10 }, (random) => {
    const rig = new TreeRig({
      size: random.pick([8, 24]) * MIB,
      groupBlocks: random.pick([256, 4096]),
      countCap: random.pick([1, 2, 4]),
    });
    const history = new MapHistory(rig, random);
    const cold = random.chance(0.5);
    const { free } = rig.store.groups;
    for (let i = 0; i < 120; i++) {
      if (cold) rig.store.blocks.evictAll();
      history.step();
      if (i % 20 === 19) check({ rig, history });
    }
    for (const model of history.maps) history.drop(model);
    history.reclaim();
    for (let i = 0; i < 3; i++) rig.commit();
    check({ rig, history });
    expect(rig.store.groups.free).toBe(free);
  });
});
