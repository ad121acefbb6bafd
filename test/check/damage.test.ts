/**
 * Damage: whatever happens to an image, the verifier ends and says so, or nothing was lost.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, FilesystemError, KIB, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { groupReserved, InodeKind } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Vnode } from '../../src/volume/index.ts';
import { goldenImage, imageOf, listVolume } from '../format/golden.ts';
import { Hand, pattern } from './hand.ts';
import { ImageEditor } from './image-editor.ts';

const image = goldenImage();
const golden = new ImageEditor(image);
const blockCount = image.length / BLOCK_SIZE;
const used = inUse(golden);
/** A thousand, if there is time. */
const ROUNDS = process.env['RAMET_LONG'] === '1' ? 1000 : 250;

function inUse(editor: ImageEditor): number[] {
  const { blockCount } = editor.superblock.geometry;
  const blocks = Array.from({ length: blockCount }, (_, block) => block);
  return blocks.filter((block) => editor.count(block) > 0);
}

/** The smallest volume there is, with a directory, its clone and a file in both. */
function smallest(): Uint8Array {
  const device = new MemoryDevice({ size: 256 * KIB });
  const hand = Hand.format(device, { logBlocks: 2 });
  const directory = hand.directory(hand.root, 'directory');
  hand.file(directory, 'file', pattern(5000));
  hand.clone(directory, hand.root, 'clone');
  hand.commit();
  return imageOf(device);
}

/** Goes through everything that has a name, and reads a little of each. */
function walk(hand: Hand, directory: Vnode): void {
  for (const { name } of hand.entries(directory)) {
    const vnode = hand.find(directory, name);
    if (vnode.isDirectory) walk(hand, vnode);
    else if (vnode.kind === InodeKind.FILE) hand.read(vnode, 0, Math.min(vnode.size, 5000));
    else if (vnode.kind === InodeKind.SYMLINK) hand.target(vnode);
    hand.extended(vnode);
    vnode.holds--;
  }
}

/** Mounts the image and walks it; what cannot be read has to be said in an error of ours. */
function use(bytes: Uint8Array): void {
  try {
    const hand = Hand.mount(MemoryDevice.from(bytes), { cacheBytes: MIB });
    walk(hand, hand.root);
    walk(hand, hand.snapshots);
  } catch (error) {
    if (!(error instanceof FilesystemError)) throw error;
  }
}

describe('a block that holds something else', () => {
  const listing = listVolume(Hand.mount(MemoryDevice.from(image)));
  const harmless: number[] = [];

  it('is found by check, or does not matter', () => {
    const random = new Random(1);
    for (const block of used) {
      const bytes = image.slice();
      const at = block * BLOCK_SIZE + random.below(BLOCK_SIZE);
      bytes[at] = (bytes[at] as number) ^ random.between(1, 255);
      const device = MemoryDevice.from(bytes);
      if (checkSync(device).verdict !== 'clean') continue;
      harmless.push(block);
      expect(listVolume(Hand.mount(device)), `block ${block}`).toEqual(listing);
    }
  });

  it('does not matter where nothing is that is needed', () => {
    // The log, the count slot and the index that are not current, and nothing else.
    const { geometry } = golden.superblock;
    const { logStart, logBlocks, indexBlocks, countSlotBlocks } = geometry;
    expect(harmless.length).toBe(logBlocks + 2 * indexBlocks + countSlotBlocks);
    for (const block of harmless) expect(block).toBeLessThan(groupReserved(geometry, 0));
    expect(harmless.filter((block) => block >= logStart)).toHaveLength(logBlocks);
  });
});

describe('an image with random bytes in it', () => {
  it('is checked, mounted and walked without a crash', { timeout: 120_000 }, () => {
    const random = new Random(2);
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = image.slice();
      for (let i = random.between(1, 4); i > 0; i--) {
        bytes[random.pick(used) * BLOCK_SIZE + random.below(BLOCK_SIZE)] = random.below(256);
      }
      checkSync(MemoryDevice.from(bytes));
      use(bytes);
    }
  });

  it.each([
    ['1 MiB', image],
    ['256 KiB', smallest()],
  ])('is checked even if every checksum is right: %s', { timeout: 120_000 }, (_, original) => {
    const random = new Random(3);
    const whole = new ImageEditor(original);
    const nodes = inUse(whole).filter(
      (block) => block >= groupReserved(whole.superblock.geometry, 0),
    );
    let clean = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const editor = new ImageEditor(original);
      for (let i = random.between(1, 3); i > 0; i--) {
        const at = random.pick(nodes) * BLOCK_SIZE + random.below(BLOCK_SIZE);
        editor.bytes[at] = random.pick([0, 1, 0xff, random.below(256)]);
      }
      reseal(editor);
      if (checkSync(editor.device()).verdict === 'clean') clean++;
    }
    // Most bytes are file data, times and free room in nodes.
    expect(clean).toBeGreaterThan(0.3 * ROUNDS);
    expect(clean).toBeLessThan(0.95 * ROUNDS);
  });

  it('is checked if nothing but noise follows the superblock', () => {
    const random = new Random(4);
    for (let round = 0; round < 30; round++) {
      const editor = new ImageEditor(image);
      const { logStart } = editor.superblock.geometry;
      const noise = random.bytes((blockCount - logStart - 8) * BLOCK_SIZE);
      editor.bytes.set(noise, (logStart + 4) * BLOCK_SIZE);
      expect(checkSync(editor.device()).verdict).not.toBe('clean');
      reseal(editor);
      expect(checkSync(editor.device()).verdict).not.toBe('clean');
    }
  });
});

/** Puts checksums right as far as the editor finds its way. */
function reseal(editor: ImageEditor): void {
  try {
    editor.seal();
  } catch {
    // The editor trusts what it reads; some of it leads nowhere now.
    editor.sealSuperblock(editor.ring);
  }
}
