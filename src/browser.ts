/**
 * ramet for browsers: everything that runs without Node.
 *
 * Bundlers pick it through the `browser` condition of package.json. test/house/browser.test.ts
 * bundles it and runs it where Node's globals do not exist.
 */
export {
  AssertionError,
  CorruptionError,
  DeviceError,
  type ErrorCode,
  FilesystemError,
} from './base/index.ts';
export {
  type Completion,
  type Device,
  MemoryDevice,
  type MemoryDeviceOptions,
} from './device/index.ts';
