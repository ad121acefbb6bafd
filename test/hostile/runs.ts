/**
 * Runs: images that were mutated, one after the other, each opened, walked, checked, changed and
 * closed. RAMET_MUTATION=n runs mutation n alone.
 */
import { runInNewContext } from 'node:vm';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { goldenImage } from '../format/golden.ts';
import { type MutationKind, Target } from './mutate.ts';
import { attempt, change, Foreign, inspect, livePaths, openImage, type Seen, walk } from './use.ts';

/** A turn that does not end is stopped after this, whatever it does. Nothing is measured by it. */
const HANG_MS = 20_000;
/** Bytes that buffers may take, of all that were made and are not collected yet. */
const MEMORY_MAX = 800 * 2 ** 20;

/** The image that is mutated: 1 MiB with every structure in it, see golden.ts. */
export const TARGET = new Target(goldenImage());

/** What the image says: as it is, and as its older roots have it, to which a mount falls back. */
export function truths(image: Uint8Array): Seen[] {
  const seen: Seen[] = [];
  let bytes = new Uint8Array(image);
  for (let opens = true; opens && seen.length < 4; ) {
    const failed = attempt('open', () => seen.push(readAll(bytes).seen));
    opens = failed === undefined;
    if (opens) bytes = withoutNewest(bytes);
  }
  return seen;
}

/** Both copies of the newest superblock are wiped. */
function withoutNewest(image: Uint8Array): Uint8Array<ArrayBuffer> {
  const editor = new ImageEditor(image);
  const copies = editor.superblocks.filter((_, i) => i % 4 === editor.ring);
  for (const block of copies) editor.block(block).fill(0);
  return editor.bytes;
}

/** Opens an image read-only and reads everything. What was read is nothing if it does not open. */
export function readAll(bytes: Uint8Array): { seen: Seen; failed: string | undefined } {
  const before = bytes.slice();
  let seen: Seen = new Map();
  const device = MemoryDevice.from(bytes);
  const failed = attempt('open', () => {
    const volume = openImage(device, true);
    seen = walk(volume);
    inspect(volume, livePaths(seen).slice(0, 5));
    volume.closeSync();
  });
  const after = new Uint8Array(before.length);
  device.read(0, after);
  if (Buffer.compare(before, after) !== 0) throw new Foreign('reading has changed the image');
  return { seen, failed };
}

/** The first thing that was read and is not what one of the truths has; undefined: all is true. */
export function lie(seen: Seen, among: readonly Seen[]): string | undefined {
  const lies = among.map((truth) => {
    for (const [key, value] of seen) {
      if (value.startsWith('= ') && truth.get(key) !== value) return `${key} is ${value}`;
    }
    return undefined;
  });
  return lies.includes(undefined) ? undefined : lies[0];
}

/** Reads, checks, changes and closes an image. */
function useAll(bytes: Uint8Array, number: number): Seen {
  const { seen, failed } = readAll(bytes);
  mustNotThrow('check', () => checkSync(MemoryDevice.from(bytes)));
  const device = MemoryDevice.from(bytes.slice());
  const again = attempt('open', () => {
    const volume = openImage(device, false);
    change(volume, livePaths(seen), new Random(number));
    attempt('close', () => volume.closeSync());
    mustNotThrow('check after changes', () => checkSync(device));
  });
  if (failed !== undefined && again === undefined) throw new Foreign('only writing opens it');
  return seen;
}

function mustNotThrow(doing: string, body: () => unknown): void {
  try {
    body();
  } catch (error) {
    throw new Foreign(`${doing}: ${(error as Error).stack}`);
  }
}

/**
 * Tries mutations of a kind. What none may do is thrown as one error that says how to do it again.
 * `judge` is given what was read.
 */
export function tryMutations(
  kind: MutationKind,
  { first, count }: { first: number; count: number },
  judge: (seen: Seen) => string | undefined,
): void {
  const only = process.env['RAMET_MUTATION'];
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  for (const number of only === undefined ? numbers : [Number(only)]) {
    const { bytes, what } = TARGET.mutation(kind, number);
    const finding = bounded(() => judge(useAll(bytes, number)));
    if (finding === undefined) continue;
    throw new Error(`${kind} mutation, RAMET_MUTATION=${number} (${what}): ${finding}`);
  }
}

/** Runs `body` to its end, or to the end of patience. */
function bounded(body: () => string | undefined): string | undefined {
  try {
    const finding = runInNewContext('body()', { body }, { timeout: HANG_MS }) as string | undefined;
    const { arrayBuffers } = process.memoryUsage();
    return arrayBuffers > MEMORY_MAX ? `${arrayBuffers} bytes of buffers` : finding;
  } catch (error) {
    return (error as Error).message;
  }
}
