#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""term.py CASE DAVIT DIR: davit on a terminal, driven from its other side."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

DAVIT, DIR = sys.argv[2:4]
# What takes longer than this hangs, also on a machine that is slow and busy.
PATIENCE = 60
# No command writes this.
MARK = b"\0the end\0"


class Terminal:
    """A command on a new terminal, which is its controlling one."""

    def __init__(self, *argv, rows=31, cols=97, redirect=None):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        # No echo of ours on the outer side: what comes is the command's.
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(self.slave, fd)
            for fd, path in (redirect or {}).items():
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), fd)
            os.closerange(3, 64)
            # Whoever runs the tests in the background ignores these.
            for name in ("INT", "QUIT", "HUP", "TERM"):
                signal.signal(getattr(signal, "SIG" + name), signal.SIG_DFL)
            os.execv(argv[0], argv)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def write(self, data):
        while data:
            self.pump(0)
            _, ready, _ = select.select([], [self.master], [], 0.01)
            if ready:
                data = data[os.write(self.master, data[:1024]):]

    def pump(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                pass

    def expect(self, pattern, seconds=PATIENCE):
        """Waits for it; returns the match and forgets all up to its end."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern.encode(), self.seen)):
            if time.monotonic() > end:
                sys.exit(f"no {pattern!r} in {self.seen!r}")
            self.pump(0.05)
        self.seen = self.seen[match.end():]
        return match

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait_raw(self):
        end = time.monotonic() + PATIENCE
        while not self.raw():
            assert time.monotonic() < end, "never raw"
            self.pump(0.01)

    def wait(self, seconds=PATIENCE):
        """The exit status, as a shell would say; the terminal is whole."""
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                sys.exit(f"does not end; {self.seen!r}")
            self.pump(0.02)
        self.drain(end)
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def drain(self, end):
        """What was written comes through the kernel later: ours is the last."""
        os.write(self.slave, MARK)
        while not self.seen.endswith(MARK):
            assert time.monotonic() < end, f"no end of {self.seen!r}"
            self.pump(0.05)
        self.seen = self.seen[:-len(MARK)]

    def restored(self):
        assert termios.tcgetattr(self.slave) == self.before, "left raw"


def davit(*argv, **options):
    return Terminal(DAVIT, "run", "-q", *argv, **options)


def equal(got, want):
    if got != want:
        sys.exit(f"{got!r} instead of {want!r}")


def is_terminal():
    t = davit("--", "sh", "-c",
              "for i in 0 1 2; do test -t $i && echo yes $i; done; tty; "
              "stty size; ps -o tty= -p $$; exit 5")
    t.expect("yes 0\r\nyes 1\r\nyes 2\r\n/dev/pts/0\r\n31 97\r\npts/0")
    equal(t.wait(), 5)
    t.restored()


def not_the_callers():
    """The terminal inside is another one, and input cannot be pushed out."""
    t = davit("--", "sh", "-c", "stat -c %t:%T:%i:%d $(tty); echo done")
    inside = t.expect("([0-9:a-f]+)\r\ndone").group(1).decode()
    st = os.fstat(t.slave)
    assert not inside.endswith(f":{st.st_dev}"), inside
    equal(t.wait(), 0)


# bash may forget a WINCH that comes while its trap runs; this does not.
SIZES = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("ready", flush=True)
while True:
    signal.sigwait([signal.SIGWINCH])
    size = os.get_terminal_size(0)
    print("size", size.lines, size.columns, flush=True)
"""


def size_changes():
    t = davit("--", "/usr/bin/python3", "-c", SIZES)
    t.expect("ready")
    for i in range(20):
        t.resize(50 + i, 123)
        t.expect(f"size {50 + i} 123\r\n")
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    t.restored()


def restored_after(status, *argv):
    t = davit(*argv)
    equal(t.wait(), status)
    t.restored()


def restored():
    restored_after(0, "--", "true")
    restored_after(3, "--", "sh", "-c", "stty raw -echo; exit 3")
    restored_after(137, "--", "sh", "-c", "kill -9 $$")
    restored_after(124, "--timeout", "200ms", "--", "sleep", "1000")
    restored_after(127, "--", "no-such-command")
    restored_after(126, "--", "/etc/passwd")
    restored_after(125, "-v", "/none:/x", "--", "true")
    for name in ("TERM", "HUP", "INT", "QUIT"):
        t = davit("--", "sleep", "1000")
        t.wait_raw()
        os.kill(t.pid, getattr(signal, "SIG" + name))
        equal(t.wait(), 128 + getattr(signal, "SIG" + name))
        t.restored()
    # The address sanitizer takes SEGV for itself and lets nobody else have it.
    with open(DAVIT, "rb") as f:
        sanitized = b"__asan_init" in f.read()
    for name in ("ABRT", "ALRM") if sanitized else ("SEGV", "ABRT", "ALRM"):
        t = davit("--", "sleep", "1000")
        t.wait_raw()
        os.kill(t.pid, getattr(signal, "SIG" + name))
        t.wait()
        t.restored()


# No shell: one that comes to its "read", or whose child has just ended, can lose
# a ^C (1 of some hundred on a plain pty of a busy machine), and bash ignores ^\.
CAUGHT = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
print("got it", flush=True)
sys.exit(9)
"""


def interrupt():
    t = davit("--", "/usr/bin/python3", "-c", CAUGHT)
    t.expect("ready")
    t.write(b"\x03")
    t.expect("got it")
    equal(t.wait(), 9)
    t.restored()
    t = davit("--", "/usr/bin/python3", "-c",
              "import time; print('ready', flush=True); time.sleep(1000)")
    t.expect("ready")
    t.write(b"\x1c")
    equal(t.wait(), 131)


def end_of_file():
    t = davit("--", "sh", "-c", "cat; echo over; read x; echo [$x]")
    t.wait_raw()
    t.write(b"line\n")
    t.expect("line\r\nline\r\n")
    t.write(b"\x04")
    t.expect("over")
    t.write(b"more\r")
    t.expect(r"\[more\]")
    equal(t.wait(), 0)


def paste():
    """A megabyte of input in one go, into a command that reads slowly."""
    size = 1 << 20
    t = davit("--", "sh", "-c",
              "stty raw -echo; echo ready; sleep 0.3; "
              f"head -c {size} | sha256sum")
    t.expect("ready")
    import hashlib
    data = bytes(i * i % 251 for i in range(4093)) * (size // 4093 + 1)
    data = data[:size]
    t.write(data)
    t.expect(hashlib.sha256(data).hexdigest())
    equal(t.wait(), 0)
    t.restored()


def much_output():
    t = davit("--", "seq", "200000")
    t.expect("\n200000\r\n")
    equal(t.wait(), 0)


def last_output():
    for i in range(30):
        t = davit("--", "printf", f"end{i}")
        equal(t.wait(), 0)
        assert t.seen.endswith(f"end{i}".encode()), t.seen


def stderr_elsewhere():
    path = os.path.join(DIR, "err")
    t = davit("--", "sh", "-c",
              "test -t 0 && test -t 1 && ! test -t 2 && echo apart; "
              "echo error >&2", redirect={2: path})
    t.expect("apart\r\n")
    equal(t.wait(), 0)
    equal(open(path).read(), "error\n")


def stdout_elsewhere():
    """No pty: stdin is relayed, the terminal stays as it is."""
    path = os.path.join(DIR, "out")
    t = davit("--", "sh", "-c", "test -t 0; echo $?; read x; echo got $x",
              redirect={1: path})
    t.write(b"hello\n")
    equal(t.wait(), 0)
    equal(open(path).read(), "1\ngot hello\n")
    t.restored()


def no_tty():
    t = davit("--no-tty", "--", "sh", "-c",
              "for i in 0 1 2; do test -t $i; echo $?; done")
    t.expect("1\r\n1\r\n1\r\n")
    equal(t.wait(), 0)
    t.restored()


def note():
    """One line on stderr says what isolates; -q leaves it out."""
    t = Terminal(DAVIT, "run", "--", "echo", "out")
    t.expect("davit: process: .*user, mount, pid.*seccomp.*\r\n")
    t.expect("out\r\n")
    equal(t.wait(), 0)
    t = davit("--", "echo", "out")
    equal(t.wait(), 0)
    equal(t.seen, b"out\r\n")


def hint():
    """Where the current directory cannot be shown, the line says so."""
    os.chdir("/")
    os.environ["HOME"] = DIR
    os.chdir(DIR)
    t = Terminal(DAVIT, "run", "--", "pwd")
    t.expect("current directory is not shown.*-W")
    t.expect("\n/\r\n")
    equal(t.wait(), 0)


def logged():
    path = os.path.join(DIR, "log")
    t = davit("--log", path, "--", "sh", "-c", "echo one; echo two >&2")
    t.expect("one\r\ntwo\r\n")
    equal(t.wait(), 0)
    equal(open(path, "rb").read(), b"one\r\ntwo\r\n")


def hang_up():
    """The terminal goes away: the command is told, and nothing is left."""
    t = davit("--", "sleep", "1000")
    t.wait_raw()
    os.close(t.slave)
    os.close(t.master)
    end = time.monotonic() + PATIENCE
    while True:
        pid, status = os.waitpid(t.pid, os.WNOHANG)
        if pid:
            break
        assert time.monotonic() < end, "still there"
        time.sleep(0.02)
    equal(os.waitstatus_to_exitcode(status), 129)


def stop_and_go_on():
    """^Z stops what is inside, as job control there does; TSTP stops davit."""
    t = davit("--", "sh", "-c", "echo ready; read x; echo got $x")
    t.expect("ready")
    t.wait_raw()
    os.kill(t.pid, signal.SIGTSTP)
    pid, status = os.waitpid(t.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    t.restored()
    os.kill(t.pid, signal.SIGCONT)
    t.wait_raw()
    t.write(b"on\r")
    t.expect("got on")
    equal(t.wait(), 0)
    t.restored()


def diag(*argv, **options):
    return Terminal(DAVIT, "diag", os.environ["DIAG"], *argv, **options)


def diag_shell():
    t = diag("shell")
    t.wait_raw()
    t.write(b"stty size; echo \"[$TERM]\"; tty; exit 6\r")
    t.expect("31 97\r\n")
    t.expect(r"\[xterm\]")
    equal(t.wait(), 6)
    t.restored()


def diag_resized():
    t = diag("exec", "-t", "--", "/usr/bin/python3", "-c", SIZES)
    t.expect("ready")
    for i in range(20):
        t.resize(50 + i, 123)
        t.expect(f"size {50 + i} 123\r\n")
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    t.restored()


def diag_ended_by_signal():
    for name in ("TERM", "HUP", "INT", "QUIT"):
        t = diag("exec", "--", "sh", "-c", "echo ready; exec sleep 1000")
        t.expect("ready")
        os.kill(t.pid, getattr(signal, "SIG" + name))
        equal(t.wait(), 128 + getattr(signal, "SIG" + name))
        t.restored()


def diag_interrupted():
    t = diag("exec", "--", "/usr/bin/python3", "-c", CAUGHT)
    t.expect("ready")
    t.write(b"\x03")
    t.expect("got it")
    equal(t.wait(), 9)
    t.restored()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
