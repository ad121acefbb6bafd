/**
 * Checksums: XXH64 through `xxhash-wasm`, the library's one dependency.
 *
 * A slot keeps the low 32 bits of a block's hash; superblocks, log frames and streams keep all 64.
 * The seed is the image's id, so a block of another image is never taken for one of ours.
 * The module is ready when it is imported: it awaits the WebAssembly instance at its top level,
 * which is what lets `Volume.openSync` exist.
 */
import xxhash from 'xxhash-wasm';
import { binaryBytes } from './bytes.ts';

const { h64Raw } = await xxhash();

/** XXH64 of `bytes`. */
export function checksum64(bytes: Uint8Array, seed: bigint): bigint {
  return h64Raw(bytes, seed);
}

/** The low 32 bits of XXH64, as slots keep them. */
export function checksum32(bytes: Uint8Array, seed: bigint): number {
  return Number(BigInt.asUintN(32, h64Raw(bytes, seed)));
}

/** What is wrong with a block whose checksum is not the one it should have. */
export function checksumFault(found: number, wanted: number): string {
  return `checksum is 0x${found.toString(16)}, wanted 0x${wanted.toString(16)}`;
}

/** Bits of a directory key that come from the name; the rest is the collision number. */
export const HASH_BITS = 45;
const HASH_SHIFT = BigInt(64 - HASH_BITS);

/** The 45-bit hash that orders a name in its directory. `name` is a binary string. */
export function hashName(name: string, seed: bigint): number {
  return Number(h64Raw(binaryBytes(name), seed) >> HASH_SHIFT);
}
