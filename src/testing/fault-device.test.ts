import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../device/index.ts';
import { type Fault, FaultDevice } from './fault-device.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';
import { SlowDevice } from './slow-device.ts';

const SIZE = 16384;

function faulty(...faults: Fault[]): { device: FaultDevice; memory: MemoryDevice } {
  const memory = new MemoryDevice({ size: SIZE });
  const device = new FaultDevice(memory, new Random(1));
  for (const fault of faults) device.inject(fault);
  return { device, memory };
}

function byteAt(device: MemoryDevice, position: number): number {
  const buffer = new Uint8Array(1);
  device.read(position, buffer);
  return buffer[0] as number;
}

const one = Uint8Array.of(1);

describe('FaultDevice', () => {
  it('fails by countdown, so often as asked for', async () => {
    const { device, memory } = faulty({ on: 'write', effect: 'fail', skip: 1, times: 2 });
    await device.write(0, one);
    for (const position of [1, 2]) {
      expect(() => device.write(position, one)).toThrow(
        expect.objectContaining({ code: 'EIO', operation: 'write', position, length: 1 }),
      );
    }
    await device.write(3, one);
    expect([0, 1, 2, 3].map((position) => byteAt(memory, position))).toEqual([1, 0, 0, 1]);
    expect(device.struck).toBe(2);
  });

  it.each(['read', 'write', 'flush', 'discard', 'prepare', 'grow'] as const)(
    'fails a %s and leaves the other calls alone',
    async (on) => {
      const { device } = faulty({ on, effect: 'fail', code: 'ENOSPC' });
      const calls = {
        read: () => device.read(0, new Uint8Array(1)),
        write: () => device.write(0, one),
        flush: () => device.flush(),
        discard: () => device.discard(0, 1),
        prepare: () => device.prepare(0, 1),
        grow: () => device.grow(SIZE + 1),
      };
      for (const [name, call] of Object.entries(calls)) {
        if (name === on) expect(call).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
        else await call();
      }
    },
  );

  it('strikes by address', async () => {
    const { device } = faulty({
      on: 'read',
      effect: 'fail',
      within: { position: 4096, length: 4096 },
    });
    await device.read(0, new Uint8Array(4096));
    await device.read(8192, new Uint8Array(4096));
    expect(() => device.read(4095, new Uint8Array(2))).toThrow('a planted fault');
    expect(() => device.read(8191, new Uint8Array(2))).toThrow('a planted fault');
  });

  it('strikes by chance, the same way for the same seed', async () => {
    const run = async () => {
      const { device } = faulty({ on: 'flush', effect: 'lose', probability: 1 / 4 });
      const struck: number[] = [];
      for (let i = 0; i < 100; i++) {
        await device.flush();
        struck.push(device.struck);
      }
      return struck;
    };
    const struck = await run();
    expect(struck).toEqual(await run());
    expect(struck.at(-1)).toBeGreaterThan(10);
    expect(struck.at(-1)).toBeLessThan(40);
  });

  it('loses writes and says that all is well', async () => {
    const { device, memory } = faulty({ on: 'write', effect: 'lose', times: 1 });
    await device.write(0, one);
    expect(byteAt(memory, 0)).toBe(0);
    await device.write(0, one);
    expect(byteAt(memory, 0)).toBe(1);
  });

  it('misdirects writes to the block beside', async () => {
    const { device, memory } = faulty({ on: 'write', effect: 'misdirect' });
    await device.write(10, one);
    expect([byteAt(memory, 10), byteAt(memory, 4106)]).toEqual([0, 1]);
    await device.write(SIZE - 1, one);
    expect([byteAt(memory, SIZE - 1), byteAt(memory, SIZE - 4097)]).toEqual([0, 1]);
  });

  it('misdirects reads to the block beside', async () => {
    const { device, memory } = faulty({ on: 'read', effect: 'misdirect' });
    memory.write(4096, one);
    const found = new Uint8Array(1);
    await device.read(0, found);
    expect(found).toEqual(one);
  });

  it('misdirects as far as it is told, and says where to', async () => {
    const { device, memory } = faulty({ on: 'write', effect: 'misdirect', by: 3 });
    await device.write(10, one);
    expect([byteAt(memory, 10), byteAt(memory, 12_298)]).toEqual([0, 1]);
    expect(device.strikes).toMatchObject([{ position: 10, length: 1, beside: 12_298 }]);
  });

  it('moves some sectors of what is written or read, and says that all is well', async () => {
    const { device, memory } = faulty(
      { on: 'write', effect: 'partial' },
      { on: 'read', effect: 'partial' },
    );
    const lengths = new Set<number>();
    for (let i = 0; i < 50; i++) {
      memory.write(0, new Uint8Array(4096));
      await device.writev(0, [new Uint8Array(1000).fill(1), new Uint8Array(3096).fill(1)]);
      const stored = new Uint8Array(4096);
      memory.read(0, stored);
      const written = stored.indexOf(0);
      expect([written % 512, stored.indexOf(1, written)]).toEqual([0, -1]);
      memory.write(0, new Uint8Array(4096).fill(1));
      const found = new Uint8Array(4096);
      await device.readv(0, [found.subarray(0, 100), found.subarray(100)]);
      expect([found.indexOf(0) % 512, found.indexOf(1, found.indexOf(0))]).toEqual([0, -1]);
      lengths.add(written);
    }
    expect(lengths.size).toBe(8);
  });

  it('lets a bit of the medium decay until it is written again', async () => {
    const { device, memory } = faulty({ on: 'read', effect: 'decay', times: 1 });
    const read = async (): Promise<Uint8Array> => {
      const found = new Uint8Array(4096);
      await device.read(0, found);
      return found;
    };
    const decayed = await read();
    expect(bitsOf(decayed)).toBe(1);
    expect(await read()).toEqual(decayed);
    const image = new Uint8Array(SIZE);
    memory.read(0, image);
    device.decay(image);
    expect(image.subarray(0, 4096)).toEqual(decayed);
    await device.write(0, new Uint8Array(4096));
    expect(bitsOf(await read())).toBe(0);
  });

  it('flips one bit of what is written, not of the buffer', async () => {
    const { device, memory } = faulty({ on: 'write', effect: 'rot' });
    const bytes = new Uint8Array(100);
    await device.writev(0, [bytes.subarray(0, 50), bytes.subarray(50)]);
    const found = new Uint8Array(100);
    memory.read(0, found);
    expect(bitsOf(found)).toBe(1);
    expect(bitsOf(bytes)).toBe(0);
  });

  it('flips one bit of what is read, not of what is stored', async () => {
    const { device, memory } = faulty({ on: 'read', effect: 'rot', times: 1 });
    const found = new Uint8Array(4096);
    await device.read(0, found);
    expect(bitsOf(found)).toBe(1);
    memory.read(0, found);
    expect(bitsOf(found)).toBe(0);
  });

  it('heal() takes the faults back', async () => {
    const { device } = faulty({ on: 'flush', effect: 'fail' });
    expect(() => device.flush()).toThrow('a planted fault');
    device.heal();
    await device.flush();
  });

  it('refuses a fault that makes no sense', () => {
    expect(() => faulty({ on: 'flush', effect: 'rot' })).toThrow('flush cannot rot');
    expect(() => faulty({ on: 'write', effect: 'decay' })).toThrow('write cannot decay');
  });

  it('fails no sooner than the device answers', async () => {
    const schedule = new Schedule(new Random(1));
    const slow = new SlowDevice(new MemoryDevice({ size: SIZE }), { schedule });
    const device = new FaultDevice(slow);
    device.inject({ on: 'write', effect: 'fail' });
    const write = Promise.resolve(device.write(0, one));
    expect(schedule.pending).toBe(1);
    await expect(schedule.run(write)).rejects.toThrow('a planted fault');
    expect(schedule.nowUs).toBeGreaterThan(0);
  });

  it('counts every call', async () => {
    const { device } = faulty({ on: 'write', effect: 'lose' });
    await device.write(0, one);
    await device.read(0, new Uint8Array(10));
    expect(device.counters).toMatchObject({ writes: 1, reads: 1, bytesRead: 10 });
  });
});

function bitsOf(bytes: Uint8Array): number {
  let bits = 0;
  for (const byte of bytes) for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
}
