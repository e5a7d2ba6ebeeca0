# cython: language_level=3
"""Declarations of _looking.pyx."""

from libc.stdint cimport int64_t, uint32_t

from shm._layout cimport Descriptor
from shm._mapping cimport Mapping


cdef void arm_looking(int which, int count, int signal_number) noexcept


cdef class Looking(Mapping):
    cdef unsigned char *scratch

    cdef bint raw_descriptor(self, uint32_t n, Descriptor *d, unsigned char *key) noexcept nogil
    cdef int64_t read_unlocked(self, const unsigned char *key, Descriptor *d, bint whole) noexcept nogil
