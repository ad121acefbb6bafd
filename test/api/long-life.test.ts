/**
 * A volume that was full, and in use for long, is as good as new when it is empty: exactly as much
 * is free. RAMET_LONG=1: two million operations, and what age does to extents and speed is told.
 */
import { expect, it } from 'vitest';
import { makeDriver } from '../../src/api/device-use.ts';
import { MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { tell } from '../interleave/schedules.ts';
import { COMMON, OpenVolume } from './bench.ts';
import { LongLife } from './long-life.ts';

const long = process.env['RAMET_LONG'] === '1';
const OPERATIONS = long ? 2_000_000 : 20_000;
const ROUNDS = 5;

/** Free blocks, once nothing waits to be given back. */
function freeOf(volume: OpenVolume): number {
  volume.reclaimSync();
  for (let i = 0; i < 4; i++) volume.syncSync();
  const { groups, space } = volume.inside.store;
  expect([space.pending, space.reserved, space.unwritten]).toEqual([0, 0, 0]);
  return groups.free;
}

it('has all its space back after a long life', { timeout: 7_200_000 }, async () => {
  const image = new Uint8Array((long ? 128 : 48) * MIB);
  const device = new MemoryDevice({ buffer: image.buffer });
  const options = { ...COMMON, create: true, groupBlocks: 4096, cacheBytes: 32 * MIB };
  let volume = await OpenVolume.on(device, makeDriver(device), options);
  const baseline = freeOf(volume);
  const life = new LongLife(volume, new Random(1), 40);
  life.fill();
  for (let round = 1; round <= ROUNDS; round++) {
    const start = process.hrtime.bigint();
    life.age(OPERATIONS / ROUNDS);
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const { operations, clones, snapshots, full } = life.ages;
    tell(
      `${operations} operations, ${Math.round(OPERATIONS / ROUNDS / seconds)}/s; ` +
        `${clones} clones, ${snapshots} snapshots, ${full} times full; ` +
        `${life.extents().toFixed(1)} extents of 128 blocks`,
    );
  }
  life.verify();
  volume.syncSync();
  expect(checkSync(MemoryDevice.from(image)).issues.map(describeIssue)).toEqual([]);
  const { before, after, moved } = volume.defragSync();
  tell(`defrag: ${before} extents, now ${after}; ${Math.round(moved / MIB)} MiB moved`);
  expect(after).toBeLessThanOrEqual(before);
  life.verify();
  life.empty();
  expect(volume.fs.readdirSync('/')).toEqual([]);
  expect(freeOf(volume)).toBe(baseline);
  expect(checkSync(MemoryDevice.from(image)).issues.map(describeIssue)).toEqual([]);
  volume.closeSync();
  // And the same for who mounts it next.
  volume = await OpenVolume.on(device, makeDriver(device), COMMON);
  expect(freeOf(volume)).toBe(baseline);
  volume.closeSync();
});
