# Declarations of _gate.pyx: whether new work is taken, for callers in C.

from libc.stdint cimport uint64_t

from shm._slots cimport Slots

cdef class Gate:
    cdef Slots slots
    cdef uint64_t mask
    cdef object mirror, far, driver, secrets
    cdef readonly int capacity
    cdef uint64_t secret_count

    cdef bint is_closed(self) except -1
    cdef bint is_full(self) except -1
