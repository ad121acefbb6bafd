import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binaryString, FilesystemError, viewOf } from '../base/index.ts';
import type { Mutation } from './mutation.ts';
import { decodeMutation, encodeMutation, mutationSize, SCHEMAS } from './mutation-codec.ts';

const u32 = fc.nat(0xffffffff);
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array<ArrayBuffer>> =>
  fc.uint8Array({ maxLength }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>;

/** Values of each kind of field. */
const FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  u32,
  u64: fc.nat(Number.MAX_SAFE_INTEGER),
  flag: fc.boolean(),
  time: fc.record({
    sec: fc.integer({ min: -(2 ** 33), max: 2 ** 33 - 1 }),
    nsec: fc.nat(999_999_999),
  }),
  name: bytes(300).map(binaryString),
  bytes: bytes(100),
  runs: fc.array(fc.record({ block: u32, length: u32 }), { maxLength: 5 }),
  words: fc.array(u32, { maxLength: 9 }).map((words) => Uint32Array.from(words)),
};

const byType = Object.entries(SCHEMAS).map(([type, [, fields]]) => {
  const values = Object.entries(fields).map(([name, kind]) => [name, FIELDS[kind]]);
  return fc.record({ type: fc.constant(type), ...Object.fromEntries(values) });
});
const mutation = fc.oneof(...byType) as unknown as fc.Arbitrary<Mutation>;

function encoded(value: Mutation): Uint8Array {
  const target = new Uint8Array(mutationSize(value));
  encodeMutation(value, target, 0);
  return target;
}

/** Decodes; the only error there may be is ours. */
function attempt(target: Uint8Array, at = 0): Mutation | undefined {
  try {
    const [value, next] = decodeMutation(target, at);
    expect(next).toBeGreaterThanOrEqual(at + 8);
    expect(next).toBeLessThanOrEqual(target.length);
    return value;
  } catch (error) {
    expect(error).toBeInstanceOf(FilesystemError);
    expect((error as FilesystemError).code).toBe('EIO');
    return undefined;
  }
}

describe('SCHEMAS', () => {
  it('gives every type a number of its own', () => {
    const numbers = Object.values(SCHEMAS).map(([number]) => number);
    expect(numbers).toEqual(Array.from(numbers, (_, i) => i + 1));
  });
});

describe('encodeMutation()', () => {
  it.each(byType.map((values, i) => [Object.keys(SCHEMAS)[i], values] as const))(
    'stores what decodeMutation() reads back: %s',
    (_, values) => {
      fc.assert(
        fc.property(values as unknown as fc.Arbitrary<Mutation>, fc.nat(5), (value, start) => {
          const at = 4 * start;
          const size = mutationSize(value);
          const target = new Uint8Array(at + size + 8).fill(0xaa);
          expect(encodeMutation(value, target, at)).toBe(at + size);
          expect(size % 4).toBe(0);
          expect(decodeMutation(target, at)).toEqual([value, at + size]);
          const around = [...target.subarray(0, at), ...target.subarray(at + size)];
          expect(around.every((byte) => byte === 0xaa)).toBe(true);
        }),
      );
    },
  );

  it('keeps an attribute that is removed apart from an empty one', () => {
    const time = { sec: 1, nsec: 2 };
    const removed: Mutation = {
      type: 'setxattr',
      target: 1,
      name: 'user.a',
      value: undefined,
      flags: 0,
      time,
    };
    expect(decodeMutation(encoded(removed), 0)[0]).toEqual(removed);
    const empty: Mutation = { ...removed, value: new Uint8Array(0) };
    expect(decodeMutation(encoded(empty), 0)[0]).toEqual(empty);
  });
});

describe('decodeMutation()', () => {
  it('reads nothing beyond the record', () => {
    fc.assert(
      fc.property(mutation, (value) => {
        const target = encoded(value);
        for (let length = 0; length < target.length; length += 4) {
          const cut = target.slice(0, length);
          expect(attempt(cut)).toBeUndefined();
          if (length < 8) continue;
          viewOf(cut).setUint32(4, length, true);
          attempt(cut);
        }
      }),
    );
  });

  it('throws nothing but EIO, whatever the bytes are', () => {
    const edits = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(mutation, edits, (value, changes) => {
        const target = encoded(value);
        for (const [at, byte] of changes) target[at % target.length] = byte;
        attempt(target);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(80), (noise, at) => {
        attempt(noise, at);
      }),
      { numRuns: 1000 },
    );
  });

  it('does not take a count for memory', () => {
    const value: Mutation = {
      type: 'write',
      target: 1,
      offset: 0,
      runs: [],
      checksums: new Uint32Array(0),
      time: { sec: 0, nsec: 0 },
    };
    const target = encoded(value);
    viewOf(target).setUint32(20, 0xfffffff0, true);
    expect(() => decodeMutation(target, 0)).toThrow('its fields leave the record');
  });

  it.each<[string, (view: DataView) => void, string]>([
    ['an unknown type', (view) => view.setUint16(0, 32, true), 'its type is 32'],
    ['a length below the header', (view) => view.setUint32(4, 4, true), 'its length leaves'],
    ['a length beyond the end', (view) => view.setUint32(4, 4000, true), 'its length leaves'],
  ])('says what is wrong: %s', (_, change, finding) => {
    const target = encoded({ type: 'bind', handle: 1, parent: 2, name: 'x' });
    change(viewOf(target));
    expect(() => decodeMutation(target, 0)).toThrow(`Cannot read log record at 0: ${finding}`);
  });
});
