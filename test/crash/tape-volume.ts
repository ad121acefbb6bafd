/** A new volume on a tape. */
import { Volume, type VolumeOptions } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
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
