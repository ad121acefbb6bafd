/**
 * ramet mount and ramet umount, on the kernel that is running: how a mount begins and ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { describeMounts, Mounted, ramet } from './mounted.ts';

/** The lines of /proc/mounts about a folder. */
function mountsAt(path: string): string[] {
  const lines = readFileSync('/proc/mounts', 'utf8').split('\n');
  return lines.filter((line) => line.split(' ')[1] === path);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until something is so, for ten seconds at the most. */
async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !what(); i++) await setTimeout(10);
  expect(what()).toBe(true);
}

describeMounts('a mount', () => {
  it('answers when the command returns, and is gone when the other one does', async () => {
    using mounted = new Mounted();
    writeFileSync(`${mounted.folder}/in`, 'from outside');
    mounted.ok('put', `${mounted.folder}/in`, `${mounted.image}:/in`);
    mounted.mount();
    expect(mountsAt(mounted.path)).toEqual([
      expect.stringMatching(/^\S+a\.img \S+mnt fuse\.ramet rw,.*default_permissions,allow_other/u),
    ]);
    mounted.sh('echo hello > file; mkdir -p a/b; ln -s ../file a/link');
    expect(mounted.sh('cat a/link in')).toBe('hello\nfrom outside');
    const { server } = mounted;
    const { stderr } = ramet('check', mounted.image);
    expect(stderr).toContain(`a.img is in use by process ${server} (node fuse-worker.js mount `);
    mounted.umount();
    expect(mountsAt(mounted.path)).toEqual([]);
    expect(mounted.check()).toContain('clean');
    expect(mounted.ok('cat', `${mounted.image}:/file`)).toBe('hello\n');
    await until(() => !isAlive(server));
    expect(existsSync(`${mounted.image}.owner`)).toBe(false);
  });

  it('is read-only if asked, and shows a snapshot, or a part of the volume', () => {
    using mounted = Mounted.start();
    mounted.sh('mkdir d; echo old > d/file');
    mounted.umount();
    mounted.ok('snapshot', mounted.image, 'monday');
    mounted.mount();
    mounted.sh('echo new > d/file');
    mounted.umount();
    mounted.ok('mount', `${mounted.image}@monday`, mounted.path, '--background');
    expect(mounted.sh('cat d/file; ! touch x 2>&1')).toMatch(/^old\n.*Read-only file system/u);
    expect(mountsAt(mounted.path)[0]).toContain(' ro,');
    mounted.umount();
    mounted.ok('mount', `${mounted.image}:/d`, mounted.path, '--background');
    expect(mounted.sh('cat file; ls -di . ..; cd ..')).toMatch(/^new\n/u);
    mounted.umount();
  });

  it('passes options on, and its writeback cache', () => {
    using mounted = Mounted.start('-o', 'noatime,nosuid,writeback');
    expect(mountsAt(mounted.path)[0]).toMatch(/rw,nosuid,noatime/u);
    mounted.sh('for i in $(seq 100); do echo $i; done > lines; wc -l < lines');
    mounted.umount();
    expect(mounted.ok('cat', `${mounted.image}:/lines`)).toMatch(/^1\n2\n(?:\d+\n)*100\n$/u);
  });

  it('is refused where it cannot be, and nothing is left of it', () => {
    using mounted = Mounted.start();
    const again = ramet('mount', mounted.image, mounted.path, '--background');
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('(EBUSY)')]);
    mounted.umount();
    const wrong = [
      ramet('mount', mounted.image, `${mounted.folder}/none`),
      ramet('mount', mounted.image, mounted.image),
      ramet('mount', `${mounted.folder}/none.img`, mounted.path, '-b'),
      ramet('mount', `${mounted.image}@none`, mounted.path),
      ramet('mount', mounted.image, mounted.path, '-o', 'no=such=option', '-b'),
      ramet('umount', mounted.path),
    ].map(({ status, stdout, stderr }) => [status, stdout, /\((E\w+)\)\n$/u.exec(stderr)?.[1]]);
    expect(wrong).toEqual([
      [1, '', 'ENOENT'],
      [1, '', 'ENOTDIR'],
      [1, '', 'ENOENT'],
      [1, '', 'ENOENT'],
      [1, '', 'EINVAL'],
      [1, '', 'EINVAL'],
    ]);
    expect(mounted.check()).toContain('clean');
  });

  it('is not taken away from who uses it', async () => {
    using mounted = Mounted.start();
    const user = spawn('sleep', ['60'], { cwd: mounted.path });
    await once(user, 'spawn');
    const { status, stderr } = ramet('umount', mounted.path);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/busy.*\(EBUSY\)\n$/u)]);
    mounted.sh('echo still here > file; cat file');
    user.kill();
    await once(user, 'close');
    mounted.umount();
  });

  it('ends by a signal, and everything is durable', async () => {
    using mounted = new Mounted();
    const args = [manifest.bin.ramet, 'mount', mounted.image, mounted.path];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(String(line)).toBe(`${mounted.image}:/ is mounted at ${mounted.path}\n`);
    mounted.sh('echo kept > file');
    child.kill('SIGTERM');
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
    expect(mountsAt(mounted.path)).toEqual([]);
    expect(mounted.ok('cat', `${mounted.image}:/file`)).toBe('kept\n');
  });
});

describeMounts('a server that is killed', () => {
  it('leaves a mount point and an image that can be used again', async () => {
    using mounted = Mounted.start();
    mounted.sh('echo synced > file; sync file; mkdir d');
    const { server } = mounted;
    process.kill(server, 'SIGKILL');
    await until(() => !isAlive(server));
    expect(() => statSync(mounted.path)).toThrow('ENOTCONN');
    const { stderr } = ramet('mount', mounted.image, mounted.path, '--background');
    expect(stderr).toMatch(/a server that is gone has left it mounted.*\(EBUSY\)\n$/u);
    mounted.umount();
    expect(mounted.check()).not.toMatch(/error|fatal/u);
    mounted.mount();
    expect(mounted.sh('cat file')).toBe('synced');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('keeps what nobody has synced, a second after it was written', async () => {
    using mounted = Mounted.start();
    mounted.sh('echo idle > file; mkdir d; head -c 3000000 /dev/urandom > d/data; sha1sum d/data');
    const sum = mounted.sh('sha1sum d/data');
    await setTimeout(1000);
    process.kill(mounted.server, 'SIGKILL');
    spawn('umount', [mounted.path]);
    await until(() => mountsAt(mounted.path).length === 0);
    mounted.mount();
    expect(mounted.sh('cat file; sha1sum d/data')).toBe(`idle\n${sum}`);
    mounted.umount();
  });
});

const LONG = process.env['RAMET_LONG'] === '1';

/** Files that are written and synced one after the other, each told of when it is durable. */
const WORK = `
import hashlib, os, sys
acknowledged = open(sys.argv[1], 'w')
for i in range(100000):
    data = hashlib.sha256(str(i).encode()).digest() * (1 + i % 7 * 300)
    os.makedirs(f'd{i % 13}', exist_ok=True)
    name = f'd{i % 13}/f{i % 150}'
    fd = os.open(name + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, data); os.fsync(fd); os.close(fd)
    os.rename(name + '.new', name)
    fd = os.open(f'd{i % 13}', os.O_RDONLY); os.fsync(fd); os.close(fd)
    acknowledged.write(f'{i}\\n'); acknowledged.flush()
`;

/** What was told of is there, or what came after it. */
const JUDGE = `
import hashlib, sys
last = {}
lines = open(sys.argv[1]).read().split('\\n')[:-1]
for i in map(int, lines): last[f'd{i % 13}/f{i % 150}'] = i
for name, i in last.items():
    found = open(name, 'rb').read()
    step = 13 * 150
    wanted = [hashlib.sha256(str(j).encode()).digest() * (1 + j % 7 * 300) for j in (i, i + step)]
    assert found in wanted, name
print(len(lines))
`;

describeMounts('a server that is killed while it works', () => {
  it.each(LONG ? [50, 100, 200, 300, 450, 700, 1500, 6000] : [150, 600])(
    'after %i ms has kept what it had acknowledged',
    async (ms) => {
      using mounted = Mounted.start();
      const told = `${mounted.folder}/told`;
      const worker = spawn('python3', ['-c', WORK, told], { cwd: mounted.path, stdio: 'ignore' });
      await until(() => existsSync(told) && statSync(told).size > 0);
      await setTimeout(ms);
      process.kill(mounted.server, 'SIGKILL');
      await once(worker, 'close');
      mounted.umount();
      mounted.mount();
      const judged = mounted.sh(`python3 - '${told}' <<'END'\n${JUDGE}\nEND`);
      expect(Number(judged)).toBeGreaterThan(0);
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});
