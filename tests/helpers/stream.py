#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""stream.py BYTES CMD...: is what CMD writes to stdout what it got on stdin?

Feeds CMD with BYTES random bytes and compares, byte by byte. The block of
random bytes is prime in size, so that what is lost, repeated or out of order
cannot look right by chance.
"""
import os
import subprocess
import sys
import threading

BLOCK = os.urandom(33554393)


def feed(pipe, left):
    with pipe:
        while left:
            n = min(left, len(BLOCK))
            pipe.write(memoryview(BLOCK)[:n])
            left -= n


def compare(pipe, size):
    at = 0
    while chunk := pipe.read1(1 << 20):
        pos = 0
        while pos < len(chunk):
            off = (at + pos) % len(BLOCK)
            n = min(len(chunk) - pos, len(BLOCK) - off)
            if memoryview(chunk)[pos:pos + n] != memoryview(BLOCK)[off:off + n]:
                sys.exit(f"other bytes near offset {at + pos}")
            pos += n
        at += len(chunk)
    if at != size:
        sys.exit(f"{at} bytes instead of {size}")


def main():
    size = int(sys.argv[1])
    child = subprocess.Popen(sys.argv[2:], bufsize=0, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    feeder = threading.Thread(target=feed, args=(child.stdin, size),
                              daemon=True)
    feeder.start()
    with open(child.stdout.fileno(), "rb", buffering=1 << 20,
              closefd=False) as out:
        compare(out, size)
    feeder.join()
    sys.exit(child.wait())


main()
