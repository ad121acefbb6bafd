/**
 * Control server: where commands on a mounted volume come in, in a thread that does not serve the
 * kernel: by the socket beside its image, and by ports from other threads of this process.
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
import { chmodSync, mkdtempSync, renameSync, rmdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import type { Taken } from '../client/port-line.ts';
import type { FromDesk, ToDesk } from './desk.ts';
import { decodeFrame, encodeFrame, FrameFlag, FrameReader, flagsOf, REQUEST_MAX } from './frame.ts';
import { SocketPlace } from './socket-path.ts';
import type { Stale } from './stale.ts';

export interface ControlOptions {
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
const OWNER_ONLY = 0o600;

/** One who asks. */
abstract class Connection {
  /** Messages that were passed on and not taken yet. */
  ahead = 0;
  /** Messages that have come in all. */
  received = 0;
  /** Messages wait for the kernel, one after the other. */
  waiting: Promise<void> | undefined;

  /** Bytes that he has not read yet. */
  abstract readonly unread: number;
  abstract send(frame: Uint8Array<ArrayBuffer>): void;
  /** Reads on, or not. */
  abstract pace(): void;
  abstract end(): void;
}

class SocketConnection extends Connection {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  get unread(): number {
    return this.#socket.writableLength;
  }

  send(frame: Uint8Array): void {
    this.#socket.write(frame);
  }

  pace(): void {
    if (this.ahead > AHEAD_MAX || this.unread > UNREAD_MAX) this.#socket.pause();
    else this.#socket.resume();
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** Another thread of this process, which may wait for its answers without its event loop. */
class PortConnection extends Connection {
  readonly unread = 0;
  readonly #port: MessagePort;
  readonly #sent: () => void;

  constructor(port: MessagePort, sent: () => void) {
    super();
    this.#port = port;
    this.#sent = sent;
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#port.postMessage(frame, [frame.buffer]);
    this.#sent();
  }

  pace(): void {}

  end(): void {
    this.#port.postMessage({ taken: this.received - this.ahead } satisfies Taken);
    this.#port.close();
    this.#sent();
  }
}

/** The socket, and who has come by it. */
interface Listening {
  readonly server: Server;
  readonly place: SocketPlace;
}

export class ControlServer {
  readonly #options: ControlOptions;
  readonly #connections = new Map<number, Connection>();
  #listening: Listening | undefined;
  #nextClient = 1;
  #closed = false;
  /** Answers go out in the order of turns. */
  #delivery: Promise<void> | undefined;

  constructor(options: ControlOptions) {
    this.#options = options;
    options.desk.on('message', (message: FromDesk) => this.#turned(message));
  }

  /**
   * Makes the socket of an image and listens. The lock of the image is held.
   *
   * @throws {Error} what the host says of the image's directory
   */
  async listen(image: string): Promise<void> {
    const place = new SocketPlace(image);
    try {
      place.clear();
      const server = createServer((socket) => this.#accept(socket));
      const listening = once(server, 'listening');
      bind(server, place);
      await listening;
      this.#listening = { server, place };
    } catch (error) {
      place.close();
      throw error;
    }
  }

  /** A client of this process, at the other end of a port; `sent` is told of each answer. */
  attach(port: MessagePort, sent: () => void): void {
    const client = this.#nextClient++;
    const connection = new PortConnection(port, sent);
    this.#connections.set(client, connection);
    port.on('message', (frame: Uint8Array) => this.#pass(client, connection, frame));
    port.on('close', () => this.#gone(client));
  }

  /** Resolves when what the desk has answered by now has gone out. */
  async drained(): Promise<void> {
    // What the desk has sent is here, but may not have been delivered.
    await new Promise((resolve) => void setImmediate(resolve));
    await this.#delivery;
  }

  /** Takes the socket away, then the clients. The lock is held still (K1). Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#listening !== undefined) {
      const { server, place } = this.#listening;
      server.close();
      place.remove();
      place.close();
    }
    for (const connection of this.#connections.values()) connection.end();
    this.#options.desk.close();
  }

  #accept(socket: Socket): void {
    const client = this.#nextClient++;
    const connection = new SocketConnection(socket);
    const reader = new FrameReader(REQUEST_MAX);
    this.#connections.set(client, connection);
    socket.on('data', (chunk) => {
      try {
        for (const frame of reader.push(chunk as Buffer)) this.#pass(client, connection, frame);
        connection.pace();
      } catch {
        socket.destroy();
      }
    });
    socket.on('drain', () => connection.pace());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#gone(client));
  }

  #gone(client: number): void {
    this.#connections.delete(client);
    if (!this.#closed) this.#post({ type: 'gone', client });
  }

  /** In the order in which they came, whatever they wait for. */
  #pass(client: number, connection: Connection, frame: Uint8Array): void {
    connection.ahead++;
    connection.received++;
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
      connection.send(encodeFrame({ id: numberOf(frame), error }));
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
      if (isProgress && connection.unread > 0) continue;
      connection.send(frame);
      connection.pace();
    }
  }
}

/** Binds a socket in this turn. Nobody but its owner may ever connect, whatever the umask is. */
function bind(server: Server, place: SocketPlace): void {
  const folder = mkdtempSync(place.besides);
  try {
    server.listen(`${folder}/s`);
    chmodSync(`${folder}/s`, OWNER_ONLY);
    renameSync(`${folder}/s`, place.path);
  } finally {
    rmdirSync(folder);
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
