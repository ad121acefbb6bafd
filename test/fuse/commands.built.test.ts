/**
 * Commands on a volume that is mounted, on the kernel that is running: they say and do what they do
 * on an image that is not, and programs on the mount see at once what has changed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { type Outcome, Rig } from '../cli/rig.ts';
import { describeMounts, Mounted, ramet } from './mounted.ts';

const LONG = process.env['RAMET_LONG'] === '1';
const SLOW = { timeout: 120_000 };

/** What differs from run to run: times, identities, sizes of metadata, places. */
function steady(text: string): string {
  return text
    .replace(/\d+(?:\.\d+)? (?:us|ms|s)\b/gu, 'TIME')
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.Z]*/gu, 'DATE')
    .replace(/"seconds":[\d.]+/gu, '"seconds":0')
    .replace(/0x[\da-f]+/gu, 'ADDRESS')
    .replace(/commit \d+/gu, 'commit N')
    .replace(/(used|free|allocated|exclusive|shared)( +)[^,\n]*/gu, '$1$2SIZE')
    .replace(/[\d.]+ [KM]iB (free|verified|given back|on the disk)/gu, 'SIZE $1');
}

/** A command for each line; `I` is the image, the same on both sides. */
const LINES = [
  'ls I',
  'ls -lR I:/src',
  'ls I:/none',
  'cat I:/src/main.c',
  'cat I:/src --json',
  'put ~/in I:/src/in',
  'put ~/in I:/src -n',
  'mkdir -p I:/a/b/c',
  'mkdir I:/a',
  'mv I:/src/in /a/b',
  'clone I:/src /src-2',
  'clone I:/src /src-2',
  'clone I:/src /box --count 3',
  'snapshot I monday',
  'snapshot I spare --writable',
  'snapshot I',
  'put ~/in I:/src/main.c',
  'diff I@monday:/src I:/src',
  'cat I@monday:/src/main.c',
  'cat I@none:/src/main.c',
  'rm I@spare:/src/main.c',
  'ls I@spare:/src',
  'rm I@monday:/src/main.c',
  'clone I@monday:/src /src-monday',
  'snapshot I spare --delete',
  'snapshot I spare --delete',
  'space I:/src-2',
  'extents I:/big',
  'extents I:/big --json',
  'rm -r I:/a',
  'rm -r I',
  'rm I:/src',
  'info I',
  'import ~/tree I:/tree',
  'import ~/tree I:/tree',
  'export I:/tree ~/out-S',
  'resize I 100MiB',
  'resize I 1MiB --json',
  'trim I --minimum 1k',
  'defrag I',
  'scrub I',
  'scrub I --no-repair --json',
  'ls -R I',
];

/** Commands that want the image to themselves say who has it. */
async function refused(rig: Rig): Promise<void> {
  const image = '~/served/w.img';
  const lines = [
    ['check', image],
    ['check', '--repair', image],
    ['create', image, '--force'],
    ['dump', image, '0'],
    ['trace', `${image}:/big`],
  ];
  for (const line of lines) {
    const said = await rig.fails(...line);
    expect(said).toMatch(/in use by process \d+ \(node fuse-worker\.js mount .*\(EBUSY\)/u);
    const hint = 'ramet scrub verifies a volume that is mounted';
    expect([line, said.includes(hint)]).toEqual([line, line.join() === `check,${image}`]);
  }
}

async function run(rig: Rig, line: string, side: string): Promise<Partial<Outcome>> {
  const words = line.replaceAll('-S', `-${side}`).split(' ');
  const args = words.map((word) => word.replace(/^I(?=$|[:@])/u, `~/${side}/w.img`));
  const { status, stdout, stderr } = await rig.run(args);
  const same = (text: string): string => steady(text.replaceAll(side, 'SIDE'));
  return { status, stdout: same(stdout), stderr: same(stderr) };
}

describeMounts('commands', () => {
  const rig = new Rig();

  it('say and do the same as where nothing is mounted', SLOW, async () => {
    mkdirSync(rig.path('tree/d'), { recursive: true });
    writeFileSync(rig.path('tree/d/f'), 'data'.repeat(5000));
    writeFileSync(rig.path('in'), 'int main;\n');
    mkdirSync(rig.path('plain'));
    mkdirSync(rig.path('served'));
    mkdirSync(rig.path('mnt'));
    await rig.ok('create', '~/plain/w.img', '--size', '64MiB');
    await rig.ok('import', '~/tree', '~/plain/w.img:/src');
    await rig.ok('put', '~/in', '~/plain/w.img:/src/main.c');
    await rig.ok('put', '~/tree/d/f', '~/plain/w.img:/big');
    copyFileSync(rig.path('plain/w.img'), rig.path('served/w.img'));
    const { stderr } = ramet('mount', rig.path('served/w.img'), rig.path('mnt'), '-b');
    expect(stderr).toBe('');
    try {
      for (const line of LINES) {
        const [plain, served] = [await run(rig, line, 'plain'), await run(rig, line, 'served')];
        expect({ line, ...served }).toEqual({ line, ...plain });
      }
      await refused(rig);
    } finally {
      expect(ramet('umount', rig.path('mnt')).stderr).toBe('');
    }
    const listing = await run(rig, 'ls -R I', 'plain');
    expect(await run(rig, 'ls -R I', 'served')).toEqual(listing);
    expect(await rig.ok('check', '~/served/w.img')).toContain(': clean;');
  });
});

describeMounts('a program on the mount', () => {
  it('sees a clone at once, by whichever name it was made, and both sides are its own', () => {
    using mounted = Mounted.start();
    const { image, path } = mounted;
    mounted.sh(`
      git init -q d; cd d; git config user.email a@b; git config user.name a
      seq 1000 > numbers; mkdir sub; echo x > sub/x; git add .; git commit -qm first`);
    mounted.sh('! ls by-image by-path by-name 2>/dev/null; ls');
    mounted.ok('clone', `${image}:/d`, `${image}:/by-image`);
    mounted.ok('clone', `${path}/d`, `${path}/by-path`);
    mounted.sh(`${process.execPath} ${process.cwd()}/${manifest.bin.ramet} clone d by-name`);
    // By name first: listing a directory would make its names known.
    expect(mounted.sh('cat by-image/sub/x by-path/sub/x by-name/sub/x')).toBe('x\nx\nx');
    expect(mounted.sh('ls')).toBe('by-image\nby-name\nby-path\nd');
    for (const name of ['by-image', 'by-path', 'by-name']) {
      expect(mounted.sh(`git -C ${name} status --porcelain; cat ${name}/sub/x`)).toBe('x');
      mounted.sh(`echo ${name} > ${name}/sub/x; echo more >> ${name}/numbers`);
      expect(mounted.sh(`git -C ${name} status --porcelain`)).toBe(' M numbers\n M sub/x');
    }
    mounted.sh('echo original > d/sub/x');
    expect(mounted.sh('cat */sub/x')).toBe('by-image\nby-name\nby-path\noriginal');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
    expect(mounted.ok('cat', `${image}:/by-path/sub/x`)).toBe('by-path\n');
  });

  it('sees every kind of change at once', () => {
    using mounted = Mounted.start();
    const { image, folder } = mounted;
    writeFileSync(`${folder}/in`, 'from outside');
    mounted.sh('mkdir -p d/e; echo old > d/f; ln d/f d/g; echo inner > d/e/i');
    // All of it is in the kernel's memory: names that are not there, too.
    const look = (): string =>
      mounted.sh('ls d . | tr "\\n" " "; cat d/f d/new d/e/i 2>&1 || true; stat -c %h:%s:%a d/g d');
    expect(look()).toContain('cat: d/new: No such file or directory');
    mounted.ok('put', `${folder}/in`, `${image}:/d/new`);
    expect(look()).toMatch(/d: e f g new old\nfrom outsideinner\n2:4:644\n3:/su);
    mounted.ok('put', `${folder}/in`, `${image}:/d/f`);
    // Replaced: the other name has the old file for itself.
    expect(look()).toMatch(/from outsidefrom outsideinner\n1:4:644\n/u);
    mounted.ok('mv', `${image}:/d/new`, '/d/moved');
    expect(look()).toContain('moved');
    expect(look()).not.toMatch(/d\/new: \d|from outsidefrom/u);
    mounted.ok('rm', '-r', `${image}:/d/e`);
    expect(look()).toMatch(/cat: d\/e\/i: No such file.*\n1:4:644\n2:\d+:755/su);
    mounted.ok('snapshot', image, 's');
    mounted.ok('rm', '-r', `${image}:/d`);
    expect(mounted.sh('ls; ! cat d/f 2>&1')).toContain('No such file');
    mounted.ok('clone', `${image}@s:/d`, '/d');
    expect(mounted.sh('cat d/f')).toBe('from outside');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('is not disturbed in what it has open', () => {
    using mounted = Mounted.start();
    mounted.sh('mkdir d; seq 10000 > d/f');
    const command = `${process.execPath} ${process.cwd()}/${manifest.bin.ramet}`;
    const sum = mounted.sh(`
      exec 5<d/f; head -c 100 <&5 >/dev/null; cd d
      ${command} rm -r ${mounted.image}:/d
      cat <&5 | cksum; ! ls ../d 2>/dev/null`);
    expect(sum).toBe(mounted.sh('seq 10000 | tail -c +101 | cksum').trim());
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });
});

/** Writes what it is told to files that stay open: with write(2), and through a mapping. */
const WRITER = `
import mmap, os, sys
count, size = 40, 16384
files = [os.open(f'd/{i}', os.O_RDWR | os.O_CREAT) for i in range(count)]
for file in files: os.write(file, bytes(size))
maps = [mmap.mmap(file, size) for file in files]
print('ready', flush=True)
for line in sys.stdin:
    data = bytes([int(line)])
    for i in range(count):
        if i % 2: maps[i][0:size] = data * size
        else: os.pwrite(files[i], data * size, 0)
    print('written', flush=True)
`;

describeMounts('a clone', () => {
  it.each([
    ['', []],
    [', with -o writeback', ['-o', 'writeback']],
  ])('has what a program wrote before, which has the files open%s', SLOW, async (_, options) => {
    using mounted = Mounted.start(...options);
    mounted.sh('mkdir d');
    const writer = spawn('python3', ['-c', WRITER], { cwd: mounted.path });
    const lines = createInterface({ input: writer.stdout });
    const told = lines[Symbol.asyncIterator]();
    expect((await told.next()).value).toBe('ready');
    for (let round = 1; round <= (LONG ? 40 : 2); round++) {
      writer.stdin.write(`${round}\n`);
      expect((await told.next()).value).toBe('written');
      // No descriptor of the writer's is closed meanwhile, which would write back too.
      if (round % 2 === 0) mounted.ok('snapshot', mounted.image, `c${round}`);
      else mounted.ok('clone', `${mounted.path}/d`, `${mounted.path}/c${round}`);
      const there =
        round % 2 === 0 ? `${mounted.image}@c${round}:/d` : `${mounted.image}:/c${round}`;
      mounted.ok('export', there, `${mounted.folder}/out${round}`);
      for (let i = 0; i < 40; i++) {
        const found = readFileSync(`${mounted.folder}/out${round}/${i}`);
        expect([i, found.equals(Buffer.alloc(16384, round))]).toEqual([i, true]);
      }
    }
    writer.stdin.end();
    await once(writer, 'close');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });
});

describeMounts('the socket of a mount', () => {
  it('that a killed server has left is in nobody’s way', async () => {
    using mounted = Mounted.start();
    mounted.sh('echo kept > f; sync f');
    process.kill(mounted.server, 'SIGKILL');
    const image = mounted.image;
    for (let i = 0; i < 500 && ramet('ls', image).status !== 0; i++) await setTimeout(20);
    expect(existsSync(`${image}.sock`)).toBe(true);
    expect(mounted.ok('cat', `${image}:/f`)).toBe('kept\n');
    mounted.ok('clone', `${image}:/f`, '/g');
    mounted.umount();
    mounted.mount();
    mounted.ok('clone', `${image}:/g`, '/h');
    expect(mounted.sh('cat h')).toBe('kept');
    mounted.umount();
    expect(existsSync(`${image}.sock`)).toBe(false);
    expect(mounted.check()).toContain('clean');
  });

  it('serves several clients and the kernel at once', SLOW, async () => {
    using mounted = Mounted.start();
    const { image, folder } = mounted;
    mkdirSync(`${folder}/tree`);
    for (let i = 0; i < 50; i++) writeFileSync(`${folder}/tree/${i}`, `${i}`.repeat(3000));
    mounted.sh('mkdir d; for i in $(seq 50); do seq $i > d/$i; done');
    const work = [
      started('clone', `${image}:/d`, '/c', '--count', '50'),
      started('import', `${folder}/tree`, `${image}:/tree`),
      started('scrub', image),
      started('export', `${image}:/d`, `${folder}/out`),
    ].map((child) => once(child, 'close'));
    mounted.sh('for i in $(seq 100); do echo $i > new$i; mv new$i old$i; done; cat d/* | wc -l');
    expect((await Promise.all(work)).map(([status]) => status as number)).toEqual([0, 0, 0, 0]);
    expect(
      mounted.sh(`diff -r tree ${folder}/tree; diff -r d ${folder}/out; diff -r d c-0050`),
    ).toBe('');
    expect(mounted.sh('ls | wc -l')).toBe('152');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('is not blocked by a client that says half a word, or that Ctrl-C ends', async () => {
    using mounted = Mounted.start();
    const { image } = mounted;
    mounted.sh('head -c 20000000 /dev/urandom > big; sync big');
    const half = connect(`${image}.sock`);
    half.on('error', () => {});
    half.write(Buffer.from([100, 0, 0, 0, 1]));
    const slow = started('scrub', image, '--rate', '100k');
    for (let i = 0; i < 500 && !existsSync(`${image}.scrub`); i++) await setTimeout(20);
    const start = performance.now();
    mounted.sh('for i in $(seq 20); do echo $i > f$i; done; cat f* | wc -l');
    mounted.ok('clone', `${image}:/f1`, '/g');
    let said = '';
    slow.stderr?.on('data', (data) => {
      said += String(data);
    });
    slow.kill('SIGINT');
    const [status] = (await once(slow, 'close')) as [number];
    expect([status, said]).toEqual([130, expect.stringContaining('Interrupted')]);
    expect(mounted.sh('cat g')).toBe('1');
    mounted.umount();
    expect(performance.now() - start).toBeLessThan(20_000);
    half.destroy();
    expect(mounted.check()).toContain('clean');
  });

  it('can be missing: the mount works, and says what does not', () => {
    using mounted = new Mounted();
    writeFileSync(`${mounted.image}.sock`, 'mine');
    const { status, stderr } = ramet('mount', mounted.image, mounted.path, '-b');
    expect(status).toBe(0);
    expect(stderr).toMatch(
      /^ramet: commands cannot use \S+a\.img while it is mounted, for want of/u,
    );
    mounted.sh('echo works > f; cat f');
    expect(ramet('ls', mounted.image).stderr).toMatch(/in use by process \d+ .*\(EBUSY\)/u);
    mounted.umount();
    expect(readFileSync(`${mounted.image}.sock`, 'utf8')).toBe('mine');
  });

  it('knows a part of a volume and a bind mount by their paths', () => {
    using mounted = Mounted.start();
    const { image, path, folder } = mounted;
    mounted.sh('mkdir -p a/b; echo deep > a/b/f');
    mounted.umount();
    mounted.ok('mount', `${image}:/a`, path, '-b');
    mkdirSync(`${folder}/bound`);
    mounted.sh(`mount --bind b ${folder}/bound`);
    expect(mounted.ok('cat', `${path}/b/f`)).toBe('deep\n');
    expect(mounted.ok('cat', `${folder}/bound/f`)).toBe('deep\n');
    mounted.ok('clone', `${folder}/bound/f`, `${path}/g`);
    expect(mounted.sh(`cat g; umount ${folder}/bound`)).toBe('deep');
    expect(mounted.ok('ls', `${image}:/a`)).toBe('b\ng\n');
    mounted.umount();
  });
});

function started(...args: string[]): ChildProcess {
  return spawn(process.execPath, [manifest.bin.ramet, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

describe('steady()', () => {
  it('leaves everything else as it is', () => {
    expect(steady('a.img: 5 files in 3.1 ms\nshared  8 KiB, x')).toBe(
      'a.img: 5 files in TIME\nshared  SIZE, x',
    );
  });
});
