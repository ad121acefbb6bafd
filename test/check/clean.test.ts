/**
 * A volume that was changed in any order is one that the verifier has nothing to say about.
 */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { RigOptions } from '../volume/rig.ts';
import { Hand, pattern } from './hand.ts';
import { History } from './history.ts';

const GEOMETRIES: readonly [string, number, RigOptions][] = [
  ['the usual layout', 32 * MIB, {}],
  ['many small groups', 16 * MIB, { groupBlocks: 256 }],
  ['counts that saturate at 3', 16 * MIB, { groupBlocks: 256, countCap: 1 }],
  ['the smallest caches', 16 * MIB, { groupBlocks: 256, countCapacity: 1, vnodeLimit: 4 }],
];

const SEEDS = Array.from({ length: process.env['RAMET_LONG'] === '1' ? 30 : 3 }, (_, i) => i + 1);

describe.each(GEOMETRIES)('check on %s', (_title, size, options) => {
  it.each(SEEDS)('says nothing after history %i', (seed) => {
    const device = new MemoryDevice({ size });
    const hand = Hand.format(device, options);
    const history = new History(hand, seed);
    for (let round = 0; round < 6; round++) {
      history.run(60);
      hand.commit();
      const report = checkSync(device);
      expect(report.issues.map(describeIssue), history.done.join('\n')).toEqual([]);
      expect(report.verdict).toBe('clean');
    }
  });
});

describe('check on clones beyond the largest count', () => {
  it('says nothing, while blocks are copied instead of shared', () => {
    const device = new MemoryDevice({ size: 16 * MIB });
    const hand = Hand.format(device, { groupBlocks: 256, countCap: 1 });
    const directory = hand.directory(hand.root, 'directory');
    hand.file(directory, 'file', pattern(40_000));
    hand.link(hand.file(directory, 'linked', pattern(5000)), directory, 'linked too');
    hand.commit();
    const before = checkSync(device).statistics.blocks;
    for (let i = 0; i < 20; i++) {
      const clone = hand.clone(directory, hand.root, `clone ${i}`);
      hand.clone(hand.find(clone, 'file'), hand.root, `file ${i}`);
    }
    hand.commit();
    const report = checkSync(device);
    expect(report.issues.map(describeIssue)).toEqual([]);
    const after = report.statistics.blocks;
    expect(after.data).toBeGreaterThan(5 * before.data);
    expect(after.directory).toBeGreaterThan(4 * before.directory);
  });
});
