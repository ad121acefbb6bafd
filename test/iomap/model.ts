/**
 * Model: what files must hold, as plain bytes, changed in the very turn in which the toy changes.
 *
 * Operations run side by side and end in any order, but each chunk is applied in one turn. The
 * tracked operations (tracked.ts) do to the model what they do to the file in that turn, and a read
 * is compared in the turn in which it is done. So the model is exact, however operations overlap.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Operation } from '../../src/base/index.ts';
import { Truncate } from '../../src/iomap/index.ts';
import { B, noise, type Rig } from './rig.ts';
import { Reflink, ToyFile } from './toy-filesystem.ts';
import {
  type Pair,
  resize,
  TrackedDirectRead,
  TrackedDirectWrite,
  TrackedRead,
  TrackedWrite,
} from './tracked.ts';

/** Files in a history: at most this many, clones included. */
const FILES_MAX = 4;

interface ToyPair extends Pair {
  readonly file: ToyFile;
}

export type Action =
  | {
      readonly do: 'write' | 'write directly';
      file: number;
      at: number;
      length: number;
      seed: number;
    }
  | { readonly do: 'read' | 'read directly'; file: number; at: number; length: number }
  | { readonly do: 'truncate'; file: number; size: number }
  | { readonly do: 'preallocate'; file: number; at: number; length: number }
  | { readonly do: 'clone'; file: number }
  | { readonly do: 'sync' }
  | { readonly do: 'evict' };

export interface Bounds {
  /** Largest offset of a write, in blocks. */
  readonly blocks: number;
  /** Longest write or read, in blocks. */
  readonly length: number;
}

/** Offsets that are mostly near a boundary of blocks, where mistakes live. */
function offsets(blocks: number): fc.Arbitrary<number> {
  const near = fc.constantFrom(0, 0, 1, 100, B / 2, B - 1);
  return fc.tuple(fc.nat(blocks - 1), near).map(([block, byte]) => block * B + byte);
}

/** Histories in which `at` and `length` have these bounds. */
export function histories(bounds: Bounds): fc.Arbitrary<Action[]> {
  return fc.array(actions(bounds), { maxLength: 25, size: 'max' });
}

function actions({ blocks, length }: Bounds): fc.Arbitrary<Action> {
  const file = fc.nat(FILES_MAX - 1);
  const at = offsets(blocks);
  const lengths = fc.oneof(fc.integer({ min: 1, max: 200 }), offsets(length));
  const seed = fc.nat(1000);
  const writes = fc.constantFrom('write', 'write', 'write directly');
  const reads = fc.constantFrom('read', 'read directly');
  return fc.oneof(
    { weight: 9, arbitrary: fc.record({ do: writes, file, at, length: lengths, seed }) },
    { weight: 5, arbitrary: fc.record({ do: reads, file, at, length: lengths }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate'), file, size: at }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('preallocate'), file, at, length: lengths }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('clone'), file }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('sync') }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('evict') }) },
  ) as fc.Arbitrary<Action>;
}

export class Model {
  readonly rig: Rig;
  readonly pairs: ToyPair[];
  #clones = 0;

  constructor(rig: Rig) {
    this.rig = rig;
    this.pairs = [{ file: new ToyFile(rig.toy), bytes: new Uint8Array(0) }];
  }

  /** The operation that does it to file and model; undefined if it is done already. */
  operation(action: Action): Operation<unknown> | undefined {
    const pair = this.pairs[('file' in action ? action.file : 0) % this.pairs.length] as ToyPair;
    switch (action.do) {
      case 'write':
        return new TrackedWrite(pair, action.at, noise(action.length, action.seed));
      case 'read':
        return new TrackedRead(pair, action.at, action.length);
      case 'write directly':
        return new TrackedDirectWrite(pair, action.at, noise(action.length, action.seed));
      case 'read directly':
        return new TrackedDirectRead(pair, action.at, action.length);
      case 'truncate':
        return new Truncate(pair.file, action.size, () => resize(pair, action.size));
      case 'clone':
        if (this.pairs.length + this.#clones >= FILES_MAX) return undefined;
        this.#clones++;
        return new TrackedReflink(pair, (clone) => {
          this.#clones--;
          this.pairs.push(clone);
        });
      case 'sync':
        return this.rig.syncing();
      case 'preallocate':
        this.rig.toy.preallocate(pair.file, action.at, action.length);
        return undefined;
      case 'evict':
        this.rig.cache.evictAll();
        return undefined;
    }
  }

  /** Compares every file, as reads see it, in this turn. */
  compare(): void {
    for (const operation of this.#comparisons()) this.rig.run(operation);
  }

  /** The same on a slow device. */
  async compareSlowly(): Promise<void> {
    for (const operation of this.#comparisons()) await this.rig.do(operation);
  }

  *#comparisons(): Generator<TrackedRead | TrackedDirectRead> {
    const { chunkSize } = this.rig.toy.pool;
    for (const pair of this.pairs) {
      yield new TrackedDirectRead(pair, 0, pair.bytes.length);
      expect(pair.file.size).toBe(pair.bytes.length);
      for (let at = 0; at <= pair.bytes.length; at += chunkSize) {
        yield new TrackedRead(pair, at, chunkSize);
      }
    }
  }
}

class TrackedReflink extends Reflink {
  readonly #pair: ToyPair;
  readonly #cloned: (clone: ToyPair) => void;

  constructor(pair: ToyPair, cloned: (clone: ToyPair) => void) {
    super(pair.file);
    this.#pair = pair;
    this.#cloned = cloned;
  }

  protected override finish(file: ToyFile): true {
    this.#cloned({ file, bytes: this.#pair.bytes.slice() });
    return super.finish(file);
  }
}
