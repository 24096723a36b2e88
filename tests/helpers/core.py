#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""core.py FILE: what is in an ELF core, one fact a line.

	size BYTES
	thread TID		in the order of the file
	note OWNER TYPE BYTES
	build-id FILE HEX	of each mapped file whose first page is there

Fails when the file is shorter or longer than its headers say.
"""
import struct
import sys

PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS, NT_FILE, NT_GNU_BUILD_ID = 1, 0x46494C45, 3


def notes(data):
    at = 0
    while at < len(data):
        name_len, len_, type_ = struct.unpack_from("<III", data, at)
        at += 12
        name = data[at:at + name_len].rstrip(b"\0").decode()
        at += (name_len + 3) // 4 * 4
        yield name, type_, data[at:at + len_]
        at += (len_ + 3) // 4 * 4
    assert at == len(data), "the last note is cut"


def headers(data, base=0):
    assert data[base:base + 4] == b"\x7fELF"
    off, = struct.unpack_from("<Q", data, base + 32)
    size, n = struct.unpack_from("<HH", data, base + 54)
    for i in range(n):
        yield struct.unpack_from("<IIQQQQQQ", data, base + off + i * size)


def files(desc):
    n, _page = struct.unpack_from("<QQ", desc)
    names = desc[16 + 24 * n:].split(b"\0")
    for i in range(n):
        start, _end, pages = struct.unpack_from("<QQQ", desc, 16 + 24 * i)
        yield start, pages, names[i].decode()


def build_id(page):
    for type_, _flags, off, _va, _pa, size, _mem, _al in headers(page):
        if type_ == PT_NOTE and off + size <= len(page):
            for name, kind, desc in notes(page[off:off + size]):
                if name == "GNU" and kind == NT_GNU_BUILD_ID:
                    return desc.hex()
    return None


def main():
    data = open(sys.argv[1], "rb").read()
    loads, core_notes, end = {}, b"", 0
    for type_, _flags, off, va, _pa, size, _mem, _al in headers(data):
        end = off + size
        if type_ == PT_NOTE:
            core_notes = data[off:off + size]
        elif type_ == PT_LOAD:
            loads[va] = data[off:off + size]
    assert end == len(data), f"{len(data)} bytes, expected {end}"
    print("size", len(data))
    for name, type_, desc in notes(core_notes):
        print("note", name, type_, len(desc))
        if type_ == NT_PRSTATUS:
            print("thread", struct.unpack_from("<I", desc, 32)[0])
        if type_ != NT_FILE:
            continue
        for start, pages, path in files(desc):
            page = loads.get(start, b"")
            if pages == 0 and page[:4] == b"\x7fELF":
                print("build-id", path, build_id(page))


main()
