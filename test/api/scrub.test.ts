/** Scrub: what is damaged is told, what has a copy is mended, and nothing is disturbed. */
import { describe, expect, it, vi } from 'vitest';
import { type ScrubReport, Volume } from '../../src/api/index.ts';
import { BLOCK_SIZE, errorCode, KIB, MIB } from '../../src/base/index.ts';
import { checkSync, type Issue, type IssueCode } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Driver } from '../../src/drive/index.ts';
import { FaultDevice, Random } from '../../src/testing/index.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { goldenImage } from '../format/golden.ts';
import { crashImages, TapeDevice } from '../store/tape.ts';
import { seeded } from '../volume/seeds.ts';
import { Bench, COMMON, OpenVolume } from './bench.ts';

/** What is found by reading, rather than by thinking about what was read. */
const READ: ReadonlySet<IssueCode> = new Set([
  'checksum',
  'copy-damaged',
  'counts-damaged',
  'index-copy',
  'root-damaged',
  'superblock-damaged',
  'superblock-stale',
]);

function subjects(issues: readonly Issue[]): string[] {
  const all = issues
    .filter(({ code }) => READ.has(code))
    .map((issue) => {
      const { code, block, group } = issue as { code: string; block?: number; group?: number };
      return `${code} ${block ?? group ?? ''}`;
    });
  return [...new Set(all)].sort();
}

function flip(image: Uint8Array, block: number, random: Random): void {
  const at = block * BLOCK_SIZE + random.below(BLOCK_SIZE);
  image[at] = (image[at] as number) ^ random.between(1, 255);
}

/** Blocks with second copies, and the copies; all in use; what has a fixed place. */
function blocksOf(image: Uint8Array): { twins: number[]; used: number[]; fixed: number[] } {
  const editor = new ImageEditor(image);
  const { blockCount, logStart } = editor.superblock.geometry;
  const used: number[] = [];
  for (let block = 0; block < blockCount; block++) if (editor.count(block) > 0) used.push(block);
  const firsts = used.filter((block) => {
    const same = Buffer.compare(editor.block(block), editor.block(block + 1)) === 0;
    return same && block > logStart && hasCopy(image, block);
  });
  const fixed = [...editor.superblocks, ...Array.from({ length: 20 }, (_, i) => 4 + i)];
  return { twins: firsts.flatMap((block) => [block, block + 1]), used, fixed };
}

/** True if the damage of a block is nothing but that of a copy. */
function hasCopy(image: Uint8Array, block: number): boolean {
  const copy = image.slice();
  flip(copy, block, new Random(1));
  return subjects(checkSync(MemoryDevice.from(copy)).issues).join() === `copy-damaged ${block}`;
}

/** Commits until nothing is left that another one would write. */
async function settle(volume: Volume): Promise<void> {
  for (let i = 0; i < 4; i++) await volume.sync();
}

function openOn(image: Uint8Array): Volume {
  return Volume.openSync(new MemoryDevice({ buffer: image.buffer as ArrayBuffer }), COMMON);
}

describe('scrub', () => {
  it('reads everything, finds nothing and writes nothing', async () => {
    const tape = new TapeDevice(goldenImage());
    const volume = Volume.openSync(tape, COMMON);
    await settle(volume);
    tape.rewind();
    const seen: number[] = [];
    const report = await volume.scrub({ progress: ({ position }) => seen.push(position) });
    expect(report).toMatchObject({ issues: [], repaired: [] });
    expect(tape.calls).toEqual([]);
    const { verified } = checkSync(MemoryDevice.from(tape.image())).statistics;
    expect(report.verified).toBeGreaterThanOrEqual(verified / 2);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await volume.close();
  });

  seeded('tells what a check would, and mends what has a copy', { count: 40 }, async (random) => {
    const image = goldenImage();
    const volume = openOn(image);
    if (random.chance(0.5)) volume.fs.writeFileSync('/new', random.bytes(100_000));
    await settle(volume);
    const { twins, used, fixed } = blocksOf(image);
    for (let i = random.between(1, 6); i > 0; i--) {
      flip(image, random.pick(random.pick([twins, used, fixed])), random);
    }
    const before = checkSync(MemoryDevice.from(image.slice()));
    const told = await volume.scrub({ repair: false });
    expect(subjects(told.issues)).toEqual(subjects(before.issues));
    const report = await volume.scrub();
    const found = [...subjects(report.issues), ...subjects(report.repaired)].sort();
    expect(found).toEqual(subjects(before.issues));
    const after = checkSync(MemoryDevice.from(image.slice()));
    expect(subjects(after.issues)).toEqual(subjects(report.issues));
    const left = new Set(report.issues.map(({ code }) => code));
    for (const code of READ) {
      // Counts are written again only if they are in memory.
      if (code !== 'checksum' && code !== 'counts-damaged') expect(left).not.toContain(code);
    }
    volume.closeSync();
  });

  it('mends the counts that are in memory', async () => {
    const image = new Uint8Array(4 * MIB);
    const volume = Volume.openSync(new MemoryDevice({ buffer: image.buffer }), {
      ...COMMON,
      create: true,
    });
    volume.fs.writeFileSync('/file', new Uint8Array(100_000).fill(7));
    await volume.sync();
    for (let block = 4; block < 8; block++) flip(image, block, new Random(block));
    expect(checkSync(MemoryDevice.from(image.slice())).found.has('counts-damaged')).toBe(true);
    const report = await volume.scrub();
    expect(subjects(report.repaired)).toContain('counts-damaged 0');
    expect(checkSync(MemoryDevice.from(image.slice())).verdict).toBe('clean');
    volume.closeSync();
  });

  it('goes on from where another one stopped', async () => {
    const image = new Uint8Array(32 * MIB);
    const volume = openNew(image);
    volume.fs.writeFileSync('/file', new Random(1).bytes(8 * MIB));
    await volume.sync();
    const blocks = volume.extentsSync('/file').map(({ address }) => (address ?? 0) / BLOCK_SIZE);
    const first = blocks[0] as number;
    flip(image, first + 10, new Random(1));
    flip(image, first + 1800, new Random(2));
    const stop = new AbortController();
    let position = 0;
    const scrub = volume.scrub({
      signal: stop.signal,
      progress: (progress) => {
        position = progress.position;
        if (position > (first + 1000) * BLOCK_SIZE) stop.abort(new Error('enough'));
      },
    });
    await expect(scrub).rejects.toThrow('enough');
    const rest = await volume.scrub({ from: position });
    expect(subjects(rest.issues)).toEqual([`checksum ${first + 1800}`]);
    const all = await volume.scrub();
    expect(subjects(all.issues)).toHaveLength(2);
    volume.closeSync();
  });

  it('keeps to its rate', async () => {
    const volume = openNew(new Uint8Array(32 * MIB));
    volume.fs.writeFileSync('/file', new Random(1).bytes(8 * MIB));
    await volume.sync();
    vi.useFakeTimers();
    try {
      let report: ScrubReport | undefined;
      void volume.scrub({ bytesPerSecond: MIB }).then((it) => {
        report = it;
      });
      await vi.advanceTimersByTimeAsync(7000);
      expect(report).toBeUndefined();
      await vi.advanceTimersByTimeAsync(5000);
      expect(report).toMatchObject({ issues: [] });
    } finally {
      vi.useRealTimers();
    }
    volume.closeSync();
  });

  it('ends when the volume is closed', async () => {
    const volume = openNew(new Uint8Array(32 * MIB));
    volume.fs.writeFileSync('/file', new Random(1).bytes(8 * MIB));
    const scrub = volume.scrub({ bytesPerSecond: 1000 });
    const ended = expect(scrub).rejects.toMatchObject({ code: 'EBADF', syscall: 'scrub' });
    await new Promise((resolve) => void setTimeout(resolve, 10));
    await volume.close();
    await ended;
  });

  it('refuses what cannot be', async () => {
    const volume = openNew(new Uint8Array(4 * MIB));
    for (const options of [{ from: 1 }, { from: -4096 }, { bytesPerSecond: 0 }, { memory: -1 }]) {
      await expect(volume.scrub(options)).rejects.toBeInstanceOf(RangeError);
    }
    await expect(volume.scrub({ memory: 100 })).rejects.toMatchObject({ code: 'ENOMEM' });
    volume.closeSync();
  });
});

function openNew(image: Uint8Array<ArrayBuffer>, options = {}): OpenVolume {
  const device = new MemoryDevice({ buffer: image.buffer });
  return OpenVolume.openSync(device, { ...COMMON, create: true, ...options }) as OpenVolume;
}

describe('scrub of a volume in use', () => {
  seeded('says nothing and disturbs nothing', { count: 60 }, async (random) => {
    const image = new Uint8Array(2 * MIB);
    const device = new MemoryDevice({ buffer: image.buffer });
    const files = new Map<string, Uint8Array>();
    // Between any two rounds so much is freed, made durable and written that it is in use again.
    const churn = (): void => {
      const name = `/${random.below(4)}`;
      const bytes = random.bytes(random.below(60_000));
      volume.fs.rmSync(name, { force: true });
      volume.fs.writeFileSync(name, bytes);
      files.set(name, bytes);
      for (let i = 0; i < 7; i++) {
        volume.fs.chmodSync(name, 0o600 + i);
        volume.syncSync();
      }
    };
    const driver = new Driver(device, { pause: async () => churn() });
    const options = { ...COMMON, create: true, groupBlocks: 256 };
    const volume = await OpenVolume.on(device, driver, options);
    volume.fs.writeFileSync('/large', random.bytes(900_000));
    for (let i = 0; i < 4; i++) churn();
    let ended = 0;
    for (let i = 0; i < 6; i++) {
      try {
        expect(await volume.scrub()).toMatchObject({ issues: [], repaired: [] });
        ended++;
      } catch (error) {
        if (errorCode(error) !== 'EBUSY') throw error;
      }
    }
    expect(ended).toBeGreaterThan(0);
    for (const [name, bytes] of files) {
      expect(Buffer.compare(volume.fs.readFileSync(name) as Uint8Array, bytes), name).toBe(0);
    }
    volume.closeSync();
    expect(checkSync(MemoryDevice.from(image)).issues).toEqual([]);
  });

  it('gives way to whoever needs the space', async () => {
    const bench = await Bench.make('promises', { ...COMMON, size: 2 * MIB }, new Random(1));
    const { fs } = bench.volume;
    const bytes = new Random(2).bytes(400 * KIB);
    for (const name of ['a', 'b', 'c']) await bench.run(fs.promises.writeFile(`/${name}`, bytes));
    await bench.run(bench.volume.sync());
    const { space } = bench.volume.inside.store;
    const scrub = bench.volume.scrub();
    while (space.readers === 0) await bench.turn();
    const work = (async () => {
      for (let i = 0; i < 10; i++) {
        await fs.promises.rm('/a');
        await fs.promises.writeFile('/a', bytes);
      }
    })();
    await during(bench, work);
    expect((await during(bench, scrub)).issues).toEqual([]);
    await bench.close();
  });
});

/** Lets time pass until `work` has ended, and no longer: what else is under way stays so. */
async function during<Result>(bench: Bench, work: Promise<Result>): Promise<Result> {
  let ended = false;
  const end = () => {
    ended = true;
  };
  work.then(end, end);
  while (!ended) {
    await bench.turn();
    await new Promise((resolve) => void setImmediate(resolve));
  }
  return await work;
}

describe('a scrub that mends', () => {
  /** A volume whose tree copies are damaged, and how many of them are. */
  function damaged(): { image: Uint8Array; count: number } {
    const image = goldenImage();
    const { twins } = blocksOf(image);
    const random = new Random(3);
    const some = twins.filter((_, i) => i % 4 === 0 || i % 4 === 3);
    for (const block of some) flip(image, block, random);
    return { image, count: some.length };
  }

  it('leaves a volume that is as good as before, wherever the power goes off', async () => {
    const { image, count } = damaged();
    const tape = new TapeDevice(image);
    const volume = Volume.openSync(tape, COMMON);
    await settle(volume);
    tape.rewind();
    const report = await volume.scrub();
    expect(report.issues).toEqual([]);
    expect(report.repaired.length).toBeGreaterThan(0);
    expect(report.repaired.length).toBeLessThanOrEqual(count);
    expect(checkSync(MemoryDevice.from(tape.image())).verdict).toBe('clean');
    const before = checkSync(MemoryDevice.from(tape.base)).found.get('copy-damaged') ?? 0;
    const options = { random: new Random(4), exhaustiveMax: 2, samples: 4 };
    for (let calls = 0; calls <= tape.calls.length; calls++) {
      for (const crashed of crashImages(tape, calls, options)) {
        const { found, verdict } = checkSync(MemoryDevice.from(crashed));
        expect(verdict).not.toBe('errors');
        expect(found.get('copy-damaged') ?? 0).toBeLessThanOrEqual(before);
      }
    }
    volume.closeSync();
  });

  it('calls nothing mended that a flush has not made durable', async () => {
    const device = new FaultDevice(MemoryDevice.from(damaged().image));
    const volume = Volume.openSync(device, COMMON);
    await settle(volume);
    device.inject({ on: 'flush', effect: 'fail', times: 1 });
    const report = await volume.scrub();
    expect(report.repaired).toEqual([]);
    // Whatever else was written and not flushed may be lost: nothing more is promised.
    expect(() => volume.fs.mkdirSync('/new')).toThrow(/EROFS/);
    expect(() => volume.closeSync()).toThrow();
  });

  it('leaves what cannot be written as it is', async () => {
    const device = new FaultDevice(MemoryDevice.from(damaged().image));
    const volume = Volume.openSync(device, COMMON);
    await settle(volume);
    device.inject({ on: 'write', effect: 'lose' });
    const report = await volume.scrub();
    expect(report.repaired).toEqual([]);
    expect(report.issues.length).toBeGreaterThan(0);
    device.heal();
    volume.closeSync();
  });
});
