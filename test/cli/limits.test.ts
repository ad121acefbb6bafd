/**
 * What a command does when the world says no: somebody else has the image, it is read-only, it is
 * full, it is something else.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { FileDevice } from '../../src/device/node.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

it('names the holder of an image that somebody else has', async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  const device = FileDevice.open(rig.path('a.img'));
  for (const args of [
    ['ls', IMG],
    ['mkdir', `${IMG}:/x`],
    ['check', IMG],
    ['create', IMG],
  ]) {
    expect(await rig.fails(...args)).toMatch(
      /: a\.img is in use by this process \(.+\) on \S+ since \S+ \(EBUSY\) \[1\]$/u,
    );
  }
  device.close();
  await rig.ok('mkdir', `${IMG}:/x`);
});

it('reads together with other readers', async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  const device = FileDevice.open(rig.path('a.img'), { readOnly: true });
  expect(await rig.fails('mkdir', `${IMG}:/x`)).toContain('open for reading, last by');
  await rig.ok('ls', IMG);
  device.close();
});

it('reads an image that it may not write', async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  await rig.ok('mkdir', `${IMG}:/x`);
  chmodSync(rig.path('a.img'), 0o444);
  expect(await rig.ok('ls', IMG)).toBe('x\n');
  // Root may write anyway.
  if (process.getuid?.() !== 0) expect(await rig.fails('mkdir', `${IMG}:/y`)).toContain('(EACCES)');
});

it('stays usable when it is full', async () => {
  await rig.ok('create', IMG, '--size', '4MiB');
  await rig.run(['put', '-', `${IMG}:/kept`], { stdin: 'kept' });
  const full = await rig.run(['put', '-', `${IMG}:/large`], { stdin: Buffer.alloc(2 ** 23, 1) });
  expect(full.status).toBe(1);
  expect(full.stderr).toMatch(/^ramet: Cannot put standard input to a\.img:\/large: \d+ blocks /u);
  expect(full.stderr).toMatch(/ are needed, \d+ are available \(ENOSPC\)\n$/u);
  expect(await rig.ok('ls', '-a', IMG)).toBe('kept\n');
  mkdirSync(rig.path('in'));
  for (let i = 0; i < 9; i++) writeFileSync(rig.path(`in/${i}`), Buffer.alloc(2 ** 20, i + 1));
  expect(await rig.fails('import', '~/in', `${IMG}:/in`)).toMatch(
    /^Cannot import in\/\d: .*\(ENOSPC\) \[1\]$/u,
  );
  expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean; /u);
  await rig.ok('rm', '-r', `${IMG}:/in`);
  await rig.run(['put', '-', `${IMG}:/more`], { stdin: Buffer.alloc(2 ** 19, 1) });
  expect(await rig.ok('ls', IMG)).toBe('kept\nmore\n');
});

it('says what a file is not', async () => {
  writeFileSync(rig.path('a.img'), 'just text\n'.repeat(1000));
  expect(await rig.fails('ls', IMG)).toMatch(
    /^Cannot list a\.img:\/: not a ramet volume, .*\(EINVAL\) \[1\]$/u,
  );
  expect(await rig.fails('info', IMG)).toContain('not a ramet volume');
  expect(readFileSync(rig.path('a.img'), 'utf8')).toMatch(/^just text\n/u);
  mkdirSync(rig.path('folder'));
  expect(await rig.fails('ls', '~/folder')).toContain('folder is a directory (EISDIR) [1]');
});
