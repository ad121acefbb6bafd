/**
 * Control server: the socket beside a mounted image, in the thread that does not serve the kernel.
 *
 * It passes messages between clients and the desk, and understands none of them. Before a message
 * that asks for it the kernel hands over what programs have written; before answers go out the
 * kernel has been told of what has become stale, so that whoever reads an answer sees on the mount
 * what it says.
 *
 * A client that sends without reading is not read from any more; nobody else waits for him. One
 * that sends what is no message is cut off.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import type { FromDesk, ToDesk } from './desk.ts';
import { decodeFrame, encodeFrame, FrameFlag, FrameReader, flagsOf, REQUEST_MAX } from './frame.ts';
import { SocketPlace } from './socket-path.ts';
import type { Stale } from './stale.ts';

export interface ControlOptions {
  readonly image: string;
  readonly desk: MessagePort;
  /** Lets the desk have its turn. */
  readonly ask: () => void;
  /** Makes the kernel hand over what it has been given by now. */
  readonly settle: () => Promise<void>;
  /** Tells the kernel what it knows wrong. */
  readonly invalidate: (stale: Stale) => Promise<void>;
  /** Told of what is a mistake of this program. */
  readonly onBroken: (error: unknown) => void;
}

/** Messages of a client that wait for the desk, and bytes that wait for the client. */
const AHEAD_MAX = 32;
const UNREAD_MAX = 4 << 20;
const SOON_MS = 5;
const OWNER_ONLY = 0o177;

class Connection {
  readonly socket: Socket;
  readonly reader: FrameReader = new FrameReader(REQUEST_MAX);
  /** Messages that were passed on and not taken yet. */
  ahead = 0;
  /** Messages wait for the kernel, one after the other. */
  waiting: Promise<void> | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Reads on, or not. */
  pace(): void {
    if (this.ahead > AHEAD_MAX || this.socket.writableLength > UNREAD_MAX) this.socket.pause();
    else this.socket.resume();
  }
}

export class ControlServer {
  readonly #options: ControlOptions;
  readonly #place: SocketPlace;
  readonly #server: Server;
  readonly #connections = new Map<number, Connection>();
  #nextClient = 1;
  /** Answers go out in the order of turns. */
  #delivery: Promise<void> | undefined;

  private constructor(options: ControlOptions, place: SocketPlace) {
    this.#options = options;
    this.#place = place;
    this.#server = createServer((socket) => this.#accept(socket));
    options.desk.on('message', (message: FromDesk) => this.#turned(message));
  }

  /**
   * Makes the socket and listens. The lock of the image is held.
   *
   * @throws {Error} what the host says of the image's directory
   */
  static async start(options: ControlOptions): Promise<ControlServer> {
    const place = new SocketPlace(options.image);
    const control = new ControlServer(options, place);
    try {
      place.clear();
      const server = control.#server;
      const listening = once(server, 'listening');
      // It is bound in this turn, and nobody else may ever connect.
      const umask = process.umask(OWNER_ONLY);
      server.listen(place.address);
      process.umask(umask);
      await listening;
      return control;
    } catch (error) {
      place.close();
      throw error;
    }
  }

  /** Takes the socket away, then the clients. The lock is held still (K1). Idempotent. */
  close(): void {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#place.remove();
    this.#place.close();
    for (const { socket } of this.#connections.values()) socket.destroy();
    this.#options.desk.close();
  }

  #accept(socket: Socket): void {
    const client = this.#nextClient++;
    const connection = new Connection(socket);
    this.#connections.set(client, connection);
    socket.on('data', (chunk) => {
      try {
        for (const frame of connection.reader.push(chunk as Buffer)) {
          this.#pass(client, connection, frame);
        }
        connection.pace();
      } catch {
        socket.destroy();
      }
    });
    socket.on('drain', () => connection.pace());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(client);
      this.#post({ type: 'gone', client });
    });
  }

  /** In the order in which they came, whatever they wait for. */
  #pass(client: number, connection: Connection, frame: Uint8Array): void {
    connection.ahead++;
    const settles = (flagsOf(frame) & FrameFlag.SETTLE) !== 0;
    if (!settles && connection.waiting === undefined) {
      this.#forward(client, frame);
      return;
    }
    const waiting = (connection.waiting ?? Promise.resolve()).then(async () => {
      if (settles && !(await this.#settle(connection, frame))) return;
      this.#forward(client, frame);
    });
    connection.waiting = waiting;
    void waiting.then(() => {
      if (connection.waiting === waiting) connection.waiting = undefined;
    });
  }

  /** False if it could not be: then the message has been answered. */
  async #settle(connection: Connection, frame: Uint8Array): Promise<boolean> {
    try {
      await this.#options.settle();
      return true;
    } catch (error) {
      connection.ahead--;
      connection.socket.write(encodeFrame({ id: numberOf(frame), error }));
      return false;
    }
  }

  #forward(client: number, frame: Uint8Array): void {
    if (!this.#connections.has(client)) return;
    this.#post({ type: 'frame', client, frame: frame as Uint8Array<ArrayBuffer> });
  }

  #post(message: ToDesk): void {
    const moved = message.type === 'frame' ? [message.frame.buffer] : [];
    this.#options.desk.postMessage(message, moved);
    this.#options.ask();
  }

  #turned({ taken, replies, stale, again }: FromDesk): void {
    const { ask, invalidate, onBroken } = this.#options;
    for (const client of taken) {
      const connection = this.#connections.get(client);
      if (connection === undefined) continue;
      connection.ahead--;
      connection.pace();
    }
    if (again === 'now') ask();
    else if (again === 'soon') setTimeout(ask, SOON_MS);
    const nothing = stale.names.length + stale.nodes.length === 0;
    if (nothing && this.#delivery === undefined) {
      this.#deliver(replies);
      return;
    }
    const delivery = (this.#delivery ?? Promise.resolve())
      .then(() => invalidate(stale))
      .catch(onBroken)
      .then(() => this.#deliver(replies));
    this.#delivery = delivery;
    void delivery.then(() => {
      if (this.#delivery === delivery) this.#delivery = undefined;
    });
  }

  #deliver(replies: FromDesk['replies']): void {
    for (const { client, frame, isProgress } of replies) {
      const connection = this.#connections.get(client);
      if (connection === undefined) continue;
      const { socket } = connection;
      if (isProgress && socket.writableLength > 0) continue;
      socket.write(frame);
      connection.pace();
    }
  }
}

/** The number of a call, if it has one. */
function numberOf(frame: Uint8Array): unknown {
  try {
    return (decodeFrame(frame) as { id?: unknown }).id;
  } catch {
    return 0;
  }
}
