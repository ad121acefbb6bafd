/**
 * Recording: requests of the real kernel and the replies to them, byte for byte, in one file.
 *
 *   per exchange: u32 length, request, u32 length, reply; no reply has length 0. Compressed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Transport } from '../../src/fuse/transport.ts';

export interface Exchange {
  readonly request: Uint8Array;
  /** Empty if there was none. */
  readonly reply: Uint8Array;
}

const FILE = new URL('./recorded.bin.gz', import.meta.url);

export function readRecording(): Exchange[] {
  const bytes = gunzipSync(readFileSync(FILE));
  const exchanges: Exchange[] = [];
  for (let at = 0; at < bytes.length; ) {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < 2; i++) {
      const length = bytes.readUInt32LE(at);
      parts.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    const [request, reply] = parts as [Uint8Array, Uint8Array];
    exchanges.push({ request, reply });
  }
  return exchanges;
}

export function writeRecording(exchanges: readonly Exchange[]): void {
  const parts: Uint8Array[] = [];
  for (const { request, reply } of exchanges) {
    for (const part of [request, reply]) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      parts.push(length, part);
    }
  }
  writeFileSync(FILE, gzipSync(Buffer.concat(parts), { level: 9 }));
}

/** Keeps what goes through a transport. One request is answered before the next is read. */
export class RecordingTransport implements Transport {
  readonly exchanges: { request: Uint8Array; reply: Uint8Array }[] = [];
  readonly #inner: Transport;

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  read(bytes: Uint8Array): number | undefined {
    const length = this.#inner.read(bytes);
    if (length !== undefined && length > 0) {
      this.exchanges.push({ request: bytes.slice(0, length), reply: new Uint8Array(0) });
    }
    return length;
  }

  write(bytes: Uint8Array, length: number): void {
    const last = this.exchanges.at(-1);
    if (last !== undefined) last.reply = bytes.slice(0, length);
    this.#inner.write(bytes, length);
  }
}
