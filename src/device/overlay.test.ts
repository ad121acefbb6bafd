import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, equalBytes, KIB, MIB } from '../base/index.ts';
import { CrashDevice, FaultDevice, Random, Schedule, SlowDevice } from '../testing/index.ts';
import type { Device } from './device.ts';
import { FileDevice } from './file.ts';
import { MemoryDevice } from './memory.ts';
import { OverlayDevice } from './overlay.ts';
import { bitmapAddress, dataAddress, layerSize, ZONE_BLOCKS } from './overlay-layout.ts';

const SIZE = 128 * KIB;
const ZONE_BYTES = ZONE_BLOCKS * BLOCK_SIZE;

function makeBase(size = SIZE): MemoryDevice {
  return MemoryDevice.from(new Random(size).bytes(size), { name: 'base', readOnly: true });
}

function makeLayer(): MemoryDevice {
  return new MemoryDevice({ size: 0, name: 'layer' });
}

async function contentsOf(device: Device): Promise<Uint8Array> {
  const bytes = new Uint8Array(device.size);
  await device.read(0, bytes);
  return bytes;
}

async function byteAt(device: Device, position: number): Promise<number> {
  const buffer = new Uint8Array(1);
  await device.read(position, buffer);
  return buffer[0] as number;
}

describe('OverlayDevice', () => {
  it('reads the base until something is written, and never writes it', async () => {
    const base = makeBase();
    const before = await contentsOf(base);
    const overlay = OverlayDevice.openSync({ base, layer: makeLayer(), create: true });
    expect(equalBytes(await contentsOf(overlay), before)).toBe(true);
    await overlay.write(5000, Uint8Array.of(1, 2, 3));
    const wanted = before.slice();
    wanted.set([1, 2, 3], 5000);
    expect(equalBytes(await contentsOf(overlay), wanted)).toBe(true);
    expect(equalBytes(await contentsOf(base), before)).toBe(true);
  });

  it('lets many share one base', async () => {
    const base = makeBase();
    const overlays = [1, 2, 3].map(() =>
      OverlayDevice.openSync({ base, layer: makeLayer(), create: true }),
    );
    for (const [i, overlay] of overlays.entries()) await overlay.write(0, Uint8Array.of(i));
    expect(await Promise.all(overlays.map((overlay) => byteAt(overlay, 0)))).toEqual([0, 1, 2]);
    await overlays[0]?.close();
    expect(base.closed).toBe(false);
    expect(await byteAt(overlays[1] as OverlayDevice, 0)).toBe(1);
  });

  it('finds its blocks again after a flush', async () => {
    const base = makeBase();
    const layer = makeLayer();
    const overlay = OverlayDevice.openSync({ base, layer, create: true });
    await overlay.write(8190, Uint8Array.of(1, 2, 3, 4));
    await overlay.flush();
    const again = OverlayDevice.openSync({ base, layer });
    expect(equalBytes(await contentsOf(again), await contentsOf(overlay))).toBe(true);
  });

  it('flushes once if nothing became present, and twice if something did', async () => {
    const layer = new CrashDevice({ size: 0 });
    const overlay = OverlayDevice.openSync({ base: makeBase(), layer, create: true });
    const flushes = async () => {
      const before = layer.counters.flushes;
      await overlay.flush();
      return layer.counters.flushes - before;
    };
    expect(await flushes()).toBe(1);
    await overlay.write(0, new Uint8Array(BLOCK_SIZE));
    expect(await flushes()).toBe(2);
    await overlay.write(0, new Uint8Array(BLOCK_SIZE));
    expect(await flushes()).toBe(1);
  });

  it('reads only the edges of an unaligned write from the base', async () => {
    const base = new FaultDevice(makeBase());
    const overlay = OverlayDevice.openSync({ base, layer: makeLayer(), create: true });
    const before = base.counters.bytesRead;
    await overlay.write(8192, new Uint8Array(8192));
    expect(base.counters.bytesRead).toBe(before);
    await overlay.write(100, new Uint8Array(8000));
    expect(base.counters.bytesRead - before).toBe(100 + 92);
    await overlay.write(50, new Uint8Array(10));
    expect(base.counters.bytesRead - before).toBe(100 + 92);
  });

  it('fills up with zeros what the base has no whole block of', async () => {
    const base = makeBase(10000);
    const overlay = OverlayDevice.openSync({ base, layer: makeLayer(), create: true });
    await overlay.write(9000, Uint8Array.of(7));
    await overlay.grow(20000);
    const wanted = new Uint8Array(20000);
    wanted.set(await contentsOf(base));
    wanted[9000] = 7;
    expect(equalBytes(await contentsOf(overlay), wanted)).toBe(true);
  });

  it('grows into new zones, also where the layer held something else', async () => {
    const base = makeBase();
    const layer = new MemoryDevice({ size: layerSize(3 * ZONE_BYTES) });
    for (const zone of [0, 1, 2]) {
      layer.write(bitmapAddress(zone), new Uint8Array(BLOCK_SIZE).fill(0xff));
      layer.write(dataAddress(zone * ZONE_BYTES), new Uint8Array(BLOCK_SIZE).fill(0xff));
    }
    const overlay = OverlayDevice.openSync({ base, layer, create: true });
    await overlay.grow(2 * ZONE_BYTES + 5);
    const across = new Random(1).bytes(3 * BLOCK_SIZE);
    expect(await byteAt(overlay, ZONE_BYTES)).toBe(0);
    await overlay.write(ZONE_BYTES - 5000, across);
    await overlay.flush();
    const again = OverlayDevice.openSync({ base, layer });
    expect(again.size).toBe(2 * ZONE_BYTES + 5);
    const found = new Uint8Array(across.length + 2);
    await again.read(ZONE_BYTES - 5001, found);
    expect(equalBytes(found.subarray(1, -1), across)).toBe(true);
    expect([found[0], found.at(-1)]).toEqual([0, 0]);
  });

  it('is read-only if its layer is', async () => {
    const base = makeBase();
    const layer = makeLayer();
    OverlayDevice.openSync({ base, layer, create: true });
    const shut = MemoryDevice.from(await contentsOf(layer), { readOnly: true });
    const overlay = OverlayDevice.openSync({ base, layer: shut });
    expect(overlay.readOnly).toBe(true);
    expect(() => overlay.write(0, new Uint8Array(1))).toThrow('is read-only');
  });

  it('leaves absent blocks as they were when a write fails', async () => {
    const base = makeBase();
    const layer = new FaultDevice(makeLayer());
    const overlay = OverlayDevice.openSync({ base, layer, create: true });
    layer.inject({ on: 'write', effect: 'fail', times: 1 });
    expect(() => overlay.write(0, new Uint8Array(SIZE))).toThrow('a planted fault');
    expect(equalBytes(await contentsOf(overlay), await contentsOf(base))).toBe(true);
    await overlay.write(0, new Uint8Array(SIZE));
    expect(equalBytes(await contentsOf(overlay), new Uint8Array(SIZE))).toBe(true);
  });

  it('saves at the next flush the bitmaps that a failed one did not', async () => {
    const base = makeBase();
    const layer = new FaultDevice(makeLayer());
    const overlay = OverlayDevice.openSync({ base, layer, create: true });
    for (const on of ['flush', 'write'] as const) {
      await overlay.write(on === 'flush' ? 0 : 8192, Uint8Array.of(99));
      layer.inject({ on, effect: 'fail', times: 1 });
      expect(() => overlay.flush()).toThrow('a planted fault');
    }
    await overlay.flush();
    const again = OverlayDevice.openSync({ base, layer });
    expect([await byteAt(again, 0), await byteAt(again, 8192)]).toEqual([99, 99]);
  });

  it('keeps its layer sparse in a file', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ramet-overlay-'));
    const path = join(directory, 'layer.img');
    try {
      const base = new MemoryDevice({ size: 256 * MIB, readOnly: true });
      const layer = FileDevice.open(path, { create: true, size: BLOCK_SIZE });
      const overlay = OverlayDevice.openSync({ base, layer, create: true });
      await overlay.write(200 * MIB, new Uint8Array(BLOCK_SIZE).fill(3));
      await overlay.flush();
      await overlay.close();
      expect(statSync(path).blocks * 512).toBeLessThan(100 * KIB);
      const again = OverlayDevice.openSync({ base, layer: FileDevice.open(path) });
      expect(await byteAt(again, 200 * MIB + 7)).toBe(3);
      await again.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('OverlayDevice.open()', () => {
  it('refuses a layer that holds no overlay', () => {
    const layer = new MemoryDevice({ size: MIB, name: 'layer' });
    expect(() => OverlayDevice.openSync({ base: makeBase(), layer })).toThrow(
      expect.objectContaining({
        code: 'EINVAL',
        message: "Cannot open: layer does not begin with an overlay's header",
      }),
    );
    expect(() => OverlayDevice.openSync({ base: makeBase(), layer: makeLayer() })).toThrow(
      'layer is too short',
    );
  });

  it.each([
    ['at its start', 0],
    ['at its end', SIZE - 1],
  ])('refuses a base that changed %s', async (_where, position) => {
    const layer = makeLayer();
    OverlayDevice.openSync({ base: makeBase(), layer, create: true });
    const base = MemoryDevice.from(await contentsOf(makeBase()), { name: 'base' });
    base.write(position, Uint8Array.of((await byteAt(base, position)) ^ 1));
    expect(() => OverlayDevice.openSync({ base, layer })).toThrow(
      'Cannot open: layer belongs to another base, or base has changed since',
    );
  });

  it('refuses a base of another size', () => {
    const layer = makeLayer();
    OverlayDevice.openSync({ base: new MemoryDevice({ size: SIZE }), layer, create: true });
    const base = new MemoryDevice({ size: SIZE + BLOCK_SIZE });
    expect(() => OverlayDevice.openSync({ base, layer })).toThrow('belongs to another base');
  });

  it('refuses a damaged header, whichever byte it is', async () => {
    const base = makeBase();
    const layer = makeLayer();
    OverlayDevice.openSync({ base, layer, create: true });
    for (let at = 0; at < 48; at++) {
      const damaged = MemoryDevice.from(await contentsOf(layer));
      damaged.write(at, Uint8Array.of((await byteAt(layer, at)) ^ 0x40));
      expect(() => OverlayDevice.openSync({ base, layer: damaged })).toThrow(/^Cannot (open|read)/);
    }
  });

  it('refuses a layer that is shorter than its header says', async () => {
    const base = makeBase();
    const layer = makeLayer();
    OverlayDevice.openSync({ base, layer, create: true });
    const short = MemoryDevice.from((await contentsOf(layer)).subarray(0, -1));
    expect(() => OverlayDevice.openSync({ base, layer: short })).toThrow(
      expect.objectContaining({ name: 'CorruptionError' }),
    );
  });

  it('refuses to be sync over a device that is not', () => {
    const schedule = new Schedule(new Random(1));
    const layer = new SlowDevice(makeLayer(), { schedule });
    expect(() => OverlayDevice.openSync({ base: makeBase(), layer, create: true })).toThrow(
      expect.objectContaining({ code: 'ENOTSUP' }),
    );
  });
});
