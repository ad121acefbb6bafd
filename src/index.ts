/**
 * ramet: a copy-on-write filesystem. Clone a file, a directory or a whole volume in constant time.
 * This is the package's door for Node; browser.ts is the same without paths of the host.
 */
import { MountableVolume } from './fuse/index.ts';

export * from './api/index.ts';

/** A volume of this process: what opens one here takes paths of the host too, and can mount it. */
export type Volume = MountableVolume;
export const Volume: typeof MountableVolume = MountableVolume;
export {
  AssertionError,
  CorruptionError,
  DeviceError,
  type ErrorCode,
  FilesystemError,
} from './base/index.ts';
export { type Device, MemoryDevice, OverlayDevice } from './device/index.ts';
export { FileDevice, type FileDeviceOptions } from './device/node.ts';
export { type ServeOptions, VolumeMount } from './fuse/index.ts';
