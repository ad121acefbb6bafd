/**
 * Archivers on a mount, there and back: everything that they keep is kept, for files of all small
 * sizes too, when they are fresh and when the volume has put them away.
 */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

const LONG = process.env['RAMET_LONG'] === '1';

/** Whether there is such a program; where not, its test is left out, and says so. */
function has(program: string): boolean {
  const { error } = spawnSync(program, ['--version']);
  if (error !== undefined) process.stdout.write(`\nNOT TESTED with ${program}: there is none\n\n`);
  return error === undefined;
}

/** A tree of whatever rsync -aHAXS keeps. */
const TREE = `
import os, subprocess
os.makedirs('tree/linked'); os.chdir('tree')
for i in range(100):
    with open(f'linked/{i}', 'w') as out: out.write(f'{i}\\n' * i)
    os.link(f'linked/{i}', f'linked/also{i}')
for i in range(150):
    path = f'file{i}'
    with open(path, 'wb') as out: out.write(os.urandom(i * 37))
    os.setxattr(path, 'user.a', os.urandom(i + 1))
    if i % 3 == 0: os.setxattr(path, 'trusted.t', b'x' * i)
    if i % 4 == 0: subprocess.run(['setfacl', '-m', f'u:{i + 1}:rw,g:77:r', path], check=True)
    os.chown(path, 1000 + i % 7, 2000 + i % 5)
    os.utime(path, ns=(10 ** 9 * i + 123456789, 15 * 10 ** 17 + i))
subprocess.run(['setfacl', '-d', '-m', 'u:5:rwx', 'linked'], check=True)
os.setxattr('file1', 'security.capability', b'\\x01\\0\\0\\x02\\0\\x04' + b'\\0' * 14)
os.setxattr('linked', 'user.long', b'd' * 3000)
with open('sparse', 'wb') as out:
    for at in (0, 5 << 20, (20 << 20) + 7): out.seek(at); out.write(os.urandom(12288))
with open('huge', 'wb') as out: out.seek(64 << 20); out.write(b'end')
os.mkfifo('fifo'); os.mknod('device', 0o60600, os.makedev(7, 3)); os.symlink('x' * 3000, 'long')
os.makedirs('/'.join(['d' * 100] * 15)); open(b'\\xff\\xfe not text\\n', 'w').close()
`;

const SAME = 'same() { rsync -aHAXSnci --numeric-ids --delete "$1/" "$2/"; }';
const COPY = 'rsync -aHAXS --numeric-ids';
const TAR = "tar --acls --xattrs --xattrs-include='*' --sparse --numeric-owner";

describeMounts('archivers on a mount', () => {
  it('tar --sparse keeps the bytes of small files that were put away', () => {
    using mounted = Mounted.start();
    mounted.sh('mkdir in; for i in $(seq 40 40 1600); do head -c $i /dev/urandom > in/$i; done');
    mounted.umount();
    mounted.mount();
    expect(mounted.sh('mkdir out; tar -Scf - in | tar -xf - -C out; diff -r in out/in')).toBe('');
    mounted.umount();
  });

  it.runIf(has('rsync') && has('setfacl')).each(LONG ? ['acl', 'acl,writeback'] : ['acl'])(
    'rsync and tar keep everything there and back, mounted with %s',
    { timeout: 120_000 },
    (options) => {
      using mounted = Mounted.start('-o', options);
      mounted.sh(`python3 - <<'END'\n${TREE}\nEND`, mounted.folder);
      mounted.sh(`${COPY} ../tree/ rsync/; mkdir tar
        ${TAR} -C ../tree -cf - . | ${TAR} -C tar -xpf -`);
      mounted.umount();
      mounted.mount('-o', options);
      const found = mounted.sh(`${SAME}; ${COPY} rsync/ ../back/; mkdir ../untar
        ${TAR} -C tar -cf - . | ${TAR} -C ../untar -xpf -
        for one in rsync tar ../back ../untar; do same ../tree $one; done
        test $(du -k rsync/huge | cut -f1) -lt 100; test $(du -k tar/sparse | cut -f1) -lt 100
        dd if=/dev/urandom of=../tree/sparse bs=1k seek=5000 count=9 conv=notrunc status=none
        echo more >> ../tree/file99; rm ../tree/linked/7
        rsync -aHAX --delete --inplace --no-whole-file --numeric-ids ../tree/ rsync/
        same ../tree rsync; rsync -aHAX --numeric-ids --link-dest="$PWD/rsync" ../tree/ linked/
        same ../tree linked; stat -c %h linked/file3; rm -rf rsync tar linked; ls -A`);
      expect(found).toBe('2');
      mounted.umount();
      expect(mounted.check()).toContain('clean');
    },
  );
});
