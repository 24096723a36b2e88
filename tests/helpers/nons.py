# SPDX-License-Identifier: MIT
"""nons.py limit|filter UID CMD...: execute CMD where no namespace can be made.

limit: in a user namespace whose limit of further ones is 0, as an administrator
sets it. filter: under a seccomp filter as container engines have it, which
knows no clone3 and refuses the flags of clone and unshare. CMD runs as UID, or
as the caller with "-". Status 77: that cannot be had here.
"""
import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
CLONE_NEW_ANY = 0x7e020000
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
# Per machine: AUDIT_ARCH, clone, unshare, clone3.
CALLS = {
    "x86_64": (0xC000003E, 56, 272, 435),
    "aarch64": (0xC00000B7, 220, 97, 435),
}


def die(what):
    print("nons:", what, file=sys.stderr)
    sys.exit(77)


def check(r, what):
    if r != 0:
        die("%s: %s" % (what, os.strerror(ctypes.get_errno())))


def limit():
    uid, gid = os.getuid(), os.getgid()
    maps = ("0 0 4294967295",) * 2 if uid == 0 else (
        "%d %d 1" % (uid, uid), "%d %d 1" % (gid, gid))
    ready, told = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        # Whoever stayed outside may map more than one id.
        os.read(ready, 1)
        try:
            if uid != 0:
                open("/proc/%d/setgroups" % parent, "w").write("deny")
            open("/proc/%d/uid_map" % parent, "w").write(maps[0])
            open("/proc/%d/gid_map" % parent, "w").write(maps[1])
        except OSError as e:
            die(e)
        os._exit(0)
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    os.write(told, b"x")
    if os.waitpid(pid, 0)[1] != 0:
        die("id maps")
    for fd in (ready, told):
        os.close(fd)
    try:
        open("/proc/sys/user/max_user_namespaces", "w").write("0")
    except OSError as e:
        die(e)


def ins(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)


def no_flags():
    if os.uname().machine not in CALLS:
        die("no filter for this machine")
    arch, clone, unshare, clone3 = CALLS[os.uname().machine]
    ld, jeq, jset, ret = 0x20, 0x15, 0x45, 0x06
    allow, eperm, enosys = 0x7FFF0000, 0x50001, 0x50026
    prog = b"".join((
        ins(ld, 0, 0, 4),
        ins(jeq, 0, 6, arch),
        ins(ld, 0, 0, 0),
        ins(jeq, 6, 0, clone3),
        ins(jeq, 1, 0, clone),
        ins(jeq, 0, 2, unshare),
        ins(ld, 0, 0, 16),
        ins(jset, 1, 0, CLONE_NEW_ANY),
        ins(ret, 0, 0, allow),
        ins(ret, 0, 0, eperm),
        ins(ret, 0, 0, enosys),
    ))
    code = ctypes.create_string_buffer(prog, len(prog))
    fprog = struct.pack("HxxxxxxP", len(prog) // 8, ctypes.addressof(code))
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    check(libc.prctl(PR_SET_SECCOMP, 2, fprog, 0, 0), "seccomp")


def become(uid):
    if uid != "-" and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(int(uid), int(uid), int(uid))
        os.setresuid(int(uid), int(uid), int(uid))


def main():
    mode, uid = sys.argv[1:3]
    if mode == "limit":
        limit()
        become(uid)
    else:
        become(uid)
        no_flags()
    os.execvp(sys.argv[3], sys.argv[3:])


main()
