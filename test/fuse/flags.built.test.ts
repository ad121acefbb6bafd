/** Flags of inodes on a mount, by the programs that set and show them; fstrim, and the label. */
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { describeMounts, isBesideExt4, Mounted } from './mounted.ts';

/** What the words of a script come to, each of which may fail: `ok`, or what it says. */
function outcomes(mounted: Mounted, lines: readonly string[], folder = mounted.path): string[] {
  return lines.map((line) => {
    const { status, stderr } = spawnSync('bash', ['-c', line], { cwd: folder, encoding: 'utf8' });
    return status === 0 ? 'ok' : (stderr.trim().split(': ').at(-1) ?? '');
  });
}

/**
 * What ext4 refuses when a file is opened, which a mount does not ask if nothing was guarded when
 * it began: here the file refuses to be changed, and what an append-only file allows for whoever
 * has opened it to append is done.
 */
const UNASKED = ['fallocate -l 4096 f', 'fallocate -n -l 4096 f'];

/** Each changes a file `f` or what is in a directory `d`, or tries. */
const CHANGES = [
  'echo x > new',
  'echo x >> f',
  'truncate -s 0 f',
  'truncate -s 9 f',
  'rm -f f',
  'mv f g',
  'mv new f',
  'mv -T --exchange f new',
  'ln f h',
  'chmod 600 f',
  'chown 5 f',
  'touch f',
  'touch -d @5 f',
  `python3 -c 'import os; os.setxattr("f", "user.a", b"v")'`,
  'fallocate -p -o 0 -l 4096 f',
  'cp --reflink=auto new f',
  'touch d/new',
  'rm -f d/old',
  'mv d/old d/other',
  'mv new d/moved',
  'chmod 711 d',
  'rmdir d',
  'cat f',
];

describeMounts('flags of inodes', () => {
  for (const flag of ['i', 'a', 'd']) {
    it(`chattr +${flag} lets pass what it lets pass on ext4`, () => {
      using mounted = Mounted.start();
      if (!isBesideExt4(mounted)) return;
      const changes = flag === 'a' ? CHANGES : [...CHANGES, ...UNASKED];
      const folders = [`${mounted.path}/work`, `${mounted.folder}/work`];
      const files = 'mkdir work; cd work; mkdir d; echo old > f; touch d/old';
      const prepare = `${files}; chattr +${flag} f d`;
      const found = folders.map((folder) => {
        mounted.sh(prepare, dirname(folder));
        const said = outcomes(mounted, changes, folder);
        const shown = mounted.sh('lsattr -d f d | tr e -', folder).replaceAll(folder, '');
        mounted.sh(`chattr -${flag} f d`, folder);
        return changes.map((change, i) => `${change}: ${said[i]}`).concat(shown);
      });
      expect(found[0]).toEqual(found[1]);
      expect(found[0]?.filter((line) => line.endsWith('ok')).length).toBeGreaterThan(1);
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    });
  }

  it('refuse to be opened to be written where some were when it was mounted', () => {
    using mounted = new Mounted();
    if (!isBesideExt4(mounted)) return;
    const folders = [`${mounted.path}/work`, `${mounted.folder}/work`];
    const make = 'mkdir work; cd work; for n in i a d plain; do echo old > $n; done';
    const guard = 'for n in i a d; do chattr +$n $n; done';
    const program = `
import errno, os
flags = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "append": os.O_APPEND,
         "trunc": os.O_TRUNC, "creat": os.O_CREAT, "excl": os.O_EXCL}
for name in ["i", "a", "d", "plain", "none"]:
    for access in ["r", "w", "rw"]:
        for more in ["", "append", "creat", "append creat", "creat excl"]:
            for cut in ["", "trunc"] if access != "r" else [""]:
                bits = sum(flags[word] for word in f"{access} {more} {cut}".split())
                try:
                    fd = os.open(name, bits, 0o600)
                    said = "ok"
                    if access != "r" and "append" not in more: os.pwrite(fd, b"x", 0)
                    os.close(fd)
                except OSError as error:
                    said = errno.errorcode[error.errno]
                print(name, access, more, cut, said)
                if name == "none" and os.path.exists(name): os.unlink(name)
`;
    mounted.mount();
    const [outcome, expected] = folders.map((folder) => {
      mounted.sh(`${make}; ${guard}`, dirname(folder));
      if (folder.startsWith(mounted.path)) {
        mounted.umount();
        mounted.mount();
      }
      const told = mounted.sh(`python3 - <<'END'\n${program}\nEND`, folder);
      mounted.sh('for n in i a d; do chattr -$n $n; done', folder);
      return told.split('\n');
    });
    expect(outcome).toEqual(expected);
    expect(outcome?.filter((line) => line.endsWith('EPERM')).length).toBeGreaterThan(10);
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('stay where nobody may take them away, and others are refused', () => {
    using mounted = Mounted.start();
    const as = 'setpriv --reuid 1000 --regid 1000 --clear-groups --';
    mounted.sh('touch mine; chown 1000 mine; chattr +i mine; touch other');
    expect(
      outcomes(mounted, [
        `${as} chattr -i mine`,
        `${as} chattr +d mine`,
        'chattr +d mine',
        'chattr -i mine',
        `${as} chattr +d mine`,
        `${as} chattr +a mine`,
        `${as} chattr +d other`,
        'chattr +c other',
      ]).map((text) => text.replace(/ while setting flags on \w+$/u, '')),
    ).toEqual([
      'Operation not permitted',
      'Operation not permitted',
      'Operation not permitted',
      'ok',
      'ok',
      'Operation not permitted',
      'Operation not permitted',
      'Operation not supported',
    ]);
  });

  it('change the time of change, which is seen at once', () => {
    using mounted = Mounted.start();
    mounted.sh('touch f; mkdir d');
    for (const name of ['f', 'd']) {
      const ctime = (): string => mounted.sh(`stat -c %.9Z ${name}`);
      const before = ctime();
      for (let i = 0; i < 20; i++) {
        const last = ctime();
        mounted.sh(`chattr ${i % 2 === 0 ? '+' : '-'}d ${name}`);
        expect(ctime()).not.toBe(last);
      }
      expect(Number(ctime())).toBeGreaterThan(Number(before));
    }
  });

  it('have C for what is overwritten in place, and inherit it', () => {
    using mounted = Mounted.start();
    mounted.sh('mkdir d; chattr +C d; touch d/new; touch old; chattr +C old; chattr +d old');
    expect(mounted.sh('lsattr -d d d/new old').replaceAll('-', '')).toBe('C d\nC d/new\ndC old');
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('let programs append, with the writeback cache too', () => {
    for (const options of [[], ['-o', 'writeback']]) {
      using mounted = Mounted.start(...options);
      mounted.sh(
        'printf 12345 > log; chattr +a log; for i in 1 2 3; do echo $i >> log; done; sync log',
      );
      mounted.umount();
      mounted.mount();
      expect(mounted.sh('cat log')).toBe('123451\n2\n3');
      expect(
        outcomes(mounted, ['echo x > log', 'dd if=/dev/zero of=log bs=1 count=1 conv=notrunc']),
      ).toEqual(['Operation not permitted', expect.stringContaining('Operation not permitted')]);
      mounted.sh('chattr -a log');
    }
  });

  it('and names make a mount the upper layer of an overlay', () => {
    using mounted = Mounted.start();
    const { folder } = mounted;
    mounted.sh('mkdir up work; mkdir ../low ../all; echo 1 > ../low/f; echo 2 > ../low/g');
    const layers = `lowerdir=${folder}/low,upperdir=${folder}/mnt/up,workdir=${folder}/mnt/work`;
    const mount = `mount -t overlay overlay -o ${layers} ../all`;
    try {
      mounted.sh(`${mount}; cd ../all; rm f; mv g h; echo new > n`);
      expect(mounted.sh('ls ../all; stat -c "%n %F %t %T" up/f up/g').split('\n')).toEqual([
        'h',
        'n',
        'up/f character special file 0 0',
        'up/g character special file 0 0',
      ]);
    } finally {
      mounted.sh('umount ../all');
    }
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('come with a project and a generation; fstrim gives back what is free', () => {
    using mounted = Mounted.start();
    mounted.sh('head -c 40M /dev/urandom > large; sync large; mkdir d; chattr -p 77 d');
    expect(mounted.sh('lsattr -pd d').trim().split(/\s+/u)[0]).toBe('77');
    expect(mounted.sh('lsattr -vd d').trim().split(/\s+/u)[0]).toBe('0');
    const size = (): number => Number(mounted.sh(`du -k ${mounted.image} | cut -f1`));
    const before = size();
    expect(mounted.sh('rm large; fstrim -v .')).toContain('trimmed');
    expect(size()).toBeLessThan(before - 30_000);
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });
});
