/**
 * Guard: the checks with which every call on every device begins.
 *
 * The same mistake gets the same error from every device: `EBADF` after close, then `EROFS` on a
 * read-only device, then `EINVAL` for a range that is not whole bytes of the device.
 */
import { DeviceError, hex } from '../base/index.ts';
import type { Device } from './device.ts';

export type DeviceOperation =
  | 'read'
  | 'write'
  | 'flush'
  | 'discard'
  | 'prepare'
  | 'grow'
  | 'shrink';

/** What the guard needs to know of a device. */
export interface Guarded extends Pick<Device, 'name' | 'size' | 'readOnly'> {
  readonly closed: boolean;
}

const CHANGING: ReadonlySet<DeviceOperation> = new Set([
  'write',
  'discard',
  'prepare',
  'grow',
  'shrink',
]);

/**
 * The guard of every call but `grow`; `flush` has the empty range at 0.
 *
 * @throws {DeviceError} `EBADF`, `EROFS` or `EINVAL`, if the call must not go on
 */
export function guard(
  device: Guarded,
  operation: DeviceOperation,
  position: number,
  length: number,
): void {
  guardState(device, operation, position, length);
  if (isCount(position) && isCount(length) && position + length <= device.size) return;
  const finding =
    isCount(position) && isCount(length)
      ? `${device.name} ends at ${hex(device.size)}`
      : `position ${position} and length ${length} must be whole and not negative`;
  throw new DeviceError('EINVAL', { operation, position, length, finding });
}

/** The guard of `grow` and `shrink`: a size may lie past the end. */
export function guardSize(device: Guarded, operation: 'grow' | 'shrink', size: number): void {
  guardState(device, operation, size, 0);
  if (isCount(size)) return;
  const finding = `size ${size} must be whole and not negative`;
  throw new DeviceError('EINVAL', { operation, position: size, length: 0, finding });
}

function guardState(
  device: Guarded,
  operation: DeviceOperation,
  position: number,
  length: number,
): void {
  if (device.closed) {
    const finding = `${device.name} is closed`;
    throw new DeviceError('EBADF', { operation, position, length, finding });
  }
  if (device.readOnly && CHANGING.has(operation)) {
    const finding = `${device.name} is read-only`;
    throw new DeviceError('EROFS', { operation, position, length, finding });
  }
}

/** The error of a `grow` that the place behind the device has no room for. */
export function cannotGrow(device: Guarded, size: number): DeviceError {
  const finding = `${device.name} cannot be longer than ${device.size} bytes, wanted ${size}`;
  return new DeviceError('ENOSPC', { operation: 'grow', position: size, length: 0, finding });
}

/** True for 0, 1, 2, ... up to the largest safe integer. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
