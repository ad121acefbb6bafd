/**
 * Limits: a volume that is full, and one that cannot be written. Each call fails with one clear
 * error and changes nothing; deleting always works.
 */
import { describe, expect, it } from 'vitest';
import { type NodeError, type SyncFs, Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random } from '../../src/testing/index.ts';
import { recount } from '../volume/recount.ts';
import { Bench, COMMON } from './bench.ts';
import { dump } from './dump.ts';

const now = (): number => 1e12;
const SMALL = { ...COMMON, size: 2 * MIB, logBlocks: 8, cacheBytes: 4 * MIB, now } as const;

function errorOf(call: () => unknown): NodeError {
  try {
    call();
  } catch (error) {
    return error as NodeError;
  }
  throw new Error('The call should have failed');
}

/** Writes files until there is no room; returns how many. */
function fill(fs: SyncFs, size: number): number {
  for (let i = 0; ; i++) {
    try {
      fs.writeFileSync(`/full/${size} ${i}`, new Uint8Array(size).fill(1 + (i % 251)));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC', errno: -28 });
      return i;
    }
  }
}

async function fullBench(): Promise<{ bench: Bench; fs: SyncFs; free: number }> {
  const bench = await Bench.make('sync', SMALL, new Random(1));
  const { fs } = bench.volume;
  const free = fs.statfsSync('/').bfree;
  fs.mkdirSync('/full');
  fs.writeFileSync('/full/kept', new Uint8Array(9000).fill(7));
  for (const size of [100_000, 4096, 500]) fill(fs, size);
  return { bench, fs, free };
}

/** Calls that would need room. */
const GROWING: Readonly<Record<string, [string, (fs: SyncFs) => unknown]>> = {
  'a file written': ['write', (fs) => fs.writeFileSync('/full/kept', new Uint8Array(300_000))],
  'an append': ['write', (fs) => fs.appendFileSync('/full/kept', new Uint8Array(300_000))],
};

describe('a full volume', () => {
  it.each(Object.entries(GROWING))('refuses %s', async (_, [syscall, call]) => {
    const { bench, fs } = await fullBench();
    const error = errorOf(() => call(fs));
    expect(error.message).toBe(`ENOSPC: no space left on device, ${syscall}`);
    expect(error).toMatchObject({ code: 'ENOSPC', errno: -28, syscall });
    expect(error.detail).toMatch(/^Cannot /u);
    await bench.step({ call: 'sync', args: [] });
    expect(recount(bench.image)).toEqual([]);
  });

  it('keeps what it has through a mount', async () => {
    const { bench, fs } = await fullBench();
    expect(fs.readFileSync('/full/kept')).toEqual(Buffer.alloc(9000, 7));
    const before = await bench.dump();
    await bench.remount();
    expect(await bench.dump()).toEqual(before);
    expect(recount(bench.image)).toEqual([]);
  });

  it.each(['at once', 'one by one'])('can be emptied %s, and has its room again', async (how) => {
    const { bench, fs, free } = await fullBench();
    if (how === 'at once') fs.rmSync('/full', { recursive: true });
    else {
      for (const name of fs.readdirSync('/full')) fs.unlinkSync(`/full/${name}`);
      fs.rmdirSync('/full');
    }
    await bench.reclaim();
    for (let i = 0; i < 4; i++) bench.volume.syncSync();
    expect(fs.statfsSync('/').bfree).toBe(free);
    expect(recount(bench.image)).toEqual([]);
    fs.mkdirSync('/full');
    expect(fill(fs, 100_000)).toBeGreaterThan(5);
  });

  it('that was filled through a snapshot is emptied by deleting it', async () => {
    const { bench, fs } = await fullBench();
    fs.rmSync('/full/kept');
    const names = fs.readdirSync('/full');
    fs.rmSync(`/full/${names[0]}`);
    bench.volume.snapshotSync('kept');
    fs.rmSync('/full', { recursive: true });
    bench.volume.deleteSnapshotSync('kept');
    bench.volume.reclaimSync();
    bench.volume.syncSync();
    fs.writeFileSync('/again', new Uint8Array(500_000));
  });
});

/** Calls that change something, with the syscall that Node names. */
const CHANGES: readonly [syscall: string, call: (fs: SyncFs) => unknown][] = [
  ['open', (fs) => fs.writeFileSync('/d/f', 'x')],
  ['open', (fs) => fs.appendFileSync('/d/f', 'x')],
  ['open', (fs) => fs.writeFileSync('/d/new', 'x')],
  ['open', (fs) => fs.openSync('/d/f', 'r+')],
  ['open', (fs) => fs.truncateSync('/d/f', 1)],
  ['mkdir', (fs) => fs.mkdirSync('/d/new')],
  ['mkdir', (fs) => fs.mkdirSync('/d/new/deep', { recursive: true })],
  ['rmdir', (fs) => fs.rmdirSync('/d/e')],
  ['unlink', (fs) => fs.unlinkSync('/d/f')],
  ['rmdir', (fs) => fs.rmSync('/d', { recursive: true })],
  ['unlink', (fs) => fs.rmSync('/d/f')],
  ['rename', (fs) => fs.renameSync('/d/f', '/d/g')],
  ['link', (fs) => fs.linkSync('/d/f', '/d/g')],
  ['symlink', (fs) => fs.symlinkSync('f', '/d/g')],
  ['copyfile', (fs) => fs.copyFileSync('/d/f', '/d/g')],
  ['chmod', (fs) => fs.chmodSync('/d/f', 0o600)],
  ['chown', (fs) => fs.chownSync('/d/f', 1, 1)],
  ['utime', (fs) => fs.utimesSync('/d/f', 1, 1)],
  ['access', (fs) => fs.accessSync('/d/f', 2)],
  ['mkdtemp', (fs) => fs.mkdtempSync('/d/t')],
];

async function plantedImage(): Promise<Uint8Array> {
  const bench = await Bench.make('sync', SMALL, new Random(1));
  const { fs } = bench.volume;
  fs.mkdirSync('/d/e', { recursive: true });
  fs.writeFileSync('/d/f', 'content');
  await bench.close();
  return bench.image;
}

describe('a volume that cannot be written', () => {
  it.each(['by its device', 'by an option'])('%s', async (how) => {
    const image = await plantedImage();
    const before = image.slice();
    const byDevice = how === 'by its device';
    const device = new MemoryDevice({ buffer: image.buffer as ArrayBuffer, readOnly: byDevice });
    const volume = Volume.openSync(device, { ...COMMON, now, readOnly: !byDevice });
    const seen = await dump(volume, 'sync');
    for (const [syscall, call] of CHANGES) {
      const error = errorOf(() => call(volume.fs));
      expect(error, `${error.stack}`).toMatchObject({ code: 'EROFS', errno: -30, syscall });
      expect(error.message).toContain(`EROFS: read-only file system, ${syscall} '`);
    }
    for (const call of [() => volume.cloneSync('/d', '/k'), () => volume.snapshotSync('s')]) {
      expect(errorOf(call).code).toBe('EROFS');
    }
    expect(await dump(volume, 'sync')).toEqual(seen);
    volume.closeSync();
    expect(Buffer.compare(image, before)).toBe(0);
  });

  it('in a snapshot alone', async () => {
    const bench = await Bench.make('sync', SMALL, new Random(1));
    bench.volume.fs.mkdirSync('/d/e', { recursive: true });
    bench.volume.fs.writeFileSync('/d/f', 'content');
    bench.volume.snapshotSync('s');
    const seen = await bench.dump();
    using view = bench.volume.openSnapshotSync('s');
    for (const [syscall, call] of CHANGES) {
      const error = errorOf(() => call(view.fs));
      expect(error, `${error.stack}`).toMatchObject({ code: 'EROFS', errno: -30, syscall });
    }
    expect(await bench.dump()).toEqual(seen);
  });
});
