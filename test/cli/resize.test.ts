/**
 * Commands that change how large a volume is, and how much its image takes.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { BLOCK_SIZE, MIB } from '../../src/base/index.ts';
import { superblockPlace } from '../../src/format/index.ts';
import { rootsOf } from '../volume/recount.ts';
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

describe('a volume that is made smaller', () => {
  it('ends behind what is in use', async () => {
    const [found] = await rig.json('trim', IMG, '--shorten');
    const { size } = found as { size: number };
    expect(size).toBeLessThan(4 * MIB);
    expect(statSync(rig.path('a.img')).size).toBe(size);
    expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean/u);
    expect(await rig.fails('resize', IMG, '128k')).toMatch(
      /^Cannot resize a\.img: what is in use reaches further, \d+ bytes are the least.*EBUSY/u,
    );
    expect(await rig.ok('resize', IMG, '16MiB')).toMatch(/^a\.img: 16 MiB/u);
    expect(await rig.ok('resize', IMG, '8MiB')).toMatch(/^a\.img: 8 MiB/u);
    expect(statSync(rig.path('a.img')).size).toBe(8 * MIB);
    expect(await rig.ok('cat', `${IMG}:/file`)).toBe('content');
    expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean/u);
  });
});

describe('trim', () => {
  const taken = (): number => statSync(rig.path('a.img')).blocks * 512;

  it('gives back on the disk what was removed', async () => {
    await rig.run(['put', '-', `${IMG}:/large`], { stdin: Buffer.alloc(8 * MIB, 7) });
    const full = taken();
    expect(full).toBeGreaterThan(8 * MIB);
    expect((await rig.json('trim', IMG))[0]).toMatchObject({ before: full });
    expect(taken()).toBeGreaterThan(8 * MIB);
    await rig.ok('rm', `${IMG}:/large`);
    const text = await rig.ok('trim', IMG);
    expect(text).toMatch(
      /^a\.img: 1[45]\.?\d* MiB given back, it takes [\d.]+ [KM]iB on the disk\n$/u,
    );
    expect(taken()).toBeLessThan(full - 7 * MIB);
    expect(statSync(rig.path('a.img')).size).toBe(16 * MIB);
    expect(await rig.ok('cat', `${IMG}:/file`)).toBe('content');
    expect(await rig.ok('check', IMG)).toMatch(/^a\.img: clean/u);
  });

  it('leaves an image that an older root opens', async () => {
    for (const name of ['1', '2', '3']) {
      await rig.run(['put', '-', `${IMG}:/${name}`], { stdin: Buffer.alloc(MIB, name) });
    }
    await rig.ok('rm', `${IMG}:/2`);
    await rig.ok('trim', IMG, '--minimum', '4k');
    const path = rig.path('a.img');
    const image = readFileSync(path);
    const [newest] = rootsOf(image);
    for (const copy of [0, 1] as const) {
      const block = superblockPlace(image.length / BLOCK_SIZE, newest?.ring as number, copy);
      image.fill(0xee, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
    }
    writeFileSync(path, image);
    expect(await rig.ok('check', IMG)).toMatch(/superblock-damaged/u);
    expect((await rig.run(['cat', `${IMG}:/3`])).bytes.equals(Buffer.alloc(MIB, '3'))).toBe(true);
  });

  it('says so where the host cannot do it', async () => {
    const { PATH } = process.env;
    const bin = rig.path('bin');
    mkdirSync(bin);
    symlinkSync(execFileSync('which', ['flock'], { encoding: 'utf8' }).trim(), join(bin, 'flock'));
    process.env['PATH'] = bin;
    try {
      expect(await rig.fails('trim', IMG)).toBe(
        'Cannot trim a.img: the program fallocate, which gives space back, cannot be run ' +
          '(ENOTSUP) [1]',
      );
    } finally {
      process.env['PATH'] = PATH;
    }
    expect(await rig.ok('cat', `${IMG}:/file`)).toBe('content');
  });
});
