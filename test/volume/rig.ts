/** A small volume on a device, driven by hand: what the tests of the engine stand on. */

import { BlockCache } from '../../src/cache/index.ts';
import type { Device } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { imageSeed, timeFromMs } from '../../src/format/index.ts';
import { Mount, newSuperblock, Store, Wipe } from '../../src/store/index.ts';
import { Engine, FormatVolume } from '../../src/volume/index.ts';

export interface RigOptions {
  cacheBytes?: number;
  groupBlocks?: number;
  logBlocks?: number;
  countCap?: 1 | 2 | 3 | 4;
  vnodeLimit?: number;
  seed?: number;
}

export function makeDriver(device: Device): Driver {
  return new Driver(device, { pause: () => new Promise((resolve) => setTimeout(resolve, 0)) });
}

function makeEngine(o: RigOptions, parts: { superblock: never; index: never; ring: number } | any) {
  const blocks = new BlockCache({
    capacity: o.cacheBytes ?? 4 << 20,
    seed: imageSeed(parts.superblock.uuid),
  });
  const store = new Store({
    blocks,
    ...parts,
    readOnly: false,
    countCapacity: 1 << 20,
    now: () => 1e12,
  });
  return new Engine(store, o.vnodeLimit ?? 256);
}

export function create(device: Device, o: RigOptions = {}): { engine: Engine; driver: Driver } {
  const driver = makeDriver(device);
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + (o.seed ?? 1));
  const { superblock, index } = newSuperblock({
    size: device.size,
    uuid,
    hashSeed: 7n,
    now: 1e12,
    groupBlocks: o.groupBlocks,
    logBlocks: o.logBlocks,
    countCap: o.countCap,
  });
  driver.run(new Wipe(superblock.geometry, device.size));
  const engine = makeEngine(o, { superblock, index, ring: -1 });
  driver.run(new FormatVolume(engine, { mode: 0o755, uid: 0, gid: 0, time: timeFromMs(1e12) }));
  driver.run(engine.commit());
  return { engine, driver };
}

export function mount(device: Device, o: RigOptions = {}): { engine: Engine; driver: Driver } {
  const driver = makeDriver(device);
  const mounted = driver.run(new Mount(device.size));
  const engine = makeEngine(o, mounted);
  driver.run(engine.load());
  return { engine, driver };
}
