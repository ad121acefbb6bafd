/**
 * Import and export: what comes out is what went in.
 */
import * as host from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Volume } from '../../src/api/index.ts';
import { exactTime, hostTime, TreeCopy } from '../../src/cli/copy-tree.ts';
import { MemoryDevice } from '../../src/device/index.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';
const root = process.getuid?.() === 0;

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '64MiB');
  host.mkdirSync(rig.path('in'));
});

function write(name: string | Buffer, content: string | Uint8Array): void {
  host.writeFileSync(Buffer.concat([Buffer.from(rig.path('in/')), Buffer.from(name)]), content);
}

/** All that a copy has to keep, by path; the inode as the first of the paths that name it. */
function picture(folder: string, timeUnit = 1000n): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  const names = new Map<bigint, string>();
  const visit = (path: string): void => {
    const bytes = Buffer.from(path, 'latin1');
    const stats = host.lstatSync(bytes, { bigint: true });
    const below = path.slice(Buffer.from(folder).toString('latin1').length);
    const mtime = stats.isSymbolicLink() ? 0n : stats.mtimeNs / timeUnit;
    all[below] = { mode: stats.mode.toString(8), owner: [stats.uid, stats.gid], mtime };
    if (stats.isDirectory()) {
      for (const name of host.readdirSync(bytes, 'latin1').sort()) visit(join(path, name));
      return;
    }
    const content = stats.isSymbolicLink()
      ? host.readlinkSync(bytes, 'latin1')
      : host.readFileSync(bytes).toString('latin1');
    const first = names.get(stats.ino) ?? below;
    names.set(stats.ino, first);
    all[below] = { ...(all[below] as object), content, first, links: stats.nlink };
  };
  visit(Buffer.from(folder).toString('latin1'));
  return all;
}

async function roundTrip(): Promise<void> {
  await rig.ok('import', '~/in', IMG);
  await rig.ok('export', IMG, '~/out');
  expect(picture(rig.path('out'))).toEqual(picture(rig.path('in')));
  expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean; /u);
}

describe('import and export', () => {
  it('keep modes, times and empty directories', async () => {
    host.mkdirSync(rig.path('in/empty'));
    host.mkdirSync(rig.path('in/closed'));
    write('closed/file', 'x');
    write('tool', '#!/bin/sh\n');
    host.chmodSync(rig.path('in/tool'), 0o4755);
    host.chmodSync(rig.path('in/closed/file'), 0o400);
    host.chmodSync(rig.path('in/closed'), 0o555);
    host.utimesSync(rig.path('in/tool'), 1_000_000_000.25, 1_234_567_890.123456);
    host.utimesSync(rig.path('in/empty'), 10, 20);
    await roundTrip();
    host.chmodSync(rig.path('in/closed'), 0o755);
    host.chmodSync(rig.path('out/closed'), 0o755);
  });

  it('keep times to the nanosecond on the way in', async () => {
    write('file', 'x');
    const { mtimeNs } = host.statSync(rig.path('in/file'), { bigint: true });
    await rig.ok('import', '~/in', IMG);
    const [entry] = await rig.json('ls', `${IMG}:/file`);
    expect(String(entry?.['modified']).slice(-11, -1)).toBe(exactTime(mtimeNs).slice(-10));
  });

  it.skipIf(!root)('keep owners, as root', async () => {
    write('file', 'x');
    host.chownSync(rig.path('in/file'), 1234, 5678);
    host.symlinkSync('file', rig.path('in/link'));
    host.lchownSync(rig.path('in/link'), 4321, 8765);
    await roundTrip();
  });

  it('keep odd names', async () => {
    write('line\nbreak', '1');
    write('-rf', '2');
    write('x'.repeat(255), '3');
    write(' space ', '4');
    write('\u00e4\u{1f600}', '5');
    write(Buffer.from([0xff, 0xfe, 0x66]), '6');
    write(Buffer.from([0xc3]), '7');
    write('back\\slash:colon@', '8');
    await roundTrip();
  });

  it('keep symbolic links as they are, wherever they lead', async () => {
    write('file', 'x');
    host.symlinkSync('file', rig.path('in/good'));
    host.symlinkSync('/nowhere/at/all', rig.path('in/absolute'));
    host.symlinkSync('../../..', rig.path('in/up'));
    host.symlinkSync(Buffer.from([0x61, 0xff]), rig.path('in/bytes'));
    host.symlinkSync('loop', rig.path('in/loop'));
    await roundTrip();
  });

  it('are followed by ls, but not by ls -l', async () => {
    host.mkdirSync(rig.path('in/dir'));
    write('dir/file', 'x');
    host.symlinkSync('dir', rig.path('in/link'));
    await rig.ok('import', '~/in', IMG);
    expect(await rig.ok('ls', `${IMG}:/link`)).toBe('file\n');
    expect(await rig.ok('ls', '-l', `${IMG}:/link`)).toMatch(/^lrwxrwxrwx .* link -> dir\n$/u);
    expect(await rig.ok('ls', '-l', `${IMG}:/link/`)).toMatch(/^-rw.* file\n$/u);
  });

  it('keep hard links, also across directories', async () => {
    host.mkdirSync(rig.path('in/a/b'), { recursive: true });
    write('a/one', 'shared');
    host.linkSync(rig.path('in/a/one'), rig.path('in/a/b/two'));
    host.linkSync(rig.path('in/a/one'), rig.path('in/three'));
    const [report] = await rig.json('import', '~/in', `${IMG}:/copy`);
    expect(report).toMatchObject({ files: 1, hardLinks: 2, directories: 2, skipped: [] });
    await rig.ok('export', `${IMG}:/copy`, '~/out');
    expect(picture(rig.path('out'))).toEqual(picture(rig.path('in')));
  });

  it('keep holes', async () => {
    const fd = host.openSync(rig.path('in/sparse'), 'w');
    host.writeSync(fd, 'middle', 3 * 2 ** 20 + 5000);
    host.ftruncateSync(fd, 8 * 2 ** 20 + 17);
    host.closeSync(fd);
    write('zeros', Buffer.alloc(100_000));
    write('head', Buffer.concat([Buffer.alloc(5000, 1), Buffer.alloc(100_000)]));
    const [report] = await rig.json('import', '~/in', IMG);
    expect(Number(report?.['written'])).toBeLessThan(20_000);
    const entries = await rig.json('ls', IMG);
    expect(entries.map(({ size, allocated }) => [size, Number(allocated) <= 8192])).toEqual([
      [105_000, true],
      [8 * 2 ** 20 + 17, true],
      [100_000, true],
    ]);
    await rig.ok('export', IMG, '~/out');
    expect(picture(rig.path('out'))).toEqual(picture(rig.path('in')));
    expect(host.statSync(rig.path('out/sparse')).blocks * 512).toBeLessThan(2 ** 20);
  });

  it('say what they did', async () => {
    write('a', 'x'.repeat(1000));
    host.symlinkSync('a', rig.path('in/b'));
    expect(await rig.ok('import', '~/in', `${IMG}:/x/`)).toMatch(
      /^in -> a\.img:\/x\/: 1 file, 0 directories, 1 symbolic link, 1000 B in [\d.]+ m?s\n$/u,
    );
    const [report] = await rig.json('export', `${IMG}:/x`, '~/out');
    expect(report).toMatchObject({ from: 'a.img:/x', to: 'out', files: 1, symlinks: 1 });
  });
});

describe('import', () => {
  it('leaves out what is no file, and says so', async () => {
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [rig.path('in/pipe')]);
    write('file', 'x');
    const { status, stdout, stderr } = await rig.run(['import', '~/in', IMG]);
    expect(status).toBe(0);
    expect(stdout).toContain('1 file, ');
    expect(stderr).toBe('ramet: left out what is no file, or the image itself: in/pipe\n');
  });

  it('leaves out the image itself', async () => {
    write('file', 'x');
    host.linkSync(rig.path('a.img'), rig.path('in/self'));
    const { status, stderr } = await rig.run(['import', '~/in', IMG]);
    expect(status).toBe(0);
    expect(stderr).toBe('ramet: left out what is no file, or the image itself: in/self\n');
    expect(await rig.ok('ls', IMG)).toBe('file\n');
  });

  it('leaves out the file that says who has the image', async () => {
    const { status, stderr } = await rig.run(['import', '~/', `${IMG}:/all`]);
    expect(status).toBe(0);
    expect(stderr).toContain('left out what is no file, or the image itself: a.img, a.img.owner\n');
    expect(await rig.ok('ls', `${IMG}:/all`)).toBe('in\n');
  });

  it('joins what is there only with --force', async () => {
    host.mkdirSync(rig.path('in/dir'));
    write('dir/a', 'new');
    await rig.ok('mkdir', `${IMG}:/dir`);
    for (const name of ['a', 'b']) {
      await rig.run(['put', '-', `${IMG}:/dir/${name}`], { stdin: 'old' });
    }
    expect(await rig.fails('import', '~/in', IMG)).toBe(
      'Cannot import to /: the directory is not empty; --force joins them (ENOTEMPTY) [1]',
    );
    await rig.ok('import', '--force', '~/in', IMG);
    expect(await rig.ok('cat', `${IMG}:/dir/a`)).toBe('new');
    expect(await rig.ok('cat', `${IMG}:/dir/b`)).toBe('old');
    host.rmSync(rig.path('in/dir'), { recursive: true });
    write('dir', 'a file now');
    expect(await rig.fails('import', '--force', '~/in', IMG)).toBe(
      'Cannot import to /dir: a directory is in its place (EISDIR) [1]',
    );
  });

  it('says what is wrong', async () => {
    write('file', 'x');
    expect(await rig.fails('import', '~/no', IMG)).toBe(
      'Cannot import no to a.img:/: no such file or directory (ENOENT) [1]',
    );
    expect(await rig.fails('import', '~/in/file', IMG)).toBe(
      'Cannot import in/file: it is not a directory (ENOTDIR) [1]',
    );
    expect(await rig.fails('import', '~/in', `${IMG}:/x/y`)).toContain('(ENOENT) [1]');
    expect(await rig.fails('import', '~/in', `${IMG}@monday:/x`)).toContain('live volume [2]');
  });
});

describe('export', () => {
  beforeEach(async () => {
    host.mkdirSync(rig.path('in/dir'));
    write('dir/file', 'from the image');
    write('top', 'from the image');
    await rig.ok('import', '~/in', IMG);
    host.mkdirSync(rig.path('out'));
    host.mkdirSync(rig.path('outside'));
    host.writeFileSync(rig.path('outside/file'), 'precious');
  });

  it('wants an empty directory, or --force', async () => {
    host.writeFileSync(rig.path('out/mine'), 'mine');
    host.writeFileSync(rig.path('out/top'), 'mine');
    expect(await rig.fails('export', IMG, '~/out')).toBe(
      'Cannot export to out: the directory is not empty; --force joins them (ENOTEMPTY) [1]',
    );
    await rig.ok('export', '--force', IMG, '~/out');
    expect(host.readFileSync(rig.path('out/top'), 'utf8')).toBe('from the image');
    expect(host.readFileSync(rig.path('out/mine'), 'utf8')).toBe('mine');
  });

  it('writes through no link', async () => {
    host.symlinkSync(rig.path('outside'), rig.path('out/dir'));
    expect(await rig.fails('export', '--force', IMG, '~/out')).toContain(
      'Cannot export to out/dir: it is not a directory (ENOTDIR) [1]',
    );
    host.rmSync(rig.path('out/dir'));
    host.rmSync(rig.path('out/top'), { force: true });
    host.symlinkSync(rig.path('outside/file'), rig.path('out/top'));
    await rig.ok('export', '--force', IMG, '~/out');
    expect(host.lstatSync(rig.path('out/top')).isFile()).toBe(true);
    expect(host.readFileSync(rig.path('outside/file'), 'utf8')).toBe('precious');
    expect(host.readdirSync(rig.path('outside'))).toEqual(['file']);
  });

  it('does not replace the image that it reads', async () => {
    host.linkSync(rig.path('a.img'), rig.path('out/top'));
    expect(await rig.fails('export', '--force', IMG, '~/out')).toBe(
      'Cannot export to out/top: it is the image itself (EBUSY) [1]',
    );
  });

  it('reads a snapshot, and says what is wrong', async () => {
    await rig.ok('snapshot', IMG, 'monday');
    await rig.ok('rm', `${IMG}:/top`);
    await rig.ok('export', `${IMG}@monday`, '~/out');
    expect(host.readdirSync(rig.path('out')).sort()).toEqual(['dir', 'top']);
    expect(await rig.fails('export', `${IMG}@monday:/top`, '~/out')).toBe(
      'Cannot export a.img@monday:/top: it is a file; ramet cat prints one (ENOTDIR) [1]',
    );
    expect(await rig.fails('export', IMG, '~/no/where')).toContain('(ENOENT) [1]');
  });
});

describe('TreeCopy', () => {
  it.each(['../evil', '..', '.', '', 'a/b'])('uses no name %j', (name) => {
    const volume = Volume.openSync(new MemoryDevice({ size: 2 ** 22 }), { create: true });
    volume.fs.writeFileSync('/file', 'x');
    const [entry] = volume.fs.readdirSync('/', { withFileTypes: true });
    const hostile = Object.assign(Object.create(entry as object), { isFile: () => true });
    Object.defineProperty(hostile, 'name', { value: name });
    const fs = { ...volume.fs, readdirSync: () => [hostile] } as unknown as typeof volume.fs;
    host.mkdirSync(rig.path('out'));
    const copy = new TreeCopy({
      verb: 'export',
      source: { fs, root: '/' },
      target: { fs: host, root: rig.path('out') },
      owners: false,
      merge: false,
      timeText: hostTime,
    });
    expect(() => [...copy.steps()]).toThrow('it leads elsewhere');
    expect(host.readdirSync(rig.path('out'))).toEqual([]);
  });

  it.each([
    [0n, '0.000000000', '0.000000500'],
    [1_700_000_000_123_456_789n, '1700000000.123456789', '1700000000.123456500'],
    [-1n, '-0.000000001', '-0.000000500'],
    [-1_500_000_000n, '-1.500000000', '-1.499999500'],
  ])('gives the time %d as %s to a volume and as %s to the host', (time, exact, rounded) => {
    expect(exactTime(time)).toBe(exact);
    expect(hostTime(time)).toBe(rounded);
  });
});
