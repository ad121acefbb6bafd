/** Power cuts under an overlay: what was flushed stays, what was not is old or new (D2). */
import { describe, expect, it } from 'vitest';
import { KIB } from '../base/index.ts';
import {
  CrashDevice,
  crashChoices,
  dropAll,
  Random,
  Schedule,
  SECTOR_SIZE,
} from '../testing/index.ts';
import { type Device, MemoryDevice, OverlayDevice } from './index.ts';

const SIZE = 64 * KIB;
const SECTORS = SIZE / SECTOR_SIZE;
const STEPS = 30;

/** For each sector the values it may have after a cut: what was flushed, then all since. */
class Expected {
  readonly sectors: Uint8Array[][] = [];

  constructor(contents: Uint8Array) {
    for (let i = 0; i < SECTORS; i++) this.sectors.push([sector(contents, i)]);
  }

  write(contents: Uint8Array, first: number, end: number): void {
    for (let i = first; i < end; i++) this.sectors[i]?.push(sector(contents, i));
  }

  flushed(): void {
    for (const values of this.sectors) values.splice(0, values.length - 1);
  }

  /** Sectors of `found` that hold none of their values. */
  wrong(found: Uint8Array): number[] {
    return this.sectors.flatMap((values, i) => {
      const bytes = sector(found, i);
      return values.some((value) => Buffer.compare(value, bytes) === 0) ? [] : [i];
    });
  }
}

function sector(contents: Uint8Array, index: number): Uint8Array {
  return contents.slice(index * SECTOR_SIZE, (index + 1) * SECTOR_SIZE);
}

/** A layer with a fresh overlay, as it lies on the medium. */
function freshImage(base: Device): Uint8Array {
  const layer = new CrashDevice({ size: 0 });
  OverlayDevice.openSync({ base, layer, create: true });
  return layer.crash();
}

interface History {
  readonly overlay: OverlayDevice;
  readonly contents: Uint8Array;
  readonly expected: Expected;
  readonly random: Random;
}

/** Random writes of whole sectors, and flushes, until the power goes. */
async function live({ overlay, contents, expected, random }: History): Promise<void> {
  for (let step = 0; step < STEPS; step++) {
    if (random.chance(1 / 5)) {
      await overlay.flush();
      expected.flushed();
      continue;
    }
    const first = random.below(SECTORS);
    const end = Math.min(SECTORS, first + random.between(1, random.pick([1, 8, 24])));
    const bytes = random.bytes((end - first) * SECTOR_SIZE);
    contents.set(bytes, first * SECTOR_SIZE);
    // It is at stake from the moment of issue.
    expected.write(contents, first, end);
    await overlay.write(first * SECTOR_SIZE, bytes);
  }
}

async function checkCrashes(
  base: Device,
  layer: CrashDevice,
  expected: Expected,
  random: Random,
): Promise<void> {
  for (const choice of crashChoices(layer.pending.length, { random, samples: 8 })) {
    const overlay = OverlayDevice.openSync({ base, layer: layer.restart(choice) });
    const found = new Uint8Array(SIZE);
    await overlay.read(0, found);
    expect(expected.wrong(found)).toEqual([]);
  }
}

describe('crash: an overlay', () => {
  it.each(Array.from({ length: 60 }, (_, i) => i + 1))(
    'keeps what it flushed, seed %d',
    async (seed) => {
      const random = new Random(seed);
      const contents = random.bytes(SIZE);
      const base = MemoryDevice.from(contents, { readOnly: true });
      const layer = new CrashDevice({
        image: freshImage(base),
        cutAt: { operation: random.between(1, 80) },
      });
      const expected = new Expected(contents);
      try {
        const overlay = OverlayDevice.openSync({ base, layer });
        await live({ overlay, contents: contents.slice(), expected, random });
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' });
      }
      await checkCrashes(base, layer, expected, random);
    },
  );
});

describe('crash: an overlay with many calls in flight', () => {
  it.each(Array.from({ length: 60 }, (_, i) => i + 1))(
    'keeps what it flushed, seed %d',
    async (seed) => {
      const random = new Random(seed);
      const contents = random.bytes(SIZE);
      const base = MemoryDevice.from(contents, { readOnly: true });
      const schedule = new Schedule(random.fork());
      const layer = new CrashDevice({ image: freshImage(base), schedule, hangs: true });
      const overlay = await schedule.run(OverlayDevice.open({ base, layer }));
      const expected = new Expected(contents);
      // Each of four writers has a quarter of the blocks, and each flush covers all that had ended.
      const ended: (() => void)[] = [];
      const writer = async (number: number) => {
        for (let step = 0; step < 10; step++) {
          const at = random.below(SECTORS / 4) * 4 + number;
          const bytes = random.bytes(SECTOR_SIZE);
          const values = expected.sectors[at] as Uint8Array[];
          values.push(bytes);
          await overlay.write(at * SECTOR_SIZE, bytes);
          ended.push(() => values.splice(0, values.indexOf(bytes)));
          if (!random.chance(1 / 4)) continue;
          const covered = ended.slice();
          await overlay.flush();
          for (const forget of covered) forget();
        }
      };
      for (let i = 0; i < 4; i++) void writer(i);
      for (let steps = random.between(5, 150); steps > 0; steps--) {
        schedule.step();
        await new Promise(setImmediate);
      }
      layer.cutPower();
      await checkCrashes(base, layer, expected, random);
    },
  );
});

describe('crash: an overlay that grows', () => {
  it('is as long as before or as after, and what is new is zeros', async () => {
    const contents = new Random(1).bytes(SIZE);
    const base = MemoryDevice.from(contents, { readOnly: true });
    const image = freshImage(base);
    const random = new Random(2);
    for (let cut = 1, grown = false; !grown; cut++) {
      const layer = new CrashDevice({ image, cutAt: { operation: cut } });
      try {
        const overlay = OverlayDevice.openSync({ base, layer });
        await overlay.grow(2 * SIZE);
        await overlay.flush();
        grown = true;
      } catch {}
      for (const choice of crashChoices(layer.pending.length, { random })) {
        const overlay = OverlayDevice.openSync({ base, layer: layer.restart(choice) });
        expect(grown ? [2 * SIZE] : [SIZE, 2 * SIZE]).toContain(overlay.size);
        const found = new Uint8Array(overlay.size);
        await overlay.read(0, found);
        const wanted = new Uint8Array(overlay.size);
        wanted.set(contents);
        expect(Buffer.compare(found, wanted)).toBe(0);
      }
    }
  });
});

describe('crash: an overlay that is made', () => {
  it('is there when open() has returned', () => {
    const base = MemoryDevice.from(new Random(1).bytes(SIZE), { readOnly: true });
    const layer = new CrashDevice({ size: 0 });
    OverlayDevice.openSync({ base, layer, create: true });
    expect(OverlayDevice.openSync({ base, layer: layer.restart(dropAll) }).size).toBe(SIZE);
  });

  it('never brings half of an older one back', async () => {
    const [base, otherBase] = [1, 2].map((seed) =>
      MemoryDevice.from(new Random(seed).bytes(SIZE), { readOnly: true }),
    ) as [MemoryDevice, MemoryDevice];
    const older = new CrashDevice({ size: 0 });
    const written = OverlayDevice.openSync({ base: otherBase, layer: older, create: true });
    await written.write(0, new Uint8Array(SIZE));
    await written.flush();
    const image = older.crash();
    const random = new Random(3);
    for (let cut = 1, made = false; !made; cut++) {
      const layer = new CrashDevice({ image, cutAt: { operation: cut } });
      try {
        OverlayDevice.openSync({ base, layer, create: true });
        made = true;
      } catch {}
      for (const choice of crashChoices(layer.pending.length, { random })) {
        const medium = layer.crash(choice);
        expect([undefined, 'as before']).toContain(
          stateOf(otherBase, medium, new Uint8Array(SIZE), 'as before'),
        );
        const contents = new Random(1).bytes(SIZE);
        expect(made ? ['new'] : [undefined, 'new']).toContain(
          stateOf(base, medium, contents, 'new'),
        );
      }
    }
  });
});

/** Undefined if there is no overlay of this base, `name` if it has these contents. */
function stateOf(base: Device, medium: Uint8Array, contents: Uint8Array, name: string): unknown {
  const found = new Uint8Array(SIZE);
  try {
    const overlay = OverlayDevice.openSync({ base, layer: MemoryDevice.from(medium) });
    void overlay.read(0, found);
  } catch {
    return undefined;
  }
  return Buffer.compare(found, contents) === 0 ? name : 'something else';
}
