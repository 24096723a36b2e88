# SPDX-License-Identifier: MIT
"""The wire of the diagnostics services, as a client without any library.

Protobuf messages are lists of (number, value): an int is a varint, bytes or
str are length-delimited. Frames are ttrpc's: length and stream id (big-endian),
type, flags, and the message.
"""
import os
import socket
import struct
import sys
import time

HDR = 10
REQUEST, RESPONSE, DATA = 1, 2, 3
OHCL, DIAG = "diag.OpenhclDiag", "diag.UnderhillDiag"
INSPECT, PROFILER = "inspect.InspectService", "profile.AzureProfiler"
SANDBOX = "davit.v1.Sandbox"
UNKNOWN, INVALID, DEADLINE, NOT_FOUND, DENIED = 2, 3, 4, 5, 7
EXHAUSTED, PRECONDITION, UNIMPLEMENTED = 8, 9, 12
# A peer that takes longer than this hangs.
PATIENCE = 100


def varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(n, value):
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(n << 3 | 2) + varint(len(value)) + value
    return varint(n << 3) + varint(value)


def msg(*fields):
    return b"".join(field(n, v) for n, v in fields)


def read_varint(data, at):
    v = shift = 0
    while True:
        b = data[at]
        at += 1
        v |= (b & 0x7f) << shift
        shift += 7
        if b < 0x80:
            return v, at


def fields(data):
    """[(number, value)] of a message; fixed-size values as bytes."""
    out, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            v, at = read_varint(data, at)
        else:
            n = {1: 8, 5: 4}.get(kind)
            if n is None:
                assert kind == 2, f"wire type {kind}"
                n, at = read_varint(data, at)
            v, at = data[at:at + n], at + n
            assert len(v) == n, "cut off"
        out.append((key >> 3, v))
    return out


def get(data, n, default=0):
    """The last field @n of a message."""
    found = [v for k, v in fields(data) if k == n]
    return found[-1] if found else default


def frame(stream, payload, kind=REQUEST, flags=0):
    return struct.pack(">IIBB", len(payload), stream, kind, flags) + payload


def request(stream, service, method, payload=b"", timeout_ns=0):
    rq = [(1, service), (2, method)]
    if payload:
        rq.append((3, payload))
    if timeout_ns:
        rq.append((4, timeout_ns))
    return frame(stream, msg(*rq))


def failure(stream, code, text):
    return frame(stream, msg((1, msg((1, code), (2, text)))), RESPONSE)


def success(stream, payload=b""):
    return frame(stream, msg((2, payload)), RESPONSE)


PING = request(1, OHCL, "Ping")
PONG = success(1)


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code} {text!r}")
        self.code, self.text = code, text


class Gone(Exception):
    """The connection ended where more was to come."""


def answer_of(frame_bytes):
    """The payload of a response, or Refused. Text has to be UTF-8."""
    kind, = struct.unpack(">B", frame_bytes[8:9])
    assert kind == RESPONSE, f"message type {kind}"
    (n, value), = fields(frame_bytes[HDR:])
    if n == 2:
        return value
    assert n == 1, f"field {n}"
    text = get(value, 2, b"")
    raise Refused(get(value, 1), text.decode("utf-8", "strict"))


class Sock:
    """A connection to the agent's socket as it is."""

    def __init__(self, path, port=None, patience=PATIENCE):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(patience)
        self.stream = -1
        end = time.monotonic() + patience
        while True:
            try:
                self.sock.connect(path)
                break
            except BlockingIOError:  # the queue is full
                assert time.monotonic() < end, "nobody accepts"
                time.sleep(0.001)
        self.line = b""
        if port is not None:
            self.send(b"CONNECT %d\n" % port)
            self.line = self.read_line()
            assert self.line.startswith(b"OK "), self.line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def read(self, n):
        got = bytearray()
        while len(got) < n:
            piece = self.sock.recv(min(n - len(got), 1 << 20))
            if not piece:
                raise Gone(f"after {len(got)} of {n} bytes")
            got += piece
        return bytes(got)

    def read_line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.read(1)
        return line

    def rest(self):
        """All that comes until the end; a reset ends it, too."""
        out = bytearray()
        try:
            while piece := self.sock.recv(1 << 16):
                out += piece
        except ConnectionResetError:
            pass
        return bytes(out)

    def frame(self):
        head = self.read(HDR)
        return head + self.read(struct.unpack(">I", head[:4])[0])

    def ask(self, data):
        self.send(data)
        return self.frame()

    def start(self, service, method, payload=b"", timeout_ns=0):
        self.stream += 2
        self.send(request(self.stream, service, method, payload, timeout_ns))
        return self.stream

    def call(self, service, method, payload=b"", timeout_ns=0):
        """One call at a time: its answer's payload."""
        stream = self.start(service, method, payload, timeout_ns)
        got = self.frame()
        assert struct.unpack(">I", got[4:8])[0] == stream, got[:HDR].hex()
        return answer_of(got)

    def refused(self, service, method, payload=b"", timeout_ns=0):
        try:
            got = self.call(service, method, payload, timeout_ns)
        except Refused as e:
            return e.code, e.text
        raise AssertionError(f"{method}: {got.hex()}, not refused")

    def ping(self):
        assert self.call(OHCL, "Ping") == b""


def control(path):
    return Sock(path, 1)


def data_conn(path):
    """A data connection; .id is what names it."""
    s = Sock(path, 2)
    s.id, = struct.unpack("<Q", s.read(8))
    assert s.id != 0
    return s


def waited(pid="self"):
    """Seconds that a process was ready and had no processor, as far as told."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[1]) / 1e9
    except OSError:
        return 0


def good_client(path):
    """What an innocent client does. Returns the seconds that it took."""
    began = time.monotonic()
    with control(path) as c, data_conn(path) as out:
        c.ping()
        pid = run(c, ["/bin/sh", "-c", "echo good; exit 7"], stdout=out.id)
        assert out.rest() == b"good\n"
        assert wait(c, pid) == 7
    return time.monotonic() - began


def exec_msg(argv, stdin=0, stdout=0, stderr=0, **more):
    numbers = {"tty": 3, "combine": 7, "clear_env": 9, "raw": 10}
    out = [(1, argv[0])] + [(2, a) for a in argv[1:]]
    out += [(n, v) for n, v in ((4, stdin), (5, stdout), (6, stderr)) if v]
    out += [(8, msg(*pair)) for pair in more.pop("env", ())]
    out += [(numbers[k], int(v)) for k, v in more.items()]
    return msg(*out)


def run(c, argv, **more):
    return get(c.call(DIAG, "Exec", exec_msg(argv, **more)), 1)


def wait(c, pid):
    return get(c.call(DIAG, "Wait", msg((1, pid))), 1)


def inspect_int(c, path):
    """An unsigned number of the tree."""
    node = get(c.call(INSPECT, "Inspect", msg((1, path))), 1)
    kind = get(get(get(node, 3), 1), 1)
    assert get(kind, 2, None) is not None, f"{path}: {node.hex()}"
    return get(get(kind, 2), 1)


class Agent:
    """What can be seen of the agent from outside."""

    def __init__(self, path, pid):
        self.path, self.pid = path, int(pid)

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}") as f:
            return f.read()

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        for line in self.proc("status").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu(self):
        """Seconds of CPU so far."""
        words = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def sanitized(self):
        return "libasan" in self.proc("maps")


def until(true, what, patience=PATIENCE):
    """Waits for a condition that nothing else tells of."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


def main(cases):
    """CASE SOCKET PID: runs one case."""
    case, path, pid = sys.argv[1:4]
    cases[case](Agent(path, pid))
