# SPDX-License-Identifier: MIT
"""The messages of test.Grpc by hand: one number in field 1, bytes elsewhere."""

SERVICE = "test.Grpc"
FAIL_TEXT = "grüße: 100% of it\nis gone"
PATH_LEN = 1000


def varint(v):
    out = bytearray()
    while v > 0x7F:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def number(v):
    return b"\x08" + varint(v) if v else b""


def read_number(data):
    if not data or data[0] != 8:
        return 0
    v = shift = 0
    for c in data[1:]:
        v |= (c & 0x7F) << shift
        shift += 7
        if not c & 0x80:
            break
    return v


def unknown(length):
    """Field 15, `length` bytes in all."""
    for head in range(2, 8):
        size = varint(length - head)
        if 1 + len(size) == head:
            return b"\x7a" + size + bytes(length - head)
    raise ValueError(length)


def file_message(i):
    """FileRequest{conn: i, file_path: "xxx..."}"""
    conn = b"\x10" + varint(i) if i else b""
    return conn + b"\x1a" + varint(PATH_LEN) + b"x" * PATH_LEN


def number_of(data):
    """A number made of bytes: the sum of each times its place, from 1."""
    return sum(byte * (i + 1) for i, byte in enumerate(data))


def read_conn(data):
    return read_number(b"\x08" + data[1:]) if data[0] == 0x10 else 0
