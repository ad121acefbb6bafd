/**
 * Every block altered, one at a time: it is found, or harmless, and nothing wrong is ever read.
 */
import { expect, it } from 'vitest';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { slotBlock } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { lie, readAll, TARGET, truths } from './runs.ts';

const TRUTHS = truths(TARGET.image);

/** The image with one byte of a block changed. */
function altered(block: number, random: Random): Uint8Array {
  const bytes = TARGET.image.slice();
  const at = block * BLOCK_SIZE + random.below(BLOCK_SIZE);
  bytes[at] = (bytes[at] as number) ^ random.between(1, 255);
  return bytes;
}

it('a block that is altered is found or harmless, never believed', { timeout: 180_000 }, () => {
  const random = new Random(1);
  const free = random.shuffle(TARGET.free).slice(0, 10);
  let found = 0;
  for (const block of [...TARGET.used, ...free]) {
    const bytes = altered(block, random);
    const { seen } = readAll(bytes);
    expect(lie(seen, TRUTHS), `block ${block}`).toBeUndefined();
    if (checkSync(MemoryDevice.from(bytes)).verdict !== 'clean') found++;
    else expect(seen, `block ${block}`).toEqual(TRUTHS[0]);
  }
  expect(found).toBeGreaterThan(0.8 * TARGET.used.length);
});

it('would be believed, and noticed here, if nothing was verified', { timeout: 60_000 }, () => {
  const random = new Random(2);
  const { words } = new ImageEditor(TARGET.image);
  const data = new Set(TARGET.dataSlots.map((at) => slotBlock(words, at)));
  const lies = [...data].slice(0, 20).map((block) => {
    // Every checksum is that of the altered block: to verify it is to verify nothing.
    const { bytes } = new ImageEditor(altered(block, random)).seal();
    return lie(readAll(bytes).seen, TRUTHS);
  });
  expect(lies.filter((each) => each !== undefined).length).toBeGreaterThan(10);
});
