/** Device cases: the contents of the device suite. */
import {
  AssertionError,
  DeviceError,
  type ErrorCode,
  equalBytes,
  KIB,
  MIB,
} from '../base/index.ts';
import type { Completion, Device } from '../device/index.ts';
import { compareHistory, discardIfPossible } from './device-history.ts';
import type { DeviceCapabilities } from './device-suite.ts';
import type { Random } from './random.ts';

/** What a case gets: a fresh device, and what is on it. */
export interface Bench {
  readonly device: Device;
  readonly contents: Uint8Array;
  readonly random: Random;
  readonly capabilities: DeviceCapabilities;
}

interface Case {
  readonly title: string;
  readonly applies?: (capabilities: DeviceCapabilities) => boolean;
  /** `filled`: with random bytes instead of zeros. */
  readonly request: { size: number; readOnly?: boolean; filled?: boolean };
  readonly body: (bench: Bench) => Promise<void>;
}

const SIZE = 64 * KIB;
const SMALL = { size: SIZE };
const FILLED = { size: SIZE, filled: true };

export const CASES: readonly Case[] = [
  { title: 'is what was asked for', request: SMALL, body: isAsAskedFor },
  { title: 'read() finds zeros in a new device', request: SMALL, body: holdsContents },
  { title: 'read() finds what the device was made with', request: FILLED, body: holdsContents },
  { title: 'read() finds what was written last', request: FILLED, body: compareHistory },
  { title: 'readv() and writev() go from buffer to buffer', request: FILLED, body: goesInOrder },
  {
    title: 'readv() and writev() take thousands of buffers',
    request: { size: 3 * MIB },
    body: takesManyBuffers,
  },
  { title: 'write() and read() move 8 MiB', request: { size: 9 * MIB }, body: movesMuch },
  { title: 'read() touches nothing beside its buffer', request: FILLED, body: readsWithinBuffer },
  { title: 'write() changes and keeps no buffer (D3)', request: SMALL, body: keepsNoBuffer },
  { title: 'read() and write() work in shared memory', request: SMALL, body: worksInSharedMemory },
  { title: 'calls refuse a range past the end', request: FILLED, body: refusesPastEnd },
  { title: 'calls refuse what is not a whole number', request: FILLED, body: refusesNonsense },
  { title: 'calls accept an empty range', request: FILLED, body: acceptsEmptyRange },
  { title: 'errors name the call and its range', request: SMALL, body: namesTheCall },
  {
    title: 'a read-only device refuses every change',
    applies: ({ readOnly }) => readOnly,
    request: { ...FILLED, readOnly: true },
    body: refusesChanges,
  },
  {
    title: 'grow() adds zeros and keeps the rest',
    applies: ({ grows }) => grows,
    request: FILLED,
    body: growsByZeros,
  },
  {
    title: 'grow() refuses more than there is room for',
    applies: ({ grows }) => !grows,
    request: FILLED,
    body: refusesToGrow,
  },
  { title: 'shrink() cuts the end off, or nothing', request: FILLED, body: cutsTheEnd },
  { title: 'grow() never shrinks', request: FILLED, body: neverShrinks },
  { title: 'discard() spares what is outside its range', request: FILLED, body: discardsWithin },
  { title: 'prepare() spares what is outside its range', request: FILLED, body: preparesWithin },
  { title: 'flush() changes nothing that is read', request: FILLED, body: flushesQuietly },
  { title: 'writes side by side at once all arrive', request: FILLED, body: writesAtOnce },
  { title: 'read() beside a write finds old or new bytes', request: FILLED, body: readsBeside },
  { title: 'close() ends all but close()', request: SMALL, body: endsWhenClosed },
  {
    title: 'calls are done when they return (D1)',
    applies: ({ sync }) => sync,
    request: SMALL,
    body: finishesAtOnce,
  },
];

async function isAsAskedFor({ device, contents, capabilities }: Bench): Promise<void> {
  expect(device.size === contents.length, `size is ${device.size}, wanted ${contents.length}`);
  expect(device.sync === capabilities.sync, `sync is ${device.sync}`);
  expect(!device.readOnly, 'readOnly is true');
  expect(device.name.length > 0, 'it has no name');
}

async function holdsContents({ device, contents }: Bench): Promise<void> {
  await expectContents(device, contents);
}

async function goesInOrder({ device, contents, random }: Bench): Promise<void> {
  const lengths = [3, 0, 4096, 1, 511, 0];
  const parts = lengths.map((length) => random.bytes(length));
  await device.writev(1000, parts);
  for (let i = 0, at = 1000; i < parts.length; at += lengths[i++] as number) {
    contents.set(parts[i] as Uint8Array, at);
  }
  await expectContents(device, contents);
  const found = lengths.map((length) => new Uint8Array(length));
  await device.readv(1000, found);
  for (const [i, part] of parts.entries()) expectBytes(found[i], part, `buffer ${i}`);
}

async function takesManyBuffers({ device, random }: Bench): Promise<void> {
  const parts = Array.from({ length: 3000 }, () => random.bytes(random.below(1000)));
  await device.writev(77, parts);
  const found = parts.map((part) => new Uint8Array(part.length));
  await device.readv(77, found);
  for (const [i, part] of parts.entries()) expectBytes(found[i], part, `buffer ${i}`);
}

async function movesMuch({ device, random }: Bench): Promise<void> {
  const bytes = random.bytes(8 * MIB);
  await device.write(4321, bytes);
  expectBytes(await read(device, 4321, bytes.length), bytes, 'what was written');
}

async function readsWithinBuffer({ device, contents }: Bench): Promise<void> {
  const around = new Uint8Array(300).fill(0x5a);
  await device.read(1234, around.subarray(100, 200));
  const wanted = new Uint8Array(300).fill(0x5a);
  wanted.set(contents.subarray(1234, 1334), 100);
  expectBytes(around, wanted, 'the buffer and its surroundings');
}

async function keepsNoBuffer({ device, contents, random }: Bench): Promise<void> {
  const bytes = random.bytes(8192);
  const copy = bytes.slice();
  await device.write(4096, bytes);
  expectBytes(bytes, copy, 'the written buffer');
  contents.set(copy, 4096);
  bytes.fill(0);
  await expectContents(device, contents);
  const buffer = await read(device, 4096, 8192);
  buffer.fill(0);
  await expectContents(device, contents);
}

async function worksInSharedMemory({ device, random }: Bench): Promise<void> {
  const bytes = random.bytes(5000);
  const shared = new Uint8Array(new SharedArrayBuffer(5000));
  shared.set(bytes);
  await device.write(100, shared);
  shared.fill(0);
  await device.read(100, shared);
  expectBytes(shared, bytes, 'shared memory');
}

async function refusesPastEnd({ device, contents }: Bench): Promise<void> {
  for (const [position, length] of [
    [SIZE, 1],
    [SIZE - 1, 2],
    [SIZE + 4096, 4096],
    [0, SIZE + 1],
    [Number.MAX_SAFE_INTEGER, 1],
  ] as const) {
    for (const [name, call] of rangeCalls(device, position, length)) {
      await expectRefusal(`${name}() of ${length} bytes at ${position}`, 'EINVAL', call);
    }
  }
  await expectContents(device, contents);
}

async function refusesNonsense({ device, contents }: Bench): Promise<void> {
  for (const position of [-1, -4096, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    for (const [name, call] of rangeCalls(device, position, 1)) {
      await expectRefusal(`${name}() at ${position}`, 'EINVAL', call);
    }
  }
  for (const length of [-1, 0.5, Number.NaN]) {
    await expectRefusal(`discard() of ${length}`, 'EINVAL', () => device.discard(0, length));
    await expectRefusal(`prepare() of ${length}`, 'EINVAL', () => device.prepare(0, length));
    await expectRefusal(`grow() to ${length}`, 'EINVAL', () => device.grow(length));
  }
  await expectContents(device, contents);
}

async function acceptsEmptyRange({ device, contents }: Bench): Promise<void> {
  for (const position of [0, 1, SIZE]) {
    for (const [, call] of rangeCalls(device, position, 0)) await call();
    await device.readv(position, []);
    await device.writev(position, []);
  }
  await expectContents(device, contents);
}

async function namesTheCall({ device }: Bench): Promise<void> {
  for (const [name, call] of rangeCalls(device, SIZE - 1, 5)) {
    const error = await failureOf(call);
    expect(error instanceof DeviceError, `${name}() failed with ${describe(error)}`);
    const { operation, position, length, message } = error;
    const wanted = name.replace(/v$/, '');
    const right = operation === wanted && position === SIZE - 1 && length === 5;
    expect(right, `${name}() failed as ${operation} of ${length} bytes at ${position}`);
    expect(message.startsWith('Cannot '), `the message is '${message}'`);
  }
}

async function refusesChanges({ device, contents }: Bench): Promise<void> {
  expect(device.readOnly, 'readOnly is false');
  for (const [name, call] of rangeCalls(device, 0, 4096)) {
    if (name.startsWith('read')) await call();
    else await expectRefusal(`${name}()`, 'EROFS', call);
  }
  await expectRefusal('grow()', 'EROFS', () => device.grow(SIZE * 2));
  await device.flush();
  await expectContents(device, contents);
}

async function growsByZeros({ device, contents, random }: Bench): Promise<void> {
  let wanted = contents;
  for (const size of [SIZE + 1, SIZE + 5000, 3 * MIB]) {
    await device.grow(size);
    const longer = new Uint8Array(size);
    longer.set(wanted);
    wanted = longer;
    await expectContents(device, wanted);
    const end = random.bytes(100);
    await device.write(size - end.length, end);
    wanted.set(end, size - end.length);
  }
  await expectContents(device, wanted);
}

async function refusesToGrow({ device, contents }: Bench): Promise<void> {
  await expectRefusal('grow()', 'ENOSPC', () => device.grow(SIZE + 1));
  await expectContents(device, contents);
}

async function neverShrinks({ device, contents }: Bench): Promise<void> {
  for (const size of [SIZE, SIZE - 1, 0]) await device.grow(size);
  await expectContents(device, contents);
}

/** A device that can be shorter is as long as asked; what it had there is zeros later. */
async function cutsTheEnd({ device, contents, capabilities }: Bench): Promise<void> {
  if (device.shrink === undefined) return;
  await device.shrink(SIZE + 1);
  await expectContents(device, contents);
  const size = SIZE - 5000;
  await device.shrink(size);
  if (device.size === contents.length) {
    await expectContents(device, contents);
    return;
  }
  await expectContents(device, contents.subarray(0, size));
  await expectRefusal('read() behind the end', 'EINVAL', () =>
    device.read(size, new Uint8Array(1)),
  );
  if (!capabilities.grows) return;
  await device.grow(SIZE);
  contents.fill(0, size);
  await expectContents(device, contents);
}

async function discardsWithin(bench: Bench): Promise<void> {
  const { device } = bench;
  const call = (at: number, length: number) => discardIfPossible(device, at, length);
  await sparesOthers(bench, call);
}

async function preparesWithin(bench: Bench): Promise<void> {
  await sparesOthers(bench, (position, length) => bench.device.prepare(position, length));
}

/** After the call the range holds anything; what is then written there is there. */
async function sparesOthers(
  { device, contents, random }: Bench,
  call: (position: number, length: number) => Completion,
): Promise<void> {
  const ranges: [number, number][] = [
    [0, 1],
    [4096, 4096],
    [SIZE - 1, 1],
    [0, SIZE],
  ];
  for (let i = 0; i < 20; i++) {
    const position = random.below(SIZE);
    ranges.unshift([position, random.between(1, SIZE - position)]);
  }
  for (const [position, length] of ranges) {
    await call(position, length);
    const found = await read(device, 0, SIZE);
    found.set(contents.subarray(position, position + length), position);
    expectBytes(found, contents, `what is outside ${length} bytes at ${position}`);
    const bytes = random.bytes(length);
    await device.write(position, bytes);
    contents.set(bytes, position);
    await expectContents(device, contents);
  }
}

async function flushesQuietly({ device, contents, random }: Bench): Promise<void> {
  await device.flush();
  const bytes = random.bytes(10000);
  await device.write(5, bytes);
  contents.set(bytes, 5);
  await device.flush();
  await device.flush();
  await expectContents(device, contents);
}

/** Parts of the same blocks and sectors, none overlapping, all in flight together. */
async function writesAtOnce({ device, contents, random }: Bench): Promise<void> {
  for (let round = 0; round < 8; round++) {
    const calls: (() => Completion)[] = [];
    for (let at = random.below(3000); at < SIZE; ) {
      const bytes = random.bytes(Math.min(SIZE - at, random.between(1, 6000)));
      const position = at;
      contents.set(bytes, position);
      calls.push(() => device.write(position, bytes));
      at += bytes.length;
    }
    await Promise.all(random.shuffle(calls).map((call) => call()));
    await expectContents(device, contents);
  }
}

async function readsBeside({ device, contents, random }: Bench): Promise<void> {
  for (let round = 0; round < 16; round++) {
    const old = contents.slice(1000, 11000);
    const bytes = random.bytes(10000);
    const found = new Uint8Array(10000);
    await Promise.all([device.write(1000, bytes), device.read(1000, found)]);
    const bad = found.findIndex((byte, i) => byte !== old[i] && byte !== bytes[i]);
    expect(bad < 0, `byte ${bad} read beside a write is neither old nor new`);
    contents.set(bytes, 1000);
    await expectContents(device, contents);
  }
}

async function endsWhenClosed({ device }: Bench): Promise<void> {
  await device.close();
  await device.close();
  for (const [name, call] of rangeCalls(device, 0, 1)) {
    await expectRefusal(`${name}() after close()`, 'EBADF', call);
  }
  await expectRefusal('flush() after close()', 'EBADF', () => device.flush());
  await expectRefusal('grow() after close()', 'EBADF', () => device.grow(SIZE * 2));
  await device.close();
}

async function finishesAtOnce({ device }: Bench): Promise<void> {
  const calls = rangeCalls(device, 100, 5000);
  calls.push(['flush', () => device.flush()], ['grow', () => device.grow(SIZE)]);
  calls.push(['close', () => device.close()]);
  for (const [name, call] of calls) {
    expect(call() === undefined, `${name}() returned something`);
  }
}

/** Every call that has a range. */
function rangeCalls(
  device: Device,
  position: number,
  length: number,
): [string, () => Completion][] {
  const buffer = new Uint8Array(length);
  return [
    ['read', () => device.read(position, buffer)],
    ['readv', () => device.readv(position, [buffer])],
    ['write', () => device.write(position, buffer)],
    ['writev', () => device.writev(position, [buffer])],
    ['discard', () => device.discard(position, length)],
    ['prepare', () => device.prepare(position, length)],
  ];
}

async function read(device: Device, position: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length).fill(0xee);
  await device.read(position, buffer);
  return buffer;
}

async function expectContents(device: Device, wanted: Uint8Array): Promise<void> {
  expect(device.size === wanted.length, `size is ${device.size}, wanted ${wanted.length}`);
  expectBytes(await read(device, 0, wanted.length), wanted, 'the device');
}

function expectBytes(found: Uint8Array | undefined, wanted: Uint8Array, what: string): void {
  if (found !== undefined && equalBytes(found, wanted)) return;
  const at = wanted.findIndex((byte, i) => byte !== found?.[i]);
  throw new AssertionError(`${what}: byte ${at} is ${found?.[at]}, wanted ${wanted[at]}`);
}

async function expectRefusal(what: string, code: ErrorCode, call: () => Completion): Promise<void> {
  const error = await failureOf(call);
  const right = error instanceof DeviceError && error.code === code;
  expect(right, `${what}: wanted a DeviceError ${code}, found ${describe(error)}`);
}

/** What a call throws or rejects with; undefined if it succeeds. */
async function failureOf(call: () => Completion): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error;
  }
}

function describe(error: unknown): string {
  return error === undefined ? 'success' : `'${String(error)}'`;
}

function expect(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
