/** An extent size: what is overwritten here and there, at different times, stays together. */
import { expect, it } from 'vitest';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice, Volume } from '../../src/index.ts';
import { Random } from '../../src/testing/index.ts';

const B = 4096;
const BLOCKS = 1024;

interface Overwritten {
  readonly vol: Volume;
  readonly device: MemoryDevice;
  readonly wanted: Buffer;
}

/** A clone of which every block was overwritten once, in no order, a few between two syncs. */
function overwritten(extentSize: number, size = 64 * 2 ** 20): Overwritten {
  const device = new MemoryDevice({ size });
  const vol = Volume.openSync(device, { create: true, commitIntervalMs: 0, extentSize });
  const wanted = Buffer.from(new Random(1).bytes(BLOCKS * B));
  vol.fs.writeFileSync('/base', wanted);
  vol.fs.copyFileSync('/base', '/clone');
  const random = new Random(2);
  const order = random.shuffle(Array.from({ length: BLOCKS }, (_, i) => i));
  const fd = vol.fs.openSync('/clone', 'r+');
  for (const [i, block] of order.entries()) {
    const data = Buffer.from(random.bytes(B));
    wanted.set(data, block * B);
    vol.fs.writeSync(fd, data, 0, B, block * B);
    if (i % 16 === 15) vol.syncSync();
  }
  vol.fs.closeSync(fd);
  vol.syncSync();
  return { vol, device, wanted };
}

it('makes extents as long as its units', () => {
  const pieces: number[] = [];
  for (const extentSize of [0, 16 * B]) {
    const { vol, device, wanted } = overwritten(extentSize);
    expect(Buffer.compare(vol.fs.readFileSync('/clone') as Buffer, wanted)).toBe(0);
    pieces.push(vol.extentsSync('/clone').length);
    expect(checkSync(device).issues).toEqual([]);
    vol.closeSync();
  }
  expect(pieces[0]).toBeGreaterThan(BLOCKS / 2);
  expect(pieces[1]).toBeLessThanOrEqual(BLOCKS / 16);
});

it('holds space only while there is enough', () => {
  // The clone and its base take 8 MiB of a volume that has little more.
  const { vol, device, wanted } = overwritten(64 * B, 10 * 2 ** 20);
  expect(Buffer.compare(vol.fs.readFileSync('/clone') as Buffer, wanted)).toBe(0);
  expect(checkSync(device).issues).toEqual([]);
  vol.closeSync();
});

it('is a power of two, or nothing', () => {
  const device = new MemoryDevice({ size: 2 ** 24 });
  for (const extentSize of [1, 4096, 12_288, 2 ** 21, -8192, Number.NaN, 8192.5]) {
    expect(() => Volume.openSync(device, { create: true, extentSize })).toThrow(/extentSize/u);
  }
});
