import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, checksum64, FilesystemError, type Txg, viewOf } from '../base/index.ts';
import {
  decodeLogFrame,
  encodeLogFrame,
  LOG_HEADER_SIZE,
  type LogFrame,
  logFrameBlocks,
  logFrameChecksum,
} from './log-frame.ts';
import type { Mutation } from './mutation.ts';

const SEED = 0x1234567890abcdefn;
const safe = fc.nat(Number.MAX_SAFE_INTEGER);

const write = fc.uint8Array({ maxLength: 3000 }).map(
  (data): Mutation => ({
    type: 'write-inline',
    target: 3,
    offset: 5,
    data: new Uint8Array(data),
    time: { sec: 1, nsec: 2 },
  }),
);
const frame: fc.Arbitrary<LogFrame> = fc.record({
  sequence: safe,
  epoch: fc.nat(2 ** 48 - 1).map((epoch) => epoch as Txg),
  operation: safe,
  previous: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  mutations: fc.array(write, { maxLength: 8 }),
});

const [sample] = fc.sample(frame, { numRuns: 1, seed: 1 }) as [LogFrame];

/** The frame with its checksum put right. */
function sealed(bytes: Uint8Array): Uint8Array {
  viewOf(bytes).setBigUint64(56, 0n, true);
  viewOf(bytes).setBigUint64(56, checksum64(bytes, SEED), true);
  return bytes;
}

describe('encodeLogFrame()', () => {
  it('stores in whole blocks what decodeLogFrame() reads back', () => {
    fc.assert(
      fc.property(frame, (value) => {
        const bytes = encodeLogFrame(value, SEED);
        expect(bytes.length % BLOCK_SIZE).toBe(0);
        expect(logFrameBlocks(bytes)).toBe(bytes.length / BLOCK_SIZE);
        expect(logFrameChecksum(bytes)).toBe(viewOf(bytes).getBigUint64(56, true));
        expect(decodeLogFrame(bytes, SEED)).toEqual(value);
      }),
    );
  });

  it('stores a frame without mutations in one block', () => {
    const bytes = encodeLogFrame({ ...sample, mutations: [] }, SEED);
    expect(bytes).toHaveLength(BLOCK_SIZE);
    expect(bytes.subarray(LOG_HEADER_SIZE).every((byte) => byte === 0)).toBe(true);
  });
});

describe('decodeLogFrame()', () => {
  it('ends the log at any byte that is another one', () => {
    const bytes = encodeLogFrame(sample, SEED);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = bytes.slice();
        damaged[at] = (damaged[at] as number) ^ change;
        expect(decodeLogFrame(damaged, SEED)).toBeUndefined();
      }),
    );
  });

  it('ends the log at a frame of another image', () => {
    expect(decodeLogFrame(encodeLogFrame(sample, SEED), SEED + 1n)).toBeUndefined();
  });

  it.each([0, 3, 63, BLOCK_SIZE, 3 * BLOCK_SIZE])('ends the log at %i zeros', (length) => {
    expect(logFrameBlocks(new Uint8Array(length))).toBe(0);
    expect(decodeLogFrame(new Uint8Array(length), SEED)).toBeUndefined();
  });

  it('takes no part of a frame for a frame', () => {
    const bytes = encodeLogFrame({ ...sample, mutations: [large(), large()] }, SEED);
    expect(bytes.length).toBeGreaterThan(BLOCK_SIZE);
    expect(decodeLogFrame(bytes.slice(0, BLOCK_SIZE), SEED)).toBeUndefined();
  });

  it('throws nothing but EIO if the checksum is right and the body is not', () => {
    const at = fc.integer({ min: 40, max: 200 });
    const edits = fc.array(fc.tuple(at, fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = encodeLogFrame(sample, SEED);
        for (const [offset, byte] of changes) bytes[offset] = byte;
        try {
          decodeLogFrame(sealed(bytes), SEED);
        } catch (error) {
          expect(error).toBeInstanceOf(FilesystemError);
          expect((error as FilesystemError).code).toBe('EIO');
        }
      }),
      { numRuns: 1000 },
    );
  });
});

function large(): Mutation {
  const data = new Uint8Array(3000);
  return { type: 'write-inline', target: 1, offset: 0, data, time: { sec: 0, nsec: 0 } };
}
