/**
 * Commands on single files and directories.
 */
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

async function put(path: string, content: string | Uint8Array): Promise<void> {
  const { status, stderr } = await rig.run(['put', '-', `${IMG}:${path}`], { stdin: content });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}

async function read(path: string): Promise<string> {
  return (await rig.run(['cat', `${IMG}:${path}`])).bytes.toString('latin1');
}

describe('create', () => {
  it('makes a volume of the size that is asked for', async () => {
    const text = await rig.ok(
      'create',
      IMG,
      '--size',
      '64MiB',
      '--label',
      'work',
      '--block-size',
      '4096',
    );
    expect(text).toMatch(/^a\.img: 64 MiB, [\d.]+ MiB free\n$/u);
    expect(statSync(rig.path('a.img')).size).toBe(64 * 2 ** 20);
    const [info] = await rig.json('info', IMG);
    expect(info).toMatchObject({ label: 'work', size: 64 * 2 ** 20, snapshots: [] });
  });

  it('makes one of 16 GiB that takes hardly any room', async () => {
    const [made] = await rig.json('create', IMG);
    expect(made).toMatchObject({ image: 'a.img', label: '', size: 16 * 2 ** 30 });
    expect(statSync(rig.path('a.img')).blocks * 512).toBeLessThan(8 * 2 ** 20);
  });

  it('replaces a volume only with --force', async () => {
    await rig.ok('create', IMG, '--size', '16MiB');
    await put('/file', 'here');
    expect(await rig.fails('create', IMG)).toBe(
      'Cannot create a.img: it holds a volume; --force makes a new one and loses it (EEXIST) [1]',
    );
    expect(await read('/file')).toBe('here');
    expect(await rig.ok('create', IMG, '--force')).toMatch(/^a\.img: 16 MiB, /u);
    expect(await rig.ok('ls', IMG)).toBe('');
    expect(await rig.ok('create', IMG, '--force', '--size', '32MiB')).toMatch(/^a\.img: 32 MiB, /u);
  });

  it('keeps its hands off a file with something else in it', async () => {
    writeFileSync(rig.path('a.img'), 'my diary'.repeat(100_000));
    expect(await rig.fails('create', IMG)).toContain('it holds something else');
    expect(await rig.ok('create', IMG, '--force')).toMatch(/free\n$/u);
  });

  it('uses a file of zeros as it is', async () => {
    writeFileSync(rig.path('a.img'), new Uint8Array(2 ** 20));
    expect(await rig.ok('create', IMG)).toMatch(/^a\.img: 1 MiB, /u);
  });

  it('leaves nothing behind when it fails', async () => {
    expect(await rig.fails('create', IMG, '--size', '4k')).toMatch(
      /at least \d+ are needed \[2\]$/u,
    );
    expect(await rig.fails('create', IMG, '--label', 'x'.repeat(65))).toContain('64 bytes [2]');
    expect(await rig.fails('create', IMG, '--block-size', '1k')).toContain('has 4096 only [2]');
    expect(statSync(rig.path('a.img'), { throwIfNoEntry: false })).toBeUndefined();
    expect(await rig.fails('create', '~/missing/a.img')).toContain(
      'missing does not exist (ENOENT)',
    );
  });
});

describe('put, cat and ls', () => {
  beforeEach(async () => {
    await rig.ok('create', IMG, '--size', '64MiB');
  });

  it('give back what was put', async () => {
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * i) >> 8));
    writeFileSync(rig.path('file'), bytes);
    expect(await rig.ok('put', '~/file', `${IMG}:/copy`)).toBe('file -> a.img:/copy: 2.9 MiB\n');
    expect((await rig.run(['cat', `${IMG}:/copy`])).bytes.equals(bytes)).toBe(true);
    const lines = await rig.json('cat', `${IMG}:/copy`);
    const parts = lines.map(({ base64 }) => Buffer.from(String(base64), 'base64'));
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    expect(lines.map(({ offset }) => offset)).toEqual([0, 2 ** 20, 2 ** 21]);
  });

  it('put takes the mode of a file, and a directory for a file in it', async () => {
    writeFileSync(rig.path('run.sh'), '#!/bin/sh\n');
    chmodSync(rig.path('run.sh'), 0o750);
    await rig.ok('mkdir', `${IMG}:/bin`);
    const [made] = await rig.json('put', '~/run.sh', `${IMG}:/bin`);
    expect(made).toEqual({
      from: 'run.sh',
      to: 'a.img:/bin/run.sh',
      bytes: 10,
    });
    expect(await rig.ok('ls', '-l', `${IMG}:/bin`)).toMatch(/^-rwxr-x--- 1 .* 10 B .* run\.sh\n$/u);
  });

  it('put replaces a file but keeps its mode, and refuses with -n', async () => {
    await put('/a', 'old');
    await put('/a', 'new');
    expect(await read('/a')).toBe('new');
    expect(await rig.fails('put', '-n', '~/a.img', `${IMG}:/a`)).toContain('(EEXIST) [1]');
    expect(await read('/a')).toBe('new');
    expect(await rig.ok('ls', '-a', IMG)).toBe('a\n');
  });

  it('put says what is wrong', async () => {
    mkdirSync(rig.path('folder'));
    expect(await rig.fails('put', '~/folder', `${IMG}:/x`)).toBe(
      'Cannot put folder: it is a directory; ramet import copies one (EISDIR) [1]',
    );
    expect(await rig.fails('put', '~/nothing', `${IMG}:/x`)).toBe(
      'Cannot put nothing to a.img:/x: no such file or directory (ENOENT) [1]',
    );
    expect(await rig.fails('put', '-', IMG)).toContain('wanted a file name [2]');
    expect(await rig.ok('ls', '-a', IMG)).toBe('');
  });

  it('ls sorts, hides dots, and goes down with -R', async () => {
    await rig.ok('mkdir', '-p', `${IMG}:/dir/sub`);
    for (const name of ['/b', '/a', '/.hidden', '/dir/c']) await put(name, name);
    expect(await rig.ok('ls', IMG)).toBe('a\nb\ndir\n');
    expect(await rig.ok('ls', '-a', IMG)).toBe('.hidden\na\nb\ndir\n');
    expect(await rig.ok('ls', '-R', IMG)).toBe('/:\na\nb\ndir\n\n/dir:\nc\nsub\n\n/dir/sub:\n');
    expect(await rig.ok('ls', `${IMG}:/dir/c`)).toBe('c\n');
    expect(await rig.ok('ls', `${IMG}:/dir/`)).toBe('c\nsub\n');
    const paths = (await rig.json('ls', '-aR', IMG)).map(({ path }) => path);
    expect(paths).toEqual(['/.hidden', '/a', '/b', '/dir', '/dir/c', '/dir/sub']);
  });

  it('ls --json tells everything', async () => {
    await put('/a', 'hello');
    const [entry] = await rig.json('ls', `${IMG}:/a`);
    expect(entry).toMatchObject({ path: '/a', type: 'file', links: 1, size: 5, allocated: 512 });
    expect(Object.keys(entry ?? {}).join()).toBe(
      'path,type,mode,links,uid,gid,size,allocated,modified,realm,inode',
    );
    expect(entry?.['modified']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/u);
  });

  it('ls and cat say what is wrong', async () => {
    expect(await rig.fails('ls', `${IMG}:/no`)).toBe(
      'Cannot list a.img:/no: no such file or directory (ENOENT) [1]',
    );
    expect(await rig.fails('cat', IMG)).toBe(
      'Cannot print a.img:/: it is a directory (EISDIR) [1]',
    );
    expect(await rig.fails('ls', '~/b.img')).toBe(
      'Cannot list b.img:/: b.img does not exist; ramet create makes one (ENOENT) [1]',
    );
    expect(await rig.fails('ls', `${IMG}:src`)).toContain(
      'a.img:src does not exist; a path begins with /, as in ',
    );
  });
});

describe('mkdir, mv and rm', () => {
  beforeEach(async () => {
    await rig.ok('create', IMG, '--size', '64MiB');
    await rig.ok('mkdir', `${IMG}:/dir`);
    await put('/file', 'content');
  });

  it('mkdir needs the parent, or -p', async () => {
    expect(await rig.fails('mkdir', `${IMG}:/x/y`)).toContain('(ENOENT) [1]');
    expect(await rig.fails('mkdir', `${IMG}:/dir`)).toBe(
      'Cannot make a.img:/dir: the name is taken (EEXIST) [1]',
    );
    const [made] = await rig.json('mkdir', '-p', `${IMG}:/x/y`);
    expect(made).toEqual({ made: 'a.img:/x/y' });
    await rig.ok('mkdir', '-p', `${IMG}:/x/y`);
  });

  it('mv renames, also into a directory, and refuses with -n', async () => {
    await rig.ok('mv', `${IMG}:/file`, '/other');
    await rig.ok('mv', `${IMG}:/other`, '/dir');
    expect(await read('/dir/other')).toBe('content');
    await put('/file', 'second');
    expect(await rig.fails('mv', '-n', `${IMG}:/file`, '/dir/other')).toContain('(EEXIST)');
    const [moved] = await rig.json('mv', `${IMG}:/file`, `${IMG}:/dir/other`);
    expect(moved).toEqual({ from: 'a.img:/file', to: '/dir/other' });
    expect(await read('/dir/other')).toBe('second');
    expect(await rig.fails('mv', `${IMG}:/dir`, '/dir/x')).toContain('(EINVAL) [1]');
    expect(await rig.fails('mv', `${IMG}:/dir`, '~/b.img:/x')).toContain('one image');
  });

  it('rm takes files, and trees with -r', async () => {
    await put('/dir/deep', 'x');
    expect(await rig.fails('rm', `${IMG}:/dir`)).toBe(
      'Cannot remove /dir: it is a directory, which takes -r (EISDIR) [1]',
    );
    await rig.ok('rm', `${IMG}:/file`);
    await rig.ok('rm', '-r', `${IMG}:/dir/`);
    expect(await rig.ok('ls', '-a', IMG)).toBe('');
    expect(await rig.fails('rm', `${IMG}:/file`)).toContain('(ENOENT) [1]');
  });

  it('rm empties the root only with --force', async () => {
    expect(await rig.fails('rm', '-r', IMG)).toBe(
      'Cannot remove a.img:/: it is the root; --force empties it (EBUSY) [1]',
    );
    expect(await rig.ok('ls', IMG)).toBe('dir\nfile\n');
    await rig.ok('rm', '-r', '--force', IMG);
    expect(await rig.ok('ls', '-a', IMG)).toBe('');
  });

  it('rm gives the space back', async () => {
    const free = async (): Promise<number> => Number((await rig.json('info', IMG))[0]?.['free']);
    const before = await free();
    await rig.ok('mkdir', `${IMG}:/big`);
    await put('/big/a', Buffer.alloc(2 ** 23, 1));
    expect(await free()).toBeLessThan(before - 2 ** 23);
    await rig.ok('rm', '-r', `${IMG}:/big`);
    expect(await free()).toBeGreaterThan(before - 2 ** 17);
  });
});
