/** The crash device itself: it must lose all that may be lost, and nothing else. */
import { describe, expect, it } from 'vitest';
import { type CrashChoice, crashChoices, dropAll, keepAll, randomCrash } from './crash-choice.ts';
import { CrashDevice } from './crash-device.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';

const SIZE = 8192;

function block(byte: number, length = 512): Uint8Array {
  return new Uint8Array(length).fill(byte);
}

/** The first byte of each of these sectors. */
function sectors(image: Uint8Array, ...indexes: number[]): number[] {
  return indexes.map((index) => image[index * 512] as number);
}

/** What many random crashes leave in these sectors, each outcome once. */
function outcomes(device: CrashDevice, ...indexes: number[]): Set<string> {
  const random = new Random(1);
  const seen = new Set<string>();
  for (let i = 0; i < 500; i++) {
    seen.add(sectors(device.crash(randomCrash(random)), ...indexes).join());
  }
  return seen;
}

describe('CrashDevice.crash()', () => {
  it('shows all 8 subsets of 3 writes', async () => {
    const device = new CrashDevice({ size: SIZE });
    for (const i of [0, 1, 2]) await device.write(i * 512, block(1));
    const seen = new Set<string>();
    for (const choice of crashChoices(3, { random: new Random(1), samples: 0 })) {
      seen.add(sectors(device.crash(choice), 0, 1, 2).join(''));
    }
    expect([...seen].sort()).toEqual(['000', '001', '010', '011', '100', '101', '110', '111']);
  });

  it('never loses what was flushed (C1)', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1, 1024));
    await device.flush();
    await device.write(512, block(2));
    expect(sectors(device.crash(dropAll), 0, 1)).toEqual([1, 1]);
    expect(outcomes(device, 0, 1)).toEqual(new Set(['1,1', '1,2']));
  });

  it('tears at sectors of 512 bytes and nowhere else (C2)', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(256, block(1, 1024));
    const random = new Random(1);
    const seen = new Set<string>();
    for (let i = 0; i < 500; i++) {
      const image = device.crash(randomCrash(random));
      // Bytes 256-511, 512-1023 and 1024-1279 are in three sectors.
      const parts = [
        image.subarray(256, 512),
        image.subarray(512, 1024),
        image.subarray(1024, 1280),
      ];
      for (const part of parts) expect(new Set(part).size).toBe(1);
      expect(image[255]).toBe(0);
      expect(image[1280]).toBe(0);
      seen.add(parts.map((part) => part[0]).join(''));
    }
    expect(seen.size).toBe(8);
  });

  it('may lose the younger of two writes and keep the older, and the other way round', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1));
    await device.write(0, block(2));
    expect(outcomes(device, 0)).toEqual(new Set(['0', '1', '2']));
  });

  it('lets writes arrive in any order', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1, 300));
    await device.write(200, block(2, 300));
    const seen = new Set<string>();
    const random = new Random(1);
    for (let i = 0; i < 500; i++) {
      const image = device.crash(randomCrash(random));
      seen.add([image[0], image[250], image[400]].join());
    }
    expect(seen).toEqual(new Set(['0,0,0', '1,1,0', '0,2,2', '1,2,2', '1,1,2']));
  });

  it('leaves the device as it is', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1));
    device.crash(dropAll);
    const found = new Uint8Array(512);
    await device.read(0, found);
    expect(found).toEqual(block(1));
    expect(sectors(device.crash(keepAll), 0)).toEqual([1]);
  });

  it('puts discards and preparations at stake (C3)', async () => {
    const device = new CrashDevice({ image: block(7, SIZE) });
    await device.discard(0, 512);
    await device.prepare(512, 512);
    expect(outcomes(device, 0, 1)).toEqual(new Set(['7,7', `${0xdd},7`, '7,0', `${0xdd},0`]));
  });

  it('keeps a growth whole, loses it, or has a write imply it (C3)', async () => {
    const device = new CrashDevice({ size: 1024 });
    await device.grow(3072);
    await device.write(1024, block(1));
    const random = new Random(1);
    const lengths = new Set(
      Array.from({ length: 200 }, () => device.crash(randomCrash(random)).length),
    );
    expect(lengths).toEqual(new Set([1024, 1536, 3072]));
    await device.flush();
    expect(device.crash(dropAll).length).toBe(3072);
  });

  it('restart() hands out a device that works on', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1));
    const fresh = device.restart();
    fresh.write(512, block(2));
    fresh.grow(2 * SIZE);
    expect(fresh.size).toBe(2 * SIZE);
    expect(sectors(device.crash(), 0, 1)).toEqual([1, 0]);
  });
});

describe('crashChoices()', () => {
  it('tries every subset of few writes', () => {
    const plan = { random: new Random(1), samples: 3 };
    expect([...crashChoices(4, plan)]).toHaveLength(16 + 3);
    expect([...crashChoices(0, plan)]).toHaveLength(1);
  });

  it('tries none, all and random ones of many', () => {
    const choices: CrashChoice[] = [
      ...crashChoices(7, { random: new Random(1), exhaustiveMax: 6, samples: 5 }),
    ];
    expect(choices).toHaveLength(2 + 5);
    expect(choices.slice(0, 2)).toEqual([dropAll, keepAll]);
  });
});

describe('CrashDevice', () => {
  it('counts what it is asked to do', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.writev(0, [block(1), block(2)]);
    await device.read(0, block(0));
    await device.flush();
    await device.discard(0, 512);
    await device.prepare(0, 512);
    await device.grow(SIZE * 2);
    expect(device.counters).toMatchObject({
      reads: 1,
      writes: 1,
      flushes: 1,
      discards: 1,
      prepares: 1,
      grows: 1,
      bytesRead: 512,
      bytesWritten: 1024,
      operations: 6,
    });
  });

  it('cuts the power during the k-th write, which is at stake (C4)', async () => {
    const device = new CrashDevice({ size: SIZE, cutAt: { write: 2 } });
    await device.write(0, block(1));
    await device.flush();
    expect(() => device.write(0, block(2, 1024))).toThrow(
      expect.objectContaining({
        code: 'EIO',
        message: 'Cannot write 1024 bytes at 0x0: the power is off',
      }),
    );
    expect(device.powered).toBe(false);
    expect(outcomes(device, 0, 1)).toEqual(new Set(['1,0', '2,0', '1,2', '2,2']));
  });

  it('does nothing once the power is off (C4)', async () => {
    const device = new CrashDevice({ size: SIZE });
    await device.write(0, block(1));
    device.cutPower();
    expect(() => device.write(512, block(1))).toThrow('the power is off');
    expect(() => device.read(0, block(0))).toThrow('the power is off');
    expect(() => device.flush()).toThrow('the power is off');
    expect(sectors(device.crash(dropAll), 0, 1)).toEqual([0, 0]);
    expect(sectors(device.crash(keepAll), 0, 1)).toEqual([1, 0]);
  });

  it('cuts the power during the k-th call of any kind', async () => {
    const device = new CrashDevice({ size: SIZE, cutAt: { operation: 2 } });
    await device.write(0, block(1));
    expect(() => device.flush()).toThrow('the power is off');
    expect(sectors(device.crash(dropAll), 0)).toEqual([0]);
  });
});

describe('CrashDevice on a schedule', () => {
  it('puts writes in flight at stake, and reads do not see them', async () => {
    const schedule = new Schedule(new Random(1));
    const device = new CrashDevice({ size: SIZE, schedule });
    const write = device.write(0, block(1));
    expect(outcomes(device, 0)).toEqual(new Set(['0', '1']));
    const found = block(9);
    const read = device.read(0, found);
    await schedule.run(Promise.all([write, read]));
    expect([0, 1]).toContain(found[0]);
  });

  it('flush() covers what had completed when it was called, and no more (C1)', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const schedule = new Schedule(new Random(seed));
      const device = new CrashDevice({ size: SIZE, schedule });
      await schedule.run(Promise.resolve(device.write(0, block(1))));
      const late = device.write(512, block(1));
      const flush = device.flush();
      await schedule.run(Promise.all([late, flush]));
      expect(sectors(device.crash(dropAll), 0, 1)).toEqual([1, 0]);
    }
  });

  it('never undoes a younger write by an older flush that ends later', async () => {
    let overtaken = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const schedule = new Schedule(new Random(seed));
      const device = new CrashDevice({ size: SIZE, schedule });
      await schedule.run(Promise.resolve(device.write(0, block(1))));
      let firstEnded = false;
      const first = async () => {
        await device.flush();
        firstEnded = true;
      };
      const second = async () => {
        await device.write(0, block(2));
        await device.flush();
        if (!firstEnded) overtaken++;
      };
      await schedule.run(Promise.all([first(), second()]));
      expect(sectors(device.crash(dropAll), 0)).toEqual([2]);
    }
    expect(overtaken).toBeGreaterThan(5);
  });

  it('fails or hangs when the power goes, as asked for', async () => {
    for (const hangs of [false, true]) {
      const schedule = new Schedule(new Random(1));
      const device = new CrashDevice({ size: SIZE, schedule, hangs });
      const write = Promise.resolve(device.write(0, block(1)));
      device.cutPower();
      await expect(schedule.run(write)).rejects.toThrow(hangs ? 'Stalled' : 'the power is off');
    }
  });

  it('completes writes in many orders', async () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 100; seed++) {
      const schedule = new Schedule(new Random(seed));
      const device = new CrashDevice({ size: SIZE, schedule });
      const seen: number[] = [];
      const write = async (i: number) => {
        await device.write(0, block(i));
        seen.push(i);
      };
      await schedule.run(Promise.all([1, 2, 3].map(write)));
      orders.add(seen.join(''));
    }
    expect(orders.size).toBe(6);
  });
});
