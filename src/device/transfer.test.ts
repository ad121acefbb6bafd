import { describe, expect, it } from 'vitest';
import { totalLength } from './buffers.ts';
import { type Move, transfer, VECTOR_MAX } from './transfer.ts';

/** A file in memory whose read moves at most `most` bytes a call. */
function shortReader(file: Uint8Array, most: number): { move: Move; calls: number[] } {
  const calls: number[] = [];
  const move: Move = (buffers, position) => {
    calls.push(buffers.length);
    let moved = 0;
    for (const buffer of buffers) {
      const part = file.subarray(
        position + moved,
        position + Math.min(moved + buffer.length, most),
      );
      buffer.set(part);
      moved += part.length;
      if (part.length < buffer.length) break;
    }
    return moved;
  };
  return { move, calls };
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('transfer()', () => {
  it('continues after a short transfer, also in the middle of a buffer', () => {
    const file = Uint8Array.from({ length: 100 }, (_, i) => i);
    const buffers = [new Uint8Array(10), new Uint8Array(0), new Uint8Array(25)];
    const { move, calls } = shortReader(file, 7);
    transfer('read', 20, buffers, move);
    expect(buffers.flatMap((buffer) => [...buffer])).toEqual([...file.subarray(20, 55)]);
    expect(calls).toHaveLength(5);
  });

  it('does with one call if that moves all', () => {
    const { move, calls } = shortReader(new Uint8Array(100), 100);
    transfer('read', 0, [new Uint8Array(50), new Uint8Array(50)], move);
    expect(calls).toEqual([2]);
  });

  it('never passes more buffers than a system call takes', () => {
    const buffers = Array.from({ length: 2500 }, () => new Uint8Array(2));
    const { move, calls } = shortReader(new Uint8Array(5000), 5000);
    transfer('read', 0, buffers, move);
    expect(calls).toEqual([VECTOR_MAX, VECTOR_MAX, 2500 - 2 * VECTOR_MAX]);
  });

  it('makes no call for no bytes', () => {
    const { move, calls } = shortReader(new Uint8Array(0), 10);
    transfer('read', 0, [], move);
    transfer('read', 0, [new Uint8Array(0)], move);
    expect(calls).toEqual([]);
  });

  it.each(['EINTR', 'EAGAIN'])('tries again after %s', (code) => {
    let calls = 0;
    transfer('write', 0, [new Uint8Array(10)], (buffers) => {
      if (++calls % 2 === 1) throw systemError(code);
      return Math.min(4, totalLength(buffers));
    });
    expect(calls).toBe(6);
  });

  it('gives up when the host puts it off forever', () => {
    const move = () => {
      throw systemError('EAGAIN');
    };
    expect(() => transfer('write', 0, [new Uint8Array(1)], move)).toThrow('EAGAIN');
  });

  it('passes other errors on', () => {
    const move = () => {
      throw systemError('EIO');
    };
    expect(() => transfer('write', 0, [new Uint8Array(1)], move)).toThrow('EIO');
  });

  it('fails with EIO when the host moves nothing', () => {
    const { move } = shortReader(new Uint8Array(60), 60);
    expect(() => transfer('read', 40, [new Uint8Array(40)], move)).toThrow(
      expect.objectContaining({
        code: 'EIO',
        message: 'Cannot read 40 bytes at 0x28: the host stopped after 20 bytes',
      }),
    );
  });
});
