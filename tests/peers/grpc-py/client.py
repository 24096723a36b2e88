#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Calls davit's server: client.py SOCKET SCENE [N]"""
import sys
import threading
import time

import grpc

from wire import (FAIL_TEXT, PATH_LEN, SERVICE, number, number_of, read_conn,
                  read_number, unknown)

MIB = 1 << 20
TIMEOUT = 20

channel = grpc.insecure_channel("unix:" + sys.argv[1], options=[
    ("grpc.max_send_message_length", 8 * MIB),
    ("grpc.max_receive_message_length", 8 * MIB),
])


def method(name):
    return channel.unary_unary(f"/{SERVICE}/{name}")


def stream_method(name):
    return channel.unary_stream(f"/{SERVICE}/{name}")


def call(name, data=b"", timeout=TIMEOUT, **kw):
    return method(name)(data, timeout=timeout, **kw)


def failure(name, data=b"", **kw):
    try:
        call(name, data, **kw)
    except grpc.RpcError as e:
        return e
    raise AssertionError("it did not fail")


def unary():
    assert read_number(call("Unary", number(1234))) == 1234


def empty():
    assert call("Empty") == b""


def fail():
    e = failure("Fail")
    assert e.code() == grpc.StatusCode.NOT_FOUND
    assert e.details() == FAIL_TEXT, e.details()
    trailers = dict(e.trailing_metadata())
    details = trailers["grpc-status-details-bin"]
    text = FAIL_TEXT.encode()
    assert details == b"\x08\x05\x12" + bytes([len(text)]) + text, details
    assert trailers["davit-hint"] == "look elsewhere"


def unknown_method():
    assert failure("Nothing").code() == grpc.StatusCode.UNIMPLEMENTED
    unary()


def malformed():
    e = failure("Unary", b"\x0f\xff")
    assert e.code() == grpc.StatusCode.INVALID_ARGUMENT, e
    unary()


def compressed():
    e = failure("Unary", number(5) + unknown(5000),
                compression=grpc.Compression.Gzip)
    assert e.code() == grpc.StatusCode.UNIMPLEMENTED, e
    unary()


def ended_there():
    """Whether a Hang got there, and has ended there."""
    return read_number(call("WaitCancel")) > 0


def deadline():
    """Where all is slow the end may come before the server has begun."""
    unary()
    for n in range(9):
        e = failure("Hang", timeout=0.05 * 2 ** n)
        assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        if ended_there():
            return
    raise AssertionError("the server never saw the end")


def cancel():
    for _ in range(50):
        hang = method("Hang").future(b"")
        unary()
        hang.cancel()
        if ended_there():
            return
    raise AssertionError("the server never saw the end")


def stream():
    """The reader does not read until the server could send no more."""
    answers = stream_method("Stream")(number(10000), timeout=60)
    call("WaitStall")
    n = 0
    for msg in answers:
        assert read_conn(msg) == n and len(msg) > PATH_LEN
        n += 1
    assert n == 10000
    assert list(stream_method("Stream")(number(0), timeout=TIMEOUT)) == []
    answers = stream_method("StreamFail")(number(3), timeout=TIMEOUT)
    n = 0
    try:
        for _ in answers:
            n += 1
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.ABORTED
    assert n == 3


def stream_cancel():
    answers = stream_method("Stream")(number(100000))
    assert read_conn(next(answers)) == 0
    answers.cancel()
    unary()


def big():
    data = call("Big", number(3 * MIB) + unknown(3 * MIB))
    assert len(data) == 3 * MIB


def toobig():
    e = failure("Big", number(1) + unknown(5 * MIB))
    assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, e
    e = failure("Big", number(5 * MIB))
    assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, e
    unary()


def many():
    f = method("Unary")
    for _ in range(10):
        calls = [f.future(number(i), timeout=TIMEOUT) for i in range(1, 101)]
        assert sum(read_number(c.result()) for c in calls) == 5050


def many_big():
    f = method("Big")
    calls = [f.future(number(MIB) + unknown(MIB), timeout=60)
             for i in range(100)]
    assert all(len(c.result()) == MIB for c in calls)


def serial():
    f = method("Unary")
    for i in range(1, 1001):
        assert read_number(f(number(i), timeout=TIMEOUT)) == i


def metadata():
    data = call("Unary", number(7), metadata=[
        ("x-text", "some text"), ("x-data-bin", bytes(range(256)))])
    assert read_number(data) == 7


def binary():
    data = bytes(range(255, -1, -1))
    for n in list(range(1, 8)) + list(range(8, 257, 31)):
        answer = call("Bin", metadata=[
            ("x-data-bin", data[:n]), ("x-data-bin", b"another"),
            ("x-text", "some text")])
        assert read_number(answer) == number_of(data[:n])


def headers():
    """More header fields than are taken end the call, not the connection."""
    e = failure("Unary", number(7), metadata=[("x-long", "y" * 20000)])
    assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, e
    unary()


def goaway():
    unary()
    call("Drain")
    call("Unary", number(2), wait_for_ready=True)


def bench():
    n = int(sys.argv[3])
    f = method("Unary")
    f(number(1))
    start = time.monotonic()
    for _ in range(n):
        f(number(1))
    print(f"serial: {n / (time.monotonic() - start):.0f} calls/s")
    start = time.monotonic()
    room = threading.Semaphore(32)
    done = threading.Semaphore(0)

    def ended(_):
        room.release()
        done.release()

    for _ in range(n):
        room.acquire()
        f.future(number(1)).add_done_callback(ended)
    for _ in range(n):
        done.acquire()
    print(f"32 at a time: {n / (time.monotonic() - start):.0f} calls/s")


def quit():
    call("Quit")


SCENES = {f.__name__: f for f in (
    unary, empty, fail, malformed, compressed, deadline, cancel, stream,
    stream_cancel, big, toobig, many, many_big, serial, metadata, binary, headers,
    goaway, bench, quit)}
SCENES["unknown"] = unknown_method
SCENES[sys.argv[2]]()
channel.close()
print("ok")
