/**
 * Operations: each as a call of the volume, and as what a model says it comes to.
 *
 * A part is what happens in one turn. Most operations are one part; a copy of a range is a read, a
 * write and a clone one after the other, and others may come in between, as the API says.
 */
import { checksum64, errorCode } from '../../src/base/index.ts';
import { MakeWritable, Writeback } from '../../src/iomap/index.ts';
import { Random } from '../../src/testing/index.ts';
import type { Bench } from './bench.ts';
import * as files from './files.ts';
import { B, type FileState, Refusal, type State } from './files.ts';

/** What an operation has found out in its earlier parts. */
export type Memory = Readonly<{
  size?: number;
  bytes?: Uint8Array;
  done?: number;
  viewed?: files.Viewed;
}>;

/** What a part comes to; with an outcome the operation ends. */
export interface Step {
  readonly state?: State;
  readonly memory?: Memory;
  readonly outcome?: string;
}

export type Part = (state: State, memory: Memory) => Step;

export interface FileOperation {
  readonly title: string;
  readonly run: (bench: Bench) => Promise<unknown>;
  readonly parts: readonly Part[];
  /** What was done before it is durable when it ends. */
  readonly syncs?: Name;
}

/** A file, its clone, and a file that has nothing to do with them. */
export type Name = 'f' | 'c' | 'd';

const other = (name: Name): Name => (name === 'f' ? 'c' : 'f');

/** What a call has come to, in a few characters. */
export function outcomeOf(result: unknown): string {
  if (result === undefined) return 'ok';
  if (result instanceof Uint8Array) return `${result.length} bytes ${checksum64(result, 0n)}`;
  return JSON.stringify(result);
}

/** The same for one that has failed: the name of the error. What has none is a fault of ours. */
export function failureOf(error: unknown): string {
  const code = error instanceof Refusal ? error.code : errorCode(error);
  if (code === undefined || (error as Error).name === 'AssertionError') throw error;
  return code;
}

/** Bytes that tell who wrote them and where. */
export function inkOf(tag: number, length: number): Uint8Array {
  return new Random(1000 + tag).bytes(length);
}

function fileIn(state: State, name: string): FileState {
  const file = state.get(name);
  if (file === undefined) throw new Refusal('ENOENT');
  return file;
}

/** An operation on one file that is done in one turn. */
function onFile(
  title: string,
  name: Name,
  run: FileOperation['run'],
  change: (file: FileState, state: State) => FileState,
  outcome: unknown = undefined,
): FileOperation {
  const part: Part = (state) => ({
    state: new Map(state).set(name, change(fileIn(state, name), state)),
    outcome: outcomeOf(outcome),
  });
  return { title: `${title} ${name}`, run, parts: [part] };
}

/** An operation that changes nothing. */
function looking(
  title: string,
  run: FileOperation['run'],
  look: (state: State) => unknown,
): FileOperation {
  return { title, run, parts: [(state) => ({ outcome: outcomeOf(look(state)) })] };
}

// --- One file ---------------------------------------------------------------------------------

/** By which of the descriptors of a file. */
type By = 'handle' | 'direct';

const word = (by: By): string => (by === 'direct' ? ' directly' : '');

export function reading(name: Name, at: number, length: number, by: By = 'handle'): FileOperation {
  const run = async (bench: Bench): Promise<unknown> => {
    const buffer = new Uint8Array(length);
    const { bytesRead } = await bench[by](name).read(buffer, 0, length, at);
    return buffer.subarray(0, bytesRead);
  };
  return looking(`read${word(by)} ${name} ${at}+${length}`, run, (state) =>
    files.read(fileIn(state, name), at, length),
  );
}

export function writing(
  name: Name,
  at: number,
  length: number,
  tag: number,
  by: By = 'handle',
): FileOperation {
  const ink = inkOf(tag, length);
  const run = async (bench: Bench): Promise<unknown> =>
    (await bench[by](name).write(ink, 0, length, at)).bytesWritten;
  const title = `write${word(by)} ${at}+${length}`;
  return onFile(title, name, run, (file) => files.write(file, at, ink), length);
}

export function appending(name: Name, length: number, tag: number): FileOperation {
  const ink = inkOf(tag, length);
  const run = async (bench: Bench): Promise<unknown> =>
    (await bench.appender(name).write(ink, 0, length)).bytesWritten;
  const change = (file: FileState): FileState => files.write(file, file.bytes.length, ink);
  return onFile(`append ${length}`, name, run, change, length);
}

/** Reads what a view shows. */
export function viewing(name: Name, at: number, length: number): FileOperation {
  const run = async (bench: Bench): Promise<unknown> => {
    const view = await bench.volume.map(bench.handle(name), at, length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const part = view.at(at + done);
      bytes.set(part, done);
      done += part.length;
    }
    view.release();
    return bytes;
  };
  return looking(`view ${name} ${at}+${length}`, run, (state) =>
    files.view(fileIn(state, name), at, length).known.slice(),
  );
}

/** Ink of which each byte differs from what is there: then it is stored as one. */
function inkOver(known: Uint8Array, ink: Uint8Array): Uint8Array {
  return ink.map((byte, i) => (byte === known[i] ? byte ^ 1 : byte));
}

/** Stores in a view, which is copied out then, or before. */
export function storing(name: Name, at: number, length: number, tag: number): FileOperation {
  const ink = inkOf(tag, length);
  const run = async (bench: Bench): Promise<unknown> => {
    const view = await bench.volume.map(bench.handle(name), at, length, { write: true });
    const stored = view.valid;
    if (stored) view.bytes.set(inkOver(view.bytes, ink));
    await view.release();
    return stored;
  };
  const begin: Part = (state) => ({
    memory: { viewed: files.view(fileIn(state, name), at, length) },
  });
  const store: Part = (state, { viewed }) => {
    const later = files.viewLater(fileIn(state, name), at, viewed as files.Viewed);
    return later === undefined ? { outcome: outcomeOf(false) } : { memory: { viewed: later } };
  };
  // One block after the other: a device that fails ends it between two.
  const blocks = Array.from({ length: Math.ceil(((at % B) + length) / B) }, (_, i) => {
    const start = Math.max(0, i * B - (at % B));
    return { start, end: Math.min(length, (i + 1) * B - (at % B)) };
  });
  const copyOut = blocks.map(
    ({ start, end }): Part =>
      (state, { viewed }) => {
        const { known, cuts } = viewed as files.Viewed;
        const part = { known: known.subarray(start, end), cuts };
        const over = inkOver(part.known, ink.subarray(start, end));
        const made = files.store(fileIn(state, name), at + start, part, over);
        const next = new Map(state).set(name, made);
        return end < length ? { state: next } : { state: next, outcome: outcomeOf(true) };
      },
  );
  return {
    title: `store in a view ${at}+${length} ${name}`,
    run,
    parts: [begin, store, ...copyOut],
  };
}

export function truncating(name: Name, size: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> => bench.handle(name).truncate(size);
  return onFile(`truncate ${size}`, name, run, (file) => files.truncate(file, size));
}

export function punching(name: Name, at: number, length: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.punch(bench.handle(name), at, length);
  const change = (file: FileState): FileState => files.clear(file, at, length, false);
  return onFile(`punch ${at}+${length}`, name, run, change);
}

export function zeroing(name: Name, at: number, length: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.zeroRange(bench.handle(name), at, length);
  const change = (file: FileState): FileState => files.clear(file, at, length, true);
  return onFile(`zero ${at}+${length}`, name, run, change);
}

export function allocating(
  name: Name,
  at: number,
  length: number,
  keepSize: boolean,
): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.allocate(bench.handle(name), at, length, { keepSize });
  const title = `allocate ${at}+${length}${keepSize ? ', the size kept' : ''}`;
  return onFile(title, name, run, (file) => files.allocate(file, at + length, keepSize));
}

export function collapsing(name: Name, at: number, length: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.collapseRange(bench.handle(name), at, length);
  return onFile(`collapse ${at}+${length}`, name, run, (file) => files.collapse(file, at, length));
}

export function inserting(name: Name, at: number, length: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.insertRange(bench.handle(name), at, length);
  return onFile(`insert ${at}+${length}`, name, run, (file) => files.insert(file, at, length));
}

export function unsharing(name: Name, at: number, length: number): FileOperation {
  const run = (bench: Bench): Promise<unknown> =>
    bench.volume.unshareRange(bench.handle(name), at, length);
  return onFile(`unshare ${at}+${length}`, name, run, (file) => file);
}

export function defragmenting(name: Name): FileOperation {
  const run = async ({ volume }: Bench): Promise<void> => void (await volume.defrag(`/${name}`));
  return onFile('defragment', name, run, (file) => file);
}

export function makingWritable(name: Name, at: number, length: number): FileOperation {
  const run = ({ volume, vnode }: Bench): Promise<unknown> =>
    volume.start(new MakeWritable(vnode(name), at, length));
  const change = (file: FileState): FileState => files.makeWritable(file, at, length);
  return onFile(`make writable ${at}+${length}`, name, run, change);
}

export function seeking(name: Name, from: number, what: 'data' | 'hole'): FileOperation {
  const run = (bench: Bench): Promise<unknown> => bench.volume.seek(bench.handle(name), from, what);
  return looking(`seek ${what} ${name} ${from}`, run, (state) =>
    files.seek(fileIn(state, name), from, what),
  );
}

// --- Two files, or one twice ------------------------------------------------------------------

interface Range {
  readonly sourceAt: number;
  readonly at: number;
  /** 0: to the end of the source. */
  readonly length: number;
}

const textOf = ({ sourceAt, at, length }: Range): string => `${sourceAt}+${length} to ${at}`;

/** A range as the API takes it. */
function optionsOf({ sourceAt, at, length }: Range): {
  sourceOffset: number;
  offset: number;
  length?: number;
} {
  return { sourceOffset: sourceAt, offset: at, ...(length === 0 ? {} : { length }) };
}

export function cloningRange(source: Name, target: Name, range: Range): FileOperation {
  const same = source === target;
  return {
    title: `clone range ${source} ${textOf(range)} of ${target}`,
    run: ({ volume, handle }) =>
      volume.cloneRange(handle(source), handle(target), optionsOf(range)),
    parts: [
      (state) => {
        const [from, to] = [fileIn(state, source), fileIn(state, target)];
        const made = files.cloneRange(from, to, { ...range, same });
        const bytes = range.length === 0 ? from.bytes.length - range.sourceAt : range.length;
        return { state: new Map(state).set(target, made), outcome: outcomeOf(bytes) };
      },
    ],
  };
}

export function deduping(source: Name, target: Name, range: Range): FileOperation {
  const same = source === target;
  return {
    title: `dedupe ${source} ${textOf(range)} of ${target}`,
    run: ({ volume, handle }) =>
      volume.dedupeRange(handle(source), handle(target), optionsOf(range)),
    parts: [
      (state) => {
        const [from, to] = [fileIn(state, source), fileIn(state, target)];
        const length = range.length === 0 ? from.bytes.length - range.sourceAt : range.length;
        const [made, result] = files.dedupe(from, to, { ...range, length, same });
        return { state: new Map(state).set(target, made), outcome: outcomeOf(result) };
      },
    ],
  };
}

/** A copy: its bytes are counted first, then come a head, whole blocks that are shared, a rest. */
export function copyingRange(source: Name, target: Name, range: Range): FileOperation {
  const { sourceAt, at, length } = range;
  const alike = sourceAt % B === at % B;
  const sizes = ({ size = 0 }: Memory): { all: number; head: number; blocks: number } => {
    const all = Math.min(length, Math.max(0, size - sourceAt));
    const head = alike ? Math.min(all, (B - (at % B)) % B) : all;
    return { all, head, blocks: Math.floor((all - head) / B) * B };
  };
  const count: Part = (state) => ({
    memory: { size: fileIn(state, source).bytes.length, done: 0 },
  });
  const load =
    (wanted: (memory: Memory) => number): Part =>
    (state, memory) => {
      const { done = 0 } = memory;
      const bytes = files.read(fileIn(state, source), sourceAt + done, wanted(memory));
      return { memory: { ...memory, bytes } };
    };
  const store: Part = (state, memory) => {
    const { done = 0, bytes = new Uint8Array(0) } = memory;
    const made = files.write(fileIn(state, target), at + done, bytes);
    const next = new Map(state).set(target, made);
    return { state: next, memory: { ...memory, done: done + bytes.length } };
  };
  const blocks: Part = (state, memory) => {
    const part = sizes(memory);
    const { done = 0 } = memory;
    if (done < part.head) return { outcome: outcomeOf(done) };
    if (part.blocks === 0) return {};
    const ranges = { sourceAt: sourceAt + done, at: at + done, length: part.blocks, same: false };
    const made = files.cloneRange(fileIn(state, source), fileIn(state, target), ranges);
    const next = new Map(state).set(target, made);
    return { state: next, memory: { ...memory, done: done + part.blocks } };
  };
  const end: Part = (_, { done = 0 }) => ({ outcome: outcomeOf(done) });
  return {
    title: `copy range ${source} ${textOf(range)} of ${target}`,
    run: ({ volume, handle }) => volume.copyRange(handle(source), handle(target), optionsOf(range)),
    parts: [
      count,
      load((memory) => sizes(memory).head),
      store,
      blocks,
      load((memory) => sizes(memory).all - (memory.done ?? 0)),
      store,
      end,
    ],
  };
}

export function cloningFile(name: Name, copy: string): FileOperation {
  return {
    title: `clone ${name} to ${copy}`,
    run: ({ volume }) => volume.clone(`/${name}`, `/${copy}`),
    parts: [
      (state) => {
        if (state.has(copy)) throw new Refusal('EEXIST');
        return {
          state: new Map(state).set(copy, fileIn(state, name)),
          outcome: outcomeOf(undefined),
        };
      },
    ],
  };
}

// --- The volume -------------------------------------------------------------------------------

export function syncing(name: Name): FileOperation {
  const run = ({ handle }: Bench): Promise<unknown> => handle(name).sync();
  return { ...looking(`fsync ${name}`, run, () => undefined), syncs: name };
}

export function writingBack(name: Name): FileOperation {
  const run = async ({ volume, vnode }: Bench): Promise<unknown> => {
    const file = vnode(name);
    await volume.start(new Writeback(volume.inside.pool, { only: (each) => each === file }));
    return undefined;
  };
  return looking(`writeback ${name}`, run, () => undefined);
}

// --- The tables -------------------------------------------------------------------------------

/** One line for each operation: on a file, told apart from others by a tag. */
type Maker = (name: Name, tag: number) => FileOperation;

/** Files of the scenes have four blocks and a part of a fifth. */
export const FILE_SIZE = 4 * B + 904;

export const MAKERS: Readonly<Record<string, Maker>> = {
  read: (name) => reading(name, 0, 9 * B),
  'read a part': (name) => reading(name, B + 50, B),
  'write aligned': (name, tag) => writing(name, B, 2 * B, tag),
  'write unaligned': (name, tag) => writing(name, B + 100, B + 300, tag),
  'write inside a block': (name, tag) => writing(name, 2 * B + 50, 30, tag),
  'read directly': (name) => reading(name, B, 9 * B, 'direct'),
  'write directly': (name, tag) => writing(name, B, 2 * B, tag, 'direct'),
  'write directly, unaligned': (name, tag) => writing(name, 2 * B + 100, 3 * B, tag, 'direct'),
  view: (name) => viewing(name, B + 10, 3 * B),
  'store in a view': (name, tag) => storing(name, B + 100, 2 * B, tag),
  append: (name, tag) => appending(name, 500 * tag, tag),
  'truncate down': (name) => truncating(name, 2 * B + 10),
  'truncate up': (name) => truncating(name, 7 * B + 5),
  punch: (name) => punching(name, B + 100, 2 * B),
  'zero range': (name) => zeroing(name, 3 * B + 50, 3 * B),
  allocate: (name) => allocating(name, 4 * B, 3 * B, false),
  'allocate behind': (name) => allocating(name, 6 * B, B, true),
  collapse: (name) => collapsing(name, B, 2 * B),
  insert: (name) => inserting(name, 2 * B, B),
  unshare: (name) => unsharing(name, 0, 3 * B),
  defragment: (name) => defragmenting(name),
  'make writable': (name) => makingWritable(name, 2 * B, 2 * B),
  'clone range': (name) =>
    cloningRange(other(name), name, { sourceAt: B, at: 2 * B, length: 2 * B }),
  'clone range inside': (name) =>
    cloningRange(name, name, { sourceAt: 0, at: 3 * B, length: 2 * B }),
  'clone all': (name) => cloningRange(other(name), name, { sourceAt: 0, at: 0, length: 0 }),
  dedupe: (name) => deduping(other(name), name, { sourceAt: 0, at: 0, length: 3 * B }),
  'copy range': (name) =>
    copyingRange(other(name), name, { sourceAt: 500, at: B + 500, length: 2 * B }),
  'copy bytes': (name) => copyingRange(other(name), name, { sourceAt: 700, at: 10, length: B }),
  'clone file': (name, tag) => cloningFile(name, `n${tag}`),
  writeback: (name) => writingBack(name),
  fsync: (name) => syncing(name),
  'seek data': (name) => seeking(name, B, 'data'),
  'seek hole': (name) => seeking(name, B + 5, 'hole'),
};
