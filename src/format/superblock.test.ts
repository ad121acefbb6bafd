import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE, checksum64, type Txg, viewOf } from '../base/index.ts';
import type { CountWidth } from './counts.ts';
import { isSound, planGeometry } from './geometry.ts';
import {
  decodeSuperblock,
  encodeSuperblock,
  imageSeed,
  isFault,
  LABEL_MAX,
  type Superblock,
  type SuperblockFault,
} from './superblock.ts';

const u32 = fc.nat(0xffffffff);
const safe = fc.nat(Number.MAX_SAFE_INTEGER);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const time = fc.record({
  sec: fc.integer({ min: -(2 ** 33), max: 2 ** 33 - 1 }),
  nsec: fc.nat(999_999_999),
});
const geometry = fc
  .record({
    size: fc.integer({ min: 2 ** 20, max: 2 ** 36 }),
    countCap: fc.constantFrom<CountWidth>(1, 2, 3, 4),
  })
  .map(planGeometry);

const superblock: fc.Arbitrary<Superblock> = fc.record({
  major: fc.constant(1),
  minor: fc.nat(0xffff),
  compatible: safe,
  readOnlyCompatible: safe,
  incompatible: fc.constant(0),
  uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  created: time,
  hashSeed: u64,
  label: fc.string({ maxLength: LABEL_MAX }).filter((label) => !label.endsWith('\0')),
  geometry,
  state: fc.record({
    txg: fc.nat(2 ** 48 - 1).map((txg) => txg as Txg),
    committed: time,
    indexPlace: fc.constantFrom<0 | 1>(0, 1),
    indexChecksum: u64,
    metaRoot: fc.array(u32, { minLength: 4, maxLength: 4 }).map((words) => Uint32Array.from(words)),
    nextInode: safe,
    nextRealm: safe,
    freeBlocks: safe,
    reservedBlocks: safe,
    logTail: u32,
    logSequence: safe,
  }),
});

const [sample] = fc.sample(superblock, { numRuns: 1, seed: 1 }) as [Superblock];

/** A block with its own checksum put right. */
function sealed(bytes: Uint8Array): Uint8Array {
  const seed = imageSeed(bytes.subarray(40, 56));
  const self = checksum64(bytes.subarray(0, BLOCK_SIZE - 8), seed);
  viewOf(bytes).setBigUint64(BLOCK_SIZE - 8, self, true);
  return bytes;
}

/** What is wrong with the sample after a change. */
function fault(change: (view: DataView) => void): SuperblockFault {
  const bytes = encodeSuperblock(sample);
  change(viewOf(bytes));
  const found = decodeSuperblock(sealed(bytes));
  if (!isFault(found)) throw new Error('Cannot find a fault');
  return found;
}

describe('encodeSuperblock()', () => {
  it('stores what decodeSuperblock() reads back', () => {
    fc.assert(
      fc.property(superblock, (value) => {
        expect(decodeSuperblock(encodeSuperblock(value))).toEqual(value);
      }),
    );
  });

  it('cuts a label that is too long', () => {
    const long = decodeSuperblock(encodeSuperblock({ ...sample, label: 'x'.repeat(100) }));
    expect((long as Superblock).label).toBe('x'.repeat(LABEL_MAX));
  });
});

describe('decodeSuperblock()', () => {
  it('finds every single byte that is another one', () => {
    const good = encodeSuperblock(sample);
    for (let at = 0; at < BLOCK_SIZE; at++) {
      const bytes = good.slice();
      bytes[at] = (bytes[at] as number) ^ 0x40;
      const found = decodeSuperblock(bytes);
      expect(isFault(found) && found.kind, `byte ${at}`).toBe(at < 8 ? 'foreign' : 'damaged');
    }
  });

  it('takes zeros and noise for what they are', () => {
    expect(decodeSuperblock(new Uint8Array(BLOCK_SIZE))).toMatchObject({ kind: 'foreign' });
    const noise = fc.uint8Array({ minLength: BLOCK_SIZE, maxLength: BLOCK_SIZE });
    fc.assert(
      fc.property(noise, (bytes) => {
        expect(decodeSuperblock(bytes)).toMatchObject({ kind: 'foreign' });
      }),
      { numRuns: 20 },
    );
  });

  it('answers with a sound geometry or a fault, whatever the fields are', () => {
    const edit = fc.tuple(fc.integer({ min: 8, max: 110 }), fc.nat(255));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        const bytes = encodeSuperblock(sample);
        for (const [at, byte] of edits) bytes[at] = byte;
        const found = decodeSuperblock(sealed(bytes));
        if (!isFault(found)) expect(isSound(found.geometry)).toBe(true);
      }),
    );
  });

  it.each<[string, SuperblockFault['kind'], (view: DataView) => void]>([
    ['another major version', 'newer', (view) => view.setUint16(8, 2, true)],
    ['another checksum', 'newer', (view) => view.setUint8(98, 2)],
    ['a low incompatible feature', 'newer', (view) => view.setUint8(32, 2)],
    ['the highest incompatible feature', 'newer', (view) => view.setUint8(39, 0x80)],
    ['groups of no blocks', 'damaged', (view) => view.setUint32(12, 0, true)],
    ['groups of 300 blocks', 'damaged', (view) => view.setUint32(12, 300, true)],
    ['no blocks', 'damaged', (view) => view.setBigUint64(56, 0n, true)],
    ['too many blocks', 'damaged', (view) => view.setBigUint64(56, 2n ** 60n, true)],
    ['an index at block 0', 'damaged', (view) => view.setUint32(88, 0, true)],
    ['an index of no blocks', 'damaged', (view) => view.setUint32(92, 0, true)],
    ['an index in place 2', 'damaged', (view) => view.setUint8(96, 2)],
    ['counts of one bit', 'damaged', (view) => view.setUint8(97, 0)],
    ['counts of 32 bits', 'damaged', (view) => view.setUint8(97, 5)],
    ['a log at block 0', 'damaged', (view) => view.setUint32(100, 0, true)],
    ['a log without an end', 'damaged', (view) => view.setUint32(104, 0xffffffff, true)],
  ])('refuses %s as %s', (_, kind, change) => {
    expect(fault(change).kind).toBe(kind);
  });

  it('accepts a higher minor version and unknown compatible features', () => {
    const bytes = encodeSuperblock({ ...sample, minor: 77, compatible: 8, readOnlyCompatible: 16 });
    expect(decodeSuperblock(bytes)).toMatchObject({ minor: 77, compatible: 8 });
  });

  it('says what is wrong in a few words', () => {
    expect(fault((view) => view.setUint16(8, 3, true)).finding).toBe(
      `format version is 3.${sample.minor}, supported is 1.x`,
    );
    expect(fault((view) => view.setUint8(33, 1)).finding).toBe(
      'incompatible features are 0x100, supported are 0x1',
    );
  });
});
