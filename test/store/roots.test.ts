/**
 * Roots: which one a mount takes when something is damaged, cut off, foreign or too new.
 */
import { describe, expect, it } from 'vitest';
import {
  BLOCK_SIZE,
  type Block,
  checksum64,
  DeviceError,
  errorCode,
  KIB,
  MIB,
  viewOf,
} from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  imageSeed,
  indexPlace,
  SUPERBLOCKS,
  slotBlock,
  superblockPlace,
} from '../../src/format/index.ts';
import { Mount, type Mounted } from '../../src/store/index.ts';
import { FaultDevice } from '../../src/testing/index.ts';
import { compare } from '../volume/compare.ts';
import type { Model } from '../volume/model.ts';
import { type ImageRoot, imageOf, recount, rootsOf } from '../volume/recount.ts';
import { makeDriver } from '../volume/rig.ts';
import { World } from '../volume/world.ts';

const OPTIONS = { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB } as const;

interface Volume {
  readonly image: Uint8Array;
  /** What each of its roots shows, newest first. */
  readonly models: readonly Model[];
  readonly roots: readonly ImageRoot[];
}

/** A volume with as many roots as the ring holds, each with one file more. */
function volume(commits = 6): Volume {
  const device = new MemoryDevice({ size: MIB });
  const world = new World(device, OPTIONS);
  const directory = world.model.root;
  const models: Model[] = [world.model.copy()];
  for (let i = 0; i < commits; i++) {
    const place = { directory, name: `file ${i}` };
    world.create(place, 'file');
    const file = directory.entries.get(place.name) as NonNullable<ReturnType<Model['at']>>;
    world.write(file, place, 0, new Uint8Array(6000).fill(i + 1));
    world.commit();
    models.unshift(world.model.copy());
  }
  const image = imageOf(device);
  return { image, models: models.slice(0, SUPERBLOCKS), roots: rootsOf(image) };
}

const VOLUME = volume();
const [NEWEST, BEFORE] = VOLUME.roots as [ImageRoot, ImageRoot];

/** Blocks of both copies of what a root needs to be found. */
const COPIES: Readonly<Record<string, (root: ImageRoot) => readonly [Block, Block]>> = {
  superblock: ({ superblock, ring }) => {
    const { blockCount } = superblock.geometry;
    return [superblockPlace(blockCount, ring, 0), superblockPlace(blockCount, ring, 1)];
  },
  'group index': ({ superblock }) => {
    const { geometry, state } = superblock;
    return [indexPlace(geometry, state.indexPlace, 0), indexPlace(geometry, state.indexPlace, 1)];
  },
  'meta root': ({ superblock }) => {
    const block = slotBlock(superblock.state.metaRoot, 0);
    return [block, (block + 1) as Block];
  },
};

/** How a block can be lost. */
const HARM: Readonly<Record<string, (image: Uint8Array, blocks: readonly Block[]) => FaultDevice>> =
  {
    damaged: (image, blocks) => {
      const bytes = image.slice();
      for (const block of blocks)
        bytes.fill(0xee, block * BLOCK_SIZE + 1000, block * BLOCK_SIZE + 1100);
      return new FaultDevice(MemoryDevice.from(bytes));
    },
    unreadable: (image, blocks) => {
      const device = new FaultDevice(MemoryDevice.from(image));
      for (const block of blocks) {
        const within = { position: block * BLOCK_SIZE, length: BLOCK_SIZE };
        device.inject({ on: 'read', effect: 'fail', within });
      }
      return device;
    },
  };

/** Fails unless a mount of the device shows the root of this age, 0 the newest. */
function expectRoot(device: FaultDevice, age: number): World {
  const model = VOLUME.models[age] as Model;
  const world = new World(device, OPTIONS, model.copy());
  compare(world);
  return world;
}

function mountError(device: FaultDevice | MemoryDevice): unknown {
  try {
    makeDriver(device).run(new Mount(device.size));
  } catch (error) {
    return error;
  }
  return undefined;
}

describe.each(Object.keys(HARM))('Mount, with copies that are %s,', (harm) => {
  const lose = HARM[harm] as (typeof HARM)[string];

  for (const [what, places] of Object.entries(COPIES)) {
    it.each([0, 1])(`does without copy %d of the newest ${what}`, (copy) => {
      const device = lose(VOLUME.image, [places(NEWEST)[copy] as Block]);
      expectRoot(device, 0);
    });

    it(`takes the root before if both copies of the newest ${what} are gone, whole`, () => {
      const device = lose(VOLUME.image, places(NEWEST));
      expectRoot(device, 1);
      expect(recount(VOLUME.image, BEFORE)).toEqual([]);
    });

    it(`gives one clear error if no root has a ${what}`, () => {
      const device = lose(
        VOLUME.image,
        VOLUME.roots.flatMap((root) => [...places(root)]),
      );
      const error = mountError(device) as Error;
      expect(errorCode(error)).toBe('EIO');
      expect(error.message).toMatch(/^Cannot (?:mount|read)/);
    });
  }

  it('goes on from the root before, with numbers above those that were seen', () => {
    const device = lose(VOLUME.image, COPIES['meta root']?.(NEWEST) as readonly [Block, Block]);
    const world = expectRoot(device, 1);
    world.create({ directory: world.model.root, name: 'new' }, 'file');
    world.commit();
    device.heal();
    const { superblock } = makeDriver(device).run(new Mount(device.size)) as Mounted;
    expect(superblock.state.txg).toBeGreaterThan(NEWEST.superblock.state.txg);
    compare(new World(device, OPTIONS, world.model.copy()));
  });
});

describe('Mount', () => {
  it('refuses a device that was cut off', () => {
    const device = MemoryDevice.from(VOLUME.image.subarray(0, VOLUME.image.length - 64 * KIB));
    expect(mountError(device)).toMatchObject({
      code: 'EIO',
      message: 'Cannot mount: the image has 983040 bytes, its volume 1048576; it has been cut off',
    });
  });

  it('finds a volume whose beginning is gone by its end', () => {
    const image = VOLUME.image.slice();
    image.fill(0, 0, SUPERBLOCKS * BLOCK_SIZE);
    expectRoot(new FaultDevice(MemoryDevice.from(image)), 0);
  });

  it.each([0, 100, 32 * KIB - 1])('refuses a device of %d bytes', (size) => {
    expect(() => new Mount(size)).toThrow(`Cannot mount: not a ramet volume, it has ${size} bytes`);
  });

  it.each(['zeros', 'text'])('refuses a device full of %s', (content) => {
    const image = new Uint8Array(MIB);
    if (content === 'text') image.fill(0x61);
    expect(mountError(MemoryDevice.from(image))).toMatchObject({
      code: 'EINVAL',
      message: 'Cannot mount: not a ramet volume, it does not begin with the magic "ramet"',
    });
  });

  it.each([
    ['a newer version', 8, 7, 'format version is 7.0, supported is 1.x'],
    ['another checksum', 98, 2, 'checksum kind is 2, supported is 1'],
    ['an unknown feature', 32, 4, 'incompatible features are 0x4, supported are 0x1'],
  ])('refuses %s', (_what, offset, value, finding) => {
    const image = VOLUME.image.slice();
    for (const root of VOLUME.roots) {
      for (const place of (COPIES['superblock'] as (root: unknown) => readonly Block[])(root)) {
        const bytes = image.subarray(place * BLOCK_SIZE, (place + 1) * BLOCK_SIZE);
        bytes[offset] = value;
        const self = checksum64(bytes.slice(0, BLOCK_SIZE - 8), imageSeed(root.superblock.uuid));
        viewOf(bytes).setBigUint64(BLOCK_SIZE - 8, self, true);
      }
    }
    expect(mountError(MemoryDevice.from(image))).toMatchObject({
      code: 'EINVAL',
      message: `Cannot mount: ${finding}`,
    });
  });

  it('says what failed if nothing can be read', () => {
    const device = new FaultDevice(MemoryDevice.from(VOLUME.image));
    device.inject({ on: 'read', effect: 'fail' });
    expect(mountError(device)).toBeInstanceOf(DeviceError);
  });
});
