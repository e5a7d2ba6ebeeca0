# cython: language_level=3
"""A reader of one UDP socket, what it reads, and the outbox, for compiled code."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint32_t, uint64_t


cdef class Reader:
    cdef readonly int fd
    cdef readonly int listener
    cdef readonly int socket
    cdef readonly double now
    cdef readonly uint64_t stale
    cdef readonly uint64_t drops
    cdef Py_buffer view
    cdef uint32_t *ledger
    cdef uint32_t own_ledger
    cdef double shift

    cdef list read(self, int limit, double stale_after, object keep_stale)


cdef class Received:
    cdef readonly bytes data
    cdef readonly object source
    cdef readonly int listener
    cdef readonly int socket
    cdef readonly str local
    cdef readonly double arrived


cdef struct Box


cdef class Outbox:
    cdef Box *box
    cdef int sockets
    cdef int *families
    cdef bint *wildcard

    cdef int queue(self, bytes data, tuple to, int listener, str source) except -1
    cdef bint has_failed(self) noexcept
    cdef int fill_source(self, int i, int family, str source) except -1
    cdef int grow(self) except -1
    cdef void empty(self) noexcept
