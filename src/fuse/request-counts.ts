/**
 * Request counts: what the kernel has asked of a mount so far, by kind, and how long it took.
 *
 * Counting stands between all requests and their replies, so it takes no memory but for the two
 * numbers that the host's clock makes: all of it is in typed arrays. Nothing is ever set back;
 * whoever wants to know of an interval asks twice.
 */
import { performance } from 'node:perf_hooks';
import { Opcode } from './constants.ts';
import { BUCKETS, bucketOf } from './latency.ts';
import { type Message, REPLY_BODY } from './message.ts';
import { WRITE_OUT } from './wire.ts';

/** All numbers of operations are below; 0 stands for those that nobody knows. */
const KINDS = 64;

/** Bound and not looked for in the global object: read twice a request, a quarter is a lot. */
const CLOCK: () => number = performance.now.bind(performance);

/** Places in the totals. */
const READ = 0;
const WRITTEN = 1;
const FROM_MEMORY = 2;
const TOTALS = 3;

/** By number: `lookup`, `copy_file_range`, ... */
const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name.toLowerCase()]),
);

/** What was asked of one kind. */
export interface KindCounts {
  readonly name: string;
  /** Milliseconds, all together. */
  readonly ms: number;
  /** The buckets that are not empty, each followed by its count modulo 2^32. */
  readonly buckets: readonly number[];
}

export interface RequestTotals {
  readonly kinds: readonly KindCounts[];
  /** Bytes that READ and WRITE have moved. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Requests for which nothing had to be loaded. */
  readonly fromMemory: number;
}

export interface RequestCountsOptions {
  /** Counts what was loaded from the device. */
  readonly blocks: { readonly loads: number };
  /** Milliseconds since some moment, as fine as can be; the host's if it is left out. */
  readonly now?: (() => number) | undefined;
}

export class RequestCounts {
  readonly #blocks: { readonly loads: number };
  readonly #now: () => number;
  readonly #buckets = new Uint32Array(KINDS * BUCKETS);
  readonly #ms = new Float64Array(KINDS);
  readonly #totals = new Float64Array(TOTALS);
  /** When the newest request was taken, and what had been loaded by then. */
  readonly #start = new Float64Array(2);

  constructor({ blocks, now }: RequestCountsOptions) {
    this.#blocks = blocks;
    this.#now = now ?? CLOCK;
  }

  /** A request was taken. */
  begin(): void {
    this.#start[0] = this.#now();
    this.#start[1] = this.#blocks.loads;
  }

  /** For a request that gives up its turn: what {@link end} is given in the end. */
  get started(): { readonly ms: number; readonly loads: number } {
    return { ms: this.#start[0] as number, loads: this.#start[1] as number };
  }

  /** The request in a message was answered; without `started` it is the one taken last. */
  end(message: Message, answer: number, started?: { ms: number; loads: number }): void {
    const { opcode } = message;
    // It answers a question of ours.
    if (opcode === Opcode.NOTIFY_REPLY) return;
    const kind = opcode < KINDS ? opcode : 0;
    const ms = this.#now() - (started === undefined ? (this.#start[0] as number) : started.ms);
    const at = kind * BUCKETS + bucketOf(ms);
    this.#buckets[at] = (this.#buckets[at] as number) + 1;
    this.#ms[kind] = (this.#ms[kind] as number) + ms;
    const loads = started === undefined ? (this.#start[1] as number) : started.loads;
    if (this.#blocks.loads === loads) this.#add(FROM_MEMORY, 1);
    if (answer <= 0) return;
    if (opcode === Opcode.READ) this.#add(READ, answer);
    else if (opcode === Opcode.WRITE) {
      this.#add(WRITTEN, message.out.getUint32(REPLY_BODY + WRITE_OUT.at.size, true));
    }
  }

  #add(total: number, count: number): void {
    this.#totals[total] = (this.#totals[total] as number) + count;
  }

  /** All that was counted so far. */
  read(): RequestTotals {
    const kinds: KindCounts[] = [];
    for (let kind = 0; kind < KINDS; kind++) {
      const buckets: number[] = [];
      for (let i = 0; i < BUCKETS; i++) {
        const count = this.#buckets[kind * BUCKETS + i] as number;
        if (count > 0) buckets.push(i, count);
      }
      if (buckets.length === 0) continue;
      kinds.push({ name: NAMES.get(kind) ?? 'other', ms: this.#ms[kind] as number, buckets });
    }
    const [bytesRead = 0, bytesWritten = 0, fromMemory = 0] = this.#totals;
    return { kinds, bytesRead, bytesWritten, fromMemory };
  }
}
