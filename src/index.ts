/**
 * ramet: a copy-on-write filesystem. Clone a file, a directory or a whole volume in constant time.
 * This is the package's door for Node; browser.ts is the same without paths of the host.
 */
import type { Volume as AnyVolume } from './api/index.ts';
import { NodeVolume } from './api/node/index.ts';

export * from './api/index.ts';

/** A volume, wherever it is: what opens one here takes paths of the host too. */
export type Volume = AnyVolume;
export const Volume: typeof NodeVolume = NodeVolume;
export {
  AssertionError,
  CorruptionError,
  DeviceError,
  type ErrorCode,
  FilesystemError,
} from './base/index.ts';
export { type Device, MemoryDevice, OverlayDevice } from './device/index.ts';
export { FileDevice, type FileDeviceOptions } from './device/node.ts';
