/**
 * Programs that know nothing of ramet, in a mount of the kernel that is running.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

/** Whether there is such a program; where not, its test is left out, and says so. */
function has(program: string): boolean {
  const { error } = spawnSync(program, ['--version']);
  if (error !== undefined) process.stdout.write(`\nNOT TESTED with ${program}: there is none\n\n`);
  return error === undefined;
}

/** A tree with everything that an archive keeps, made by a shell. */
const TREE = `
mkdir -p tree/a/b tree/empty; cp -r "$SOURCE" tree/a/sources
echo one > tree/one; ln tree/one tree/a/two; ln tree/one tree/a/b/three
ln -s ../one tree/a/link; ln -s nowhere tree/dangling
truncate -s 1M tree/sparse; echo end >> tree/sparse; mkfifo tree/fifo; mknod tree/null c 1 3
chown 12:34 tree/one tree/a/b; chmod 4711 tree/a/sources/index.ts; chmod 1777 tree/empty
touch -d '2001-02-03 04:05:06.789012345' tree/one; touch -hd '1999-01-01' tree/a/link
python3 -c 'import os
os.setxattr("tree/a", "user.note", b"kept"); os.setxattr("tree/one", "user.x", b"y" * 500)'
touch -d '2020-01-01' tree/a/b tree/a tree/empty tree
`;

/** Everything that is known of a tree but where it lies. */
const SHOWN = `
show() {
  (cd "$1"; find . -printf '%P %y %m %U:%G %n %s %T@ %l\\n' |
    sed 's/ d \\([^ ]* [^ ]* [^ ]*\\) [0-9]*/ d \\1/' | sort
  find . -type f -exec sha1sum {} + | sort
  python3 -c '
import os
for top, folders, names in os.walk("."):
    for name in sorted(folders + names):
        path = os.path.join(top, name)
        for key in sorted(os.listxattr(path, follow_symlinks=False)):
            print(path, key, os.getxattr(path, key, follow_symlinks=False))
' | sort)
}
`;

/** A process has a lock of each kind; another one is refused, and waits; one gives up. */
const LOCKS = `
import fcntl, os, time
fd = os.open('lock', os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX)
fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
if os.fork() == 0:
    other = os.open('lock', os.O_RDWR)
    for lock in (fcntl.flock, lambda f, l: fcntl.lockf(f, l, 10, 5)):
        try: lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB); print('wrong')
        except OSError as error: print(error.errno)
    fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
    fcntl.flock(other, fcntl.LOCK_EX); print('waited', flush=True); os._exit(0)
time.sleep(0.3); print('released', flush=True); fcntl.flock(fd, fcntl.LOCK_UN)
os.wait(); os.unlink('lock')
`;
const LOCKED = '11\n11\nreleased\nwaited';

describeMounts('programs on a mount', () => {
  let mounted: Mounted;
  const sh = (script: string): string => mounted.sh(script);

  beforeAll(() => {
    mounted = Mounted.start();
    process.env['SOURCE'] = new URL('../../src/base', import.meta.url).pathname;
  });

  afterAll(() => {
    mounted.umount();
    const found = mounted.check();
    mounted[Symbol.dispose]();
    expect(found).toContain('clean');
  });

  it('cp -a and tar keep everything, from the host and back, and within', () => {
    mounted.sh(TREE, mounted.folder);
    sh(`${SHOWN}
      cp -a ../tree cp; tar -C .. --xattrs --sparse -cf - tree | tar --xattrs -xf - ; mv tree tar
      cp -a cp again; cp -a again ../back
      show ../tree > ../want
      for one in cp tar again ../back; do show $one > ../got; diff ../want ../got; done
      rm -rf cp tar again; test -z "$(ls)"`);
  });

  it.runIf(has('git'))('git commits, packs, clones and finds nothing wrong', () => {
    sh(`export HOME=$PWD GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
      git config --global user.email a@b; git config --global user.name a
      git init -q repo; cd repo; cp -r "$SOURCE" src; git add .; git commit -qm one
      for i in 1 2 3; do echo $i >> src/index.ts; git commit -qam $i; done
      git gc -q; git fsck --strict; test -z "$(git status --porcelain)"
      git clone -q . ../clone; diff -r src ../clone/src; cd ../clone
      git checkout -qb other HEAD~2; git merge -q master || git merge -q main; git fsck --strict
      cd ..; rm -rf repo clone .gitconfig`);
  });

  it.runIf(has('sqlite3'))('sqlite3 keeps its word in every mode of its journal', () => {
    for (const mode of ['delete', 'truncate', 'persist', 'wal']) {
      const result = sh(`rm -f db*; sqlite3 db "pragma journal_mode=${mode};
        create table t(a integer primary key, b); begin;
        insert into t(b) select hex(randomblob(200)) from (with recursive n(i) as
          (select 1 union all select i + 1 from n where i < 2000) select i from n); commit;
        delete from t where a % 3 = 0; update t set b = b || b where a % 5 = 0;
        pragma integrity_check; select count(*) from t;"; rm db*`);
      expect(result).toBe(`${mode}\nok\n1334`);
    }
  });

  it('memory that is mapped is the file, shared or private', () => {
    const result = mounted.python(`
import mmap, os
fd = os.open('map', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 100000)
with mmap.mmap(fd, 100000) as shared:
    shared[5000:5005] = b'hello'; shared[99999] = 33
    shared.flush()
    print(os.pread(fd, 5, 5000), os.pread(fd, 10, 99999))
    os.pwrite(fd, b'there', 70000); print(shared[70000:70005])
    shared[:4] = b'late'
with mmap.mmap(fd, 100000, mmap.MAP_PRIVATE) as private:
    private[5000:5005] = b'other'; print(os.pread(fd, 5, 5000), private[:4])
os.close(fd); print(open('map', 'rb').read().count(b'hello')); os.unlink('map')
`);
    expect(result.split('\n')).toEqual(["b'hello' b'!'", "b'there'", "b'hello' b'late'", '1']);
  });

  it('holes are made, found and kept, and space is reserved', () => {
    const result = mounted.python(`
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
def runs(fd):
    found, at, size = [], 0, os.fstat(fd).st_size
    while at < size:
        try: start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError: break
        at = os.lseek(fd, start, os.SEEK_HOLE); found.append((start >> 12, at >> 12))
    return found
fd = os.open('holes', os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b'x' * 65536, 0); os.pwrite(fd, b'y' * 4096, 1 << 20)
libc.fallocate64(fd, 3, 8192, 16384); print(runs(fd), os.fstat(fd).st_size)
libc.fallocate64(fd, 0x10, 40960, 4096); print(runs(fd))
libc.fallocate64(fd, 0, 0, 2 << 20); print(os.fstat(fd).st_size)
print(libc.fallocate64(fd, 8, 0, 4096), os.strerror(ctypes.get_errno()))
os.close(fd)
`);
    expect(result.split('\n')).toEqual([
      '[(0, 2), (6, 16), (256, 257)] 1052672',
      '[(0, 2), (6, 10), (11, 16), (256, 257)]',
      '2097152',
      '-1 Operation not supported',
    ]);
    sh('truncate -s 1G sparse; echo end >> sparse; cp sparse copy; cmp -n 100 sparse copy');
    expect(Number(sh('du -k copy | cut -f1'))).toBeLessThan(100);
    sh('rm holes sparse copy');
  });

  it('plain cp shares the blocks of what it copies', () => {
    const used = (): number => Number(sh('df -k --output=used . | tail -1'));
    sh('head -c 40M /dev/urandom > large; sync large');
    const before = used();
    sh('for i in 1 2 3 4 5; do cp large copy$i; sync copy$i; done; cmp large copy3');
    expect(used() - before).toBeLessThan(4000);
    sh(
      'echo changed | dd of=copy1 conv=notrunc status=none; ! cmp -s large copy1; cmp large copy2',
    );
    sh('rm large copy?');
  });

  it('what is open outlives its name, and a folder that is somebody’s', () => {
    expect(
      sh(`exec 5<>gone; echo data >&5; rm gone; exec 6</proc/self/fd/5; cat <&6
        stat -Lc '%h %s' /proc/self/fd/5; exec 5>&- 6>&-
        mkdir here; cd here; rmdir ../here; ls -la | wc -l; ! touch x 2>/dev/null; stat -c %h .
        cd ..; ls -d here 2>/dev/null || true`),
    ).toBe('data\n0 5\n1\n0');
  });

  it('locks hold between processes, and who waits for one gets it', () => {
    expect(mounted.python(LOCKS)).toBe(LOCKED);
  });

  it('a folder is listed right while names come and go', () => {
    expect(
      mounted.python(`
import os
os.mkdir('many'); stay = {f'stay{i}' for i in range(3000)}
for name in stay: open(f'many/{name}', 'w').close()
seen = []
with os.scandir('many') as entries:
    for i, entry in enumerate(entries):
        seen.append(entry.name)
        open(f'many/new{i}', 'w').close()
        if i % 2: os.unlink(f'many/new{i - 1}')
        assert entry.name not in stay or entry.is_file()
print(len(seen) == len(set(seen)), stay <= set(seen))
for name in os.listdir('many'): os.unlink(f'many/{name}')
print(os.listdir('many')); os.rmdir('many')
`),
    ).toBe('True True\n[]');
  });

  it('who may do what is what the kernel says', () => {
    expect(
      sh(`as() { setpriv --reuid $1 --regid $2 --clear-groups bash -c "$3" 2>&1 || true; }
        umask 022; mkdir -m 700 closed; echo secret > closed/file; mkdir -m 1777 shared
        mkdir -m 2775 group; chown 1000:1000 group; chmod 2775 group
        as 1000 1000 'cat closed/file' | grep -o denied
        as 1000 1000 'echo mine > shared/mine; id -u'
        as 1001 1001 'rm -f shared/mine' | grep -o permitted; as 1001 1000 'echo x > group/x'
        stat -c '%u %g' group/x; as 1000 1000 'chmod 4755 shared/mine'; stat -c %a shared/mine
        as 1000 1000 'echo more >> shared/mine'; stat -c %a shared/mine
        as 1000 1000 'mknod shared/dev c 1 3' | grep -o permitted; rm -r closed shared group`),
    ).toBe('denied\n1000\npermitted\n1001 1000\n4755\n755\npermitted');
  });
});

describeMounts('a mount that keeps locks by itself', () => {
  it('has them hold between processes, and lets go of who is interrupted or has closed', () => {
    using locking = Mounted.start('-o', 'locks');
    expect(locking.python(LOCKS)).toBe(LOCKED);
    const interrupted = locking.python(`
import fcntl, os, signal
fd = os.open('lock', os.O_RDWR | os.O_CREAT); fcntl.lockf(fd, fcntl.LOCK_EX)
if os.fork() == 0:
    def alarm(*_): raise TimeoutError
    signal.signal(signal.SIGALRM, alarm)
    other = os.open('lock', os.O_RDWR); signal.setitimer(signal.ITIMER_REAL, 0.2)
    try: fcntl.lockf(other, fcntl.LOCK_EX); print('wrong')
    except TimeoutError: print('interrupted', flush=True)
    os._exit(0)
os.wait(); os.close(fd)
fd = os.open('lock', os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')
`);
    expect(interrupted).toBe('interrupted\nfree');
    locking.umount();
  });
});
