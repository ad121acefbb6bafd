/**
 * Scrub: blocks whose content only has to match a checksum, verified in the order in which they
 * lie on the device. File data, and the second copies of nodes.
 */
import { assert, BLOCK_SIZE, checksum32 } from '../base/index.ts';
import type { Steps } from '../device/index.ts';
import { Use, useName } from './block-table.ts';
import type { Session } from './session.ts';

/** Blocks that wait: when there are this many it is time to flush. */
const ENOUGH = 32768;
/** And as many as there may be. */
const CAPACITY = 131072;

/** Takes the blocks that a walk has found and does not read itself. */
export interface BlockSink {
  /** It is time to flush. */
  readonly isFull: boolean;
  /** Takes a block; `use` is data or a copy. */
  add(block: number, checksum: number, inode: number, use: number): void;
  /** Deals with everything taken. `turn` is run between two rounds. */
  flush(turn: () => Steps): Steps;
}

export class Scrub implements BlockSink {
  readonly #session: Session;
  readonly #seed: bigint;
  /** Block index times CAPACITY, plus the place in the other arrays: what is sorted. */
  readonly #keys: Float64Array;
  readonly #checksums: Uint32Array;
  readonly #inodes: Float64Array;
  readonly #uses: Uint8Array;
  #length = 0;

  /** Each of `blockCount` blocks may wait twice, as data and as a copy, if it is one wrongly. */
  constructor(session: Session, seed: bigint, blockCount: number) {
    this.#session = session;
    this.#seed = seed;
    const capacity = Math.min(CAPACITY, 2 * blockCount);
    this.#keys = new Float64Array(capacity);
    this.#checksums = new Uint32Array(capacity);
    this.#inodes = new Float64Array(capacity);
    this.#uses = new Uint8Array(capacity);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  get isFull(): boolean {
    return this.#length >= ENOUGH;
  }

  add(block: number, checksum: number, inode: number, use: number): void {
    const i = this.#length++;
    assert(i < this.#keys.length, 'too many blocks wait for their scrub');
    this.#keys[i] = block * CAPACITY + i;
    this.#checksums[i] = checksum;
    this.#inodes[i] = inode;
    this.#uses[i] = use;
  }

  /** Verifies everything that waits. */
  *flush(turn: () => Steps): Steps {
    const keys = this.#keys.subarray(0, this.#length).sort();
    const { reader } = this.#session;
    for (let done = 0; done < keys.length; done += reader.capacity) {
      const round = keys.subarray(done, done + reader.capacity);
      yield* reader.read(Array.from(round, (key) => Math.floor(key / CAPACITY)));
      for (let i = 0; i < round.length; i++) this.#verify(round[i] as number, i);
      yield* turn();
    }
    this.#length = 0;
  }

  #verify(key: number, i: number): void {
    const { reader, issues, statistics } = this.#session;
    const block = Math.floor(key / CAPACITY);
    const place = key - block * CAPACITY;
    const use = this.#uses[place] as number;
    const of = { block, what: useName(use), inode: this.#inodes[place] as number };
    const error = reader.error(i);
    const wanted = this.#checksums[place] as number;
    const at = reader.at(i);
    const bytes = reader.bytes.subarray(at, at + BLOCK_SIZE);
    const found = error === undefined ? checksum32(bytes, this.#seed) : 0;
    statistics.verified += BLOCK_SIZE;
    if (error === undefined && found === wanted) return;
    if (use === Use.COPY) issues.add('copy-damaged', of);
    else if (error !== undefined) issues.add('unreadable', { ...of, finding: error.message });
    else issues.add('checksum', { ...of, found, wanted });
  }
}
