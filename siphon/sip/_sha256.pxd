# Declarations of _sha256.pyx.

from libc.stdint cimport uint32_t

cdef void sha256_digits(const unsigned char *data, size_t length, char *out) noexcept nogil

cdef class KeyedSha256:
    cdef uint32_t inner[8]      # the states once the key's blocks are through
    cdef uint32_t outer[8]
    cdef void into(self, const unsigned char *data, size_t length, unsigned char *out) noexcept nogil
    cpdef bytes digits(self, bytes data, int count)
