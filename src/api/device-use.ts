/**
 * Device use: who has a device open in this process, and the driver that moves its bytes.
 */
import { FilesystemError } from '../base/index.ts';
import type { Device } from '../device/index.ts';
import { Driver } from '../drive/index.ts';

/** Devices with a volume that is open and may write: a second one would know nothing of it. */
const DEVICES = new WeakSet<Device>();

/** @throws {FilesystemError} `EBUSY` */
export function takeDevice(device: Device): void {
  if (DEVICES.has(device)) {
    throw new FilesystemError(
      'EBUSY',
      `Cannot open a volume on ${device.name}: this process has it open already`,
    );
  }
  DEVICES.add(device);
}

/** Nobody has the device after all. */
export function giveDevice(device: Device): void {
  DEVICES.delete(device);
}

export function makeDriver(device: Device): Driver {
  // Browsers have no setImmediate, and elsewhere a timer takes a millisecond at least.
  const later = globalThis.setImmediate ?? setTimeout;
  return new Driver(device, { pause: () => new Promise((resolve) => void later(resolve)) });
}
