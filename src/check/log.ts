/**
 * Log: what the next mount would do again, after the root that it takes.
 *
 * A frame that is torn ends the log and is nothing wrong: it was being written when the power went,
 * or the data that it names was. A frame that is whole and says what cannot be would keep the
 * volume from being mounted; damaged data of an older frame would be mapped, and not be readable.
 */
import { BLOCK_SIZE, type Block, checksum32, errorCode } from '../base/index.ts';
import type { Steps } from '../device/index.ts';
import {
  imageSeed,
  isFirstLogFrame,
  isFixedBlock,
  isNextLogFrame,
  logFrameBlocks,
  type Mutation,
  mutationsOf,
  openLogFrame,
  type SealedLogFrame,
  type Superblock,
} from '../format/index.ts';
import { ROUND_MIN } from './block-reader.ts';
import type { BlockTable } from './block-table.ts';
import type { Answer, Session } from './session.ts';

export class LogCheck {
  readonly #session: Session;
  readonly #superblock: Superblock;
  readonly #table: BlockTable;
  readonly #seed: bigint;
  /** Blocks that writes of the log name. */
  readonly #named = new Set<number>();
  #frames = 0;
  #operations = 0;
  /** Blocks that the writes of a frame name, and their checksums. */
  #data = new Map<number, number>();

  constructor(session: Session, superblock: Superblock, table: BlockTable) {
    this.#session = session;
    this.#superblock = superblock;
    this.#table = table;
    this.#seed = imageSeed(superblock.uuid);
  }

  *read(): Steps {
    const { geometry, state } = this.#superblock;
    let at = state.logTail % geometry.logBlocks;
    let last: SealedLogFrame | undefined;
    for (let blocks = 0; blocks < geometry.logBlocks; ) {
      let frame = yield* this.#frameAt(at, last);
      if (frame === undefined && at > 0) {
        at = 0;
        frame = yield* this.#frameAt(0, last);
      }
      if (frame === undefined) break;
      yield* this.#verify(false);
      if (frame.epoch > state.txg) this.#look(frame, geometry.logStart + at);
      last = frame;
      blocks += frame.bytes.length / BLOCK_SIZE;
      at = (at + frame.bytes.length / BLOCK_SIZE) % geometry.logBlocks;
    }
    const isWhole = yield* this.#verify(true);
    if (!isWhole && last !== undefined) {
      this.#frames--;
      this.#operations -= last.records;
    }
    const [frames, operations] = [this.#frames, this.#operations];
    const { issues } = this.#session;
    if (frames > 0 && !issues.found.has('log-fault')) {
      issues.add('log-pending', { frames, operations });
    }
  }

  /** The next frame, if it is at this block of the log. */
  *#frameAt(at: number, last: SealedLogFrame | undefined): Answer<SealedLogFrame | undefined> {
    const { geometry, state, uuid } = this.#superblock;
    const head = yield* this.#session.readRun(geometry.logStart + at, 1);
    if (head instanceof Error) return undefined;
    const count = logFrameBlocks(head);
    if (count === 0 || at + count > geometry.logBlocks) return undefined;
    const bytes = yield* this.#session.readRun(geometry.logStart + at, count);
    const frame = bytes instanceof Error ? undefined : openLogFrame(bytes, imageSeed(uuid));
    if (frame === undefined) return undefined;
    const first = last === undefined && isFirstLogFrame(frame, state);
    return first || (last !== undefined && isNextLogFrame(frame, last)) ? frame : undefined;
  }

  /** Whether the data of a frame is whole; what is not is told, but for the last one's. */
  *#verify(isLast: boolean): Answer<boolean> {
    const { reader, issues, statistics, verifyData } = this.#session;
    const all = verifyData ? [...this.#data] : [];
    this.#data.clear();
    let isWhole = true;
    for (let at = 0; at < all.length; at += ROUND_MIN) {
      const round = all.slice(at, at + ROUND_MIN);
      yield* reader.read(round.map(([block]) => block));
      round.forEach(([block, wanted], i) => {
        const error = reader.error(i);
        const bytes = reader.bytes.subarray(reader.at(i), reader.at(i) + BLOCK_SIZE);
        const found = error === undefined ? checksum32(bytes, this.#seed) : 0;
        statistics.verified += BLOCK_SIZE;
        if (error === undefined && found === wanted) return;
        isWhole = false;
        if (isLast) return;
        const of = { block, what: 'data block of the log', inode: 0 };
        if (error !== undefined) issues.add('unreadable', { ...of, finding: error.message });
        else issues.add('checksum', { ...of, found, wanted });
      });
    }
    return isWhole;
  }

  #look(frame: SealedLogFrame, block: number): void {
    this.#frames++;
    this.#operations += frame.records;
    try {
      for (const mutation of mutationsOf(frame)) this.#lookAt(mutation, block);
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      this.#session.issues.add('log-fault', { block, finding: (error as Error).message });
    }
  }

  /** A write names blocks that nothing else uses. */
  #lookAt(mutation: Mutation, block: number): void {
    if (mutation.type !== 'write') return;
    const { geometry } = this.#superblock;
    const { issues } = this.#session;
    let next = 0;
    for (const run of mutation.runs) {
      if (run.block + run.length > geometry.blockCount) {
        issues.add('log-fault', { block, finding: 'a write names blocks outside the volume' });
        return;
      }
      for (let i = run.block; i < run.block + run.length; i++) {
        const used = isFixedBlock(geometry, i as Block) || this.#table.count(i) > 0;
        if (used || this.#named.has(i)) {
          issues.add('log-fault', { block, finding: `a write names block ${i}, which is in use` });
          return;
        }
        this.#session.take(NAMED_BYTES);
        this.#named.add(i);
        this.#data.set(i, mutation.checksums[next++] as number);
      }
    }
  }
}

/** Memory that one named block takes. */
const NAMED_BYTES = 120;
