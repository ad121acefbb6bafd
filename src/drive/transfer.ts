/**
 * Transfers: what a plan asks for, in as few calls of the device as possible.
 */
import type { Io, IoKind } from '../base/index.ts';

/** One call of the device. Every part of it ends with the call. */
export interface Transfer {
  readonly kind: IoKind;
  readonly position: number;
  readonly length: number;
  readonly buffers: readonly Uint8Array[];
  readonly io: readonly Io[];
}

/** Bytes that one transfer moves at the most. */
const TRANSFER_MAX = 1024 * 1024;

/** Reads and writes that follow each other on the device become one transfer. */
export function mergeIo(requests: readonly Io[]): Transfer[] {
  if (requests.length < 2) return requests.map((io) => transferOf([io]));
  const sorted = [...requests].sort((a, b) => order(a) - order(b) || a.position - b.position);
  const transfers: Transfer[] = [];
  let group: Io[] = [];
  let length = 0;
  for (const io of sorted) {
    const last = group[group.length - 1];
    if (last !== undefined && !(follows(last, io) && length + io.length <= TRANSFER_MAX)) {
      transfers.push(transferOf(group));
      group = [];
      length = 0;
    }
    group.push(io);
    length += io.length;
  }
  transfers.push(transferOf(group));
  return transfers;
}

function order(io: Io): number {
  return io.kind === 'read' ? 0 : io.kind === 'write' ? 1 : 2;
}

function follows(last: Io, next: Io): boolean {
  return (
    last.kind === next.kind &&
    (next.kind === 'read' || next.kind === 'write') &&
    last.position + last.length === next.position
  );
}

function transferOf(io: readonly Io[]): Transfer {
  const first = io[0] as Io;
  return {
    kind: first.kind,
    position: first.position,
    length: io.reduce((sum, part) => sum + part.length, 0),
    buffers: io.length === 1 ? first.buffers : io.flatMap((part) => part.buffers),
    io,
  };
}
