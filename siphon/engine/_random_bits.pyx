"""Unpredictable bits of the kernel for keys, salts and branches of one process.

Drawn 4 kB at a time: a system call a request costs more than the bits. Made after fork, so that no two processes have
the same.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from siphon.sip._hex cimport put_digits

import os

cdef enum:
    DRAWN = 4096
    TOKEN = 16              # bytes


@cython.final
cdef class RandomBits:
    """`bits` of a call: a multiple of 8, at most 32768."""

    def __init__(self):
        self.drawn = b""
        self.taken = DRAWN

    cdef const unsigned char *draw(self, int count) except NULL:
        """So many bytes that nobody has had; good until the next call."""
        cdef int start = self.taken
        if count < 1 or count > DRAWN:
            raise ValueError(f"{count} random bytes; at most {DRAWN} at a time")
        if start + count > DRAWN:
            self.drawn = os.urandom(DRAWN)
            start = 0
        self.taken = start + count
        return <const unsigned char *>PyBytes_AS_STRING(self.drawn) + start

    cdef uint32_t word(self) except? 0:
        cdef uint32_t value
        memcpy(&value, self.draw(sizeof(value)), sizeof(value))
        return value

    cdef bytes digits(self):
        """128 bits as hex digits."""
        cdef const unsigned char *bits = self.draw(TOKEN)
        cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * TOKEN)
        put_digits(bits, TOKEN, PyBytes_AS_STRING(made))
        return made

    def __call__(self, int bits):
        return int.from_bytes((<const char *>self.draw(bits // 8))[: bits // 8], "big")
