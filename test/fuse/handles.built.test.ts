/**
 * Handles of inodes, as NFS servers have them: name_to_handle_at(2) and open_by_handle_at(2). One
 * leads to its inode, or nowhere (ESTALE), and never to another one. And poll(2).
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeMounts, Mounted } from './mounted.ts';

const PRELUDE = `
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
def handle_of(path):
    handle, mount = Handle(128, 0), ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), path)
    return [handle.kind, list(handle.data[:handle.size])]
def read_by(saved, flags=os.O_RDONLY):
    handle = Handle(len(saved[1]), saved[0])
    handle.data[: len(saved[1])] = saved[1]
    top = os.open(".", os.O_RDONLY)
    fd = libc.open_by_handle_at(top, ctypes.byref(handle), flags)
    os.close(top)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    try:
        return sorted(os.listdir(fd)) if flags else os.read(fd, 100).decode()
    finally:
        os.close(fd)
`;

/** Has the kernel forget what nobody uses. */
function forget(): void {
  writeFileSync('/proc/sys/vm/drop_caches', '2');
}

describeMounts('handles of inodes', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  it('lead to their inodes while the server serves, wherever these are, or nowhere', () => {
    using mounted = Mounted.start();
    const save = `
os.makedirs("d/e")
for name in "abc": open("d/" + name, "w").write(name)
json.dump({name: handle_of(name) for name in ["d/a", "d/b", "d/c", "d", "d/e"]}, open("all", "w"))
os.rename("d/a", "a"); os.rename("d/e", "e"); open("e/f", "w").close(); os.unlink("d/b")
`;
    mounted.python(PRELUDE + save);
    forget();
    const read = `
for i in range(500): open(f"e/{i}", "w").write("another")
for i in range(500): os.unlink(f"e/{i}")
saved = json.load(open("all"))
print([read_by(saved["d/" + name]) for name in "abc"])
print(read_by(saved["d"], os.O_DIRECTORY), read_by(saved["d/e"], os.O_DIRECTORY))
`;
    expect(mounted.python(PRELUDE + read).split('\n')).toEqual([
      "['a', 'ESTALE', 'c']",
      "['c'] ['f']",
    ]);
    mounted.umount();
    expect(mounted.check()).toContain('clean');
  });

  it('lead nowhere once another server serves, whichever inodes have their numbers', () => {
    using mounted = Mounted.start();
    const save = `
for i in range(40): open(f"f{i}", "w").write(str(i))
json.dump([handle_of(f"f{i}") for i in range(40)], open("all", "w"))
`;
    mounted.python(PRELUDE + save);
    mounted.umount();
    mounted.mount();
    const read = `
saved = json.load(open("all"))
for i in reversed(range(40)): open(f"f{i}").close()
new = [handle_of(f"f{i}") for i in range(40)]
numbers = {tuple(data[:8]) for kind, data in new}
print(len([1 for kind, data in saved if tuple(data[:8]) in numbers]) > 20)
print({read_by(handle) for handle in saved}, [read_by(handle) for handle in new[:3]])
`;
    expect(mounted.python(PRELUDE + read).split('\n')).toEqual([
      'True',
      "{'ESTALE'} ['0', '1', '2']",
    ]);
  });
});

describeMounts('poll(2)', () => {
  if (spawnSync('python3', ['--version']).error !== undefined) return;

  it('says that files can be read and written, as on any filesystem', () => {
    using mounted = Mounted.start();
    const program = `
import os, select
open("f", "w").write("x")
fd, directory = os.open("f", os.O_RDWR), os.open(".", os.O_RDONLY)
for i in range(3):
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT | select.POLLPRI)
    print(poll.poll(0)[0][1] == select.POLLIN | select.POLLOUT, end=" ")
print([len(part) for part in select.select([fd, directory], [fd], [fd], 0)])
`;
    const answer = 'True True True [2, 1, 0]';
    expect(mounted.python(program)).toBe(answer);
    expect(mounted.sh(`python3 - <<'END'\n${program}\nEND`, mounted.folder)).toBe(answer);
  });
});
