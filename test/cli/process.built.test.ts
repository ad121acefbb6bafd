/**
 * The command as a process: signals, pipes, and two processes at one image.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };

const run = promisify(execFile);
const MAIN = manifest.bin.ramet;

let folder: string;
let image: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-process-')));
  image = join(folder, 'a.img');
  expect(ramet('create', image, '--size', '64MiB')).toMatchObject({ status: 0, stderr: '' });
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function ramet(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
}

/** A process that has the image and waits for its input. */
async function holder(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [MAIN, 'put', '-', `${image}:/late`]);
  child.stdin?.write('first half');
  while (!existsSync(`${image}.owner`)) {
    // It ends only if it could not begin: there is nothing to wait for then.
    if (child.exitCode !== null) throw new Error(`${MAIN} ended with ${child.exitCode}`);
    await setTimeout(5);
  }
  return child;
}

it('tells a second process who has the image', async () => {
  const child = await holder();
  const { status, stdout, stderr } = ramet('ls', image);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toContain(`a.img is in use by process ${child.pid} (node main.js put - `);
  expect(stderr).toMatch(/\(EBUSY\)\n$/u);
  child.stdin?.end(', second half');
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(ramet('cat', `${image}:/late`).stdout).toBe('first half, second half');
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('ends on %s with status %d, and leaves a sound image', async (signal, status) => {
  const child = await holder();
  let stderr = '';
  child.stderr?.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  child.kill(signal);
  expect(await once(child, 'close')).toEqual([status, null]);
  expect(stderr).toBe('ramet: Interrupted (EINTR)\n');
  expect(existsSync(`${image}.owner`)).toBe(false);
  expect(ramet('ls', '-a', image).stdout).toBe('');
  expect(ramet('check', image).stdout).toMatch(/: clean; /u);
});

it('leaves a sound image even if it is killed', async () => {
  const child = await holder();
  child.kill('SIGKILL');
  await once(child, 'close');
  expect(ramet('check', image).stdout).toMatch(/: clean; /u);
  expect(ramet('put', MAIN, `${image}:/after`).status).toBe(0);
});

it('ends quietly when nobody reads any more', async () => {
  const source = join(folder, 'in');
  await run('sh', ['-c', 'mkdir "$1" && cd "$1" && seq 5000 | xargs touch', 'sh', source]);
  ramet('import', source, image);
  const script = `"$1" "$2" ls -l "$3" | head -n 1`;
  const args = ['-c', script, 'sh', process.execPath, MAIN, image];
  const { stdout, stderr } = await run('sh', args);
  expect({ lines: stdout.split('\n').length, stderr }).toEqual({ lines: 2, stderr: '' });
});

it('starts in a time that a shell script can bear', () => {
  const start = performance.now();
  ramet('--version');
  expect(performance.now() - start).toBeLessThan(5000);
});
