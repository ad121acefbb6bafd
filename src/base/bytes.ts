/**
 * Bytes: the guards at the byte boundary and the integers wider than 32 bits.
 *
 * Images are little-endian and engine rooms read them through `Uint32Array`, so the host must be
 * little-endian too; every JavaScript engine ramet runs on is. 64-bit fields become safe integers
 * here: bigint does not leak upward.
 */
import { assert } from './assert.ts';

export const TWO_32 = 4294967296;

assert(new Uint8Array(new Uint32Array([1]).buffer)[0] === 1, 'ramet needs a little-endian host');

/** The low 32 bits of a safe integer. */
export function low32(value: number): number {
  return value >>> 0;
}

/** The bits above the low 32 of a safe integer that is not negative. */
export function high32(value: number): number {
  return Math.floor(value / TWO_32);
}

/** A safe integer from its halves. What does not fit is clamped to 2^53 - 1. */
export function join64(low: number, high: number): number {
  return high > 0x1fffff ? Number.MAX_SAFE_INTEGER : high * TWO_32 + low;
}

export function getU64(view: DataView, at: number): number {
  return join64(view.getUint32(at, true), view.getUint32(at + 4, true));
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, low32(value), true);
  view.setUint32(at + 4, high32(value), true);
}

/** A view of the same memory, whatever part of its buffer `bytes` covers. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same memory as 32-bit words; `bytes` must start on a multiple of 4. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** UTF-8 bytes of a string. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** The string of UTF-8 bytes; a malformed sequence becomes U+FFFD. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/**
 * A name is any bytes but `/` and NUL. In memory it is a *binary string*, one character a byte, so
 * that it can key a `Map` and lose nothing; for ASCII it is the text itself.
 */
export function binaryString(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

/** The bytes of a binary string, into `target` from `at`. */
export function copyBinary(text: string, target: Uint8Array, at: number): void {
  for (let i = 0; i < text.length; i++) target[at + i] = text.charCodeAt(i);
}

export function binaryBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  copyBinary(text, bytes, 0);
  return bytes;
}

/** UTF-16 text to the binary string of its UTF-8 bytes; ASCII comes back as it is. */
export function binaryFromText(text: string): string {
  return isAscii(text) ? text : binaryString(utf8(text));
}

/** Binary string to text, the inverse of {@link binaryFromText}. */
export function textFromBinary(binary: string): string {
  return isAscii(binary) ? binary : fromUtf8(binaryBytes(binary));
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
