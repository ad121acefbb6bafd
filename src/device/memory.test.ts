import { describe, expect, it } from 'vitest';
import { MIB } from '../base/index.ts';
import { MemoryDevice } from './memory.ts';
import { SEGMENT_SIZE } from './memory-store.ts';

function bytesAt(device: MemoryDevice, position: number, length: number): number[] {
  const buffer = new Uint8Array(length).fill(0xee);
  device.read(position, buffer);
  return [...buffer];
}

describe('MemoryDevice', () => {
  it('takes either a size or a buffer', () => {
    expect(() => new MemoryDevice({})).toThrow(RangeError);
    expect(() => new MemoryDevice({ size: 1, buffer: new ArrayBuffer(1) })).toThrow(RangeError);
  });

  it.each([-1, 0.5, Number.NaN])('refuses size %d', (size) => {
    expect(() => new MemoryDevice({ size })).toThrow('is not a whole number');
  });

  it('can be far larger than the host', () => {
    const device = new MemoryDevice({ size: 2 ** 44 });
    device.write(2 ** 43 + 1, Uint8Array.of(1, 2, 3));
    expect(bytesAt(device, 2 ** 43, 5)).toEqual([0, 1, 2, 3, 0]);
    device.grow(2 ** 50);
    expect(bytesAt(device, 2 ** 50 - 1, 1)).toEqual([0]);
  });

  it('reads and writes across segments', () => {
    const device = new MemoryDevice({ size: MIB });
    device.write(SEGMENT_SIZE - 2, Uint8Array.of(1, 2, 3, 4));
    expect(bytesAt(device, SEGMENT_SIZE - 3, 6)).toEqual([0, 1, 2, 3, 4, 0]);
  });

  it('discard() gives back whole segments only', () => {
    const device = new MemoryDevice({ size: 4 * SEGMENT_SIZE });
    device.write(0, new Uint8Array(4 * SEGMENT_SIZE).fill(7));
    device.discard(SEGMENT_SIZE - 1, SEGMENT_SIZE + 2);
    expect(bytesAt(device, SEGMENT_SIZE - 1, 2)).toEqual([7, 0]);
    expect(bytesAt(device, 2 * SEGMENT_SIZE - 1, 2)).toEqual([0, 7]);
  });

  it('from() copies the bytes', () => {
    const bytes = Uint8Array.of(1, 2);
    const device = MemoryDevice.from(bytes, { name: 'two' });
    bytes.fill(9);
    expect(bytesAt(device, 0, 2)).toEqual([1, 2]);
    expect(device.name).toBe('two');
  });

  it("lives in the caller's buffer", () => {
    const buffer = new SharedArrayBuffer(8);
    const device = new MemoryDevice({ buffer });
    device.write(2, Uint8Array.of(5));
    expect(new Uint8Array(buffer)[2]).toBe(5);
    new Uint8Array(buffer)[3] = 6;
    expect(bytesAt(device, 2, 2)).toEqual([5, 6]);
  });

  it('grows with a resizable buffer, to its maximum', () => {
    const Resizable = ArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer;
    const buffer = new Resizable(8, { maxByteLength: 32 });
    const device = new MemoryDevice({ buffer });
    device.grow(32);
    expect(buffer.byteLength).toBe(32);
    expect(bytesAt(device, 30, 2)).toEqual([0, 0]);
    expect(() => device.grow(33)).toThrow(
      expect.objectContaining({
        code: 'ENOSPC',
        message: 'Cannot grow: memory cannot be longer than 32 bytes, wanted 33',
      }),
    );
  });

  it('says in one sentence what was wrong', () => {
    const device = new MemoryDevice({ size: 4096 });
    expect(() => device.read(4096, new Uint8Array(10))).toThrow(
      'Cannot read 10 bytes at 0x1000: memory ends at 0x1000',
    );
    device.close();
    expect(() => device.read(0, new Uint8Array(10))).toThrow(
      'Cannot read 10 bytes at 0x0: memory is closed',
    );
  });
});
