import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { viewOf } from '../base/index.ts';
import { decode, encode, type FieldKind, getI64, type Layout, layout, setI64 } from './layout.ts';
import * as wire from './wire.ts';

type AnyLayout = Layout<Record<string, FieldKind>>;

const LAYOUTS = Object.entries(wire as Record<string, unknown>).filter(
  (entry): entry is [string, AnyLayout] => typeof entry[1] === 'object',
);

/** Sizes as the compiler gives them for the structures of linux/fuse.h. */
const SIZES: Readonly<Record<string, number>> = {
  IN_HEADER: 40,
  OUT_HEADER: 16,
  ATTR: 88,
  ENTRY_OUT: 128,
  ATTR_OUT: 104,
  INIT_IN: 64,
  INIT_OUT: 64,
  FORGET_IN: 8,
  BATCH_FORGET_IN: 8,
  FORGET_ONE: 16,
  FSTRIM_RANGE: 24,
  FSXATTR: 28,
  GETATTR_IN: 16,
  SETATTR_IN: 88,
  STATX_IN: 24,
  STATX_OUT: 288,
  MKNOD_IN: 16,
  MKDIR_IN: 8,
  LINK_IN: 8,
  RENAME_IN: 8,
  RENAME2_IN: 16,
  OPEN_IN: 8,
  CREATE_IN: 16,
  OPEN_OUT: 16,
  RELEASE_IN: 24,
  FLUSH_IN: 24,
  FSYNC_IN: 16,
  READ_IN: 40,
  WRITE_IN: 40,
  WRITE_OUT: 8,
  STATFS_OUT: 80,
  SETXATTR_IN: 16,
  GETXATTR_IN: 8,
  GETXATTR_OUT: 8,
  LK_IN: 48,
  LK_OUT: 24,
  ACCESS_IN: 8,
  INTERRUPT_IN: 8,
  IOCTL_IN: 32,
  IOCTL_OUT: 16,
  OWN_CLONE: 520,
  OWN_SPACE: 32,
  FALLOCATE_IN: 32,
  LSEEK_IN: 24,
  LSEEK_OUT: 8,
  COPY_FILE_RANGE_IN: 56,
  COPY_FILE_RANGE_OUT: 8,
  DIRENT: 24,
  NOTIFY_INVAL_INODE_OUT: 24,
  NOTIFY_INVAL_ENTRY_OUT: 16,
  NOTIFY_DELETE_OUT: 24,
  NOTIFY_RETRIEVE_OUT: 32,
  NOTIFY_PRUNE_OUT: 16,
};

const VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  u16: fc.nat(0xffff),
  u32: fc.nat(0xffffffff),
  i32: fc.integer(),
  u64: fc.maxSafeNat(),
  i64: fc.maxSafeInteger(),
  opaque: fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)),
};

/** Values of all the fields that mean something. */
function valuesOf({ fields }: AnyLayout): fc.Arbitrary<Record<string, unknown>> {
  const meant = Object.entries(fields).filter(([, kind]) => typeof kind === 'string');
  return fc.record(
    Object.fromEntries(
      meant.map(([name, kind]) => [name, VALUES[kind as string] as fc.Arbitrary<unknown>]),
    ),
  );
}

describe('layout()', () => {
  it('gives every structure the size that the kernel gives it', () => {
    expect(Object.fromEntries(LAYOUTS.map(([name, { size }]) => [name, size]))).toEqual(SIZES);
  });

  it('puts fields one behind the other, each on a multiple of its size', () => {
    const some = layout({ a: 'u16', gap: 2, b: 'u32', c: 'opaque', d: 'u64' });
    expect(some.at).toEqual({ a: 0, gap: 2, b: 4, c: 8, d: 16 });
    const width: Record<string, number> = { u16: 2, u32: 4, i32: 4, u64: 8, i64: 8, opaque: 8 };
    for (const [name, { fields, at }] of LAYOUTS) {
      for (const [field, kind] of Object.entries(fields)) {
        if (typeof kind === 'string') {
          expect([name, field, (at[field] as number) % (width[kind] as number)]).toEqual([
            name,
            field,
            0,
          ]);
        }
      }
    }
  });
});

describe('encode() and decode()', () => {
  it.each(LAYOUTS)('keep every field of %s apart, and touch nothing beside it', (_, structure) => {
    fc.assert(
      fc.property(valuesOf(structure), fc.nat(3), (values, words) => {
        const start = 8 * words;
        const bytes = new Uint8Array(start + structure.size + 8).fill(0xa5);
        encode(structure, viewOf(bytes), start, values as never);
        expect(decode(structure, viewOf(bytes), start)).toEqual(values);
        const around = [...bytes.subarray(0, start), ...bytes.subarray(start + structure.size)];
        expect(around.every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });

  it('clamp what no safe integer holds', () => {
    const view = viewOf(new Uint8Array(8).fill(0xff));
    expect(decode(layout({ a: 'u64' }), view, 0)).toEqual({ a: Number.MAX_SAFE_INTEGER });
    expect(decode(layout({ a: 'i64' }), view, 0)).toEqual({ a: -1 });
    view.setUint32(4, 0x7fffffff, true);
    expect(getI64(view, 0)).toBe(Number.MAX_SAFE_INTEGER);
    view.setUint32(4, 0x80000000, true);
    expect(getI64(view, 0)).toBe(Number.MIN_SAFE_INTEGER);
  });

  it('lose nothing of an opaque value', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 250, 251, 252, 253);
    const opaque = layout({ a: 'opaque' });
    const again = new Uint8Array(8);
    encode(opaque, viewOf(again), 0, decode(opaque, viewOf(bytes), 0));
    expect(again).toEqual(bytes);
  });

  it('have seconds before 1970', () => {
    const view = viewOf(new Uint8Array(8));
    for (const seconds of [-1, -(2 ** 32), -(2 ** 33), 2 ** 33, 0]) {
      setI64(view, 0, seconds);
      expect(getI64(view, 0)).toBe(seconds);
    }
  });
});
