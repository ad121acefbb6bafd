/**
 * Session: what the phases of one check share.
 */
import { BLOCK_SIZE } from '../base/index.ts';
import type { Completion, Steps } from '../device/index.ts';
import { BlockReader, type Source } from './block-reader.ts';
import { type CheckStatistics, IssueList, newStatistics } from './report.ts';

/**
 * `roots`: superblocks and index. `blocks`: everything reachable, once. `names`: directories as a
 * reader sees them. `counts`: what is stored about use against what was found.
 */
export type CheckPhase = 'roots' | 'blocks' | 'names' | 'counts';

export interface CheckProgress {
  readonly phase: CheckPhase;
  /** Blocks, directories or groups that are done, and about how many there are. */
  readonly done: number;
  readonly total: number;
}

export interface CheckOptions {
  /** Verify the checksums of file data too, not only of nodes. Default true. */
  readonly data?: boolean;
  /**
   * Bytes the check may take: 8 for each block of a group that is in use, some 200 for each
   * directory that waits or is shared. Default 1 GiB; beyond it the check ends, issue `memory`.
   */
  readonly memory?: number;
  /**
   * Directory nodes that may be read more than once to compare the link counts of clones. Default
   * 4,194,304; beyond it they are taken as they are, issue `names-skipped`.
   */
  readonly revisits?: number;
  /** How many issues of each code are kept. All are counted. Default 100. */
  readonly issues?: number;
  /** Told of every few MiB. What it throws ends the check. */
  readonly progress?: (progress: CheckProgress) => void;
  /** Ends the check with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Lets others run, every few MiB; without it a check of a `sync` device is one turn. */
  readonly pause?: () => Promise<void>;
  /** Milliseconds by any clock, for `statistics.seconds`. */
  readonly now?: () => number;
}

/** Like `Steps`, with an answer at the end. */
export type Answer<Result> = Generator<Completion, Result, void>;

const MEMORY = 1024 * 1024 * 1024;
const ISSUES = 100;
const REVISITS = 4_194_304;

/** The check takes more memory than it was given. Ends it; never leaves this room. */
export class OutOfMemory extends Error {
  readonly limit: number;

  constructor(limit: number) {
    super(`Cannot check within ${limit} bytes of memory`);
    this.limit = limit;
  }
}

export class Session {
  readonly device: Source;
  readonly reader: BlockReader;
  readonly issues: IssueList;
  readonly statistics: CheckStatistics = newStatistics();
  readonly verifyData: boolean;
  readonly revisitsMax: number;
  /** Something could not be followed: what was not reached is not called unused. */
  incomplete = false;
  readonly #options: CheckOptions;
  readonly #memory: number;
  #taken = 0;

  constructor(device: Source, options: CheckOptions) {
    this.device = device;
    this.#options = options;
    this.reader = new BlockReader(device);
    this.issues = new IssueList(options.issues ?? ISSUES);
    this.verifyData = options.data ?? true;
    this.revisitsMax = options.revisits ?? REVISITS;
    this.#memory = options.memory ?? MEMORY;
  }

  /** @throws {OutOfMemory} if the check has taken more than it may */
  take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > this.#memory) throw new OutOfMemory(this.#memory);
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }

  /** The bytes of blocks that follow each other, or why one of them cannot be read. */
  *readRun(first: number, count: number): Answer<Uint8Array<ArrayBuffer> | Error> {
    const bytes = new Uint8Array(count * BLOCK_SIZE);
    for (let done = 0; done < count; done += this.reader.capacity) {
      const length = Math.min(this.reader.capacity, count - done);
      yield* this.reader.read(Array.from({ length }, (_, i) => first + done + i));
      for (let i = 0; i < length; i++) {
        const error = this.reader.error(i);
        if (error !== undefined) return error;
      }
      bytes.set(this.reader.bytes.subarray(0, length * BLOCK_SIZE), done * BLOCK_SIZE);
    }
    return bytes;
  }

  /** Between two rounds: tells how far we are, and gives way to the caller's signal and others. */
  *turn(phase: CheckPhase, done: number, total: number): Steps {
    const { signal, progress, pause } = this.#options;
    if (signal?.aborted) throw signal.reason;
    progress?.({ phase, done, total });
    if (pause !== undefined) yield pause();
  }

  now(): number {
    return this.#options.now?.() ?? 0;
  }
}
