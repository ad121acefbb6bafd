/** Bugs that were found once, each with its story. */
import { describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Random, Schedule, SlowDevice } from '../../src/testing/index.ts';
import { imageOf, recount } from '../volume/recount.ts';
import { Bench, COMMON } from './bench.ts';

/**
 * A file with two names was cloned along with one of them. In the clone its inode kept counting the
 * name outside, so it stayed in the clone's link table when the name inside went; it was changed in
 * memory and had to be brought into the table at the next commit. But the clone's directory had
 * been removed meanwhile, and the table with it: the commit found a node that nobody had loaded.
 */
describe('a clone of one of two names', () => {
  const ends: Readonly<Record<string, (volume: Volume) => void>> = {
    rmdir: ({ fs }) => fs.rmdirSync('/k'),
    rm: ({ fs }) => fs.rmSync('/k', { recursive: true }),
    'a rename over it': ({ fs }) => {
      fs.mkdirSync('/empty');
      fs.renameSync('/empty', '/k');
      fs.rmdirSync('/k');
    },
    'rmdir while the file is open': ({ fs }) => {
      const fd = fs.openSync('/d/f', 'r');
      fs.rmdirSync('/k');
      fs.closeSync(fd);
    },
  };

  it.each(Object.entries(ends))('goes with %s', async (_, end) => {
    const device = new MemoryDevice({ size: 4 * MIB });
    const volume = await Volume.open(device, { ...COMMON, create: true, logBlocks: 8 });
    const { fs } = volume;
    fs.mkdirSync('/d');
    fs.writeFileSync('/d/f', 'content');
    fs.linkSync('/d/f', '/g');
    volume.cloneSync('/d', '/k');
    fs.rmSync('/k/f');
    end(volume);
    volume.syncSync();
    expect(fs.readFileSync('/g', 'utf8')).toBe('content');
    fs.rmSync('/d', { recursive: true });
    fs.rmSync('/g');
    volume.reclaimSync();
    volume.closeSync();
    expect(recount(imageOf(device))).toEqual([]);
  });

  it('goes while the file is open in the clone, which can be read on', async () => {
    const device = new MemoryDevice({ size: 4 * MIB });
    const volume = await Volume.open(device, { ...COMMON, create: true, logBlocks: 8 });
    const { fs } = volume;
    fs.mkdirSync('/d');
    fs.writeFileSync('/d/f', 'x'.repeat(9000));
    fs.linkSync('/d/f', '/g');
    volume.cloneSync('/d', '/k');
    const fd = fs.openSync('/k/f', 'r+');
    fs.rmSync('/k/f');
    fs.rmdirSync('/k');
    fs.writeSync(fd, 'y', 5000);
    volume.syncSync();
    expect(fs.fstatSync(fd).nlink).toBe(0);
    expect(fs.readFileSync(fd, 'utf8').indexOf('y')).toBe(5000);
    fs.closeSync(fd);
    volume.reclaimSync();
    volume.closeSync();
    expect(recount(imageOf(device))).toEqual([]);
  });
});

/**
 * `rm` tries again when somebody has made a link below the directory meanwhile, which it knows by
 * `ENOTSUP`. A device that cannot be waited for says that too, and it tried for ever.
 */
it('rm of a directory ends on a device that is asynchronous', async () => {
  const options = { ...COMMON, size: 4 * MIB, logBlocks: 8, cacheBytes: 4 * MIB, now: () => 1e12 };
  const bench = await Bench.make('promises', options, new Random(1));
  await bench.step({ call: 'mkdir', args: ['/d'] });
  await bench.step({ call: 'writeFile', args: ['/d/f', 1, 9000] });
  await bench.remount();
  await bench.step({ call: 'lstat', args: ['/d/f'] });
  bench.evict();
  expect(() => bench.volume.fs.rmSync('/d', { recursive: true })).toThrow(
    "ENOTSUP: operation not supported on socket, rmdir '/d'",
  );
});

/** A volume that was opened for reading only still opened its files for writing. */
it('a file of a volume that is read-only is not opened for writing', async () => {
  const device = new MemoryDevice({ size: 4 * MIB });
  const before = await Volume.open(device, { create: true });
  before.fs.writeFileSync('/f', 'x');
  await before.close();
  await using volume = await Volume.open(device, { readOnly: true });
  expect(() => volume.fs.openSync('/f', 'r+')).toThrow("EROFS: read-only file system, open '/f'");
});

/**
 * Two copies to the same name at once: the one found that what it wanted to replace was gone, or
 * that its copy was, and failed with `ENOENT`.
 */
it('two copies to one name at once both end well', async () => {
  await using volume = await Volume.open(new MemoryDevice({ size: 4 * MIB }), { create: true });
  const { fs } = volume;
  for (const name of ['a', 'b', 'old']) fs.writeFileSync(`/${name}`, name);
  const { copyFile } = fs.promises;
  await Promise.all([copyFile('/a', '/old'), copyFile('/b', '/old'), copyFile('/a', '/old')]);
  await Promise.all([copyFile('/a', '/new'), copyFile('/b', '/new'), copyFile('/a', '/new')]);
  expect(['a', 'b']).toContain(fs.readFileSync('/old', 'utf8'));
  expect(['a', 'b']).toContain(fs.readFileSync('/new', 'utf8'));
});

/** A volume whose device answers when the schedule says so. */
async function slowly<Result>(
  memory: MemoryDevice,
  body: (volume: Volume) => Promise<Result>,
): Promise<Result> {
  const schedule = new Schedule(new Random(1));
  const device = new SlowDevice(memory, { schedule });
  const volume = await schedule.run(Volume.open(device, { commitIntervalMs: 0 }));
  const result = await schedule.run(body(volume));
  await schedule.run(volume.close());
  return result;
}

/**
 * Two appends waited for a third, each for the range where its bytes would go. When the file had
 * grown each looked for a place behind the other's, and followed the other for ever.
 */
it('three appends to a file that is not in memory', async () => {
  const memory = new MemoryDevice({ size: 16 * MIB });
  const made = Volume.openSync(memory, { create: true });
  made.fs.writeFileSync('/f', Buffer.alloc(5000, 1));
  made.closeSync();
  const size = await slowly(memory, async ({ fs: { promises } }) => {
    const handles = await Promise.all([1, 2, 3].map(() => promises.open('/f', 'a')));
    await Promise.all(handles.map((handle, i) => handle.write(Buffer.alloc(500 * (i + 1), 2 + i))));
    for (const handle of handles) await handle.close();
    return (await promises.stat('/f')).size;
  });
  expect(size).toBe(5000 + 500 + 1000 + 1500);
});

/**
 * A clone of a whole file asked for the size of its source once and shared its blocks later. A byte
 * that was appended in between was in the last block, behind the end of the target: it came to
 * light when the target grew.
 */
it('a source that grows while it is cloned', async () => {
  const memory = new MemoryDevice({ size: 16 * MIB });
  const made = Volume.openSync(memory, { create: true });
  made.fs.writeFileSync('/target', '');
  made.closeSync();
  await slowly(memory, async (volume) => {
    const { promises } = volume.fs;
    await promises.writeFile('/source', Buffer.alloc(10_000, 1));
    const clone = volume.cloneRange('/source', '/target');
    const append = promises.appendFile('/source', Buffer.alloc(1000, 2));
    const length = await clone;
    await append;
    expect((await promises.stat('/target')).size).toBe(length);
    await promises.truncate('/target', 12_288);
    const bytes = (await promises.readFile('/target')) as Buffer;
    expect(bytes.subarray(length).every((byte) => byte === 0)).toBe(true);
  });
});
