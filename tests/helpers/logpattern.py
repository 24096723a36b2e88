# SPDX-License-Identifier: MIT
"""Bytes that say where they are.

    write FIRST LAST      print blocks of 4096 bytes: "#", 15 digits, "x"...
    part OFFSET LENGTH    print that part of it
    check GAPS TOTAL      read what a viewer got: what is there is right, and
                          what is missing is what its stderr, the file GAPS,
                          says; prints the bytes and the gaps
"""
import re
import sys

BLOCK = 4096
FILLER = b"x" * (BLOCK - 16)
MARK = re.compile(rb"#(\d{15})x")


def block(n):
    return b"#%015d" % n + FILLER


def write(first, last):
    for at in range(first, last, 256):
        blocks = range(at, min(at + 256, last))
        sys.stdout.buffer.write(b"".join(map(block, blocks)))


def part(offset, length):
    first, last = offset // BLOCK, (offset + length) // BLOCK + 1
    data = b"".join(map(block, range(first, last)))
    at = offset - first * BLOCK
    sys.stdout.buffer.write(data[at:at + length])


class Checker:
    """Between two marks all is there, or so many bytes less."""

    def __init__(self):
        self.got = self.missing = self.gaps = 0
        self.mark = self.mark_at = 0  # the last one, and where it was read

    def see(self, mark, at, between):
        want = (mark - self.mark) * BLOCK
        got = at - self.mark_at
        assert mark > self.mark or at == 0, f"block {mark} again"
        assert got <= want, f"{got - want} bytes too many before {mark}"
        if got == want:
            assert between is None or between == FILLER, f"before {mark}"
        else:
            self.missing += want - got
            self.gaps += 1
        self.mark, self.mark_at = mark, at

    def read(self, stream):
        held = b""  # from the last mark on
        while True:
            data = stream.read1(1 << 20)
            held += data
            base = self.got + len(data) - len(held)
            self.got += len(data)
            last = None
            for m in MARK.finditer(held):
                at = base + m.start()
                if at > self.mark_at or at == 0:
                    between = None if last is None else \
                        held[last + 16:m.start()]
                    self.see(int(m[1]), at, between)
                last = m.start()
            held = held[last or 0:]
            if not data:
                return


def check(path, total):
    c = Checker()
    c.read(sys.stdin.buffer)
    # The last part has no mark behind it.
    tail, rest = c.got - c.mark_at, total - c.mark * BLOCK
    assert tail <= rest, f"{tail - rest} bytes too many at the end"
    c.missing += rest - tail
    told = 0
    for line in open(path):
        m = re.fullmatch(r"davit: (\d+) bytes are missing here\n", line)
        assert m, f"stderr: {line}"
        told += int(m[1])
    assert told == c.missing, f"{told} bytes told, {c.missing} are missing"
    assert c.got + told == total
    print(c.got, told)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "part":
        part(int(sys.argv[2]), int(sys.argv[3]))
    else:
        check(sys.argv[2], int(sys.argv[3]))
