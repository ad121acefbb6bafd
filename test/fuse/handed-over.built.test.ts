/** Mounts that somebody else has made, served by the descriptor that he hands over. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeMounts, MAIN, Mounted, ramet } from './mounted.ts';

const CALLER = join(import.meta.dirname, 'handed-over.py');

/** What a caller is started with: he mounts at the directory, and becomes the command. */
function caller({ path, image }: Mounted, ...more: string[]): string[] {
  const command = [process.execPath, MAIN, 'mount', image, '/dev/fd/FD', ...more];
  return [CALLER, path, image, ...command];
}

/** The server, once it says that it serves. */
async function served(program: string, args: string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (data) => {
    said += String(data);
  });
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('exit', () => reject(new Error(said)));
  });
  return child;
}

function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => void child.once('exit', resolve));
}

describeMounts('a mount that is handed over', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  it('is served until it is unmounted, and commands find it', async () => {
    using mounted = new Mounted('64MiB');
    const child = await served('python3', caller(mounted));
    const options = readFileSync('/proc/mounts', 'utf8').split('\n');
    expect(options.find((line) => line.includes(mounted.path))).toContain('rw,nosuid,nodev');
    mounted.sh('mkdir d; echo hello > d/f; sync d/f');
    mounted.ok('clone', `${mounted.path}/d`, `${mounted.path}/copy`);
    expect(mounted.sh('cat copy/f')).toBe('hello');
    mounted.sh(`umount ${mounted.path}`, mounted.folder);
    expect(await ended(child)).toBe(0);
    expect(mounted.check()).toContain('clean');
    mounted.mount();
    expect(mounted.sh('cat copy/f')).toBe('hello');
    mounted.umount();
  });

  it('is served in the background, and ended by umount', () => {
    using mounted = new Mounted('64MiB');
    const { status, stdout } = spawnSync('python3', caller(mounted, '--background'), {
      encoding: 'utf8',
    });
    expect(stdout).toContain('/dev/fd/');
    expect(status).toBe(0);
    mounted.sh('echo hello > f');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('stays where it is when its server is told to stop', async () => {
    using mounted = new Mounted('64MiB');
    const child = await served('python3', caller(mounted));
    mounted.sh('echo hello > f');
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
    const { stderr } = spawnSync('stat', [mounted.path], { encoding: 'utf8' });
    expect(stderr).toContain('not connected');
    expect(readFileSync('/proc/mounts', 'utf8')).toContain(mounted.path);
    expect(mounted.check()).toContain('clean');
    mounted.sh(`umount ${mounted.path}`, mounted.folder);
    mounted.mount();
    expect(mounted.sh('cat f')).toBe('hello');
    mounted.umount();
  });

  it('is served out of sight, in a mount namespace of the caller', async () => {
    using mounted = new Mounted('64MiB');
    const { image, path } = mounted;
    // The caller stays in his namespace, and has the server outside of it.
    const outside = ['nsenter', `--mount=/proc/${process.pid}/ns/mnt`, process.execPath, MAIN];
    const server = [...outside, 'mount', image, '/dev/fd/FD', '--background'].join(' ');
    const work = `cd ${path} && mkdir d && echo hello > d/f && sync d/f && cat d/f`;
    const script = `(${server}) && ${work}; cd /; umount ${path}`;
    const args = ['--mount', 'python3', CALLER, path, image, 'bash', '-c', script];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 60_000 });
    expect([stdout.split('\n').slice(1), stderr]).toEqual([['hello', ''], '']);
    mounted.sh('until [ ! -e a.img.owner ]; do sleep 0.02; done', mounted.folder);
    expect(mounted.check()).toContain('clean');
    expect(mounted.ok('cat', `${image}:/d/f`)).toBe('hello\n');
  });

  it('is served by a process without any right, as mount.fuse3(8) starts it', () => {
    if (spawnSync('mount.fuse3', ['--version']).error !== undefined) return;
    using mounted = new Mounted('64MiB');
    const { image, path, folder } = mounted;
    mounted.ok('install-mount-helper', '--path', `${folder}/helper`);
    const options = 'drop_privileges,default_permissions,noatime';
    mounted.sh(`mount.fuse3 '${folder}/helper#${image}' ${path} -o ${options}`, folder);
    const status = readFileSync(`/proc/${mounted.server}/status`, 'utf8');
    expect(/^CapEff:\s*(\w+)$/mu.exec(status)?.[1]).toBe('0000000000000000');
    expect(mounted.sh('echo hello > f; cat f')).toBe('hello');
    mounted.sh(`umount ${path}; until [ ! -e a.img.owner ]; do sleep 0.02; done`, folder);
    expect(mounted.check()).toContain('clean');
  });

  it('is refused if nothing is mounted by the descriptor', () => {
    using mounted = new Mounted('64MiB');
    const [device, file] = [openSync('/dev/fuse', 'r+'), openSync(mounted.image, 'r')];
    try {
      const found = [device, file, 'ignore' as const].map((fd) =>
        ['--background', '--read-only'].map((option) => {
          const args = [MAIN, 'mount', mounted.image, '/dev/fd/3', option];
          const stdio = ['ignore' as const, 'ignore' as const, 'pipe' as const, fd];
          const more = fd === 'ignore' ? [MAIN, 'mount', mounted.image, '/dev/fd/999'] : args;
          return spawnSync(process.execPath, more, { stdio, encoding: 'utf8' }).stderr;
        }),
      );
      const cannot = /^ramet: Cannot mount \S+ at \/dev\/fd\/\d+: .*this descriptor/u;
      expect(found.flat().every((said) => cannot.test(said))).toBe(true);
      const codes = found.map((said) => said.map((line) => /\((\w+)\)\n$/u.exec(line)?.[1]));
      expect(codes).toEqual([
        ['ENODEV', 'ENODEV'],
        ['EINVAL', 'EINVAL'],
        ['EBADF', 'EBADF'],
      ]);
    } finally {
      closeSync(device);
      closeSync(file);
    }
    expect(ramet('check', mounted.image).status).toBe(0);
  });
});
