/**
 * The first failed write or flush of a commit stops all changes (X3): the volume is read-only with
 * that cause, reads go on, and the device mounts to the state before the commit or after it.
 */
import { describe, expect, it } from 'vitest';
import { errorCode, FilesystemError, MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { FaultDevice } from '../../src/testing/index.ts';
import { compare } from '../volume/compare.ts';
import type { Model, ModelInode, Place } from '../volume/model.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { World } from '../volume/world.ts';
import { TapeDevice } from './tape.ts';

const OPTIONS = { groupBlocks: 256, logBlocks: 8, cacheBytes: 2 * MIB } as const;

interface Scene {
  readonly world: World;
  readonly before: Model;
}

/** A volume with something in it, and more of it that no commit has seen. */
function scene(world: World): Scene {
  const directory = world.model.root;
  world.create({ directory, name: 'old' }, 'file');
  writeTo(world, { directory, name: 'old' }, 20000);
  world.commit();
  const before = world.model.copy();
  world.clone({ directory, name: 'old' }, { directory, name: 'copy' });
  writeTo(world, { directory, name: 'copy' }, 9000);
  world.create({ directory, name: 'new' }, 'directory');
  return { world, before };
}

function writeTo(world: World, place: Place, length: number): void {
  const inode = world.model.at(place) as ModelInode;
  world.write(inode, place, 0, new Uint8Array(length).fill(length & 0xff));
}

/** How many writes of dirty data, and how many of metadata, a commit of the scene makes. */
function writesOfCommit(): { data: number; all: number } {
  const tape = new TapeDevice(new Uint8Array(MIB));
  const { world } = scene(new World(tape, OPTIONS));
  tape.rewind();
  world.run(world.rig.engine.pool.relief());
  const data = tape.calls.length;
  world.commit();
  const all = tape.calls.filter(({ kind }) => kind === 'write').length;
  return { data, all };
}

const { data, all } = writesOfCommit();
const METADATA_WRITES = Array.from({ length: all - data }, (_, i) => data + i);

function commitError(world: World): unknown {
  try {
    world.commit();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Fails unless a mount of what the device holds shows one of the states. */
function expectEither(device: FaultDevice, states: readonly Model[]): void {
  device.heal();
  const image = imageOf(MemoryDevice.from(imageOf(device)));
  expect(recount(image)).toEqual([]);
  const fits = states.filter((state) => {
    try {
      compare(new World(MemoryDevice.from(image), OPTIONS, state.copy()));
      return true;
    } catch {
      return false;
    }
  });
  expect(fits.length, 'the device holds the old state or the new one').toBeGreaterThan(0);
}

function expectLatched(world: World, cause: unknown): void {
  const { engine, driver } = world.rig;
  expect(cause).toMatchObject({ code: 'EIO' });
  const place = { directory: world.model.root, name: 'later' };
  let refusal: unknown;
  try {
    world.create(place, 'file');
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(FilesystemError);
  expect(refusal).toMatchObject({ code: 'EROFS', cause });
  expect((refusal as Error).message).toContain('it is read-only since a write failed');
  expect(() => driver.run(engine.commit())).toThrow((cause as Error).message);
  compare(world);
}

describe('a commit', () => {
  it.each(METADATA_WRITES)('latches when write %d and all after it fail', (skip) => {
    const device = new FaultDevice(new MemoryDevice({ size: MIB }));
    const { world, before } = scene(new World(device, OPTIONS));
    device.inject({ on: 'write', effect: 'fail', skip });
    const cause = commitError(world);
    expectLatched(world, cause);
    expectEither(device, [before, world.model]);
  });

  it.each([0, 1])('latches when flush %d fails', (skip) => {
    const device = new FaultDevice(new MemoryDevice({ size: MIB }));
    const { world, before } = scene(new World(device, OPTIONS));
    device.inject({ on: 'flush', effect: 'fail', skip, times: 1 });
    const cause = commitError(world);
    expectLatched(world, cause);
    expectEither(device, skip === 0 ? [before] : [before, world.model]);
  });

  it.each(Array.from({ length: data }, (_, i) => i))(
    'does not latch when write %d, of file data, fails: the data stays dirty',
    (skip) => {
      const device = new FaultDevice(new MemoryDevice({ size: MIB }));
      const { world } = scene(new World(device, OPTIONS));
      device.inject({ on: 'write', effect: 'fail', skip });
      expect(errorCode(commitError(world))).toBe('EIO');
      compare(world);
      device.heal();
      world.commit();
      expectEither(device, [world.model]);
    },
  );
});
