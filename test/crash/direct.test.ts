/**
 * Power cuts in direct writes: of each that lies in one aligned 16 MiB a mount shows all or
 * nothing, whoever has asked for durability, and whatever else is dirty in the file.
 */
import { describe, expect, it } from 'vitest';
import { constants } from '../../src/api/flags.ts';
import { Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE as B, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { Random } from '../../src/testing/index.ts';
import { COMMON, OpenVolume } from '../api/bench.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';

const { O_RDWR, O_DIRECT, O_DSYNC } = constants;
const OPTIONS = { ...COMMON, cacheBytes: 4 * MIB };
const LONG = process.env['RAMET_LONG'] === '1';
/** What is dirty in the file when it is written to. */
const DIRTY = ['nothing', 'told', 'untold', 'untold, and longer'] as const;
const DURABLE = ['not', 'by fsync', 'by fsync of another file', 'by O_DSYNC', 'by sync'] as const;
const SIZE = 20 * B + 700;

interface Case {
  readonly dirty: (typeof DIRTY)[number];
  readonly durable: (typeof DURABLE)[number];
  readonly at: number;
  readonly length: number;
}

interface Written {
  readonly tape: TapeDevice;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** Calls of the device that were made when the write was said to be durable. */
  readonly promised: number;
}

/** Free space in pieces of one block, so that no run of a write is longer. */
function shatter(volume: OpenVolume): void {
  const fd = volume.fs.openSync('/pieces', 'w');
  const block = new Uint8Array(B).fill(5);
  for (let i = 0; i < 700; i++) volume.fs.writeSync(fd, block, 0, B, i * B);
  volume.syncSync();
  for (let i = 0; i < 700; i += 2) volume.punchSync(fd, i * B, B);
  volume.fs.closeSync(fd);
  for (let i = 0; i < 4; i++) volume.syncSync();
  // What is left in one piece is taken.
  const rest = volume.fs.openSync('/rest', 'w');
  const { space } = volume.inside.store;
  for (let at = 0; space.runLength(64) > 1 && at < 4000; at++) {
    volume.fs.writeSync(rest, block, 0, B, at * B);
    if (at % 64 === 63) volume.syncSync();
  }
  volume.fs.closeSync(rest);
}

async function write({ dirty, durable, at, length }: Case, pieces: boolean): Promise<Written> {
  const tape = new TapeDevice(new Uint8Array(pieces ? 6 * MIB : 2 * MIB));
  const driver = new Driver(tape, { pause: async () => {} });
  const volume = await OpenVolume.on(tape, driver, { ...OPTIONS, logBlocks: 16, create: true });
  const { fs } = volume;
  fs.writeFileSync('/f', new Random(1).bytes(SIZE));
  fs.writeFileSync('/other', 'x');
  if (pieces) shatter(volume);
  for (let i = 0; i < 3; i++) volume.syncSync();
  const fd = fs.openSync('/f', 'r+');
  const patch = new Random(2).bytes(3 * B);
  if (dirty === 'told' || dirty.startsWith('untold')) fs.writeSync(fd, patch, 0, 300, 5 * B + 9);
  if (dirty === 'untold, and longer') fs.writeSync(fd, patch, 0, 2 * B, SIZE);
  if (dirty === 'told') fs.fsyncSync(fd);
  tape.rewind();
  const before = Uint8Array.from(fs.readFileSync('/f') as Uint8Array);
  const flags = O_RDWR | O_DIRECT | (durable === 'by O_DSYNC' ? O_DSYNC : 0);
  const direct = fs.openSync('/f', flags);
  const data = new Random(3).bytes(length);
  expect(fs.writeSync(direct, data, 0, length, at)).toBe(length);
  if (durable === 'by fsync') fs.fsyncSync(fd);
  if (durable === 'by fsync of another file') fs.fsyncSync(fs.openSync('/other', 'r+'));
  if (durable === 'by sync') volume.syncSync();
  const promised = durable === 'not' ? Number.POSITIVE_INFINITY : tape.calls.length;
  // More frames of the log, and a commit, come after it.
  fs.fsyncSync(fs.openSync('/other', 'r+'));
  volume.syncSync();
  const after = Uint8Array.from(fs.readFileSync('/f') as Uint8Array);
  return { tape, before, after, promised };
}

/** Which of the bytes that the write has to do with a mount shows. */
function shown(found: Uint8Array, { before, after }: Written, { at, length }: Case): string {
  const end = at + length;
  const same = (wanted: Uint8Array): boolean =>
    Buffer.compare(found.subarray(at, end), wanted.subarray(at, end)) === 0;
  if (same(after) && found.length >= end) return 'new';
  if (found.length > before.length) return `${found.length} bytes and not the new ones`;
  // Older versions of what was dirty are none of its concern.
  for (let i = at; i < Math.min(end, found.length); i++) {
    if (found[i] !== before[i] && !isPatched(i)) return `a mixture, at ${i}`;
  }
  return 'old';
}

/** True where the file had something else before that. */
const isPatched = (at: number): boolean => at >= 5 * B && at < 6 * B;

function cutEverywhere(written: Written, which: Case, random: Random): number {
  const { tape, promised } = written;
  let images = 0;
  for (let count = 0; count <= tape.calls.length; count++) {
    const options = { random, exhaustiveMax: LONG ? 3 : 1, samples: LONG ? 6 : 1 };
    for (const image of crashImages(tape, count, options)) {
      images++;
      const device = MemoryDevice.from(image);
      const volume = Volume.openSync(device, OPTIONS);
      const found = volume.fs.readFileSync('/f') as Uint8Array;
      const wanted = count >= promised ? ['new'] : ['new', 'old'];
      expect(wanted, `after ${count} calls`).toContain(shown(found, written, which));
      if (images % 16 > 0) continue;
      volume.closeSync();
      const issues = checkSync(device).issues.filter(({ code }) => !code.startsWith('superblock-'));
      expect(issues).toEqual([]);
    }
  }
  return images;
}

const RANGES = [
  { at: 2 * B, length: 4 * B },
  { at: 4 * B + 100, length: 3 * B },
  { at: 19 * B, length: 4 * B },
  { at: 20 * B + 100, length: 2 * B + 50 },
  { at: 24 * B + 5, length: B },
];

/** All of them in the long run; else by turns. */
function rangesOf(dirty: Case['dirty'], durable: Case['durable']): typeof RANGES {
  const turn = DIRTY.indexOf(dirty) + 2 * DURABLE.indexOf(durable);
  return LONG ? RANGES : [RANGES[turn % RANGES.length] as (typeof RANGES)[number]];
}

describe.each(DIRTY)('with %s dirty', { timeout: 300_000 }, (dirty) => {
  it.each(DURABLE)('a direct write is seen whole or not at all; durable: %s', async (durable) => {
    for (const range of rangesOf(dirty, durable)) {
      const which = { dirty, durable, ...range };
      const written = await write(which, false);
      expect(cutEverywhere(written, which, new Random(range.at))).toBeGreaterThan(0);
    }
  });
});

seeded('in pieces: whole or not at all', { count: LONG ? 20 : 1 }, async (random) => {
  const which = {
    dirty: random.pick(DIRTY),
    durable: random.pick(DURABLE),
    at: random.below(SIZE),
    length: random.between(20 * B, 100 * B),
  };
  const written = await write(which, true);
  const data = written.tape.calls.filter(({ kind }) => kind === 'write').length;
  expect(data, 'writes').toBeGreaterThan(15);
  cutEverywhere(written, which, random);
});
