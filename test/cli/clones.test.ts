/**
 * Commands on clones and snapshots, and those that report.
 */
import { openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import pc from 'picocolors';
import { beforeEach, describe, expect, it } from 'vitest';
import { mappingBar } from '../../src/cli/mapping-bar.ts';
import { ImageEditor } from '../check/image-editor.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

async function put(place: string, content: string | Uint8Array): Promise<void> {
  const { status, stderr } = await rig.run(['put', '-', place], { stdin: content });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '64MiB');
  await rig.ok('mkdir', '-p', `${IMG}:/src/sub`);
  await put(`${IMG}:/src/a`, 'first');
  await put(`${IMG}:/src/sub/b`, Buffer.alloc(100_000, 7));
});

describe('clone', () => {
  it('makes an independent copy of a tree', async () => {
    await rig.ok('clone', `${IMG}:/src`, '/copy');
    await put(`${IMG}:/copy/a`, 'second');
    expect(await rig.ok('cat', `${IMG}:/src/a`)).toBe('first');
    expect(await rig.ok('cat', `${IMG}:/copy/a`)).toBe('second');
    expect(await rig.ok('ls', '-R', `${IMG}:/copy`)).toBe('/copy:\na\nsub\n\n/copy/sub:\nb\n');
  });

  it('makes many in one run', async () => {
    const text = await rig.ok('clone', `${IMG}:/src`, '/c', '--count', '12');
    expect(text).toMatch(/^12 clones, \/c-0001 to \/c-0012, in [\d.]+ m?s\n$/u);
    const names = (await rig.ok('ls', IMG)).trimEnd().split('\n');
    expect(names).toEqual([...Array.from({ length: 12 }, (_, i) => numbered(i + 1)), 'src']);
    const [made] = await rig.json('clone', `${IMG}:/src/a`, '/d/', '--count', '1');
    expect(made).toMatchObject({ from: 'a.img:/src/a', clones: 1, first: '/d-0001' });
  });

  it('refuses what is there, what is not, and what is no number', async () => {
    expect(await rig.fails('clone', `${IMG}:/src`, '/src')).toBe(
      'Cannot clone a.img:/src to /src: the name is taken (EEXIST) [1]',
    );
    expect(await rig.fails('clone', `${IMG}:/no`, '/x')).toContain('(ENOENT) [1]');
    expect(await rig.fails('clone', `${IMG}:/src`, '/x', '--count', '0')).toContain('[2]');
    expect(await rig.fails('clone', `${IMG}:/src`, '@monday:/x')).toContain('live volume [2]');
  });
});

describe('snapshot', () => {
  it('keeps what was there, and gives it back by a clone', async () => {
    await rig.ok('snapshot', IMG, 'monday');
    await rig.ok('rm', '-r', `${IMG}:/src`);
    expect(await rig.ok('cat', `${IMG}@monday:/src/a`)).toBe('first');
    await rig.ok('clone', `${IMG}@monday:/src`, '/src');
    expect(await rig.ok('diff', `${IMG}@monday`, IMG)).toBe('');
  });

  it('is listed, oldest first, and deleted', async () => {
    expect(await rig.ok('snapshot', IMG)).toBe('');
    expect(await rig.json('snapshot', IMG, 'one')).toEqual([{ image: 'a.img', made: 'one' }]);
    await rig.ok('snapshot', IMG, 'two', '--writable');
    const lines = (await rig.ok('snapshot', IMG, '--list')).split('\n');
    expect(lines[0]).toMatch(/^NAME +CREATED +ACCESS$/u);
    expect(lines[1]).toMatch(/^one +\d{4}-\d\d-\d\d \d\d:\d\d +read-only$/u);
    expect(lines[2]).toMatch(/^two .* writable$/u);
    const listed = await rig.json('snapshot', IMG);
    expect(listed.map(({ name, readOnly }) => [name, readOnly])).toEqual([
      ['one', true],
      ['two', false],
    ]);
    expect(await rig.json('snapshot', IMG, 'one', '--delete')).toEqual([
      { image: 'a.img', deleted: 'one' },
    ]);
    expect(await rig.json('snapshot', IMG)).toHaveLength(1);
  });

  it('is read-only unless it was made writable', async () => {
    await rig.ok('snapshot', IMG, 'fixed');
    await rig.ok('snapshot', IMG, 'free', '--writable');
    const { status, stderr } = await rig.run(['put', '-', `${IMG}@fixed:/src/a`], { stdin: 'x' });
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('(EROFS)') });
    await put(`${IMG}@free:/src/a`, 'changed');
    expect(await rig.ok('cat', `${IMG}@free:/src/a`)).toBe('changed');
    expect(await rig.ok('cat', `${IMG}:/src/a`)).toBe('first');
  });

  it('says what is wrong', async () => {
    await rig.ok('snapshot', IMG, 'one');
    expect(await rig.fails('snapshot', IMG, 'one')).toBe(
      'Cannot make snapshot one of a.img: the name is taken (EEXIST) [1]',
    );
    expect(await rig.fails('snapshot', IMG, 'no', '--delete')).toContain('(ENOENT) [1]');
    expect(await rig.fails('snapshot', IMG, '--delete')).toContain('wanted its name [2]');
    expect(await rig.fails('snapshot', IMG, 'x', '--list')).toContain('takes no name [2]');
    expect(await rig.fails('ls', `${IMG}@no`)).toContain('(ENOENT) [1]');
  });
});

describe('diff', () => {
  it('tells what was added, removed and modified', async () => {
    await rig.ok('clone', `${IMG}:/src`, '/copy');
    expect(await rig.ok('diff', `${IMG}:/src`, '/copy')).toBe('');
    await put(`${IMG}:/copy/a`, 'other');
    await put(`${IMG}:/copy/new`, 'new');
    await rig.ok('rm', '-r', `${IMG}:/copy/sub`);
    const lines = (await rig.ok('diff', `${IMG}:/src`, '/copy')).trimEnd().split('\n');
    expect(lines.sort()).toEqual(['+ new', '- sub/', 'M a']);
    const changes = await rig.json('diff', `${IMG}:/src`, `${IMG}:/copy`);
    const added = changes.find(({ path }) => path === 'new');
    expect(added).toMatchObject({ type: 'added', kind: 'file', data: false, attributes: false });
    expect(Object.keys(added ?? {}).join()).toBe('path,type,kind,data,attributes,ino');
  });

  it('compares snapshots with each other', async () => {
    await rig.ok('snapshot', IMG, 'one');
    await put(`${IMG}:/src/a`, 'later');
    await rig.ok('snapshot', IMG, 'two');
    expect(await rig.ok('diff', `${IMG}@one:/src`, '@two:/src')).toBe('M a\n');
  });
});

describe('space and extents', () => {
  it('space tells what is shared', async () => {
    const [before] = await rig.json('space', `${IMG}:/src`);
    expect(before).toMatchObject({ place: 'a.img:/src', files: 2, logical: 100_005, shared: 0 });
    await rig.ok('clone', `${IMG}:/src`, '/copy');
    const [after] = await rig.json('space', `${IMG}:/copy`);
    expect(after).toMatchObject({ exclusive: 0, allocated: before?.['allocated'] });
    expect(await rig.ok('space', `${IMG}:/copy`)).toMatch(
      /^a\.img:\/copy\n {2}holds +2 files, .*\n {2}logical +97\.7 KiB, /u,
    );
  });

  it('extents shows where data is, and draws it', async () => {
    const path = `${IMG}:/src/sub/b`;
    const extents = await rig.json('extents', path);
    expect(extents.reduce((sum, { length }) => sum + Number(length), 0)).toBe(102_400);
    expect(extents[0]).toMatchObject({ offset: 0, type: 'data', shared: false });
    await rig.ok('clone', path, '/b');
    const text = await rig.ok('extents', `${IMG}:/b`);
    expect(text).toMatch(/^a\.img:\/b: 97\.7 KiB in \d extents?\nOFFSET +LENGTH +ADDRESS /u);
    expect(text).toMatch(/0x[0-9a-f]+ +data +shared\n(?:.*\n)*\[~{78}\]\n~ shared\n$/u);
    expect(await rig.fails('extents', IMG)).toContain('it is not a file (EINVAL) [1]');
  });

  it('mappingBar() draws each kind of run', () => {
    const run = (offset: number, type: 'data' | 'unwritten', shared: boolean) => ({
      ...{ offset, length: 4096, address: 0, type, shared, flags: 0 },
    });
    const extents = [
      run(0, 'data', false),
      run(4096, 'data', true),
      run(12288, 'unwritten', false),
    ];
    const { bar, legend } = mappingBar(extents, 16384, {
      width: 10,
      paint: pc.createColors(false),
    });
    expect(bar).toBe('[==~~..uu]');
    expect(legend).toBe('= its own   ~ shared   u unwritten   . hole');
  });
});

describe('info and check', () => {
  it('info tells what an image is', async () => {
    await rig.ok('snapshot', IMG, 'monday');
    const text = await rig.ok('info', IMG);
    expect(text).toMatch(/^a\.img\n {2}uuid +[0-9a-f-]{36}\n {2}format +1\.0\n {2}size +64 MiB\n/u);
    expect(text).toMatch(/\n {2}snapshots +monday\n$/u);
    const [info] = await rig.json('info', IMG);
    expect(Object.keys(info ?? {}).join()).toBe(
      'image,label,size,free,uuid,format,blockSize,created,committed,txg,snapshots',
    );
  });

  it('check finds nothing wrong with a sound image', async () => {
    expect(await rig.ok('check', IMG)).toMatch(
      /^a\.img: clean; 2 files, \d directories, [\d.]+ [KM]iB verified in /u,
    );
    const [report] = await rig.json('check', IMG, '--no-data');
    expect(report).toMatchObject({ image: 'a.img', verdict: 'clean', issues: [], found: {} });
  });

  it('check --repair puts counts right, and tells before with --dry-run', async () => {
    const path = rig.path('a.img');
    const editor = new ImageEditor(readFileSync(path));
    const [extent] = await rig.json('extents', `${IMG}:/src/sub/b`);
    editor.setCount((extent?.['address'] as number) / 4096, 0);
    writeFileSync(path, editor.seal().bytes);
    expect((await rig.run(['check', IMG])).status).toBe(4);
    const told = await rig.run(['check', IMG, '--dry-run']);
    expect([told.status, told.stdout]).toEqual([
      4,
      expect.stringContaining('to do: write the counts'),
    ]);
    const repaired = await rig.run(['check', IMG, '--repair']);
    expect(repaired.status).toBe(1);
    expect(repaired.stdout).toMatch(
      /count-low: .*done: write the counts of 1 groups anew.*: clean; /su,
    );
    const again = await rig.run(['check', IMG, '--repair']);
    expect([again.status, again.stdout]).toEqual([
      0,
      expect.stringContaining('nothing that can be'),
    ]);
  });

  it('check ends with 4 if data is damaged, and with 8 without a volume', async () => {
    const [extent] = await rig.json('extents', `${IMG}:/src/sub/b`);
    const fd = openSync(rig.path('a.img'), 'r+');
    writeSync(fd, 'damage', Number(extent?.['address']));
    const damaged = await rig.run(['check', IMG]);
    expect(damaged.status).toBe(4);
    expect(damaged.stdout).toMatch(/^error [a-z-]+: .*\na\.img: errors, 1 issue; /u);
    const { stdout } = await rig.run(['check', IMG, '--json']);
    const { issues } = JSON.parse(stdout) as { issues: Record<string, unknown>[] };
    expect(issues[0]).toMatchObject({ severity: 'error', sentence: expect.any(String) });
    const failed = await rig.run(['cat', `${IMG}:/src/sub/b`]);
    expect(failed.stderr).toMatch(/^ramet: Cannot print a\.img:\/src\/sub\/b: .*\(EIO\)\n$/u);
    truncateSync(rig.path('a.img'), 8192);
    expect((await rig.run(['check', IMG])).status).toBe(8);
  });
});

function numbered(number: number): string {
  return `c-${String(number).padStart(4, '0')}`;
}
