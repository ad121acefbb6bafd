/**
 * The bytes of mutations, as the intent log holds them.
 *
 *   offset  size  field
 *        0     2  type     see {@link SCHEMAS}
 *        2     2  (zero)
 *        4     4  length   of the whole record, a multiple of 4
 *        8        the fields of the type, in the order of its schema, without gaps
 *
 *   kind     bytes
 *   u32      4
 *   u64      8      a safe integer
 *   time     8      see time.ts
 *   name     2 + n  u16 length, then the bytes
 *   bytes    4 + n  u32 length, then the bytes; 0xffffffff: absent
 *   runs     4 + 8n u32 count, then u32 block, u32 length
 *   words    4 + 4n u32 count, then the words
 *   type     0      the type number itself tells (clone-range and dedupe)
 */
import { binaryString, FilesystemError, getU64, roundUp, setU64, viewOf } from '../base/index.ts';
import type { Mutation, MutationType } from './mutation.ts';
import { getTime, setTime, type Time } from './time.ts';

type FieldKind = 'u32' | 'u64' | 'time' | 'name' | 'bytes' | 'runs' | 'words' | 'flag';
type Schema = readonly [number, Readonly<Record<string, FieldKind>>];

/** Type number and fields of every mutation. Numbers 32 to 34 are kept for restore and merge. */
export const SCHEMAS: Readonly<Record<MutationType, Schema>> = {
  bind: [1, { handle: 'u32', parent: 'u32', name: 'name' }],
  create: [
    2,
    {
      parent: 'u32',
      name: 'name',
      kind: 'u32',
      mode: 'u32',
      uid: 'u32',
      gid: 'u32',
      rdev: 'u32',
      target: 'name',
      time: 'time',
      ino: 'u64',
      handle: 'u32',
    },
  ],
  link: [3, { target: 'u32', parent: 'u32', name: 'name', time: 'time' }],
  unlink: [4, { parent: 'u32', name: 'name', what: 'u32', time: 'time' }],
  rename: [
    5,
    {
      parent: 'u32',
      name: 'name',
      newParent: 'u32',
      newName: 'name',
      flags: 'u32',
      time: 'time',
    },
  ],
  setattr: [
    6,
    {
      target: 'u32',
      mask: 'u32',
      mode: 'u32',
      uid: 'u32',
      gid: 'u32',
      atime: 'time',
      mtime: 'time',
      time: 'time',
    },
  ],
  setxattr: [7, { target: 'u32', name: 'name', value: 'bytes', flags: 'u32', time: 'time' }],
  truncate: [8, { target: 'u32', size: 'u64', shrink: 'flag', time: 'time' }],
  'write-inline': [9, { target: 'u32', offset: 'u64', data: 'bytes', time: 'time' }],
  write: [
    10,
    {
      target: 'u32',
      offset: 'u64',
      runs: 'runs',
      checksums: 'words',
      time: 'time',
    },
  ],
  fallocate: [11, { target: 'u32', mode: 'u32', offset: 'u64', length: 'u64', time: 'time' }],
  clone: [
    12,
    {
      source: 'u32',
      parent: 'u32',
      name: 'name',
      readOnly: 'flag',
      time: 'time',
      ino: 'u64',
      realm: 'u64',
      handle: 'u32',
    },
  ],
  'clone-range': [
    13,
    {
      source: 'u32',
      sourceOffset: 'u64',
      target: 'u32',
      offset: 'u64',
      length: 'u64',
      time: 'time',
    },
  ],
  dedupe: [
    14,
    {
      source: 'u32',
      sourceOffset: 'u64',
      target: 'u32',
      offset: 'u64',
      length: 'u64',
      time: 'time',
    },
  ],
  whiteout: [
    15,
    {
      parent: 'u32',
      name: 'name',
      newParent: 'u32',
      newName: 'name',
      flags: 'u32',
      uid: 'u32',
      gid: 'u32',
      time: 'time',
      ino: 'u64',
    },
  ],
  tmpfile: [
    16,
    {
      parent: 'u32',
      mode: 'u32',
      uid: 'u32',
      gid: 'u32',
      time: 'time',
      ino: 'u64',
      handle: 'u32',
    },
  ],
  setflags: [17, { target: 'u32', flags: 'u32', project: 'u32', time: 'time' }],
};

const TYPES = new Map<number, MutationType>(
  Object.entries(SCHEMAS).map(([type, schema]) => [schema[0], type as MutationType]),
);

const HEADER = 8;
const ABSENT = 0xffffffff;

/** Bytes of the kinds whose size is always the same; the others are at least 2 long. */
const FIXED_SIZES: Partial<Record<FieldKind, number>> = { u32: 4, u64: 8, flag: 4, time: 8 };

interface Run {
  readonly block: number;
  readonly length: number;
}

interface FieldCodec<Value> {
  size(value: Value): number;
  put(view: DataView, at: number, value: Value): void;
  /** The value, and where the next field begins. */
  get(view: DataView, at: number): readonly [Value, number];
}

const codecs = {
  u32: fixed(
    4,
    (view, at) => view.getUint32(at, true),
    (view, at, value: number) => {
      view.setUint32(at, value, true);
    },
  ),
  u64: fixed(8, getU64, setU64),
  flag: fixed(
    4,
    (view, at) => view.getUint32(at, true) !== 0,
    (view, at, value: boolean | undefined) => {
      view.setUint32(at, value ? 1 : 0, true);
    },
  ),
  time: fixed(8, readTime, writeTime),
  name: {
    size: (value: string) => 2 + value.length,
    put(view: DataView, at: number, value: string): void {
      view.setUint16(at, value.length, true);
      for (let i = 0; i < value.length; i++) view.setUint8(at + 2 + i, value.charCodeAt(i));
    },
    get(view: DataView, at: number): readonly [string, number] {
      const length = view.getUint16(at, true);
      return [binaryString(bytesAt(view, at + 2, length)), at + 2 + length];
    },
  },
  bytes: {
    size: (value: Uint8Array | undefined) => 4 + (value?.length ?? 0),
    put(view: DataView, at: number, value: Uint8Array | undefined): void {
      view.setUint32(at, value?.length ?? ABSENT, true);
      if (value !== undefined) bytesAt(view, at + 4, value.length).set(value);
    },
    get(view: DataView, at: number): readonly [Uint8Array | undefined, number] {
      const length = view.getUint32(at, true);
      if (length === ABSENT) return [undefined, at + 4];
      return [bytesAt(view, at + 4, length).slice(), at + 4 + length];
    },
  },
  runs: {
    size: (value: readonly Run[]) => 4 + 8 * value.length,
    put(view: DataView, at: number, value: readonly Run[]): void {
      view.setUint32(at, value.length, true);
      value.forEach((run, i) => {
        view.setUint32(at + 4 + 8 * i, run.block, true);
        view.setUint32(at + 8 + 8 * i, run.length, true);
      });
    },
    get(view: DataView, at: number): readonly [Run[], number] {
      const count = checkCount(view, at, 8);
      const runs = Array.from({ length: count }, (_, i) => ({
        block: view.getUint32(at + 4 + 8 * i, true),
        length: view.getUint32(at + 8 + 8 * i, true),
      }));
      return [runs, at + 4 + 8 * count];
    },
  },
  words: {
    size: (value: Uint32Array) => 4 + 4 * value.length,
    put(view: DataView, at: number, value: Uint32Array): void {
      view.setUint32(at, value.length, true);
      value.forEach((word, i) => {
        view.setUint32(at + 4 + 4 * i, word, true);
      });
    },
    get(view: DataView, at: number): readonly [Uint32Array, number] {
      const count = checkCount(view, at, 4);
      return [
        Uint32Array.from({ length: count }, (_, i) => view.getUint32(at + 4 + 4 * i, true)),
        at + 4 + 4 * count,
      ];
    },
  },
};

/** A schema as it is worked off: every mutation of a volume is encoded, so that it costs little. */
interface Layout {
  readonly type: number;
  /** Bytes of the header and of the fields whose size is always the same. */
  readonly fixed: number;
  readonly fields: readonly (readonly [string, FieldCodec<unknown>])[];
  /** Those of any size. */
  readonly varying: readonly (readonly [string, FieldCodec<unknown>])[];
}

const LAYOUTS = Object.fromEntries(
  Object.entries(SCHEMAS).map(([type, schema]) => [type, layoutOf(schema)]),
) as unknown as Readonly<Record<MutationType, Layout>>;

function layoutOf([type, schema]: Schema): Layout {
  const fields = Object.entries(schema).map(
    ([field, kind]) => [field, codecs[kind] as FieldCodec<unknown>] as const,
  );
  const sizes = Object.values(schema).map((kind) => FIXED_SIZES[kind] ?? 0);
  const varying = fields.filter((_, i) => sizes[i] === 0);
  return { type, fixed: sizes.reduce((sum, size) => sum + size, HEADER), fields, varying };
}

/** Bytes of the encoded mutation. */
export function mutationSize(mutation: Mutation): number {
  const { fixed, varying } = LAYOUTS[mutation.type];
  let size = fixed;
  for (const [field, codec] of varying) size += codec.size(fieldOf(mutation, field));
  return roundUp(size, 4);
}

/** The view of what was encoded into last: a log encodes into the same buffer many times. */
let lastTarget: Uint8Array | undefined;
let lastView: DataView;

/** Encodes into `target` from `at`; returns where the next record may begin. */
export function encodeMutation(mutation: Mutation, target: Uint8Array, at: number): number {
  if (target !== lastTarget) lastView = viewOf(target);
  lastTarget = target;
  const view = lastView;
  const { type, fields } = LAYOUTS[mutation.type];
  view.setUint32(at, type, true);
  let cursor = at + HEADER;
  for (const [field, codec] of fields) {
    const value = fieldOf(mutation, field);
    codec.put(view, cursor, value);
    cursor += codec.size(value);
  }
  const end = at + roundUp(cursor - at, 4);
  while (cursor < end) target[cursor++] = 0;
  view.setUint32(at + 4, end - at, true);
  return end;
}

/** Decodes the record at `at`. @throws {FilesystemError} `EIO` if it is none */
export function decodeMutation(bytes: Uint8Array, at: number): [Mutation, number] {
  const view = viewOf(bytes);
  if (at + HEADER > bytes.length) throw damaged(at, 'it is cut off');
  const type = TYPES.get(view.getUint16(at, true));
  if (type === undefined) throw damaged(at, `its type is ${view.getUint16(at, true)}`);
  const end = at + view.getUint32(at + 4, true);
  if (end < at + HEADER || end > bytes.length) throw damaged(at, 'its length leaves the frame');
  const mutation: Record<string, unknown> = { type };
  const record = viewOf(bytes.subarray(0, end));
  let cursor = at + HEADER;
  try {
    for (const [field, codec] of LAYOUTS[type].fields) {
      const [value, next] = codec.get(record, cursor);
      mutation[field] = value;
      cursor = next;
    }
  } catch {
    throw damaged(at, 'its fields leave the record');
  }
  return [mutation as unknown as Mutation, end];
}

function fieldOf(mutation: Mutation, field: string): unknown {
  return (mutation as unknown as Record<string, unknown>)[field];
}

function fixed<Value>(
  size: number,
  read: (view: DataView, at: number) => Value,
  put: (view: DataView, at: number, value: Value) => void,
): FieldCodec<Value> {
  return { size: () => size, put, get: (view, at) => [read(view, at), at + size] };
}

const timeWords = new Uint32Array(2);

function readTime(view: DataView, at: number): Time {
  timeWords[0] = view.getUint32(at, true);
  timeWords[1] = view.getUint32(at + 4, true);
  return getTime(timeWords, 0);
}

function writeTime(view: DataView, at: number, time: Time): void {
  setTime(timeWords, 0, time);
  view.setUint32(at, timeWords[0] as number, true);
  view.setUint32(at + 4, timeWords[1] as number, true);
}

/** A part of the view's memory; leaving the view throws, as `DataView` itself does. */
function bytesAt(view: DataView, at: number, length: number): Uint8Array {
  if (at + length > view.byteLength) throw new RangeError('the record ends before the field');
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}

function checkCount(view: DataView, at: number, size: number): number {
  const count = view.getUint32(at, true);
  if (at + 4 + count * size > view.byteLength) throw new RangeError('the record ends too early');
  return count;
}

function damaged(at: number, finding: string): FilesystemError {
  return new FilesystemError('EIO', `Cannot read log record at ${at}: ${finding}`);
}
