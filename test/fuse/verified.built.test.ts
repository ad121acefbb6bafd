/**
 * With RAMET_LONG=1: programs that verify a filesystem themselves, fio by checksums of what it
 * wrote and stress-ng by what it expects, beside the host's own filesystem.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

const LONG = process.env['RAMET_LONG'] === '1';
const OPTIONS = [
  { title: 'plain', options: [] },
  { title: 'with the writeback cache', options: ['-o', 'writeback'] },
];

/** Whether there is such a program; where not, its test is left out, and says so. */
function has(program: string): boolean {
  if (!LONG) return false;
  const { error } = spawnSync(program, ['--version']);
  if (error !== undefined) process.stdout.write(`\nNOT TESTED with ${program}: there is none\n\n`);
  return error === undefined;
}

const ENGINES = ['sync', 'psync', 'pvsync2', 'mmap', 'libaio', 'io_uring', 'posixaio'] as const;
const PATTERNS = ['write', 'randwrite', 'randrw'] as const;

/** One run of fio; what it says is the matter, and nothing if nothing is. */
function fio(mounted: Mounted, engine: string, direct: boolean, pattern: string): string {
  // What is past the cache, or mapped, goes by blocks; others go by what no block divides.
  const size = direct || engine === 'mmap' ? '4k' : pattern === 'write' ? '20000' : '1536';
  const args = [
    `--directory=${mounted.path}`,
    `--name=${engine}-${direct ? 'direct' : 'buffered'}-${pattern}`,
    `--ioengine=${engine}`,
    `--direct=${direct ? 1 : 0}`,
    `--rw=${pattern}`,
    `--bs=${size}`,
    '--size=12M --numjobs=2 --iodepth=8 --fsync=64 --end_fsync=1 --randseed=7 --unlink=1',
    '--verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting',
  ].flatMap((arg) => arg.split(' '));
  const { status, stdout, stderr } = spawnSync('fio', args, {
    encoding: 'utf8',
    cwd: mounted.folder,
    timeout: 120_000,
  });
  return status === 0 && /err= 0/u.test(stdout) ? '' : `${args.join(' ')}: ${stdout}${stderr}`;
}

/** What stress-ng says of a folder: stressors that did something, were skipped, or found faults. */
function stress(folder: string): { ran: Set<string>; skipped: Set<string>; faults: string[] } {
  const log = `${folder}.log`;
  const args = ['--class', 'filesystem', '--sequential', '2', '-t', '3', '--verify'];
  const more = ['--metrics', '--temp-path', folder, '--log-file', log];
  const { status } = spawnSync('stress-ng', [...args, ...more], { timeout: 900_000 });
  const lines = readFileSync(log, 'utf8').split('\n');
  const names = (pattern: RegExp): Set<string> =>
    new Set(lines.flatMap((line) => pattern.exec(line)?.[1] ?? []));
  const skipped = names(/\] (?:stress-ng-)?([\w-]+): .*skipping/u);
  const ran = names(/metrc: \[\d+\] ([\w-]+) +\d+ +[\d.]+ +[\d.]+ /u);
  const faults = lines.filter((line) => /\bfail(?:ed)?:|error: /u.test(line));
  // Not all were run where a stressor does not exist: 4 is told then.
  if (status !== 0 && status !== 4) faults.push(`ended with ${status}`);
  for (const name of skipped) ran.delete(name);
  return { ran, skipped, faults };
}

describeMounts('fio on a mount', () => {
  it.runIf(has('fio')).each(OPTIONS)(
    'reads what it wrote, by every engine: $title',
    { timeout: 1_200_000 },
    ({ options }) => {
      using mounted = Mounted.start(...options);
      const faults: string[] = [];
      let runs = 0;
      for (const engine of ENGINES) {
        for (const direct of engine === 'mmap' ? [false] : [false, true]) {
          for (const pattern of PATTERNS) {
            runs++;
            faults.push(fio(mounted, engine, direct, pattern));
          }
        }
      }
      expect(faults.filter((fault) => fault !== '')).toEqual([]);
      expect(runs).toBe(39);
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});

/** What FUSE does not have: the kernel answers for it. */
const NOT_ON_FUSE = ['fiemap'];

describeMounts('stress-ng on a mount', () => {
  it.runIf(has('stress-ng')).each(OPTIONS)(
    'finds no fault, and can do what it can beside the mount: $title',
    { timeout: 2_400_000 },
    ({ options }) => {
      using mounted = new Mounted('4GiB');
      mounted.mount(...options);
      const here = stress(mounted.path);
      mkdirSync(`${mounted.folder}/host`);
      const there = stress(`${mounted.folder}/host`);
      process.stdout.write(`${here.ran.size} stressors, skipped: ${[...here.skipped]}\n`);
      expect(here.faults.filter((fault) => !there.faults.includes(fault))).toEqual([]);
      const more = [...here.skipped].filter((name) => !there.skipped.has(name));
      expect(more.filter((name) => !NOT_ON_FUSE.includes(name))).toEqual([]);
      expect(here.ran.size).toBeGreaterThan(30);
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});
