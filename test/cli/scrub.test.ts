/** ramet scrub: what it tells, what it mends, and how it is gone on with. */
import { existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import { Random } from '../../src/testing/index.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '64MiB');
  const stdin = new Random(1).bytes(8 * 2 ** 20);
  await rig.run(['put', '-', `${IMG}:/file`], { stdin });
});

async function damage(block: number): Promise<number> {
  const [extent] = await rig.json('extents', `${IMG}:/file`);
  const address = Number(extent?.['address']) + block * 4096;
  const fd = openSync(rig.path('a.img'), 'r+');
  writeSync(fd, 'damage', address + 5);
  return address;
}

it('finds nothing wrong with a sound image', async () => {
  const before = readFileSync(rig.path('a.img'));
  expect(await rig.ok('scrub', IMG)).toMatch(/^a\.img: clean; 8\.\d MiB verified in /u);
  const [report] = await rig.json('scrub', IMG, '--no-repair');
  expect(report).toMatchObject({ image: 'a.img', from: 0, issues: [], repaired: [] });
  const after = readFileSync(rig.path('a.img'));
  expect(before.length).toBe(after.length);
});

it('mends a superblock, and tells what it cannot mend', async () => {
  const fd = openSync(rig.path('a.img'), 'r+');
  writeSync(fd, 'damage', 64 * 2 ** 20 - 4096 + 500);
  const told = await rig.run(['scrub', IMG, '--no-repair']);
  expect(told.status).toBe(4);
  const mended = await rig.run(['scrub', IMG]);
  expect(mended.status).toBe(1);
  expect(mended.stdout).toMatch(/^mended: warning superblock-damaged: .*\na\.img: 1 mended; /u);
  expect(await rig.ok('scrub', IMG)).toMatch(/: clean; /u);
  const address = await damage(100);
  const left = await rig.run(['scrub', IMG]);
  expect(left.status).toBe(4);
  expect(left.stdout).toContain(`data block at 0x${address.toString(16)} of inode`);
});

it('goes on where another one was interrupted', async () => {
  await damage(100);
  await damage(1500);
  const [info] = await rig.json('info', IMG);
  const [extent] = await rig.json('extents', `${IMG}:/file`);
  const position = Number(extent?.['address']) + 1000 * 4096;
  const note = rig.path('a.img.scrub');
  const write = (uuid: unknown) => writeFileSync(note, JSON.stringify({ uuid, position }));
  write(info?.['uuid']);
  const rest = await rig.run(['scrub', IMG, '--json']);
  expect(JSON.parse(rest.stdout)).toMatchObject({ from: position, issues: [{ code: 'checksum' }] });
  expect(existsSync(note)).toBe(false);
  for (const [uuid, args] of [
    [info?.['uuid'], ['--restart']],
    ['of another volume', []],
  ] as const) {
    write(uuid);
    const whole = await rig.run(['scrub', IMG, '--json', ...args]);
    expect(JSON.parse(whole.stdout)).toMatchObject({ from: 0, issues: [{}, {}] });
  }
  writeFileSync(note, 'no note');
  expect((await rig.run(['scrub', IMG])).stdout).not.toContain('went on');
});

it('leaves a note when it is interrupted', async () => {
  const stop = new AbortController();
  const scrub = rig.run(['scrub', IMG, '--rate', '4MiB'], { signal: stop.signal });
  while (!existsSync(rig.path('a.img.scrub'))) {
    await new Promise((resolve) => void setTimeout(resolve, 5));
  }
  stop.abort(new Error('enough'));
  expect((await scrub).status).not.toBe(0);
  const { position } = JSON.parse(readFileSync(rig.path('a.img.scrub'), 'utf8'));
  expect(position).toBeGreaterThan(0);
  expect(await rig.ok('scrub', IMG)).toMatch(/^went on from \d.*\na\.img: clean; /u);
});

it('refuses a rate of nothing', async () => {
  expect(await rig.fails('scrub', IMG, '--rate', '0')).toMatch(/rate of 0.*\[2\]$/u);
});
