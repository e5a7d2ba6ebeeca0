# cython: language_level=3
"""Timer rings, for the loop in compiled code: when the next deadline is, without an object."""

from libc.stdint cimport uint64_t

cdef enum:
    RINGS = 8
    KEY = 16

cdef struct Entry:
    double deadline
    uint64_t version
    char key[KEY]

cdef struct Ring:
    Entry *entries
    size_t first
    size_t count
    size_t capacity


ctypedef int (*judge_t)(void *argument, const char *key, uint64_t version) noexcept nogil


cdef class TimerRings:
    cdef judge_t judge
    cdef void *judge_argument
    cdef Ring rings[RINGS]
    cdef Entry *heap
    cdef size_t heap_count
    cdef size_t heap_capacity

    cdef double first_deadline(self) noexcept
    cdef void drop_past(self, double until, int limit) noexcept
    cdef bint is_past(self, const Entry *entry) noexcept
    cdef int earliest(self) noexcept
    cdef bint take(self, double now, Entry *into) noexcept
    cdef int append(self, Ring *ring, const Entry *entry) except -1
    cdef int push(self, const Entry *entry) except -1
    cdef void pop(self) noexcept
