/** Volumes on a tape: new ones, by hand turn by turn, and as a crash leaves them. */
import { expect } from 'vitest';
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { MIB, type Operation, type PlainIo } from '../../src/base/index.ts';
import { checkSync, type Issue } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { COMMON } from '../api/bench.ts';
import { TapeDevice } from '../store/tape.ts';

export function volumeOn(options: VolumeOptions & { size?: number } = {}): {
  tape: TapeDevice;
  volume: Volume;
} {
  const tape = new TapeDevice(new Uint8Array(options.size ?? 8 * MIB));
  const volume = Volume.openSync(tape, { ...COMMON, create: true, ...options });
  tape.rewind();
  return { tape, volume };
}

/**
 * A volume as a crash leaves it, which is found to be sound when it is closed; of the issues those
 * count that `counts` says.
 */
export function afterCrash<T>(
  tape: TapeDevice,
  look: (volume: Volume) => T,
  counts: (issue: Issue) => boolean = () => true,
): T {
  const device = MemoryDevice.from(tape.image());
  const volume = Volume.openSync(device, COMMON);
  const seen = look(volume);
  volume.closeSync();
  expect(checkSync(device).issues.filter(counts)).toEqual([]);
  return seen;
}

/** One turn by hand, on a device that does everything at once. True if the operation has ended. */
export function turn(operation: Operation<unknown>, tape: TapeDevice): boolean {
  if (operation.step()) return true;
  for (const io of operation.plan.io as PlainIo[]) {
    if (io.submitted) continue;
    io.submitted = true;
    if (io.kind === 'write') tape.writev(io.position, io.buffers);
    else if (io.kind === 'flush') tape.flush();
    io.finish(undefined);
  }
  for (const other of operation.plan.after) while (!turn(other, tape));
  return false;
}
