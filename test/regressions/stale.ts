/**
 * The guard that most bugs of this kind come down to (P3: an answer is used in the turn in which it
 * was given), taken away: a write that had to wait goes by what it was told before.
 */
import { BLOCK_SIZE, Plan, roundDown, roundUp } from '../../src/base/index.ts';
import {
  Edge,
  type IomapFile,
  Mapping,
  MappingAnswer,
  type MappingOps,
  MappingRequest,
  MappingType,
  RequestFlag,
} from '../../src/iomap/index.ts';
import type { Patch } from './regression.ts';

/** From now on each write has the sources that were there when it was first asked for. */
export function rememberSources(ops: MappingOps, patch: Patch): void {
  const seen = new Map<string, Mapping[]>();
  patch(ops, 'begin', (begin) => (file, request, answer, plan) => {
    if (!begin(file, request, answer, plan)) return false;
    if (request.flag !== RequestFlag.WRITE) return true;
    const key = `${file.id} ${request.offset}`;
    const first = seen.get(key) ?? sourcesOf({ begin }, file, request);
    seen.set(key, first);
    answer.sourceCount = 0;
    for (const source of first) copyMapping(source, answer.addSource());
    return true;
  });
}

/** From now on nothing is copied into blocks that get another place with the bytes they have. */
export function forgetSources(ops: MappingOps, patch: Patch): void {
  patch(ops, 'begin', (begin) => (file, request, answer, plan) => {
    const done = begin(file, request, answer, plan);
    if ((request.edges & Edge.EVERY) === 0) return done;
    for (const source of answer.sources) source.type = MappingType.HOLE;
    return done;
  });
}

/** What the map says of all blocks that a write touches. */
export function sourcesOf(
  { begin }: Pick<MappingOps, 'begin'>,
  file: IomapFile,
  { offset, length }: { offset: number; length: number },
): Mapping[] {
  const end = roundUp(offset + length, BLOCK_SIZE);
  const found: Mapping[] = [];
  for (let at = roundDown(offset, BLOCK_SIZE); at < end; at = (found.at(-1) as Mapping).end) {
    const request = Object.assign(new MappingRequest(), { offset: at, length: end - at });
    const answer = new MappingAnswer();
    if (!begin(file, request, answer, new Plan())) throw new Error('the map is not in memory');
    for (const source of answer.sources) found.push(copyMapping(source, new Mapping()));
  }
  return found;
}

function copyMapping(from: Mapping, to: Mapping): Mapping {
  return Object.assign(to, from, { checksums: from.checksums?.slice() });
}
