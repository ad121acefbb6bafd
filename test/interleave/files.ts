/**
 * Files: what a file is after each operation, as plain bytes and a word for each block: whether
 * there is data, or nothing but a hole or space that was never written. Nothing here is changed in
 * place, and nothing is shared with the engine.
 */
import { BLOCK_SIZE, checksum64 } from '../../src/base/index.ts';

export const B = BLOCK_SIZE;

export interface FileState {
  readonly bytes: Uint8Array;
  /** For each block: something was written there. */
  readonly data: readonly boolean[];
  /** What of the file has become something else, ever: views of it show nothing of that. */
  readonly cuts: readonly Cut[];
}

/** A range that was cleared, cut off, moved or replaced. */
interface Cut {
  readonly start: number;
  readonly end: number;
  /** Views end that reach behind here; a view of what is replaced always ends. */
  readonly revokes: number;
}

/** Files by name. */
export type State = ReadonlyMap<string, FileState>;

/** Why an operation is refused, as a model has it. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const blocksIn = (size: number): number => Math.ceil(size / B);

function resized({ bytes, data, cuts }: FileState, size: number): FileState {
  const made = new Uint8Array(size);
  made.set(bytes.subarray(0, size));
  const marks = Array.from({ length: blocksIn(size) }, (_, i) => data[i] ?? false);
  return { bytes: made, data: marks, cuts };
}

function cut(file: FileState, start: number, end: number, revokes: number): FileState {
  return { ...file, cuts: [...file.cuts, { start, end, revokes }] };
}

/** The file with another word for each block. */
function marked(file: FileState, mark: (block: number, before: boolean) => boolean): FileState {
  return { ...file, data: file.data.map((before, i) => mark(i, before)) };
}

export const EMPTY: FileState = { bytes: new Uint8Array(0), data: [], cuts: [] };

export function write(file: FileState, at: number, bytes: Uint8Array): FileState {
  if (bytes.length === 0) return file;
  const end = at + bytes.length;
  const made = resized(file, Math.max(file.bytes.length, end));
  made.bytes.set(bytes, at);
  return marked(made, (i, before) => before || ((i + 1) * B > at && i * B < end));
}

export function truncate(file: FileState, size: number): FileState {
  return cut(resized(file, size), size, Number.POSITIVE_INFINITY, size);
}

/** Zeros, and holes of whole blocks; the last block is whole if all its bytes are zeros now. */
export function clear(file: FileState, at: number, length: number, grow: boolean): FileState {
  const end = at + length;
  const { length: before } = file.bytes;
  const made = resized(file, grow ? Math.max(before, end) : before);
  made.bytes.fill(0, Math.min(at, before), Math.min(end, before));
  const last = end >= before ? blocksIn(end) : Math.floor(end / B);
  const cleared = cut(made, at, end, made.bytes.length);
  return marked(cleared, (i, data) => data && !(i * B >= at && i < last));
}

/** Space that reads as zeros. */
export function allocate(file: FileState, end: number, keepSize: boolean): FileState {
  return keepSize ? file : resized(file, Math.max(file.bytes.length, end));
}

/** Every block that has a byte of the range is data, whatever it was. */
export function makeWritable(file: FileState, at: number, length: number): FileState {
  if (at + length > blocksIn(file.bytes.length) * B) throw new Refusal('EINVAL');
  return marked(file, (i, data) => data || ((i + 1) * B > at && i * B < at + length));
}

/** A range of whole blocks goes, and what is behind it moves up. */
export function collapse(file: FileState, at: number, length: number): FileState {
  if (at % B !== 0 || length % B !== 0) throw new Refusal('EINVAL');
  if (at + length >= file.bytes.length) throw new Refusal('EINVAL');
  const { bytes, data } = file;
  const kept = new Uint8Array(bytes.length - length);
  kept.set(bytes.subarray(0, at));
  kept.set(bytes.subarray(at + length), at);
  const marks = [...data.slice(0, at / B), ...data.slice((at + length) / B)];
  return cut({ ...file, bytes: kept, data: marks }, at, Number.POSITIVE_INFINITY, 0);
}

/** A hole of whole blocks comes, and what was there moves behind it. */
export function insert(file: FileState, at: number, length: number): FileState {
  if (at % B !== 0 || length % B !== 0) throw new Refusal('EINVAL');
  const { bytes, data } = file;
  if (at >= bytes.length) throw new Refusal('EINVAL');
  const made = new Uint8Array(bytes.length + length);
  made.set(bytes.subarray(0, at));
  made.set(bytes.subarray(at), at + length);
  const hole = Array.from({ length: length / B }, () => false);
  const marks = [...data.slice(0, at / B), ...hole, ...data.slice(at / B)];
  return cut({ ...file, bytes: made, data: marks }, at, Number.POSITIVE_INFINITY, 0);
}

/** A range of one file for another. */
export interface Ranges {
  readonly sourceAt: number;
  readonly at: number;
  /** 0: to the end of the source. */
  readonly length: number;
  /** Source and target are one file. */
  readonly same: boolean;
}

export function cloneRange(source: FileState, target: FileState, ranges: Ranges): FileState {
  const { sourceAt, at, same } = ranges;
  const size = source.bytes.length;
  const length = ranges.length === 0 ? size - sourceAt : ranges.length;
  const end = sourceAt + length;
  if (length < 0 || end > size) throw new Refusal('EINVAL');
  if (sourceAt % B !== 0 || at % B !== 0) throw new Refusal('EINVAL');
  const part = length % B !== 0;
  if (part && (end < size || at + length < target.bytes.length)) throw new Refusal('EINVAL');
  if (same && sourceAt < at + length && at < end) throw new Refusal('EINVAL');
  const made = shared(source, target, { ...ranges, length });
  return length === 0 ? made : cut(made, at, at + length, 0);
}

/** Bytes that are viewed, and what of the file had become something else by then. */
export interface Viewed {
  readonly known: Uint8Array;
  readonly cuts: number;
}

/** A view of bytes that are all there. */
export function view(file: FileState, at: number, length: number): Viewed {
  if (length === 0 || at + length > file.bytes.length) throw new Refusal('EINVAL');
  return { known: file.bytes.slice(at, at + length), cuts: file.cuts.length };
}

/** The view after what has been done to the file since; undefined if it has ended. */
export function viewLater(
  file: FileState,
  at: number,
  { known, cuts }: Viewed,
): Viewed | undefined {
  const later = known.slice();
  for (const { start, end, revokes } of file.cuts.slice(cuts)) {
    if (start >= at + known.length || end <= at) continue;
    if (at + known.length > revokes) return undefined;
    later.fill(0, Math.max(0, start - at), end - at);
  }
  return { known: later, cuts: file.cuts.length };
}

/** Of what was stored in a view, the bytes that differ get to where they are still viewed. */
export function store(file: FileState, at: number, seen: Viewed, ink: Uint8Array): FileState {
  const since = file.cuts.slice(seen.cuts);
  let made = file;
  for (let i = 0; i < ink.length; i++) {
    const byte = at + i;
    if (ink[i] === seen.known[i] || byte >= file.bytes.length) continue;
    if (since.some(({ start, end }) => byte >= start && byte < end)) continue;
    if (made === file) made = resized(file, file.bytes.length);
    made.bytes[byte] = ink[i] as number;
    const block = Math.floor(byte / B);
    if (!made.data[block]) made = marked(made, (at, data) => data || at === block);
  }
  return made;
}

function shared(source: FileState, target: FileState, ranges: Ranges): FileState {
  const { sourceAt, at, length } = ranges;
  if (length === 0) return target;
  const made = resized(target, Math.max(target.bytes.length, at + length));
  made.bytes.set(source.bytes.subarray(sourceAt, sourceAt + length), at);
  const [first, from] = [at / B, sourceAt / B];
  const inside = (i: number): boolean => i >= first && i < first + blocksIn(length);
  return marked(made, (i, data) => (inside(i) ? (source.data[i - first + from] ?? false) : data));
}

/** What is equal up to the first difference is shared; `[target, what is reported]`. */
export function dedupe(
  source: FileState,
  target: FileState,
  { sourceAt, at, length, same }: Ranges,
): [FileState, { bytes: number; differs: boolean }] {
  const [sourceEnd, end] = [sourceAt + length, at + length];
  if (sourceEnd > source.bytes.length || end > target.bytes.length) throw new Refusal('EINVAL');
  if (sourceAt % B !== 0 || at % B !== 0) throw new Refusal('EINVAL');
  const part = length % B !== 0;
  const ends = sourceEnd === source.bytes.length && end === target.bytes.length;
  if (part && !ends) throw new Refusal('EINVAL');
  if (same && sourceAt < end && at < sourceEnd) throw new Refusal('EINVAL');
  let bytes = 0;
  while (bytes < length) {
    const next = Math.min(length, bytes + B);
    const left = source.bytes.subarray(sourceAt + bytes, sourceAt + next);
    const right = target.bytes.subarray(at + bytes, at + next);
    if (Buffer.compare(left, right) !== 0) break;
    bytes = next;
  }
  const made = shared(source, target, { sourceAt, at, length: bytes, same });
  return [made, { bytes, differs: bytes < length }];
}

/** Where the next data or hole is, as lseek(2) has it. */
export function seek(file: FileState, from: number, what: 'data' | 'hole'): number {
  const size = file.bytes.length;
  if (from < 0 || from >= size) throw new Refusal('ENXIO');
  for (let i = Math.floor(from / B); i < file.data.length; i++) {
    if (file.data[i] === (what === 'data')) return Math.max(from, i * B);
  }
  if (what === 'data') throw new Refusal('ENXIO');
  return size;
}

/** Bytes from `at` on, fewer at the end. */
export function read(file: FileState, at: number, length: number): Uint8Array {
  return file.bytes.subarray(Math.min(at, file.bytes.length), at + length);
}

const digests = new WeakMap<FileState, string>();

function digestOf(file: FileState): string {
  const known = digests.get(file);
  if (known !== undefined) return known;
  const marks = file.data.map((data) => (data ? 'd' : '-')).join('');
  const digest = `${file.bytes.length}:${checksum64(file.bytes, 0n).toString(36)}:${marks}`;
  digests.set(file, digest);
  return digest;
}

/** The same for states that nobody can tell apart. */
export function digest(state: State): string {
  const names = [...state.keys()].sort();
  return names.map((name) => `${name}=${digestOf(state.get(name) as FileState)}`).join(' ');
}

/** Tells apart states that differ in what views show only. */
export function cutsOf(state: State): string {
  return [...state.values()].map(({ cuts }) => cuts.length).join();
}

/** A state in one line for each file: its size, and each block by what is in it. */
export function describeState(state: State): string {
  return [...state].map(([name, file]) => `  ${name}: ${describeFile(file)}`).join('\n');
}

export function describeFile({ bytes, data }: FileState): string {
  const blocks = data.map((there, i) => {
    const block = bytes.subarray(i * B, (i + 1) * B);
    if (block.every((byte) => byte === 0)) return there ? 'zeros' : '-';
    return checksum64(block, 0n).toString(36).slice(-4) + (there ? '' : '!');
  });
  return `${bytes.length} bytes [${blocks.join(' ')}]`;
}
