/**
 * Logs: frames that are whole and follow one another, and say what cannot be.
 */
import { BLOCK_SIZE, KIB } from '../../src/base/index.ts';
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
  SUPERBLOCKS,
  type Superblock,
  superblockPlace,
} from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';

/** What a volume leaves that was not closed. */
export class LogImage {
  readonly image: Uint8Array;
  readonly superblock: Superblock;
  readonly frames: LogFrame[] = [];
  readonly #seed: bigint;

  constructor(image: Uint8Array) {
    this.image = image;
    const found = Array.from({ length: SUPERBLOCKS }, (_, ring) => {
      const at = superblockPlace(0, ring, 0) * BLOCK_SIZE;
      return decodeSuperblock(image.subarray(at, at + BLOCK_SIZE));
    })
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
    this.write(image, frames);
    return image;
  }

  /** The same in an image that is there. */
  write(image: Uint8Array, frames: readonly LogFrame[]): void {
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
  }
}

const HOSTILE = [0, 1, 2, 3, 255, 4095, 4096, 65_535, 2 ** 31, 2 ** 32 - 1];
const NAMES = ['', '.', '..', '/', 'a/b', '/1', '/99999999', 'x'.repeat(300)];

/** A value of a field that is like the one there is, or like nothing. */
function altered(value: unknown, random: Random): unknown {
  if (typeof value === 'number') {
    return random.pick([...HOSTILE, value + 1, Math.max(0, value - 1), random.next()]);
  }
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') return random.pick([...NAMES, `${value}x`]);
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

/** Frames of which one has a record less, twice, or with another field. */
export function mutateFrames(frames: readonly LogFrame[], random: Random): LogFrame[] {
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
