/**
 * The one checksum of the format, against another implementation of it.
 */
import fc from 'fast-check';
import { createXXHash64, type IHasher } from 'hash-wasm';
import { describe, expect, it } from 'vitest';
import { binaryBytes, checksum32, checksum64, HASH_BITS, hashName } from '../../src/base/index.ts';

/** XXH64 by hash-wasm. */
async function oracle(bytes: Uint8Array, seed: bigint): Promise<bigint> {
  const hasher: IHasher = await createXXHash64(Number(seed & 0xffffffffn), Number(seed >> 32n));
  return BigInt(`0x${hasher.init().update(bytes).digest('hex')}`);
}

const seed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const bytes = fc.uint8Array({ maxLength: 200 });

describe('checksum64()', () => {
  it('is XXH64, for every seed', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, seed, async (data, start) => {
        expect(checksum64(data, start)).toBe(await oracle(data, start));
      }),
    );
  });

  it('is XXH64 at every length around its 32-byte stripes, and of a block', async () => {
    const data = Uint8Array.from({ length: 4096 }, (_, i) => (i * 31) & 255);
    for (const length of [...Array(70).keys(), 4088, 4095, 4096]) {
      const part = data.subarray(0, length);
      expect(checksum64(part, 42n), `${length} bytes`).toBe(await oracle(part, 42n));
    }
  });

  it('has the values that others publish', () => {
    const text = new TextEncoder().encode('xxhash');
    expect(checksum64(new Uint8Array(0), 0n)).toBe(0xef46db3751d8e999n);
    expect(checksum64(text, 0n)).toBe(0x32dd38952c4bc720n);
    expect(checksum64(text, 20141025n)).toBe(0xb559b98d844e0635n);
  });

  it('hashes a view of a part of its buffer', async () => {
    const data = Uint8Array.from({ length: 100 }, (_, i) => i).subarray(3, 77);
    expect(checksum64(data, 9n)).toBe(await oracle(data, 9n));
  });
});

describe('checksum32()', () => {
  it('is the low half', () => {
    fc.assert(
      fc.property(bytes, seed, (data, start) => {
        expect(BigInt(checksum32(data, start))).toBe(checksum64(data, start) & 0xffffffffn);
      }),
    );
  });
});

describe('hashName()', () => {
  it('is the high 45 bits of the name’s bytes', () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 255 });
    fc.assert(
      fc.property(name, seed, (data, start) => {
        const binary = Array.from(data, (byte) => String.fromCharCode(byte)).join('');
        expect(binaryBytes(binary)).toEqual(new Uint8Array(data));
        const high = checksum64(data, start) >> BigInt(64 - HASH_BITS);
        expect(BigInt(hashName(binary, start))).toBe(high);
      }),
    );
  });
});
