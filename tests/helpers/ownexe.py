#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Inside of a sandbox, as its root: get hold of the program file of whoever
places processes in it, and try to change that: ownexe.py DEV INODE REPORT. A
program that says "#!/proc/self/exe" is executed meanwhile.
"""
import os
import sys
import time

dev, inode, report = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
until = time.monotonic() + 60
fd = -1
print("on", flush=True)
while fd < 0 and time.monotonic() < until:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
        except OSError:
            continue
        st = os.fstat(fd)
        if (st.st_dev, st.st_ino) == (dev, inode):
            break
        os.close(fd)
        fd = -1

done = []


def attempt(what, fn, *args):
    try:
        fn(*args)
        done.append(what)
    except OSError:
        pass


if fd >= 0:
    own = f"/proc/self/fd/{fd}"
    attempt("chmod", os.fchmod, fd, 0o4755)
    attempt("utime", os.utime, fd)
    attempt("chown", os.fchown, fd, 0, 0)
    attempt("setxattr", os.setxattr, fd, b"user.x", b"y")
    attempt("write", os.open, own, os.O_WRONLY)
    attempt("truncate", os.truncate, own, 0)
with open(report, "w") as f:
    f.write("got it: " + " ".join(done) if fd >= 0 else "never got it")
