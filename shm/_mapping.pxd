# cython: language_level=3
"""Declarations of _mapping.pyx."""

from libc.stdint cimport int64_t

from shm._layout cimport Identity, Region


cdef class Mapping:
    cdef Region region
    cdef object where
    cdef unsigned long long device, inode
    cdef bint reading

    cdef int map_file(self, int fd, size_t size, bint reading) except -1
    cdef int lay_out(self) except -1
    cdef void unmap(self) noexcept
    cdef int64_t made_anew(self) except -1
    cdef int make_file(self, path, const Identity *want) except -1
    cdef int open_wanted(self, path, const Identity *want, advice) except -1
    cdef int open_found(self, path, bint reading) except -1
    cdef int check_slot(self, int slot) except -1
