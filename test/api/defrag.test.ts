/** Defragment: fewer extents, the same bytes, and nobody's blocks but the file's own. */
import { describe, expect, it } from 'vitest';
import { makeDriver } from '../../src/api/device-use.ts';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, KIB, MIB } from '../../src/base/index.ts';
import { checkSync, describeIssue } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { COMMON, OpenVolume } from './bench.ts';

const BLOCKS = 512;
/** What volumes have on their devices. */
const IMAGES = new WeakMap<Volume, Uint8Array>();

/** A volume with a file of 2 MiB of which each block was written in its turn, in any order. */
async function fragmented(random: Random): Promise<{ volume: OpenVolume; bytes: Uint8Array }> {
  const image = new Uint8Array(16 * MIB);
  const device = new MemoryDevice({ buffer: image.buffer });
  const options = { ...COMMON, create: true };
  const volume = await OpenVolume.on(device, makeDriver(device), options);
  IMAGES.set(volume, image);
  const bytes = random.bytes(BLOCKS * BLOCK_SIZE - 100);
  volume.fs.writeFileSync('/file', '');
  const fd = volume.fs.openSync('/file', 'r+');
  const order = random.shuffle(Array.from({ length: BLOCKS }, (_, i) => i));
  order.forEach((block, i) => {
    const at = block * BLOCK_SIZE;
    volume.fs.writeSync(fd, bytes, at, Math.min(BLOCK_SIZE, bytes.length - at), at);
    // Beside what others write: no two are neighbours.
    if (i % 8 === 7) volume.fs.fsyncSync(fd);
  });
  volume.fs.closeSync(fd);
  volume.syncSync();
  return { volume, bytes };
}

function extents(volume: Volume, path = '/file'): number {
  return volume.extentsSync(path).filter(({ type }) => type === 'data').length;
}

function free(volume: OpenVolume): number {
  for (let i = 0; i < 3; i++) volume.syncSync();
  return volume.inside.store.groups.free;
}

function expectClean(volume: OpenVolume): void {
  volume.syncSync();
  const image = IMAGES.get(volume) as Uint8Array;
  expect(checkSync(MemoryDevice.from(image)).issues.map(describeIssue)).toEqual([]);
}

describe('defrag', () => {
  it('makes few extents of many, and changes nothing else', async () => {
    const { volume, bytes } = await fragmented(new Random(1));
    const before = extents(volume);
    expect(before).toBeGreaterThan(200);
    const [stat, space] = [volume.fs.statSync('/file'), free(volume)];
    const report = volume.defragSync('/file');
    expect(report).toMatchObject({ files: 1, changed: 1, before, after: extents(volume) });
    expect(report.after).toBeLessThanOrEqual(8);
    expect(report.moved).toBe(BLOCKS * BLOCK_SIZE);
    expect(volume.fs.statSync('/file')).toEqual(stat);
    expect(free(volume)).toBe(space);
    volume.inside.store.blocks.evictAll();
    expect(volume.fs.readFileSync('/file').equals(bytes)).toBe(true);
    expect(volume.defragSync('/file')).toMatchObject({ changed: 0, moved: 0 });
    expectClean(volume);
  });

  it('goes through a tree, by promises too, and tells how far it is', async () => {
    const { volume } = await fragmented(new Random(2));
    volume.fs.mkdirSync('/a/b', { recursive: true });
    volume.fs.renameSync('/file', '/a/b/file');
    volume.fs.linkSync('/a/b/file', '/a/b/same');
    volume.fs.symlinkSync('b', '/a/link');
    volume.fs.writeFileSync('/a/small', 'inline');
    const seen: number[] = [];
    const report = await volume.defrag('/', { progress: ({ files }) => seen.push(files) });
    expect(report).toMatchObject({ files: 2, changed: 1 });
    expect(seen).toEqual([1, 2]);
    expect(() => volume.defragSync('/none')).toThrow(/ENOENT.*'\/none'/u);
    expect(() => volume.defragSync('/a/link')).not.toThrow();
    await volume.close();
  });

  it('leaves what others share where it is', async () => {
    const { volume, bytes } = await fragmented(new Random(3));
    volume.cloneSync('/file', '/clone');
    const before = volume.extentsSync('/file');
    expect(volume.defragSync('/')).toMatchObject({ changed: 0, moved: 0 });
    expect(volume.extentsSync('/file')).toEqual(before);
    const fd = volume.fs.openSync('/file', 'r+');
    for (let i = 0; i < 100; i++) {
      volume.fs.writeSync(fd, bytes, 0, BLOCK_SIZE, (10 + 2 * i) * BLOCK_SIZE);
      volume.fs.fsyncSync(fd);
    }
    volume.fs.closeSync(fd);
    const { exclusive } = volume.spaceSync('/file');
    const clone = volume.extentsSync('/clone');
    volume.defragSync('/');
    volume.syncSync();
    expect(volume.extentsSync('/clone')).toEqual(clone);
    expect(volume.spaceSync('/file').exclusive).toBeLessThanOrEqual(exclusive);
    expect(volume.fs.readFileSync('/clone').equals(bytes)).toBe(true);
    expectClean(volume);
  });

  it('leaves holes and reserved space what they are', async () => {
    const { volume, bytes } = await fragmented(new Random(4));
    volume.punchSync('/file', 100 * BLOCK_SIZE, 50 * BLOCK_SIZE);
    volume.allocateSync('/file', 120 * BLOCK_SIZE, 10 * BLOCK_SIZE);
    bytes.fill(0, 100 * BLOCK_SIZE, 150 * BLOCK_SIZE);
    const kinds = () =>
      volume
        .extentsSync('/file')
        .filter(({ type }) => type === 'unwritten')
        .map(({ offset, length }) => [offset, length]);
    const reserved = kinds();
    expect(volume.defragSync('/file').changed).toBe(1);
    expect(kinds()).toEqual(reserved);
    expect(volume.fs.readFileSync('/file').equals(bytes)).toBe(true);
    expect(volume.spaceSync('/file').logical).toBe(bytes.length);
    expectClean(volume);
  });

  it('does not move what would lie no better', async () => {
    const { volume } = await fragmented(new Random(5));
    // All that is left is single blocks.
    const names: string[] = [];
    for (let full = false, i = 0; !full; i++) {
      try {
        volume.fs.writeFileSync(`/${i}`, new Uint8Array(BLOCK_SIZE).fill(i));
        volume.fs.writeFileSync(`/k${i}`, new Uint8Array(BLOCK_SIZE).fill(i));
        names.push(`/${i}`);
        if (i % 16 === 0) volume.syncSync();
      } catch {
        full = true;
      }
    }
    for (const name of names) volume.fs.unlinkSync(name);
    volume.reclaimSync();
    free(volume);
    const report = volume.defragSync('/file');
    expect(report.after).toBeLessThanOrEqual(report.before);
    const again = volume.defragSync('/file');
    expect(again.moved).toBe(0);
    expectClean(volume);
  });

  seeded('keeps every byte beside writers', { count: 10 }, async (random) => {
    const { volume, bytes } = await fragmented(random);
    const handle = await volume.fs.promises.open('/file', 'r+');
    const defrag = volume.defrag('/file');
    for (let i = 0; i < 20; i++) {
      const length = random.between(1, 40_000);
      const at = random.below(bytes.length - length);
      const part = random.bytes(length);
      bytes.set(part, at);
      await handle.write(part, 0, length, at);
      if (random.chance(0.2)) await volume.sync();
    }
    await handle.close();
    await defrag;
    volume.inside.store.blocks.evictAll();
    expect(volume.fs.readFileSync('/file').equals(bytes)).toBe(true);
    await volume.defrag('/file');
    expect(extents(volume)).toBeLessThanOrEqual(12);
    expect(volume.fs.readFileSync('/file').equals(bytes)).toBe(true);
    expectClean(volume);
  });

  it('says no where nothing may be changed', () => {
    const device = new MemoryDevice({ size: 4 * MIB });
    const made = Volume.openSync(device, { ...COMMON, create: true });
    made.fs.writeFileSync('/file', new Random(1).bytes(100 * KIB));
    made.closeSync();
    using volume = Volume.openSync(device, { ...COMMON, readOnly: true });
    expect(volume.defragSync('/')).toMatchObject({ files: 1, changed: 0 });
  });
});
