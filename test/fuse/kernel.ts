/**
 * TestKernel: the other end of a session, in memory. It sends requests as the kernel would, counts
 * what it looks up, and reads replies. A volume of its own stands behind the session.
 */
import { binaryBytes, MIB, viewOf } from '../../src/base/index.ts';
import { type Device, MemoryDevice } from '../../src/device/index.ts';
import { MAJOR, MINOR, Opcode } from '../../src/fuse/constants.ts';
import { decode, encode, type FieldKind, type Layout, type Values } from '../../src/fuse/layout.ts';
import { Message } from '../../src/fuse/message.ts';
import { Served, type ServedOptions } from '../../src/fuse/served.ts';
import { Session, type SessionOptions } from '../../src/fuse/session.ts';
import {
  ATTR_OUT,
  ENTRY_OUT,
  FORGET_IN,
  GETATTR_IN,
  IN_HEADER,
  INIT_IN,
  MKNOD_IN,
  OUT_HEADER,
  READ_IN,
  SETATTR_IN,
  WRITE_IN,
} from '../../src/fuse/wire.ts';
import { create, type Rig } from '../volume/rig.ts';

/** Milliseconds since 1970: replies are the same at every run. */
export const NOW = 1_700_000_000_123;

export interface KernelOptions extends Partial<ServedOptions> {
  readonly device?: Device;
  readonly rig?: Rig;
  readonly async?: boolean;
  readonly own?: SessionOptions['own'];
  /** The clock by which requests are timed. */
  readonly clock?: () => number;
}

export interface Reply {
  readonly unique: readonly [low: number, high: number];
  /** 0 or a negative errno. */
  readonly error: number;
  readonly body: Uint8Array;
}

export type Entry = Values<(typeof ENTRY_OUT)['fields']>;
type Part = Uint8Array | string;
type AnyFields = Readonly<Record<string, FieldKind>>;

/** Every flag, as the newest kernel offers them. */
export const ALL_FLAGS = 0x7fffffff;

/** A structure with the fields that are given; the others are 0. */
export function struct<F extends AnyFields>(
  structure: Layout<F>,
  values: Partial<Values<F>> = {},
): Uint8Array {
  const all: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(structure.fields)) {
    all[name] = kind === 'opaque' ? [0, 0] : 0;
  }
  const bytes = new Uint8Array(structure.size);
  encode(structure, viewOf(bytes), 0, { ...all, ...values } as Values<F>);
  return bytes;
}

/** A name with its end. */
export function named(name: string): Uint8Array {
  return binaryBytes(`${name}\0`);
}

export class TestKernel {
  readonly rig: Rig;
  readonly session: Session;
  readonly replies: Reply[] = [];
  readonly broken: unknown[] = [];
  readonly #message = new Message();
  readonly #async: boolean;
  uid = 0;
  gid = 0;
  unique = 2;
  /** Promises of requests that have given up their turn. */
  readonly flights: Promise<void>[] = [];

  constructor(options: KernelOptions = {}) {
    this.rig = options.rig ?? create(options.device ?? new MemoryDevice({ size: 32 * MIB }));
    const { engine, driver } = this.rig;
    this.#async = options.async ?? false;
    const served = new Served({
      engine,
      root: options.root ?? engine.live,
      now: options.now ?? (() => NOW),
      validSeconds: options.validSeconds ?? 10,
      writeback: options.writeback ?? false,
      acl: options.acl ?? false,
      locks: options.locks ?? false,
      noatime: options.noatime ?? true,
      generation: options.generation ?? 0,
      uid: options.uid,
      wordOf: options.wordOf,
    });
    this.session = new Session({
      served,
      driver,
      async: this.#async,
      ...(options.own !== undefined && { own: options.own }),
      send: ({ reply }, length) => this.#take(reply.subarray(0, length)),
      onBroken: (error) => this.broken.push(error),
      now: options.clock ?? (() => 0),
    });
  }

  /** A kernel that has sent its INIT. */
  static start(options: KernelOptions = {}, flags = ALL_FLAGS): TestKernel {
    const kernel = new TestKernel(options);
    kernel.init(flags);
    return kernel;
  }

  init(flags = ALL_FLAGS, minor = MINOR, major = MAJOR): Reply {
    const values = { major, minor, max_readahead: 131072, flags };
    return this.ask(Opcode.INIT, 0, struct(INIT_IN, values));
  }

  /** The bytes of a request. */
  request(opcode: number, node: number, ...parts: Part[]): Uint8Array {
    const bytes = parts.map((part) => (typeof part === 'string' ? named(part) : part));
    const len = IN_HEADER.size + bytes.reduce((sum, part) => sum + part.length, 0);
    const { uid, gid } = this;
    this.unique += 2;
    const unique = [this.unique, 7] as const;
    const header = struct(IN_HEADER, { len, opcode, unique, nodeid: node, uid, gid, pid: 1 });
    return Buffer.concat([header, ...bytes]);
  }

  /** Sends a request; its reply comes to {@link replies}. */
  send(request: Uint8Array): void {
    const message = this.#async ? new Message() : this.#message;
    message.bytes.set(request);
    const flight = this.session.handle(message, request.length);
    if (flight !== undefined) this.flights.push(flight);
  }

  /** Sends a request and waits for its reply. */
  async flown(request: Uint8Array): Promise<Reply> {
    const before = this.replies.length;
    this.send(request);
    await Promise.all(this.flights);
    const reply = this.replies[before];
    if (reply === undefined) throw new Error('A request was not answered');
    return reply;
  }

  /** Sends a request that is answered at once. */
  ask(opcode: number, node: number, ...parts: Part[]): Reply {
    const before = this.replies.length;
    this.send(this.request(opcode, node, ...parts));
    const reply = this.replies[before];
    if (reply === undefined) throw new Error(`Request ${opcode} was not answered`);
    return reply;
  }

  /** The same for a request that must succeed; the body of its reply. */
  ok(opcode: number, node: number, ...parts: Part[]): Uint8Array {
    const { error, body } = this.ask(opcode, node, ...parts);
    if (error !== 0) throw new Error(`Request ${opcode} was answered with errno ${-error}`);
    return body;
  }

  lookup(parent: number, name: string): Entry {
    return entryOf(this.ok(Opcode.LOOKUP, parent, name));
  }

  create(parent: number, name: string, mode = 0o100644): Entry {
    return entryOf(this.ok(Opcode.MKNOD, parent, struct(MKNOD_IN, { mode }), name));
  }

  getattr(node: number): Values<(typeof ATTR_OUT)['fields']> {
    const body = this.ok(Opcode.GETATTR, node, struct(GETATTR_IN));
    return decode(ATTR_OUT, viewOf(body), 0);
  }

  setattr(node: number, values: Partial<Values<(typeof SETATTR_IN)['fields']>>): Reply {
    return this.ask(Opcode.SETATTR, node, struct(SETATTR_IN, values));
  }

  write(node: number, offset: number, data: Uint8Array | string, write_flags = 0): Reply {
    const bytes = typeof data === 'string' ? binaryBytes(data) : data;
    const head = struct(WRITE_IN, { offset, size: bytes.length, write_flags });
    return this.ask(Opcode.WRITE, node, head, bytes);
  }

  read(node: number, offset: number, size: number): Uint8Array {
    return this.ok(Opcode.READ, node, struct(READ_IN, { offset, size }));
  }

  forget(node: number, nlookup: number): void {
    this.send(this.request(Opcode.FORGET, node, struct(FORGET_IN, { nlookup })));
  }

  #take(bytes: Uint8Array): void {
    const { len, error, unique } = decode(OUT_HEADER, viewOf(bytes), 0);
    if (len !== bytes.length) throw new Error(`A reply of ${bytes.length} bytes says ${len}`);
    this.replies.push({ unique, error, body: bytes.slice(OUT_HEADER.size) });
  }
}

export function entryOf(body: Uint8Array): Entry {
  return decode(ENTRY_OUT, viewOf(body), 0);
}
