/**
 * Logs that somebody made to do harm: every frame is whole and follows the one before it, and what
 * it says cannot be. A mount comes to something, or says what is wrong; either way the image can be
 * used or is unchanged.
 */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, errorCode, KIB, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import {
  decodeLogFrame,
  decodeSuperblock,
  encodeLogFrame,
  imageSeed,
  isFault,
  type LogFrame,
  logFrameBlocks,
  logFrameChecksum,
  type Mutation,
  SCHEMAS,
  type Superblock,
} from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { Life } from '../crash/life.ts';
import { attempt, change, livePaths, openImage, walk } from './use.ts';

const long = process.env['RAMET_LONG'] === '1';
const asked = process.env['RAMET_MUTATION'];
const COUNT = long ? 20_000 : 300;

/** What a volume leaves that was not closed. */
class LogImage {
  readonly image: Uint8Array;
  readonly superblock: Superblock;
  readonly frames: LogFrame[] = [];
  readonly #seed: bigint;

  constructor(image: Uint8Array) {
    this.image = image;
    const found = [0, 1, 2, 3]
      .map((ring) => decodeSuperblock(image.subarray(ring * BLOCK_SIZE, (ring + 1) * BLOCK_SIZE)))
      .filter((each): each is Superblock => !isFault(each))
      .sort((a, b) => b.state.txg - a.state.txg);
    this.superblock = found[0] as Superblock;
    this.#seed = imageSeed(this.superblock.uuid);
    const { geometry, state } = this.superblock;
    for (let at = state.logTail; at < geometry.logBlocks; ) {
      const from = (geometry.logStart + at) * BLOCK_SIZE;
      const count = logFrameBlocks(image.subarray(from, from + BLOCK_SIZE));
      const frame = decodeLogFrame(image.subarray(from, from + count * BLOCK_SIZE), this.#seed);
      if (frame === undefined || frame.sequence !== state.logSequence + this.frames.length) break;
      this.frames.push(frame);
      at += count;
    }
  }

  /** The image with other frames, each naming the one before it. Those that do not fit are left. */
  with(frames: readonly LogFrame[]): Uint8Array<ArrayBuffer> {
    const image = new Uint8Array(this.image);
    const { geometry, state } = this.superblock;
    let [at, previous, operation] = [state.logTail, 0n, this.frames[0]?.operation ?? 0];
    for (const frame of frames) {
      const bytes = encodeLogFrame({ ...frame, previous, operation }, this.#seed);
      const count = bytes.length / BLOCK_SIZE;
      if (at + count > geometry.logBlocks) break;
      image.set(bytes, (geometry.logStart + at) * BLOCK_SIZE);
      previous = logFrameChecksum(bytes);
      operation += frame.mutations.length;
      at += count;
    }
    return image;
  }
}

function imageOf(seed: number): LogImage {
  const random = new Random(seed);
  for (;;) {
    const life = new Life(random.fork(), { size: MIB, groupBlocks: 256, logBlocks: 24 });
    life.run(50);
    const made = new LogImage(life.tape.image());
    if (made.frames.length > 2) return made;
  }
}

const HOSTILE = [0, 1, 2, 3, 255, 4095, 4096, 65_535, 2 ** 31, 2 ** 32 - 1];

/** A value of a field that is like the one there is, or like nothing. */
function altered(value: unknown, random: Random): unknown {
  if (typeof value === 'number') {
    return random.pick([...HOSTILE, value + 1, Math.max(0, value - 1), random.next()]);
  }
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') {
    return random.pick([
      '',
      '.',
      '..',
      '/',
      'a/b',
      '/1',
      '/99999999',
      'x'.repeat(300),
      `${value}x`,
    ]);
  }
  if (value instanceof Uint32Array) {
    const words = random.pick([value.slice(1), new Uint32Array(value.length + 1), value.slice()]);
    if (words.length > 0) words[random.below(words.length)] = random.next();
    return words;
  }
  if (value instanceof Uint8Array) return random.bytes(random.pick([0, 1, 100, 5000, 70 * KIB]));
  if (Array.isArray(value)) {
    const run = {
      block: random.pick([...HOSTILE, random.below(256)]),
      length: random.pick(HOSTILE),
    };
    return random.pick([[], [run], [...value, run], value.slice(1)]);
  }
  return { sec: random.pick([0, -1, 2 ** 33 - 1]), nsec: random.below(1e9) };
}

function mutate(frames: readonly LogFrame[], random: Random): LogFrame[] {
  // The last frame is left alone: what it says of data is looked at, and would hide the others.
  const at = random.below(frames.length - 1);
  const copies = frames.map((frame) => ({ ...frame, mutations: [...frame.mutations] }));
  const { mutations } = copies[at] as { mutations: Mutation[] };
  const i = random.below(mutations.length);
  const record = mutations[i] as Mutation;
  const way = random.below(6);
  if (way === 0) mutations.splice(i, 1);
  else if (way === 1) mutations.splice(i, 0, record);
  else if (way === 2) mutations.splice(i, 1, random.pick(mutations));
  else if (way === 3) {
    const [epoch, sequence] = [random.pick(HOSTILE), random.next()];
    const field = random.pick([{ epoch: epoch as LogFrame['epoch'] }, { sequence }]);
    copies[at] = { ...(copies[at] as LogFrame), ...field, mutations };
  } else {
    const [name] = random.pick(Object.entries(SCHEMAS[record.type][1]));
    const value = (record as unknown as Record<string, unknown>)[name];
    mutations[i] = { ...record, [name]: altered(value, random) } as Mutation;
  }
  return copies;
}

/** Mounts, uses and closes. Throws if anything but an errno comes out. */
function use(image: Uint8Array<ArrayBuffer>, random: Random): string {
  const before = image.slice();
  const readOnly = attempt('open read-only', () => {
    const volume = openImage(MemoryDevice.from(image), true);
    walk(volume);
    volume.closeSync();
  });
  expect(Buffer.compare(before, image)).toBe(0);
  const device = MemoryDevice.from(image.slice());
  const failed = attempt('open', () => {
    const volume = openImage(device, false);
    const seen = walk(volume);
    change(volume, livePaths(seen), random);
    attempt('close', () => volume.closeSync());
    // A record may name data by a checksum that it does not have; reading it is EIO.
    const issues = checkSync(device).issues.filter(({ severity }) => severity === 'error');
    expect(issues.filter(({ code }) => code !== 'checksum')).toEqual([]);
  });
  return failed ?? readOnly ?? 'ok';
}

describe('a log that contradicts itself', { timeout: long ? 3_600_000 : 120_000 }, () => {
  it(`${COUNT} of them are mounted or refused, without a crash`, () => {
    const outcomes = new Map<string, number>();
    const [first, last] = asked === undefined ? [1, COUNT] : [Number(asked), Number(asked)];
    const images = [1, 2, 3, 4, 5].map(imageOf);
    for (let number = first; number <= last; number++) {
      const random = new Random(number);
      const subject = images[number % images.length] as LogImage;
      try {
        const outcome = use(subject.with(mutate(subject.frames, random)), random);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      } catch (error) {
        (error as Error).message +=
          `\nSee it again: RAMET_MUTATION=${number} npx vitest run test/hostile/log.test.ts`;
        throw error;
      }
    }
    process.stdout.write(`logs: ${[...outcomes].map(([code, n]) => `${n} ${code}`).join(', ')}\n`);
    if (asked === undefined) expect(outcomes.size).toBeGreaterThan(1);
  });

  it('is left as it is, and said to be what it is', () => {
    const subject = imageOf(7);
    const copies = subject.frames.map((frame) => ({ ...frame, mutations: [...frame.mutations] }));
    copies[0]?.mutations.unshift({
      type: 'truncate',
      target: 4000,
      size: 1,
      time: { sec: 0, nsec: 0 },
    });
    const image = subject.with(copies);
    const device = MemoryDevice.from(image.slice());
    let error: unknown;
    try {
      Volume.openSync(device, COMMON);
    } catch (thrown) {
      error = thrown;
    }
    expect(errorCode(error)).toBe('EIO');
    expect((error as Error).message).toContain('Cannot replay a truncate of the log');
    const after = new Uint8Array(image.length);
    device.read(0, after);
    expect(Buffer.compare(after, image)).toBe(0);
  });
});
