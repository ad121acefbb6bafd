/** Scene: a small volume and its model, for tests that tell one story each. */
import { expect } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { compare } from './compare.ts';
import type { ModelInode, Place } from './model.ts';
import { imageOf, recount } from './recount.ts';
import type { RigOptions } from './rig.ts';
import { World } from './world.ts';

export class Scene {
  readonly device = new MemoryDevice({ size: 8 * MIB });
  readonly options: RigOptions;
  readonly world: World;

  constructor(options: RigOptions = {}) {
    this.options = options;
    this.world = new World(this.device, options);
  }

  get root(): ModelInode {
    return this.world.model.root;
  }

  get snapshots(): ModelInode {
    return this.world.model.snapshots;
  }

  /** What has a name in a directory. */
  at(directory: ModelInode, name: string): ModelInode {
    return directory.entries.get(name) as ModelInode;
  }

  makeDirectory(directory: ModelInode, name: string): ModelInode {
    this.world.create({ directory, name }, 'directory');
    return this.at(directory, name);
  }

  makeFile(directory: ModelInode, name: string, size = 0): ModelInode {
    this.world.create({ directory, name }, 'file');
    if (size > 0) this.write({ directory, name }, 0, size);
    return this.at(directory, name);
  }

  /** Writes `length` bytes that tell the length. */
  write(place: Place, offset: number, length: number): void {
    const inode = this.at(place.directory, place.name);
    this.world.write(inode, place, offset, new Uint8Array(length).fill(1 + (length % 251)));
  }

  /** Everything is on the device and nothing in memory. */
  cool(): void {
    this.world.commit();
    this.world.rig.engine.store.blocks.evictAll();
  }

  /** Fails unless volume and model agree, nothing is promised any more, and counts are right. */
  check(): void {
    compare(this.world);
    this.world.commit();
    expect(this.world.rig.engine.store.space.reserved).toBe(0);
    expect(recount(imageOf(this.device))).toEqual([]);
  }

  /** The same after a mount too. */
  checkTwice(): void {
    this.check();
    this.world.remount();
    this.check();
  }
}
