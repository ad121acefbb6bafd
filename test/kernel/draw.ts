/**
 * Draw: the next step of a history, by chance.
 *
 * Files are small, and offsets prefer blocks and the end of the file, so that things collide. Each
 * history leaves out some operations: what two of them do to each other is seen more often if a
 * third does not come between.
 */
import { BLOCK_SIZE as B, roundDown } from '../../src/base/index.ts';
import { INLINE_MAX } from '../../src/format/index.ts';
import type { Random } from '../../src/testing/index.ts';
import {
  FILES,
  type FileName,
  OFFSET_OPERATIONS,
  type Operation,
  PAIR_OPERATIONS,
  PLAIN_FILLS,
  STEP,
  type Step,
} from './steps.ts';

const WEIGHTS: Readonly<Record<Operation, number>> = {
  read: 5,
  write: 20,
  truncate: 5,
  punch: 7,
  zero: 5,
  'zero-keep': 3,
  collapse: 5,
  insert: 5,
  allocate: 3,
  'allocate-keep': 3,
  unshare: 4,
  clone: 8,
  dedupe: 5,
  copy: 6,
  'seek-data': 2,
  'seek-hole': 2,
  'clone-file': 3,
  reopen: 1,
  sync: 4,
  remount: 2,
  compare: 8,
};

/** Where one operation in twelve is not aligned though it should be. */
const MISALIGNED = 1 / 12;

/** Files that a history may have, in blocks. */
const LIMITS = [3, 3, 16, 64, 64, 256];

export class Draw {
  readonly #random: Random;
  readonly #operations: Operation[];
  /** No file becomes longer, but by little. */
  readonly #limit: number;
  #fill = PLAIN_FILLS;

  constructor(random: Random) {
    this.#random = random;
    this.#limit = random.pick(LIMITS) * B;
    // Often compared, everything is in memory; seldom, and a difference goes far before it is seen.
    const compare = random.pick([1, 4, 16]);
    this.#operations = Object.entries({ ...WEIGHTS, compare }).flatMap(([operation, weight]) => {
      const here = operation === 'write' || random.chance(0.85);
      return here ? Array<Operation>(weight).fill(operation as Operation) : [];
    });
  }

  next(sizes: ReadonlyMap<FileName, number>): Step {
    const random = this.#random;
    const file = random.pick(FILES);
    const size = sizes.get(file) as number;
    if (size > this.#limit)
      return { ...STEP, operation: 'truncate', file, offset: this.#offset(0) };
    const operation = random.pick(this.#operations);
    const step = { ...STEP, operation, file };
    if (includes(PAIR_OPERATIONS, operation)) return this.#pair(step, sizes);
    switch (operation) {
      case 'collapse':
      case 'insert':
        return { ...step, ...this.#shift(size) };
      case 'clone-file':
        return { ...step, source: random.pick(FILES.filter((other) => other !== file)) };
      case 'write':
        return { ...step, ...this.#range(size), fill: this.#nextFill() };
      default:
        if (includes(OFFSET_OPERATIONS, operation)) return { ...step, offset: this.#offset(size) };
        return { ...step, ...this.#range(size) };
    }
  }

  #pair(step: Step, sizes: ReadonlyMap<FileName, number>): Step {
    const random = this.#random;
    const source = random.chance(0.2) ? step.file : random.pick(FILES);
    const from = sizes.get(source) as number;
    const to = sizes.get(step.file) as number;
    if (step.operation === 'copy') return this.#copy({ ...step, source }, from, to);
    if (step.operation === 'dedupe') return this.#dedupe({ ...step, source }, from, to);
    const sourceOffset = this.#aligned(from);
    const offset = random.chance(0.4) ? sourceOffset : this.#aligned(this.#limit);
    const rest = from - sourceOffset;
    const fits = rest > 0 && offset + rest <= this.#limit;
    let length = this.#blocks(Math.min(rest, this.#limit - offset));
    // To the end, where a part of a block is all there is.
    if (fits && random.chance(0.3)) length = random.chance(0.3) ? 0 : rest;
    if (random.chance(MISALIGNED)) length = random.between(1, 3 * B);
    return { ...step, source, sourceOffset, offset, length };
  }

  /** Of a part of a block only where both files end: see D6. */
  #dedupe(step: Step, from: number, to: number): Step {
    const random = this.#random;
    let sourceOffset = this.#aligned(Math.min(from, to));
    const offset = random.chance(0.6) ? sourceOffset : this.#aligned(to);
    if (random.chance(0.3)) sourceOffset = this.#aligned(from);
    const [rest, room] = [from - sourceOffset, to - offset];
    const length = this.#blocks(Math.min(rest, room));
    const toEnd = rest > 0 && rest === room && random.chance(0.5);
    return { ...step, sourceOffset, offset, length: toEnd ? rest : length };
  }

  /** Whole blocks, mostly of so many bytes; at least one. */
  #blocks(bytes: number): number {
    const random = this.#random;
    const most = Math.max(1, Math.floor(bytes / B) + (random.chance(MISALIGNED) ? 1 : 0));
    return random.between(1, random.chance(0.5) ? most : Math.min(most, 4)) * B;
  }

  #copy(step: Step, from: number, to: number): Step {
    const random = this.#random;
    const { offset, length } = this.#range(to);
    let sourceOffset = this.#offset(from);
    if (random.chance(0.5)) sourceOffset = roundDown(sourceOffset, B) + (offset % B);
    return { ...step, sourceOffset, offset, length };
  }

  /** What is taken out or put in: whole blocks. */
  #shift(size: number): { offset: number; length: number } {
    const random = this.#random;
    const offset = this.#aligned(size + B);
    let length = random.between(1, random.pick([2, 8, Math.max(1, this.#limit / B / 4)])) * B;
    if (random.chance(MISALIGNED)) length += random.pick([1, -1, 512]);
    return { offset, length };
  }

  /** The beginning of a block before `end`; seldom a byte that is none. */
  #aligned(end: number): number {
    const random = this.#random;
    const offset = random.below(Math.max(1, Math.ceil(end / B))) * B;
    return random.chance(MISALIGNED) ? offset + random.pick([1, 512, B - 1]) : offset;
  }

  #range(size: number): { offset: number; length: number } {
    const random = this.#random;
    const limit = this.#limit;
    const offset = Math.min(limit - 1, this.#offset(size));
    const blocks = limit / B;
    const lengths = [
      () => random.between(1, 100),
      () => random.between(1, 3 * B),
      () => random.between(1, Math.min(blocks, 8)) * B,
      () => (B - (offset % B)) % B,
      () => random.between(1, Math.ceil(limit / 2)),
    ];
    const length = random.pick(lengths)() || B;
    return { offset, length: Math.min(length, limit - offset) };
  }

  #offset(size: number): number {
    const random = this.#random;
    const limit = this.#limit;
    const chance = random.fraction();
    if (chance < 0.45) return random.below(limit / B) * B;
    if (chance < 0.6) return Math.max(0, random.between(0, limit / B) * B + random.between(-9, 9));
    if (chance < 0.8) return random.below(limit);
    if (chance < 0.85 || limit <= 3 * B) return random.below(INLINE_MAX + 100);
    const near = [size, size - 1, size + 1, roundDown(size, B), roundDown(size, B) + B];
    return Math.max(0, random.pick(near));
  }

  #nextFill(): number {
    return this.#random.chance(0.5) ? this.#random.below(PLAIN_FILLS) : ++this.#fill;
  }
}

function includes(list: readonly Operation[], operation: Operation): boolean {
  return list.includes(operation);
}
