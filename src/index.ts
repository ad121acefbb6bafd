/**
 * ramet: a copy-on-write filesystem. Clone a file, a directory or a whole volume in constant time.
 * This is the package's door for Node; browser.ts is the same without paths of the host.
 */
export * from './api/index.ts';
export { NodeVolume as Volume } from './api/node/index.ts';
export {
  AssertionError,
  CorruptionError,
  DeviceError,
  type ErrorCode,
  FilesystemError,
} from './base/index.ts';
export { type Device, MemoryDevice, OverlayDevice } from './device/index.ts';
export { FileDevice, type FileDeviceOptions } from './device/node.ts';
