import { describe, expect, it } from 'vitest';
import { BufferCursor, totalLength } from './buffers.ts';

const abc = () => [
  Uint8Array.of(1, 2, 3),
  new Uint8Array(0),
  Uint8Array.of(4),
  Uint8Array.of(5, 6),
];

function flat(views: readonly Uint8Array[]): number[][] {
  return views.map((view) => [...view]);
}

describe('totalLength()', () => {
  it('adds up all buffers', () => {
    expect(totalLength(abc())).toBe(6);
    expect(totalLength([])).toBe(0);
  });
});

describe('BufferCursor', () => {
  it('take() crosses buffers and leaves empty ones out', () => {
    const cursor = new BufferCursor(abc());
    expect(flat(cursor.take(2))).toEqual([[1, 2]]);
    expect(flat(cursor.take(3))).toEqual([[3], [4], [5]]);
    expect(flat(cursor.take(1))).toEqual([[6]]);
    expect(flat(cursor.take(0))).toEqual([]);
  });

  it('take() answers views, not copies', () => {
    const [first] = new BufferCursor(abc()).take(1);
    expect(first?.buffer.byteLength).toBe(3);
  });

  it('take() asserts that there is as much', () => {
    expect(() => new BufferCursor(abc()).take(7)).toThrow('the buffers end 1 bytes too early');
  });

  it('peek() shows what is left without moving', () => {
    const cursor = new BufferCursor(abc());
    cursor.skip(1);
    expect(flat(cursor.peek(10))).toEqual([[2, 3], [4], [5, 6]]);
    expect(flat(cursor.peek(2))).toEqual([[2, 3], [4]]);
    cursor.skip(3);
    expect(flat(cursor.peek(10))).toEqual([[5, 6]]);
  });
});
