/**
 * Transport: where requests come from and replies go to: the kernel's device, or a test's.
 */
import { read, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { errorCode } from '../base/index.ts';
import { Message } from './message.ts';
import type { Session } from './session.ts';

export interface Transport {
  /**
   * Waits for a request and reads it into `bytes`. Its length, 0 if there was none after all, or
   * undefined when the connection has ended.
   */
  read(bytes: Uint8Array): number | undefined;
  write(bytes: Uint8Array, length: number): void;
}

const readLater = promisify(read);

/** /dev/fuse, opened and given to a mount. */
export class DeviceTransport implements Transport {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Blocks the thread. */
  read(bytes: Uint8Array): number | undefined {
    try {
      return readSync(this.#fd, bytes);
    } catch (error) {
      return lengthAfter(error);
    }
  }

  /** Blocks a thread of the pool. */
  async readLater(bytes: Uint8Array): Promise<number | undefined> {
    try {
      return (await readLater(this.#fd, bytes, 0, bytes.length, null)).bytesRead;
    } catch (error) {
      return lengthAfter(error);
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

/** What a read that has failed stands for. */
function lengthAfter(error: unknown): number | undefined {
  const code = errorCode(error);
  // A request that was taken back before it was read, or a signal.
  if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') return 0;
  // Unmounted, or aborted through /sys/fs/fuse.
  if (code === 'ENODEV' || code === 'ECONNABORTED') return undefined;
  throw error;
}

/**
 * Serves until the connection ends, in this turn: for devices that answer at once. `served` is
 * called after each request. What it returns has to be waited for before this is called again;
 * undefined: the connection has ended, or it was told to stop.
 */
export function serve(
  session: Session,
  transport: Transport,
  message: Message,
  served: () => Promise<void> | 'stop' | undefined,
): Promise<void> | undefined {
  for (;;) {
    const length = transport.read(message.bytes);
    if (length === undefined) return undefined;
    if (length > 0) void session.handle(message, length);
    const others = served();
    if (others === 'stop') return undefined;
    if (others !== undefined) return others;
  }
}

/** Requests that are under way at once; further ones wait in the kernel. */
const FLIGHTS_MAX = 16;

/** Where requests come from that are read while others are under way. */
export interface LaterTransport {
  /** Like {@link Transport.read}, in a later turn. */
  readLater(bytes: Uint8Array): Promise<number | undefined>;
}

/** Requests of a session whose device takes its time: each has a message until it is answered. */
export class Flights {
  readonly #session: Session;
  readonly #transport: LaterTransport;
  readonly #free: Message[] = [];
  #underWay = 0;
  #failure: { readonly error: unknown } | undefined;
  #landed = (): void => {};

  constructor(session: Session, transport: LaterTransport) {
    this.#session = session;
    this.#transport = transport;
  }

  /**
   * Serves until the connection ends, and what is under way then has ended too. `taken` is called
   * after each request that was taken.
   */
  async serve(taken: () => void): Promise<void> {
    while (this.#failure === undefined) {
      const message = this.#free.pop() ?? new Message();
      const length = await this.#transport.readLater(message.bytes);
      if (length === undefined) break;
      this.#take(message, length);
      taken();
      while (this.#underWay >= FLIGHTS_MAX) await this.#landing();
    }
    while (this.#underWay > 0) await this.#landing();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #take(message: Message, length: number): void {
    const flight = length > 0 ? this.#session.handle(message, length) : undefined;
    if (flight === undefined) {
      this.#free.push(message);
      return;
    }
    this.#underWay++;
    const landed = (): void => {
      this.#underWay--;
      this.#free.push(message);
      this.#landed();
    };
    flight.then(landed, (error: unknown) => {
      this.#failure ??= { error };
      landed();
    });
  }

  #landing(): Promise<void> {
    return new Promise((landed) => {
      this.#landed = landed;
    });
  }
}
