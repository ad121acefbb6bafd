/**
 * Random histories on a device that answers at once: after every action each file, clones and all,
 * holds what an array of bytes holds.
 */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { errorCode } from '../../src/base/index.ts';
import { ForgetfulToy, StingyToy } from './difficult-toys.ts';
import { type Action, type Bounds, histories, Model } from './model.ts';
import { type Cases, holds } from './property.ts';
import { audit, Rig, type RigOptions } from './rig.ts';

interface Setting extends Bounds, RigOptions, Cases {
  readonly prepare?: (rig: Rig) => void;
  /** Error codes that actions may fail with. */
  readonly mayFail?: readonly string[];
}

function check(setting: Setting): Promise<void> {
  return holds(
    fc.property(histories(setting), (history) => run(history, setting)),
    setting,
  );
}

/** Does it all, compares after every step, and once more with what the device has. */
function run(history: readonly Action[], setting: Setting): void {
  const model = new Model(new Rig(setting));
  const { rig } = model;
  for (const action of history) {
    setting.prepare?.(rig);
    attempt(model, action, setting.mayFail ?? []);
    rig.device.heal();
    model.compare();
  }
  rig.run(rig.syncing());
  rig.forget();
  model.compare();
  audit(rig);
}

function attempt(model: Model, action: Action, mayFail: readonly string[]): void {
  try {
    const operation = model.operation(action);
    if (operation !== undefined) model.rig.run(operation);
  } catch (error) {
    if (!mayFail.includes(errorCode(error) ?? '')) throw error;
  }
}

describe('a history of reads, writes, truncates and clones', { timeout: 120_000 }, () => {
  it('holds in one chunk', () => check({ blocks: 12, length: 6 }));

  it('holds in chunks of two blocks, with writeback in every write', () =>
    check({ blocks: 12, length: 9, dirtyLimit: 5 }));

  it('holds over several folios', () => check({ blocks: 60, length: 40, dirtyLimit: 30 }));

  it('holds if every question may have to be asked again', () =>
    check({ blocks: 40, length: 12, dirtyLimit: 20, toy: ForgetfulToy }));

  it('holds on a device that is full now and then', () =>
    check({ blocks: 20, length: 9, dirtyLimit: 16, ...tight }));

  it('holds on a device that fails now and then', () =>
    check({ blocks: 20, length: 9, dirtyLimit: 16, mayFail: ['EIO'], prepare: plantFaults }));

  it('holds in a cache smaller than the files', () =>
    check({ blocks: 60, length: 40, frames: 64 }));

  it('holds if a destination is shorter than what was asked for', () =>
    check({ blocks: 20, length: 9, toy: StingyToy, casesFrom: 3 }));
});

/** 48 blocks on the device, for files of up to 29 and their clones. */
const tight = { mayFail: ['ENOSPC'], deviceBlocks: 48 };

function plantFaults(rig: Rig): void {
  rig.device.inject({ on: 'read', effect: 'fail', probability: 1 / 4 });
  rig.device.inject({ on: 'write', effect: 'fail', probability: 1 / 4 });
}
