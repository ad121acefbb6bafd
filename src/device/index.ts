/**
 * device: where an image's bytes live. The `Device` contract and its implementations.
 *
 * Everything above asks for bytes through this contract only, so a new kind of storage is one file
 * here and no change anywhere else. This is the part of the room that runs everywhere; `node.ts`
 * adds the devices that need Node.
 */
export { BufferCursor, totalLength } from './buffers.ts';
export { all, Latch, run, type Steps, Turnstile } from './completion.ts';
export type { Completion, Device } from './device.ts';
export {
  cannotGrow,
  type DeviceOperation,
  type Guarded,
  guard,
  guardSize,
} from './guard.ts';
export { MemoryDevice, type MemoryDeviceOptions } from './memory.ts';
export { OverlayDevice, type OverlayOptions } from './overlay.ts';
