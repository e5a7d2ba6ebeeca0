"""What siphon/services/merged.py offers, in C: each request that is answered here by a 2xx asks."""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from shm._layout cimport ABSENT, CONFLICT, KEY
from siphon.services._rows cimport Rows
from siphon.sip._blake cimport Keyed
from siphon.sip._buffer cimport Buffer, begin, put, put_bytes, put_decimal, release

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    OWNER = 0
    ID_BYTES = 16

cdef double FRESH_SECS = 1.0


@cython.final
cdef class MergedRequests:
    """`hash_key` keys the table's keys, `lifetime` is in seconds, `wall` the clock (epoch seconds)."""

    def __init__(self, table, bytes hash_key not None, double lifetime, wall):
        self.rows = Rows(table)
        self.keyed = Keyed(hash_key[:64], KEY)
        self.lifetime = lifetime
        self.wall = wall
        self.first = b""

    cpdef bint is_merged(self, bytes transaction, str method, bytes call_id, bytes from_tag, long long cseq) except -1:
        """Whether another transaction has answered this request; if none has, this one does from now on. A request
        without a From tag (RFC 2543) is never merged."""
        cdef unsigned char key[KEY]
        cdef int64_t got
        cdef double wall
        cdef int tries
        if not from_tag or PyBytes_GET_SIZE(transaction) != ID_BYTES or self.has_just_marked(transaction):
            return False
        key_of(self.keyed, method, call_id, from_tag.lower(), cseq, key)  # a token (RFC 3261 §7.3.1)
        for tries in range(2):
            got = self.rows.get(key)
            if got >= 0:
                return got == ID_BYTES and memcmp(self.rows.value, PyBytes_AS_STRING(transaction), ID_BYTES) != 0
            if got != ABSENT:
                return False
            wall = self.wall()
            got = self.rows.commit(
                key, 0, <const unsigned char *>PyBytes_AS_STRING(transaction), ID_BYTES, OWNER, wall,
                wall + self.lifetime, False)
            if got > 0:
                self.first, self.first_at = transaction, wall
            if got != CONFLICT:
                return False
        return False

    cpdef bint has_just_marked(self, bytes transaction) except -1:
        """Whether this process has found a moment ago that it is the first: then nobody need look again."""
        return transaction == self.first and 0.0 <= <double>self.wall() - self.first_at < FRESH_SECS


cdef int key_of(Keyed keyed, str method, bytes call_id, bytes tag, long long cseq, unsigned char *key) except -1:
    cdef Buffer b
    cdef Py_ssize_t size
    cdef const char *name = PyUnicode_AsUTF8AndSize(method, &size)
    begin(&b)
    try:
        put(&b, b"m", 1)
        put(&b, name, size)
        put(&b, b" ", 1)
        put_decimal(&b, cseq)
        put(&b, b" ", 1)
        put_decimal(&b, PyBytes_GET_SIZE(tag))
        put(&b, b":", 1)
        put_bytes(&b, tag)
        put_bytes(&b, call_id)
        keyed.into(<const unsigned char *>b.p, b.used, key)
    finally:
        release(&b)
    return 0
