/**
 * Layout: how a structure of the kernel's protocol lies in memory, as data.
 *
 * The names of a structure's fields, in their order, give the byte offset of each. What is read and
 * written a million times goes by these offsets and makes no object; {@link decode} and
 * {@link encode} make one of all the fields, for tests and for people.
 *
 *   kind     bytes  as a value
 *   u16 u32  2, 4   a number
 *   i32      4      a number, signed
 *   u64      8      a safe integer; what does not fit is clamped to 2^53 - 1
 *   i64      8      a safe integer, signed; seconds
 *   opaque   8      two halves that nobody computes with: handles, cookies, owners, request numbers
 *   (number)        so many bytes that mean nothing: skipped, and zero when written
 */
import { getU64, setU64, TWO_32 } from '../base/index.ts';

export type FieldKind = 'u16' | 'u32' | 'i32' | 'u64' | 'i64' | 'opaque' | number;
type Fields = Readonly<Record<string, FieldKind>>;

/** Low half, high half. */
export type Opaque = readonly [low: number, high: number];

const SIZES: Readonly<Record<string, number>> = {
  u16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
  i64: 8,
  opaque: 8,
};

export interface Layout<F extends Fields> {
  /** Bytes of the whole. */
  readonly size: number;
  /** Byte offset of each field. */
  readonly at: { readonly [Name in keyof F]: number };
  readonly fields: F;
}

/** The fields of a structure and what they hold; those without a meaning are left out. */
export type Values<F extends Fields> = {
  -readonly [Name in keyof F as F[Name] extends number ? never : Name]: F[Name] extends 'opaque'
    ? Opaque
    : number;
};

export function layout<const F extends Fields>(fields: F): Layout<F> {
  const at: Record<string, number> = {};
  let size = 0;
  for (const [name, kind] of Object.entries(fields)) {
    at[name] = size;
    size += typeof kind === 'number' ? kind : (SIZES[kind] as number);
  }
  return { size, at: at as Layout<F>['at'], fields };
}

/** Reads a whole structure. */
export function decode<F extends Fields>(
  { fields, at }: Layout<F>,
  view: DataView,
  start: number,
): Values<F> {
  const values: Record<string, number | Opaque> = {};
  for (const [name, kind] of Object.entries(fields)) {
    if (typeof kind === 'number') continue;
    values[name] = get(view, start + (at[name] as number), kind);
  }
  return values as Values<F>;
}

/** Writes a whole structure. */
export function encode<F extends Fields>(
  { fields, at }: Layout<F>,
  view: DataView,
  start: number,
  values: Values<F>,
): void {
  for (const [name, kind] of Object.entries(fields)) {
    const offset = start + (at[name] as number);
    if (typeof kind === 'number') {
      for (let i = 0; i < kind; i++) view.setUint8(offset + i, 0);
    } else set(view, offset, kind, (values as Record<string, number | Opaque>)[name]);
  }
}

/** A signed 64-bit integer; what a safe integer cannot hold is clamped to its nearest end. */
export function getI64(view: DataView, at: number): number {
  const value = view.getInt32(at + 4, true) * TWO_32 + view.getUint32(at, true);
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
}

export function setI64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / TWO_32), true);
}

function get(view: DataView, at: number, kind: Exclude<FieldKind, number>): number | Opaque {
  switch (kind) {
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'i32':
      return view.getInt32(at, true);
    case 'u64':
      return getU64(view, at);
    case 'i64':
      return getI64(view, at);
    case 'opaque':
      return [view.getUint32(at, true), view.getUint32(at + 4, true)];
  }
}

function set(
  view: DataView,
  at: number,
  kind: Exclude<FieldKind, number>,
  value: number | Opaque | undefined,
): void {
  if (kind === 'opaque') {
    const [low, high] = value as Opaque;
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high, true);
    return;
  }
  const number = value as number;
  if (kind === 'u16') view.setUint16(at, number, true);
  else if (kind === 'u32') view.setUint32(at, number, true);
  else if (kind === 'i32') view.setInt32(at, number, true);
  else if (kind === 'u64') setU64(view, at, number);
  else setI64(view, at, number);
}
