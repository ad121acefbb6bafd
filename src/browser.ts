/**
 * ramet for browsers: everything but what needs Node, which is image files named by a path.
 * A volume is opened on a device.
 */
export * from './api/index.ts';
export {
  AssertionError,
  CorruptionError,
  DeviceError,
  type ErrorCode,
  FilesystemError,
} from './base/index.ts';
export { type Device, MemoryDevice, OverlayDevice } from './device/index.ts';
