/**
 * Trace: what iomap asks, is told, and does, for whoever wants to watch.
 *
 * A tracer hangs at the pool and is called in the turn in which something happens; it must change
 * nothing. Where there is none, the cost is one comparison: events are made only for somebody.
 */
import type { Plan } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import {
  type Mapping,
  type MappingAnswer,
  MappingFlag,
  type MappingRequest,
  MappingType,
  RequestFlag,
} from './mapping.ts';

const TYPES = ['hole', 'delalloc', 'mapped', 'unwritten', 'inline'] as const;
const REQUESTS = ['read', 'write', 'report'] as const;

/** A mapping at the moment it was answered. All numbers are bytes. */
export interface TracedMapping {
  readonly type: (typeof TYPES)[number];
  readonly offset: number;
  readonly length: number;
  /** On the device; undefined if it has none. */
  readonly address: number | undefined;
  /** As far as the answer tells: of reports only. */
  readonly shared: boolean;
}

/** `file` is the id of the file; `offset` and `length` are bytes of it. */
export type TraceEvent = { readonly file: number; readonly offset: number } & (
  | {
      /** The filesystem was asked for a range, and answered. */
      readonly event: 'map';
      readonly request: (typeof REQUESTS)[number];
      readonly length: number;
      readonly destination: TracedMapping | undefined;
      readonly sources: readonly TracedMapping[];
    }
  /** A block of the destination begins with its old bytes, of which `from` tells the place. */
  | { readonly event: 'copy'; readonly from: 'device' | 'dirty data' | 'inode' }
  /** A block of the destination begins with zeros: its source has none, or it has no source. */
  | { readonly event: 'zero' }
  /** Bytes went into the destination. */
  | { readonly event: 'write'; readonly length: number }
  /** Nothing was done: loads, or other operations, come first. All is asked anew after that. */
  | { readonly event: 'wait'; readonly loads: number; readonly operations: number }
  /** Dirty blocks have an address and are on their way there; undefined: into the inode. */
  | {
      readonly event: 'place';
      readonly length: number;
      readonly address: number | undefined;
    }
  /** The map names them, and no longer what was there. */
  | { readonly event: 'complete'; readonly length: number }
  /** Their write failed: they are dirty as before. */
  | { readonly event: 'cancel'; readonly length: number }
);

export type Tracer = (event: TraceEvent) => void;

/** Tells of an answer. */
export function traceMap(
  tracer: Tracer,
  file: IomapFile,
  request: MappingRequest,
  answer: MappingAnswer,
): void {
  const { offset, length, flag } = request;
  const write = flag === RequestFlag.WRITE;
  tracer({
    event: 'map',
    file: file.id,
    offset,
    length,
    request: REQUESTS[flag] as (typeof REQUESTS)[number],
    destination: write ? traced(answer.destination) : undefined,
    sources: answer.sources.slice(0, answer.sourceCount).map(traced),
  });
}

/** Tells of needs, if the plan has any. */
export function traceWait(tracer: Tracer, file: IomapFile, offset: number, plan: Plan): void {
  if (plan.ready) return;
  const [loads, operations] = [plan.io.length, plan.after.length];
  tracer({ event: 'wait', file: file.id, offset, loads, operations });
}

function traced({ type, offset, length, address, flags }: Mapping): TracedMapping {
  return {
    type: TYPES[type] as (typeof TYPES)[number],
    offset,
    length,
    address: type === MappingType.MAPPED ? address : undefined,
    shared: (flags & MappingFlag.SHARED) !== 0,
  };
}
