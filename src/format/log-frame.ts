/**
 * Log frame: a run of mutations that became durable together. One or more blocks of the log ring.
 *
 *   offset  size  field
 *        0     4  magic      "RTLF"
 *        4     4  blocks     of the frame
 *        8     8  sequence   of the frame, without gaps
 *       16     8  epoch      txg the mutations belong to
 *       24     8  operation  number of the first mutation; they count on from there
 *       32     8  previous   checksum of the frame before it
 *       40     4  length     bytes of the body
 *       44     4  records    mutations in the body
 *       48     8  (zero)
 *       56     8  checksum   XXH64 of the frame with this field zero
 *       64        the mutations, see mutation-codec.ts; zeros to the end of the last block
 *
 * L1. The frame after one at block p of the log begins at p + blocks, or at 0 where it would not
 *     fit before the end of the ring.
 * L2. The log ends before the first frame whose magic, sequence, previous or own checksum fails.
 */
import {
  BLOCK_SIZE,
  checksum64,
  getU64,
  roundUp,
  setU64,
  type Txg,
  viewOf,
} from '../base/index.ts';
import type { Mutation } from './mutation.ts';
import { decodeMutation, encodeMutation, mutationSize } from './mutation-codec.ts';

export const LOG_MAGIC = 0x464c5452;
export const LOG_HEADER_SIZE = 64;
const SELF = 56;

export interface LogFrameHeader {
  readonly sequence: number;
  readonly epoch: Txg;
  /** Number of the first mutation. */
  readonly operation: number;
  /** Checksum of the frame before it; 0 for the first. */
  readonly previous: bigint;
}

export interface LogFrame extends LogFrameHeader {
  readonly mutations: readonly Mutation[];
}

/** The frame's bytes, whole blocks. */
export function encodeLogFrame(frame: LogFrame, seed: bigint): Uint8Array<ArrayBuffer> {
  const body = frame.mutations.reduce((sum, mutation) => sum + mutationSize(mutation), 0);
  const bytes = new Uint8Array(roundUp(LOG_HEADER_SIZE + body, BLOCK_SIZE));
  let at = LOG_HEADER_SIZE;
  for (const mutation of frame.mutations) at = encodeMutation(mutation, bytes, at);
  sealLogFrame(bytes, frame, { length: body, records: frame.mutations.length }, seed);
  return bytes;
}

/** Makes a frame of whole blocks that have the mutations, and zeros after them, in place. */
export function sealLogFrame(
  bytes: Uint8Array,
  { sequence, epoch, operation, previous }: LogFrameHeader,
  body: { readonly length: number; readonly records: number },
  seed: bigint,
): void {
  const view = viewOf(bytes);
  view.setUint32(0, LOG_MAGIC, true);
  view.setUint32(4, bytes.length / BLOCK_SIZE, true);
  setU64(view, 8, sequence);
  setU64(view, 16, epoch);
  setU64(view, 24, operation);
  view.setBigUint64(32, previous, true);
  view.setUint32(40, body.length, true);
  view.setUint32(44, body.records, true);
  setU64(view, 48, 0);
  setU64(view, SELF, 0);
  view.setBigUint64(SELF, checksum64(bytes, seed), true);
}

/** The checksum by which the next frame names this one. */
export function logFrameChecksum(bytes: Uint8Array): bigint {
  return viewOf(bytes).getBigUint64(SELF, true);
}

/** Blocks of the frame that begins with these bytes; 0 if none begins here. */
export function logFrameBlocks(bytes: Uint8Array): number {
  if (bytes.length < LOG_HEADER_SIZE) return 0;
  const view = viewOf(bytes);
  return view.getUint32(0, true) === LOG_MAGIC ? view.getUint32(4, true) : 0;
}

/** A frame that is whole, its mutations still encoded. */
export interface SealedLogFrame extends LogFrameHeader {
  readonly bytes: Uint8Array;
  readonly records: number;
}

/** Looks at a whole frame; undefined where the log ends (L2, but for the order of frames). */
export function openLogFrame(bytes: Uint8Array, seed: bigint): SealedLogFrame | undefined {
  const view = viewOf(bytes);
  const blocks = logFrameBlocks(bytes);
  if (blocks === 0 || blocks * BLOCK_SIZE !== bytes.length) return undefined;
  const copy = bytes.slice();
  setU64(viewOf(copy), SELF, 0);
  if (checksum64(copy, seed) !== view.getBigUint64(SELF, true)) return undefined;
  return {
    bytes,
    sequence: getU64(view, 8),
    epoch: getU64(view, 16) as Txg,
    operation: getU64(view, 24),
    previous: view.getBigUint64(32, true),
    records: view.getUint32(44, true),
  };
}

/**
 * True if a frame is the first one after a root: it has the number that the root states, and
 * belongs to the txg after it at the latest. What a later one says was done to a root that is lost.
 */
export function isFirstLogFrame(
  frame: SealedLogFrame,
  root: { readonly logSequence: number; readonly txg: number },
): boolean {
  return frame.sequence === root.logSequence && frame.epoch <= root.txg + 1;
}

/** True if a frame is the one that was written after `last` (L2, the order of frames). */
export function isNextLogFrame(frame: SealedLogFrame, last: SealedLogFrame): boolean {
  return (
    frame.sequence === last.sequence + 1 &&
    frame.previous === logFrameChecksum(last.bytes) &&
    frame.operation === last.operation + last.records &&
    frame.epoch >= last.epoch
  );
}

/**
 * The mutations of a frame, in order.
 *
 * @throws {FilesystemError} `EIO` if the body is not a list of mutations
 */
export function* mutationsOf({ bytes, records }: SealedLogFrame): Generator<Mutation> {
  let at = LOG_HEADER_SIZE;
  for (let left = records; left > 0; left--) {
    const [mutation, next] = decodeMutation(bytes, at);
    yield mutation;
    at = next;
  }
}

/**
 * Decodes a whole frame; undefined where the log ends.
 *
 * @throws {FilesystemError} `EIO` if the frame is whole and its body is not a list of mutations
 */
export function decodeLogFrame(bytes: Uint8Array, seed: bigint): LogFrame | undefined {
  const frame = openLogFrame(bytes, seed);
  if (frame === undefined) return undefined;
  const { sequence, epoch, operation, previous } = frame;
  return { sequence, epoch, operation, previous, mutations: [...mutationsOf(frame)] };
}
