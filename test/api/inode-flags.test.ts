/** Flags of inodes: what is immutable or append-only refuses every change. */
import { describe, expect, it } from 'vitest';
import { constants, type InodeFlags, Volume } from '../../src/api/index.ts';
import { MIB } from '../../src/base/index.ts';
import { checkSync } from '../../src/check/index.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { afterCrash, volumeOn } from '../crash/tape-volume.ts';
import { COMMON } from './bench.ts';

const NONE: InodeFlags = { immutable: false, appendOnly: false, noDump: false, noAtime: false };
const { O_TMPFILE, O_RDWR } = constants;

/** A directory `d` with a file and a directory, and a file beside it. */
function scene(): { device: MemoryDevice; volume: Volume } {
  const device = new MemoryDevice({ size: 8 * MIB });
  const volume = Volume.openSync(device, { ...COMMON, create: true });
  const { fs } = volume;
  fs.mkdirSync('/d/e', { recursive: true });
  fs.writeFileSync('/d/f', Buffer.alloc(20_000, 1));
  fs.writeFileSync('/g', Buffer.alloc(20_000, 2));
  return { device, volume };
}

type Attempt = (volume: Volume) => unknown;

function refusal(volume: Volume, attempt: Attempt): string {
  try {
    attempt(volume);
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** Changes of the file `/d/f`, by its names and by a descriptor that was open before. */
const OF_FILE: Readonly<Record<string, Attempt>> = {
  open: ({ fs }) => fs.openSync('/d/f', 'r+'),
  'open to truncate': ({ fs }) => fs.openSync('/d/f', 'w'),
  truncate: ({ fs }) => fs.truncateSync('/d/f', 5),
  chmod: ({ fs }) => fs.chmodSync('/d/f', 0o600),
  chown: ({ fs }) => fs.chownSync('/d/f', 1, 1),
  utimes: ({ fs }) => fs.utimesSync('/d/f', 1, 1),
  link: ({ fs }) => fs.linkSync('/d/f', '/l'),
  unlink: ({ fs }) => fs.unlinkSync('/d/f'),
  rename: ({ fs }) => fs.renameSync('/d/f', '/h'),
  'be renamed over': ({ fs }) => fs.renameSync('/g', '/d/f'),
  exchange: (volume) => volume.exchangeSync('/g', '/d/f'),
  'remove the tree': ({ fs }) => fs.rmSync('/d', { recursive: true }),
};

const WITH_OPEN: Readonly<Record<string, (volume: Volume, fd: number, other: number) => unknown>> =
  {
    write: ({ fs }, fd) => fs.writeSync(fd, 'x', 0),
    ftruncate: ({ fs }, fd) => fs.ftruncateSync(fd, 30_000),
    punch: (volume, fd) => volume.punchSync(fd, 0, 4096),
    zero: (volume, fd) => volume.zeroRangeSync(fd, 0, 4096),
    collapse: (volume, fd) => volume.collapseRangeSync(fd, 0, 4096),
    insert: (volume, fd) => volume.insertRangeSync(fd, 0, 4096),
    'clone a range to it': (volume, fd, other) => volume.cloneRangeSync(other, fd),
    'copy a range to it': (volume, fd, other) => volume.copyRangeSync(other, fd),
  };

/** What only an immutable file refuses: it adds to the file, or changes none of its bytes. */
const APPENDING: typeof WITH_OPEN = {
  append: ({ fs }, fd) => fs.writeSync(fd, 'x', fs.fstatSync(fd).size),
  allocate: (volume, fd) => volume.allocateSync(fd, 30_000, 4096, { keepSize: true }),
};

describe.each([
  { flag: 'immutable', appends: 'EPERM' },
  { flag: 'appendOnly', appends: 'ok' },
] as const)('a file that is $flag', ({ flag, appends }) => {
  it.each(Object.entries(OF_FILE))('refuses to %s', (_, attempt) => {
    const { device, volume } = scene();
    volume.setFlagsSync('/d/f', { [flag]: true });
    const before = volume.fs.statSync('/d/f');
    expect(refusal(volume, attempt)).toBe('EPERM');
    expect(volume.fs.statSync('/d/f')).toEqual(before);
    volume.setFlagsSync('/d/f', { [flag]: false });
    expect(refusal(volume, attempt)).toBe('ok');
    volume.syncSync();
    expect(checkSync(device).issues).toEqual([]);
  });

  it.each(Object.entries({ ...WITH_OPEN, ...APPENDING }))('answers to %s', (what, attempt) => {
    const { volume } = scene();
    const [fd, other] = [volume.fs.openSync('/d/f', 'r+'), volume.fs.openSync('/g', 'r')];
    volume.setFlagsSync('/d/f', { [flag]: true });
    const wanted = what in APPENDING ? appends : 'EPERM';
    expect(refusal(volume, () => attempt(volume, fd, other))).toBe(wanted);
    volume.setFlagsSync('/d/f', { [flag]: false });
    expect(refusal(volume, () => attempt(volume, fd, other))).toBe('ok');
  });
});

describe('an append-only file', () => {
  it('is opened to append', () => {
    const { volume } = scene();
    volume.setFlagsSync('/d/f', { appendOnly: true });
    volume.fs.appendFileSync('/d/f', 'more');
    expect(volume.fs.statSync('/d/f').size).toBe(20_004);
    volume.setFlagsSync('/d/f', { immutable: true });
    expect(refusal(volume, ({ fs }) => fs.appendFileSync('/d/f', 'x'))).toBe('EPERM');
  });
});

/** Changes of names in `/d`: those that add one, and those that take one away. */
const ADDING: Readonly<Record<string, Attempt>> = {
  create: ({ fs }) => fs.writeFileSync('/d/new', ''),
  mkdir: ({ fs }) => fs.mkdirSync('/d/new'),
  symlink: ({ fs }) => fs.symlinkSync('x', '/d/new'),
  link: ({ fs }) => fs.linkSync('/g', '/d/new'),
  'rename into it': ({ fs }) => fs.renameSync('/g', '/d/new'),
  clone: (volume) => volume.cloneSync('/g', '/d/new'),
  'make a file without a name': ({ fs }) => fs.openSync('/d', O_TMPFILE | O_RDWR),
};
const REMOVING: Readonly<Record<string, Attempt>> = {
  unlink: ({ fs }) => fs.unlinkSync('/d/f'),
  rmdir: ({ fs }) => fs.rmdirSync('/d/e'),
  'rename out of it': ({ fs }) => fs.renameSync('/d/f', '/new'),
  'rename in it': ({ fs }) => fs.renameSync('/d/f', '/d/new'),
  'rename over': ({ fs }) => fs.renameSync('/g', '/d/f'),
  exchange: (volume) => volume.exchangeSync('/d/f', '/g'),
  'rename itself': ({ fs }) => fs.renameSync('/d', '/new'),
  'remove the tree': ({ fs }) => fs.rmSync('/d', { recursive: true }),
  chmod: ({ fs }) => fs.chmodSync('/d', 0o700),
};

describe.each([
  { flag: 'immutable', adds: 'EPERM' },
  { flag: 'appendOnly', adds: 'ok' },
] as const)('a directory that is $flag', ({ flag, adds }) => {
  it.each(Object.entries({ ...ADDING, ...REMOVING }))('answers to %s', (what, attempt) => {
    const { volume } = scene();
    volume.setFlagsSync('/d', { [flag]: true });
    const names = volume.fs.readdirSync('/d');
    expect(refusal(volume, attempt)).toBe(what in ADDING ? adds : 'EPERM');
    if (what in ADDING && adds === 'ok') return;
    expect(volume.fs.readdirSync('/d')).toEqual(names);
    volume.setFlagsSync('/d', { [flag]: false });
    expect(refusal(volume, attempt)).toBe('ok');
  });

  it('does not keep what is in its files', () => {
    const { volume } = scene();
    volume.setFlagsSync('/d', { [flag]: true });
    volume.fs.writeFileSync('/d/f', 'changed');
    volume.fs.chmodSync('/d/e', 0o700);
  });
});

describe('a tree with a guarded file deep below', () => {
  it.each(['/top', '/moved/top', '/cloned', '/moved/cloned', '/into/cloned'])(
    'does not go at once: %s',
    (path) => {
      const { volume } = scene();
      const { fs } = volume;
      fs.mkdirSync('/moved');
      fs.mkdirSync('/top/a/b', { recursive: true });
      fs.writeFileSync('/top/a/b/keep', '');
      volume.setFlagsSync('/top/a/b/keep', { immutable: true });
      fs.mkdirSync('/into');
      for (const name of ['/cloned', '/into/cloned']) volume.cloneSync('/top', name);
      if (path.startsWith('/moved')) fs.renameSync(path.slice(6), path);
      volume.syncSync();
      const top = `/${path.split('/')[1]}`;
      expect(refusal(volume, () => fs.rmSync(top, { recursive: true }))).toBe('EPERM');
      expect(fs.existsSync(`${path}/a/b/keep`)).toBe(true);
      volume.setFlagsSync(`${path}/a/b/keep`, { immutable: false });
      fs.rmSync(top, { recursive: true });
    },
  );

  it('does not go at once if the file has several names', () => {
    const { volume } = scene();
    volume.cloneSync('/d', '/k');
    volume.fs.linkSync('/k/f', '/k/e/g');
    volume.setFlagsSync('/k/f', { appendOnly: true });
    expect(refusal(volume, ({ fs }) => fs.rmSync('/k', { recursive: true }))).toBe('EPERM');
    expect(volume.fs.existsSync('/k/f')).toBe(true);
  });

  it('goes with its snapshot', () => {
    const { volume } = scene();
    for (const path of ['/d/f', '/']) volume.setFlagsSync(path, { immutable: true });
    volume.snapshotSync('s');
    volume.snapshotSync('t', { writable: true });
    for (const name of ['s', 't']) volume.deleteSnapshotSync(name);
    expect(volume.snapshotsSync()).toEqual([]);
  });
});

describe('flags', () => {
  it('are told, kept by mounts, and inherited where backups and readers ask for them', () => {
    const { device, volume } = scene();
    volume.setFlagsSync('/d', { noDump: true, noAtime: true, appendOnly: true });
    volume.fs.mkdirSync('/d/new');
    volume.closeSync();
    using later = Volume.openSync(device, COMMON);
    const quiet = { ...NONE, noDump: true, noAtime: true };
    expect(later.flagsSync('/d')).toEqual({ ...quiet, appendOnly: true });
    expect(later.flagsSync('/d/new')).toEqual(quiet);
    expect(later.flagsSync('/d/f')).toEqual(NONE);
    expect(checkSync(device).issues).toEqual([]);
  });

  it('stay with a cloned directory and not with a cloned file', () => {
    const { volume } = scene();
    volume.setFlagsSync('/d/f', { immutable: true });
    volume.setFlagsSync('/d', { appendOnly: true });
    volume.cloneSync('/d', '/k');
    volume.cloneSync('/d/f', '/h');
    expect(volume.flagsSync('/k')).toEqual({ ...NONE, appendOnly: true });
    expect(volume.flagsSync('/k/f')).toEqual({ ...NONE, immutable: true });
    expect(volume.flagsSync('/h')).toEqual(NONE);
    volume.fs.writeFileSync('/h', 'changed');
  });

  it('do not change while an inode stays immutable', () => {
    const { volume } = scene();
    volume.setFlagsSync('/g', { immutable: true });
    volume.setFlagsSync('/g', { immutable: true });
    expect(refusal(volume, (v) => v.setFlagsSync('/g', { noDump: true }))).toBe('EPERM');
    volume.setFlagsSync('/g', { immutable: false, noDump: true });
    expect(volume.flagsSync('/g')).toEqual({ ...NONE, noDump: true });
  });

  // What is told of data has the time of its write: a replay that looked at flags refused it.
  it('do not keep a replay from data that was written before they were set', () => {
    const { tape, volume } = volumeOn({ logBlocks: 64 });
    const { fs } = volume;
    for (const [name, flag] of [['i', 'immutable'] as const, ['a', 'appendOnly'] as const]) {
      const fd = fs.openSync(`/${name}`, 'w');
      fs.writeSync(fd, Buffer.alloc(50_000, 1));
      fs.fsyncSync(fd);
      fs.writeSync(fd, Buffer.alloc(70_000, 2), 0, 70_000, 10_000);
      volume.setFlagsSync(`/${name}`, { [flag]: true });
      fs.fsyncSync(fd);
    }
    expect(tape.superblocks).toBe(0);
    afterCrash(tape, (later) => {
      for (const name of ['i', 'a']) {
        const bytes = later.fs.readFileSync(`/${name}`) as Buffer;
        expect([bytes.length, bytes[9999], bytes[10_000], bytes.at(-1)]).toEqual([80_000, 1, 2, 2]);
      }
      expect(later.flagsSync('/i').immutable && later.flagsSync('/a').appendOnly).toBe(true);
    });
  });
});
