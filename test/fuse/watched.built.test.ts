/** What who watches a mount by inotify(7) is told of commands, and what the kernel cannot tell. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeMounts, MAIN, Mounted } from './mounted.ts';

/** Watches paths in the mount while commands run, and prints what it is told. */
const PRELUDE = `
import ctypes, os, struct, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)
watcher = libc.inotify_init1(os.O_NONBLOCK)
NAMES = {2: "MODIFY", 4: "ATTRIB", 0x40: "FROM", 0x80: "TO", 0x100: "CREATE", 0x200: "DELETE",
         0x400: "DELETE_SELF", 0x800: "MOVE_SELF"}
watched = {}
def watch(*paths):
    for path in paths:
        watched[libc.inotify_add_watch(watcher, path.encode(), sum(NAMES))] = path
def ramet(*words):
    command = ["${process.execPath}", "${MAIN}", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
def told():
    try:
        data = os.read(watcher, 65536)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(data):
        wd, mask, _, length = struct.unpack_from("iIII", data, at)
        found += [watched[wd] + " " + NAMES[bit] for bit in NAMES if mask & bit]
        at += 16 + length
    return sorted(found)
`;

describeMounts('who watches', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  it('is told of inodes that commands have taken', () => {
    using mounted = Mounted.start();
    const { image } = mounted;
    const script = `
os.makedirs("d/sub"); os.mkdir("d/tree"); os.mkdir("d/tree/below")
for name in "abcxy":
    open("d/" + name, "w").write(name)
os.link("d/b", "d/b2")
held = os.open("d/c", os.O_RDONLY)
watch("d/a", "d/b", "d/c", "d/y", "d/sub", "d/tree", "d/tree/below")
ramet("rm", "${image}:/d/a")
print(told())
ramet("rm", "${image}:/d/b")
print(told(), os.stat("d/b2").st_nlink)
ramet("rm", "${image}:/d/c")
print(told(), os.fstat(held).st_nlink, os.pread(held, 9, 0))
os.close(held)
print(told())
ramet("rm", "-r", "${image}:/d/sub")
ramet("rm", "-r", "${image}:/d/tree")
print(told())
ramet("put", "d/x", "${image}:/d/y")
print(sorted(os.listdir("d")), open("d/y").read())
`;
    expect(mounted.python(PRELUDE + script).split('\n')).toEqual([
      "['d/a DELETE_SELF']",
      '[] 1',
      "[] 0 b'c'",
      "['d/c DELETE_SELF']",
      "['d/sub DELETE_SELF', 'd/tree DELETE_SELF', 'd/tree/below DELETE_SELF']",
      "['b2', 'x', 'y'] x",
    ]);
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('is not told of names and data: the kernel has no message for that', () => {
    using mounted = Mounted.start();
    const { image } = mounted;
    const script = `
os.mkdir("d"); open("d/f", "w").write("old"); os.mkdir("src"); open("src/s", "w").write("new")
watch("d", "d/f", "src")
ramet("clone", "${image}:/src", "/d/copy")
ramet("mv", "${image}:/d/copy", "/d/moved")
ramet("mkdir", "${image}:/d/made")
print(told(), sorted(os.listdir("d")))
`;
    const answer = "[] ['f', 'made', 'moved']";
    expect(mounted.python(PRELUDE + script)).toBe(answer);
  });

  it('stands in a directory that has gone, and can make nothing there', () => {
    using mounted = Mounted.start();
    const remove = `${process.execPath} ${MAIN} rm -r ${mounted.image}:/d`;
    const script = `mkdir d; cd d; ${remove} > /dev/null; touch f 2>&1 || true; ls`;
    expect(mounted.sh(script)).toBe("touch: cannot touch 'f': No such file or directory");
  });
});
