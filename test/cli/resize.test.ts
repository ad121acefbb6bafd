/**
 * Commands that change how large a volume is, and how much its image takes.
 */
import { statSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/base/index.ts';
import { Rig } from './rig.ts';

const rig = new Rig();
const IMG = '~/a.img';

beforeEach(async () => {
  await rig.ok('create', IMG, '--size', '16MiB');
  await rig.run(['put', '-', `${IMG}:/file`], { stdin: 'content' });
});

describe('resize', () => {
  it('makes a volume and its image larger', async () => {
    expect(await rig.ok('resize', IMG, '40MiB')).toMatch(/^a\.img: 40 MiB, 38\.\d MiB free\n$/u);
    expect(statSync(rig.path('a.img')).size).toBe(40 * MIB);
    expect(await rig.json('info', IMG)).toMatchObject([{ size: 40 * MIB }]);
    expect(await rig.ok('cat', `${IMG}:/file`)).toBe('content');
    expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean/u);
    const [found] = await rig.json('resize', IMG, '64MiB');
    expect(found).toMatchObject({ image: 'a.img', size: 64 * MIB });
  });

  it('says how far a volume can grow', async () => {
    expect(await rig.fails('resize', IMG, '8TiB')).toMatch(
      /^Cannot resize a\.img: its group index has room for \d+ \(EFBIG\) \[1\]$/u,
    );
    expect(statSync(rig.path('a.img')).size).toBe(16 * MIB);
  });

  it('wants a size', async () => {
    expect(await rig.fails('resize', IMG, 'more')).toContain('Cannot use size "more"');
  });
});
