/**
 * Logs that somebody made to do harm: every frame is whole and follows the one before it, and what
 * it says cannot be. A mount comes to something, or says what is wrong; either way the image can be
 * used or is unchanged.
 */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { errorCode, MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { COMMON } from '../api/bench.ts';
import { Life } from '../crash/life.ts';
import { LogImage, mutateFrames } from './logs.ts';
import { attempt, change, livePaths, openImage, walk } from './use.ts';

const long = process.env['RAMET_LONG'] === '1';
const asked = process.env['RAMET_MUTATION'];
const COUNT = long ? 20_000 : 300;

function imageOf(seed: number): LogImage {
  const random = new Random(seed);
  for (;;) {
    const life = new Life(random.fork(), { size: MIB, groupBlocks: 256, logBlocks: 24 });
    life.run(50);
    const made = new LogImage(life.tape.image());
    if (made.frames.length > 2) return made;
  }
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
        const outcome = use(subject.with(mutateFrames(subject.frames, random)), random);
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
