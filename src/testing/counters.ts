/** DeviceCounters: what a device was asked to do. Calls that fail count too. */
import type { DeviceOperation } from '../device/index.ts';

export class DeviceCounters {
  reads = 0;
  writes = 0;
  flushes = 0;
  discards = 0;
  prepares = 0;
  /** Changes of the length. */
  grows = 0;
  bytesRead = 0;
  bytesWritten = 0;

  /** Calls of every kind. */
  get operations(): number {
    return this.reads + this.writes + this.flushes + this.discards + this.prepares + this.grows;
  }

  count(operation: DeviceOperation, length: number): void {
    switch (operation) {
      case 'read':
        this.reads++;
        this.bytesRead += length;
        break;
      case 'write':
        this.writes++;
        this.bytesWritten += length;
        break;
      case 'flush':
        this.flushes++;
        break;
      case 'discard':
        this.discards++;
        break;
      case 'prepare':
        this.prepares++;
        break;
      case 'grow':
      case 'shrink':
        this.grows++;
        break;
    }
  }
}
