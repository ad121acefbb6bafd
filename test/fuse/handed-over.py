"""
A caller that mounts by himself: opens /dev/fuse, mounts, and hands the descriptor over.

  handed-over.py <directory> <image> <command...>   with FD in the command for the descriptor
"""

import ctypes
import os
import sys

MS_NODEV, MS_NOSUID = 4, 2

directory, image, *command = sys.argv[1:]
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
kind = b"fuse.ramet"
if libc.mount(image.encode(), directory.encode(), kind, MS_NODEV | MS_NOSUID, data.encode()):
    raise OSError(ctypes.get_errno(), "mount")
os.set_inheritable(fd, True)
os.execvp(command[0], [word.replace("FD", str(fd)) for word in command])
