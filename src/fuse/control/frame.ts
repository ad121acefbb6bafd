/**
 * Frame: how a message lies on a stream: JSON with the bytes that it speaks of behind it.
 *
 *   offset  size  field
 *        0     4  length of what follows these four bytes, little-endian, as all numbers
 *        4     4  length of the JSON
 *        8     4  flags, see {@link FrameFlag}
 *       12     n  the JSON, UTF-8
 *     12+n        bytes: what {@link pack} found in the value, one after the other
 *
 * Whoever reads a stream knows nothing of who writes it: a length beyond `most`, JSON that is none
 * and bytes that are not there are a {@link MalformedFrame}, and the end of that stream.
 */
import { FilesystemError, viewOf } from '../../base/index.ts';
import { type Inlets, type Outlets, pack, unpack } from './values.ts';

export const FrameFlag = {
  /** First let the kernel hand over what programs have written. */
  SETTLE: 1,
} as const;

const PREFIX = 12;
/** Bytes of the length itself, which it does not count. */
const LENGTH_SIZE = 4;

/** The longest request: a MiB of data is what clients write at once. */
export const REQUEST_MAX: number = 16 << 20;
/** The longest answer: the names of a very large directory, or a whole file. */
export const ANSWER_MAX = 0x7fffffff;

/** What came is not what two of us would say to each other. */
export class MalformedFrame extends FilesystemError {
  constructor(finding: string) {
    super('EINVAL', `Cannot understand a message: ${finding}`);
  }
}

/** The bytes of a message. @throws {TypeError} if a part of the value is nothing to be sent */
export function encodeFrame(value: unknown, flags = 0, outlets?: Outlets): Uint8Array<ArrayBuffer> {
  const { json, parts, length } = pack(value, outlets);
  const text = Buffer.from(json, 'utf8');
  const frame = new Uint8Array(PREFIX + text.length + length);
  const view = viewOf(frame);
  view.setUint32(0, frame.length - LENGTH_SIZE, true);
  view.setUint32(4, text.length, true);
  view.setUint32(8, flags, true);
  frame.set(text, PREFIX);
  let at = PREFIX + text.length;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** The value of a whole message. @throws {MalformedFrame} */
export function decodeFrame(frame: Uint8Array, inlets?: Inlets): unknown {
  const view = viewOf(frame);
  if (frame.length < PREFIX || view.getUint32(0, true) !== frame.length - LENGTH_SIZE) {
    throw new MalformedFrame('it is cut short');
  }
  const end = PREFIX + view.getUint32(4, true);
  if (end > frame.length) throw new MalformedFrame('its JSON ends behind it');
  const json = Buffer.from(frame.buffer, frame.byteOffset + PREFIX, end - PREFIX).toString('utf8');
  try {
    return unpack(json, frame.subarray(end), inlets);
  } catch (error) {
    throw new MalformedFrame(error instanceof Error ? error.message : String(error));
  }
}

/** What the sender of a whole message wants of whoever passes it on. */
export function flagsOf(frame: Uint8Array): number {
  return frame.length < PREFIX ? 0 : viewOf(frame).getUint32(8, true);
}

/** Cuts a stream into messages. */
export class FrameReader {
  readonly #most: number;
  #held: Uint8Array[] = [];
  #length = 0;

  /** Of messages of more than `most` bytes it is not waited for the rest. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Takes what has come; the messages that are whole now. @throws {MalformedFrame} */
  push(chunk: Uint8Array): Uint8Array[] {
    this.#held.push(chunk);
    this.#length += chunk.length;
    const whole: Uint8Array[] = [];
    for (;;) {
      const size = this.#nextSize();
      if (size === undefined || this.#length < size) return whole;
      const bytes = this.#join();
      // A copy: a slice of a Buffer is none.
      whole.push(new Uint8Array(bytes.subarray(0, size)));
      this.#held = size < bytes.length ? [bytes.subarray(size)] : [];
      this.#length = bytes.length - size;
    }
  }

  #nextSize(): number | undefined {
    if (this.#length < LENGTH_SIZE) return undefined;
    if ((this.#held[0] as Uint8Array).length < LENGTH_SIZE) this.#join();
    const length = viewOf(this.#held[0] as Uint8Array).getUint32(0, true);
    const possible = length >= PREFIX - LENGTH_SIZE && length <= this.#most;
    if (possible) return LENGTH_SIZE + length;
    throw new MalformedFrame(`it has ${length} bytes; wanted ${PREFIX} to ${this.#most}`);
  }

  #join(): Uint8Array {
    const bytes = this.#held.length === 1 ? (this.#held[0] as Uint8Array) : concat(this.#held);
    this.#held = [bytes];
    return bytes;
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}
