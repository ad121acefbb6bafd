/**
 * The desk and its socket in one thread, with no kernel: what clients say comes to a volume, and is
 * served whenever the event loop comes round.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { ServedVolume } from '../../src/api/node/index.ts';
import { type Answer, PROTOCOL } from '../../src/fuse/control/calls.ts';
import { Desk } from '../../src/fuse/control/desk.ts';
import { ANSWER_MAX, decodeFrame, encodeFrame, FrameReader } from '../../src/fuse/control/frame.ts';
import { ControlServer } from '../../src/fuse/control/server.ts';
import { SocketPlace } from '../../src/fuse/control/socket-path.ts';
import type { Stale } from '../../src/fuse/control/stale.ts';
import { NodeTable } from '../../src/fuse/node-table.ts';
import { RequestCounts } from '../../src/fuse/request-counts.ts';

/** A client that says what it likes. */
export class Client {
  readonly socket: Socket;
  readonly #reader = new FrameReader(ANSWER_MAX);
  readonly #answers: Answer[] = [];
  #wake = (): void => {};
  isClosed = false;

  constructor(address: string) {
    this.socket = connect({ path: address });
    this.socket.on('data', (chunk) => {
      for (const frame of this.#reader.push(chunk as Buffer)) {
        this.#answers.push(decodeFrame(frame) as Answer);
      }
      this.#wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** Sends any value as a message. */
  send(value: unknown, flags = 0): void {
    this.socket.write(encodeFrame(value, flags));
  }

  /** The next answer; undefined once the connection has ended. */
  async next(): Promise<Answer | undefined> {
    while (this.#answers.length === 0 && !this.isClosed) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    return this.#answers.shift();
  }

  /** What comes of a call. */
  async call(id: number, call: string, ...args: unknown[]): Promise<unknown> {
    this.send({ id, call, args });
    const answer = await this.next();
    if (answer === undefined) throw new Error('the connection has ended');
    if (answer.error !== undefined) throw answer.error;
    return answer.value;
  }

  async hello(): Promise<void> {
    await this.call(1, 'hello', { protocol: PROTOCOL, uid: 0, gid: 0, umask: 0o022 });
  }
}

export class DeskRig {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'ramet-desk-'));
  readonly image: string = join(this.folder, 'a.img');
  readonly volume: ServedVolume;
  readonly nodes: NodeTable;
  readonly counts: RequestCounts;
  readonly desk: Desk;
  /** What the kernel would have been told. */
  readonly stale: Stale[] = [];
  readonly broken: unknown[] = [];
  /** What settling does. */
  settle: () => Promise<void> = async () => {};
  #server: ControlServer | undefined;
  #asked = false;
  readonly #port;

  constructor() {
    this.volume = ServedVolume.openSync(this.image, { create: true, size: 64 << 20 });
    const { engine } = this.volume.parts;
    this.nodes = new NodeTable(engine, engine.live);
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.counts = new RequestCounts({ blocks: engine.store.blocks, now: () => 0 });
    this.desk = new Desk(this.volume, { served: this, counts: this.counts }, port2);
  }

  static async start(): Promise<DeskRig> {
    const rig = new DeskRig();
    rig.#server = new ControlServer({
      desk: rig.#port,
      ask: () => rig.#ask(),
      settle: () => rig.settle(),
      invalidate: async (stale) => void rig.stale.push(stale),
      onBroken: (error) => rig.broken.push(error),
    });
    await rig.#server.listen(rig.image);
    return rig;
  }

  connect(): Client {
    const place = new SocketPlace(this.image);
    const client = new Client(place.address);
    client.socket.once('connect', () => place.close());
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.close();
    await this.desk.end();
    this.volume.closeSync();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** One turn for any number of questions, as the serving thread has it. */
  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    setImmediate(() => {
      this.#asked = false;
      void this.desk.turn(true);
    });
  }
}
