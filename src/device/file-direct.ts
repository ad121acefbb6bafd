/**
 * Direct transfers: moves for a descriptor that is open with O_DIRECT, from memory of any kind.
 * Node only.
 *
 * The host takes whole blocks, from and to memory that is aligned. Where memory lies nobody tells
 * us: so the caller's is tried first, and what the host refuses goes by way of memory that is
 * aligned. Of a block that is written in part the rest is read first.
 */
import { readSync, readvSync, writeSync, writevSync } from 'node:fs';
import { BLOCK_SIZE, errorCode, MIB, roundDown, roundUp } from '../base/index.ts';
import { totalLength } from './buffers.ts';
import type { Move } from './transfer.ts';

/** Bytes of the memory in between. */
const BOUNCE_SIZE = MIB;
/** Unit of the memory of WebAssembly, which is aligned as the host wants it. */
const WASM_UNIT = 65536;

/** How to read from a descriptor, and how to write to it. */
export function directMoves(descriptor: number): { read: Move; write: Move } {
  let memory: Uint8Array | undefined;
  const bounce = (): Uint8Array => {
    memory ??= new Uint8Array(new WebAssembly.Memory({ initial: BOUNCE_SIZE / WASM_UNIT }).buffer);
    return memory;
  };
  return {
    read: (buffers, position) =>
      tried(buffers, position, readvSync.bind(undefined, descriptor)) ??
      readBy(bounce(), descriptor, buffers, position),
    write: (buffers, position) =>
      tried(buffers, position, writevSync.bind(undefined, descriptor)) ??
      writeBy(bounce(), descriptor, buffers, position),
  };
}

type Call = (buffers: readonly Uint8Array[], position: number) => number;

/** What the host says to the caller's own memory; undefined if it does not take it. */
function tried(buffers: readonly Uint8Array[], position: number, call: Call): number | undefined {
  if (position % BLOCK_SIZE !== 0) return undefined;
  for (const { length } of buffers) if (length % BLOCK_SIZE !== 0) return undefined;
  try {
    return call(buffers, position);
  } catch (error) {
    if (errorCode(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** The blocks that the first bytes of a transfer are in, as far as the memory in between goes. */
function spanOf(buffers: readonly Uint8Array[], position: number) {
  const start = roundDown(position, BLOCK_SIZE);
  const end = Math.min(position + totalLength(buffers), start + BOUNCE_SIZE);
  return { start, before: position - start, end, length: roundUp(end, BLOCK_SIZE) - start };
}

function readBy(
  bounce: Uint8Array,
  descriptor: number,
  buffers: readonly Uint8Array[],
  position: number,
): number {
  const { start, before, end, length } = spanOf(buffers, position);
  const found = Math.min(readSync(descriptor, bounce, 0, length, start), end - start);
  let at = before;
  for (const buffer of buffers) {
    if (at >= found) break;
    const part = bounce.subarray(at, Math.min(found, at + buffer.length));
    buffer.set(part);
    at += part.length;
  }
  return Math.max(0, at - before);
}

function writeBy(
  bounce: Uint8Array,
  descriptor: number,
  buffers: readonly Uint8Array[],
  position: number,
): number {
  const { start, before, end, length } = spanOf(buffers, position);
  if (before > 0) readSync(descriptor, bounce, 0, BLOCK_SIZE, start);
  const last = roundDown(end - start, BLOCK_SIZE);
  if (last < length && (last > 0 || before === 0)) {
    readSync(descriptor, bounce, last, BLOCK_SIZE, start + last);
  }
  let at = before;
  for (const buffer of buffers) {
    const part = buffer.subarray(0, end - start - at);
    bounce.set(part, at);
    at += part.length;
  }
  return Math.max(0, Math.min(writeSync(descriptor, bounce, 0, length, start), at) - before);
}
