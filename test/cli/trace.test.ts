/** ramet trace: what a write would do, and that it does nothing. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { writePicture, writeSummary } from '../../src/cli/write-picture.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';
const FILE = `${IMG}:/f`;

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  await rig.run(['put', '-', FILE], { stdin: Buffer.alloc(50_000, 7) });
});

describe('trace', () => {
  it('tells sources, what was kept, and destination, and changes nothing', async () => {
    await rig.ok('clone', FILE, '/clone');
    const digest = (): string =>
      createHash('sha256')
        .update(readFileSync(rig.path('a.img')))
        .digest('hex');
    const before = digest();
    const text = await rig.ok('trace', FILE, '--offset', '5000', '--length', '10000');
    const [first, , blocks, write, source, old, destination] = text.split('\n');
    expect(first).toBe('a.img:/f: 10000 bytes to offset 5000');
    expect(blocks).toMatch(/file +\| +block 1 +\| +block 2 +\| +block 3 +\|$/u);
    expect(write).toMatch(/write +\[=+\]$/u);
    expect(source).toMatch(/\| shared, 0x[\da-f]+ \| not asked for \| shared, 0x[\da-f]+ \|$/u);
    expect(old).toMatch(/\| +read, copied +\| none are kept \| +read, copied +\|$/u);
    expect(destination).toMatch(/(\| +0x[\da-f]+ +){3}\|$/u);
    expect(text).toContain('2 blocks had to be read first');
    expect(digest()).toBe(before);
    expect(await rig.ok('cat', FILE)).toBe('\x07'.repeat(50_000));
  });

  it('gives events as JSON', async () => {
    const events = await rig.json('trace', FILE, '--offset', '60000', '--length', '4096');
    expect(events.map(({ event }) => event)).toEqual([
      'map',
      'zero',
      'zero',
      'write',
      'place',
      'complete',
    ]);
  });

  it('refuses what is no file, what may not be written, and what is too long', async () => {
    await rig.ok('snapshot', IMG, 'monday');
    expect(await rig.fails('trace', IMG)).toContain('(EINVAL) [1]');
    expect(await rig.fails('trace', `${IMG}@monday:/f`)).toContain('live volume [2]');
    expect(await rig.fails('trace', FILE, '--length', '65MiB')).toContain('wanted 1 B to 64 MiB');
    expect(await rig.fails('trace', FILE, '--length', '0')).toContain('[2]');
    expect(await rig.fails('trace', `${IMG}:/none`)).toContain('(ENOENT) [1]');
  });
});

describe('the picture', () => {
  it('draws what was dirty, and what goes into the inode', () => {
    const at = { file: 1, offset: 0 };
    const write = {
      offset: 10,
      length: 20,
      size: 100,
      extents: [],
      events: [
        { ...at, event: 'copy', from: 'dirty data' },
        { ...at, event: 'place', length: 4096, address: undefined },
      ] as const,
    };
    expect(writePicture(write)).toEqual([
      'file         |  block 0  |',
      'write         []',
      'source       |   dirty   |',
      'old bytes    |  copied   |',
      'destination  | the inode |',
    ]);
    expect(writeSummary(write)[1]).toBe('1 block copied from a source, 0 zeroed');
  });
});
