# Declarations of _blake.pyx.

from libc.stdint cimport uint64_t

cdef void hash_into(const unsigned char *data, size_t length, unsigned char *out, int size) noexcept nogil

cdef class Keyed:
    cdef uint64_t begun[8]      # the state once the key's block is through
    cdef int size
    cdef int into(self, const unsigned char *data, size_t length, unsigned char *out) noexcept nogil
    cdef bytes of(self, const unsigned char *data, size_t length)
    cpdef bytes digest(self, bytes data)

cdef class Cipher:
    cdef uint64_t begun[4][8]   # of each round
    cdef int encipher_into(self, const unsigned char *plain, unsigned char *out) noexcept nogil
