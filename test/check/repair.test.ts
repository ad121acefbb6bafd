/** Repair: what was planted and can be put right is right afterwards; nothing else was touched. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { checkSync, type IssueCode, repairSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { goldenImage } from '../format/golden.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { Hand, pattern } from './hand.ts';
import { ImageEditor } from './image-editor.ts';
import { lose, nodeAt } from './lose.ts';
import { addFrame, PLANTS, type Plant, planted } from './plants.ts';
import { type Shown, shownOf } from './shown.ts';

/** What is put right. The promise that is planted is one of too much, and stays. */
const REPAIRED: ReadonlySet<IssueCode> = new Set([
  'copy-damaged',
  'count-high',
  'count-low',
  'counts-damaged',
  'directory-flag',
  'directory-links',
  'directory-size',
  'file-links',
  'free-count',
  'free-total',
  'index-copy',
  'index-entry',
  'key-order',
  'leak',
  'level',
  'link-count',
  'link-missing',
  'link-unnamed',
  'next-number',
  'node-fault',
  'node-header',
  'orphan-fault',
  'queue-item',
  'record-time',
  'slot-birth',
  'slot-differs',
  'slot-fault',
  'slot-fixed',
  'slot-outside',
  'superblock-damaged',
  'superblock-stale',
]);

function bytesOf(device: Device): Uint8Array {
  const bytes = new Uint8Array(device.size);
  void device.read(0, bytes);
  return bytes;
}

/** What a reader sees; undefined if it does not mount. */
function shown(image: Uint8Array): Shown | undefined {
  try {
    return shownOf(image);
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
    else expect(report.after.found.has(code)).toBe(true);
    // Nothing that was not there before, and what was read before is read now.
    for (const found of report.after.found.keys())
      expect([...before.found.keys()]).toContain(found);
    const after = shown(bytesOf(target));
    for (const [path, what] of shown(image) ?? []) {
      // An unreal time is one that reads otherwise.
      if (code !== 'record-time' || path !== '/empty') expect(after?.get(path), path).toBe(what);
    }
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

  it.each([
    ['counts', countLow],
    ['a directory without its root', rootLost],
  ])('leaves what was or what is to be, wherever the power goes off: %s', (_, make) => {
    const image = make();
    const before = shown(image);
    const tape = new TapeDevice(image);
    repairSync(tape);
    const wanted = shown(tape.image());
    const random = new Random(1);
    for (let count = 0; count <= tape.calls.length; count++) {
      for (const left of crashImages(tape, count, { random, exhaustiveMax: 2, samples: 2 })) {
        const found = shown(left);
        expect([before, wanted]).toContainEqual(found);
        if (count === tape.calls.length) expect(found).toEqual(wanted);
        const again = MemoryDevice.from(left.slice());
        expect(repairSync(again).after.issues).toEqual([]);
        expect(shown(bytesOf(again))).toEqual(wanted);
      }
    }
  });

  it('does not change nodes while the log has something to be replayed', () => {
    const pending = new ImageEditor(rootLost());
    addFrame(pending, { type: 'truncate', target: 1, size: 0, time: { sec: 0, nsec: 0 } });
    const tape = new TapeDevice(pending.bytes);
    const { done, left, after } = repairSync(tape);
    expect(done).toEqual([]);
    expect(left.join()).toContain('mount the volume once');
    expect(after.found.has('log-pending')).toBe(true);
    expect(tape.calls).toEqual([]);
  });

  it('leaves nodes as they are if there is no room for new ones', () => {
    const device = new MemoryDevice({ size: 4 * MIB });
    const hand = Hand.format(device, { groupBlocks: 1024, logBlocks: 4 });
    const many = hand.directory(hand.root, 'many');
    for (let i = 0; i < 60; i++) hand.file(many, `file ${i}`, pattern(500));
    hand.commit();
    const image = new ImageEditor(bytesOf(device));
    lose(image, nodeAt(image, image.slotsOf(image.find('live/many'))));
    // Everything is said to be in use: nothing is free, and nothing that is in use is written to.
    for (let block = 0; block < 1024; block++) {
      if (image.count(block) === 0) image.setCount(block, 1);
    }
    image.sealWhatIsThere();
    lose(image, nodeAt(image, image.slotsOf(image.find('live/many'))));
    const { left } = repairSync(image.device());
    expect(left.join()).toContain('not enough free blocks');
  });
});

/** A directory of several leaves, whose root is lost. */
function rootLost(): Uint8Array {
  const device = new MemoryDevice({ size: MIB });
  const hand = Hand.format(device, { groupBlocks: 256, logBlocks: 4 });
  const many = hand.directory(hand.root, 'many');
  for (let i = 0; i < 30; i++) hand.file(many, `file ${i}`, pattern(500, i));
  hand.commit();
  const editor = new ImageEditor(bytesOf(device));
  lose(editor, nodeAt(editor, editor.slotsOf(editor.find('live/many'))));
  return editor.bytes;
}
