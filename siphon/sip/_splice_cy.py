"""Splices: an edited message as (start, end, replacement) on the bytes of the original, sorted, not overlapping.

They are what a transaction record keeps of a script's edits: the original and the splices give the edited message back
byte for byte. `pack_splices` is their form in a record: a count, then start, end, length (16, 16, 32 bits, little
endian) and the replacement of each. ValueError for splices out of order or outside of the message, and for packed
bytes cut short.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import struct

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.string import memcpy

Splices = list
_COUNT = struct.Struct("<H")
_HEAD = struct.Struct("<HHI")


@cython.ccall
def apply_splices(raw: bytes, splices) -> bytes:
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(raw)
    total: cython.Py_ssize_t = size
    at: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    end: cython.Py_ssize_t
    text: bytes
    for start, end, text in splices:
        if start < at or end < start or end > size:
            raise ValueError(f"splice {start}:{end} out of order or outside")
        total += PyBytes_GET_SIZE(text) - (end - start)
        at = end
    result: bytes = PyBytes_FromStringAndSize(cython.NULL, total)
    source: cython.p_char = PyBytes_AS_STRING(raw)
    out: cython.p_char = PyBytes_AS_STRING(result)
    at = 0
    for start, end, text in splices:
        memcpy(out, source + at, start - at)
        out += start - at
        memcpy(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        out += PyBytes_GET_SIZE(text)
        at = end
    memcpy(out, source + at, size - at)
    return result


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def put(out: cython.p_uchar, number: cython.uint, size: cython.int) -> cython.p_uchar:
    """A number in little endian; what follows it."""
    i: cython.int
    for i in range(size):
        out[i] = number & 255
        number >>= 8
    return out + size


@cython.ccall
def pack_splices(splices) -> bytes:
    count: cython.Py_ssize_t = len(splices)
    total: cython.Py_ssize_t = 2
    start: cython.Py_ssize_t
    end: cython.Py_ssize_t
    text: bytes
    for start, end, text in splices:
        if start < 0 or start > 0xFFFF or end < 0 or end > 0xFFFF or PyBytes_GET_SIZE(text) > 0xFFFFFFFF:
            raise ValueError(f"no place for splice {start}:{end}")
        total += 8 + PyBytes_GET_SIZE(text)
    if count > 0xFFFF:
        raise ValueError(f"no place for {count} splices")
    result: bytes = PyBytes_FromStringAndSize(cython.NULL, total)
    out: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(result))
    out = put(out, cython.cast(cython.uint, count), 2)
    for start, end, text in splices:
        out = put(out, cython.cast(cython.uint, start), 2)
        out = put(out, cython.cast(cython.uint, end), 2)
        out = put(out, cython.cast(cython.uint, PyBytes_GET_SIZE(text)), 4)
        memcpy(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        out += PyBytes_GET_SIZE(text)
    return result


def unpack_splices(packed: bytes):
    found: list = []
    if len(packed) < 2:
        raise ValueError("packed splices cut short")
    at: cython.Py_ssize_t = 2
    length: cython.Py_ssize_t
    for _ in range(_COUNT.unpack_from(packed)[0]):
        if at + 8 > len(packed):
            raise ValueError("packed splices cut short")
        start, end, length = _HEAD.unpack_from(packed, at)
        at += 8
        if at + length > len(packed):
            raise ValueError("packed splices cut short")
        found.append((start, end, packed[at : at + length]))
        at += length
    return found
