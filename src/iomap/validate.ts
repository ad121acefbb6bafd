/**
 * Validate: whether a filesystem answers as the contract of mapping.ts says.
 *
 * A wrong answer does harm later and elsewhere: a gap between two sources is bytes of another file.
 * So whoever writes a filesystem wraps its ops while testing it; in production nothing is checked.
 */
import { AssertionError, BLOCK_SIZE, type Plan, roundDown } from '../base/index.ts';
import type { IomapFile } from './file.ts';
import {
  Edge,
  type Mapping,
  type MappingAnswer,
  type MappingOps,
  type MappingRequest,
  MappingType,
  RequestFlag,
  type UnmapRange,
  type WriteOutcome,
} from './mapping.ts';

/**
 * What is wrong with an answer, in words; undefined if nothing is. An answer of a call that
 * returned false has nothing to be looked at.
 */
export function answerFault(request: MappingRequest, answer: MappingAnswer): string | undefined {
  for (let i = 0; i < answer.sourceCount; i++) {
    const fault = mappingFault(answer.sources[i] as Mapping);
    if (fault !== undefined) return `source ${i}: ${fault}`;
  }
  return request.flag === RequestFlag.WRITE
    ? writeFault(request, answer)
    : readFault(request, answer);
}

/** The same ops, with every answer looked at. @throws {AssertionError} naming what is wrong */
export function validated(ops: MappingOps): MappingOps {
  return {
    begin(file: IomapFile, request: MappingRequest, answer: MappingAnswer, plan: Plan): boolean {
      const done = ops.begin(file, request, answer, plan);
      if (!done && plan.ready) broken('false, and the plan has no needs');
      const fault = done ? answerFault(request, answer) : undefined;
      if (fault !== undefined) broken(fault);
      return done;
    },
    end(file: IomapFile, request: MappingRequest, answer: MappingAnswer, outcome: WriteOutcome) {
      ops.end(file, request, answer, outcome);
      if (outcome.written > 0 && file.size < request.offset + outcome.written) {
        broken(`a size of ${file.size} after a write to ${request.offset + outcome.written}`);
      }
    },
    planUnmap: (file, range, plan) => ops.planUnmap(file, range, plan),
    unmap(file: IomapFile, range: UnmapRange, dropped: { blocks: number; folios: number }) {
      ops.unmap(file, range, dropped);
      if (file.size !== range.size) broken(`a size of ${file.size}, not ${range.size}`);
    },
  };
}

function broken(finding: string): never {
  throw new AssertionError(`The filesystem answers wrong: ${finding}`);
}

/** P1 and P2 of a read: from the first byte on, without gaps, in order. */
function readFault(request: MappingRequest, answer: MappingAnswer): string | undefined {
  const { sources, sourceCount } = answer;
  if (sourceCount === 0) return 'no source for a read';
  const first = sources[0] as Mapping;
  if (first.offset > request.offset || first.end <= request.offset) {
    return `the first source is bytes ${first.offset} to ${first.end}, not ${request.offset} (P1)`;
  }
  for (let i = 1; i < sourceCount; i++) {
    const [before, after] = [sources[i - 1], sources[i]] as [Mapping, Mapping];
    if (after.offset !== before.end) {
      return `source ${i} begins at ${after.offset}, the one before ends at ${before.end} (P2)`;
    }
  }
  return undefined;
}

/** P1 and P2 of a write: a destination, and sources for the edges that were asked for. */
function writeFault(request: MappingRequest, answer: MappingAnswer): string | undefined {
  const { destination } = answer;
  const { offset, length, edges } = request;
  const fault = mappingFault(destination);
  if (fault !== undefined) return `destination: ${fault}`;
  const takes = destination.type === MappingType.DELALLOC;
  if (!takes) return `destination: type ${destination.type} takes no buffered write`;
  if (destination.offset > offset || destination.end <= offset) {
    const { end } = destination;
    return `the destination is bytes ${destination.offset} to ${end}, not ${offset} (P1)`;
  }
  const tail = roundDown(offset + length - 1, BLOCK_SIZE);
  const wanted: number[] = [];
  if ((edges & Edge.EVERY) !== 0) {
    const end = Math.min(destination.end, offset + length);
    for (let at = roundDown(offset, BLOCK_SIZE); at < end; at += BLOCK_SIZE) wanted.push(at);
  }
  if ((edges & Edge.HEAD) !== 0) wanted.push(roundDown(offset, BLOCK_SIZE));
  // A destination that is cut needs no source for a tail that it does not reach.
  if ((edges & Edge.TAIL) !== 0 && tail < destination.end) wanted.push(tail);
  const covered = (at: number): boolean => {
    for (let i = 0; i < answer.sourceCount; i++) {
      const source = answer.sources[i] as Mapping;
      if (at >= source.offset && at + BLOCK_SIZE <= source.end) return true;
    }
    return false;
  };
  const missing = wanted.find((at) => !covered(at));
  return missing === undefined ? undefined : `no source covers the edge at ${missing} (P2)`;
}

/** What is wrong with one mapping by itself. */
function mappingFault(mapping: Mapping): string | undefined {
  const { type, offset, length, address, inline, checksums } = mapping;
  const aligned = offset % BLOCK_SIZE === 0 && length % BLOCK_SIZE === 0;
  if (!aligned || offset < 0 || length <= 0)
    return `bytes ${offset}, ${length} long, are no blocks`;
  if (!Number.isSafeInteger(offset + length)) return `it ends at ${offset + length}`;
  if (type === MappingType.MAPPED) {
    if (address % BLOCK_SIZE !== 0 || address < 0) return `address ${address} is no block`;
    const last = mapping.checksumAt + (length / BLOCK_SIZE - 1) * mapping.checksumStride;
    if (checksums !== undefined && last >= checksums.length) return 'checksums are missing';
  }
  if (type === MappingType.INLINE && (inline === undefined || offset !== 0)) {
    return `inline bytes at ${offset}, which are ${inline === undefined ? 'missing' : 'not first'}`;
  }
  return undefined;
}
