"""System calls drawn from a seed, in the folder that is named, one line of outcome for each.

What is drawn does not depend on what comes out, so two filesystems that agree print the same. With
"times" the calls are slow enough for a clock of four milliseconds, and the lines say which times of
the inode and of its folder have changed.
"""

import ctypes
import errno
import os
import random
import stat
import struct
import sys
import time

folder, seed, count, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "times" in sys.argv
draw = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p] * 2 + [ctypes.c_uint]
libc.linkat.argtypes = libc.renameat2.argtypes[:4] + [ctypes.c_int]
AT_SYMLINK_FOLLOW = 0x400
os.chdir(folder)
os.umask(0)

FOLDERS = [".", ".", ".", "d1", "d1", "d2", "d1/d3"]
NAMES = ["a", "b", "c", "d", "d1", "d2", "d3", "x" * 255, "x" * 256, "\u00e9", "a b"]
USERS = [(0, 0), (0, 0), (0, 0), (1000, 1000), (1001, 1000)]
SIZES = [0, 1, 100, 4095, 4096, 4097, 10000, 70000]
files = {}


def path():
    name = draw.choice(NAMES)
    end = "/" if draw.random() < 0.03 else ""
    return os.path.join(draw.choice(FOLDERS), name) + end


def refused():
    return OSError(ctypes.get_errno(), "")


def opened():
    """An open file, by a number that does not depend on the host; none is closed for long."""
    return files.get(draw.randrange(6), -1)


def do_open():
    name, slot = path(), draw.randrange(6)
    access = draw.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR])
    for flag in (os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECTORY, os.O_NOFOLLOW):
        if draw.random() < (0.5 if flag == os.O_CREAT else 0.12):
            access |= flag
    mode = draw.choice([0o644, 0o600, 0o4755, 0o2775, 0o444, 0o000])
    fd = os.open(name, access | os.O_NONBLOCK, mode)
    if slot in files:
        os.close(files[slot])
    files[slot] = fd


def do_close():
    slot = draw.randrange(6)
    if slot in files:
        os.close(files.pop(slot))


def do_write():
    fd, offset, size = opened(), draw.choice(SIZES), draw.choice(SIZES)
    data = bytes([draw.randrange(1, 255)]) * size
    return os.pwrite(fd, data, offset) if draw.random() < 0.7 else os.write(fd, data)


def do_read():
    fd, offset, size = opened(), draw.choice(SIZES), draw.choice(SIZES)
    data = os.pread(fd, size, offset)
    return len(data), hash_of(data)


def hash_of(data):
    value = 0
    for i in range(0, len(data), 97):
        value = (value * 31 + data[i] + 1) % 1000003
    return value


def do_fallocate():
    fd, mode = opened(), draw.choice([0, 1, 3, 0x10, 0x11, 2, 0x80])
    if libc.fallocate64(fd, mode, draw.choice(SIZES), draw.choice(SIZES)) != 0:
        raise refused()


def do_seek():
    """Of a folder no two filesystems agree."""
    fd, offset, whence = opened(), draw.choice(SIZES), draw.choice([os.SEEK_SET, os.SEEK_END])
    return None if stat.S_ISDIR(os.fstat(fd).st_mode) else os.lseek(fd, offset, whence)


def do_copy():
    source, target = opened(), opened()
    size, start, end = draw.choice(SIZES), draw.choice(SIZES), draw.choice(SIZES)
    return os.copy_file_range(source, target, size, start, end)


def somewhere():
    """Mostly a name that is there: two filesystems that agree have the same."""
    return draw.choice(sorted(everything())) if draw.random() < 0.7 else path().encode()


def do_rename2():
    old, new = somewhere(), somewhere()
    if libc.renameat2(-100, old, -100, new, draw.choice([0, 1, 2, 2, 2, 4, 5, 6, 8])) != 0:
        raise refused()


def do_tmpfile():
    folder, slot = draw.choice(FOLDERS), draw.randrange(6)
    access = draw.choice([os.O_WRONLY, os.O_RDWR, os.O_RDWR, os.O_RDONLY])
    exclusive = os.O_EXCL if draw.random() < 0.1 else 0
    fd = os.open(folder, os.O_TMPFILE | access | exclusive, draw.choice([0o644, 0o4755, 0o000]))
    if slot in files:
        os.close(files[slot])
    files[slot] = fd
    return shown(os.fstat(fd))


def do_linkfd():
    """An open file gets a name: its first, perhaps."""
    source = f"/proc/self/fd/{opened()}".encode()
    if libc.linkat(-100, source, -100, path().encode(), AT_SYMLINK_FOLLOW) != 0:
        raise refused()


def do_setxattr():
    name = draw.choice(["user.a", "user.b", "trusted.c", "user.", "nothing", "security.x"])
    flags = draw.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
    value = b"v" * draw.choice([0, 1, 50, 300])
    os.setxattr(path(), name, value, flags, follow_symlinks=draw.random() < 0.5)


def do_fsetxattr():
    """Of an open file, which may have no name any more, and may be a folder."""
    fd, name = opened(), draw.choice(["user.a", "user.b", "trusted.c", "user."])
    os.setxattr(fd, name, b"v" * draw.choice([0, 1, 50, 300]))


def do_getxattr():
    name = draw.choice(["user.a", "user.b", "trusted.c", "security.x", "user.", "nothing"])
    return len(os.getxattr(path(), name, follow_symlinks=draw.random() < 0.5))


def do_mknod():
    kind = draw.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK])
    os.mknod(path(), kind | draw.choice([0o644, 0o600]), os.makedev(draw.randrange(300), 70000))


def do_utime():
    when = draw.choice([(0, 0), (10**9, 1), (-5 * 10**9, 10**18), (1500, 2 * 10**18)])
    os.utime(path(), ns=when, follow_symlinks=draw.random() < 0.5)


def do_chown():
    """With -1 for both the kernel asks before a write in the same words: see MOUNT.md."""
    name, uid, gid = path(), draw.choice([-1, 0, 1000]), draw.choice([-1, 0, 1000])
    os.lchown(name, uid, 0 if (uid, gid) == (-1, -1) and os.geteuid() != 0 else gid)


CALLS = {
    "open": (do_open, 12),
    "close": (do_close, 3),
    "write": (do_write, 8),
    "read": (do_read, 6),
    "fallocate": (do_fallocate, 3),
    "seek": (do_seek, 2),
    "copy": (do_copy, 3),
    "ftruncate": (lambda: os.ftruncate(opened(), draw.choice(SIZES)), 3),
    "truncate": (lambda: os.truncate(path(), draw.choice(SIZES)), 3),
    "fsync": (lambda: os.fsync(opened()), 1),
    "mkdir": (lambda: os.mkdir(path(), draw.choice([0o755, 0o777, 0o2777, 0o1777])), 5),
    "rmdir": (lambda: os.rmdir(path()), 3),
    "unlink": (lambda: os.unlink(path()), 5),
    "rename": (lambda: os.rename(path(), path()), 7),
    "rename2": (do_rename2, 6),
    "link": (lambda: os.link(path(), path(), follow_symlinks=draw.random() < 0.5), 5),
    "tmpfile": (do_tmpfile, 4),
    "linkfd": (do_linkfd, 5),
    "symlink": (lambda: os.symlink(draw.choice(NAMES), path()), 4),
    "readlink": (lambda: os.readlink(path()), 2),
    "mknod": (do_mknod, 3),
    "chmod": (lambda: os.chmod(path(), draw.choice([0o644, 0o755, 0o6755, 0o2644, 0o000])), 4),
    "chown": (do_chown, 4),
    "fchmod": (lambda: os.fchmod(opened(), draw.choice([0o644, 0o755, 0o6755, 0o700])), 2),
    "utime": (do_utime, 3),
    "futime": (lambda: os.utime(opened(), ns=(10**9, draw.choice([1, 10**18]))), 2),
    "access": (lambda: os.access(path(), draw.randrange(8), effective_ids=True), 2),
    "listdir": (lambda: sorted(os.listdir(path())), 3),
    "setxattr": (do_setxattr, 4),
    "fsetxattr": (do_fsetxattr, 2),
    "getxattr": (do_getxattr, 2),
    "flistxattr": (lambda: sorted(os.listxattr(opened())), 2),
    "listxattr": (lambda: sorted(os.listxattr(path(), follow_symlinks=False)), 2),
    "removexattr": (lambda: os.removexattr(path(), draw.choice(["user.a", "user.b"])), 2),
    "fstat": (lambda: shown(os.fstat(opened())), 3),
}


def shown(found):
    size = found.st_size if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode) else "-"
    owner = f"{found.st_uid}:{found.st_gid}"
    return f"{found.st_mode:o} {found.st_nlink} {owner} {size} {found.st_rdev:x}"


def everything():
    """All names with what is known of them."""
    lines = {}
    for top, folders, names in os.walk(b"."):
        for name in [b"."] + folders + names:
            full = os.path.normpath(os.path.join(top, name))
            lines[full] = os.lstat(full)
    return lines


def stamps(found):
    return {name: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for name, s in found.items()}


def changed(before, after):
    """Names of inodes that stayed, and which of their times did not."""
    changes = []
    for name, (ino, mtime, ctime) in after.items():
        if name in before and before[name][0] == ino:
            marks = "m" * (before[name][1] != mtime) + "c" * (before[name][2] != ctime)
            if marks:
                changes.append(f"{name.decode('utf8', 'replace')[:9]}:{marks}")
    return " ".join(sorted(changes))


def do_setacl():
    """An access control list, seldom one that is none."""
    name, kind = path(), draw.choice(["access", "access", "default"])
    perm = lambda: draw.randrange(8)
    entries = [(1, perm(), -1)]
    extra = draw.random() < 0.7
    if extra:
        entries += [(2, perm(), user) for user in (1000, 1001) if draw.random() < 0.6]
    entries += [(4, perm(), -1)]
    if extra and draw.random() < 0.5:
        entries += [(8, perm(), 1000)]
    if extra and draw.random() < 0.97:
        entries += [(16, perm(), -1)]
    entries += [(32, perm(), -1)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(name, "system.posix_acl_" + kind, value)


def do_getacl():
    value = os.getxattr(path(), "system.posix_acl_" + draw.choice(["access", "default"]))
    return [struct.unpack_from("<HHi", value, at) for at in range(4, len(value), 8)]


def do_removeacl():
    os.removexattr(path(), "system.posix_acl_" + draw.choice(["access", "default"]))


if "acl" in sys.argv:
    CALLS["setacl"] = (do_setacl, 12)
    CALLS["getacl"] = (do_getacl, 12)
    CALLS["removeacl"] = (do_removeacl, 1)
    CALLS["umask"] = (lambda: os.umask(draw.choice([0, 0o022, 0o077, 0o007])), 3)

names = list(CALLS)
weights = [CALLS[name][1] for name in names]
for i in range(count):
    name = draw.choices(names, weights)[0]
    state = draw.getstate()
    uid, gid = draw.choice(USERS) if name not in ("access",) else (0, 0)
    before = stamps(everything()) if times else None
    if times:
        time.sleep(0.009)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        outcome = CALLS[name][0]()
    except OSError as error:
        outcome = errno.errorcode.get(error.errno, error.errno)
    except ValueError as error:
        outcome = "ValueError"
    os.seteuid(0)
    os.setegid(0)
    # However much was drawn before it failed.
    draw.setstate(state)
    for _ in range(12):
        draw.random()
    after = everything()
    line = f"{i} {name} {uid} {outcome}"
    if times:
        line += f" [{changed(before, stamps(after))}]"
    print(line)
    if i % 25 == 24:
        for full, found in sorted(after.items()):
            print("  ", full.decode("utf8", "replace")[:12], shown(found))
