#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Carries bytes through a sandbox while something is done to its keeper:
carry.py DAVIT NAME SOCK SECONDS EXECS PORTS -- COMMAND...

EXECS commands are executed in the sandbox, and PORTS connections go to port 5000
of it, where somebody sends back what comes. Every second command's streams are relayed
by the keeper. All are fed for SECONDS; meanwhile COMMAND is run again and again.
What comes back has to be what was sent, and every exit status the command's own.
"""
import os
import random
import socket
import subprocess
import sys
import threading
import time

davit, name, sock, seconds, execs, ports = sys.argv[1:7]
command = sys.argv[8:]
until = time.monotonic() + float(seconds)
faults = []


def feed(rnd, put, end, sent):
    """Write random pieces until it is time, then end it."""
    try:
        while time.monotonic() < until:
            piece = rnd.randbytes(rnd.randrange(1, 20000))
            sent.append(piece)
            put(piece)
            time.sleep(rnd.random() * 0.02)
        end()
    except OSError as e:
        faults.append(f"feeding: {e}")


def check(what, sent, got):
    sent = b"".join(sent)
    if sent != got:
        faults.append(f"{what}: sent {len(sent)}, got {len(got)}, equal up to "
                      f"{len(os.path.commonprefix([sent, got]))}")


def one_exec(i):
    rnd = random.Random(i)
    words = [davit, "exec", name, "--"]
    if i % 2:
        words = [davit, "diag", name, "exec", "--relayed", "--"]
    p = subprocess.Popen(words + ["sh", "-c", f"cat; exit {i + 1}"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sent = []
    t = threading.Thread(target=feed, args=(
        rnd, lambda b: (p.stdin.write(b), p.stdin.flush()), p.stdin.close,
        sent))
    t.start()
    got = p.stdout.read()
    t.join()
    check(f"exec {i}", sent, got)
    status = p.wait()
    if status != i + 1:
        faults.append(f"exec {i}: status {status}, expected {i + 1}")


def one_port(i):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sock)
    s.sendall(b"CONNECT 5000\n")
    line = b""
    while not line.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            faults.append(f"port {i}: no answer: {line!r}")
            return
        line += byte
    if not line.startswith(b"OK "):
        faults.append(f"port {i}: {line!r}")
        return
    sent, got = [], b""
    t = threading.Thread(target=feed, args=(
        random.Random(1000 + i), s.sendall,
        lambda: s.shutdown(socket.SHUT_WR), sent))
    t.start()
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        got += piece
    t.join()
    check(f"port {i}", sent, got)


threads = [threading.Thread(target=f, args=(i,))
           for f, n in ((one_exec, execs), (one_port, ports))
           for i in range(int(n))]
for t in threads:
    t.start()
times = 0
while time.monotonic() < until:
    r = subprocess.run(command, capture_output=True, text=True)
    times += 1
    if r.returncode:
        faults.append(f"{command[1]}: {r.returncode} {r.stderr.strip()}")
    time.sleep(0.1)
for t in threads:
    t.join()
print("\n".join(faults[:20]))
print(f"{times} times, {len(faults)} faults")
sys.exit(bool(faults))
