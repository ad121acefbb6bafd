/** Repair: what was planted and can be put right is right afterwards; nothing else was touched. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { checkSync, type IssueCode, repairSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { namesOf } from '../crash/shown.ts';
import { textOf } from '../crash/states.ts';
import { goldenImage } from '../format/golden.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { PLANTS, type Plant, planted } from './plants.ts';

/** What follows from the rest of an image. The promise that is planted is one of too much. */
const REPAIRED: ReadonlySet<IssueCode> = new Set([
  'copy-damaged',
  'count-high',
  'count-low',
  'counts-damaged',
  'free-count',
  'free-total',
  'index-copy',
  'index-entry',
  'leak',
  'superblock-damaged',
  'superblock-stale',
]);

function bytesOf(device: Device): Uint8Array {
  const bytes = new Uint8Array(device.size);
  void device.read(0, bytes);
  return bytes;
}

/** What a reader sees; undefined if it does not mount or cannot be read as a whole. */
function seen(image: Uint8Array): string[] | undefined {
  try {
    using volume = Volume.openSync(MemoryDevice.from(image.slice()), { ...COMMON, readOnly: true });
    return textOf(namesOf(volume));
  } catch {
    return undefined;
  }
}

function countLow(): Uint8Array {
  return bytesOf(planted(PLANTS['count-low'] as Plant));
}

describe('repair', () => {
  // A device that fails to read is not an image; without memory nothing is known.
  const images = (Object.entries(PLANTS) as [IssueCode, Plant][]).filter(
    ([code]) => !['unreadable', 'memory', 'names-skipped'].includes(code),
  );
  it.each(images)('%s', (code, plant) => {
    const image = bytesOf(planted(plant));
    const before = checkSync(MemoryDevice.from(image.slice()));
    const target = MemoryDevice.from(image.slice());
    const report = repairSync(target);
    expect(new Set(report.before.found.keys())).toEqual(new Set(before.found.keys()));
    if (REPAIRED.has(code)) expect(report.after.issues).toEqual([]);
    // Nothing that was not there before, and what was read before is read now.
    for (const found of report.after.found.keys())
      expect([...before.found.keys()]).toContain(found);
    const wanted = seen(image);
    if (wanted !== undefined) expect(seen(bytesOf(target))).toEqual(wanted);
    expect(repairSync(target).done).toEqual([]);
  });

  it('writes nothing to an image that is right, or when it only tells', () => {
    const image = goldenImage();
    const tape = new TapeDevice(image);
    expect(repairSync(tape)).toMatchObject({ done: [], after: { verdict: 'clean' } });
    const planted = new TapeDevice(countLow());
    const told = repairSync(planted, { dryRun: true });
    expect(told.done.length).toBeGreaterThan(0);
    expect([...tape.calls, ...planted.calls]).toEqual([]);
  });

  it('leaves a volume that mounts, wherever the power goes off', () => {
    const image = countLow();
    const wanted = seen(image);
    const tape = new TapeDevice(image);
    repairSync(tape);
    const random = new Random(1);
    for (let count = 0; count <= tape.calls.length; count++) {
      for (const left of crashImages(tape, count, { random, exhaustiveMax: 4, samples: 6 })) {
        expect(seen(left)).toEqual(wanted);
        const again = MemoryDevice.from(left.slice());
        expect(repairSync(again).after.issues).toEqual([]);
      }
    }
  });
});
