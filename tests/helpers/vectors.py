#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""vectors.py CASE SOCKET PID: the bytes of the protocol, sent to an agent.

The hex below are facts of the protocol as its first server and clients speak
it. Where an answer has no fixed bytes (pids, ids, trees) it is decoded, checked
and encoded again. What davit does otherwise on purpose is said in the case.
"""
import os
import re
import struct
import sys

from diagwire import (
    DIAG, HDR, INSPECT, INVALID, NOT_FOUND, OHCL, PING, PRECONDITION, PROFILER,
    SANDBOX, UNIMPLEMENTED, UNKNOWN, Refused, Sock, answer_of, control,
    data_conn, exec_msg, failure, fields, frame, get, main, msg, request, run,
    success, varint, wait)

H = bytes.fromhex
DIAG_HEX = "646961672e556e64657268696c6c44696167"

# Requests, by the number of their vector.
REQUESTS = {
    "4 ping": H(
        "000000180000000101000a10646961672e4f70656e68636c44696167120450696e67"),
    "11 exec": H(
        "0000004e0000000301000a12" + DIAG_HEX + "1204457865631a320a072f6269"
        "6e2f736812022d6312076563686f206869200128023003420d0a045445524d120578"
        "7465726d42050a03464f4f"),
    "13 exec tty": H(
        "000000450000000501000a12" + DIAG_HEX + "1204457865631a290a072f6269"
        "6e2f7368180120042805300642160a045445524d120e787465726d2d323536636f6c"
        "6f72"),
    "14 wait": H("0000001f0000000701000a12" + DIAG_HEX +
                 "1204576169741a0308d209"),
    "15 start": H(
        "0000003f0000001d01000a12" + DIAG_HEX + "120553746172741a220a140a0b"
        "4f50454e564d4d5f4c4f47120564656275670a030a015812052d2d666f6f"),
    "16 kmsg": H("000000200000001301000a12" + DIAG_HEX +
                 "12044b6d73671a0408011007"),
    "17 read file": H("000000300000001501000a12" + DIAG_HEX +
                      "12085265616446696c651a1010081a0c2f70726f632f75707469"
                      "6d65"),
    "18 query": H("000000230000001701000a12" + DIAG_HEX +
                  "120d5061636b657443617074757265"),
    "18 start": H("000000310000001901000a12" + DIAG_HEX + "120d5061636b6574"
                  "436170747572651a0c1801220808ffff031202090a"),
    "18 stop": H("000000270000001b01000a12" + DIAG_HEX +
                 "120d5061636b6574436170747572651a021802"),
    "20 inspect": H("000000350000000b01000a16696e73706563742e496e7370656374"
                    "536572766963651207496e73706563741a0c0a04766d2f7810ffff"
                    "ffff0f208094ebdc03"),
    "20 root": H("000000270000000d01000a16696e73706563742e496e737065637453"
                 "6572766963651207496e7370656374208094ebdc03"),
    "24 update": H("000000360000001101000a16696e73706563742e496e7370656374"
                   "5365727669636512065570646174651a140a0c74726163652f6669"
                   "6c7465721204696e666f"),
}
PONG = H("000000020000000102001200")
EMPTY = H("1200")  # what every empty success says
# 6, 7 and 8: what is refused before a service is asked.
NO_SERVICE = H(
    "000000260000000102000a24080c1220756e6b6e6f776e207365727669636520646961"
    "672e4f70656e68636c44696167")
EVEN = H("000000180000000201000a10646961672e4f70656e68636c44696167120450696e"
         "67")
EVEN_ANSWER = H(
    "0000002f0000000202000a2d0803122973747265616d206964206d757374206265206f"
    "646420666f7220636c69656e74207265717565737473")
DATA_FRAME = H("00000000000000010304")
DATA_ANSWER = H("0000001c0000000102000a1a08031216696e76616c6964206d65737361"
                "676520747970652033")
LONG = H("010000000000001f0100")
LONG_ANSWER = H(
    "000000430000001f02000a410808123d6d657373616765206c656e6774682031363737"
    "373231362065786365656473206d6178696d756d20616c6c6f7765642073697a652031"
    "36373737323135")
LATE_ANSWER = H("000000170000002102000a1508041211646561646c696e652065786365"
                "65646564")
FROB_ANSWER = H("000000190000002302000a17080c1213756e6b6e6f776e206d6574686f"
                "642046726f62")
EXEC_ANSWER = H("00000005000000030200120308d209")
EXIT_0 = H("000000020000000702001200")
EXIT_255 = H("00000005000000070200120308ff01")
NO_PID = H("000000130000000902000a110802120d706964206e6f7420666f756e64")
KMSG = H("362c3333392c353134303930302c2d3b4e45543a20526567697374657265642070"
         "726f746f636f6c2066616d696c792031300a2053554253595354454d3d6e65740a"
         "00")
TWO_STREAMS = H("0000000400000017020012020802")
SHB = H("0a0d0d0a0000001c1a2b3c4d00010000ffffffffffffffff0000001c")
DIR = H("000000320000000d020012300a2e222c0a130a0161120a1a080a060a0412020805"
        "1a0212000a150a0162120c1a0a0a080a0632040a0268691a020a00")
SIX = H("000000940000000d02001291010a8e01228b010a1c0a05636f756e74120f1a0d0a"
        "0b0a05120308ac02120208021a020a000a1c0a05666c616773120f1a0d0a0b0a05"
        "120308b424120208011a0212000a150a036e6567120a1a080a060a040a0208011a"
        "021a000a130a036f666612081a060a040a022a001a0212000a120a04736c6f7712"
        "0612040a020a001a0212000a0d0a0373756212020a001a021200")
MISSING = H("0000000a0000000f020012080a0612040a023200")
UPDATED = H("0000000e000000110200120c0a0a0a0832060a04696e666f")
IMMUTABLE = H("000000140000001102000a120802120e696d6d757461626c65206e6f6465")
PREFACE = H("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a")
WAIT_1234 = H("000000000308d209")
NO_CONN = b"invalid connection id"


def renumber(frame_bytes, stream):
    return frame_bytes[:4] + struct.pack(">I", stream) + frame_bytes[8:]


def payload_of(name):
    """What a vector's request carries for its method."""
    return get(REQUESTS[name][HDR:], 3, b"")


def same(got, want):
    assert got == want, f"\n got {got.hex()}\nwant {want.hex()}"


# ---- trees: decoded into tuples, and encoded again --------------------------

def one(data):
    (n, value), = fields(data)
    return n, value


def wrapped(data):
    """The only field, 1, of a wrapper; None when it was left out."""
    return one(data)[1] if data else None


def tree(data):
    n, value = one(data)
    if n == 1:
        assert value == b""
        return ("unevaluated",)
    if n == 2:
        kind, text = one(wrapped(value))
        return ("failed", kind, wrapped(text))
    if n == 3:
        both = dict(fields(wrapped(value)))
        kind, inner = one(both[1])
        return ("value", kind, wrapped(inner), both.get(2))
    assert n == 4, f"variant {n}"
    out = []
    for number, entry in fields(value):
        assert number == 1
        # All three fields are always there, in this order.
        (a, name), (b, node), (c, level) = fields(entry)
        assert (a, b, c) == (1, 2, 3)
        out.append((name, tree(node), one(level)))
    return ("dir", out)


def wrap(value):
    return b"" if value is None else msg((1, value))


def untree(t):
    if t[0] == "unevaluated":
        return msg((1, b""))
    if t[0] == "failed":
        return msg((2, msg((1, msg((t[1], wrap(t[2])))))))
    if t[0] == "value":
        value = [(1, msg((t[1], wrap_value(t[1], t[2]))))]
        if t[3] is not None:
            value.append((2, t[3]))
        return msg((3, msg((1, msg(*value)))))
    return msg((4, b"".join(
        msg((1, msg((1, name), (2, untree(node)), (3, msg(level)))))
        for name, node, level in t[1])))


def wrap_value(kind, v):
    if kind in (3, 4) and v is not None:  # fixed size
        return varint(8 | {3: 5, 4: 1}[kind]) + v
    return wrap(v)


def entries(t):
    assert t[0] == "dir", t
    return {name.decode(): node for name, node, _ in t[1]}


def ask_tree(c, path, depth=0xffffffff):
    """A part of the tree, whose bytes are what our own encoder makes of it."""
    got = c.call(INSPECT, "Inspect", msg((1, path), (2, depth)), 60 * 10**9)
    node = get(got, 1)
    t = tree(node)
    same(untree(t), node)
    return t


# ---- the cases --------------------------------------------------------------

def transport(agent):
    """1, 2, 3: the words of the handshake, and a connection's id."""
    with Sock(agent.path) as c:
        c.send(H("434f4e4e45435420310a"))
        assert re.fullmatch(rb"OK [0-9]{1,10}\n", c.read_line())
        same(c.ask(PING), PONG)
    seen = set()
    for _ in range(64):
        with Sock(agent.path) as c:
            c.send(H("434f4e4e45435420320a"))
            assert re.fullmatch(rb"OK [0-9]{1,10}\n", c.read_line())
            number, = struct.unpack("<Q", c.read(8))
            seen.add(number)
    # The vector counts from 1; ours cannot be guessed.
    assert len(seen) == 64 and min(seen) > 1 << 32
    for line in (b"connect 1\n", b"CONNECT +1\n", b"CONNECT 0001\n",
                 b"CoNnEcT 00000001-facb-11e6-bd58-64006a7986d3\n"):
        with Sock(agent.path) as c:
            c.send(line)
            # Who asks by service id is answered by one.
            assert c.read_line().startswith(b"OK "), line
            same(c.ask(PING), PONG)
    for line in (b"CONNECT 1\r\n", b"CONNECT  1\n", b"CONNECT 1 \n",
                 b"CONNECT 4294967296\n", b"CONNECT -1\n", b"CONNECT\n",
                 b"CONNECT 3\n", b"CONNECT " + b"0" * 60):
        with Sock(agent.path) as c:
            c.send(line)
            # Silence in the original; here a word that is not "OK ".
            assert c.rest()[:4] in (b"", b"ERR "), line


def basics(agent):
    """4 to 10."""
    with control(agent.path) as c:
        same(c.ask(REQUESTS["4 ping"]), PONG)
        same(c.ask(EVEN), EVEN_ANSWER)
        # No stream is open here, where a frame of data could belong to.
        same(c.ask(DATA_FRAME), DATA_ANSWER)
        c.send(LONG)
        for _ in range(16):
            c.send(bytes(1 << 20))
        same(c.frame(), LONG_ANSWER)
        same(c.ask(PING), PONG)
        pid = run(c, ["/bin/sleep", "1000"])
        same(c.ask(request(33, DIAG, "Wait", msg((1, pid)), 1)), LATE_ANSWER)
        same(c.ask(request(35, DIAG, "Frob")), FROB_ANSWER)
        same(c.ask(request(35, OHCL, "Frob")), FROB_ANSWER)
        # Flags mean nothing.
        same(c.ask(PING[:9] + b"\xff" + PING[10:]), PONG)
        kill(c, pid)
    with control(agent.path) as c:
        # One that says that it ends still gets its answers.
        c.send(PING * 3)
        c.half_close()
        same(c.rest(), PONG * 3)


def restricted(agent):
    """6: the answer of a server without the service."""
    with control(agent.path) as c:
        # Ping is still served by ours; the words are the same for others.
        same(c.ask(PING), PONG)
        want = NO_SERVICE.replace(b"diag.OpenhclDiag", b"diag.NonesuchDia")
        ask = request(1, "diag.NonesuchDia", "Ping")
        same(c.ask(ask), want)
        for service in (DIAG, SANDBOX, PROFILER):
            assert c.refused(service, "Exec") == (
                UNIMPLEMENTED, f"unknown service {service}")
        assert c.refused(OHCL, "MemoryProfileTrace")[0] == UNIMPLEMENTED
        assert c.refused(INSPECT, "Update")[0] == UNIMPLEMENTED
        same(c.ask(REQUESTS["20 inspect"]), renumber(MISSING, 11))
        for _, _, level in ask_tree(c, "")[1]:
            assert level == (1, b""), "only what is safe"


def kill(c, pid, signal=9):
    c.call(SANDBOX, "Signal", msg((2, pid), (3, signal)))


def processes(agent):
    """11 to 14."""
    with control(agent.path) as c:
        # Connection 1 does not exist where ids are random.
        same(c.ask(REQUESTS["11 exec"]), failure(
            3, UNKNOWN, b"failed to get stdin conn: " + NO_CONN))
        same(c.ask(REQUESTS["13 exec tty"])[HDR:HDR + 6],
             b"\x0a" + c_len(b"failed to get stderr conn: " + NO_CONN) +
             b"\x08\x02\x12" + bytes([len(b"failed to get stderr conn: " +
                                          NO_CONN)]))
        same(c.ask(renumber(REQUESTS["14 wait"], 9)), NO_PID)
        io = [data_conn(agent.path) for _ in range(3)]
        pid, got = exec_vector(c, "11 exec", io)
        shape = EXEC_ANSWER[:-2] + varint(pid)
        same(got, struct.pack(">I", len(shape) - HDR) + shape[4:11] +
             bytes([1 + len(varint(pid))]) + b"\x08" + varint(pid))
        assert io[1].rest() == b"hi\n" and io[2].rest() == b""
        ask = request(7, DIAG, "Wait", msg((1, pid)))
        # An answer that was delivered does not consume the record.
        same(c.ask(ask), EXIT_0)
        same(c.ask(ask), EXIT_0)
        pid = run(c, ["/bin/sh", "-c", "exit 255"])
        same(c.ask(request(7, DIAG, "Wait", msg((1, pid)))), EXIT_255)
        # 255 for a signal there; 128 + n here, and what it was.
        pid = run(c, ["/bin/sh", "-c", "kill -KILL $$"])
        same(c.ask(request(7, DIAG, "Wait", msg((1, pid)))),
             success(7, msg((1, 137), (2, 9))))
        close(io)


def c_len(text):
    return bytes([len(msg((1, 2), (2, text)))])


def close(socks):
    for s in socks:
        s.close()


def exec_vector(c, name, io):
    """A vector's Exec with ids that exist."""
    want = []
    for n, v in fields(payload_of(name)):
        want.append((n, io[n - 4].id if n in (4, 5, 6) else v))
    got = c.ask(request(3, DIAG, "Exec", msg(*want)))
    return get(answer_of(got), 1), got


def terminal(agent):
    """13: a shell on a terminal."""
    with control(agent.path) as c:
        io = [data_conn(agent.path) for _ in range(3)]
        pid, _ = exec_vector(c, "13 exec tty", io)
        # A connection for stderr is taken, and closed at once.
        assert io[2].rest() == b""
        io[0].send(b"stty -echo; tty; echo \"T=$TERM\"; exit 9\n")
        seen = io[1].rest()
        assert b"/dev/pts/" in seen and b"T=xterm-256color" in seen, seen
        assert wait(c, pid) == 9
        close(io)


def start(agent):
    """15: the agent holds its workload, which says what it was given."""
    with control(agent.path) as c:
        same(c.ask(REQUESTS["15 start"]), renumber(PONG, 0x1d))
        same(c.ask(REQUESTS["15 start"]), failure(
            0x1d, UNKNOWN, "workers have already been started"))


def kmsg(agent):
    """16: records of the kernel's log, each with a NUL."""
    with control(agent.path) as c:
        same(c.ask(REQUESTS["16 kmsg"]), failure(0x13, UNKNOWN, NO_CONN))
        with data_conn(agent.path) as d:
            same(c.ask(request(0x13, DIAG, "Kmsg", msg((2, d.id)))),
                 renumber(PONG, 0x13))
            data = d.rest()
    shape = rb"[0-9]+,[0-9]+,[0-9]+,[^;]*;[^\n]*\n( [^\n]*\n)*"
    assert re.fullmatch(shape, KMSG[:-1]), "the vector itself"
    assert data.endswith(b"\0") or not data
    for record in data.split(b"\0")[:-1]:
        assert re.fullmatch(shape, record), record
    with control(agent.path) as c, data_conn(agent.path) as d:
        # To follow: it ends when its reader goes.
        c.call(DIAG, "Kmsg", msg((1, 1), (2, d.id)))


def files(agent):
    """17: a file that is made up when it is read."""
    with control(agent.path) as c:
        same(c.ask(REQUESTS["17 read file"]), failure(0x15, UNKNOWN, NO_CONN))
        with data_conn(agent.path) as d:
            ask = msg((2, d.id), (3, get(payload_of("17 read file"), 3)))
            same(c.ask(request(0x15, DIAG, "ReadFile", ask)),
                 renumber(PONG, 0x15))
            assert re.fullmatch(rb"[0-9.]+ [0-9.]+\n", d.rest())
        for path, words in (("/", "cannot read directory"),
                            ("/no/such", "failed to open file")):
            with data_conn(agent.path) as d:
                code, text = c.refused(DIAG, "ReadFile",
                                       msg((2, d.id), (3, path)))
                assert code == UNKNOWN and words in text, text
                assert d.rest() == b""


def capture(agent):
    """18 and 19, where there are two interfaces: lo and another one."""
    with control(agent.path) as c:
        same(c.ask(REQUESTS["18 query"]), TWO_STREAMS)
        same(c.ask(REQUESTS["18 start"]), failure(0x19, UNKNOWN, NO_CONN))
        same(c.ask(REQUESTS["18 stop"]), renumber(PONG, 0x1b))
        io = [data_conn(agent.path) for _ in range(2)]
        ids = b"".join(varint(d.id) for d in io)
        ask = msg((3, 1), (4, msg((1, 65535), (2, ids))))
        same(c.ask(request(0x19, DIAG, "PacketCapture", ask)),
             renumber(PONG, 0x19))
        send_on_lo(c)
        same(c.ask(REQUESTS["18 stop"]), renumber(PONG, 0x1b))
        for d in io:
            pcapng(d.rest())
        close(io)


def send_on_lo(c):
    """One packet that carries a word, in the agent's own network."""
    pid = run(c, [sys.executable, "-c",
                  "import socket; s = socket.socket(2, 2);"
                  "s.sendto(b'fourteen bytes', ('127.0.0.1', 9))"])
    assert wait(c, pid) == 0


def pcapng(data):
    """
    The vector is big-endian and its times are nanoseconds that are said to be
    microseconds. Here a reader is told of nanoseconds, in the order of the
    bytes that the section names.
    """
    assert len(SHB) == 28
    order = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}[data[8:12]]
    same(data[:28], struct.pack(order + "IIIHHQI", 0x0a0d0d0a, 28, 0x1a2b3c4d,
                                1, 0, 2**64 - 1, 28))
    at, kinds = 28, []
    while at < len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        assert struct.unpack_from(order + "I", data, at + size - 4)[0] == size
        kinds.append(kind)
        body = data[at + 8:at + size - 4]
        if kind == 1:
            assert struct.unpack_from(order + "HHI", body) == (1, 0, 65535)
            assert struct.pack(order + "HHB", 9, 1, 9) in body, "nanoseconds"
        elif kind == 6:
            number, high, low = struct.unpack_from(order + "III", body)
            seconds = (high << 32 | low) / 1e9
            assert number == 0 and 1.5e9 < seconds < 5e9, "no date of today"
        at += size
    assert kinds[0] == 1 and at == len(data)


def inspect(agent):
    """20 to 23: trees."""
    for vector in (DIR, SIX):
        node = get(get(vector[HDR:], 2), 1)
        same(untree(tree(node)), node)
    with control(agent.path) as c:
        same(c.ask(renumber(REQUESTS["20 inspect"], 15)), MISSING)
        root = get(answer_of(c.ask(REQUESTS["20 root"])), 1)
        t = tree(root)
        same(untree(t), root)
        names = [name for name, _, _ in t[1]]
        assert names == sorted(names)
        for name in ("agent", "build", "host", "log", "mesh", "processes"):
            assert entries(t)[name] == ("unevaluated",), name
        everything = entries(ask_tree(c, ""))
        assert entries(everything["build"])["name"] == (
            "value", 6, b"davit-agent", None)
        pids = entries(entries(everything["mesh"])["hosts"])
        assert entries(pids[str(agent.pid)])["name"] == (
            "value", 6, b"davit-agent", None)
        assert entries(everything["rpc"])["calls"][3] == msg((1, 2)), "count"
        assert ask_tree(c, "///build//name//") == ("failed", 5, b"") or \
            ask_tree(c, "///build//name//")[1] == 5, "a value has no slash"
        assert ask_tree(c, "/build///name") == (
            "value", 6, b"davit-agent", None)


def update(agent):
    """24. The value that was there before is a field of davit's own."""
    with control(agent.path) as c:
        # There is no such node here.
        assert c.refused(INSPECT, "Update", payload_of("24 update")) == (
            UNKNOWN, "not found")
        got = c.ask(request(0x11, INSPECT, "Update",
                            msg((1, "log/filter"), (2, "info"))))
        new, old = fields(answer_of(got))
        same(success(0x11, msg(new)), UPDATED)
        assert old == (2, msg((1, msg((6, msg((1, "warn"))))))), old
        same(c.ask(request(0x11, INSPECT, "Update",
                           msg((1, "build/version"), (2, "info")))), IMMUTABLE)
        c.call(INSPECT, "Update", msg((1, "log/filter"), (2, "warn")))


def literal(name, value):
    """A header that no table has to know."""
    return (b"\0" + bytes([len(name)]) + name.encode() +
            bytes([len(value)]) + value.encode())


def h2(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def grpc_post(stream, path, message):
    head = b"".join(literal(*pair) for pair in (
        (":method", "POST"), (":scheme", "http"), (":path", path),
        (":authority", "x"), ("te", "trailers"),
        ("content-type", "application/grpc")))
    data = b"\0" + struct.pack(">I", len(message)) + message
    return h2(1, 4, stream, head) + h2(0, 1, stream, data), data


def h2_data(c, stream):
    """What a stream carries until it ends."""
    out = b""
    while True:
        head = c.read(9)
        size = int.from_bytes(head[:3], "big")
        kind, flags, number = struct.unpack(">BBI", head[3:])
        body = c.read(size)
        if number != stream:
            continue
        if kind == 0:
            out += body
        assert kind != 3, f"reset: {body.hex()}"
        if kind in (0, 1) and flags & 1:
            return out


def grpc(agent):
    """25: the preface of HTTP/2, and the frame of a Wait."""
    with control(agent.path) as t, Sock(agent.path) as c:
        c.send(PREFACE + h2(4, 0, 0, b""))
        ask, data = grpc_post(1, f"/{DIAG}/Wait", msg((1, 1234)))
        same(data, WAIT_1234)
        c.send(ask)
        assert h2_data(c, 1) == b"", "no answer, only a status"
        c.send(grpc_post(3, f"/{OHCL}/Ping", b"")[0])
        same(h2_data(c, 3), bytes(5))
        pid = run(t, ["/bin/sh", "-c", "exit 42"])
        c.send(grpc_post(5, f"/{DIAG}/Wait", msg((1, pid)))[0])
        same(h2_data(c, 5), H("0000000002082a"))
    with Sock(agent.path) as c:
        # Directly, the first byte of ttrpc says what it is.
        same(c.ask(PING), PONG)


# Every method with an empty request, or the least that it takes: what comes of
# it is True for success, else (code, text). Ids of connections do not exist.
NO_PROCESS = (NOT_FOUND, "no process with pid 0")
NO_STREAM = (NOT_FOUND, "invalid connection id")
METHODS = [
    (OHCL, "Ping", b"", True),
    (OHCL, "MemoryProfileTrace", b"", True),
    (OHCL, "MemoryProfileTrace", msg((1, -1)), (UNKNOWN, None)),
    (DIAG, "Exec", b"",
     (UNKNOWN, "failed to launch : no command was given")),
    (DIAG, "Exec", msg((1, "/no/such")),
     (UNKNOWN, "failed to launch /no/such: No such file or directory "
               "(os error 2)")),
    (DIAG, "Exec", msg((1, "/")),
     (UNKNOWN, "failed to launch /: Permission denied (os error 13)")),
    (DIAG, "Wait", b"", (UNKNOWN, "pid not found")),
    (DIAG, "Wait", msg((1, -1)), (UNKNOWN, "pid not found")),
    (DIAG, "Start", b"", (UNKNOWN, "there is no workload")),
    (DIAG, "Crash", b"", True),  # nobody; it says so only in its log
    (DIAG, "Kmsg", b"", (UNKNOWN, "invalid connection id")),
    (DIAG, "ReadFile", b"", (UNKNOWN, "invalid connection id")),
    (DIAG, "DumpSavedState", b"", True),
    (DIAG, "PacketCapture", b"", True),
    (DIAG, "PacketCapture", msg((3, 1)),
     (UNKNOWN, "missing start operation parameters")),
    (DIAG, "PacketCapture", msg((3, 2)), True),
    (DIAG, "PacketCapture", msg((3, 3)),
     (UNKNOWN, "unsupported request type 3")),
    (INSPECT, "Inspect", b"", True),
    (INSPECT, "Update", b"", (UNKNOWN, None)),
    (PROFILER, "Profile", b"", (UNIMPLEMENTED, "there is no profiler here")),
    (SANDBOX, "Hello", b"", True),
    (SANDBOX, "Exec", b"", (INVALID, "no command was given")),
    (SANDBOX, "Wait", b"", NO_PROCESS),
    (SANDBOX, "Wait", msg((1, 99)), (NOT_FOUND, "no process with id 99")),
    (SANDBOX, "Release", b"", NO_PROCESS),
    (SANDBOX, "Signal", b"", NO_PROCESS),
    (SANDBOX, "Signal", msg((4, 2)), True),  # all of none
    (SANDBOX, "Resize", b"", NO_PROCESS),
    (SANDBOX, "CloseStdin", b"", NO_PROCESS),
    (SANDBOX, "List", b"", True),
    (SANDBOX, "Attach", b"", NO_PROCESS),
    (SANDBOX, "Stats", b"", True),
    (SANDBOX, "Kmsg", b"", NO_STREAM),
    (SANDBOX, "ReadFile", b"", NO_STREAM),
    (SANDBOX, "Core", b"", NO_STREAM),
    (SANDBOX, "SavedState", b"", NO_STREAM),
    (SANDBOX, "MemProfile", b"", NO_STREAM),
    (SANDBOX, "CaptureQuery", b"", True),
    (SANDBOX, "CaptureStart", b"", (INVALID, "Insufficient streams")),
    (SANDBOX, "CaptureStop", b"", True),
    (SANDBOX, "Start", b"", (PRECONDITION, "there is no workload")),
    (SANDBOX, "Crash", b"", True),
    (SANDBOX, "Restart", b"", True),
    (DIAG, "Restart", b"", True),
]


def methods(agent):
    """Every method of every service, with the least that it can be given."""
    with control(agent.path) as c:
        for service, method, payload, want in METHODS:
            try:
                c.call(service, method, payload)
                got = True
            except Refused as e:
                got = (e.code, e.text)
            if want is not True and want[1] is None:
                got = got if got is True else (got[0], None)
            assert got == want, f"{service}/{method}: {got}"
        # Not all machines let us freeze: then both say why.
        for service in (DIAG, SANDBOX):
            try:
                c.call(service, "Pause")
            except Refused as e:
                assert e.text, "it says why"
            else:
                c.call(service, "Resume")
        # What no schema knows is skipped, what is of a wrong kind is not.
        c.call(OHCL, "Ping", msg((99, "x"), (98, 1)))
        for payload in (b"\xff", b"\x0b", msg((1, 5))):
            assert c.refused(DIAG, "Exec", payload)[0] == INVALID


def texts(agent):
    """Whatever a request holds, the text of a failure is UTF-8."""
    with control(agent.path) as c, data_conn(agent.path) as d:
        for n in range(350, 360):
            name = "x" * n + "\u00e9" * 20
            assert c.refused(name, "M")[0] == UNIMPLEMENTED
            assert c.refused(OHCL, name)[0] == UNIMPLEMENTED
            assert c.refused(INSPECT, "Update",
                             msg((1, "log/filter"), (2, name)))[0] == UNKNOWN
        code, text = c.refused(DIAG, "Exec", exec_msg([b"a\xffb"]))
        assert code == UNKNOWN and "a?b" in text, text
        assert c.refused(DIAG, "ReadFile",
                         msg((2, d.id), (3, b"/\xff")))[0] == UNKNOWN


CASES = {f.__name__: f for f in (
    transport, basics, restricted, processes, terminal, start, kmsg, files,
    capture, inspect, update, grpc, methods, texts)}

if __name__ == "__main__":
    main(CASES)
