/** The validator: right answers pass, and each way of being wrong is named. */
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE as B } from '../base/index.ts';
import { Edge, MappingAnswer, MappingRequest, MappingType, RequestFlag } from './mapping.ts';
import { answerFault } from './validate.ts';

const { HOLE, DELALLOC, MAPPED, INLINE } = MappingType;

function request(fields: Partial<MappingRequest>): MappingRequest {
  return Object.assign(new MappingRequest(), fields);
}

/** An answer whose sources, and destination, are said as type, offset, length in blocks. */
function answer(sources: [number, number, number][], destination?: [number, number, number]) {
  const made = new MappingAnswer();
  for (const [type, offset, length] of sources) {
    made.addSource().set(type as MappingType, offset * B, length * B);
  }
  if (destination !== undefined) {
    const [type, offset, length] = destination;
    made.destination.set(type as MappingType, offset * B, length * B);
  }
  return made;
}

describe('answerFault()', () => {
  const read = request({ offset: B + 5, length: 3 * B });
  const write = request({
    offset: B + 5,
    length: 2 * B,
    flag: RequestFlag.WRITE,
    edges: Edge.HEAD | Edge.TAIL,
  });

  it.each([
    [
      'a read of two runs',
      read,
      answer([
        [MAPPED, 1, 2],
        [HOLE, 3, 9],
      ]),
    ],
    ['a read of less than was asked for', read, answer([[HOLE, 0, 2]])],
    [
      'a write with both edges',
      write,
      answer(
        [
          [MAPPED, 1, 1],
          [HOLE, 3, 1],
        ],
        [DELALLOC, 1, 3],
      ),
    ],
    ['a write whose edges are one run', write, answer([[MAPPED, 0, 9]], [DELALLOC, 1, 3])],
    ['a write that is cut before its tail', write, answer([[HOLE, 1, 1]], [DELALLOC, 1, 2])],
    [
      'an aligned write without sources',
      request({ length: B, flag: RequestFlag.WRITE }),
      answer([], [DELALLOC, 0, 1]),
    ],
  ])('finds nothing wrong with %s', (_what, asked, given) => {
    expect(answerFault(asked, given)).toBeUndefined();
  });

  it.each([
    ['no source', read, answer([]), 'no source for a read'],
    ['a first source behind the byte', read, answer([[HOLE, 2, 2]]), '(P1)'],
    [
      'a gap',
      read,
      answer([
        [HOLE, 1, 1],
        [HOLE, 3, 1],
      ]),
      '(P2)',
    ],
    ['an empty run', read, answer([[HOLE, 1, 0]]), 'are no blocks'],
    ['half a block', read, answer([[HOLE, 1.5, 1]]), 'are no blocks'],
    ['inline bytes that are missing', read, answer([[INLINE, 0, 2]]), 'missing'],
    [
      'an edge without a source',
      write,
      answer([[MAPPED, 1, 1]], [DELALLOC, 1, 3]),
      'edge at 12288',
    ],
    ['a destination elsewhere', write, answer([[HOLE, 0, 9]], [DELALLOC, 2, 3]), '(P1)'],
    ['a hole to write to', write, answer([[HOLE, 0, 9]], [HOLE, 1, 3]), 'takes no buffered write'],
  ])('names %s', (_what, asked, given, finding) => {
    expect(answerFault(asked, given)).toContain(finding);
  });
});
