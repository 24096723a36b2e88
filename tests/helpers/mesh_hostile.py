#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
mesh_hostile.py VICTIM CASE: peers of a mesh that mean no good.

A case does its harm to tests/helpers/mesh_victim.c, and an innocent node that
joined before must notice nothing. In the end the victim has as many descriptors
and links as before, and only so much more memory as SLACK says. The frames are
those of docs/mesh-wire.md.
"""
import array
import os
import errno
import random
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
SLACK = 6 * MIB
PATIENCE = 100
MAGIC = b"davitmsh"
(HELLO, MESSAGE, LONG, PIECE, CLOSE, NEW_PEER, BRIDGE, END, TOTALS, MOVED,
 REFUSED, CREDIT, ACCEPT, CONNECT, FAIL, LOOP, INTRODUCE, LINK_CREDIT, GOODBYE,
 ERROR) = range(1, 21)
FDS, LOST, ERR, PORT = 1, 2, 4, 8


def new_id():
    return os.urandom(16)


def frame(kind, body=b"", flags=0, n=0, length=None):
    length = 8 + len(body) if length is None else length
    data = struct.pack("<IBBH", length, kind, flags, n) + body
    return data + b"\0" * (-len(data) % 8)


def hello(version=(1, 1), magic=MAGIC, window=1 << 20, node=None):
    return frame(HELLO, magic + struct.pack("<HHI", *version, 0) +
                 (node or new_id()) + struct.pack("<IIQ", 16 * MIB, 0, window)
                 + bytes(16))


def fd_message(dst, n):
    return frame(MESSAGE, dst + struct.pack("<I", n) + b"\1" * n, FDS, n)


class Cut(Exception):
    pass


class Peer:
    """A node, more or less."""

    def __init__(self, victim, join=True, node=None):
        self.node = node
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while self.s.connect_ex(victim.path) != 0:
            assert time.monotonic() < end, "nobody accepts"
            time.sleep(0.001)  # the queue is full
        self.buf = b""
        self.text = ""
        if join:
            self.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data, fds=()):
        try:
            if fds:
                data = data[self.send_fds(data, fds):]
            if data:
                self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Cut from None

    def send_fds(self, data, fds):
        """There may be as many under way as somebody may have open."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.s.sendmsg([data], [(
                    socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))])
            except OSError as e:
                if e.errno != errno.ETOOMANYREFS or time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def next(self):
        while len(self.buf) < 8 or len(self.buf) < self.size():
            try:
                more = self.s.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Cut
            self.buf += more
        length, kind, flags, _ = struct.unpack_from("<IBBH", self.buf)
        body, size = self.buf[8:length], self.size()
        self.buf = self.buf[size:]
        if kind == ERROR and flags & ERR:
            m = struct.unpack_from("<H", body, 4)[0]
            self.text = body[8:8 + m].decode()
        return kind, body

    def size(self):
        return struct.unpack_from("<I", self.buf)[0] + 7 & ~7

    def wait(self, kind):
        while True:
            got, body = self.next()
            if got == kind:
                return body

    def join(self):
        self.node = self.node or new_id()
        self.send(hello(node=self.node))
        body = self.hello = self.wait(HELLO)
        self.mine, self.origin = body[65:81], body[81:97]
        self.port = self.origin

    def echo(self, data=b"hello"):
        self.send(frame(MESSAGE, self.port + data))
        body = self.wait(MESSAGE)
        assert body[16:] == data, body

    def cut(self, why=None):
        """It has to be cut, and told why."""
        try:
            while True:
                self.next()
        except Cut:
            pass
        except socket.timeout:
            raise AssertionError("it was not cut") from None
        if why is not None:
            assert why in self.text, f"told {self.text!r}, not {why!r}"


class Victim:
    def __init__(self, program, path):
        self.path = path
        self.p = subprocess.Popen([program, path], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"

    def stat(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        counts, _, why = line.partition(": ")
        words = counts.split()
        return dict(zip(words[::2], map(int, words[1::2]))), why.strip()

    def links(self):
        return self.stat()[0]["links"]

    def fds(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))

    def rss(self):
        with open(f"/proc/{self.p.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def sanitized(self):
        with open(f"/proc/{self.p.pid}/maps", encoding="ascii") as f:
            return "asan" in f.read()

    def end(self):
        self.p.stdin.close()
        assert self.p.wait(PATIENCE) == 0


def until(what, text):
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, f"never: {text}"
        time.sleep(0.01)


# ---- the cases --------------------------------------------------------------

def handshakes(victim):
    """What is no hello, or none that is understood."""
    good = hello()
    for bad, why in (
            (b"GET / HTTP/1.1\r\n\r\n", "no frame of kind"),
            (hello(magic=b"davitmsg"), "no mesh node"),
            (hello(version=(2, 3)), "speaks version 2 to 3"),
            (hello(version=(0, 1)), "versions cannot be"),
            (hello(version=(3, 1)), "versions cannot be"),
            (hello(window=0), "limits are too low"),
            (hello(node=bytes(16)), "names no node"),
            (frame(HELLO, good[8:-1], PORT), "port"),
            (frame(GOODBYE), "before a HELLO"),
            (frame(MESSAGE, new_id() + b"x"), "before a HELLO")):
        with Peer(victim, join=False) as p:
            p.send(bad)
            p.cut(why)
    for n in range(1, len(good)):
        with Peer(victim, join=False) as p:
            p.send(good[:n])


def silence(victim):
    """Connections that never say hello end by themselves."""
    peers = [Peer(victim, join=False) for _ in range(100)]
    for i, p in enumerate(peers):
        if i % 2:
            p.send(hello()[:i % 70])
    for p in peers:
        p.cut("did not finish its handshake")
        p.s.close()


def floods(victim):
    """More connections than there may be links."""
    peers = [Peer(victim, join=False) for _ in range(400)]
    assert victim.links() <= 256
    for p in peers:
        p.s.close()


def truncated(victim):
    """Every frame, cut at every byte, and the end."""
    err = struct.pack("<HBBHBB", 5, 13, 0, 3, 0, 0) + b"why"
    rest = [frame(k, new_id() + more, flags) for k, more, flags in (
        (CLOSE, new_id() + bytes(4) + err, ERR), (NEW_PEER, new_id() * 2, 0),
        (BRIDGE, new_id(), 0), (END, new_id(), 0),
        (TOTALS, new_id() + bytes(16), 0), (MOVED, b"", 0),
        (REFUSED, err, ERR), (CREDIT, new_id() + bytes(8), 0),
        (ACCEPT, new_id() * 2 + bytes(16), 0), (CONNECT, new_id(), 0),
        (FAIL, new_id() * 2 + bytes(4) + err, ERR),
        (LOOP, new_id() + bytes(8), 0), (MESSAGE, b"hello", 0),
        (LONG, struct.pack("<II", 20000, 0), 0))]
    for f in rest:
        length = struct.unpack_from("<I", f)[0]
        for n in range(8, length):
            with Peer(victim, join=False) as p:
                p.send(hello() + f[:n])
            # And so that it looks whole.
            with Peer(victim, join=False) as p:
                cut = struct.pack("<I", n) + f[4:n]
                p.send(hello() + cut + b"\0" * (-n % 8))


def giants(victim):
    """Lengths that nobody has memory for."""
    for kind in range(1, 21):
        for length in (0, 7, 0x40000, 0x7fffffff, 0xffffffff):
            with Peer(victim, join=False) as p:
                p.send(hello() + frame(kind, new_id() * 3, length=length))
                p.cut("broke the rules")
    with Peer(victim) as p:
        p.send(frame(LONG, p.port + struct.pack("<II", 64 * MIB, 0)))
        p.cut("longer than this node takes")
    with Peer(victim) as p:
        p.send(frame(LONG, p.port + struct.pack("<II", 20000, 1 << 31)))
        p.cut("attachments are too long")
    # As many as the window lets it begin, and nothing of them comes.
    with Peer(victim) as p:
        before = victim.rss()
        try:
            for _ in range(1000):
                p.send(frame(LONG, new_id() + struct.pack("<II", 16 * MIB, 0)))
        except Cut:
            pass
        p.cut("more than it was granted")
        assert victim.rss() - before < 32 * MIB or victim.sanitized()


def forged(victim):
    """Events for ports that are not its business."""
    with Peer(victim) as innocent:
        for kind, more in (
                (CLOSE, new_id() + bytes(4)), (NEW_PEER, new_id() * 2),
                (BRIDGE, new_id()), (END, new_id()),
                (TOTALS, new_id() + b"\xff" * 16), (MOVED, b""),
                (REFUSED, b""), (CREDIT, new_id() + b"\xff" * 8),
                (ACCEPT, new_id() * 2 + b"\xff" * 16), (CONNECT, new_id()),
                (FAIL, new_id() * 2 + bytes(4)), (LOOP, new_id() + bytes(8)),
                (MESSAGE, b"forged")):
            for dst in (new_id(), innocent.port, innocent.origin,
                        innocent.mine):
                with Peer(victim) as p:
                    try:
                        p.send(frame(kind, dst + more))
                        p.echo()
                    except Cut:
                        pass
            innocent.echo()


def impostors(victim):
    """Nodes that say they are somebody else."""
    with Peer(victim) as innocent:
        for _ in range(50):
            with Peer(victim, join=False) as p:
                p.send(hello(node=innocent.node))
                p.cut("it says it is a process of this mesh")
        innocent.echo()
        own = innocent.hello[16:32]
    with Peer(victim, join=False) as p:
        p.send(hello(node=own))
        p.cut("leads back to this node")


def credit(victim):
    """It goes on sending, whatever it was granted, and reads no answer."""
    with Peer(victim) as p:
        before, most = victim.rss(), 0
        data = frame(MESSAGE, p.port + bytes(60000)) * 10
        try:
            for _ in range(500):
                p.send(data)
                most = max(most, victim.rss() - before)
        except Cut:
            pass
        assert most < 16 * MIB or victim.sanitized(), f"{most >> 20} MiB"


def fd_floods(victim):
    """Descriptors for ports that do not exist, and for one that does."""
    null = os.open("/dev/null", os.O_RDWR)
    with Peer(victim) as p:
        for _ in range(200):
            p.send(fd_message(new_id(), 250), [null] * 250)
        p.echo()
    for n, announced, why in ((1, 0, "belong to nothing"),
                              (0, 1, "did not come"),
                              (5, 4, "other descriptors"),
                              (4, 5, "other descriptors")):
        with Peer(victim) as p:
            p.send(fd_message(p.port, announced) if announced else
                   frame(MESSAGE, p.port + b"x"), [null] * n)
            p.cut(why)
    with Peer(victim) as p:
        # With every byte of a frame that never is complete.
        try:
            for _ in range(100):
                p.send(b"\x20\0\0\0\x0f"[:1], [null] * 250)
        except Cut:
            pass
        p.cut()
    os.close(null)


def introductions(victim):
    """Nodes that nobody asked for."""
    with Peer(victim) as p:
        kept = []
        try:
            for _ in range(600):
                a, b = socket.socketpair()
                kept.append(a)
                p.send(frame(INTRODUCE, bytes(16) + new_id(), FDS),
                       [b.fileno()])
                b.close()
        except Cut:
            pass
        assert victim.links() <= 256
        for s in kept:
            s.close()
    with Peer(victim) as p:
        try:
            for _ in range(20000):
                p.send(frame(CONNECT, new_id() * 2))
            p.echo()
        except Cut:
            pass


def deaf(victim):
    """It makes the victim answer, and reads nothing of it."""
    with Peer(victim) as p:
        before, most, sent = victim.rss(), 0, 0
        data = b"".join(frame(ACCEPT, new_id() * 3 + bytes(16))
                        for _ in range(1000))
        p.s.settimeout(PATIENCE)
        try:
            while sent < 512 * MIB:
                p.send(data)
                sent += len(data)
                most = max(most, victim.rss() - before)
        except (Cut, socket.timeout):
            pass
        assert most < 64 * MIB or victim.sanitized(), f"{most >> 20} MiB"


def noise(victim):
    """Bytes at random, behind a good start."""
    rng = random.Random(4)
    for _ in range(300):
        with Peer(victim, join=False) as p:
            data = hello()
            for _ in range(20):
                body = rng.randbytes(rng.choice((0, 16, 32, 48, 64, 500)))
                data += frame(rng.randrange(1, 21), body,
                              rng.choice((0, 0, 0, 1, 3, 4, 5)),
                              rng.choice((0, 0, 0, 1, 2)))
            try:
                p.send(data)
            except Cut:
                pass


CASES = {f.__name__: f for f in (
    handshakes, silence, floods, truncated, giants, forged, impostors, credit,
    fd_floods,
    introductions, deaf, noise)}


def main():
    program, name = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="davit-mesh.") as top:
        victim = Victim(program, top + "/sock")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with Peer(victim) as innocent:
            with Peer(victim) as p:
                p.echo(bytes(10000))
            until(lambda: victim.links() == 1, "one link")
            fds, rss = victim.fds(), victim.rss()
            CASES[name](victim)
            innocent.echo()
            until(lambda: victim.links() == 1, "one link again")
            until(lambda: victim.fds() <= fds, f"{fds} descriptors again")
            innocent.echo()
            stat, why = victim.stat()
            until(lambda: victim.rss() - rss < SLACK or victim.sanitized(),
                  f"{rss >> 10} KiB again, not {victim.rss() >> 10}")
            grown = victim.rss() - rss
            print(f"# {name}: grown {grown >> 10} KiB, {stat}, {why}")
        victim.end()


main()
