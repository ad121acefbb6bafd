import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../device/index.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';
import { SlowDevice } from './slow-device.ts';

function slow(drains = false): { device: SlowDevice; memory: MemoryDevice; schedule: Schedule } {
  const schedule = new Schedule(new Random(1));
  const memory = new MemoryDevice({ size: 4096 });
  return { device: new SlowDevice(memory, { schedule, drains }), memory, schedule };
}

describe('SlowDevice', () => {
  it('does a write when it completes, not before', async () => {
    const { device, memory, schedule } = slow();
    const write = device.write(0, Uint8Array.of(7));
    const found = new Uint8Array(1);
    memory.read(0, found);
    expect(found[0]).toBe(0);
    await schedule.run(write);
    memory.read(0, found);
    expect(found[0]).toBe(7);
  });

  it('shows nothing of a read before it completes', async () => {
    const { device, schedule } = slow();
    const found = new Uint8Array(2);
    const read = device.read(0, found);
    expect([...found]).toEqual([0xa5, 0xa5]);
    await schedule.run(read);
    expect([...found]).toEqual([0, 0]);
  });

  it('notices a buffer that is changed while it is written (D3)', async () => {
    const { device, schedule } = slow();
    const buffer = new Uint8Array(100);
    const write = device.write(512, buffer);
    buffer[99] = 1;
    await expect(schedule.run(write)).rejects.toThrow(
      'D3: a buffer was changed while being written at 0x200',
    );
  });

  it('takes the latency that it is given', async () => {
    const schedule = new Schedule(new Random(1));
    const device = new SlowDevice(new MemoryDevice({ size: 1 }), {
      schedule,
      latency: { minUs: 7, maxUs: 7 },
    });
    for (let i = 0; i < 5; i++) await schedule.run(device.flush());
    expect(schedule.nowUs % 7).toBe(0);
    expect(schedule.nowUs).toBeGreaterThanOrEqual(35);
  });

  it('rejects bad arguments', async () => {
    const { device } = slow();
    await expect(device.read(4096, new Uint8Array(1))).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(device.grow(-1)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('drain() completes everything in this turn, if it was asked for', () => {
    const { device, memory } = slow(true);
    void device.write(0, Uint8Array.of(1));
    void device.write(1, Uint8Array.of(2));
    device.drain?.();
    const found = new Uint8Array(2);
    memory.read(0, found);
    expect([...found]).toEqual([1, 2]);
    expect(slow().device.drain).toBeUndefined();
  });
});
