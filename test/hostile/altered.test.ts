/**
 * Every byte altered, one at a time: it is found, or harmless, and nothing wrong is ever read.
 *
 * Each time the image is mounted, its log replayed, and all names, attributes and data read. The
 * truths are the image as it is, as its older roots have it, and as a log that ends earlier has it:
 * a frame that is damaged looks like one that was never completed.
 */
import { expect, it } from 'vitest';
import { BLOCK_SIZE } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { slotBlock } from '../../src/format/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { recycle, recycling } from './recycled.ts';
import { bounded, lie, readAll, targetOf, truths } from './runs.ts';
import { attempt, openImage, type Seen, walk } from './use.ts';

const long = process.env['RAMET_LONG'] === '1';
/** Every byte, or every so many-th. */
const STEP = long ? 1 : 127;
/** One image in so many is checked too. */
const CHECKED = 8;
const BATCH = 100;

const TARGET = targetOf('tiny');
const TRUTHS = truths(TARGET.image);

interface Outcomes {
  whole: number;
  failed: number;
  older: number;
}

/** Reads the image, of which a byte is another one. */
function tryByte(bytes: Uint8Array<ArrayBuffer>, at: number, into: Outcomes): string | undefined {
  let seen: Seen = new Map();
  const unopened = attempt('open', () => {
    const volume = openImage(new MemoryDevice({ buffer: bytes.buffer }), true);
    seen = walk(volume);
    volume.closeSync();
  });
  recycle();
  const lied = lie(seen, TRUTHS);
  if (lied !== undefined) return lied;
  const errors = unopened !== undefined || [...seen.values()].some((each) => each.startsWith('!'));
  const same = !errors && lie(seen, TRUTHS.slice(0, 1)) === undefined;
  into[errors ? 'failed' : same ? 'whole' : 'older']++;
  if (at % CHECKED !== 0 || same) return undefined;
  const { verdict } = checkSync(new MemoryDevice({ buffer: bytes.buffer }));
  // What a frame of the log was, nobody can tell.
  return verdict === 'clean' && errors ? 'a check finds nothing' : undefined;
}

it(`a byte of each ${STEP} is found or harmless, never believed`, {
  timeout: long ? 14_400_000 : 180_000,
}, () => {
  recycling();
  Error.stackTraceLimit = 3;
  expect(TRUTHS.length).toBeGreaterThan(4);
  const bytes = TARGET.image.slice();
  const places = TARGET.used.flatMap((block) => {
    return Array.from({ length: BLOCK_SIZE }, (_, i) => block * BLOCK_SIZE + i);
  });
  const outcomes: Outcomes = { whole: 0, failed: 0, older: 0 };
  let count = 0;
  for (let i = 0; i < places.length; ) {
    const end = Math.min(places.length, i + BATCH * STEP);
    const finding = bounded(() => {
      for (; i < end; i += STEP) {
        const at = places[i] as number;
        const old = bytes[at] as number;
        bytes[at] = old ^ (1 + (i % 255));
        const found = tryByte(bytes, at, outcomes);
        bytes[at] = old;
        count++;
        if (found !== undefined) return `byte ${at}: ${found}`;
      }
      return undefined;
    });
    expect(finding).toBeUndefined();
    expect(Buffer.compare(bytes, TARGET.image)).toBe(0);
  }
  const { whole, failed, older } = outcomes;
  process.stdout.write(
    `bytes altered: ${count}; ${whole} read whole, ${failed} with errors, ${older} as before\n`,
  );
  expect(Math.min(whole, failed, older)).toBeGreaterThan(count / 100);
});

it('would be believed, and noticed here, if nothing was verified', { timeout: 60_000 }, () => {
  const random = new Random(2);
  const { words } = new ImageEditor(TARGET.image);
  const data = new Set(TARGET.dataSlots.map((at) => slotBlock(words, at)).filter((at) => at > 0));
  const lies = [...data].slice(0, 20).map((block) => {
    // Every checksum is that of the altered block: to verify it is to verify nothing.
    const editor = new ImageEditor(TARGET.image);
    const at = block * BLOCK_SIZE + random.below(1000);
    editor.bytes[at] = (editor.bytes[at] as number) ^ random.between(1, 255);
    const { bytes } = editor.seal();
    return lie(readAll(bytes).seen, TRUTHS);
  });
  expect(lies.filter((each) => each !== undefined).length).toBeGreaterThan(data.size / 2);
});
