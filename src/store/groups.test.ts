/** Groups: counts as packed tables against an array of numbers, in memory and read back. */
import { describe, expect, it } from 'vitest';
import { makeDriver } from '../../test/volume/rig.ts';
import { seeded } from '../../test/volume/seeds.ts';
import {
  BLOCK_SIZE,
  type Block,
  CorruptionError,
  MIB,
  type Plan,
  PlannedOperation,
  type Txg,
} from '../base/index.ts';
import { MemoryDevice } from '../device/index.ts';
import {
  type CountWidth,
  type Geometry,
  groupReserved,
  isFixedBlock,
  readGroupEntry,
  SUPERBLOCKS,
} from '../format/index.ts';
import type { Random } from '../testing/index.ts';
import { Groups, newSuperblock } from './index.ts';

const SEED = 5n;

interface Scene {
  readonly device: MemoryDevice;
  readonly geometry: Geometry;
  groups: Groups;
}

function scene(countCap: CountWidth, capacity = MIB): Scene {
  const device = new MemoryDevice({ size: 4 * MIB });
  const { superblock, index } = newSuperblock({
    size: device.size,
    groupBlocks: 256,
    logBlocks: 8,
    countCap,
    uuid: new Uint8Array(16),
    hashSeed: 0n,
    now: 0,
  });
  const { geometry } = superblock;
  return { device, geometry, groups: new Groups({ geometry, seed: SEED, index, capacity }) };
}

/** Brings in the counts of a block. */
class Want extends PlannedOperation<void> {
  readonly #groups: Groups;
  readonly #block: Block;

  constructor(groups: Groups, block: Block) {
    super();
    this.#groups = groups;
    this.#block = block;
  }

  protected override prepare(plan: Plan): void {
    this.#groups.wantBlock(this.#block, plan);
  }

  protected override apply(): boolean {
    return this.finish(undefined);
  }
}

function want({ device, groups }: Scene, block: Block): void {
  makeDriver(device).run(new Want(groups, block));
}

function count(it: Scene, block: Block): number {
  want(it, block);
  return it.groups.count(block);
}

/** Writes what has changed, as a commit does. */
function close({ device, groups }: Scene, txg: number): void {
  for (const { position, bytes } of groups.close(txg as Txg)) device.write(position, bytes);
}

/** The same volume, with nothing of it in memory. */
function reopened(it: Scene, capacity = MIB): Scene {
  const { geometry, groups } = it;
  const again = new Groups({ geometry, seed: SEED, index: groups.index.slice(), capacity });
  return { ...it, groups: again };
}

/** A block without a fixed place. */
function drawBlock({ geometry }: Scene, random: Random): Block {
  for (;;) {
    const block = random.below(geometry.blockCount) as Block;
    if (!isFixedBlock(geometry, block)) return block;
  }
}

describe('Groups', () => {
  it('begin with counts for what has a fixed place, without reading anything', () => {
    const it = scene(4);
    const { geometry, groups } = it;
    let free = 0;
    for (let block = 0 as Block; block < geometry.blockCount; block++) {
      expect(count(it, block)).toBe(isFixedBlock(geometry, block) ? 1 : 0);
      if (!isFixedBlock(geometry, block)) free++;
    }
    expect([groups.free, groups.idle]).toEqual([free, free]);
  });

  it.each([
    [1, 3],
    [2, 15],
    [3, 255],
    [4, 65535],
  ] as const)('with cap %d count to %d and widen on the way', (cap, limit) => {
    const it = scene(cap);
    const block = groupReserved(it.geometry, 0) as Block;
    want(it, block);
    it.groups.handOut(block);
    for (let i = 0; i < limit; i++) {
      expect(it.groups.isSaturated(block)).toBe(false);
      it.groups.increment(block);
    }
    expect(it.groups.isSaturated(block)).toBe(true);
    expect(() => it.groups.increment(block)).toThrow('is shared beyond its limit');
    close(it, 1);
    expect(readGroupEntry(it.groups.index, 0).width).toBe(cap);
    expect(count(reopened(it), block)).toBe(limit);
    expect(count(reopened(it), (block + 1) as Block)).toBe(0);
  });

  it('write a table to the slot that does not hold the present one (I7)', () => {
    const it = scene(2);
    const block = groupReserved(it.geometry, 0) as Block;
    want(it, block);
    it.groups.handOut(block);
    it.groups.increment(block);
    const places = [1, 2, 3].map((txg) => {
      it.groups.increment(block);
      const [write] = it.groups.close(txg as Txg);
      return (write as { position: number }).position / BLOCK_SIZE;
    });
    expect(places).toEqual([SUPERBLOCKS, SUPERBLOCKS + 1, SUPERBLOCKS]);
  });

  it('refuse a table that is not what the index says, and a block outside the volume', () => {
    const it = scene(4);
    const block = groupReserved(it.geometry, 0) as Block;
    want(it, block);
    it.groups.handOut(block);
    it.groups.increment(block);
    close(it, 1);
    it.device.write(SUPERBLOCKS * BLOCK_SIZE, new Uint8Array(BLOCK_SIZE).fill(9));
    const again = reopened(it);
    expect(() => want(again, block)).toThrow('Cannot read counts of group 0 at 0x4000: checksum');
    expect(() => want(again, 100_000 as Block)).toThrow(CorruptionError);
  });

  it('notice what cannot be: used twice, released too often, used unasked', () => {
    const it = scene(4);
    const block = groupReserved(it.geometry, 0) as Block;
    want(it, block);
    expect(() => it.groups.increment(block)).toThrow('is used without being handed out');
    it.groups.handOut(block);
    expect(() => it.groups.handOut(block)).toThrow('is handed out twice');
    expect(() => it.groups.decrement(block)).toThrow('is released more often than it is used');
    it.groups.makeIdle(block);
    expect(() => it.groups.makeIdle(block)).toThrow('is set idle twice');
    const told: Error[] = [];
    it.groups.onContradiction = (error) => told.push(error);
    it.groups.freed(block);
    expect(told[0]?.message).toContain('is freed more often than it is used');
    const elsewhere = 3000 as Block;
    expect(() => scene(4).groups.count(elsewhere)).toThrow('were not planned for');
  });

  seeded('are what an array of numbers is, however little is kept', { count: 10 }, (random) => {
    const capacity = random.pick([1, 3000, MIB]);
    let it = scene(random.pick([1, 2, 4]), capacity);
    const model = new Map<Block, number>();
    for (let i = 0; i < 3000; i++) {
      const block = random.chance(0.3)
        ? drawBlock(it, random)
        : random.pick([...model.keys(), 999]);
      change(it, block as Block, model, random);
      if (random.chance(0.01)) close(it, i + 1);
      if (random.chance(0.02)) it.groups.trim();
      if (random.chance(0.003)) {
        close(it, i + 1);
        it = reopened(it, capacity);
      }
    }
    let used = 0;
    for (const [block, wanted] of model) {
      expect(count(it, block)).toBe(wanted);
      if (wanted > 0) used++;
    }
    expect(it.groups.free).toBe(scene(1).groups.free - used);
    expect(it.groups.idle).toBe(it.groups.free);
  });
});

/** One reference more or less; a block without any is idle again at once. */
function change(it: Scene, block: Block, model: Map<Block, number>, random: Random): void {
  if (isFixedBlock(it.geometry, block)) return;
  want(it, block);
  const now = model.get(block) ?? 0;
  if (now > 0 && random.chance(0.4)) {
    if (it.groups.decrement(block) === 0) it.groups.makeIdle(block);
    model.set(block, now - 1);
  } else if (now < it.groups.limit) {
    if (now === 0) it.groups.handOut(block);
    it.groups.increment(block);
    model.set(block, now + 1);
  }
}
