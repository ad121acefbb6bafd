import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IoKind, PlainIo } from '../base/index.ts';
import { mergeIo } from './transfer.ts';

const MAX = 1024 * 1024;

function io(kind: IoKind, position: number, length: number): PlainIo {
  return new PlainIo(kind, position, [new Uint8Array(length)]);
}

/** What was merged, as text: `read 0+8` for two reads of four bytes. */
function merged(...requests: PlainIo[]): string[] {
  return mergeIo(requests).map(({ kind, position, length }) => `${kind} ${position}+${length}`);
}

describe('mergeIo()', () => {
  it('makes one transfer of what follows each other, in whatever order it comes', () => {
    expect(merged(io('read', 8, 4), io('read', 0, 4), io('read', 4, 4))).toEqual(['read 0+12']);
  });

  it('leaves a gap alone, and an overlap', () => {
    expect(merged(io('read', 0, 4), io('read', 5, 4))).toEqual(['read 0+4', 'read 5+4']);
    expect(merged(io('read', 0, 4), io('read', 3, 4))).toEqual(['read 0+4', 'read 3+4']);
  });

  it('keeps reads and writes apart, reads first', () => {
    expect(merged(io('write', 4, 4), io('read', 0, 4))).toEqual(['read 0+4', 'write 4+4']);
  });

  it('merges nothing but reads and writes', () => {
    const flushes = [new PlainIo('flush'), new PlainIo('flush')];
    expect(merged(...flushes)).toEqual(['flush 0+0', 'flush 0+0']);
    const discards = [new PlainIo('discard', 0, [], 4), new PlainIo('discard', 4, [], 4)];
    expect(merged(...discards)).toEqual(['discard 0+4', 'discard 4+4']);
  });

  it('makes no transfer longer than 1 MiB, unless one request is', () => {
    const half = MAX / 2;
    const requests = [io('read', 0, half), io('read', half, half), io('read', MAX, 1)];
    expect(merged(...requests)).toEqual([`read 0+${MAX}`, `read ${MAX}+1`]);
    expect(merged(io('write', 0, 2 * MAX), io('write', 2 * MAX, 1))).toHaveLength(2);
  });

  it('hands on all buffers, in the order of the device', () => {
    const [one, two] = [new Uint8Array(2), new Uint8Array(3)];
    const last = new Uint8Array(4);
    const [transfer] = mergeIo([
      new PlainIo('read', 5, [last]),
      new PlainIo('read', 0, [one, two]),
    ]);
    expect(transfer?.buffers).toHaveLength(3);
    for (const [i, buffer] of [one, two, last].entries()) {
      expect(transfer?.buffers[i]).toBe(buffer);
    }
  });

  it('does nothing for nothing', () => {
    expect(mergeIo([])).toEqual([]);
  });

  it('asks for every byte once, whatever it is given', () => {
    const request = fc
      .tuple(fc.constantFrom<IoKind>('read', 'write', 'flush'), fc.nat(50), fc.nat(3))
      .map(([kind, position, length]) =>
        kind === 'flush' ? new PlainIo(kind) : io(kind, position, length),
      );
    fc.assert(
      fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
        const transfers = mergeIo(requests);
        expect(new Set(transfers.flatMap((it) => it.io))).toEqual(new Set(requests));
        expect(transfers.flatMap((it) => it.io)).toHaveLength(requests.length);
        for (const { kind, position, length, buffers, io: parts } of transfers) {
          let at = position;
          for (const part of parts) {
            expect([part.kind, part.position]).toEqual([kind, at]);
            at += part.length;
          }
          expect(at).toBe(position + length);
          expect(buffers.reduce((sum, buffer) => sum + buffer.length, 0)).toBe(length);
        }
      }),
    );
  });
});
