/** What statx(2) says on a mount, beside the same on ext4. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeMounts, isBesideExt4, Mounted } from './mounted.ts';

const PROGRAM = `
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def statx(name, mask=0x1fff, flags=0):
    buf = ctypes.create_string_buffer(256)
    if libc.statx(-100, name.encode(), flags, mask, buf):
        raise OSError(ctypes.get_errno(), name)
    found, blksize, attributes, nlink, uid, gid, mode = struct.unpack_from("<IIQIIIH", buf, 0)
    known, = struct.unpack_from("<Q", buf, 0x38)
    times = [struct.unpack_from("<qI", buf, at) for at in (0x40, 0x50, 0x60, 0x70)]
    return found, attributes, known, times, mode
`;
const [IMMUTABLE, APPEND, NODUMP] = [0x10, 0x20, 0x40];

describeMounts('statx(2)', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  it('tells when a file was made, whatever else happens to it', () => {
    using mounted = Mounted.start();
    const script = `${PROGRAM}
before = time.clock_gettime_ns(time.CLOCK_REALTIME)
open("f", "w").close()
after = time.clock_gettime_ns(time.CLOCK_REALTIME)
made = statx("f")[3][1]
os.utime("f", (5, 5)); os.chmod("f", 0o600); open("f", "a").write("x"); os.rename("f", "g")
os.link("g", "h")
same = statx("h")[3][1]
fresh = statx("h", flags=0x2000)[3][1]
ns = made[0] * 10**9 + made[1]
slack = 10**8
near = before - slack <= ns <= after + slack
print(near, same == made, fresh == made, hex(statx("g")[0] & 0xfff))
print(made)
`;
    const [told, made] = mounted.sh(`python3 - <<'END'\n${script}\nEND`).split('\n');
    expect(told).toBe('True True True 0xfff');
    mounted.umount();
    mounted.mount();
    expect(mounted.python(`${PROGRAM}\nprint(statx("g")[3][1])`)).toBe(made);
  });

  it('says of attributes what is so, or that it does not know', () => {
    using mounted = Mounted.start();
    if (!isBesideExt4(mounted)) return;
    const script = `${PROGRAM}
import subprocess
for flag in "iad":
    open("f" + flag, "w").close()
    subprocess.run(["chattr", "+" + flag, "f" + flag], check=True)
    print(statx("f" + flag)[1:3])
    subprocess.run(["chattr", "-" + flag, "f" + flag], check=True)
`;
    const read = (text: string): number[][] =>
      [...text.matchAll(/\((\d+), (\d+)\)/gu)].map(([, ...pair]) => pair.map(Number));
    const ours = read(mounted.python(script));
    const theirs = read(mounted.sh(`python3 - <<'END'\n${script}\nEND`, mounted.folder));
    const asked = IMMUTABLE | APPEND | NODUMP;
    expect(theirs.map(([set = 0, known = 0]) => set & known & asked)).toEqual([
      IMMUTABLE,
      APPEND,
      NODUMP,
    ]);
    for (const [i, [set = 0, known = 0]] of ours.entries()) {
      expect(set & known & asked).toBe((theirs[i]?.[0] ?? 0) & known & asked);
    }
  });
});
