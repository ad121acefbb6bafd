/** The same requests of ioctl(2) from a program, on a mount of the real kernel. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

/** Numbers and structures as docs/MOUNT.md has them. */
const PRELUDE = `
import errno, fcntl, os, struct
SHUTDOWN, SHUTDOWN_IN = 0x8004587d, 0x4004587d
CLONE, SPACE = 0x42085241, 0x80205242
def clone(directory, source, name):
    fd = os.open(directory, os.O_RDONLY)
    fcntl.ioctl(fd, CLONE, struct.pack("<II256s256s", 0, 0, source, name))
    os.close(fd)
def space(path):
    fd = os.open(path, os.O_RDONLY)
    answer = struct.unpack("<QQQQ", fcntl.ioctl(fd, SPACE, bytes(32)))
    os.close(fd)
    return answer[:3]
def shutdown(number, flags):
    fd = os.open(".", os.O_RDONLY)
    fcntl.ioctl(fd, number, struct.pack("<I", flags))
def write(name, text, sync=False):
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.write(fd, text)
    if sync: os.fsync(fd)
    return fd
def why(call, *args):
    try:
        call(*args)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
`;

const SHUT_DOWN = `
fd = write("synced", b"1" * 9000, True)
os.mkdir("d")
write("d/later", b"2" * 9000)
shutdown(NUMBER, FLAGS)
print(why(os.pread, fd, 100, 0), why(os.write, fd, b"3"), why(os.fsync, fd), why(os.listdir, "."))
print(why(os.stat, "synced"), why(os.mkdir, "e"), why(open, "d/later"), why(os.statvfs, "d"))
`;

describeMounts('ioctl', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  /** What is there after a mount was shut down, and mounted again. */
  function leftBy(number: string, flags: number, ...options: string[]): string {
    return leftByProgram(SHUT_DOWN, number, flags, options);
  }

  function leftByProgram(
    program: string,
    number: string,
    flags: number,
    options: string[],
  ): string {
    using mounted = Mounted.start(...options);
    const script = program.replace('NUMBER', number).replace('FLAGS', String(flags));
    expect(mounted.python(PRELUDE + script)).toBe('EIO EIO EIO EIO\nEIO EIO EIO EIO');
    mounted.umount();
    expect(mounted.check()).not.toContain('damage');
    mounted.mount();
    return mounted.sh('stat -c "%n %s" synced d/later 2> /dev/null || true');
  }

  const whole = /^synced 9000\nd\/later 9000$/u;
  // Data is on its way to become durable by itself; names are for certain.
  const named = /^synced 9000\nd\/later \d+$/u;

  it.each([
    ['SHUTDOWN', 0, whole, []],
    ['SHUTDOWN_IN', 0, whole, []],
    ['SHUTDOWN', 1, named, []],
    ['SHUTDOWN', 1, named, ['-o', 'writeback']],
  ])('%s with flag %i keeps what was durable, and makes more so', (number, flag, kept, options) => {
    expect(leftBy(number, flag, ...options)).toMatch(kept);
  });

  it.each(['SHUTDOWN', 'SHUTDOWN_IN'])(
    '%s without a flush keeps nothing that came later',
    (number) => {
      // Whoever is interrupted for half a second finds that it has become durable.
      const tries = [0, 1, 2].map(() => () => leftBy(number, 2));
      expect(tries.some((attempt) => attempt() === 'synced 9000')).toBe(true);
    },
  );

  it('FS_IOC_SHUTDOWN of who has several threads keeps everything', () => {
    const thread = 'import threading\nwait = threading.Event()\n';
    const start = 'threading.Thread(target=wait.wait).start()\n';
    const program = `${thread}${start}${SHUT_DOWN}wait.set()`;
    expect(leftByProgram(program, 'SHUTDOWN', 2, [])).toMatch(whole);
  });

  it('clones beside, and measures; programs see it at once', () => {
    using mounted = Mounted.start('-o', 'noatime');
    const script = `
os.mkdir("a")
write("a/f", b"x" * 4096 * 100)
alone = space("a")
print(alone[1] >= 409600, alone[2])
print(why(os.stat, "b"), len(os.listdir(".")), os.stat(".").st_nlink)
clone(".", b"a", b"b")
print(open("b/f", "rb").read() == b"x" * 409600, sorted(os.listdir(".")), os.stat(".").st_nlink)
print(space("a")[1:] == (0, alone[0]), why(clone, ".", b"a", b"b"), why(clone, "a", b"g", b"h"))
open("b/f", "r+b").write(b"y")
print(open("a/f", "rb").read(1), open("b/f", "rb").read(1), 0 < space("b")[1] < 100000)
os.seteuid(1000)
print(why(clone, ".", b"a", b"c"), why(space, "a"), why(shutdown, SHUTDOWN, 2))
`;
    expect(mounted.python(PRELUDE + script).split('\n')).toEqual([
      'True 0',
      'ENOENT 1 3',
      "True ['a', 'b'] 4",
      'True EEXIST ENOENT',
      "b'x' b'y' True",
      'EACCES EACCES EPERM',
    ]);
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('never brings FICLONE, FICLONERANGE and FIEMAP', () => {
    using mounted = Mounted.start();
    const script = `
fd, to = write("a", b"x" * 8192), write("b", b"")
print(why(fcntl.ioctl, to, 0x40049409, fd))
print(why(fcntl.ioctl, to, 0x4020940d, struct.pack("<qQQQ", fd, 0, 0, 0)))
print(why(fcntl.ioctl, fd, 0xc020660b, bytearray(32 + 56)))
`;
    expect(mounted.python(PRELUDE + script)).toBe('ENOTSUP\nENOTSUP\nENOTSUP');
  });
});
