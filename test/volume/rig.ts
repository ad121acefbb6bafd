/**
 * Rig: a small volume on a device, driven by hand. What the tests of the engine stand on.
 *
 * Nothing here waits but {@link makeDriver}'s pause: operations run to their end in one turn, on a
 * device that declares `sync`.
 */
import { MIB } from '../../src/base/index.ts';
import type { Device } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { type CountWidth, timeFromMs } from '../../src/format/index.ts';
import { type MappingOps, type Memory, validated } from '../../src/iomap/index.ts';
import type { Schedule } from '../../src/testing/index.ts';
import {
  assembleEngine,
  type Engine,
  FormatVolume,
  Mount,
  newSuperblock,
  ReadLog,
  recover,
  type VolumeParts,
  Wipe,
} from '../../src/volume/index.ts';

export interface RigOptions {
  /** Bytes of the volume; the whole device if it is left out. */
  readonly size?: number | undefined;
  readonly cacheBytes?: number | undefined;
  readonly groupBlocks?: number | undefined;
  readonly logBlocks?: number | undefined;
  readonly countCap?: CountWidth | undefined;
  /** Bytes of counts that are kept in memory. */
  readonly countCapacity?: number | undefined;
  readonly vnodeLimit?: number | undefined;
  /** Blocks of the units that are kept together. */
  readonly extentBlocks?: number | undefined;
  readonly readOnly?: boolean | undefined;
  /** Of a device that is memory. */
  readonly memory?: Memory | undefined;
  /** Tells the image apart from others; checksums depend on it. */
  readonly seed?: number | undefined;
}

/** An open volume and who runs its operations. */
export interface Rig {
  readonly engine: Engine;
  readonly driver: Driver;
}

/** Milliseconds since 1970: the same at every commit. */
const NOW = 1e12;
const ROOT = { mode: 0o755, uid: 0, gid: 0, time: timeFromMs(NOW) };

/** With a schedule its time is all there is: a timer beside it would bring an order of its own. */
export function makeDriver(
  device: Device,
  { concurrency, schedule }: { concurrency?: number; schedule?: Schedule } = {},
): Driver {
  return new Driver(device, {
    ...(concurrency === undefined ? {} : { concurrency }),
    pause: () => schedule?.submit(() => {}) ?? new Promise((resolve) => setTimeout(resolve, 0)),
  });
}

/** An engine that nobody drives yet. */
export function makeEngine(options: RigOptions, parts: VolumeParts): Engine {
  const engine = assembleEngine(parts, {
    cacheBytes: options.cacheBytes ?? 4 * MIB,
    countCapacity: options.countCapacity ?? MIB,
    vnodeLimit: options.vnodeLimit ?? 256,
    readOnly: options.readOnly ?? false,
    extentBlocks: options.extentBlocks,
    memory: options.memory,
    now: () => NOW,
  });
  const { iomapOps } = engine;
  const begin = iomapOps.begin.bind(iomapOps);
  const own: MappingOps = Object.assign(Object.create(iomapOps), { begin });
  iomapOps.begin = validated(own).begin;
  return engine;
}

/** The parts of a volume that does not exist yet. */
export function newParts(device: Device, options: RigOptions = {}): VolumeParts {
  const { superblock, index } = newSuperblock({
    size: options.size ?? device.size,
    uuid: Uint8Array.from({ length: 16 }, (_, i) => i + (options.seed ?? 1)),
    hashSeed: 7n,
    now: NOW,
    groupBlocks: options.groupBlocks,
    logBlocks: options.logBlocks,
    countCap: options.countCap,
  });
  return { superblock, index, ring: -1 };
}

/** A new volume; what was on the device is lost. It is durable. */
export function create(device: Device, options: RigOptions = {}): Rig {
  const driver = makeDriver(device);
  const parts = newParts(device, options);
  driver.run(new Wipe(parts.superblock.geometry, device.size));
  const engine = makeEngine(options, parts);
  driver.run(new FormatVolume(engine, ROOT));
  driver.run(engine.commit());
  return { engine, driver };
}

/** The volume on a device, as its newest root and its log have it. */
export function mount(device: Device, options: RigOptions = {}): Rig {
  const driver = makeDriver(device);
  return { engine: mountWith(driver, device, options), driver };
}

export function mountWith(driver: Driver, device: Device, options: RigOptions): Engine {
  const mounted = driver.run(new Mount(device.size));
  const log = driver.run(new ReadLog(mounted.superblock, mounted.rootTxg));
  const engine = makeEngine({ ...options, memory: device.view?.bind(device) }, mounted);
  driver.run(engine.load());
  for (let steps = recover(engine, log), next = steps.next(); !next.done; ) {
    next = steps.next(driver.run(next.value));
  }
  if (log.end.moved) driver.run(engine.commit());
  return engine;
}
