/**
 * Repair, of images in which one block is damaged, or that contradict themselves.
 */
import { expect, it } from 'vitest';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { checkSync, repairSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { BASES, type BaseName } from './bases.ts';
import { readAll, targetOf } from './runs.ts';

/** What a check finds. A log of which a frame is damaged ends before it, which is no fault. */
function known(bytes: Uint8Array): string[] {
  const { found } = checkSync(MemoryDevice.from(bytes));
  return [...found.keys()].filter((code) => code !== 'log-pending');
}

// A node whose first copy was damaged got the content of whatever lay before it, if that was whole.
it.each(Object.keys(BASES) as BaseName[])('writes what it can, once, in %s', (base) => {
  const { image, used } = targetOf(base);
  const clean = known(image);
  let repaired = 0;
  for (const block of used) {
    const bytes = image.slice();
    const at = block * BLOCK_SIZE + 100;
    bytes[at] = (bytes[at] as number) ^ 0x55;
    const { seen } = readAll(bytes);
    const device = new MemoryDevice({ buffer: bytes.buffer });
    const { done, after } = repairSync(device);
    if (done.length > 0) repaired++;
    expect(after.found.has('copy-damaged'), `block ${block}`).toBe(false);
    if (after.verdict !== 'errors') expect(known(bytes), `block ${block}`).toEqual(clean);
    expect(repairSync(device).done, `block ${block}`).toEqual([]);
    const now = readAll(bytes).seen;
    for (const [key, value] of seen) if (value.startsWith('= ')) expect(now.get(key)).toBe(value);
  }
  expect(repaired).toBeGreaterThan(8);
});
