/**
 * Mounts that come and go leave nothing behind, and one that is in use is not taken away.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { mountVolume } from '../../src/fuse/index.ts';
import { describeMounts, Mounted, ramet } from './mounted.ts';
import { Saying } from './saying.ts';

const LONG = process.env['RAMET_LONG'] === '1';

/** What a process has of the host. */
interface Held {
  readonly descriptors: number;
  readonly threads: number;
  readonly residentBytes: number;
}

function held(): Held {
  const status = readFileSync('/proc/self/status', 'utf8');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: Number(/^Threads:\s+(\d+)/mu.exec(status)?.[1]),
    residentBytes: process.memoryUsage.rss(),
  };
}

/** Processes that have something to do with a folder. */
function processesOf(folder: string): string[] {
  const { stdout } = spawnSync('pgrep', ['-af', folder], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '');
}

/** A file is written and synced, over and over. */
const WORK = `
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for n in range(10 ** 9):
    os.pwrite(fd, b'%d' % n * 1000, n % 50 * 4096)
    if n % 3 == 0: os.fsync(fd)
    if n % 20 == 0: print(n, flush=True)
`;

describeMounts('mounts that come and go', () => {
  it('leave no descriptor, thread or memory in the process that mounts', {
    timeout: 600_000,
  }, async () => {
    using mounted = new Mounted();
    const { image, path: directory } = mounted;
    const broken: string[] = [];
    const round = async (i: number): Promise<void> => {
      const served = await mountVolume({ image, directory, onBroken: (what) => broken.push(what) });
      if (i > 0) expect(await readFile(join(directory, 'file'), 'utf8')).toBe(String(i - 1));
      await writeFile(join(directory, 'file'), String(i));
      await served.unmount();
    };
    const rounds = LONG ? 1000 : 20;
    for (let i = 0; i < 10; i++) await round(i);
    const before = held();
    for (let i = 10; i < rounds; i++) await round(i);
    const after = held();
    expect(broken).toEqual([]);
    expect(after.descriptors).toBe(before.descriptors);
    expect(after.threads).toBe(before.threads);
    // What is left to the collector of garbage, and no more however many rounds there are.
    expect(after.residentBytes - before.residentBytes).toBeLessThan(150 * 2 ** 20);
    expect(readdirSync(mounted.folder).sort()).toEqual(['a.img', 'mnt']);
    expect(mounted.check()).toContain('clean');
  });

  it('leave no process and no file behind when commands make them', { timeout: 600_000 }, () => {
    using mounted = new Mounted();
    const temporary = join(mounted.folder, 'temporary');
    mkdirSync(temporary);
    vi.stubEnv('TMPDIR', temporary);
    for (let i = 0; i < (LONG ? 100 : 3); i++) {
      mounted.mount();
      mounted.sh(`echo ${i} > file; mkdir -p d${i % 3}; mv file d${i % 3}/file`);
      mounted.umount();
    }
    vi.unstubAllEnvs();
    expect(readdirSync(temporary)).toEqual([]);
    expect(processesOf(mounted.folder)).toEqual([]);
    expect(readdirSync(mounted.folder).sort()).toEqual(['a.img', 'mnt', 'temporary']);
    expect(mounted.check()).toContain('clean');
  });
});

describeMounts('a mount that is busy', () => {
  it('is not taken away by umount, nor by the command, and goes on', {
    timeout: 600_000,
  }, async () => {
    using mounted = Mounted.start();
    const workers = [0, 1, 2].map((i) => new Saying(mounted, 'python3', '-c', WORK, `f${i}`));
    for (let round = 0; round < (LONG ? 100 : 4); round++) {
      const counts = workers.map((worker) => worker.count);
      const plain = spawnSync('umount', [mounted.path], { encoding: 'utf8', timeout: 60_000 });
      expect([plain.status, plain.stderr]).toEqual([32, expect.stringContaining('busy')]);
      const { status, stderr } = ramet('umount', mounted.path);
      expect([status, stderr]).toEqual([1, expect.stringMatching(/busy.*\(EBUSY\)\n$/u)]);
      for (const [i, worker] of workers.entries())
        await worker.untilSaid((counts[i] as number) + 1);
    }
    for (const worker of workers) await worker.kill();
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });
});
