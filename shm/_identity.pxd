# cython: language_level=3
"""Declarations of _identity.pyx."""

from libc.stdint cimport uint32_t, uint64_t

from shm._layout cimport Identity


cdef inline uint64_t rounded(uint64_t n, uint64_t unit) noexcept:
    return (n + unit - 1) // unit * unit


cdef int plan(Identity *p, bytes boot_id, records, blocks, slots, reserve_blocks, reserve_records, wall_expiry,
              bint marked, int block_bytes) except -1
cdef uint32_t identity_check(const Identity *p) noexcept
cdef str differs(fd, path, const Identity *want)
cdef Identity found_in(fd)
cdef Identity ours(const Identity *have)
