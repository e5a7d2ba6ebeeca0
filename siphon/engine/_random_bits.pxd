# Declarations of _random_bits.pyx: bits for callers in C.

from libc.stdint cimport uint32_t

cdef class RandomBits:
    cdef bytes drawn
    cdef int taken

    cdef const unsigned char *draw(self, int count) except NULL
    cdef uint32_t word(self) except? 0
    cdef bytes digits(self)
