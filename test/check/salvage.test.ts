/** Salvage: what a lost node named is found again, and stands where it stood, or in lost+found. */
import { describe, expect, it } from 'vitest';
import { BLOCK_WORDS, MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue, repairSync } from '../../src/check/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { interiorSlot } from '../../src/format/index.ts';
import { imageOf } from '../format/golden.ts';
import { Hand, pattern } from './hand.ts';
import { ImageEditor } from './image-editor.ts';
import { lose, nodeAt } from './lose.ts';
import { type Shown, shownOf } from './shown.ts';

/** A directory of many leaves, one below it, a snapshot of both, and changes after it. */
function image(): Uint8Array {
  const device = new MemoryDevice({ size: 4 * MIB });
  const hand = Hand.format(device, { groupBlocks: 1024, logBlocks: 4 });
  const many = hand.directory(hand.root, 'many');
  for (let i = 0; i < 120; i++) hand.file(many, `file ${i}`, pattern(i * 40, i));
  const below = hand.directory(many, 'below');
  for (let i = 0; i < 40; i++) hand.file(below, `deep ${i}`, pattern(5000, i));
  hand.link(hand.file(below, 'one', pattern(100)), many, 'two');
  hand.commit();
  hand.clone(hand.root, hand.snapshots, 'before', true);
  hand.commit();
  for (let i = 0; i < 120; i += 30) hand.write(hand.find(many, `file ${i}`), 0, pattern(10, 99));
  hand.commit();
  return imageOf(device);
}

/** A directory, and in another one its clone, all of whose leaves were changed. */
function cloned(): Uint8Array {
  const device = new MemoryDevice({ size: 4 * MIB });
  const hand = Hand.format(device, { groupBlocks: 1024, logBlocks: 4 });
  const many = hand.directory(hand.root, 'many');
  for (let i = 0; i < 60; i++) hand.file(many, `file ${i}`, pattern(i * 40, i));
  const place = hand.directory(hand.root, 'place');
  hand.commit();
  const clone = hand.clone(many, place, 'clone');
  for (let i = 0; i < 60; i++) hand.write(hand.find(clone, `file ${i}`), 0, pattern(10, 99));
  hand.commit();
  return imageOf(device);
}

function damaged(path: string, child?: number): { image: Uint8Array; editor: ImageEditor } {
  const editor = new ImageEditor(image());
  const slot = editor.slotsOf(editor.find(path));
  const root = nodeAt(editor, slot);
  const at = child === undefined ? slot : interiorSlot(root.block * BLOCK_WORDS, child);
  lose(editor, nodeAt(editor, at));
  return { image: editor.bytes, editor };
}

function bytesOf(device: Device): Uint8Array {
  const bytes = new Uint8Array(device.size);
  void device.read(0, bytes);
  return bytes;
}

function repaired(broken: Uint8Array): { done: readonly string[]; shown: Shown } {
  const device = MemoryDevice.from(broken.slice());
  const { done, after } = repairSync(device);
  expect(after.issues.map(describeIssue), done.join('\n')).toEqual([]);
  expect(checkSync(device).verdict).toBe('clean');
  return { done, shown: shownOf(bytesOf(device)) };
}

describe('a directory whose root is lost', () => {
  it('has all its entries again', () => {
    const wanted = shownOf(image());
    const { shown } = repaired(damaged('live/many').image);
    expect(shown).toEqual(wanted);
  });
});

describe('a directory whose record is lost', () => {
  it('is connected under lost+found, as part of the live tree', () => {
    const wanted = shownOf(image());
    const { shown } = repaired(damaged('live').image);
    for (const [path, what] of wanted) {
      const place = path.replace(/^\/many/, '/lost+found/#1-16');
      if (path !== '/many') expect(shown.get(place), place).toBe(what);
    }
    expect(shown.size).toBe(wanted.size + 1);
  });

  it('keeps to itself if its numbers are in use', () => {
    // A clone of the directory, changed below: its record is lost, its numbers are the live ones.
    const editor = new ImageEditor(cloned());
    lose(editor, nodeAt(editor, editor.slotsOf(editor.find('live/place'))));
    const wanted = shownOf(cloned());
    const { shown } = repaired(editor.bytes);
    for (const [path, what] of wanted) {
      const place = path.replace(/^\/place\/clone/, '/lost+found/#1-16');
      if (path !== '/place/clone') expect(shown.get(place), place).toBe(what);
    }
  });
});

describe('a directory that has lost a leaf', () => {
  it('has the entries of the others', () => {
    const wanted = shownOf(image());
    const editor = new ImageEditor(image());
    const root = nodeAt(editor, editor.slotsOf(editor.find('live/many'))).block;
    const child = interiorSlot(root * BLOCK_WORDS, 2);
    const gone = new Set(editor.records(child).map((place) => editor.nameOf(place)));
    lose(editor, nodeAt(editor, child));
    const { shown } = repaired(editor.bytes);
    expect(gone.size).toBeGreaterThan(3);
    for (const [path, what] of wanted) {
      const lost = path.startsWith('/many/') && gone.has(path.split('/')[2] as string);
      // The snapshot has most leaves of the live tree, and may have lost the same one.
      if (!path.startsWith('@')) expect(shown.get(path), path).toBe(lost ? undefined : what);
    }
  });
});
