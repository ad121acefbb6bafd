"""Calls of the kernel that Node does not have. One JSON array a line: a name and arguments.

The answer is a line too: ["ok", value] or ["EINVAL"]. Files are in the folder that is open as
descriptor 3. They are opened for each call, so that nothing is kept here.
"""

import ctypes
import errno
import fcntl
import json
import os
import struct
import sys

FICLONE = 0x40049409
FICLONERANGE = 0x4020940D
FIDEDUPERANGE = 0xC0189436
SYNC_FILE_RANGE_ALL = 7
FOLDER = 3
DEDUPE = struct.Struct("QQHHIqQQiI")

libc = ctypes.CDLL(None, use_errno=True)
for call, arguments in (("fallocate64", "iiqq"), ("sync_file_range", "iqqI")):
    kinds = {"i": ctypes.c_int, "q": ctypes.c_int64, "I": ctypes.c_uint}
    getattr(libc, call).argtypes = [kinds[a] for a in arguments]


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused")


def opened(*names):
    """Runs a call with open files instead of their names."""

    def decorate(call):
        def run(*arguments):
            fds = []
            try:
                for name in arguments[: len(names)]:
                    fds.append(os.open(name, os.O_RDWR))
                return call(*fds, *arguments[len(names) :])
            finally:
                for fd in fds:
                    os.close(fd)

        return run

    return decorate


@opened("file")
def fallocate(fd, mode, offset, length):
    check(libc.fallocate64(fd, mode, offset, length))


@opened("source", "target")
def clone(source, target, source_offset, offset, length):
    fcntl.ioctl(target, FICLONERANGE, struct.pack("qQQQ", source, source_offset, length, offset))


@opened("source")
def clone_file(source, name):
    os.unlink(name)
    target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        fcntl.ioctl(target, FICLONE, source)
    finally:
        os.close(target)


@opened("source", "target")
def dedupe(source, target, source_offset, offset, length):
    """The number of bytes, or -1 if they differ."""
    request = bytearray(DEDUPE.pack(source_offset, length, 1, 0, 0, target, offset, 0, 0, 0))
    fcntl.ioctl(source, FIDEDUPERANGE, request)
    done, status = DEDUPE.unpack(request)[7:9]
    if status < 0:
        raise OSError(-status, "refused")
    return done if status == 0 else -1


@opened("source", "target")
def copy(source, target, source_offset, offset, length):
    """Asks again for what is left, but not for what the source got by this very copy."""
    size = os.fstat(source).st_size
    done = 0
    while True:
        at = source_offset + done
        count = os.copy_file_range(source, target, length - done, at, offset + done)
        done += count
        if count == 0 or done == length or source_offset + done >= size:
            return done


def settle(fd):
    """Leaves nothing in memory: a clean zero there would be taken for data."""
    check(libc.sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_ALL))
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


@opened("file")
def seek(fd, offset, what):
    settle(fd)
    return os.lseek(fd, offset, os.SEEK_DATA if what == "data" else os.SEEK_HOLE)


@opened("file")
def runs(fd):
    """Where data begins and ends, by turns."""
    settle(fd)
    size = os.fstat(fd).st_size
    found = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found += [start, at]
    return found


CALLS = {
    "fallocate": fallocate,
    "clone": clone,
    "clone-file": clone_file,
    "dedupe": dedupe,
    "copy": copy,
    "seek": seek,
    "runs": runs,
}

os.fchdir(FOLDER)
for line in sys.stdin:
    name, *rest = json.loads(line)
    try:
        answer = ["ok", CALLS[name](*rest)]
    except OSError as error:
        answer = [errno.errorcode[error.errno]]
    print(json.dumps(answer), flush=True)
