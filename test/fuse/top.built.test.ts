/**
 * `ramet top` at mounts of the running kernel: what it counts is what programs have done.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import type { MountRates } from '../../src/cli/mount-rates.ts';
import { describeMounts, MAIN, Mounted, ramet } from './mounted.ts';

const SLOW = { timeout: 60_000 };

/** What top says of the time in which `work` is done: some intervals, until all of it was seen. */
async function during(mounted: Mounted, work: () => void): Promise<MountRates[]> {
  const args = [MAIN, 'top', mounted.path, '--json', '--interval', '0.3'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<MountRates> =>
    JSON.parse((await lines.next()).value as string) as MountRates;
  // Its first look was before this line, its last one is after the work.
  const seen = [await next()];
  work();
  do seen.push(await next());
  while ((seen.at(-1) as MountRates).requests > 0 || seen.length < 3);
  child.kill('SIGINT');
  const [status] = (await once(child, 'close')) as [number];
  expect(status).toBe(0);
  return seen;
}

function total(seen: readonly MountRates[], name: string): number {
  return seen
    .flatMap(({ operations }) => operations)
    .filter((operation) => operation.name === name)
    .reduce((sum, { count }) => sum + count, 0);
}

/** Files made, written, synced, renamed, and taken away; a large one written and read. */
const WORK = `
import os
for i in range(40):
    fd = os.open(f'f{i}', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, b'x' * 1000)
    if i < 5: os.fsync(fd)
    os.close(fd)
for i in range(7): os.rename(f'f{i}', f'g{i}')
for i in range(30, 40): os.unlink(f'f{i}')
for i in range(3): os.mkdir(f'd{i}')
open('large', 'wb').write(bytes(3 << 20))
`;

describeMounts('top', () => {
  it('counts what programs do, and takes sane times', SLOW, async () => {
    using mounted = Mounted.start();
    const seen = await during(mounted, () => mounted.python(WORK));
    expect({
      fsync: total(seen, 'fsync'),
      rename: total(seen, 'rename') + total(seen, 'rename2'),
      unlink: total(seen, 'unlink'),
      mkdir: total(seen, 'mkdir'),
      mknod: total(seen, 'mknod'),
    }).toEqual({ fsync: 5, rename: 7, unlink: 10, mkdir: 3, mknod: 41 });
    expect(seen.reduce((sum, { written }) => sum + written, 0)).toBe(40 * 1000 + (3 << 20));
    for (const { operations, seconds, requests, fromMemory } of seen) {
      expect(requests).toBe(operations.reduce((sum, { count }) => sum + count, 0));
      expect(fromMemory).toBeLessThanOrEqual(requests);
      expect(seconds).toBeGreaterThan(0.25);
      // One thread serves: it cannot have been busy for longer than there was time.
      const busy = operations.reduce((sum, operation) => sum + operation.seconds, 0);
      expect(busy).toBeLessThanOrEqual(seconds);
      for (const { count, p50, p95, p99, seconds: all } of operations) {
        expect(p50).toBeGreaterThan(0);
        expect([p50 <= p95, p95 <= p99]).toEqual([true, true]);
        // Half of them took no less than an eighth below the median.
        expect((count / 2) * p50 * (8 / 9)).toBeLessThanOrEqual(all + count * 1e-7);
      }
    }
    mounted.umount();
  });

  it('tells what is read from the device from what is in memory', SLOW, async () => {
    using mounted = Mounted.start();
    mounted.sh('head -c 4194304 /dev/urandom > large; sync large');
    mounted.umount();
    mounted.mount();
    const seen = await during(mounted, () => mounted.sh('cat large > /dev/null'));
    expect(seen.reduce((sum, { read }) => sum + read, 0)).toBe(4 << 20);
    expect(seen.some(({ fromMemory, requests }) => fromMemory < requests)).toBe(true);
    mounted.umount();
  });

  it('follows commits, clones and dirty data, by the image or a path on it', SLOW, () => {
    using mounted = Mounted.start();
    const once = (place: string): MountRates =>
      JSON.parse(
        mounted.ok('top', place, '--json', '--count', '1', '--interval', '0.1'),
      ) as MountRates;
    mounted.sh('mkdir d; echo x > d/f; sync d/f');
    const before = once(mounted.image);
    mounted.ok('clone', `${mounted.path}/d`, `${mounted.path}/e`);
    const after = once(`${mounted.path}/d`);
    expect(after).toMatchObject({ clones: before.clones + 1, dirtyData: 0, failed: false });
    expect(after.txg).toBeGreaterThan(before.txg);
    expect(after.commitAge).toBeLessThan(10);
    expect(after.free).toBeLessThan(after.size);
    mounted.umount();
  });

  it('keeps nothing from becoming durable, however often it looks', SLOW, async () => {
    using mounted = Mounted.start();
    const args = ['top', mounted.path, '--json', '--interval', '0.1', '--count', '30'];
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'close');
    const seen: MountRates[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (seen.length === 0) mounted.sh('echo x > f');
      seen.push(JSON.parse(line) as MountRates);
    }
    await ended;
    // Of a mount that somebody asks something of, that would be five seconds.
    const [first, last] = [seen[0], seen.at(-1)] as [MountRates, MountRates];
    expect(seen).toHaveLength(30);
    expect(last.txg).toBeGreaterThan(first.txg);
    expect(last).toMatchObject({ dirtyData: 0, dirtyNodes: 0 });
    mounted.umount();
  });

  it('ends when the mount does, and says so', SLOW, async () => {
    using mounted = Mounted.start();
    const args = [MAIN, 'top', mounted.path, '--interval', '0.2'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    await once(child.stdout, 'data');
    mounted.umount();
    const [status] = (await once(child, 'close')) as [number];
    expect([status, stderr]).toEqual([
      1,
      `ramet: Cannot watch ${mounted.image}:/: whoever had the volume mounted has ended (EIO)\n`,
    ]);
  });

  it('says that a mount has no socket', SLOW, () => {
    using mounted = Mounted.start('-o', 'ro');
    for (const place of [mounted.path, mounted.image]) {
      const { status, stdout, stderr } = ramet('top', place);
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toBe(
        `ramet: Cannot watch ${mounted.image}:/: it is mounted read-only, ` +
          'and such a mount has no socket to be asked through (ENOTSUP)\n',
      );
    }
    mounted.umount();
  });
});

/** Runs a command on a terminal, types Ctrl-C once it was drawn twice, and tells all there was. */
const TERMINAL = `
import fcntl, json, os, pty, struct, subprocess, sys, termios
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 90, 0, 0))
before = termios.tcgetattr(slave)
env = {**os.environ, 'TERM': 'xterm'}
def own():
    os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)
streams = {'stdin': slave, 'stdout': slave, 'stderr': slave}
child = subprocess.Popen(sys.argv[1:], **streams, env=env, preexec_fn=own)
text = b''
while text.count(b'\\x1b[J') < 2: text += os.read(master, 65536)
os.write(master, b'\\x03')
child.wait()
os.set_blocking(master, False)
try:
    while True: text += os.read(master, 65536)
except BlockingIOError: pass
same = termios.tcgetattr(slave) == before
print(json.dumps({'status': child.returncode, 'same': same, 'text': text.decode()}))
`;

describeMounts('top on a terminal', () => {
  it('is ended by Ctrl-C, and leaves the terminal as it was', SLOW, async () => {
    using mounted = Mounted.start();
    const args = ['-c', TERMINAL, process.execPath, MAIN, 'top', mounted.path, '--interval', '0.2'];
    const child = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
    });
    await once(child, 'close');
    const { status, same, text } = JSON.parse(output) as Record<string, unknown>;
    expect({ status, same }).toEqual({ status: 0, same: true });
    const [start, ...screens] = String(text).split('\x1b[H');
    expect(start).toBe('\x1b[?1049h\x1b[?25l\x1b[?7l');
    expect(screens.length).toBeGreaterThanOrEqual(2);
    for (const screen of screens) expect(screen).toContain('requests');
    // What is behind the last screen is what takes it away, and the terminal's own echo.
    const rest = (screens.at(-1) as string).split('\x1b[J')[1]?.replace('^C', '');
    expect(rest).toBe('\x1b[?7h\x1b[?25h\x1b[?1049l');
    mounted.umount();
  });
});
