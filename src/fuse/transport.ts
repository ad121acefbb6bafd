/**
 * Transport: where requests come from and replies go to: the kernel's device, or a test's.
 */
import { readSync, writeSync } from 'node:fs';
import { errorCode } from '../base/index.ts';
import type { Message } from './message.ts';
import type { Session } from './session.ts';

export interface Transport {
  /**
   * Waits for a request and reads it into `bytes`. Its length, 0 if there was none after all, or
   * undefined when the connection has ended.
   */
  read(bytes: Uint8Array): number | undefined;
  write(bytes: Uint8Array, length: number): void;
}

/** /dev/fuse, opened and given to a mount. Reading blocks the thread. */
export class DeviceTransport implements Transport {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(bytes: Uint8Array): number | undefined {
    try {
      return readSync(this.#fd, bytes);
    } catch (error) {
      const code = errorCode(error);
      // A request that was taken back before it was read, or a signal.
      if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') return 0;
      // Unmounted, or aborted through /sys/fs/fuse.
      if (code === 'ENODEV' || code === 'ECONNABORTED') return undefined;
      throw error;
    }
  }

  write(bytes: Uint8Array, length: number): void {
    try {
      writeSync(this.#fd, bytes, 0, length);
    } catch (error) {
      const code = errorCode(error);
      // Nobody waits for it any more: the request, or the connection, has ended.
      if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'ECONNABORTED') throw error;
    }
  }
}

/**
 * Serves until the connection ends, in this turn: for devices that answer at once. `served` is
 * called after each request. What it returns has to be waited for before this is called again;
 * undefined: the connection has ended.
 */
export function serve(
  session: Session,
  transport: Transport,
  message: Message,
  served: () => Promise<void> | undefined,
): Promise<void> | undefined {
  for (;;) {
    const length = transport.read(message.bytes);
    if (length === undefined) return undefined;
    if (length > 0) void session.handle(message, length);
    const others = served();
    if (others !== undefined) return others;
  }
}
