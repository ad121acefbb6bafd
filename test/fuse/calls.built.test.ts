/**
 * System calls drawn from seeds, on a mount and on an ext4 of the host: the same results, errors
 * and attributes, call by call, and the same times that have changed.
 *
 * RAMET_SEED=a..b runs other seeds.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { Random } from '../../src/testing/index.ts';
import { seeded } from '../volume/seeds.ts';
import { describeMounts, isBesideExt4, Mounted } from './mounted.ts';

const PROGRAM = join(import.meta.dirname, 'calls.py');

const run = promisify(execFile);

/** Lines with the outcome of each call, in a folder of its own. */
async function outcomes(
  folder: string,
  seed: number,
  count: number,
  more: string[],
): Promise<string[]> {
  mkdirSync(folder);
  const args = [PROGRAM, folder, String(seed), String(count), ...more];
  const { stdout } = await run('python3', args, { maxBuffer: 2 ** 28 });
  return stdout.split('\n');
}

/** The first line that differs, with what went before. */
function difference(ours: string[], theirs: string[]): string | undefined {
  const at = ours.findIndex((line, i) => line !== theirs[i]);
  if (at < 0 && ours.length === theirs.length) return undefined;
  return [...ours.slice(Math.max(0, at - 3), at), `ramet ${ours[at]}`, `ext4  ${theirs[at]}`].join(
    '\n',
  );
}

async function compare(
  random: Random,
  count: number,
  more: string[],
  options: string[],
): Promise<void> {
  using mounted = Mounted.start(...options);
  if (!isBesideExt4(mounted)) return;
  const seed = random.below(2 ** 31);
  const [ours, theirs] = await Promise.all([
    outcomes(join(mounted.path, 'calls'), seed, count, more),
    outcomes(join(mounted.folder, 'calls'), seed, count, more),
  ]);
  expect(difference(ours, theirs)).toBeUndefined();
  mounted.umount();
  expect(mounted.check()).toContain('clean');
}

describeMounts('system calls', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  seeded('come to what they come to on ext4', { count: 1 }, async (random) => {
    await compare(random, 1500, [], []);
  });

  seeded('do so with the writeback cache', { count: 1 }, async (random) => {
    await compare(random, 1000, [], ['-o', 'writeback']);
  });

  seeded('judge by access control lists as ext4 does', { count: 1 }, async (random) => {
    await compare(random, 1000, ['acl'], ['-o', 'acl']);
  });

  seeded('change the times that they change on ext4', { count: 1 }, async (random) => {
    await compare(random, 150, ['times'], []);
  });
});
