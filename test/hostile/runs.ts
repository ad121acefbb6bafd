/**
 * Runs: images that were mutated, one after the other, each opened, walked, checked, changed and
 * closed, and some repaired. RAMET_MUTATION=n runs mutation n alone.
 */
import { createContext, Script } from 'node:vm';
import { AssertionError, BLOCK_SIZE } from '../../src/base/index.ts';
import { checkSync, repairSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import type { Volume } from '../../src/index.ts';
import { Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { BASES, type BaseName } from './bases.ts';
import { LogImage } from './logs.ts';
import { type MutationKind, Target } from './mutate.ts';
import { recycle, recycling } from './recycled.ts';
import { attempt, change, Foreign, inspect, livePaths, openImage, type Seen, walk } from './use.ts';

/**
 * A turn that does not end is stopped after this, whatever it does. Nothing is measured by it: a
 * turn is a batch of images, and others may be using the machine.
 */
const HANG_MS = 240_000;
/** Bytes of buffers and objects, of all that were made and are not collected yet. */
const MEMORY_MAX = 1200 * 2 ** 20;
/** One image in so many is changed, one is checked again after that, one is repaired. */
const CHANGED = 3;
const CHECKED = 9;
const REPAIRED = 10;
/** One image in so many may stop its volume by an assertion. */
const LATCHED = 5000;
/** Images of one turn: to watch over a turn costs as much as an image. */
const BATCH = 50;

/** How often a base is mutated. A log that reserves or shares ranges makes a mount slow. */
const DRAWN: readonly BaseName[] = [
  ...Array.from(
    { length: 10 },
    () => ['tiny', 'files', 'clones', 'work', 'groups'] as const,
  ).flat(),
  'log',
];

const targets = new Map<BaseName, Target>();

export function targetOf(name: BaseName): Target {
  const target = targets.get(name) ?? new Target(BASES[name]());
  targets.set(name, target);
  return target;
}

/**
 * What the image says: as it is, as its older roots have it, to which a mount falls back, and as a
 * log has it that ends earlier: a frame that is damaged looks like one that was never completed.
 */
export function truths(image: Uint8Array): Seen[] {
  const log = new LogImage(image);
  const { logStart, logBlocks } = log.superblock.geometry;
  const cut = log.frames.map((_, count) => {
    const bytes = image.slice();
    bytes.fill(0, logStart * BLOCK_SIZE, (logStart + logBlocks) * BLOCK_SIZE);
    log.write(bytes, log.frames.slice(0, count));
    return bytes;
  });
  return [image, ...cut].flatMap(rootsOf);
}

/** What each root of an image says, newest first. */
function rootsOf(image: Uint8Array): Seen[] {
  const seen: Seen[] = [];
  const roots = Math.min(4, new ImageEditor(image).superblock.state.txg);
  let bytes = new Uint8Array(image);
  for (let i = 0; i < roots; i++) {
    if (i > 0) bytes = withoutNewest(bytes);
    const found = readAll(bytes);
    if (found.failed !== undefined) break;
    seen.push(found.seen);
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

/** What the image was before something that must not change it. */
let before = new Uint8Array(0);

/** Runs `body`, which must leave the bytes as they are. */
function unchanged(bytes: Uint8Array, doing: string, body: () => void): void {
  if (before.length !== bytes.length) before = new Uint8Array(bytes.length);
  before.set(bytes);
  body();
  if (Buffer.compare(before, bytes) !== 0) throw new Foreign(`${doing} has changed the image`);
}

/** What was read, or the errno with which it does not open. */
interface Read {
  readonly seen: Seen;
  readonly failed: string | undefined;
}

/** Opens an image read-only and reads everything. What was read is nothing if it does not open. */
export function readAll(bytes: Uint8Array<ArrayBuffer>, random?: Random): Read {
  let seen: Seen = new Map();
  let failed: string | undefined;
  unchanged(bytes, 'reading', () => {
    failed = attempt('open', () => {
      const volume = openImage(new MemoryDevice({ buffer: bytes.buffer }), true);
      seen = walk(volume);
      if (random !== undefined) inspect(volume, random.shuffle(livePaths(seen)).slice(0, 2));
      volume.closeSync();
    });
  });
  recycle();
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

/** Reads and checks an image, and changes or repairs some. */
function useAll(kind: MutationKind, bytes: Uint8Array<ArrayBuffer>, number: number): Seen {
  const random = new Random(number);
  const { seen, failed } = readAll(bytes, random);
  mustNotThrow('check', () => checkSync(new MemoryDevice({ buffer: bytes.buffer })));
  if (random.below(REPAIRED) === 0) repairIt(kind, bytes, seen);
  if (random.below(CHANGED) === 0) changeIt(bytes, { seen, failed }, random);
  return seen;
}

function changeIt(bytes: Uint8Array, before: Read, random: Random): void {
  const device = MemoryDevice.from(bytes);
  const failed = attempt('open', () => {
    const volume = openImage(device, false);
    try {
      change(volume, livePaths(before.seen), random);
      attempt('close', () => volume.closeSync());
    } catch (error) {
      if (!isLatched(volume, error)) throw error;
    }
    if (random.below(CHECKED / CHANGED) > 0) return;
    mustNotThrow('check after changes', () => checkSync(device));
  });
  recycle();
  // A log that cannot be replayed in memory alone is EROFS.
  if (failed === undefined && before.failed !== undefined && before.failed !== 'EROFS') {
    throw new Foreign('only writing opens it');
  }
}

/** Volumes that an assertion has stopped. */
let latched = 0;

/**
 * True if what counts said of a forged image came out in the middle of a change, and has stopped
 * the volume before anything of it was written. It is rare, and told with an assertion.
 */
function isLatched(volume: Volume, error: unknown): boolean {
  if (!(error instanceof Foreign && error.cause instanceof AssertionError)) return false;
  if (attempt('change', () => volume.fs.mkdirSync('/after')) !== 'EROFS') return false;
  latched++;
  return true;
}

/** A value without what a repair may change: links are counted anew, unreal times made real. */
function kept(key: string, value: string | undefined): string | undefined {
  if (value === undefined) return value;
  if (key.endsWith(' stat')) return value.split(' ').toSpliced(NLINK, 6).join(' ');
  if (key !== 'live:/ names') return value;
  const names = value.slice('= '.length).split('|');
  return `= ${names.filter((name) => name !== 'lost+found').join('|')}`;
}

/** Place of the link count in what {@link walk} tells of an inode; a device and times follow. */
const NLINK = 5;
/** Counts that could not be used hide what is mended next. */
const REPAIRS = 3;

/**
 * A repair ends, whatever it is given. Of damage it takes nothing away that could be read, and some
 * repairs leave nothing to be done by another; what a log comes to that is still to be replayed
 * depends on the counts, right or wrong. Where every checksum is right and what is said cannot be,
 * nobody knows which of two that contradict each other is true, and one of them may be lost.
 */
function repairIt(kind: MutationKind, bytes: Uint8Array, before: Seen): void {
  const image = new Uint8Array(bytes);
  const device = new MemoryDevice({ buffer: image.buffer });
  let exempt = kind === 'sealed';
  mustNotThrow('repair', () => {
    const { found } = repairSync(device).before;
    exempt ||= found.has('log-pending') || found.has('slot-fixed');
  });
  const { seen } = readAll(image);
  for (const [key, value] of exempt ? [] : before) {
    if (!value.startsWith('= ') || kept(key, seen.get(key)) === kept(key, value)) continue;
    throw new Foreign(`repair: ${key} was ${value} and is ${seen.get(key)}`);
  }
  mustNotThrow('more repairs', () => {
    let done: readonly string[] = ['begin'];
    for (let i = 1; i < REPAIRS && done.length > 0; i++) done = repairSync(device).done;
    if (done.length > 0 && kind === 'raw') {
      throw new Error(`repair ${REPAIRS} had to ${done.join(', ')}`);
    }
  });
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
  judge: (seen: Seen, base: BaseName) => string | undefined,
): void {
  recycling();
  const only = process.env['RAMET_MUTATION'];
  const range = { first: only === undefined ? first : Number(only), count: only ? 1 : count };
  // An error of ours tells where it is from only when it is looked at alone.
  Error.stackTraceLimit = only === undefined ? 3 : 50;
  const end = range.first + range.count;
  latched = 0;
  let number = range.first;
  let what = '';
  let base: BaseName = 'tiny';
  const one = (): string | undefined => {
    base = DRAWN[number % DRAWN.length] as BaseName;
    const mutation = targetOf(base).mutation(kind, number);
    what = mutation.what;
    return judge(useAll(kind, mutation.bytes, number), base);
  };
  while (number < end) {
    const stop = Math.min(end, number + BATCH);
    const finding = bounded(() => {
      for (; number < stop; number++) {
        const found = one();
        if (found !== undefined) return found;
      }
      return undefined;
    });
    if (finding === undefined) continue;
    throw new Error(`${kind} mutation of ${base}, RAMET_MUTATION=${number} (${what}): ${finding}`);
  }
  const most = kind === 'raw' ? 0 : 1 + range.count / LATCHED;
  if (latched > most) throw new Error(`${latched} of ${range.count} volumes have broken a rule`);
}

const turn = createContext({ body: (): string | undefined => undefined });
const script = new Script('body()');

/** Runs `body` to its end, or to the end of patience. */
export function bounded(body: () => string | undefined): string | undefined {
  try {
    turn['body'] = body;
    const finding = script.runInContext(turn, { timeout: HANG_MS }) as string | undefined;
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    const taken = arrayBuffers + heapUsed;
    return taken > MEMORY_MAX ? `${taken} bytes of memory` : finding;
  } catch (error) {
    return (error as Error).message;
  }
}
