/**
 * A volume in memory that can be stopped at the device, harmed, and looked at after a power cut.
 */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { mountVolume } from '../../src/api/mount.ts';
import { runAsync } from '../../src/api/procedure.ts';
import { BLOCK_SIZE, MIB, type Operation } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { timeFromMs } from '../../src/format/index.ts';
import {
  BufferedRead,
  DirectRead,
  type MappingOps,
  validated,
  Writeback,
} from '../../src/iomap/index.ts';
import { FaultDevice } from '../../src/testing/index.ts';
import {
  type Engine,
  lookup,
  type Vnode,
  WriteFile,
  WriteFileDirect,
} from '../../src/volume/index.ts';
import { COMMON } from '../api/bench.ts';
import { GatedDevice } from '../iomap/gated-device.ts';
import { expectSame } from '../iomap/rig.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { create } from '../volume/rig.ts';

export const NOW = timeFromMs(1e12);

/** A volume whose engine can be reached. */
export class OpenVolume extends Volume {
  static async on(device: Device, driver: Driver, options: VolumeOptions): Promise<OpenVolume> {
    const engine = await runAsync(driver, mountVolume(device, options), {});
    return new OpenVolume(device, driver, engine, options);
  }

  get inside(): Engine {
    return this.engine;
  }
}

export interface VolumeRigOptions extends VolumeOptions {
  /** Blocks that may be dirty at once; a chunk of a write is half as long. */
  readonly dirtyLimit?: number;
}

export class VolumeRig {
  readonly memory: MemoryDevice;
  readonly gate: GatedDevice;
  readonly device: FaultDevice;
  readonly driver: Driver;
  volume!: OpenVolume;

  private constructor(memory: MemoryDevice) {
    this.memory = memory;
    this.gate = new GatedDevice(memory);
    this.device = Object.assign(new FaultDevice(this.gate), { view: memory.view.bind(memory) });
    this.driver = new Driver(this.device, {
      pause: () => new Promise((resolve) => void setImmediate(resolve)),
    });
  }

  /** A new volume of 8 MiB, or of `size` bytes. */
  static async make({ size = 8 * MIB, ...options }: VolumeRigOptions = {}): Promise<VolumeRig> {
    const rig = new VolumeRig(new MemoryDevice({ size }));
    create(rig.memory, { logBlocks: 8 });
    await rig.#mount(options);
    return rig;
  }

  /** What is found if the power goes off now. Nothing that was asked of the device is lost. */
  async crashed(): Promise<VolumeRig> {
    return VolumeRig.from(imageOf(this.memory).slice());
  }

  static async from(image: Uint8Array): Promise<VolumeRig> {
    const rig = new VolumeRig(MemoryDevice.from(image));
    await rig.#mount({});
    return rig;
  }

  get engine(): Engine {
    return this.volume.inside;
  }

  get fs(): OpenVolume['fs'] {
    return this.volume.fs;
  }

  async #mount({ dirtyLimit, ...options }: VolumeRigOptions): Promise<void> {
    const volumeOptions = { ...COMMON, cacheBytes: 4 * MIB, now: () => 1e12, ...options };
    this.volume = await OpenVolume.on(this.device, this.driver, volumeOptions);
    const { iomapOps, pool, store } = this.engine;
    // What is undefined looks so: it is never by luck what it should be.
    const take = store.blocks.take.bind(store.blocks);
    store.blocks.take = () => {
      const frame = take();
      store.blocks.view(frame).fill(0xee);
      return frame;
    };
    const begin = iomapOps.begin.bind(iomapOps);
    const own: MappingOps = Object.assign(Object.create(iomapOps), { begin });
    iomapOps.begin = validated(own).begin;
    if (dirtyLimit !== undefined) Object.assign(pool, { dirtyLimit });
  }

  /** A file with these bytes, on the device and nowhere else. */
  async stored(path: string, bytes: Uint8Array): Promise<Vnode> {
    await this.fs.promises.writeFile(path, bytes);
    await this.volume.sync();
    this.evict();
    return await this.file(path);
  }

  /** The inode of a name in the root directory; it stays in memory. */
  file(path: string): Promise<Vnode> {
    return this.start(lookup(this.engine, this.engine.live, path.slice(1)));
  }

  /** What is clean leaves memory. */
  evict(): void {
    this.engine.store.blocks.evictAll();
  }

  /** Starts an operation. Whoever lets it go on looks at what became of it. */
  start<Result>(operation: Operation<Result>): Promise<Result> {
    const started = this.driver.start(operation);
    started.catch(() => {});
    return started;
  }

  /** Opens the gate and waits for what was started while it was shut. */
  async open<Result>(...started: Promise<Result>[]): Promise<Result[]> {
    const [results] = await Promise.all([Promise.all(started), this.gate.open()]);
    return results;
  }

  writing(file: Vnode, position: number, data: Uint8Array): WriteFile {
    return new WriteFile(this.engine).write(file, position, data, 0, data.length, NOW);
  }

  write(file: Vnode, position: number, data: Uint8Array): Promise<number> {
    return this.start(this.writing(file, position, data));
  }

  writingDirectly(file: Vnode, position: number, data: Uint8Array): WriteFileDirect {
    return new WriteFileDirect(this.engine).write(file, position, data, 0, data.length, NOW);
  }

  writeDirectly(file: Vnode, position: number, data: Uint8Array): Promise<number> {
    return this.start(this.writingDirectly(file, position, data));
  }

  async readDirectly(file: Vnode, position = 0, length = file.size): Promise<Uint8Array> {
    const target = new Uint8Array(length);
    const read = new DirectRead().begin(file, position, length, target);
    return target.subarray(0, await this.start(read));
  }

  /** Writes in this turn: everything has to be in memory. */
  writeNow(file: Vnode, position: number, data: Uint8Array): void {
    this.driver.run(this.writing(file, position, data));
  }

  async read(file: Vnode, position = 0, length = file.size - position): Promise<Uint8Array> {
    const target = new Uint8Array(length);
    const read = new BufferedRead().begin(file, position, length, target);
    return target.subarray(0, await this.start(read));
  }

  /** Brings what is dirty into the maps; nothing becomes durable. */
  writeback(only?: Vnode): Promise<number> {
    const one = only === undefined ? undefined : (file: unknown) => file === only;
    return this.start(new Writeback(this.engine.pool, { only: one }));
  }

  /** Where the map has a block of a file; undefined for a hole. */
  async address(file: Vnode, block: number): Promise<number | undefined> {
    const extents = await this.volume.extents(`/${file.name}`);
    const at = block * BLOCK_SIZE;
    const found = extents.find(({ offset, length }) => offset <= at && at < offset + length);
    return found?.address === undefined ? undefined : found.address + at - found.offset;
  }

  /** Whatever happened: nothing is promised any more, and every block is counted right. */
  async audit(): Promise<void> {
    const { store, pool } = this.engine;
    await this.volume.sync();
    expect(store.space.reserved, 'blocks promised').toBe(0);
    expect(store.blocks.promised, 'frames promised').toBe(0);
    expect([pool.dirtyBlocks, pool.folios.count, pool.active.size], 'dirty data').toEqual([
      0, 0, 0,
    ]);
    expect(recount(imageOf(this.memory)), 'what recounting finds').toEqual([]);
  }
}

/** Bytes with others in their place from the given offsets on. */
export function patched(
  bytes: Uint8Array,
  ...patches: (readonly [at: number, bytes: Uint8Array])[]
): Uint8Array<ArrayBuffer> {
  const end = Math.max(bytes.length, ...patches.map(([at, { length }]) => at + length));
  const made = new Uint8Array(end);
  made.set(bytes);
  for (const [at, patch] of patches) made.set(patch, at);
  return made;
}

/** A volume with `/donor` of these bytes and `/file`, which shares all of its blocks. */
export async function sharedVolume(
  bytes: Uint8Array,
  options: VolumeRigOptions = {},
): Promise<VolumeRig> {
  const rig = await VolumeRig.make(options);
  await rig.stored('/donor', bytes);
  await rig.volume.clone('/donor', '/file');
  await rig.volume.sync();
  rig.evict();
  return rig;
}

/**
 * The files hold these bytes, whatever is in memory, and nothing is lost of the volume. `directly`:
 * also for whoever reads past the cache.
 */
export async function expectFiles(
  rig: VolumeRig,
  wanted: Record<string, Uint8Array>,
  directly = false,
): Promise<void> {
  await rig.gate.open();
  for (const again of [false, true]) {
    for (const [path, bytes] of Object.entries(wanted)) {
      if (directly) expectSame(await rig.readDirectly(await rig.file(path)), bytes, path);
      expectSame(await rig.read(await rig.file(path)), bytes, path);
    }
    if (again) break;
    await rig.audit();
    rig.evict();
  }
}
