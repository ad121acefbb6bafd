/**
 * File memory: an image as the host has it in its cache, mapped piece by piece. Node only.
 */
import { closeSync, openSync } from 'node:fs';
import { DeviceError, errorCode, GIB } from '../base/index.ts';
import { FileMapping } from '../ffi/index.ts';

/** Bytes of one mapping: arrays of 4 GiB and more do not exist everywhere. */
const WINDOW = GIB;

export class FileMemory {
  readonly #descriptor: number;
  /** Each is as long as a window, whatever the file has: so it need not change when that grows. */
  readonly #windows = new Map<number, FileMapping>();

  /** @throws {DeviceError} `ENOTSUP` if files cannot be mapped here */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.view(0, 1);
  }

  /**
   * The bytes from `position` on, `length` of them or as many as are in one mapping.
   *
   * @throws {DeviceError} `EIO` if the host cannot read them
   */
  view(position: number, length: number): Uint8Array {
    const index = Math.floor(position / WINDOW);
    const start = position - index * WINDOW;
    try {
      let window = this.#windows.get(index);
      if (window === undefined) {
        window = mapWindow(this.#descriptor, index * WINDOW);
        this.#windows.set(index, window);
      }
      return window.load(start, Math.min(start + length, WINDOW));
    } catch (cause) {
      const code = errorCode(cause) === 'EIO' ? 'EIO' : 'ENOTSUP';
      const finding = (cause as Error).message;
      throw new DeviceError(code, { operation: 'view', position, length, finding, cause });
    }
  }
}

/** Through a descriptor of its own: what is mapped outlives the lock on the image. */
function mapWindow(descriptor: number, position: number): FileMapping {
  const own = openSync(`/proc/self/fd/${descriptor}`, 'r');
  try {
    return new FileMapping(own, position, WINDOW);
  } finally {
    closeSync(own);
  }
}
