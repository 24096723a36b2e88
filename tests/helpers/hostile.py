#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
hostile.py CASE SOCKET PID: peers that mean no good.

A case does its harm, and an innocent client beside it must notice nothing. In
the end the agent has as many descriptors as before, and only so much more
memory as SLACK says. SOAK multiplies what loops.
"""
import os
import random
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time

from diagwire import (
    DENIED, DIAG, EXHAUSTED, HDR, INSPECT, INVALID, NOT_FOUND, OHCL, PATIENCE,
    PING, PONG,
    SANDBOX, UNKNOWN, Gone, Refused, Sock, answer_of, control, data_conn,
    exec_msg, field, frame, get, good_client, inspect_int, main, msg, request,
    run, success, until, varint, wait, waited)
from vectors import (
    DATA_ANSWER, DATA_FRAME, EVEN, EVEN_ANSWER, LONG, LONG_ANSWER, PREFACE,
    REQUESTS, grpc_post, h2, h2_data, literal)

SOAK = int(os.environ.get("SOAK", "1"))
MIB = 1 << 20
# What a heap may keep after everything was freed: pages between blocks that
# live on, records of up to 1,024 exited processes, and buffers that are kept.
SLACK = 2 * MIB
# Good clients get in "at once": some ms, but this machine has others on it. It
# is less than any time-out of the agent that would let them in after all.
AT_ONCE = 9


class Baseline:
    """The agent as it was: with one good client before, to warm it up."""

    def __init__(self, agent):
        self.agent = agent
        good_client(agent.path)
        with control(agent.path) as c:
            self.fds = inspect_int(c, "agent/fds")
        self.rss = agent.rss()

    def check(self, kept=0):
        """@kept: bytes that may stay, and why is known."""
        agent = self.agent
        assert good_client(agent.path) < PATIENCE
        with control(agent.path) as c:
            until(lambda: inspect_int(c, "agent/fds") <= self.fds,
                  f"{self.fds} descriptors again")
            for what, n in (("conns/open", 1), ("rpc/in_flight", 0),
                            ("data/unclaimed", 0)):
                until(lambda: inspect_int(c, what) == n, f"{what} is {n}")
            c.ping()
        # It gives back what it does not need as soon as it has nothing to do,
        # so nothing is asked of it here. A sanitizer holds back what was
        # freed; it finds at the agent's end what was not.
        until(lambda: agent.rss() - self.rss <= SLACK + kept or
              agent.sanitized(),
              f"{self.rss >> 10} KiB of memory again")
        print(f"# {sys.argv[1]}: rss {self.rss >> 10} KiB, "
              f"grown {(agent.rss() - self.rss) >> 10} KiB, "
              f"cpu {agent.cpu():.2f} s")


def at_once(agent):
    """Neither we nor the agent are to blame where others have the machine."""
    before = waited(), waited(agent.pid)
    took = good_client(agent.path)
    others = waited() - before[0] + waited(agent.pid) - before[1]
    assert took - others < (20 if agent.sanitized() else AT_ONCE), \
        f"{took:.1f} s, {others:.1f} s of it without a processor"


def flood(path, n, first=b""):
    """@n connections that say @first, and nothing more."""
    out = []
    for _ in range(n):
        s = Sock(path)
        try:
            s.send(first)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had to go already
        out.append(s)
    return out


def close(socks):
    for s in socks:
        s.close()


# ---- bytes --------------------------------------------------------------

def cut_at(agent, name, vector, at, how):
    """The first @at bytes of a request; then the end, or nothing."""
    s = control(agent.path)
    s.send(vector[:at])
    if how == "close":
        s.close()
        return None
    if how == "half-close":
        s.half_close()
        want = b"" if at < len(vector) else None
        got = s.rest()
        assert want is None or got == want, f"{name} cut at {at}: {got.hex()}"
        s.close()
        return None
    return s


def truncation(agent):
    """Every request vector, cut at every byte, in three ways."""
    before = Baseline(agent)
    for name, vector in REQUESTS.items():
        silent = []
        for at in range(len(vector)):
            for how in ("close", "half-close", "silent"):
                silent.append(cut_at(agent, name, vector, at, how))
        # Whoever is silent in the middle of a word holds up nobody.
        at_once(agent)
        # And may still go on.
        for at, s in enumerate(s for s in silent if s):
            if at % 8 == 0 and name not in ("15 start", "18 start"):
                answer = s.ask(vector[at:])
                assert answer[4:8] == vector[4:8], name
            s.close()
    for line in (b"CONNECT 1\n", b"CONNECT 2\n"):
        for at in range(len(line)):
            for how in ("close", "half-close"):
                with Sock(agent.path) as s:
                    s.send(line[:at])
                    if how == "half-close":
                        s.half_close()
                        assert s.rest() == b""
    before.check()


def lengths(agent):
    """Frames longer than allowed are read to their end, and refused."""
    before = Baseline(agent)
    block = bytes(MIB)
    with control(agent.path) as c:
        for _ in range(4 * SOAK):
            c.send(LONG + block * 16)
            assert c.frame() == LONG_ANSWER
            c.ping()
        # The longest that is allowed, and one that is one byte longer.
        top = (16 << 20) - 1
        c.send(struct.pack(">IIBB", top, 1, 1, 0) + bytes(top))
        assert b"\x08\x03" in c.frame()[:16], "no request, but read"
        c.ping()
    with Sock(agent.path) as c:  # as anybody's port has it
        c.send(frame(1, bytes((4 << 20) + 1)))
        assert b"4194304" in c.frame()
        assert c.ask(PING) == PONG
    grown = agent.rss() - before.rss
    # Silent in the middle of 4 GiB: what has come of it is not kept.
    huge = []
    for _ in range(16):
        s = control(agent.path)
        s.send(b"\xff\xff\xff\xff" + LONG[4:] + block * 4)
        huge.append(s)
    at_once(agent)
    assert agent.rss() - before.rss < grown + 8 * MIB or agent.sanitized()
    close(huge)
    # In the middle of what is allowed it has to be kept, but not for longer.
    long = []
    for _ in range(8):
        s = control(agent.path)
        s.send(struct.pack(">IIBB", top, 1, 1, 0) + block * 15)
        long.append(s)
    at_once(agent)
    close(long)
    before.check()


def four_gib(agent):
    """4 GiB are drained, and answered. Only with SOAK: it takes seconds."""
    before = Baseline(agent)
    block = bytes(MIB)
    with control(agent.path) as c:
        left = 0xffffffff
        c.send(b"\xff\xff\xff\xff" + LONG[4:])
        while left:
            n = min(left, MIB)
            c.send(block[:n])
            left -= n
        try:
            answer_of(c.frame())
        except Refused as e:
            assert e.code == EXHAUSTED and "4294967295" in e.text
        c.ping()
    before.check()


def wrong_types(agent):
    """Frames and messages of wrong kinds; ids that are even, or in use."""
    before = Baseline(agent)
    with control(agent.path) as c:
        sleep = run(c, ["/bin/sleep", "1000"])
        for _ in range(50 * SOAK):
            assert c.ask(EVEN) == EVEN_ANSWER
            assert c.ask(DATA_FRAME) == DATA_ANSWER
        for kind in range(256):
            answer = c.ask(frame(5, PING[HDR:], kind))
            assert answer[4:8] == b"\0\0\0\5"
            assert (answer == success(5)) == (kind == 1), kind
        for stream in (0, 2, 0xfffffffe):
            assert c.ask(frame(stream, b""))[4:8] == struct.pack(">I", stream)
        # A repeated id: the second is refused, the first still counts.
        waits = request(7, DIAG, "Wait", msg((1, sleep)))
        c.send(waits + waits)
        assert b"in use" in c.frame()
        c.call(SANDBOX, "Signal", msg((2, sleep), (3, 9)))
        assert c.frame() == success(7, msg((1, 137), (2, 9)))
        for wire_type in range(8):
            for number in (0, 1, 2, 3, 4, 5, 6, 1 << 28):
                body = varint(number << 3 | wire_type) + b"\x03abc"
                assert c.ask(frame(9, body))[8] == 2
        for n in range(256 * SOAK):
            body = random.Random(n).randbytes(n % 97)
            assert c.ask(frame(9, body))[8] == 2
            for method in ("Exec", "Start", "PacketCapture", "Wait"):
                c.send(request(9, DIAG, method, body))
                assert c.frame()[4:8] == b"\0\0\0\x09"
        c.ping()
    before.check()


def first_bytes(agent):
    """Garbage before a protocol was picked."""
    before = Baseline(agent)
    for byte in range(256):
        with Sock(agent.path) as s:
            s.send(bytes([byte]) + b"\xa5" * 20)
            if byte == 0:
                continue  # the head of a long frame
            # An end, and at most a word about it.
            assert s.rest()[:4] in (b"", b"ERR "), byte
    for head in (b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", b"PRI ", b"PR\0",
                 b"GET / HTTP/1.1\r\n\r\n", b"CONNECT 1" + b"\0" * 50,
                 b"CONNECT 99999999999\n", b"C" * 5000, b"\xff" * 70000):
        with Sock(agent.path) as s:
            try:
                s.send(head)
            except (BrokenPipeError, ConnectionResetError):
                continue
            if head == b"PRI ":
                s.half_close()
            assert len(s.rest()) < 200, head[:20]
    # A handshake has two seconds from its first byte on.
    with Sock(agent.path) as s:
        began = time.monotonic()
        s.send(b"CONN")
        s.rest()
        assert 1 < time.monotonic() - began < PATIENCE
    # Bytes behind CONNECT 2 could not be given back.
    with Sock(agent.path) as s:
        s.send(b"CONNECT 2\nxyz")
        s.rest()
    before.check()


def http2(agent):
    """HTTP/2 that is none."""
    before = Baseline(agent)
    rng = random.Random(3)
    start = PREFACE + h2(4, 0, 0, b"")
    ping = grpc_post(1, f"/{OHCL}/Ping", b"")[0]
    head = b"".join(literal(*p) for p in ((":method", "POST"),
                                          (":path", "/" + "x" * 90)))
    bad = [
        h2(1, 4, 1, b"\xff" * 100),              # no header block
        h2(1, 0, 1, head) + h2(0, 1, 1, b"x"),   # no continuation
        h2(9, 4, 1, head),                       # nothing to continue
        h2(0, 0, 1, bytes(100)),                 # no such stream
        h2(4, 0, 1, b""), h2(4, 0, 0, b"x"),     # settings of a stream
        h2(8, 0, 0, bytes(4)),                   # a window that stays
        h2(6, 0, 0, b"x"), h2(3, 0, 0, bytes(4)),
        b"\xff\xff\xff" + bytes(6),              # longer than allowed
        h2(1, 4, 2, head), h2(5, 4, 1, head),
    ]
    for junk in bad + [rng.randbytes(200) for _ in range(50 * SOAK)]:
        with Sock(agent.path) as s:
            s.send(start + junk)
            s.half_close()
            s.rest()
    # A malformed message ends its stream only.
    with Sock(agent.path) as s:
        s.send(start)
        for i, message in enumerate((b"\1\0\0\0\1x", b"\0\xff\xff\xff\xff",
                                     b"\0\0\0\0", b"\0\0\0\0\2x")):
            ask, _ = grpc_post(2 * i + 1, f"/{OHCL}/Ping", b"")
            s.send(ask[:-14] + h2(0, 1, 2 * i + 1, message))
        s.send(grpc_post(99, f"/{OHCL}/Ping", b"")[0])
        assert h2_data(s, 99) == bytes(5)
    # Floods of frames that want to be answered, or that cost something.
    for piece, n in ((h2(6, 0, 0, bytes(8)), 20000),   # ping
                     (h2(4, 0, 0, b""), 20000),        # settings
                     (h2(2, 0, 3, bytes(5)), 20000),   # priority
                     (h2(9, 0, 1, b"\0" * 1000), 2000)):
        with Sock(agent.path) as s:
            flood_until_end(s, start + h2(1, 0, 1, head) * (piece[3] == 9) +
                            piece * (n * SOAK))
    # Calls that are begun and reset.
    with Sock(agent.path) as s:
        calls = b"".join(
            grpc_post(i, f"/{OHCL}/Ping", b"")[0] + h2(3, 0, i, bytes(4))
            for i in range(1, 20000, 2))
        flood_until_end(s, start + calls)
    at_once(agent)
    assert ping
    before.check()


def flood_until_end(s, data):
    """Sends without reading, as long as the other side stands it."""
    s.sock.settimeout(1)
    try:
        s.send(data)
        s.half_close()
        s.rest()
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass


def nesting(agent):
    """Messages in messages, and lists of everything that allocates."""
    before = Baseline(agent)
    deep = b""
    for _ in range(2000):
        deep = field(8, deep)
    with control(agent.path) as c:
        for service, method in ((DIAG, "Exec"), (SANDBOX, "Exec"),
                                (DIAG, "PacketCapture"), (INSPECT, "Update")):
            # Unknown bytes or messages within each other: one of them.
            try:
                c.call(service, method, deep)
            except Refused:
                pass
        # Lists grow by one, which takes long where every block is moved.
        n = 10000 if agent.sanitized() else 70000
        many = {
            "env": field(8, b"") * n,
            "args": field(2, b"") * n,
            "numbers": b"\x18\1" * 4000000,
            "unknown": field(99, b"") * 3000000,
            "long": msg((1, "/bin/true"), (2, "x" * (12 << 20))),
            "string": msg((1, "x" * (15 << 20))),
        }
        for name, payload in many.items():
            for service in (DIAG, SANDBOX):
                code, text = c.refused(service, "Exec", payload)
                assert code in (UNKNOWN, INVALID, NOT_FOUND, DENIED,
                                EXHAUSTED), (name, text)
        conns = msg((3, 1), (4, msg((1, 1), (2, b"\1" * 60000))))
        assert "connection id" in c.refused(DIAG, "PacketCapture", conns)[1]
        for path in ("/" * (15 << 20), "a/" * (7 << 20), "a" * (15 << 20),
                     "agent" + "/" * (15 << 20)):
            began = agent.cpu()
            try:
                c.call(INSPECT, "Inspect", msg((1, path)))
            except Refused:
                pass
            spent = agent.cpu() - began
            assert spent < (20 if agent.sanitized() else 2), \
                f"{spent} s for {path[:8]}..."
        c.refused(INSPECT, "Update", msg((1, "log/filter"),
                                         (2, "x" * (15 << 20))))
        rq = frame(5, msg((1, OHCL), (2, "Ping")) +
                   field(5, msg((1, "k"), (2, "v"))) * 500000)
        assert c.ask(rq)[8] == 2
        c.ping()
    before.check()


def tiny_frames(agent):
    """A million small requests on one connection, beside good clients."""
    before = Baseline(agent)
    n, block = (100000 if agent.sanitized() else 1000000) * SOAK, 1000
    with control(agent.path) as c:
        sender = threading.Thread(
            target=lambda: [c.send(PING * block) for _ in range(n // block)])
        sender.start()
        for i in range(n // block):
            if i % 200 == 100:
                at_once(agent)
            assert c.read(len(PONG) * block) == PONG * block
        sender.join()
    # Frames without anything in them, in every way one byte at a time.
    with control(agent.path) as c:
        for byte in frame(3, b"") * 50:
            c.send(bytes([byte]))
        for _ in range(50):
            assert c.frame()[4:8] == b"\0\0\0\3"
    before.check()


# ---- connections --------------------------------------------------------

def guessing(agent):
    """Random ids claim nothing, and what others have opened stays."""
    before = Baseline(agent)
    rng = random.Random(7)
    block, n = 1000, (20000 if agent.sanitized() else 100000) * SOAK
    with data_conn(agent.path) as innocent, control(agent.path) as c:
        for _ in range(n // block):
            ids = [rng.getrandbits(64) or 1 for _ in range(block)]
            sender = threading.Thread(target=c.send, args=(b"".join(
                request(1, DIAG, "Kmsg", msg((2, i))) for i in ids),))
            sender.start()
            for _ in range(block):
                assert b"invalid connection id" in c.frame()
            sender.join()
        near = [innocent.id ^ 1 << bit for bit in range(64)]
        for i in near + [0, 1, 2, 3]:
            assert c.refused(DIAG, "ReadFile", msg((2, i), (3, "/")))[1] == \
                "invalid connection id"
        pid = run(c, ["/bin/echo", "mine"], stdout=innocent.id)
        assert innocent.rest() == b"mine\n" and wait(c, pid) == 0
        # A second claim of the same id.
        assert "invalid" in c.refused(
            DIAG, "Kmsg", msg((2, innocent.id)))[1]
    before.check()


def half_open(agent):
    """1,000 that say nothing, 1,000 that say half a word, and so on."""
    before = Baseline(agent)
    for first in (b"", b"C", b"CONNECT 1", b"P", PREFACE[:10],
                  b"CONNECT 1\n", b"CONNECT 2\n", b"CONNECT 1\n\0\0",
                  PING[:5], PREFACE):
        socks = flood(agent.path, 1000 * SOAK, first)
        at_once(agent)
        # The oldest had to go where they are too many.
        if first in (b"", b"C"):
            socks[0].sock.settimeout(PATIENCE)
            assert socks[0].rest() == b""
        close(socks)
    # Those who never make a call have to go before those who do.
    with control(agent.path) as c:
        c.ping()
        socks = flood(agent.path, 2000 * SOAK, b"CONNECT 1\n")
        at_once(agent)
        c.ping()
        close(socks)
    before.check()


def descriptors(agent):
    """
    For an agent with 64 descriptors: connections of every kind take them all.
    It waits, without spinning, and good clients get in afterwards.
    """
    before = Baseline(agent)
    for first in (b"", b"C", b"CONNECT 1\n", b"CONNECT 2\n", PING[:5],
                  PREFACE):
        socks = flood(agent.path, 200, first)
        spent = agent.cpu()
        # One more second, in which nothing happens.
        socks[-1].sock.settimeout(1)
        try:
            while socks[-1].sock.recv(100):
                pass
        except (TimeoutError, OSError):
            pass
        spent = agent.cpu() - spent
        assert spent < 0.3, f"{spent} s of CPU in one second"
        # They do not keep others out, either.
        at_once(agent)
        close(socks)
        at_once(agent)
    # Good clients that are many are served as far as it goes.
    with control(agent.path) as c:
        many = []
        for _ in range(30):
            many.append(data_conn(agent.path))
        for d in many:
            try:
                run(c, ["/bin/echo", "x"], stdout=d.id)
                assert d.rest() in (b"", b"x\n")
            except Refused as e:
                assert ("open files" in e.text or "connection" in e.text or
                        "streams are open" in e.text), e
        close(many)
        c.ping()
    before.check()


def passed_descriptors(agent):
    """Descriptors that nobody asked for are closed."""
    before = Baseline(agent)
    null = os.open("/dev/null", os.O_RDONLY)
    for head in (b"CONNECT 1\n", b"C", PING, PING[:7], b"CONNECT 2\n",
                 b"\xff", PREFACE, b"CONNECT 1\n" + PING):
        for n in (1, 16, 17, 250):
            for _ in range(5 * SOAK):
                with Sock(agent.path) as s:
                    socket.send_fds(s.sock, [head], [null] * n)
                    s.half_close()
                    s.rest()
    with control(agent.path) as c:
        for _ in range(500 * SOAK):
            socket.send_fds(c.sock, [PING], [null] * 16)
            assert c.frame() == PONG
        # One frame, with descriptors on every byte.
        try:
            for byte in PING:
                socket.send_fds(c.sock, [bytes([byte])], [null])
            c.frame()
        except (Gone, OSError):
            pass
    os.close(null)
    before.check()


class Flooder:
    """
    Another process, which takes every connection that there is: with held Waits
    on as many as stay open, and new ones all the time, data connections that
    nobody claims and words that are never finished among them.
    """

    def __init__(self, path, pid):
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            status = 1
            try:
                self.flood(path, pid, theirs)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        self.line = ours

    @staticmethod
    def refresh(path, socks, make):
        """In the place of the oldest: a new one, which may end at once."""
        try:
            socks.append(make(path))
        except (Gone, AssertionError, OSError):
            return
        if len(socks) > 3000:
            socks.pop(0).close()

    def flood(self, path, pid, line):
        many = [request(i, DIAG, "Wait", msg((1, pid)))
                for i in range(1, 2049, 2)]

        def holder(path):
            s = control(path)
            s.send(many[0] if len(held) > 40 else b"".join(many))
            return s

        def word(path):
            s = Sock(path)
            s.send(b"CONN")
            return s

        held, data, words = [], [], []
        line.setblocking(False)
        told = False
        while True:
            for _ in range(20):
                self.refresh(path, held, holder)
                self.refresh(path, data, data_conn)
                self.refresh(path, words, word)
            if not told and len(held) > 1200 and len(data) > 1200:
                told = line.send(b".") == 1
            try:
                line.recv(1)
                return  # nobody is there any more
            except BlockingIOError:
                pass

    def at_full(self):
        self.line.settimeout(4 * PATIENCE)
        assert self.line.recv(1) == b".", "the flood broke off"

    def stop(self):
        self.line.close()
        assert os.waitpid(self.pid, 0)[1] == 0


def greedy(agent):
    """One process takes all there is; what others have stays, and they get in."""
    before = Baseline(agent)
    with control(agent.path) as c:
        pid = run(c, ["/bin/sleep", "1000"])
        # Never asked anything, asked once, waits; and data for later.
        silent, idle, waiting = (control(agent.path) for _ in range(3))
        idle.ping()
        waits_for = waiting.start(DIAG, "Wait", msg((1, pid)))
        kept = [data_conn(agent.path) for _ in range(5)]
        flooder = Flooder(agent.path, pid)
        try:
            flooder.at_full()
            for _ in range(20 * SOAK):
                at_once(agent)
                idle.ping()
            assert inspect_int(c, "conns/open") <= 1024
            assert inspect_int(c, "rpc/in_flight") <= 32 << 10
            assert inspect_int(c, "data/unclaimed") <= 1024
            silent.ping()
            for d in kept:
                mine = run(c, ["/bin/echo", "mine"], stdout=d.id)
                assert d.rest() == b"mine\n" and wait(c, mine) == 0
        finally:
            flooder.stop()
        c.call(SANDBOX, "Signal", msg((2, pid), (3, 15)))
        answer = waiting.frame()
        assert answer[4:8] == struct.pack(">I", waits_for)
        assert get(answer_of(answer), 2) == 15
        close([silent, idle, waiting] + kept)
    before.check()


def unclaimed(agent):
    """For an agent with --unclaimed: who is not called in time ends."""
    before = Baseline(agent)
    with control(agent.path) as c:
        with data_conn(agent.path) as called:
            pid = run(c, ["/bin/cat"], stdin=called.id)
            late = [data_conn(agent.path) for _ in range(20)]
            for d in late:
                assert d.rest() == b""
            assert inspect_int(c, "data/unclaimed") == 0
            assert "invalid connection id" in c.refused(
                DIAG, "Kmsg", msg((2, late[0].id)))[1]
            # One that was called in time goes on.
            called.send(b"x")
            called.half_close()
            assert wait(c, pid) == 0
        close(late)
    before.check()


def last_descriptor(agent):
    """A restart that has one descriptor left says what it is missing."""
    before = Baseline(agent)
    with control(agent.path) as c:
        used, seen = None, set()
        while used != seen:  # what has just ended is closed soon
            used = seen
            c.ping()
            seen = {int(n) for n in os.listdir(f"/proc/{agent.pid}/fd")}
        free = [n for n in range(max(used) + 3) if n not in used]
        old = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
        for left, word in ((0, "saved state"), (1, "watch the process")):
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE,
                             (free[left], old[1]))
            try:
                text = c.refused(DIAG, "Restart")[1]
            finally:
                resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, old)
            assert word in text and "open files" in text, text
        c.ping()
        c.call(DIAG, "Restart")
        c.ping()
    before.check()


def kmsg_flow(c, d):
    c.call(DIAG, "Kmsg", msg((1, 1), (2, d.id)))


def attached(c, d):
    if not hasattr(c, "kept"):
        c.kept = get(c.call(SANDBOX, "Exec", msg(
            (1, "/bin/sleep"), (1, "1000"), (8, msg((1, 4))))), 1)
    c.call(SANDBOX, "Attach", msg((1, c.kept), (3, 1), (5, d.id)))


def unread_output(c, d):
    run(c, ["/bin/true"], stdout=d.id)


def followed_file(c, d):
    c.call(DIAG, "ReadFile", msg((1, 1), (2, d.id), (3, "/etc/passwd")))


def hold_streams(path, begin, line):
    """As many as there are to be had, until @line ends."""
    held, why = [], None
    with control(path) as c:
        while why is None and len(held) < 2000:
            held.append(data_conn(path))
            try:
                begin(c, held[-1])
            except Refused as e:
                why = e.text
        line.sendall(f"{len(held) - 1} {why}".encode())
        line.recv(1)


def streams(agent):
    """
    For an agent with 1,024 descriptors: one client has every stream that it
    can get, of each kind, and reads none. Others have theirs.
    """
    before = Baseline(agent)
    kinds = [attached, unread_output, followed_file]
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        kinds.append(kmsg_flow)
    except OSError:
        print("# streams: no kernel log here")
    for begin in kinds:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            hold_streams(agent.path, begin, theirs)
            os._exit(0)
        theirs.close()
        ours.settimeout(4 * PATIENCE)
        told = ours.recv(1000).decode()
        assert int(told.split()[0]) >= 64, told
        assert "limit" in told or "already" in told, (begin, told)
        for _ in range(5):
            at_once(agent)
            with control(agent.path) as c, data_conn(agent.path) as d:
                c.call(DIAG, "ReadFile",
                       msg((2, d.id), (3, "/proc/self/comm")))
                assert d.rest() == b"davit-file\n"
        ours.close()
        assert os.waitpid(pid, 0)[1] == 0
    with control(agent.path) as c:
        c.call(SANDBOX, "Signal", msg((1, 0), (3, 9), (4, 2)))
    before.check()


def own_core(agent):
    """A core of the agent that nobody reads: it serves others meanwhile."""
    before = Baseline(agent)
    with control(agent.path) as c, data_conn(agent.path) as d:
        c.start(SANDBOX, "Core", msg((1, agent.pid), (2, d.id)))
        assert d.read(4) == b"\x7fELF"
        for _ in range(5):
            at_once(agent)
        size = 4 + len(d.rest())
        told = get(answer_of(c.frame()), 1)
        assert told == size, (told, size)
    before.check()


def refused_capture(agent):
    """A start that is refused leaves the capture that runs alone."""
    before = Baseline(agent)
    with control(agent.path) as c:
        def query(n):
            return get(c.call(SANDBOX, "CaptureQuery"), n)

        # Every machine has this one, and every answer lists it.
        with data_conn(agent.path) as d, data_conn(agent.path) as other:
            c.call(SANDBOX, "CaptureStart",
                   msg((1, 100), (2, d.id), (3, "lo")))
            assert query(2) == 1
            assert "nosuch0" in c.refused(
                SANDBOX, "CaptureStart",
                msg((1, 100), (2, other.id), (3, "nosuch0")))[1]
            assert query(2) == 1
            c.call(SANDBOX, "CaptureStop")
            assert len(d.rest()) > 0
        until(lambda: query(2) == 0, "it ends")
    before.check()


# ---- slow ones ----------------------------------------------------------

def slow_answers(agent):
    """Nobody reads the answers: then no more is read of the requests."""
    before = Baseline(agent)
    socks = [control(agent.path) for _ in range(8)]
    ask = request(1, INSPECT, "Inspect", msg((2, 0xffffffff))) * 1000
    sent = dict.fromkeys(socks, 0)
    for s in socks:
        s.sock.setblocking(False)
    # Until none of them takes more for a second.
    while ready := select.select([], [s.sock for s in socks], [], 1)[1]:
        for s in socks:
            if s.sock in ready:
                sent[s] += s.sock.send(ask)
                assert sent[s] < 64 * MIB, "it reads on"
    at_once(agent)
    limit = 8 * 8 * MIB + SLACK
    assert agent.sanitized() or agent.rss() - before.rss < limit
    close(socks)
    before.check()


def slow_output(agent):
    """One reader of output stopped; others get their GiB."""
    before = Baseline(agent)
    total = (64 * MIB if agent.sanitized() else 1024 * MIB) * SOAK
    with control(agent.path) as c:
        stopped = [data_conn(agent.path) for _ in range(20)]
        pids = [run(c, ["/bin/sh", "-c", "head -c 100000000 /dev/zero"],
                    stdout=d.id) for d in stopped]
        with data_conn(agent.path) as d:
            pid = run(c, ["/bin/sh", "-c", f"head -c {total} /dev/zero"],
                      stdout=d.id)
            got, room = 0, bytearray(MIB)
            while n := d.sock.recv_into(room):
                got += n
            assert got == total and wait(c, pid) == 0
        assert agent.sanitized() or agent.rss() - before.rss < 16 * MIB
        # One that goes ends its process' stream, and the process.
        close(stopped[:10])
        for pid in pids[:10]:
            assert wait(c, pid) in (141, 1)
        # The others read on, to the last byte.
        for d, pid in zip(stopped[10:], pids[10:]):
            got = 0
            while n := d.sock.recv_into(room):
                got += n
            assert got == 100000000 and wait(c, pid) == 0
        close(stopped)
    before.check()


def waits(agent):
    """More Waits than a connection may have; many connections of them."""
    before = Baseline(agent)
    with control(agent.path) as c:
        pid = run(c, ["/bin/sleep", "1000"])
        socks = [control(agent.path) for _ in range(20)]
        for s in socks:
            s.send(b"".join(request(i, DIAG, "Wait", msg((1, pid)))
                            for i in range(1, 3000, 2)))
            # 1,500, of which 1,024 are held.
            for _ in range(1500 - 1024):
                try:
                    answer_of(s.frame())
                    raise AssertionError("no limit")
                except Refused as e:
                    assert e.code == EXHAUSTED
        at_once(agent)
        assert inspect_int(c, "rpc/in_flight") == 20 * 1024
        close(socks[:10])
        until(lambda: inspect_int(c, "rpc/in_flight") == 10 * 1024,
              "those that went are cancelled")
        c.call(SANDBOX, "Signal", msg((2, pid), (3, 15)))
        for s in socks[10:]:
            seen = set()
            for _ in range(1024):
                answer = s.frame()
                assert get(answer_of(answer), 2) == 15
                seen.add(answer[4:8])
            assert len(seen) == 1024
        close(socks)
        assert wait(c, pid) == 143
        # Waits with a short end: each is answered, none is left.
        pid = run(c, ["/bin/sleep", "1000"])
        c.send(b"".join(request(i, DIAG, "Wait", msg((1, pid)), i * 1000)
                        for i in range(1, 2001, 2)))
        for _ in range(1000):
            assert b"deadline" in c.frame()
        c.call(SANDBOX, "Signal", msg((2, pid), (3, 9)))
    before.check()


# ---- processes ----------------------------------------------------------

def many_execs(agent):
    """200 at a time, each with its own status and its own bytes."""
    before = Baseline(agent)
    for _ in range(SOAK):
        with control(agent.path) as c:
            outs = [data_conn(agent.path) for _ in range(200)]
            ask = b"".join(request(2 * i + 1, DIAG, "Exec", exec_msg(
                ["/bin/sh", "-c", f"read x; echo {i} $x; exit {i}"],
                stdin=d.id, stdout=d.id)) for i, d in enumerate(outs))
            c.send(ask)
            for _ in outs:
                # One connection cannot be both its input and its output.
                try:
                    answer_of(c.frame())
                    raise AssertionError("claimed twice")
                except Refused as e:
                    assert e.code == UNKNOWN
            close(outs)
            ins = [data_conn(agent.path) for _ in range(200)]
            outs = [data_conn(agent.path) for _ in range(200)]
            c.send(b"".join(request(2 * i + 1, DIAG, "Exec", exec_msg(
                ["/bin/sh", "-c", f"read x; echo {i} $x; exit {i}"],
                stdin=ins[i].id, stdout=outs[i].id)) for i in range(200)))
            pids = {}
            for _ in outs:
                answer = c.frame()
                i = (struct.unpack(">I", answer[4:8])[0] - 1) // 2
                pids[i] = get(answer_of(answer), 1)
            c.send(b"".join(request(2 * i + 1, DIAG, "Wait",
                                    msg((1, pids[i]))) for i in range(200)))
            for i, d in enumerate(ins):
                d.send(b"word%d\n" % i)
            for i, d in enumerate(outs):
                assert d.rest() == b"%d word%d\n" % (i, i)
            for _ in outs:
                answer = c.frame()
                i = (struct.unpack(">I", answer[4:8])[0] - 1) // 2
                assert get(answer_of(answer), 1) == i
            close(ins + outs)
    before.check()


def records(agent):
    """2,000 that nobody waits for, with long words: the oldest are forgotten."""
    before = Baseline(agent)
    with control(agent.path) as c:
        n = (1100 if agent.sanitized() else 2000) * SOAK
        words = ["x" * 100000] * 5
        first = run(c, ["/bin/true"])
        for done in range(0, n, 50):
            c.send(b"".join(request(2 * i + 1, DIAG, "Exec", exec_msg(
                ["/bin/true"] + words)) for i in range(50)))
            for _ in range(50):
                answer_of(c.frame())
        until(lambda: get(c.call(SANDBOX, "Stats"), 1) == 0, "all have ended")
        assert get(c.call(SANDBOX, "Stats"), 2) == 1024
        assert "not found" in c.refused(DIAG, "Wait", msg((1, first)))[1]
        # A list of them has room in an answer.
        assert c.call(SANDBOX, "List")
    # 1,024 records with 2 KiB of their words each.
    before.check(kept=4 * MIB)


def kept(agent):
    """More kept output than has room: the oldest goes, a restart keeps it."""
    before = Baseline(agent)
    n = 200
    with control(agent.path) as c:
        ids = [get(c.call(SANDBOX, "Exec", msg(
            (1, "/bin/sh"), (1, "-c"),
            (1, "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"),
            (8, msg((1, 4))), (9, msg((1, 4))))), 1) for _ in range(n)]
        for i in ids:
            c.call(SANDBOX, "Wait", msg((1, i)))

        def attach(i):
            with data_conn(agent.path) as d:
                r = c.call(SANDBOX, "Attach", msg((1, i), (3, 1), (5, d.id)))
                return get(r, 1), len(d.rest())

        def gone():
            try:
                return attach(ids[n - 129]) is None
            except Refused as e:
                return "kept no more" in e.text

        until(gone, "room was made")
        for _ in range(2):
            assert attach(ids[-1]) == (300000 - (256 << 10), 256 << 10)
            until(lambda: agent.sanitized() or
                  agent.rss() - before.rss < 80 * MIB,
                  f"80 MiB: {agent.rss() - before.rss >> 20}")
            c.call(DIAG, "Restart")
        for i in ids:
            c.call(SANDBOX, "Release", msg((1, i)))
    before.check()


def killed_clients(agent):
    """Clients that are killed in every phase of their life."""
    before = Baseline(agent)
    phases = [
        lambda s: s.send(b"CONNECT 1\n"),
        lambda s: s.send(b"CONNECT 1\n" + PING[:20]),
        lambda s: s.send(b"CONNECT 1\n" + PING * 1000),
        lambda s: s.send(b"CONNECT 2\n"),
        lambda s: s.send(PREFACE),
        lambda s: s.send(PREFACE + h2(4, 0, 0, b"") + grpc_post(
            1, f"/{INSPECT}/Inspect", msg((2, 9)))[0]),
        kill_in_exec, kill_in_wait, kill_in_output, kill_in_input,
        kill_in_terminal, kill_in_file, kill_in_core,
    ]
    for _ in range(5 * SOAK):
        for phase in phases:
            ready, told = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(ready)
                try:
                    with Sock(agent.path) as s:
                        phase(s)
                        os.write(told, b".")
                        signal.pause()
                finally:
                    os._exit(1)
            os.close(told)
            assert os.read(ready, 1) == b".", phase
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ready)
        at_once(agent)
    # Their processes go on, but not without end: ours were cats and sleeps.
    with control(agent.path) as c:
        c.call(SANDBOX, "Signal", msg((3, 9), (4, 2)))
    before.check()


def begin(s, *what, **how):
    """Exec on @s, which has said nothing so far; with new connections."""
    s.send(b"CONNECT 1\n")
    s.read_line()
    ids = {k: data_conn(s.sock.getpeername()) for k in how.pop("conns", ())}
    s.data = ids
    return run(s, list(what), **{k: d.id for k, d in ids.items()}, **how)


def kill_in_exec(s):
    s.send(b"CONNECT 1\n")
    s.read_line()
    s.send(request(1, DIAG, "Exec", exec_msg(["/bin/sleep", "0.1"])))


def kill_in_wait(s):
    pid = begin(s, "/bin/sleep", "1000")
    s.start(DIAG, "Wait", msg((1, pid)))


def kill_in_output(s):
    begin(s, "/bin/cat", "/dev/zero", conns=("stdout", "stderr"))
    s.data["stdout"].read(100000)


def kill_in_input(s):
    begin(s, "/bin/cat", conns=("stdin", "stdout"))
    s.data["stdin"].send(b"x" * 100)
    s.data["stdout"].read(100)


def kill_in_terminal(s):
    begin(s, "/bin/sh", conns=("stdin", "stdout"), tty=1)
    s.data["stdin"].send(b"cat\n")
    s.data["stdout"].read(3)


def kill_in_file(s):
    s.send(b"CONNECT 1\n")
    s.read_line()
    s.data = data_conn(s.sock.getpeername())
    s.call(DIAG, "ReadFile", msg((1, 1), (2, s.data.id), (3, "/etc/passwd")))
    s.data.read(1)


def kill_in_core(s):
    pid = begin(s, "/bin/sleep", "1000")
    s.core = data_conn(s.sock.getpeername())
    s.start(SANDBOX, "Core", msg((1, pid), (2, s.core.id)))
    s.core.read(4)


def goes_on(agent):
    """An Exec whose client goes: the process goes on, and can be found."""
    before = Baseline(agent)
    with data_conn(agent.path) as out:
        with control(agent.path) as c:
            pid = run(c, ["/bin/sh", "-c", "echo begin; sleep 0.2; echo end;"
                          " exit 5"], stdout=out.id)
        # Not even its name is known to the second connection but by pid.
        assert out.rest() == b"begin\nend\n"
    with control(agent.path) as c:
        assert wait(c, pid) == 5
        # Gone before its answer could be sent.
        with data_conn(agent.path) as out:
            with control(agent.path) as short:
                short.start(DIAG, "Exec", exec_msg(
                    ["/bin/sh", "-c", "sleep 0.1; echo done"],
                    stdout=out.id))
            assert out.rest() == b"done\n"
        # Gone with its output: the process gets to know when it writes.
        out = data_conn(agent.path)
        pid = run(c, ["/bin/cat", "/dev/zero"], stdout=out.id)
        out.close()
        assert wait(c, pid) == 141
    before.check()


def ports(agent):
    """Data connections that are never claimed; ends in wrong places."""
    before = Baseline(agent)
    for _ in range(SOAK):
        socks = []
        for _ in range(1500):
            socks.append(data_conn(agent.path))
        with control(agent.path) as c:
            assert inspect_int(c, "data/unclaimed") <= 1024
            # One that was half closed is lost to its claim.
            last = socks[-1]
            last.half_close()
            code, text = c.refused(DIAG, "Kmsg", msg((2, last.id)))
            assert "connect" in text
            # What is written before the claim is not lost.
            early, out = data_conn(agent.path), data_conn(agent.path)
            early.send(b"early")
            pid = run(c, ["/bin/cat"], stdin=early.id, stdout=out.id)
            early.half_close()
            assert out.rest() == b"early" and wait(c, pid) == 0
            close([early, out])
        at_once(agent)
        close(socks)
    before.check()


def restart(agent):
    """The agent is executed again while peers of every kind are there."""
    before = Baseline(agent)
    top = (16 << 20) - 1
    with control(agent.path) as c:
        pid = run(c, ["/bin/sleep", "1000"])
        socks = []
        for first in (b"", b"C", b"CONNECT 1\n", b"CONNECT 2\n", PING[:5],
                      PREFACE, b"CONNECT 1\n" + PING[:20],
                      b"CONNECT 1\n" + LONG + bytes(100000)):
            socks += flood(agent.path, 150, first)
        waiting = [control(agent.path) for _ in range(20)]
        for s in waiting:
            s.send(b"".join(request(i, DIAG, "Wait", msg((1, pid)))
                            for i in range(1, 2001, 2)))
        long = control(agent.path)
        long.send(struct.pack(">IIBB", top, 1, 1, 0) + bytes(15 * MIB))
        # Padding is not kept, and does not prevent anything.
        padded = control(agent.path)
        for i in range(1, 101, 2):
            padded.send(request(i, DIAG, "Wait", msg((1, pid)) +
                                field(99, bytes(4 * MIB))))
        until(lambda: inspect_int(c, "rpc/in_flight") == 20050, "all are held")
        assert agent.sanitized() or agent.rss() - before.rss < 64 * MIB
        for _ in range(3 * SOAK):
            c.call(DIAG, "Restart")
            at_once(agent)
        for _ in range(1, 101, 2):
            assert b"restarts" in padded.frame()
        padded.close()
        # In the middle of a message is where it went on.
        long.send(bytes(top - 15 * MIB))
        assert b"\x08\x03" in long.frame()[:16]
        c.call(SANDBOX, "Signal", msg((2, pid), (3, 9)))
        for s in waiting:
            for _ in range(1000):
                assert get(answer_of(s.frame()), 2) == 9
        close(socks + waiting + [long])
    before.check()


CASES = {f.__name__: f for f in (
    truncation, lengths, four_gib, wrong_types, first_bytes, http2, nesting,
    tiny_frames, guessing, half_open, descriptors, passed_descriptors,
    greedy, unclaimed, last_descriptor, streams, own_core, refused_capture,
    slow_answers, slow_output, waits,
    many_execs, records, kept, killed_clients, goes_on, ports, restart)}

if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    main(CASES)
