/**
 * Message: a request of the kernel and the reply to it, in memory that is used again and again.
 *
 * Q1. A request is read through its accessors only after {@link Message.open} has found it whole;
 *     what a body promises (a name, a length of data) is checked when it is taken.
 * Q2. The reply is built behind its header in `reply`, and nothing of the request is overwritten:
 *     an operation may have to begin anew.
 */
import { viewOf } from '../base/index.ts';
import { IN_HEADER, OUT_HEADER } from './wire.ts';

/** What `max_write` is, and the largest READ. */
export const DATA_MAX = 1 << 20;
/** Where the body of a request begins, and that of a reply. */
export const BODY = IN_HEADER.size;
export const REPLY_BODY = OUT_HEADER.size;
/** Room beside the data for headers and names; the kernel wants 4 KiB of it at the least. */
const ROOM = 8192;

/** How a handler says that no reply is sent now: there is none, or it comes later. */
export const NO_REPLY = -65536;

/** A request that says of itself what is not so. It is answered with an errno. */
export class MalformedError extends Error {
  /** As `FilesystemError` has it: whoever asks for the errno need not know this class. */
  readonly code = 'EINVAL';
}

export class Message {
  readonly bytes: Uint8Array = new Uint8Array(DATA_MAX + ROOM);
  readonly view: DataView = viewOf(this.bytes);
  /** The same memory; nobody else is given it, since a slice of a `Buffer` is no copy. */
  readonly #buffer = Buffer.from(this.bytes.buffer);
  readonly reply: Uint8Array = new Uint8Array(DATA_MAX + ROOM);
  readonly out: DataView = viewOf(this.reply);
  /** Bytes of the request. */
  length = 0;
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  node = 0;
  uid = 0;
  gid = 0;
  /** Of the thread that asks, as this process knows it; 0 if it does not. */
  pid = 0;
  /** Where the next name is. */
  #next = 0;

  /**
   * Takes `length` bytes that were read into {@link bytes} for a request. False if they are so few
   * that not even a reply could be addressed.
   */
  accept(length: number): boolean {
    const { view } = this;
    this.length = length;
    this.opcode = 0;
    if (length < IN_HEADER.at.nodeid) return false;
    this.opcode = view.getUint32(IN_HEADER.at.opcode, true);
    this.uniqueLow = view.getUint32(IN_HEADER.at.unique, true);
    this.uniqueHigh = view.getUint32(IN_HEADER.at.unique + 4, true);
    return true;
  }

  /** Reads the rest of the header. False if it is cut short, or gives another length. */
  open(): boolean {
    const { view, length } = this;
    if (length < BODY || view.getUint32(IN_HEADER.at.len, true) !== length) return false;
    // Nodes are numbered by us, with 32 bits: others are nobody's.
    const high = view.getUint32(IN_HEADER.at.nodeid + 4, true);
    this.node = high === 0 ? view.getUint32(IN_HEADER.at.nodeid, true) : 0;
    this.uid = view.getUint32(IN_HEADER.at.uid, true);
    this.gid = view.getUint32(IN_HEADER.at.gid, true);
    this.pid = view.getUint32(IN_HEADER.at.pid, true);
    return true;
  }

  /** True if the body has as many bytes at the least. */
  holds(length: number): boolean {
    return this.length >= BODY + length;
  }

  /** A field of the body, by its offset there. */
  u32(at: number): number {
    return this.view.getUint32(BODY + at, true);
  }

  /** The same for 64 bits; what does not fit is clamped to 2^53 - 1. */
  u64(at: number): number {
    const high = this.view.getUint32(BODY + at + 4, true);
    const low = this.view.getUint32(BODY + at, true);
    return high > 0x1fffff ? Number.MAX_SAFE_INTEGER : high * 4294967296 + low;
  }

  /** A number of a node in the body; 0 if it is none of ours. */
  nodeAt(at: number): number {
    return this.u32(at + 4) === 0 ? this.u32(at) : 0;
  }

  /** The name that begins at `at` of the body, a binary string. */
  name(at: number): string {
    const start = BODY + at;
    const end = this.bytes.indexOf(0, start);
    if (end < 0 || end >= this.length) {
      throw new MalformedError(`Cannot read a name of request ${this.opcode}: it has no end`);
    }
    this.#next = end + 1 - BODY;
    return this.#buffer.toString('latin1', start, end);
  }

  /** The name behind the one read last. */
  nextName(): string {
    return this.name(this.#next);
  }

  /** Where `length` bytes of data begin in {@link bytes}: at `at` of the body. */
  data(at: number, length: number): number {
    if (BODY + at + length <= this.length) return BODY + at;
    throw new MalformedError(
      `Cannot take ${length} bytes of request ${this.opcode}: it ends before`,
    );
  }

  /** The value behind the name read last, `length` bytes of its own. */
  valueAfterName(length: number): Uint8Array {
    const start = this.data(this.#next, length);
    return this.bytes.subarray(start, start + length);
  }

  /** Completes the reply: `answer` is the length of its body, or below 0 a negative errno. */
  seal(answer: number): number {
    const { out } = this;
    const length = answer < 0 ? REPLY_BODY : REPLY_BODY + answer;
    out.setUint32(OUT_HEADER.at.len, length, true);
    out.setInt32(OUT_HEADER.at.error, answer < 0 ? answer : 0, true);
    out.setUint32(OUT_HEADER.at.unique, this.uniqueLow, true);
    out.setUint32(OUT_HEADER.at.unique + 4, this.uniqueHigh, true);
    return length;
  }
}
