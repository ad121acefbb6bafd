/**
 * Counts that are too low: what is found out too late to be refused latches the volume, and is told
 * with an errno.
 */
import { expect, it } from 'vitest';
import { BLOCK_SIZE, KIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { SLOT_WORDS } from '../../src/format/index.ts';
import { Hand, pattern } from '../check/hand.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { imageOf } from '../format/golden.ts';
import { attempt, openImage } from './use.ts';

/** A file whose blocks are all the same one, which counts one slot. */
function oneBlock(): Uint8Array<ArrayBuffer> {
  const hand = Hand.format(new MemoryDevice({ size: 512 * KIB }), { groupBlocks: 256 });
  hand.file(hand.root, 'file', pattern(10 * BLOCK_SIZE));
  hand.commit();
  const editor = new ImageEditor(imageOf(hand.device));
  const slot = editor.slotsOf(editor.find('live/file'));
  const first = editor.mapSlot(slot, 0);
  for (let i = 1; i < 10; i++) {
    editor.words.copyWithin(editor.mapSlot(slot, i), first, first + SLOT_WORDS);
  }
  return editor.seal().bytes;
}

// Runs that were complete were given up with the one that failed: an assertion, not an error.
it('a run that cannot be mapped fails alone, and with an errno', () => {
  const volume = openImage(MemoryDevice.from(oneBlock()), false);
  const fd = volume.fs.openSync('/file', 'r+');
  for (const block of [0, 3, 6]) {
    volume.fs.writeSync(fd, Buffer.alloc(BLOCK_SIZE, 7), 0, BLOCK_SIZE, block * BLOCK_SIZE);
  }
  expect(attempt('sync', () => volume.syncSync())).toBe('EIO');
  expect(attempt('write', () => volume.fs.writeFileSync('/new', ''))).toBe('EROFS');
  const read = Buffer.alloc(BLOCK_SIZE);
  volume.fs.readSync(fd, read, 0, BLOCK_SIZE, 3 * BLOCK_SIZE);
  expect(read[0]).toBe(7);
  attempt('close', () => volume.closeSync());
});
