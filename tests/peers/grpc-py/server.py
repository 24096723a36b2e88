#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Serves test.Grpc for davit's client: server.py SOCKET; prints "ready"."""
import os
import sys
import threading
import time
from concurrent import futures

import grpc

from wire import (FAIL_TEXT, SERVICE, file_message, number, number_of,
                  read_number, unknown)

MIB = 1 << 20
stop = threading.Event()
hangs = threading.Condition()
hanging = ended = 0
going = threading.Event()
servers = []


def unary(data, context):
    return number(read_number(data))


def empty(data, context):
    assert data == b""
    return b""


def fail(data, context):
    context.abort(grpc.StatusCode.NOT_FOUND, FAIL_TEXT)


def hang(data, context):
    global hanging, ended
    with hangs:
        hanging += 1
    end = threading.Event()
    if context.add_callback(end.set):
        end.wait()
    with hangs:
        hanging -= 1
        ended += 1
        hangs.notify_all()


def wait_cancel(data, context):
    global ended
    with hangs:
        hangs.wait_for(lambda: hanging == 0, 60)
        n, ended = ended, 0
    return number(n)


def stream(data, context):
    for i in range(read_number(data)):
        yield file_message(i)


def stream_fail(data, context):
    yield from stream(data, context)
    context.abort(grpc.StatusCode.ABORTED, "enough")


def big(data, context):
    return unknown(read_number(data))


def meta(data, context):
    pairs = dict(context.invocation_metadata())
    return number(int(pairs["x-number"]))


def binary(data, context):
    pairs = dict(context.invocation_metadata())
    return number(number_of(pairs["x-data-bin"]))


def restart(data, context):
    """What is in flight is finished, while another one listens."""
    servers[-1].stop(60)
    end = time.monotonic() + 60
    while os.path.exists(sys.argv[1]) and time.monotonic() < end:
        time.sleep(0.01)  # it is removed by another thread
    serve()
    return b""


def slow(data, context):
    going.wait(60)
    return number(read_number(data))


def go(data, context):
    going.set()
    return b""


def quit(data, context):
    stop.set()
    return b""


def handlers():
    one = grpc.unary_unary_rpc_method_handler
    many = grpc.unary_stream_rpc_method_handler
    return grpc.method_handlers_generic_handler(SERVICE, {
        "Unary": one(unary), "Empty": one(empty), "Fail": one(fail),
        "Hang": one(hang), "WaitCancel": one(wait_cancel), "Big": one(big),
        "Meta": one(meta), "Bin": one(binary), "Quit": one(quit),
        "Restart": one(restart), "Slow": one(slow), "Go": one(go),
        "Stream": many(stream), "StreamFail": many(stream_fail),
    })


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[
        ("grpc.max_send_message_length", 8 * MIB),
        ("grpc.max_receive_message_length", 8 * MIB),
    ])
    server.add_generic_rpc_handlers((handlers(),))
    server.add_insecure_port("unix:" + sys.argv[1])
    server.start()
    servers.append(server)


serve()
print("ready", flush=True)
stop.wait()
for s in servers:
    s.stop(60).wait()
