/**
 * The log-structured filesystem of the examples, and what it should hold: now, and at each of its
 * checkpoints.
 */
import { expect } from 'vitest';
import { Clean } from '../../examples/log-structured/clean.ts';
import type { LogFile } from '../../examples/log-structured/file.ts';
import type { LogFilesystem } from '../../examples/log-structured/filesystem.ts';
import { Format, Mount } from '../../examples/log-structured/mount.ts';
import { Create, Remove } from '../../examples/log-structured/names.ts';
import { Sync } from '../../examples/log-structured/sync.ts';
import { BLOCK_SIZE, type Block, type Operation } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { validated } from '../../src/iomap/index.ts';
import { type Action, blocksOf, World } from './oracle.ts';

export const SPECIAL = ['sync', 'sync', 'clean', 'evict'];
export const SEGMENT_BLOCKS = 16;
const CACHE = 64 * BLOCK_SIZE;

/** An image in memory with nothing in it. */
export function emptyImage(blocks: number): Uint8Array {
  const device = new MemoryDevice({ size: blocks * BLOCK_SIZE });
  run(device, new Format(device.size, { segmentBlocks: SEGMENT_BLOCKS }));
  return imageOf(device);
}

export function imageOf(device: Device): Uint8Array {
  const image = new Uint8Array(device.size);
  void device.read(0, image);
  return image;
}

function run<Result>(device: Device, operation: Operation<Result>): Result {
  return new Driver(device, { pause: () => Promise.resolve() }).run(operation);
}

export class LogWorld extends World {
  readonly device: Device;
  readonly driver: Driver;
  fs: LogFilesystem;
  /** What each checkpoint should hold. */
  readonly states: Map<number, Map<string, Uint8Array>> = new Map();
  /** Newest checkpoint that somebody was told of. */
  acknowledged: number;

  constructor(device: Device, fs: LogFilesystem, pause = () => Promise.resolve()) {
    super();
    this.device = device;
    this.driver = new Driver(device, { pause, concurrency: fs.pool.operationsMax });
    this.fs = this.#watched(fs);
    this.acknowledged = fs.generation - 1;
    this.states.set(this.acknowledged, this.snapshot());
  }

  /** Of a device that answers at once. */
  static on(device: Device): LogWorld {
    return new LogWorld(device, mounted(device));
  }

  get pool() {
    return this.fs.pool;
  }

  protected override names(): string[] {
    return [...this.fs.names.keys()];
  }

  protected override special(action: Action): Operation<unknown> | undefined {
    const { fs, pairs } = this;
    const { name } = action;
    switch (action.do) {
      case 'create':
        return new TrackedCreate(fs, name, (file) => {
          pairs.set(name, { file, bytes: new Uint8Array(0) });
        });
      case 'remove':
        return new TrackedRemove(fs, name, () => this.drop(name));
      case 'sync':
        return new TrackedSync(fs, (generation) => {
          this.acknowledged = Math.max(this.acknowledged, generation);
        });
      case 'clean':
        return new Clean(fs);
      case 'remount':
        this.remount();
        return undefined;
      default:
        return undefined;
    }
  }

  /** Forgets all that is in memory: the newest checkpoint is what is left. */
  remount(): void {
    expect(this.driver.idle).toBe(true);
    this.fs = this.#watched(mounted(this.device));
    this.hold(this.fs.generation - 1);
  }

  /** From here on the files are those of a checkpoint. */
  hold(generation: number): void {
    const state = this.states.get(generation);
    expect(state, `state of checkpoint ${generation}`).toBeDefined();
    expect([...this.fs.names.keys()].sort()).toEqual([...(state?.keys() ?? [])].sort());
    this.pairs.clear();
    for (const [name, bytes] of state ?? []) {
      this.pairs.set(name, { file: this.fs.open(name), bytes: bytes.slice() });
    }
  }

  /** A sync closes in the turn in which it takes the next number: what there is then is in it. */
  #watched(fs: LogFilesystem): LogFilesystem {
    let generation = fs.generation;
    return Object.defineProperty(fs, 'generation', {
      get: () => generation,
      set: (next: number) => {
        this.states.set(next - 1, this.snapshot());
        generation = next;
      },
    });
  }

  override refused(action: Action, code: string): void {
    // Cleaning has to copy what lives, whatever that is.
    if (code !== 'ENOSPC' || action.do === 'clean') return;
    // A block, a map block for it, an inode, a table; and what is kept.
    expect(this.fs.unsynced).toBe(false);
    expect(this.fs.available).toBeLessThan(2 * blocksOf(action) + 2 + 8);
  }

  /** Where nothing is under way: what is promised is what is dirty, and a mount sees the same. */
  audit(): void {
    this.auditPool();
    expect(this.fs.promised, 'promised blocks').toBe(2 * this.pool.dirtyBlocks);
    expect(this.driver.run(new Sync(this.fs))).toBe(this.fs.generation - 1);
    expect(this.fs.unsynced, 'unsynced').toBe(false);
    expect(this.fs.available, 'available blocks').toBe(this.fs.space.idle);
    const again = LogWorld.on(MemoryDevice.from(imageOf(this.device)));
    expect(again.acknowledged).toBe(this.fs.generation - 1);
    expect(purposes(again.fs)).toBe(purposes(this.fs));
    const sizes = (fs: LogFilesystem) => [...fs.names.values()].map(({ id, size }) => [id, size]);
    expect(sizes(again.fs).sort()).toEqual(sizes(this.fs).sort());
  }
}

/** What is on a device that answers at once. */
export function mounted(device: Device): LogFilesystem {
  return run(device, mounting(device));
}

export function mounting(device: Device): Mount {
  return new Mount(device.size, { cacheBytes: CACHE, wrap: validated });
}

/** Of every block in use, what it is used for. */
function purposes({ space }: LogFilesystem): string {
  const all = Array.from({ length: space.blocks }, (_, block) => {
    const { use, owner, index } = space.purposeOf(block as Block);
    return use === 0 ? 'idle' : `${use} ${owner} ${index}`;
  });
  return all.join('\n');
}

class TrackedCreate extends Create {
  readonly #created: (file: LogFile) => void;

  constructor(fs: LogFilesystem, name: string, created: (file: LogFile) => void) {
    super(fs, name);
    this.#created = created;
  }

  protected override finish(file: LogFile): true {
    this.#created(file);
    return super.finish(file);
  }
}

class TrackedRemove extends Remove {
  readonly #removed: () => void;

  constructor(fs: LogFilesystem, name: string, removed: () => void) {
    super(fs, name);
    this.#removed = removed;
  }

  protected override finish(): true {
    this.#removed();
    return super.finish(undefined);
  }
}

class TrackedSync extends Sync {
  readonly #synced: (generation: number) => void;

  constructor(fs: LogFilesystem, synced: (generation: number) => void) {
    super(fs);
    this.#synced = synced;
  }

  protected override finish(generation: number): true {
    this.#synced(generation);
    return super.finish(generation);
  }
}
