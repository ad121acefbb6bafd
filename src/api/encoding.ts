/**
 * Encodings: text and bytes at the edge of the API. Where there is a `Buffer`, results are buffers.
 */
import { binaryBytes, fromUtf8, textFromBinary, utf8 } from '../base/index.ts';
import { argumentTypeError, argumentValueError } from './errors.ts';

export type Encoding = string | null | undefined;

interface BufferLike {
  from(data: ArrayBufferLike, offset: number, length: number): Uint8Array;
  from(text: string, encoding: string): Uint8Array;
  isEncoding(encoding: string): boolean;
}

const NodeBuffer = (globalThis as { Buffer?: BufferLike }).Buffer;

/** The same bytes as a `Buffer`, where there is one. */
export function asBuffer(bytes: Uint8Array): Uint8Array {
  return NodeBuffer?.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) ?? bytes;
}

/** Bytes as a caller asked for them: a string in an encoding, or a buffer. */
export function decode(bytes: Uint8Array, encoding: Encoding): string | Uint8Array {
  if (encoding === undefined || encoding === null || encoding === 'buffer') return asBuffer(bytes);
  if (encoding === 'utf8' || encoding === 'utf-8') return fromUtf8(bytes);
  checkEncoding(encoding);
  return (asBuffer(bytes) as unknown as { toString(encoding: string): string }).toString(encoding);
}

/** Bytes of what a caller gave: a string in an encoding, or any view of bytes. */
export function encode(data: unknown, encoding: Encoding): Uint8Array {
  if (typeof data === 'string') {
    if (encoding === undefined || encoding === null) return utf8(data);
    if (encoding === 'utf8' || encoding === 'utf-8') return utf8(data);
    checkEncoding(encoding);
    return (NodeBuffer as BufferLike).from(data, encoding);
  }
  return bytesToWrite(data, 'data');
}

/** The bytes of any view. */
export function bytesToWrite(data: unknown, argument: string): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const wanted = 'of type string or an instance of Buffer, TypedArray, or DataView';
  throw argumentTypeError(argument, wanted, data);
}

/** A view of the memory a caller gave to read into. */
export function bytesOf(buffer: unknown): Uint8Array {
  if (buffer instanceof Uint8Array) return buffer;
  if (ArrayBuffer.isView(buffer)) {
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }
  throw argumentTypeError('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
}

/** A name as a caller asked for it. */
export function decodeName(binary: string, encoding: Encoding): string | Uint8Array {
  if (encoding === undefined || encoding === null || encoding === 'utf8') {
    return textFromBinary(binary);
  }
  return decode(binaryBytes(binary), encoding);
}

/** The encoding in an argument that is an encoding or options with one. */
export function encodingOf(options: unknown): Encoding {
  if (typeof options === 'string') {
    if (options !== 'buffer') checkEncoding(options);
    return options;
  }
  if (typeof options !== 'object' || options === null) return undefined;
  const { encoding } = options as { encoding?: Encoding };
  if (typeof encoding === 'string' && encoding !== 'buffer') checkEncoding(encoding);
  return encoding;
}

function checkEncoding(encoding: string): void {
  if (encoding === 'utf8' || encoding === 'utf-8') return;
  if (NodeBuffer?.isEncoding(encoding)) return;
  throw argumentValueError('encoding', 'is invalid encoding', encoding);
}
