/**
 * Staged view: a range of a file as memory that can be stored to.
 *
 * JavaScript has no page faults, so nobody is told when something is stored. What is stored through
 * a view is therefore *staged*, as all of the CoW fork is: nobody sees it until it is copied out.
 * That is a write of the bytes that have changed, and of no others, so that whoever else writes to
 * the file keeps what he wrote. The view stays where it is and goes on.
 *
 *   copy out   before a clone, a snapshot, an fsync and a sync, and when the holder asks for it;
 *              what others have written since the last time is in the view then, too
 *   forget     what is punched or zeroed becomes zeros in the view, stored to or not
 *   revoke     what it shows is cut off, moved or replaced, or the file is closed: the memory is
 *              detached, which the holder sees at once. What was stored, and is still part of the
 *              file, is copied out on the next of the occasions above
 *
 * Z1. A byte that differs from `#known`, which is what the file had when the view was brought up to
 *     date, was stored by the holder.
 * Z2. Space for every block of a view is promised while nothing is copied out. Where there is none
 *     afterwards the view is revoked: all that was stored is in the file then.
 */
import { type Plan, wordsOf } from '../base/index.ts';
import { CopyOut } from './copy-out.ts';
import type { IomapFile } from './file.ts';
import { MappingAnswer, MappingRequest, RequestFlag } from './mapping.ts';

/** Why a view was revoked. */
export type RevokeReason = 'truncated' | 'replaced' | 'closed' | 'no space';

/** Who keeps the inode of a file that is viewed. */
export interface ViewKeeper {
  /** What a copy out has written, in the same turn. `data` is valid during the call only. */
  wrote(position: number, data: Uint8Array): void;
  /** The view has nothing more to do with the file. */
  ended(): void;
}

const NO_BYTES = new Uint8Array(0);
const WORD = 4;

export class StagedView {
  readonly file: IomapFile;
  readonly offset: number;
  readonly length: number;
  readonly keeper: ViewKeeper;
  /** Told once, when the memory is detached. */
  onRevoke: ((reason: RevokeReason) => void) | undefined;
  readonly promise: Promised;
  #bytes: Uint8Array;
  readonly #known: Uint8Array;
  #sequences: readonly [number, number];
  #copying: CopyOut | undefined;
  #revoked: RevokeReason | undefined;
  /** Why the last copy out has written less than was stored, if it has. */
  failure: Error | undefined;

  /** `bytes` is what the file has there, and becomes the view. */
  constructor(promise: Promised, bytes: Uint8Array, keeper: ViewKeeper) {
    const { file, offset } = promise;
    this.file = file;
    this.offset = offset;
    this.length = bytes.length;
    this.promise = promise;
    this.keeper = keeper;
    this.#bytes = bytes;
    this.#known = bytes.slice();
    this.#sequences = [file.dataSequence, file.cowSequence];
    file.pool.views.add(this);
  }

  get end(): number {
    return this.offset + this.length;
  }

  /** What to store to; nothing once it is revoked. */
  get bytes(): Uint8Array {
    return this.#revoked === undefined ? this.#bytes : NO_BYTES;
  }

  /** Why it was revoked, if it was. */
  get revoked(): RevokeReason | undefined {
    return this.#revoked;
  }

  /** True if the file may have changed since the view was brought up to date. */
  get isBehind(): boolean {
    const [data, cow] = this.#sequences;
    return data !== this.file.dataSequence || cow !== this.file.cowSequence;
  }

  /** True if the file is to get something of it, or nothing more once it is revoked. */
  get hasStores(): boolean {
    return this.#revoked !== undefined || this.nextChange(0) < this.length;
  }

  /**
   * The operation after which the file has what is stored now, and the view what the file has. One
   * that is under way may have passed over what was stored since: another follows it.
   */
  copyOut(): CopyOut {
    if (this.#copying === undefined || this.#copying.begun) this.#copying = new CopyOut(this);
    return this.#copying;
  }

  /** Bytes `start` to `end` of the file are zeros now: what was stored there is forgotten. */
  forget(start: number, end: number): void {
    const from = Math.max(0, start - this.offset);
    const to = Math.min(end - this.offset, this.length);
    if (to <= from) return;
    this.#bytes.fill(0, from, to);
    this.#known.fill(0, from, to);
  }

  /** Nothing is left of it that the file should have. */
  drop(): void {
    this.promise.giveBack();
    if (this.file.pool.views.delete(this)) this.keeper.ended();
  }

  /** Detaches the memory from the holder, and keeps it until it is copied out. */
  revoke(reason: RevokeReason): void {
    if (this.#revoked !== undefined) return;
    this.#bytes = detached(this.#bytes);
    this.#revoked = reason;
    this.onRevoke?.(reason);
  }

  /** First byte from `at` on that was stored; the length, if none was. */
  nextChange(at: number): number {
    const [bytes, known] = [this.#bytes, this.#known];
    return nextDifference(bytes, known, { at, words: wordsOf(bytes), others: wordsOf(known) });
  }

  /** Where what was stored from `at` on ends, at `limit` at the latest. */
  endOfChange(at: number, limit: number): number {
    const [bytes, known] = [this.#bytes, this.#known];
    let i = at;
    while (i < limit && bytes[i] !== known[i]) i++;
    return i;
  }

  /** The stored bytes from `from` to `to`, which the file gets now. */
  take(from: number, to: number): Uint8Array {
    const part = this.#bytes.slice(from, to);
    this.#known.set(part, from);
    return part;
  }

  /** The file has `data` there: what nobody has stored to since is the same in the view. */
  follow(data: Uint8Array): void {
    const [bytes, known] = [this.#bytes, this.#known];
    const look = { at: 0, words: wordsOf(data), others: wordsOf(known) };
    for (;;) {
      const i = nextDifference(data, known, look);
      if (i >= data.length) break;
      look.at = i + 1;
      const now = data[i] as number;
      if (bytes[i] === known[i]) bytes[i] = now;
      known[i] = now;
    }
    this.upToDate();
  }

  /** The view and the file are the same, but for what is stored. */
  upToDate(): void {
    this.#sequences = [this.file.dataSequence, this.file.cowSequence];
  }
}

/** What of a staged view is promised by the filesystem: the destination of all its blocks. */
export class Promised {
  readonly file: IomapFile;
  readonly offset: number;
  readonly length: number;
  readonly #request = new MappingRequest();
  readonly #answer = new MappingAnswer();
  #held = false;

  constructor(file: IomapFile, offset: number, length: number) {
    this.file = file;
    this.offset = offset;
    this.length = length;
  }

  /** True if it is held; otherwise the plan has needs. @throws {FilesystemError} `ENOSPC`, ... */
  take(plan: Plan): boolean {
    if (this.#held) return true;
    const request = this.#request;
    request.offset = this.offset;
    request.length = this.length;
    request.flag = RequestFlag.WRITE;
    request.edges = 0;
    this.#answer.clear();
    this.#held = this.file.ops.begin(this.file, request, this.#answer, plan);
    return this.#held;
  }

  giveBack(): void {
    if (!this.#held) return;
    this.#held = false;
    const nothing = { written: 0, newBlocks: 0, newFolios: 0 };
    this.file.ops.end(this.file, this.#request, this.#answer, nothing);
  }
}

/**
 * First byte from `at` on in which two arrays differ; the length of `left`, if none does. Mostly
 * they are the same: whole words, which the caller has made once, are passed over.
 */
function nextDifference(
  left: Uint8Array,
  right: Uint8Array,
  { at, words, others }: { at: number; words: Uint32Array; others: Uint32Array },
): number {
  let i = at;
  while (i < left.length) {
    if (i % WORD === 0) {
      let word = i / WORD;
      while (word < words.length && words[word] === others[word]) word++;
      i = word * WORD;
      if (i >= left.length) break;
    }
    if (left[i] !== right[i]) return i;
    i++;
  }
  return left.length;
}

/** The same memory, which the holder of `bytes` has no longer. */
function detached(bytes: Uint8Array): Uint8Array {
  const { buffer } = structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  return new Uint8Array(buffer);
}
