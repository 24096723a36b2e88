#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""keeper_term.py CASE DAVIT DIR: davit exec and attach on a terminal."""
import os
import re
import select
import signal
import subprocess
import sys
import time

from term import CAUGHT, DAVIT, DIR, PATIENCE, SIZES, Terminal, equal

# Echoes lines in its own words, and says how large its terminal is.
LINES = "stty -echo; echo up; while read -r x; do case $x in " \
    "size) stty size;; end) exit 4;; *) echo \"got [$x]\";; esac; done; exit 6"


def davit(*words, check=True):
    return subprocess.run([DAVIT, *words], check=check, text=True,
                          stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout


def up(*options, command=("sh", "-c", LINES)):
    davit("run", "-d", "-q", "--name", "t", *options, "--", *command)


def state():
    import json
    return json.loads(davit("ps", "-a", "--json"))[0]["state"]


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "never"
        time.sleep(0.02)


def exec_terminal():
    up(command=("sleep", "1000"))
    t = Terminal(DAVIT, "exec", "t", "sh", "-c",
                 "for i in 0 1 2; do test -t $i && echo yes $i; done; tty; "
                 "stty size; ps -o tty= -p $$; echo $TERM; exit 5")
    t.expect("yes 0\r\nyes 1\r\nyes 2\r\n/dev/pts/[0-9]+\r\n31 97\r\n"
             "pts/[0-9]+ *\r\nxterm")
    equal(t.wait(), 5)
    t.restored()
    t = Terminal(DAVIT, "exec", "t", "/usr/bin/python3", "-c", SIZES)
    t.expect("ready")
    for i in range(5):
        t.resize(50 + i, 123)
        t.expect(f"size {50 + i} 123\r\n")
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    t.restored()
    t = Terminal(DAVIT, "exec", "t", "/usr/bin/python3", "-c", CAUGHT)
    t.expect("ready")
    t.write(b"\x03")
    t.expect("got it")
    equal(t.wait(), 9)
    t.restored()
    t = Terminal(DAVIT, "exec", "t", "sh", "-c", "echo ready; exec sleep 100")
    t.expect("ready")
    t.write(b"\x03")
    equal(t.wait(), 130)
    t.restored()


def exec_input():
    up(command=("sleep", "1000"))
    t = Terminal(DAVIT, "exec", "t", "sh", "-c", "cat; echo over")
    t.wait_raw()
    t.write(b"line\n\x04")
    t.expect("line\r\nline\r\nover")
    equal(t.wait(), 0)
    t.restored()
    # Without a terminal of its own: pipes, and ours stays as it is.
    t = Terminal(DAVIT, "exec", "-T", "t", "sh", "-c",
                 "test -p /dev/stdin && test -p /dev/stdout && echo ready; "
                 "read x; echo [$x]")
    t.expect("ready")
    assert not t.raw()
    t.write(b"word\n")
    t.expect(r"\[word\]")
    equal(t.wait(), 0)
    t.restored()


def exec_stderr_elsewhere():
    up(command=("sleep", "1000"))
    path = os.path.join(DIR, "err")
    t = Terminal(DAVIT, "exec", "t", "sh", "-c",
                 "test -t 0 && test -t 1 && ! test -t 2 && echo apart; "
                 "echo error >&2", redirect={2: path})
    t.expect("apart")
    equal(t.wait(), 0)
    with open(path) as f:
        equal(f.read(), "error\n")


def exec_much_output():
    up(command=("sleep", "1000"))
    t = Terminal(DAVIT, "exec", "t", "seq", "100000")
    t.expect("\n100000\r\n")
    equal(t.wait(), 0)
    for i in range(20):
        t = Terminal(DAVIT, "exec", "t", "printf", f"end{i}")
        equal(t.wait(), 0)
        assert t.seen.endswith(f"end{i}".encode()), t.seen


def exec_restored():
    up(command=("sleep", "1000"))
    for status, *words in ((0, "true"), (3, "sh", "-c", "stty raw; exit 3"),
                           (137, "sh", "-c", "kill -9 $$"),
                           (127, "no-such-command"), (126, "/etc/passwd")):
        t = Terminal(DAVIT, "exec", "t", *words)
        equal(t.wait(), status)
        t.restored()
    for name in ("TERM", "HUP", "INT", "QUIT"):
        t = Terminal(DAVIT, "exec", "t", "sleep", "100")
        t.wait_raw()
        os.kill(t.pid, getattr(signal, "SIG" + name))
        equal(t.wait(), 128 + getattr(signal, "SIG" + name))
        t.restored()


def exec_keeper_killed():
    up(command=("sleep", "1000"))
    t = Terminal(DAVIT, "exec", "t", "sleep", "100")
    t.wait_raw()
    keeper = int(davit("inspect", "t", "keeper/pid"))
    os.kill(keeper, signal.SIGKILL)
    t.expect("the keeper of t died")
    equal(t.wait(), 125)
    t.restored()


def exec_stop_and_go_on():
    up(command=("sleep", "1000"))
    t = Terminal(DAVIT, "exec", "t", "sh", "-c",
                 "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")
    t.expect("5\r\n")
    os.kill(t.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(t.pid, os.WUNTRACED)[1])
    t.restored()
    # The command stands still, too.
    until(lambda: "T" in [x[27:28] for x in davit("top", "t").splitlines()]
          or " T " in davit("top", "t"))
    while select.select([t.master], [], [], 0)[0]:
        t.pump(0)
    t.seen = b""
    t.pump(0.2)
    equal(t.seen, b"")
    os.kill(t.pid, signal.SIGCONT)
    t.expect("[0-9]+\r\n[0-9]+\r\n")
    t.wait_raw()  # what it wrote before it stood still may come earlier
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    t.restored()


def attach(*options):
    return Terminal(DAVIT, "attach", *options, "t")


def has_size(t, size):
    """The size has its own way there."""
    end = time.monotonic() + PATIENCE
    while size.encode() not in t.seen:
        assert time.monotonic() < end, t.seen
        t.write(b"size\n")
        t.pump(0.05)


def attach_detach():
    up("-t")
    t = attach()
    t.expect("up\r+\n")
    t.wait_raw()
    t.write(b"one\n")
    t.expect(r"got \[one\]")
    has_size(t, "31 97")
    t.resize(44, 66)
    has_size(t, "44 66")
    # The answers to the size may fill the screen that the next one sees.
    t.write(b"last\n")
    t.expect(r"got \[last\]")
    t.write(b"\x10\x11dropped\n")
    equal(t.wait(), 0)
    t.restored()
    equal(state(), "running")
    t = attach()
    t.expect(r"got \[last\]")
    t.write(b"two\n")
    t.expect(r"got \[two\]")
    t.write(b"end\n")
    equal(t.wait(), 4)
    t.restored()
    assert "dropped" not in davit("logs", "t")
    equal(state(), "exited")
    t = attach()
    t.expect(r"got \[two\]")
    equal(t.wait(), 4)


def attach_keys():
    # One byte after the other, as they come.
    up("-t", command=("sh", "-c", "stty raw -echo; echo up; exec cat -v"))
    t = attach()
    t.expect("up")
    t.wait_raw()
    t.write(b"\x10")
    t.write(b"x\x10\x10y")
    t.expect(r"\^Px\^P\^Py")
    t.write(b"\x10\x11")
    equal(t.wait(), 0)
    t = attach("--detach-keys", "ctrl-a,d")
    t.wait_raw()
    t.write(b"\x10\x11\x01x")
    t.expect(r"\^P\^Q\^Ax")
    t.write(b"\x01d")
    equal(t.wait(), 0)
    t = attach("--detach-keys", "")
    t.wait_raw()
    t.write(b"\x10\x11\x10\x11")
    t.expect(r"\^P\^Q\^P\^Q")
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    t.restored()
    equal(state(), "running")


def attach_several():
    up("-t")
    a = attach()
    a.expect("up\r+\n")
    a.wait_raw()
    b = attach()
    b.expect("somebody else writes to it")
    until(lambda: not b.raw())
    c = attach("--no-stdin")
    a.write(b"one\n")
    for t in (a, b, c):
        t.expect(r"got \[one\]")
    d = attach("--steal")
    d.wait_raw()
    a.expect("somebody else has taken the input")
    until(lambda: not a.raw())
    d.write(b"two\n")
    for t in (a, b, c, d):
        t.expect(r"got \[two\]")
    # A viewer is ended by ^C, as any program is.
    b.write(b"\x03")
    equal(b.wait(), 130)
    # Who had it is killed: the place is free.
    os.kill(d.pid, signal.SIGKILL)
    os.waitpid(d.pid, 0)
    end = time.monotonic() + PATIENCE
    while True:
        e = attach()
        until(lambda: e.pump(0.02) or e.raw() or b"viewer" in e.seen)
        if e.raw():
            break
        assert time.monotonic() < end, "the place is never free"
        os.kill(e.pid, signal.SIGKILL)
        os.waitpid(e.pid, 0)
    e.write(b"end\n")
    for t in (a, c, e):
        equal(t.wait(), 4)
        t.restored()


def attach_keeper_killed():
    up("-t")
    t = attach()
    t.expect("up\r+\n")
    t.wait_raw()
    os.kill(int(davit("inspect", "t", "keeper/pid")), signal.SIGKILL)
    t.expect("the keeper of t died")
    equal(t.wait(), 137)
    t.restored()


def attach_restarted():
    """It is started again: the input is taken again, and until then the
    terminal is raw and the detach keys work."""
    up("-t")
    t = attach()
    t.expect("up\r+\n")
    t.wait_raw()
    for word in ("one", "two"):
        davit("restart", "-t", "0", "t")
        t.expect("up\r+\n")
        # The place is asked for when the keeper says that it runs again.
        end = time.monotonic() + PATIENCE
        while f"got [{word}]".encode() not in t.seen:
            assert time.monotonic() < end, t.seen
            t.write(word.encode() + b"\n")
            t.pump(0.05)
        assert b"somebody else" not in t.seen, t.seen
        assert t.raw()
    t.write(b"\x10\x11")
    equal(t.wait(), 0)
    t.restored()
    equal(state(), "running")
    davit("rm", "-f", "t")


def attach_backoff():
    """The keys that detach work also while nothing runs."""
    up("-t", "--restart", "always",
       command=("sh", "-c", "stty -echo; echo up; read x; exit 3"))
    t = attach()
    t.expect("up\r+\n")
    for _ in range(4):
        t.wait_raw()
        end = time.monotonic() + PATIENCE
        while not re.search(b"up\r+\n", t.seen):
            assert time.monotonic() < end, t.seen
            t.write(b"\r")
            t.pump(0.05)
        t.seen = b""
    # Until the next start it is 1.6 seconds.
    end = time.monotonic() + PATIENCE
    while state() != "creating":
        assert time.monotonic() < end, state()
        t.write(b"\r")
    t.write(b"\x10\x11")
    equal(t.wait(), 0)
    t.restored()
    davit("rm", "-f", "t")


def attach_cooked():
    """Without a terminal there, ours stays as it is: ^C detaches."""
    up("-i", command=("sh", "-c", "while read -r x; do echo \"got [$x]\"; "
                      "done"))
    t = attach()
    t.write(b"one\n")
    t.expect(r"got \[one\]")
    assert not t.raw()
    t.write(b"\x03")
    equal(t.wait(), 130)
    equal(state(), "running")
    # Its input, too, is taken again.
    t = attach()
    t.write(b"two\n")
    t.expect(r"got \[two\]")
    davit("restart", "-t", "0", "t")
    end = time.monotonic() + PATIENCE
    while b"got [three]" not in t.seen:
        assert time.monotonic() < end, t.seen
        t.write(b"three\n")
        t.pump(0.05)
    os.kill(t.pid, signal.SIGTERM)
    equal(t.wait(), 143)
    davit("rm", "-f", "t")


def top_live():
    up(command=("sleep", "1234"))
    t = Terminal(DAVIT, "top", "-d", "100ms", "t")
    for _ in range(3):
        t.expect("\x1b\\[H\x1b\\[Jt  1 processes")
        t.expect("sleep 1234")
    davit("stop", "-t", "0", "t")
    t.expect("t has ended")
    equal(t.wait(), 0)
    davit("restart", "t")
    for _ in range(5):
        t = Terminal(DAVIT, "top", "-d", "100ms", "t")
        t.expect("sleep 1234")
        davit("rm", "-f", "t")
        t.expect("t has ended")
        equal(t.wait(), 0)
        up(command=("sleep", "1234"))


def ps_width():
    for cols, longest in ((40, None), (80, 80), (97, 97), (120, 120)):
        t = Terminal(DAVIT, "ps", cols=cols)
        equal(t.wait(), 0)
        rows = [len(x) for x in t.seen.decode().split("\r\n")
                if x.startswith("long ")]
        equal(len(rows), 1)
        assert b"..." in t.seen, t.seen
        # The other columns are never cut.
        assert longest is None or rows[0] == longest, (cols, rows)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
